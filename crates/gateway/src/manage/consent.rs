//! `/consent/*`: who agreed to what, on which notice, and who withdrew. Each change is sealed and in force at once.
//!
//! People stand here under pseudonyms: the keyed digest that records and erasures know them by. Their names are never stored.

use policy::identity::{ConsentPart, Entity, Grant, Kind};
use serde_json::{Map, Value, json};

use super::body::Fields;
use super::keys::{known, paged};
use super::{Call, ManageError, content, show};
use crate::config::{ConsentSettings, is_name};
use crate::content::{KINDS, subject_id};
use crate::identity::Action;

/// Most purposes of one person.
const MOST: usize = 200;

/// Stands for every purpose that is not named.
const ALL: &str = "*";

/// Who is meant: kind, tenant, pseudonym.
struct Person {
    kind: &'static str,
    tenant: String,
    id: String,
}

fn person(
    call: &Call<'_>,
    name: &str,
    kind: Option<&str>,
    tenant: Option<String>,
) -> Result<Person, ManageError> {
    let kind = kind.unwrap_or("end_user");
    let known = KINDS.into_iter().find(|known| *known == kind);
    let kind = known.ok_or_else(|| {
        let message = format!("expected one of {}", KINDS.join(", "));
        ManageError::field("body", "kind", message)
    })?;
    if name.is_empty() || name.len() > 1_000 {
        return Err(ManageError::field(
            "body",
            "subject",
            "expected 1 to 1000 bytes",
        ));
    }
    let tenant = content::tenant(call, tenant)?;
    let id = subject_id(&call.app.digests, &tenant, kind, name).uuid();
    Ok(Person { kind, tenant, id })
}

fn purposes(fields: &mut Fields<'_>) -> Result<Vec<Box<str>>, ManageError> {
    let mut all = fields.texts("purposes")?.unwrap_or_default();
    all.extend(fields.text("purpose")?.map(Box::from));
    if let Some(wrong) = all.iter().find(|name| !is_name(name)) {
        let shown: String = wrong.chars().take(60).collect();
        let message = format!("`{shown}`: expected 1 to 60 letters, digits and - _ .");
        return Err(ManageError::field("body", "purpose", message));
    }
    Ok(all)
}

/// `POST /consent/grant`
pub(super) async fn grant(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let name = fields.required("subject")?;
    let kind = fields.text("kind")?;
    let tenant = fields.text("tenant_id")?;
    let purposes = purposes(&mut fields)?;
    let version = fields.text("notice_version")?;
    let language = fields.text("notice_language")?;
    fields.end()?;
    if purposes.is_empty() {
        return Err(ManageError::missing("purpose"));
    }
    let person = person(call, &name, kind.as_deref(), tenant)?;
    let snapshot = call.app.snapshot();
    let settings = &snapshot.config.consent;
    for purpose in &purposes {
        shown(settings, purpose, version.as_deref(), language.as_deref())?;
    }
    let grant = Grant {
        given: true,
        at: editor.now(),
        notice: version.map(Box::from),
        language: language.map(Box::from),
    };
    let edits = purposes.into_iter().map(|purpose| (purpose, grant.clone()));
    change(call, &editor, Action::Granted, &person, edits.collect()).await
}

/// A consent for a purpose that has notices names the one that was shown; one that names a notice names one that there is.
fn shown(
    settings: &ConsentSettings,
    purpose: &str,
    version: Option<&str>,
    language: Option<&str>,
) -> Result<(), ManageError> {
    match version {
        None if settings.current(purpose).is_some() => Err(ManageError::field(
            "body",
            "notice_version",
            format!("there is a notice for `{purpose}`: say which version was shown"),
        )),
        Some(version) if !settings.knows(purpose, version, language) => Err(ManageError::field(
            "body",
            "notice_version",
            format!("there is no such notice for `{purpose}`; GET /consent/notices shows them"),
        )),
        None if language.is_some() => Err(ManageError::missing("notice_version")),
        _ => Ok(()),
    }
}

/// `POST /consent/withdraw`
pub(super) async fn withdraw(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let name = fields.required("subject")?;
    let kind = fields.text("kind")?;
    let tenant = fields.text("tenant_id")?;
    let mut purposes = purposes(&mut fields)?;
    let all = fields.flag("all")?.unwrap_or(false);
    fields.end()?;
    let person = person(call, &name, kind.as_deref(), tenant)?;
    match (all, purposes.is_empty()) {
        (true, true) => {
            let row = row(call, &person);
            let part = row.as_deref().and_then(|row| row.consent.as_deref());
            purposes.extend(
                part.into_iter()
                    .flat_map(|part| part.purposes.keys().cloned()),
            );
            purposes.push(ALL.into());
        }
        (false, false) => {}
        _ => {
            let message = "say one purpose or more, or all: true";
            return Err(ManageError::field("body", "purpose", message));
        }
    }
    let at = editor.now();
    let edits = purposes.into_iter().map(|purpose| {
        let grant = Grant {
            at,
            ..Grant::default()
        };
        (purpose, grant)
    });
    change(call, &editor, Action::Withdrawn, &person, edits.collect()).await
}

fn row(call: &Call<'_>, person: &Person) -> Option<std::sync::Arc<Entity>> {
    let tables = call.app.identity.directory.read();
    let row = tables.get(Kind::Consent, &person.tenant, &person.id);
    row.cloned()
}

async fn change(
    call: &Call<'_>,
    editor: &crate::identity::Editor<'_>,
    action: Action,
    person: &Person,
    edits: Vec<(Box<str>, Grant)>,
) -> Result<Value, ManageError> {
    let before = row(call, person);
    let mut after = before.as_deref().cloned().unwrap_or_else(|| Entity {
        kind: Kind::Consent,
        tenant: person.tenant.as_str().into(),
        id: person.id.as_str().into(),
        ..Entity::default()
    });
    let mut part = after.consent.take().unwrap_or_else(|| {
        Box::new(ConsentPart {
            subject: person.kind.into(),
            ..ConsentPart::default()
        })
    });
    part.purposes.extend(edits);
    if part.purposes.len() > MOST {
        let message = format!("at most {MOST} purposes for one person");
        return Err(ManageError::field("body", "purpose", message));
    }
    after.consent = Some(part);
    let row = editor.put(action, before, after).await?;
    Ok(view(&row))
}

/// A row for the API: the pseudonym, and what was said for which purpose.
fn view(row: &Entity) -> Value {
    let part = row.consent.as_deref();
    let purposes: Map<String, Value> = part
        .into_iter()
        .flat_map(|part| &part.purposes)
        .map(|(purpose, grant)| {
            let shown = json!({
                "state": if grant.given { "granted" } else { "withdrawn" },
                "at": show::instant(grant.at),
                "notice_version": grant.notice,
                "notice_language": grant.language,
            });
            (purpose.to_string(), shown)
        })
        .collect();
    let mut out = json!({
        "subject": row.id,
        "kind": part.map_or("end_user", |part| &part.subject),
        "purposes": purposes,
        "version": row.version,
        "updated_at": show::instant(row.updated_at),
        "updated_by": row.updated_by,
    });
    if let Some(members) = out.as_object_mut() {
        if !row.tenant.is_empty() {
            members.insert("tenant_id".to_owned(), json!(row.tenant));
        }
        if row.damaged {
            members.insert("damaged".to_owned(), json!(true));
        }
    }
    out
}

/// `GET /consent/info?subject=...`: one person, or one purpose of one person.
pub(super) fn info(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &["subject", "kind", "purpose", "tenant_id"])?;
    let name = call
        .param("subject")
        .ok_or_else(|| ManageError::field("query", "subject", "Field required"))?;
    let tenant = call.param("tenant_id").map(str::to_owned);
    let person = person(call, name, call.param("kind"), tenant)?;
    let row = row(call, &person)
        .filter(|row| call.caller.reaches(call.route.need, row))
        .ok_or_else(|| ManageError::NotFound("nothing is known of this person".to_owned()))?;
    let mut shown = view(&row);
    if let Some(purpose) = call.param("purpose")
        && let Some(members) = shown.get_mut("purposes").and_then(Value::as_object_mut)
    {
        let one = members.get(purpose).or_else(|| members.get(ALL)).cloned();
        let one = one.ok_or_else(|| {
            ManageError::NotFound("nothing is known of this person and purpose".to_owned())
        })?;
        members.clear();
        members.insert(purpose.to_owned(), one);
    }
    Ok(shown)
}

/// `GET /consent/list`
pub(super) fn list(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &["page", "page_size"])?;
    let (page, size) = call.page("page_size", 50, 500)?;
    let tables = call.app.identity.directory.read();
    let rows: Vec<_> = tables
        .all(Kind::Consent)
        .filter(|row| call.caller.reaches(call.route.need, row))
        .cloned()
        .collect();
    drop(tables);
    let shown: Vec<Value> = paged(&rows, page, size).map(|row| view(row)).collect();
    Ok(json!({ "consents": shown, "total": rows.len(), "page": page }))
}

/// `GET /consent/notices`: what people are shown.
pub(super) fn notices(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &[])?;
    let snapshot = call.app.snapshot();
    let settings = &snapshot.config.consent;
    let notices = settings.notices.iter().map(|notice| {
        json!({
            "purpose": notice.purpose,
            "version": notice.version,
            "language": notice.language,
            "text": notice.text,
            "sha256": notice.digest,
            "in_force": settings.current(&notice.purpose) == Some(notice.version.as_str()),
        })
    });
    Ok(json!({ "notices": notices.collect::<Vec<_>>() }))
}
