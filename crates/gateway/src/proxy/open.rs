//! Stage 5: the intent becomes durable while the local checks run.

use std::sync::Arc;

use capsule::Id;
use ledger::Intent;

use super::call::Call;
use super::check::{self, Edited, RequestChecks};
use super::facts::{Content, Facts, Labels, Timings, UsageSource};
use super::inspect::Request;
use super::reserve::{Billing, Reserved};
use crate::app::{App, Snapshot};
use crate::config::{ContentMode, PromptHash};
use crate::digest::Purpose;
use crate::error::Error;
use crate::guardrails::remote::{Ask, Asked, Permit};
use crate::guardrails::{Check, Selected};

/// An open call with the result of its request checks. From here on the guard owns the call.
///
/// Only [`open`] makes one, after the commit of the intent and after the checks; the way out takes nothing else.
pub(crate) struct Checked {
    call: Call,
    request: Request,
    edited: Edited,
    selected: Selected,
    /// The texts as the local checks left them, where services are asked about them.
    texts: Option<Vec<Asked>>,
}

impl Checked {
    /// What the services are asked about the request, and which; `None` when none is selected.
    pub(crate) fn questions(&mut self) -> Option<(Ask, Vec<Arc<Check>>)> {
        let texts = self.texts.take()?;
        let permit = Permit::of(&self.call)?;
        let checks = self.selected.remote(false).cloned().collect();
        let ask = Ask {
            permit,
            texts,
            answer: false,
        };
        Some((ask, checks))
    }

    pub(crate) fn call_mut(&mut self) -> &mut Call {
        &mut self.call
    }

    /// Taken apart once, by the forward stage.
    pub(crate) fn into_parts(self) -> (Call, Request, Edited, Selected) {
        (self.call, self.request, self.edited, self.selected)
    }
}

/// Either the checked call, or a call that its checks refused (already settled).
pub(crate) enum Opened {
    Checked(Box<Checked>),
    Refused(Error, Id),
}

/// Commits the intent, runs the request checks meanwhile.
///
/// # Errors
/// [`Error::AuditUnavailable`] when the intent is not durable: nothing was sent anywhere.
pub(crate) async fn open(
    app: &Arc<App>,
    snapshot: &Arc<Snapshot>,
    route: &'static str,
    headers: &http::HeaderMap,
    reserved: Reserved,
) -> Result<Opened, Error> {
    let Reserved {
        mut admitted,
        held,
        settle,
        billing,
        id,
    } = reserved;
    let payload = super::recover::payload(&admitted, &held, &billing, route);
    let opening = app.ledger.open(
        settle,
        Intent {
            id,
            opened_at: admitted.request.arrival,
            payload,
        },
    );
    // The commit runs on its own thread now; the checks run here.
    let mut facts = facts(app, snapshot, route, headers, id, &admitted, billing);
    let scope = (
        admitted.caller.tenant(),
        facts.labels.session.as_deref().unwrap_or(&facts.key_id),
    );
    let body = &admitted.request.body;
    let texts = (body.doc(), body.transcript());
    admitted.selected.prepare(&app.digests, scope, texts);
    let checks = check::check_request(
        snapshot,
        &app.digests,
        &admitted.request,
        &admitted.selected,
    );
    facts.timings.checked = facts.elapsed();
    let opened = opening.await.map_err(|error| {
        tracing::error!(%error, "intent refused");
        Error::AuditUnavailable
    })?;
    facts.timings.opened = facts.elapsed();
    let RequestChecks {
        edited,
        coverage,
        sent_text,
        not_inspected,
        opened_switches,
        blocked_by,
        text_bytes,
        texts,
    } = checks;
    facts.coverage = coverage;
    facts.sent_text_digest = sent_text;
    facts.sent_text_bytes = text_bytes;
    facts.not_inspected = not_inspected;
    facts.opened_switches = opened_switches;
    facts.destination = admitted.destination;
    let call = Call::new(app.clone(), opened, held, facts);
    let edited = edited.and_then(|edited| match call.is_held() {
        true => Ok(edited),
        // Between reservation and intent the shared limits were lost: nobody counts this call, so it is not sent.
        false => Err(Error::LimitsUnavailable),
    });
    match edited {
        Ok(edited) => Ok(Opened::Checked(Box::new(Checked {
            call,
            request: admitted.request,
            edited,
            selected: admitted.selected,
            texts,
        }))),
        Err(error) => {
            let end = match blocked_by {
                Some(check) => super::facts::End::Blocked(check),
                None => super::facts::End::Blocked(Arc::from(error.public().code)),
            };
            drop(call.finish(end, error.public().status.as_u16()));
            Ok(Opened::Refused(error, id))
        }
    }
}

fn facts(
    app: &App,
    snapshot: &Arc<Snapshot>,
    route: &'static str,
    headers: &http::HeaderMap,
    id: Id,
    admitted: &super::admit::Admitted,
    billing: Billing,
) -> Facts {
    let request = &admitted.request;
    let label = |text: &str| {
        app.digests
            .digest(admitted.caller.tenant(), Purpose::Label, text.as_bytes())
            .uuid()
    };
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .filter(|text| !text.is_empty())
    };
    let session = [
        "x-session-id",
        "x-litellm-session-id",
        "x-claude-code-session-id",
    ]
    .into_iter()
    .find_map(header);
    Facts {
        id,
        arrival: request.arrival,
        started: request.started,
        route,
        call_type: request.protocol.call_type(),
        stream: request.body.stream(),
        billed: request.protocol.is_billed(),
        snapshot: snapshot.clone(),
        key_id: Arc::from(admitted.caller.key_id().as_str()),
        agent: bound_agent(&admitted.caller),
        tenant: admitted.caller.tenant().to_owned(),
        billing,
        destination: super::facts::Destination {
            requested: admitted.destination.requested.clone(),
            served_as: admitted.destination.served_as.clone(),
            group: admitted.destination.group.clone(),
            wildcard: admitted.destination.wildcard,
            deployment: admitted.destination.deployment.clone(),
            upstream_model: String::new(),
            considered: Vec::new(),
            way: None,
        },
        labels: Labels {
            user: request.body.user().as_deref().map(label),
            session: session.map(label),
            trace: header("x-litellm-trace-id").map(label),
        },
        request_digest: app.digests.digest("", Purpose::Request, &request.received),
        request_bytes: request.received.len() as u64,
        prompt_hash: prompt_hash(app, snapshot, request.body.as_ref()),
        sent_digest: None,
        sent_text_digest: None,
        response_digest: None,
        delivered: Vec::new(),
        delivered_bytes: 0,
        sent_text_bytes: 0,
        delivered_text_bytes: 0,
        coverage: Vec::new(),
        not_inspected: Vec::new(),
        usage: llm::usage::Usage::default(),
        usage_source: UsageSource::None,
        asked_tools: Vec::new(),
        finish_reasons: Vec::new(),
        attempts: Vec::new(),
        timings: Timings {
            inspected: u64::try_from(request.started.elapsed().as_micros()).unwrap_or(0),
            ..Timings::default()
        },
        content: content(snapshot, request.body.as_ref()),
        dropped_params: Vec::new(),
        opened_switches: Vec::new(),
    }
}

/// The first agent that the key is bound to.
fn bound_agent(caller: &policy::auth::Caller) -> Option<Box<str>> {
    let key = caller.principal().key()?.key.as_deref()?;
    key.agents.first().cloned()
}

fn content(snapshot: &Snapshot, body: &dyn llm::protocol::Request) -> Content {
    let request = match snapshot.config.content_mode {
        ContentMode::Full => body.last_user_text(),
        _ => None,
    };
    Content {
        request: request.map_or_else(String::new, std::borrow::Cow::into_owned),
        answer: String::new(),
    }
}

/// Digest of the canonical prompt as the client sent it: keyed, or the reference's plain SHA3-256 by setting.
fn prompt_hash(
    app: &App,
    snapshot: &Snapshot,
    body: &dyn llm::protocol::Request,
) -> Option<String> {
    let node = body.prompt()?;
    let mut canonical = Vec::with_capacity(node.raw().len());
    super::canonical::write(node, &mut canonical)?;
    Some(match snapshot.config.prompt_hash {
        PromptHash::Keyed => app.digests.digest("", Purpose::Prompt, &canonical).hex(),
        PromptHash::Reference => capsule::Hash::of(&canonical).hex(),
    })
}
