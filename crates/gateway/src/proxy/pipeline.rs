//! A governed call from head to answer: the stages in order, each giving the value that the next one demands.

use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use hyper::body::Incoming;
use llm::protocol::Family;
use policy::route::Route;

use super::answer::Answered;
use super::open::Opened;
use super::{admit, answer, authenticate, inspect, open, reserve};
use crate::app::App;
use crate::dispatch::{protocol, route_name};
use crate::error::Error;
use crate::guardrails::remote;
use crate::server::read;
use crate::server::reply::{self, Reply};
use crate::upstream::forward;

/// Runs a call of a governed route.
///
/// The order is the promise: no body is read before the caller is known, nothing is reserved before the call is allowed,
/// nothing is sent before the intent is durable and the checks have run on the very bytes that are sent.
pub(crate) async fn run(
    app: Arc<App>,
    route: &'static Route,
    path_model: Option<String>,
    head: Parts,
    body: Incoming,
) -> Reply {
    let name = route_name(route);
    let Some(protocol) = protocol(route.id) else {
        return app.refuse(Family::OpenAi, Error::Internal, name, None);
    };
    let family = protocol.family();
    let arrival = (app.clock.now(), Instant::now());
    // One snapshot for the whole call, whatever is reloaded meanwhile.
    let snapshot = app.snapshot();
    // 401 before anything is made of the body: an unknown caller cannot make us keep or parse it.
    let caller = match authenticate::authenticate(&app, &snapshot, &head)
        .and_then(|caller| authenticate::may_infer(&snapshot, &caller, route).map(|()| caller))
    {
        Ok(caller) => caller,
        Err(error) => {
            let stranger = authenticate::stranger(&app, &snapshot, &head);
            let reply = app.refuse_stranger(family, error, name, &stranger);
            return read::discard(&head.headers, body, reply).await;
        }
    };
    let key_id = caller.key_id().as_str().to_owned();
    let refuse = |error: Error| app.refuse(family, error, name, Some(&key_id));
    let place = inspect::Place {
        protocol,
        route: name,
        in_path: path_model.as_deref(),
        head: &head,
        caller: &caller,
    };
    let request = match inspect::inspect(&app, &snapshot, &place, arrival, body).await {
        Ok(request) => request,
        Err(error) => return refuse(error),
    };
    let admitted = match admit::admit(&app, &snapshot, name, &head.headers, caller, request) {
        Ok(admitted) => admitted,
        Err(error) => return refuse(error),
    };
    let reserved = match reserve::reserve(&app, &snapshot, &head, admitted).await {
        Ok(reserved) => reserved,
        Err(error) => return refuse(error),
    };
    // From here on the call has an intent, so it ends in exactly one record by way of its guard.
    let checked = match open::open(&app, &snapshot, name, &head.headers, reserved).await {
        Ok(Opened::Checked(checked)) => *checked,
        Ok(Opened::Refused(error, id)) => {
            return reply::error_in(family, &error, Some(&id.to_string()));
        }
        Err(error) => return refuse(error),
    };
    let mut forwarded = match remote::request::forward(checked).await {
        Ok(forwarded) => forwarded,
        Err(reply) => return reply,
    };
    loop {
        match answer::answer(forwarded).await {
            Answered::Reply(reply) => return reply,
            // Nothing was delivered: another deployment may answer.
            Answered::Failed(unanswered, error) => {
                forwarded = forward::again(*unanswered, error).await;
            }
        }
    }
}
