//! Calls that the gateway makes for a call's sake: a check that asks a model.
//!
//! Such a call has an intent, a reservation and a record of its own, whose parent is the call. It selects no checks, so it
//! has no children. Its record keeps no text: the parent's does, if any does.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use llm::protocol::Protocol;
use policy::Caller;

use super::admit::{Admitted, Parent};
use super::answer::{self, Answered};
use super::facts::Destination;
use super::inspect::Request;
use super::open::{self, Opened};
use super::reserve;
use crate::config::Deployment;
use crate::error::Error;
use crate::guardrails::Selected;
use crate::guardrails::remote::Permit;
use crate::routing::{self, Selectors};
use crate::upstream::forward;

/// What records and metrics call the route of such a call.
const ROUTE: &str = "guardrail";

/// Where it goes.
#[derive(Clone)]
pub(crate) enum Target {
    /// The model group that the body names.
    Group,
    /// A deployment that only the check uses.
    Own(Arc<Deployment>),
}

/// Makes the call; gives status and body of its answer.
///
/// # Errors
/// What refuses it before it is sent: no such model, no room in a budget, no durable intent.
pub(crate) async fn call(
    permit: &Permit,
    target: &Target,
    body: Bytes,
) -> Result<(StatusCode, Bytes), Error> {
    let (app, snapshot) = (&permit.app, &permit.snapshot);
    let protocol = Protocol::Chat;
    let parsed = llm::protocol::request(protocol, body.clone(), &snapshot.scan)
        .map_err(|_| Error::Internal)?;
    let request = Request {
        protocol,
        model: parsed.model().map(str::to_owned),
        body: parsed,
        received: body,
        stored: None,
        relayed: Vec::new(),
        output_cap: None,
        arrival: app.clock.now(),
        started: Instant::now(),
    };
    let nothing = HeaderMap::new();
    let destination = match target {
        Target::Own(deployment) => own(deployment),
        Target::Group => {
            let selectors = Selectors::read(snapshot, &request, &nothing);
            // The operator chose the model: which ones the caller may use does not matter.
            routing::begin(app, snapshot, ROUTE, &request, selectors, None)?
        }
    };
    let admitted = Admitted {
        caller: Caller::on_behalf_of(&permit.caller),
        request,
        destination,
        selected: Selected::default(),
        parent: Some(Parent {
            id: permit.id,
            rule_facts: permit.rule_facts.clone(),
            billing: permit.billing.clone(),
        }),
    };
    let reserved = reserve::for_child(app, snapshot, admitted).await?;
    let checked = match open::open(app, snapshot, ROUTE, &nothing, reserved).await? {
        Opened::Checked(checked) => *checked,
        Opened::Refused(error, _) => return Err(error),
    };
    let mut forwarded = forward::forward(checked).await;
    let reply = loop {
        match answer::answer(forwarded).await {
            Answered::Reply(reply) => break reply,
            Answered::Failed(unanswered, error) => {
                forwarded = forward::again(*unanswered, error).await;
            }
        }
    };
    let status = reply.status();
    let body = reply.into_body().collect().await;
    let Ok(body) = body;
    let body = body.to_bytes();
    Ok((status, body))
}

/// The way to a deployment that is in no group.
fn own(deployment: &Arc<Deployment>) -> Destination {
    let group: Arc<str> = Arc::from(deployment.group.as_str());
    Destination {
        requested: group.clone(),
        served_as: group.clone(),
        wildcard: false,
        group,
        upstream_model: deployment.upstream_model.name(None).into_owned(),
        deployment: deployment.clone(),
        considered: Vec::new(),
        way: None,
    }
}
