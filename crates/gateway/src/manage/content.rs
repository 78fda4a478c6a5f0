//! `/content/*`: reading what calls said, erasing a person, ending what is old. Each is sealed before it is done.

use serde_json::{Value, json};

use super::body::Fields;
use super::keys::known;
use super::{Call, ManageError};
use crate::content::{self, KINDS, MOST_READ, Request, Unrecorded};

impl From<Unrecorded> for ManageError {
    fn from(error: Unrecorded) -> Self {
        match error {
            Unrecorded::Ledger => Self::NotRecorded(error.to_string()),
            Unrecorded::NoDatabase => Self::NoDatabase,
            Unrecorded::Store | Unrecorded::Keys => Self::Store,
        }
    }
}

fn by<'c>(call: &'c Call<'_>) -> &'c str {
    call.caller.key().map_or("master", |key| &key.id)
}

/// The tenant that is meant: the caller's own, or for the master key the one it names.
pub(super) fn tenant(call: &Call<'_>, named: Option<String>) -> Result<String, ManageError> {
    match (call.caller.key(), named) {
        (None, named) => Ok(named.unwrap_or_default()),
        (Some(_), Some(named)) if named != call.caller.tenant() => Err(ManageError::Forbidden(
            "that tenant is not yours".to_owned(),
        )),
        (Some(_), _) => Ok(call.caller.tenant().to_owned()),
    }
}

/// Erases one name and says what was done.
pub(super) async fn erased(
    call: &Call<'_>,
    tenant: &str,
    kind: Option<&'static str>,
    name: &str,
    account: bool,
) -> Result<Value, ManageError> {
    let request = Request {
        tenant,
        kind,
        name,
        account,
        by: by(call),
    };
    let done = content::erase(call.app, &request).await?;
    let subjects = done.subjects.iter().map(
        |(kind, subject, records)| json!({ "kind": kind, "subject": subject, "records": records }),
    );
    Ok(json!({
        "erased": subjects.collect::<Vec<_>>(),
        "spend_rows_anonymised": done.spend_rows,
        "record": done.record,
        "files_scrubbed": done.scrubbed,
    }))
}

/// `POST /content/erase`
pub(super) async fn erase(call: &Call<'_>) -> Result<Value, ManageError> {
    let mut fields = Fields::of(&call.body);
    let name = fields.required("subject")?;
    let kind = fields.text("kind")?;
    let named = fields.text("tenant_id")?;
    fields.end()?;
    if name.is_empty() {
        return Err(ManageError::missing("subject"));
    }
    let kind = match kind {
        None => None,
        Some(text) => Some(
            KINDS
                .into_iter()
                .find(|kind| *kind == text)
                .ok_or_else(|| {
                    ManageError::field(
                        "body",
                        "kind",
                        format!("expected one of {}", KINDS.join(", ")),
                    )
                })?,
        ),
    };
    erased(call, &tenant(call, named)?, kind, &name, false).await
}

async fn shown(call: &Call<'_>, ids: Vec<String>) -> Result<Vec<Value>, ManageError> {
    let tenant = call.caller.key().map(|_| call.caller.tenant());
    let shown = content::read(call.app, by(call), tenant, ids).await?;
    Ok(shown
        .into_iter()
        .map(|one| json!({ "id": one.id, "state": one.state, "content": one.content }))
        .collect())
}

/// `POST /content/read`: many records under one record of the reading.
pub(super) async fn read(call: &Call<'_>) -> Result<Value, ManageError> {
    let mut fields = Fields::of(&call.body);
    let ids = fields
        .texts("ids")?
        .ok_or_else(|| ManageError::missing("ids"))?;
    fields.end()?;
    if ids.len() > MOST_READ {
        let message = format!("at most {MOST_READ} records at once");
        return Err(ManageError::field("body", "ids", message));
    }
    let ids = ids.into_iter().map(String::from).collect();
    Ok(json!({ "records": shown(call, ids).await? }))
}

/// `GET /content/{id}`
pub(super) async fn one(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &[])?;
    let id = call.variable.clone().unwrap_or_default();
    let shown = shown(call, vec![id]).await?;
    let one = shown.into_iter().next().unwrap_or_default();
    match one.get("state").and_then(Value::as_str) {
        Some("unknown") | None => Err(ManageError::NotFound("there is no such record".to_owned())),
        Some(_) => Ok(one),
    }
}

/// `POST /content/retention`: a run now.
pub(super) async fn retention(call: &Call<'_>) -> Result<Value, ManageError> {
    let mut fields = Fields::of(&call.body);
    let accept = fields.flag("accept_clock")?.unwrap_or(false);
    fields.end()?;
    let run = content::retain(call.app, by(call), accept).await?;
    let run = run.ok_or_else(|| {
        ManageError::Invalid(
            "content lives for ever: set general_settings.maximum_spend_logs_retention_period"
                .to_owned(),
        )
    })?;
    Ok(json!({
        "hours_destroyed": run.hours,
        "clock_not_believed": run.held_back,
        "record": run.record,
    }))
}
