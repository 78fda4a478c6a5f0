//! From a request to its handler: framing, route, and for everything but inference the answer itself.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;
use llm::protocol::{Family, Protocol};
use policy::Caller;
use policy::auth::Permission;
use policy::route::{Lookup, Route, RouteId};

use crate::app::{App, Snapshot};
use crate::error::Error;
use crate::guardrails;
use crate::info;
use crate::manage;
use crate::model_info;
use crate::proxy;
use crate::server::reply::{self, Reply};
use crate::server::{framing, read};

/// Answers one request. Never fails: every error becomes a response.
pub(crate) async fn handle(app: Arc<App>, request: http::Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    if let Err(error) = framing::check(&head) {
        // Where its body ends is not certain, so none of it is read.
        return app.refuse(Family::OpenAi, error, "framing", None);
    }
    if let Err(error) = proxy::authenticate::admit_address(&app, &head) {
        let reply = app.refuse(family_of(head.uri.path()), error, "address", None);
        return read::discard(&head.headers, body, reply).await;
    }
    let found = match Route::lookup(head.method.as_str(), head.uri.path()) {
        Lookup::Found { route, model } => Ok((route, model.map(str::to_owned))),
        Lookup::OtherMethod { allow } => Err(Error::MethodNotAllowed { allow }),
        Lookup::Unknown => return manage::dispatch(app, head, body).await,
    };
    let reply = match found {
        Ok((route, model)) if route.governed => {
            // Boxed: the state of a call is large, and hyper moves the future of a request several times before it is polled.
            return Box::pin(proxy::pipeline::run(app, route, model, head, body)).await;
        }
        Ok((route, _)) if route.id == RouteId::ReloadConfig => {
            let name = route_name(route);
            reload(&app, route, &head)
                .await
                .unwrap_or_else(|error| app.refuse(Family::OpenAi, error, name, None))
        }
        Ok((route, _)) if matches!(route.id, RouteId::TokenCounter | RouteId::ApplyGuardrail) => {
            return with_body(app, route, head, body).await;
        }
        Ok((route, model)) => ungoverned(&app, route, model.as_deref(), &head)
            .unwrap_or_else(|error| app.refuse(Family::OpenAi, error, route_name(route), None)),
        Err(error) => app.refuse(family_of(head.uri.path()), error, "other", None),
    };
    read::discard(&head.headers, body, reply).await
}

/// Requests to the health listener: the two public probes and nothing else.
pub(crate) fn handle_health(app: &App, head: &Parts) -> Reply {
    match Route::lookup(head.method.as_str(), head.uri.path()) {
        Lookup::Found { route, .. } if route.permission == Permission::Public => {
            ungoverned(app, route, None, head).unwrap_or_else(|error| reply::error(&error, None))
        }
        Lookup::Found { route, .. } if route.id == RouteId::Metrics => {
            ungoverned(app, route, None, head).unwrap_or_else(|error| reply::error(&error, None))
        }
        _ => reply::error(&Error::NotFound, None),
    }
}

fn ungoverned(
    app: &App,
    route: &'static Route,
    model: Option<&str>,
    head: &Parts,
) -> Result<Reply, Error> {
    let snapshot = app.snapshot();
    let mut who = None;
    let open_metrics = route.id == RouteId::Metrics && !snapshot.config.metrics_need_key;
    if route.permission != Permission::Public && !open_metrics {
        who = Some(may(app, &snapshot, route, head)?);
    }
    let ok = |body: Vec<u8>| reply::json(StatusCode::OK, body);
    match route.id {
        RouteId::HealthLiveness => Ok(info::liveness(app)),
        RouteId::HealthReadiness => Ok(info::readiness(app)),
        RouteId::HealthReadinessDetails => {
            Ok(ok(info::readiness_details(app, &snapshot).into_bytes()))
        }
        RouteId::Health => Ok(ok(info::deployments(&snapshot).into_bytes())),
        RouteId::Guardrails => Ok(ok(guardrails::routes::list(&snapshot))),
        RouteId::ActiveCallbacks => Ok(ok(info::callbacks(&snapshot).into_bytes())),
        RouteId::Models if head.headers.contains_key("anthropic-version") => {
            Ok(ok(info::anthropic_models(&snapshot, who.as_ref())))
        }
        RouteId::Models => Ok(ok(info::models(&snapshot, who.as_ref()))),
        RouteId::ModelInfo => Ok(ok(
            model_info::deployments(&snapshot, who.as_ref()).into_bytes()
        )),
        RouteId::ModelGroupInfo => {
            let query = head.uri.query().unwrap_or_default();
            Ok(ok(
                model_info::groups(&snapshot, who.as_ref(), query).into_bytes()
            ))
        }
        RouteId::Model => info::model(&snapshot, who.as_ref(), model.unwrap_or_default()).map(ok),
        RouteId::Metrics => {
            let body = app.render_metrics();
            Ok(reply::text(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                body,
            ))
        }
        // Governed routes and the one with a body have ways of their own.
        RouteId::ChatCompletions
        | RouteId::Completions
        | RouteId::Embeddings
        | RouteId::Moderations
        | RouteId::Messages
        | RouteId::CountTokens
        | RouteId::Responses
        | RouteId::ResponseGet
        | RouteId::ResponseDelete
        | RouteId::ResponseCancel
        | RouteId::ResponseInputItems
        | RouteId::ReloadConfig
        | RouteId::TokenCounter
        | RouteId::ApplyGuardrail => Err(Error::Internal),
    }
}

/// The caller, if it may use the route. A route that a caller may not use does not exist for it.
fn may(app: &App, snapshot: &Snapshot, route: &Route, head: &Parts) -> Result<Caller, Error> {
    let caller = proxy::authenticate::authenticate(app, snapshot, head)?;
    if !caller.may(route.permission) {
        return Err(Error::NotFound);
    }
    let group = policy::identity::RouteGroup::Info;
    caller.principal().may_call(route.paths, group)?;
    Ok(caller)
}

/// Reads the configuration again. A body is read to its end and means nothing.
async fn reload(app: &App, route: &'static Route, head: &Parts) -> Result<Reply, Error> {
    may(app, &app.snapshot(), route, head)?;
    let restart = app.reloads.reload().await?;
    let body = serde_json::json!({
        "status": "reloaded",
        "config_digest": app.snapshot().digest_hex.as_ref(),
        "restart_needed_for": restart,
    });
    Ok(reply::json(StatusCode::OK, body.to_string().into_bytes()))
}

/// The ungoverned routes with a body: it is read, looked at here and forgotten.
async fn with_body(app: Arc<App>, route: &'static Route, head: Parts, body: Incoming) -> Reply {
    let name = route_name(route);
    let snapshot = app.snapshot();
    if let Err(error) = may(&app, &snapshot, route, &head) {
        let reply = app.refuse(Family::OpenAi, error, name, None);
        return read::discard(&head.headers, body, reply).await;
    }
    let answer = match route.id {
        RouteId::ApplyGuardrail => guardrails::routes::apply(&snapshot, body).await,
        _ => model_info::token_counter(&snapshot, body).await,
    };
    match answer {
        Ok(body) => reply::json(StatusCode::OK, body),
        Err(error) => app.refuse(Family::OpenAi, error, name, None),
    }
}

/// What a client of a governed route speaks; `None` for every other route.
pub(crate) fn protocol(route: RouteId) -> Option<Protocol> {
    match route {
        RouteId::ChatCompletions => Some(Protocol::Chat),
        RouteId::Completions => Some(Protocol::Completions),
        RouteId::Embeddings => Some(Protocol::Embeddings),
        RouteId::Moderations => Some(Protocol::Moderations),
        RouteId::Messages => Some(Protocol::Messages),
        RouteId::CountTokens => Some(Protocol::CountTokens),
        RouteId::Responses => Some(Protocol::Responses),
        RouteId::ResponseGet => Some(Protocol::ResponseGet),
        RouteId::ResponseDelete => Some(Protocol::ResponseDelete),
        RouteId::ResponseCancel => Some(Protocol::ResponseCancel),
        RouteId::ResponseInputItems => Some(Protocol::ResponseInputItems),
        RouteId::Models
        | RouteId::Model
        | RouteId::ModelInfo
        | RouteId::ModelGroupInfo
        | RouteId::TokenCounter
        | RouteId::Guardrails
        | RouteId::ApplyGuardrail
        | RouteId::HealthLiveness
        | RouteId::HealthReadiness
        | RouteId::HealthReadinessDetails
        | RouteId::Health
        | RouteId::ActiveCallbacks
        | RouteId::ReloadConfig
        | RouteId::Metrics => None,
    }
}

/// A path below a pass-through prefix that is no route could carry text that nobody reads: it is refused by name.
pub(crate) fn unknown(path: &str) -> Error {
    match path.starts_with("/openai/") || path.starts_with("/anthropic/") {
        true => Error::NoSuchPassThrough,
        false => Error::NotFound,
    }
}

/// Whose envelope a client of an unknown path most likely reads.
pub(crate) fn family_of(path: &str) -> Family {
    match path.starts_with("/v1/messages") || path.starts_with("/anthropic") {
        true => Family::Anthropic,
        false => Family::OpenAi,
    }
}

/// Name of a route in logs, metrics and records: its shortest path without variables.
pub(crate) fn route_name(route: &Route) -> &'static str {
    match route.id {
        RouteId::ChatCompletions => "/chat/completions",
        RouteId::Completions => "/completions",
        RouteId::Embeddings => "/embeddings",
        RouteId::Moderations => "/moderations",
        RouteId::Messages => "/v1/messages",
        RouteId::CountTokens => "/v1/messages/count_tokens",
        RouteId::Responses => "/responses",
        RouteId::ResponseGet | RouteId::ResponseDelete => "/responses/{id}",
        RouteId::ResponseCancel => "/responses/{id}/cancel",
        RouteId::ResponseInputItems => "/responses/{id}/input_items",
        RouteId::Guardrails => "/guardrails/list",
        RouteId::ApplyGuardrail => "/guardrails/apply_guardrail",
        RouteId::Models => "/models",
        RouteId::Model => "/models/{model...}",
        _ => route.paths.last().copied().unwrap_or("other"),
    }
}
