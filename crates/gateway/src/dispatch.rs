//! From a request to its handler: framing, route, and for everything but inference the answer itself.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;
use llm::protocol::{Family, Protocol};
use policy::auth::Permission;
use policy::route::{Lookup, Route, RouteId};

use crate::app::App;
use crate::error::Error;
use crate::info;
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
    let found = match Route::lookup(head.method.as_str(), head.uri.path()) {
        Lookup::Found { route, model } => Ok((route, model.map(str::to_owned))),
        Lookup::OtherMethod { allow } => Err(Error::MethodNotAllowed {
            allow: allow.as_str(),
        }),
        Lookup::Unknown => Err(Error::NotFound),
    };
    let reply = match found {
        Ok((route, model)) if route.governed => {
            // Boxed: the state of a call is large, and hyper moves the future of a request several times before it is polled.
            return Box::pin(proxy::pipeline::run(app, route, model, head, body)).await;
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
    let open_metrics = route.id == RouteId::Metrics && !snapshot.config.metrics_need_key;
    if route.permission != Permission::Public && !open_metrics {
        let caller = proxy::authenticate::authenticate(&snapshot, &head.headers)?;
        if !caller.may(route.permission) {
            return Err(Error::NotFound);
        }
    }
    let ok = |body: Vec<u8>| reply::json(StatusCode::OK, body);
    match route.id {
        RouteId::HealthLiveness => Ok(info::liveness(app)),
        RouteId::HealthReadiness => Ok(info::readiness(app)),
        RouteId::HealthReadinessDetails => {
            Ok(ok(info::readiness_details(app, &snapshot).into_bytes()))
        }
        RouteId::Health => Ok(ok(info::deployments(&snapshot).into_bytes())),
        RouteId::ActiveCallbacks => Ok(ok(info::callbacks(&snapshot).into_bytes())),
        RouteId::Models => Ok(ok(info::models(&snapshot))),
        RouteId::Model => info::model(&snapshot, model.unwrap_or_default()).map(ok),
        RouteId::Metrics => {
            let body = app.render_metrics();
            Ok(reply::text(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                body,
            ))
        }
        RouteId::ChatCompletions | RouteId::Embeddings => Err(Error::Internal),
    }
}

/// What a client of a governed route speaks; `None` for every other route.
pub(crate) fn protocol(route: RouteId) -> Option<Protocol> {
    match route {
        RouteId::ChatCompletions => Some(Protocol::Chat),
        RouteId::Embeddings => Some(Protocol::Embeddings),
        _ => None,
    }
}

/// Whose envelope a client of an unknown path most likely reads.
fn family_of(path: &str) -> Family {
    match path.starts_with("/v1/messages") || path.starts_with("/anthropic") {
        true => Family::Anthropic,
        false => Family::OpenAi,
    }
}

/// Name of a route in logs, metrics and records: its shortest path without variables.
pub(crate) fn route_name(route: &Route) -> &'static str {
    match route.id {
        RouteId::ChatCompletions => "/chat/completions",
        RouteId::Embeddings => "/embeddings",
        _ => route.paths.last().copied().unwrap_or("other"),
    }
}
