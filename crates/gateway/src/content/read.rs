//! Reading content: sealed first, then shown.

use capsule::json::Object;
use store::content::{CipherError, Content, KeyPair};
use store::keys::Secret;
use store::reader::{ReadError, Reader};

use super::Unrecorded;
use crate::app::App;
use crate::digest::Purpose;

/// Most records of one request; they share one record of the reading.
pub(crate) const MOST: usize = 1000;

/// What is shown of one record.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) id: String,
    /// `present`, `erased`, `expired`, `none` (nothing was kept), `damaged` or `unknown` (no such record, or not of this
    /// tenant).
    pub(crate) state: &'static str,
    pub(crate) content: Option<serde_json::Value>,
}

struct Stored {
    id: String,
    state: Result<Content, &'static str>,
    /// The key was erased, by its record.
    erased: bool,
}

/// Seals that these records are read, and shows their content. `tenant`: only records of this one.
///
/// # Errors
/// [`Unrecorded`]: nothing is shown without its record.
pub(crate) async fn read(
    app: &App,
    by: &str,
    tenant: Option<&str>,
    ids: Vec<String>,
) -> Result<Vec<Shown>, Unrecorded> {
    let mut running = app.digests.begin("", Purpose::Label);
    ids.iter().for_each(|id| running.update_item(id));
    let mut env = Object::new();
    env.insert("count", ids.len() as u64);
    env.insert("records_digest", running.finish().hex());
    if let [only] = ids.as_slice()
        && let Ok(id) = only.parse::<capsule::Id>()
    {
        env.insert("record", id.to_string());
    }
    let summary = format!("Content of {} records read", ids.len());
    super::seal_event(app, "content_read", by, env, summary, None).await?;
    let path = app
        .identity
        .database
        .clone()
        .ok_or(Unrecorded::NoDatabase)?;
    let tenant = tenant.map(str::to_owned);
    let stored = tokio::task::spawn_blocking(move || {
        let reader = Reader::at(&path)?;
        ids.into_iter()
            .map(|id| stored(&reader, tenant.as_deref(), id))
            .collect::<Result<Vec<_>, ReadError>>()
    });
    let stored = match stored.await {
        Ok(Ok(stored)) => stored,
        Ok(Err(error)) => {
            tracing::error!(%error, "content could not be read");
            return Err(Unrecorded::Store);
        }
        Err(_) => return Err(Unrecorded::Store),
    };
    let shown = app.contents.keeper.run(move |keys, _| {
        let mut shown = Vec::with_capacity(stored.len());
        for one in stored {
            let content = match one.state {
                Ok(content) => content,
                Err(state) => {
                    shown.push(Shown {
                        id: one.id,
                        state,
                        content: None,
                    });
                    continue;
                }
            };
            let subject = keys.subject(&content.subject)?;
            let subject = subject.filter(|key| key.id == content.key && !one.erased);
            let (state, content) = match (subject, keys.hour(content.hour)?) {
                (None, _) => ("erased", None),
                (Some(_), None) => ("expired", None),
                (Some(key), Some(hour)) => opened(&one.id, &content, key.secret, hour),
            };
            shown.push(Shown {
                id: one.id,
                state,
                content,
            });
        }
        Ok(shown)
    });
    shown.await.map_err(|_| Unrecorded::Keys)
}

fn opened(
    id: &str,
    content: &Content,
    subject_key: Secret,
    hour_key: Secret,
) -> (&'static str, Option<serde_json::Value>) {
    let pair = KeyPair {
        subject: content.subject,
        id: content.key,
        hour: content.hour,
        subject_key,
        hour_key,
    };
    let plain = id
        .parse()
        .map_err(|_| CipherError::Refused)
        .and_then(|id| store::content::open(&pair, &id, content));
    match plain.map(|plain| serde_json::from_slice(&plain)) {
        Ok(Ok(value)) => ("present", Some(value)),
        _ => ("damaged", None),
    }
}

fn stored(reader: &Reader, tenant: Option<&str>, id: String) -> Result<Stored, ReadError> {
    let plain = |id: String, state| Stored {
        id,
        state: Err(state),
        erased: false,
    };
    let Some(row) = reader.row_by_id(&id)? else {
        return Ok(plain(id, "unknown"));
    };
    let document: serde_json::Value = serde_json::from_slice(&row.data).unwrap_or_default();
    let said = |pointer: &str| document.pointer(pointer).and_then(|value| value.as_str());
    let of_tenant = said("/context/environment/tenant").unwrap_or_default();
    if tenant.is_some_and(|tenant| tenant != of_tenant) {
        return Ok(plain(id, "unknown"));
    }
    let Some(commitment) = said("/context/environment/content/digest") else {
        return Ok(plain(id, "none"));
    };
    let Some(content) = reader.content(row.sequence)? else {
        return Ok(plain(id, "damaged"));
    };
    if content.commitment().hex() != commitment {
        return Ok(plain(id, "damaged"));
    }
    Ok(Stored {
        erased: reader.is_erased(&content.subject, &content.key)?,
        id,
        state: Ok(content),
    })
}
