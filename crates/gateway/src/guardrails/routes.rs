//! The guardrails by themselves: which there are, and what one of them makes of a text.

use std::borrow::Cow;

use guard::Form;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::row::{self, Seen};
use super::{Place, Refused};
use crate::app::Snapshot;
use crate::config::Guardrail;
use crate::error::Error;
use crate::proxy::inspect;

/// `GET /guardrails/list`. No parameter is shown: some are what nobody may read.
pub(crate) fn list(snapshot: &Snapshot) -> Vec<u8> {
    let one = |guardrail: &Guardrail| {
        json!({
            "guardrail_id": guardrail.name,
            "guardrail_name": guardrail.name,
            "litellm_params": {
                "guardrail": guardrail.integration,
                "mode": guardrail.modes.names(),
                "default_on": guardrail.default_on,
            },
            "guardrail_info": Value::Null,
            "guardrail_definition_location": "config",
            "missing": guardrail.missing,
        })
    };
    let all: Vec<Value> = snapshot.config.guardrails.iter().map(one).collect();
    json!({ "guardrails": all }).to_string().into_bytes()
}

/// `POST /guardrails/apply_guardrail`: `{guardrail_name, text, input_type?}` gives `{response_text}`, or the refusal. Nothing
/// is sent anywhere and nothing is kept.
///
/// # Errors
/// An unknown name; a check that needs a call or is not built; the refusal of the check.
pub(crate) async fn apply(snapshot: &Snapshot, body: Incoming) -> Result<Vec<u8>, Error> {
    let received = inspect::receive(snapshot, body).await?;
    let body: Value = serde_json::from_slice(&received)
        .map_err(|_| Error::InvalidJson("the body is not a JSON object".to_owned()))?;
    let field = |name: &str| {
        let value = body.get(name).and_then(Value::as_str);
        value.ok_or_else(|| Error::InvalidField {
            field: name.to_owned(),
            message: format!("'{name}' must be a text."),
            status: 422,
            kind: "invalid_request_error",
        })
    };
    let (name, text) = (field("guardrail_name")?, field("text")?);
    let answer = body.get("input_type").and_then(Value::as_str) == Some("response");
    if snapshot.config.guardrail(name).is_none() {
        return Err(Error::UnknownGuardrail(name.chars().take(100).collect()));
    }
    let check = snapshot.checks.named(name);
    let check = check.ok_or_else(|| Error::CheckNotAvailable {
        check: name.to_owned(),
    })?;
    let local = check.local().ok_or_else(|| Error::InvalidField {
        field: "guardrail_name".to_owned(),
        message: format!(
            "Guardrail '{}' asks a service, which happens in calls only: name it in the 'guardrails' of a call.",
            check.name
        ),
        status: 400,
        kind: "invalid_request_error",
    })?;
    let place = Place {
        answer,
        ..Place::user()
    };
    let mut seen = Seen::default();
    let left = row::whole(
        local.readers(place),
        Form::Plain,
        None,
        Cow::Borrowed(text),
        &mut seen,
    );
    if let Some((kind, description)) = &seen.blocked {
        let refusal = local.refusal(&Refused {
            guardrail: &check.name,
            mode: check.mode(answer),
            kind,
            description: description.as_deref(),
            answer,
        });
        return Err(Error::Blocked {
            check: check.name.to_string(),
            refusal: Box::new(refusal),
        });
    }
    Ok(json!({ "response_text": left }).to_string().into_bytes())
}
