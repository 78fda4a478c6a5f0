//! Erasing a person: a record first, then the key, so that a crash in between is finished at the next start.

use capsule::json::{Object, Value};
use store::content::{Erasure, KeyId, SubjectId};
use store::reader::Reader;

use super::subject::KINDS;
use super::{Unrecorded, subject_id};
use crate::app::App;
use crate::digest::Purpose;

/// Who is erased, and on whose word.
pub(crate) struct Request<'a> {
    pub(crate) tenant: &'a str,
    /// The kind of subject; all kinds that know the name without.
    pub(crate) kind: Option<&'static str>,
    pub(crate) name: &'a str,
    /// The account of that name is gone too.
    pub(crate) account: bool,
    /// Public id of the key that asks.
    pub(crate) by: &'a str,
}

/// What was erased. Nothing of a subject that was erased before, or never known.
#[derive(Debug, Default)]
pub(crate) struct Erased {
    /// Kind, pseudonym, and how many records held content of it.
    pub(crate) subjects: Vec<(&'static str, String, u64)>,
    /// Rows of spend that lost the name.
    pub(crate) spend_rows: u64,
    /// The record; absent when there was nothing to erase.
    pub(crate) record: Option<String>,
    /// Whether nothing of the keys is left in the files; otherwise a reader keeps the log and a later run removes it.
    pub(crate) scrubbed: bool,
}

struct Found {
    kind: &'static str,
    subject: SubjectId,
    key: KeyId,
    records: u64,
}

/// Seals the erasure, anonymises rows in the same commit, then destroys the keys. Doing it again does nothing.
///
/// # Errors
/// [`Unrecorded`]: nothing is erased without its record. A key that could not be destroyed after it is destroyed at the
/// next start, and this is an error too.
pub(crate) async fn erase(app: &App, request: &Request<'_>) -> Result<Erased, Unrecorded> {
    let mut found = keys_of(app, request).await?;
    let is = |kind: &str| request.kind.is_none_or(|wanted| wanted == kind);
    let user = if is("user") { request.name } else { "" }.to_owned();
    let end_user = match is("end_user") {
        true => app
            .digests
            .digest(request.tenant, Purpose::Label, request.name.as_bytes())
            .uuid(),
        false => String::new(),
    };
    let spend_rows = count(app, request.tenant, &user, &end_user, &mut found).await?;
    if found.is_empty() && spend_rows == 0 && !request.account {
        return Ok(Erased {
            scrubbed: true,
            ..Erased::default()
        });
    }
    let pseudonym = subject_id(&app.digests, request.tenant, "user", request.name).uuid();
    let erasure = Erasure {
        keys: found.iter().map(|one| (one.subject.0, one.key.0)).collect(),
        tenant: request.tenant.to_owned(),
        users: some(user),
        end_users: some(end_user),
        accounts: match request.account {
            true => vec![(request.name.to_owned(), format!("erased-{pseudonym}"))],
            false => Vec::new(),
        },
    };
    let record = seal(app, request, &found, spend_rows, &erasure).await?;
    let doomed: Vec<(SubjectId, KeyId)> = erasure.keys().collect();
    let destroyed = app.contents.keeper.run(move |keys, cache| {
        for (subject, key) in &doomed {
            keys.destroy_subject(subject, key)?;
            cache.forget(subject);
        }
        keys.scrub()
    });
    let scrubbed = destroyed.await.map_err(|_| Unrecorded::Keys)?;
    Ok(Erased {
        subjects: found
            .iter()
            .map(|one| (one.kind, one.subject.uuid(), one.records))
            .collect(),
        spend_rows,
        record: Some(record),
        scrubbed,
    })
}

fn some(text: String) -> Vec<String> {
    Some(text)
        .filter(|text| !text.is_empty())
        .into_iter()
        .collect()
}

async fn keys_of(app: &App, request: &Request<'_>) -> Result<Vec<Found>, Unrecorded> {
    let wanted: Vec<(&'static str, SubjectId)> = KINDS
        .into_iter()
        .filter(|kind| request.kind.is_none_or(|wanted| wanted == *kind))
        .map(|kind| {
            (
                kind,
                subject_id(&app.digests, request.tenant, kind, request.name),
            )
        })
        .collect();
    let found = app.contents.keeper.run(move |keys, _| {
        let mut out = Vec::new();
        for (kind, subject) in wanted {
            if let Some(key) = keys.subject(&subject)? {
                out.push(Found {
                    kind,
                    subject,
                    key: key.id,
                    records: 0,
                });
            }
        }
        Ok(out)
    });
    found.await.map_err(|_| Unrecorded::Keys)
}

/// Fills in how many records are concerned; gives the rows of spend. Ledgers in memory have no rows to count.
async fn count(
    app: &App,
    tenant: &str,
    user: &str,
    end_user: &str,
    found: &mut Vec<Found>,
) -> Result<u64, Unrecorded> {
    let Some(path) = app.identity.database.clone() else {
        return Ok(0);
    };
    let (tenant, user, end_user) = (tenant.to_owned(), user.to_owned(), end_user.to_owned());
    let mut counted = std::mem::take(found);
    let done = tokio::task::spawn_blocking(move || {
        let reader = Reader::at(&path)?;
        for one in &mut counted {
            one.records = reader.content_of(&one.subject, &one.key)?;
        }
        let rows = reader.spend_naming(&tenant, &user, &end_user)?;
        Ok::<_, store::reader::ReadError>((counted, rows))
    });
    match done.await {
        Ok(Ok((counted, rows))) => {
            *found = counted;
            Ok(rows)
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the store could not be read for an erasure");
            Err(Unrecorded::Store)
        }
        Err(_) => Err(Unrecorded::Store),
    }
}

async fn seal(
    app: &App,
    request: &Request<'_>,
    found: &[Found],
    spend_rows: u64,
    erasure: &Erasure,
) -> Result<String, Unrecorded> {
    let subjects = found.iter().map(|one| {
        let mut object = Object::new();
        object.insert("key", one.key.hex());
        object.insert("kind", one.kind);
        object.insert("records", one.records);
        object.insert("subject", one.subject.uuid());
        Value::Object(object)
    });
    let subjects: Vec<Value> = subjects.collect();
    let records = found.iter().map(|one| one.records).sum::<u64>();
    let mut env = Object::new();
    env.insert("account", request.account);
    env.insert("spend_rows", spend_rows);
    env.insert("subjects", Value::Array(subjects));
    env.insert("tenant", request.tenant);
    let summary = format!(
        "{} keys destroyed, {records} records lose their content",
        found.len()
    );
    let attachment = erasure.encode().map_err(|_| Unrecorded::Ledger)?;
    super::seal_event(app, "erasure", request.by, env, summary, Some(attachment)).await
}
