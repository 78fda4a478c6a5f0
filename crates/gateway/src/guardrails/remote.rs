//! Checks that ask a service: what they see, what they may say, and the one place that calls them.
//!
//! They run after the local checks, on the texts these left, all at once and each at most until its deadline. A service that
//! does not answer, or not in its own format, refuses the call unless the guardrail's switches say otherwise, and then the
//! record says so.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use llm::protocol::Family;

use super::select::Check;
use super::{Refusal, Refused};
use crate::app::{App, Snapshot};
use crate::digest::Digest;
use crate::error::Error;
use crate::proxy::answer;
use crate::proxy::call::Call;
use crate::proxy::coverage::{Entry, Outcome, Side};
use crate::proxy::facts::End;
use crate::proxy::open::Checked;
use crate::server::reply::Reply;
use crate::upstream::forward::{self, Forwarded};

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
    /// Public id of the key.
    pub(crate) key_id: Arc<str>,
    /// Model group that serves.
    pub(crate) group: Arc<str>,
}

impl Permit {
    /// `None` for a call that is settled.
    pub(crate) fn of(call: &Call) -> Option<Self> {
        let facts = call.facts()?;
        Some(Self {
            app: call.app().clone(),
            id: facts.id,
            snapshot: facts.snapshot.clone(),
            key_id: facts.key_id.clone(),
            group: facts.destination.group.clone(),
        })
    }
}

/// One text that a service is asked about.
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
    pub(crate) permit: Permit,
    /// The texts, in the order of the transcript; for answers one per choice and channel.
    pub(crate) texts: Vec<Asked>,
    /// In the answer, not the request.
    pub(crate) answer: bool,
}

/// What a service said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing against it.
    Pass,
    /// Something found that does not refuse: kinds with counts.
    Alert(Vec<(String, u64)>),
    /// It refuses: the kind, and the reason that the client may read.
    Block { kind: String, reason: String },
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
    /// Too many questions at once, or the service is known to be down.
    Busy,
}

impl Silence {
    /// The word for records and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Malformed => "malformed answer",
            Self::Denied => "access denied",
            Self::Busy => "too busy",
        }
    }
}

/// A check that asks a service.
pub(crate) trait Remote: Send + Sync {
    /// Asks. Dropped at the deadline.
    fn ask<'c>(&'c self, ask: &'c Ask) -> BoxFuture<'c, Result<Said, Silence>>;

    /// How long the service has.
    fn deadline(&self) -> Duration;

    /// Whether the call goes on without an answer: one switch per cause.
    fn opens_on(&self, silence: Silence) -> bool;

    /// What the client is told when the service refuses.
    fn refusal(&self, refused: &Refused<'_>, reason: &str) -> Refusal {
        refused.plain(reason)
    }
}

/// What the services said together.
pub(crate) struct Judged {
    pub(crate) entries: Vec<Entry>,
    /// The check that refused, and why.
    pub(crate) refused: Option<(Arc<str>, Error)>,
    /// A service was silent and its switch let the call pass.
    pub(crate) opened: bool,
}

impl Judged {
    /// Writes what was said into the facts; gives the refusal.
    pub(crate) fn report(self, call: &mut Call) -> Option<(Arc<str>, Error)> {
        if let Some(facts) = call.facts_mut() {
            facts.coverage.extend(self.entries);
            if self.opened {
                facts.opened_switches.push("fail_open");
            }
            if self.refused.is_some() && facts.attempts.is_empty() {
                facts.sent_text_digest = None;
            }
        }
        self.refused
    }
}

/// Asks every check at once.
pub(crate) async fn judge(checks: &[Arc<Check>], ask: &Ask) -> Judged {
    let asked = checks.iter().filter_map(|check| {
        let remote = check.remote()?.clone();
        let answer: BoxFuture<'_, _> = Box::pin(async move {
            let began = Instant::now();
            let said = tokio::time::timeout(remote.deadline(), remote.ask(ask)).await;
            let said = said.unwrap_or(Err(Silence::Timeout));
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            (check, remote, said, micros)
        });
        Some(answer)
    });
    let asked = asked.collect();
    let mut judged = Judged {
        entries: Vec::new(),
        refused: None,
        opened: false,
    };
    for (check, remote, said, micros) in all(asked).await {
        let said = Verdict::of(check, remote.as_ref(), said, ask.answer);
        judged.opened |= said.outcome == Outcome::FailedOpen;
        // One entry for a request, one per choice and channel for an answer.
        let mut last: Option<&Side> = None;
        for asked in &ask.texts {
            if last == Some(&asked.side) {
                continue;
            }
            last = Some(&asked.side);
            let texts = ask.texts.iter().filter(|other| other.side == asked.side);
            let bytes = texts.map(|text| text.text.len() as u64).sum();
            let (name, side) = (check.name.clone(), asked.side.clone());
            judged
                .entries
                .push(said.entry(name, side, asked.seen, bytes, micros));
        }
        if judged.refused.is_none()
            && let Some(error) = said.refused
        {
            judged.refused = Some((check.name.clone(), error));
        }
    }
    judged
}

/// What the answer of one service means.
struct Verdict {
    outcome: Outcome,
    found: Vec<(String, u64)>,
    reason: Option<&'static str>,
    refused: Option<Error>,
}

impl Verdict {
    fn of(check: &Check, remote: &dyn Remote, said: Result<Said, Silence>, answer: bool) -> Self {
        let decides = match answer {
            true => check.modes.post_call,
            false => check.modes.pre_call || check.modes.during_call,
        };
        let refuse = |kind: &str, reason: &str| {
            let refused = Refused {
                guardrail: &check.name,
                mode: check.mode(answer),
                kind,
                description: None,
                answer,
            };
            let error = Error::Blocked {
                check: check.name.to_string(),
                refusal: Box::new(remote.refusal(&refused, reason)),
            };
            decides.then_some(error)
        };
        let (outcome, found, reason, refused) = match said {
            Ok(Said::Pass) => (Outcome::Passed, Vec::new(), None, None),
            Ok(Said::Alert(found)) => (Outcome::Alerted, found, None, None),
            Ok(Said::Block { kind, reason }) => {
                let error = refuse(&kind, &reason);
                (Outcome::Blocked, vec![(kind, 1)], None, error)
            }
            Err(silence) if remote.opens_on(silence) => {
                (Outcome::FailedOpen, Vec::new(), Some(silence.word()), None)
            }
            Err(silence) => {
                let error = refuse("UNAVAILABLE", "the check could not be made");
                (
                    Outcome::FailedClosed,
                    Vec::new(),
                    Some(silence.word()),
                    error,
                )
            }
        };
        Self {
            outcome: if decides { outcome } else { Outcome::Observed },
            found,
            reason,
            refused,
        }
    }

    fn entry(&self, check: Arc<str>, side: Side, seen: Digest, bytes: u64, micros: u64) -> Entry {
        let mut entry = Entry::not_run(check, side, "");
        entry.reason = self.reason;
        entry.phase = 2;
        entry.outcome = self.outcome;
        entry.seen = Some(seen);
        let goes_on = matches!(self.outcome, Outcome::Passed | Outcome::Alerted);
        entry.left = goes_on.then_some(seen);
        entry.bytes = bytes;
        entry.micros = micros;
        for (kind, count) in &self.found {
            entry.found(kind.as_str().into(), *count);
        }
        entry
    }
}

/// Sends a checked call, with the services that judge its request: those of `pre_call` before it is sent, those of
/// `during_call` beside it, and the answer waits for them.
///
/// # Errors
/// The client's answer, when a service refused; the call is settled.
pub(crate) async fn forward(mut checked: Checked) -> Result<Forwarded, Reply> {
    let Some((ask, checks)) = checked.questions() else {
        return Ok(forward::forward(checked).await);
    };
    let (before, beside): (Vec<_>, Vec<_>) =
        checks.into_iter().partition(|check| check.modes.pre_call);
    if !before.is_empty() {
        let judged = judge(&before, &ask).await;
        if let Some(refusal) = judged.report(checked.call_mut()) {
            let (call, request, ..) = checked.into_parts();
            return Err(refused(call, request.protocol.family(), refusal));
        }
    }
    let (mut forwarded, judged) = tokio::join!(forward::forward(checked), judge(&beside, &ask));
    match judged.report(&mut forwarded.call) {
        None => Ok(forwarded),
        Some(refusal) => {
            let family = forwarded.request.protocol.family();
            Err(refused(forwarded.call, family, refusal))
        }
    }
}

fn refused(call: Call, family: Family, (check, error): (Arc<str>, Error)) -> Reply {
    answer::refusal(call, family, &error, End::Blocked(check))
}

/// Waits for all of them, in one task.
async fn all<T>(mut futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *slot = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}
