//! Answers that need no provider: models, health, active checks.

use http::StatusCode;
use llm::openai::models::{self, Model};

use crate::app::{App, Snapshot};
use crate::config::CallbackKind;
use crate::error::Error;
use crate::proxy::inspect::percent_decoded;
use crate::routing;
use crate::server::reply::{self, Reply};

/// `GET /health/liveness`: this process answers.
pub(crate) fn liveness(app: &App) -> Reply {
    if app.is_draining() {
        return reply::json(
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"status":"shutting_down"}"#,
        );
    }
    reply::json(StatusCode::OK, "\"I'm alive!\"")
}

/// `GET /health/readiness`: calls are admitted. Two fields, nothing about the inside.
pub(crate) fn readiness(app: &App) -> Reply {
    let ready = !app.is_draining() && app.ledger.admitting();
    let (status, word) = if ready {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    };
    let db = if app.ledger.admitting() {
        "connected"
    } else {
        "Not connected"
    };
    reply::json(
        status,
        serde_json::json!({ "status": word, "db": db }).to_string(),
    )
}

/// `GET /health/readiness/details`, for operators.
pub(crate) fn readiness_details(app: &App, snapshot: &Snapshot) -> String {
    let status = app.ledger.status();
    let callbacks: Vec<&str> = snapshot
        .config
        .callbacks
        .iter()
        .map(|callback| callback.name.as_str())
        .collect();
    serde_json::json!({
        "status": if status.admitting && !app.is_draining() { "healthy" } else { "unhealthy" },
        "db": if status.admitting { "connected" } else { "Not connected" },
        "cache": null,
        "version": env!("CARGO_PKG_VERSION"),
        "success_callbacks": callbacks,
        "ledger": {
            "id": app.ledger_info.id.as_ref(),
            "admitting": status.admitting,
            "queued": status.queued,
            "open_calls": status.open_calls,
            "settle_slots": { "taken": status.slots.0, "limit": status.slots.1 },
            "records": status.records,
            "quarantined": status.quarantined,
            "failed_commits": status.failed_commits,
            "adopted": status.adopted,
            "last_error": status.last_error,
        },
        "config_digest": snapshot.digest_hex.as_ref(),
    })
    .to_string()
}

/// `GET /health`: what is configured. No deployment is called: that would cost money for anybody with a key.
pub(crate) fn deployments(snapshot: &Snapshot) -> String {
    let (mut healthy, mut unhealthy) = (Vec::new(), Vec::new());
    for (group, target) in snapshot.config.models.targets() {
        let deployment = &target.deployment;
        let mut entry = serde_json::json!({
            "model": group, "model_id": deployment.id, "checked": false,
            "traffic": routing::health(snapshot, target),
        });
        let error = if routing::is_cooling(snapshot, target) {
            Some("left alone for a while after failures".to_owned())
        } else if deployment.built || deployment.mock_response.is_some() {
            None
        } else {
            let provider = &deployment.provider;
            Some(format!(
                "provider '{provider}' is not available in this version"
            ))
        };
        match (error, entry.as_object_mut()) {
            (Some(error), Some(map)) => {
                map.insert("error".into(), error.into());
                unhealthy.push(entry);
            }
            _ => healthy.push(entry),
        }
    }
    serde_json::json!({
        "healthy_count": healthy.len(),
        "unhealthy_count": unhealthy.len(),
        "healthy_endpoints": healthy,
        "unhealthy_endpoints": unhealthy,
    })
    .to_string()
}

/// `GET /active/callbacks`: checks and callbacks with their states.
pub(crate) fn callbacks(snapshot: &Snapshot) -> String {
    let callbacks: Vec<_> = snapshot
        .config
        .callbacks
        .iter()
        .map(|callback| {
            let state = match &callback.kind {
                CallbackKind::Policy => "not available in this version: calls are refused unless sealgate.inactive_checks is pass".to_owned(),
                CallbackKind::Sink => "accepted, not active yet".to_owned(),
                CallbackKind::Native => "built in".to_owned(),
                CallbackKind::Disabled(reason) => format!("disabled: {reason}"),
            };
            serde_json::json!({ "name": callback.name, "state": state, "on": callback.on })
        })
        .collect();
    let checks: Vec<_> = snapshot
        .config
        .guardrails
        .iter()
        .map(|guardrail| {
            serde_json::json!({
                "name": guardrail.name,
                "integration": guardrail.integration,
                "default_on": guardrail.default_on,
                "missing": guardrail.missing,
            })
        })
        .collect();
    serde_json::json!({ "callbacks": callbacks, "guardrails": checks }).to_string()
}

/// Whether a caller may use a model, and so may see it.
pub(crate) fn shown(snapshot: &Snapshot, caller: Option<&policy::Caller>, name: &str) -> bool {
    let config = &snapshot.config;
    let group = config.models.group_of(name).unwrap_or(name);
    let groups = config.access_groups.of(group);
    caller.is_some_and(|caller| caller.principal().may_use_as(name, groups).is_ok())
}

/// `GET /models`.
pub(crate) fn models(snapshot: &Snapshot, caller: Option<&policy::Caller>) -> Vec<u8> {
    let names = snapshot.config.models.names().into_iter();
    models::list(
        names
            .filter(|name| shown(snapshot, caller, name))
            .map(Model::named),
    )
}

/// `GET /models` for clients of Anthropic's SDKs: the same list in their form.
pub(crate) fn anthropic_models(snapshot: &Snapshot, caller: Option<&policy::Caller>) -> Vec<u8> {
    let names = snapshot.config.models.names().into_iter();
    llm::anthropic::models::list(names.filter(|name| shown(snapshot, caller, name)))
}

/// `GET /models/{id}`.
///
/// # Errors
/// 404 for a model that is not configured.
pub(crate) fn model(
    snapshot: &Snapshot,
    caller: Option<&policy::Caller>,
    id: &str,
) -> Result<Vec<u8>, Error> {
    let id = percent_decoded(id);
    if !snapshot.config.models.knows(&id) || !shown(snapshot, caller, &id) {
        return Err(Error::NoSuchModel(id.chars().take(100).collect()));
    }
    let mut out = Vec::new();
    Model::named(&id).write(&mut out);
    Ok(out)
}
