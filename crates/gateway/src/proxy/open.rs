//! Stage 5: the intent becomes durable while the local checks run.

use std::sync::Arc;

use bytes::Bytes;
use capsule::Id;
use ledger::Intent;
use llm::protocol::Protocol;

use super::call::Call;
use super::channels::Blocked;
use super::check::{self, Edited, RequestChecks};
use super::coverage::{Entry, Side};
use super::facts::{Content, Facts, Labels, Timings, UsageSource};
use super::inspect::Request;
use super::reserve::{Billing, Reserved};
use crate::app::{App, Snapshot};
use crate::config::{ContentMode, PromptHash};
use crate::content::{Keys, Subject, Wish, subject_id};
use crate::digest::{DigestKey, Purpose};
use crate::error::Error;
use crate::guardrails::remote::{Ask, Asked, Permit};
use crate::guardrails::{Check, Selected};
use crate::rules;

/// An open call with the result of its request checks. From here on the guard owns the call.
///
/// Only [`open`] makes one, after the commit of the intent and after the checks; the way out takes nothing else.
pub(crate) struct Checked {
    call: Call,
    request: Request,
    edited: Edited,
    selected: Selected,
    /// The texts as the local checks left them, where services are asked about them.
    texts: Option<Arc<Vec<Asked>>>,
}

impl Checked {
    /// The services that are asked about the request.
    pub(crate) fn remote(&self) -> Vec<Arc<Check>> {
        self.selected.remote(false).cloned().collect()
    }

    /// What they are asked: the texts as the checks before left them. `None` when the call is settled.
    pub(crate) fn ask(&self) -> Option<Ask> {
        let chat = match self.request.protocol {
            Protocol::Chat => self.edited.apply(self.request.body.doc()).ok()?,
            _ => Bytes::new(),
        };
        Some(Ask {
            permit: Arc::new(Permit::of(&self.call)?),
            texts: self.texts.clone()?,
            answer: false,
            chat,
            scores: scores(&self.call.facts()?.coverage, false),
            vault: self
                .selected
                .vault
                .as_ref()
                .map(|restoring| restoring.vault.clone()),
            delivery: None,
        })
    }

    /// Puts texts in place that a service has replaced, one for each, and has the local checks look at them again.
    ///
    /// # Errors
    /// What a local check refuses, with its name.
    pub(crate) fn rewrite(&mut self, texts: &[String]) -> Result<(), Blocked> {
        let Some(facts) = self.call.facts_mut() else {
            return Err(Blocked {
                check: Arc::from("internal"),
                error: Box::new(Error::Internal),
            });
        };
        let snapshot = facts.snapshot.clone();
        let (request, selected) = (&self.request, &self.selected);
        let again = check::check_again(&snapshot, &facts.digests, request, selected, texts);
        facts.coverage.extend(again.coverage);
        facts.sent_text_digest = again.sent_text;
        facts.sent_text_bytes = again.text_bytes;
        if facts.mode == ContentMode::Masked {
            let kept = std::mem::take(&mut facts.content.request);
            facts.content.request = left(&snapshot, request, &again.edited, kept);
        }
        self.texts = again.texts;
        match again.edited {
            Ok(edited) => {
                self.edited = edited;
                Ok(())
            }
            Err(error) => {
                let code = error.public().code;
                Err(Blocked {
                    check: again.blocked_by.unwrap_or_else(|| Arc::from(code)),
                    error: Box::new(error),
                })
            }
        }
    }

    pub(crate) fn call_mut(&mut self) -> &mut Call {
        &mut self.call
    }

    /// Taken apart once, by the forward stage.
    pub(crate) fn into_parts(self) -> (Call, Request, Edited, Selected) {
        (self.call, self.request, self.edited, self.selected)
    }
}

/// The scores that local checks gave on a side.
pub(crate) fn scores(coverage: &[Entry], answer: bool) -> Vec<(Arc<str>, u16)> {
    let of = coverage
        .iter()
        .filter(|entry| matches!(entry.side, Side::Answer { .. }) == answer);
    of.filter_map(|entry| Some((entry.check.clone(), entry.score?.1)))
        .collect()
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
    let keeping = keeping(app, snapshot, headers, &admitted).await?;
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
    let mut facts = facts(
        app, snapshot, route, headers, id, &admitted, billing, keeping,
    );
    let scope = (
        admitted.caller.tenant(),
        facts.labels.session.as_deref().unwrap_or(&facts.key_id),
    );
    let body = &admitted.request.body;
    let texts = (body.doc(), body.transcript());
    admitted.selected.prepare(&app.digests, scope, texts);
    let checks = check::check_request(
        snapshot,
        &facts.digests,
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
    if facts.mode == ContentMode::Masked {
        facts.content.request = left(snapshot, &admitted.request, &edited, facts.content.request);
    }
    facts.rule_facts = match &mut admitted.parent {
        Some(parent) => parent.rule_facts.take(),
        None => rules::facts(
            &snapshot.rules,
            admitted.caller.principal(),
            admitted.request.body.as_ref(),
            &facts,
        ),
    };
    let (edited, blocked_by) =
        match edited.map(|edited| (edited, rules::ask(&snapshot.rules, &mut facts))) {
            Ok((edited, Ok(()))) => (Ok(edited), blocked_by),
            Ok((_, Err(error))) => {
                let rule = facts.rules.first().map(|rule| rules::named(rule));
                facts.sent_text_digest = None;
                (Err(error), rule)
            }
            Err(error) => (Err(error), blocked_by),
        };
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

#[expect(
    clippy::too_many_arguments,
    reason = "one value of each stage; a struct would only rename them"
)]
fn facts(
    app: &App,
    snapshot: &Arc<Snapshot>,
    route: &'static str,
    headers: &http::HeaderMap,
    id: Id,
    admitted: &super::admit::Admitted,
    billing: Billing,
    keeping: Keeping,
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
    let (agent, agent_claimed) = agent(&admitted.caller, request.body.as_ref());
    Facts {
        id,
        parent: admitted.parent.as_ref().map(|parent| parent.id),
        arrival: request.arrival,
        started: request.started,
        route,
        call_type: request.protocol.call_type(),
        stream: request.body.stream(),
        billed: request.protocol.is_billed(),
        snapshot: snapshot.clone(),
        key_id: Arc::from(admitted.caller.key_id().as_str()),
        agent,
        agent_claimed,
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
        request_digest: keeping
            .digests
            .digest("", Purpose::Request, &request.received),
        request_bytes: request.received.len() as u64,
        prompt_hash: prompt_hash(&keeping.digests, snapshot, request.body.as_ref()),
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
        content: content(
            keeping.mode,
            request.body.as_ref(),
            [session, header("x-litellm-trace-id")],
        ),
        mode: keeping.mode,
        rules: Vec::new(),
        rule_facts: None,
        consent: keeping.consent,
        analytics: keeping.analytics,
        keys: keeping.keys,
        digests: keeping.digests,
        dropped_params: Vec::new(),
        opened_switches: Vec::new(),
    }
}

/// Longest name of an agent that a request may give.
const LONGEST_AGENT: usize = 100;

/// The agent of a call, and whether only the request says so: one that the request names and the key may name, else the first
/// that the key is bound to, else the alias of key or team.
fn agent(
    caller: &policy::auth::Caller,
    body: &dyn llm::protocol::Request,
) -> (Option<Box<str>>, bool) {
    let principal = caller.principal();
    let Some(key) = principal.key() else {
        return (None, false);
    };
    let bound = key.key.as_deref().map(|part| &part.agents);
    if let Some(bound) = bound.filter(|bound| !bound.is_empty()) {
        let named = body
            .member("metadata")
            .and_then(|metadata| metadata.get("agent_name")?.as_str());
        let may = |name: &str| {
            let listed = bound
                .iter()
                .any(|agent| **agent == *name || &**agent == "*");
            listed && !name.is_empty() && name.len() <= LONGEST_AGENT
        };
        if let Some(name) = named.filter(|name| may(name)) {
            return (Some(name.into_owned().into()), true);
        }
        let first = bound.iter().find(|agent| &***agent != "*");
        if first.is_some() {
            return (first.cloned(), false);
        }
    }
    let alias = |row: Option<&Arc<policy::identity::Entity>>| row?.alias.clone();
    (alias(Some(key)).or_else(|| alias(principal.team())), false)
}

/// What is kept of a call, decided before anything of it is digested.
struct Keeping {
    mode: ContentMode,
    consent: Option<Arc<policy::identity::Entity>>,
    analytics: Option<bool>,
    keys: Option<Arc<Keys>>,
    digests: Arc<DigestKey>,
}

/// The mode, the wish of the call, and the keys of its subject.
///
/// # Errors
/// [`Error::AuditUnavailable`] when content is to be kept and there are no keys for it.
async fn keeping(
    app: &App,
    snapshot: &Snapshot,
    headers: &http::HeaderMap,
    admitted: &super::admit::Admitted,
) -> Result<Keeping, Error> {
    let (request, caller) = (&admitted.request, admitted.caller.principal());
    if admitted.parent.is_some() {
        // The record of the call for whose sake it is made keeps the text, if any does.
        return Ok(Keeping {
            mode: ContentMode::Hash,
            consent: None,
            analytics: None,
            keys: None,
            digests: app.digests.clone(),
        });
    }
    let setting = &snapshot.config.content.subject;
    let subject = || {
        let subject = Subject::of(setting, caller, request.body.as_ref());
        subject_id(&app.digests, caller.tenant(), subject.kind, &subject.name)
    };
    let consent = app.identity.consent(caller.tenant(), || subject().uuid());
    let wish = Wish::read(headers, request.body.as_ref()).with_registry(consent.as_deref());
    let mode = wish.mode(snapshot.config.content_mode);
    let keys = if mode.is_sealed() {
        let id = subject();
        let keys = app.contents.keeper.keys(id, request.arrival.micros());
        Some(keys.await.map_err(|_| Error::AuditUnavailable)?)
    } else {
        None
    };
    let digests = keys
        .as_ref()
        .map_or_else(|| app.digests.clone(), |keys| keys.digests.clone());
    Ok(Keeping {
        mode,
        consent,
        analytics: wish.analytics,
        keys,
        digests,
    })
}

/// The text of the request that is kept, and the client's labels in the sealed modes.
fn content(
    mode: ContentMode,
    body: &dyn llm::protocol::Request,
    labels: [Option<&str>; 2],
) -> Content {
    if mode == ContentMode::Hash {
        return Content::default();
    }
    let request = body.last_user_text();
    let [session, trace] = labels.map(|label| label.map(str::to_owned));
    Content {
        request: request.map_or_else(String::new, std::borrow::Cow::into_owned),
        answer: String::new(),
        labels: match mode.is_sealed() {
            true => [
                body.user().map(std::borrow::Cow::into_owned),
                session,
                trace,
            ],
            false => [None, None, None],
        },
    }
}

/// The last user message as the checks left it; nothing of a request that they refused.
fn left(
    snapshot: &Snapshot,
    request: &Request,
    edited: &Result<Edited, Error>,
    original: String,
) -> String {
    match edited {
        Err(_) => String::new(),
        Ok(edited) if !edited.has_texts() => original,
        Ok(edited) => edited
            .apply(request.body.doc())
            .ok()
            .and_then(|body| llm::protocol::request(request.protocol, body, &snapshot.scan).ok())
            .and_then(|body| body.last_user_text().map(std::borrow::Cow::into_owned))
            .unwrap_or_default(),
    }
}

/// Digest of the canonical prompt as the client sent it: keyed, or the reference's plain SHA3-256 by setting.
fn prompt_hash(
    digests: &DigestKey,
    snapshot: &Snapshot,
    body: &dyn llm::protocol::Request,
) -> Option<String> {
    let node = body.prompt()?;
    let mut canonical = Vec::with_capacity(node.raw().len());
    super::canonical::write(node, &mut canonical)?;
    Some(match snapshot.config.prompt_hash {
        PromptHash::Keyed => digests.digest("", Purpose::Prompt, &canonical).hex(),
        PromptHash::Reference => capsule::Hash::of(&canonical).hex(),
    })
}
