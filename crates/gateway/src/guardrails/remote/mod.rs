//! Checks that ask a service: what they see, what they may say, and what their silence means.
//!
//! They run after the local checks, on the texts these left. Those that may replace texts run one after the other, and the
//! local checks look at what they made of it; those that only judge run all at once. Each has a deadline, a number of
//! questions at a time and a breaker ([`manner`]). A service that does not answer, or not in its own format, refuses the call
//! unless a switch of its guardrail says otherwise, and then the record says so.

mod breaker;
mod generic;
pub(crate) mod judge;
mod manner;
mod model;
mod moderation;
pub(crate) mod presidio;
pub(crate) mod request;
mod service;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use policy::identity::Principal;
use tokio::time::Instant;

use super::{Refusal, Refused, Restore};
use crate::app::{App, Snapshot};
use crate::digest::{Digest, DigestKey, Purpose};
use crate::proxy::call::Call;
use crate::proxy::coverage::{Delivery, Side};
use crate::proxy::reserve::Billing;

pub(crate) use generic::build as generic;
pub(crate) use judge::{Notes, judge};
pub(crate) use manner::Manner;
pub(crate) use model::build as model;
pub(crate) use moderation::build as moderation;

/// A future on the heap.
pub(crate) type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Proof that the intent of a call is committed and its reservations are held: only an open call gives one, and nothing is
/// asked without it.
pub(crate) struct Permit {
    /// The gateway, with its way out.
    pub(crate) app: Arc<App>,
    /// The call.
    pub(crate) id: capsule::Id,
    /// What the call uses.
    pub(crate) snapshot: Arc<Snapshot>,
    /// Who calls.
    pub(crate) caller: Principal,
    /// Public id of the key.
    pub(crate) key_id: Arc<str>,
    /// Who the call counts against.
    pub(crate) billing: Billing,
    /// Model group that serves.
    pub(crate) group: Arc<str>,
    /// The model at the provider.
    pub(crate) model: String,
    /// The client's trace, as its pseudonym.
    pub(crate) trace: Option<String>,
    /// What rules saw of the call.
    pub(crate) rule_facts: Option<Box<policy::rules::Facts>>,
    /// The digests of the call's texts.
    pub(crate) digests: Arc<DigestKey>,
}

impl Permit {
    /// `None` for a call that is settled.
    pub(crate) fn of(call: &Call) -> Option<Self> {
        let (facts, held) = (call.facts()?, call.held()?);
        Some(Self {
            app: call.app().clone(),
            id: facts.id,
            snapshot: facts.snapshot.clone(),
            caller: held.caller().clone(),
            key_id: facts.key_id.clone(),
            billing: facts.billing.clone(),
            group: facts.destination.group.clone(),
            model: facts.destination.upstream_model.clone(),
            trace: facts.labels.trace.clone(),
            rule_facts: facts.rule_facts.clone(),
            digests: facts.digests.clone(),
        })
    }
}

/// One text that a service is asked about.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) side: Side,
    /// Whose it is, by its wire name; `assistant` in answers.
    pub(crate) role: &'static str,
    pub(crate) text: String,
    /// Digest of the text as the checks before left it; for requests of all texts together.
    pub(crate) seen: Digest,
}

/// What a service is asked. The texts are those that the local checks left.
pub(crate) struct Ask {
    pub(crate) permit: Arc<Permit>,
    /// The texts, in the order of the transcript; for answers in the order in which they stand there.
    pub(crate) texts: Arc<Vec<Asked>>,
    /// In the answer, not the request.
    pub(crate) answer: bool,
    /// The request as the local checks left it, where it is a chat; empty elsewhere.
    pub(crate) chat: Bytes,
    /// Scores that local checks gave on this side, in thousandths.
    pub(crate) scores: Vec<(Arc<str>, u16)>,
    /// Where masked values wait for the answer.
    pub(crate) vault: Option<Arc<guard::Vault>>,
    /// How an answer is held meanwhile.
    pub(crate) delivery: Option<Delivery>,
}

impl Ask {
    /// The sides that the texts are of, each with the texts' places in the list, in order.
    pub(crate) fn sides(&self) -> Vec<(&Side, Vec<usize>)> {
        let mut sides: Vec<(&Side, Vec<usize>)> = Vec::new();
        for (at, asked) in self.texts.iter().enumerate() {
            match sides.iter_mut().find(|(side, _)| **side == asked.side) {
                Some((_, places)) => places.push(at),
                None => sides.push((&asked.side, vec![at])),
            }
        }
        sides
    }

    /// Digest of one side when its texts have been replaced by these.
    pub(crate) fn left(&self, side: &Side, texts: &[&str]) -> Digest {
        let mut running = self.permit.digests.begin("", Purpose::Text);
        for text in texts {
            match side {
                Side::Request => running.update_item(text),
                // The pieces of a channel are one text.
                Side::Answer { .. } => running.update(text.as_bytes()),
            }
        }
        running.finish()
    }
}

/// What was found and how often, by kind.
pub(crate) type Kinds = Vec<(String, u64)>;

/// What a service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing against it.
    Pass,
    /// Something found that does not refuse.
    Alert(Kinds),
    /// It has replaced texts: as many as it was asked about, in the same order.
    Replace(Vec<String>, Kinds),
    /// It refuses: the kinds, and the reason that the client may read.
    Block { found: Kinds, reason: String },
}

/// What a service said, and the keyed digest of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) said: Said,
    pub(crate) evidence: Option<Digest>,
}

/// Why a service said nothing that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The deadline passed.
    Timeout,
    /// No connection, or a status from 500 on.
    Unreachable,
    /// An answer in another format.
    Malformed,
    /// 401 or 403: the gateway's own key is wrong.
    Denied,
    /// Too many questions at once, or the service is known to be down: nothing was sent.
    Busy,
}

impl Silence {
    /// The word for records and metrics.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Malformed => "malformed answer",
            Self::Denied => "access denied",
            Self::Busy => "too busy",
        }
    }

    /// The switch that let a call pass, for records and metrics.
    pub(crate) const fn switch(self) -> &'static str {
        match self {
            Self::Timeout => "fail_open_timeout",
            Self::Unreachable => "fail_open_unreachable",
            Self::Malformed => "fail_open_malformed",
            Self::Denied => "fail_open_denied",
            Self::Busy => "fail_open_busy",
        }
    }
}

/// A check that asks a service.
pub(crate) trait Remote: Send + Sync {
    /// Asks, at the latest until then.
    fn ask<'c>(&'c self, ask: &'c Ask, until: Instant) -> BoxFuture<'c, Result<Answer, Silence>>;

    /// How it is asked: deadline, switches, breaker.
    fn manner(&self) -> &Manner;

    /// Who judges: the host of the service, or the model.
    fn asserted_by(&self) -> &Arc<str>;

    /// Whether it may replace texts.
    fn edits(&self) -> bool {
        false
    }

    /// Whether what it masks in a request comes back in the answer.
    fn restores(&self) -> Option<Restore> {
        None
    }

    /// What the client is told when the service refuses.
    fn refusal(&self, refused: &Refused<'_>, reason: &str) -> Refusal {
        refused.plain(reason)
    }
}

/// What a cascade decides without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beforehand {
    /// The local score is below the thresholds: not asked.
    Below,
    /// It is above them: refused without a question.
    Above,
}
