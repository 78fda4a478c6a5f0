//! Asking: every check that judges at once, each at most until its deadline, and what the answers mean for the call.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::{Answer, Ask, Beforehand, BoxFuture, Kinds, Remote, Said, Silence};
use crate::digest::Digest;
use crate::error::Error;
use crate::guardrails::Refused;
use crate::guardrails::select::Check;
use crate::proxy::call::Call;
use crate::proxy::channels::Blocked;
use crate::proxy::coverage::{Entry, Outcome, Side};
use crate::proxy::facts::Facts;

/// What a check may need beyond its deadline to give up.
const GRACE: Duration = Duration::from_secs(1);
/// Most that replaced texts may grow: twice what they were, and this.
const GROWTH: usize = 64 * 1024;

/// What the services said together.
pub(crate) struct Judged {
    pub(crate) entries: Vec<Entry>,
    /// The check that refused, and why.
    pub(crate) refused: Option<Blocked>,
    /// Switches that let the call pass although a service was silent.
    switches: Vec<&'static str>,
    /// The texts as a check left them, where one replaced any.
    pub(crate) replaced: Option<Vec<String>>,
}

/// What the record learns of questions.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) entries: Vec<Entry>,
    /// Switches that let the call pass although a service was silent.
    switches: Vec<&'static str>,
}

impl Notes {
    /// Writes them into the facts.
    pub(crate) fn report(self, facts: &mut Facts) {
        facts.coverage.extend(self.entries);
        for switch in self.switches {
            if !facts.opened_switches.contains(&switch) {
                facts.opened_switches.push(switch);
            }
        }
    }
}

impl Judged {
    /// Hands over what the record learns; gives the refusal, or else the replaced texts.
    pub(crate) fn note(self, notes: &mut Notes) -> Result<Option<Vec<String>>, Blocked> {
        notes.entries.extend(self.entries);
        notes.switches.extend(self.switches);
        match self.refused {
            Some(refused) => Err(refused),
            None => Ok(self.replaced),
        }
    }

    /// The same for questions about a request.
    pub(crate) fn report(self, call: &mut Call) -> Result<Option<Vec<String>>, Blocked> {
        let mut notes = Notes::default();
        let said = self.note(&mut notes);
        if let Some(facts) = call.facts_mut() {
            notes.report(facts);
            if said.is_err() && facts.attempts.is_empty() {
                facts.sent_text_digest = None;
            }
        }
        said
    }
}

/// Asks every check at once. Of checks that replace texts only one may be among them.
pub(crate) async fn judge(checks: &[Arc<Check>], ask: &Ask) -> Judged {
    let asked = checks.iter().filter_map(|check| {
        let remote = check.remote()?.clone();
        let answer: BoxFuture<'_, _> = Box::pin(async move {
            let began = Instant::now();
            let score = |name: &str| {
                let of = ask.scores.iter().filter(|(check, _)| **check == *name);
                of.map(|(_, score)| *score).max()
            };
            if let Some(decided) = remote.manner().beforehand(score) {
                return (check, remote, Heard::Decided(decided), 0);
            }
            let until = began + remote.manner().deadline();
            // The check keeps to its deadline; this is for one that does not.
            let said = tokio::time::timeout_at(until + GRACE, remote.ask(ask, until)).await;
            let said = said.unwrap_or(Err(Silence::Timeout));
            let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            (check, remote, Heard::Said(said), micros)
        });
        Some(answer)
    });
    let asked = asked.collect();
    let mut judged = Judged {
        entries: Vec::new(),
        refused: None,
        switches: Vec::new(),
        replaced: None,
    };
    for (check, remote, heard, micros) in all(asked).await {
        let verdict = Verdict::of(check, remote.as_ref(), heard, ask);
        judged.switches.extend(verdict.switch);
        for (side, places) in ask.sides() {
            let entry = verdict.entry(check, remote.as_ref(), ask, (side, &places), micros);
            judged.entries.push(entry);
        }
        if judged.refused.is_none()
            && let Some(error) = verdict.refused
        {
            judged.refused = Some(Blocked {
                check: check.name.clone(),
                error: Box::new(error),
            });
        }
        if verdict.replaced.is_some() {
            judged.replaced = verdict.replaced;
        }
    }
    judged
}

/// What came of one question.
enum Heard {
    Said(Result<Answer, Silence>),
    /// A cascade decided without one.
    Decided(Beforehand),
}

/// What the answer of one service means.
struct Verdict {
    outcome: Outcome,
    found: Kinds,
    reason: Option<&'static str>,
    refused: Option<Error>,
    replaced: Option<Vec<String>>,
    evidence: Option<Digest>,
    switch: Option<&'static str>,
    /// The service was sent the texts.
    sent: bool,
}

/// The kind of a refusal because a text would have to be replaced where none can be.
const REWRITE: &str = "REWRITE";

impl Verdict {
    fn of(check: &Check, remote: &dyn Remote, heard: Heard, ask: &Ask) -> Self {
        let modes = check.modes;
        let (decides, may_edit) = match ask.answer {
            true => (modes.post_call, modes.post_call),
            false => (modes.pre_call || modes.during_call, modes.pre_call),
        };
        let refuse = |found: &Kinds, reason: &str| {
            let refused = Refused {
                guardrail: &check.name,
                mode: check.mode(ask.answer),
                kind: found.first().map_or("POLICY", |(kind, _)| kind),
                description: None,
                answer: ask.answer,
            };
            let error = Error::Blocked {
                check: check.name.to_string(),
                refusal: Box::new(remote.refusal(&refused, reason)),
            };
            decides.then_some(error)
        };
        let mut verdict = Self {
            outcome: Outcome::Passed,
            found: Vec::new(),
            reason: None,
            refused: None,
            replaced: None,
            evidence: None,
            switch: None,
            sent: true,
        };
        let said = match heard {
            Heard::Decided(decided) => {
                verdict.sent = false;
                verdict.outcome = Outcome::NotRun;
                verdict.reason = Some("the local score is below the cascade");
                if decided == Beforehand::Above {
                    verdict.found = vec![("CASCADE".to_owned(), 1)];
                    verdict.refused = refuse(&verdict.found, "the local score is above its limit");
                    verdict.outcome = Outcome::Blocked;
                    verdict.reason = Some("the local score is above the cascade");
                }
                if !decides && decided == Beforehand::Above {
                    verdict.outcome = Outcome::Observed;
                }
                return verdict;
            }
            Heard::Said(Ok(answer)) => {
                verdict.evidence = answer.evidence;
                match answer.said {
                    Said::Replace(texts, _) if !fits(&texts, ask) => Err(Silence::Malformed),
                    said => Ok(said),
                }
            }
            Heard::Said(Err(silence)) => Err(silence),
        };
        match said {
            Ok(Said::Pass) => {}
            Ok(Said::Alert(found)) => {
                verdict.outcome = Outcome::Alerted;
                verdict.found = found;
            }
            Ok(Said::Block { found, reason }) => {
                verdict.outcome = Outcome::Blocked;
                verdict.refused = refuse(&found, &reason);
                verdict.found = found;
            }
            Ok(Said::Replace(texts, found)) if may_edit => {
                verdict.outcome = Outcome::Edited;
                verdict.found = found;
                verdict.replaced = Some(texts);
            }
            Ok(Said::Replace(_, found)) => {
                // What it wants gone cannot be taken out here, so the text does not go on.
                verdict.outcome = Outcome::Blocked;
                verdict.found = match found.is_empty() {
                    true => vec![(REWRITE.to_owned(), 1)],
                    false => found,
                };
                verdict.reason = Some("this mode replaces no text");
                verdict.refused = refuse(&verdict.found, "the text would have to be changed");
            }
            Err(silence) => {
                verdict.reason = Some(silence.word());
                verdict.sent = silence != Silence::Busy;
                if remote.manner().opens_on(silence) {
                    verdict.outcome = Outcome::FailedOpen;
                    verdict.switch = decides.then_some(silence.switch());
                } else {
                    verdict.outcome = Outcome::FailedClosed;
                    verdict.refused = decides.then(|| Error::CheckFailed {
                        check: check.name.to_string(),
                        why: silence.word(),
                    });
                }
            }
        }
        if !decides {
            // Without a verdict there is nothing that was observed.
            verdict.outcome = match verdict.outcome {
                Outcome::FailedOpen | Outcome::FailedClosed => Outcome::NotRun,
                _ => Outcome::Observed,
            };
        }
        verdict
    }

    fn entry(
        &self,
        check: &Check,
        remote: &dyn Remote,
        ask: &Ask,
        (side, places): (&Side, &[usize]),
        micros: u64,
    ) -> Entry {
        let texts = || places.iter().filter_map(|at| ask.texts.get(*at));
        let seen = texts().next().map(|asked| asked.seen);
        let mut entry = Entry::not_run(check.name.clone(), side.clone(), "");
        entry.reason = self.reason;
        entry.phase = 2;
        entry.outcome = self.outcome;
        entry.seen = seen.filter(|_| self.sent);
        entry.left = match self.outcome {
            Outcome::Passed | Outcome::Alerted => seen,
            Outcome::Edited => self.replaced.as_ref().map(|replaced| {
                let left = places.iter().filter_map(|at| replaced.get(*at));
                ask.left(side, &left.map(String::as_str).collect::<Vec<_>>())
            }),
            _ => None,
        };
        entry.bytes = match self.sent {
            true => texts().map(|asked| asked.text.len() as u64).sum(),
            false => 0,
        };
        entry.micros = micros;
        entry.delivery = ask.delivery;
        entry.asserted_by = Some(remote.asserted_by().clone());
        entry.evidence = self.evidence;
        for (kind, count) in &self.found {
            entry.found(kind.as_str().into(), *count);
        }
        entry
    }
}

/// One text for each, and not much longer than what they replace.
fn fits(texts: &[String], ask: &Ask) -> bool {
    let before: usize = ask.texts.iter().map(|asked| asked.text.len()).sum();
    let after: usize = texts.iter().map(String::len).sum();
    texts.len() == ask.texts.len() && after <= before.saturating_mul(2).saturating_add(GROWTH)
}

/// Waits for all of them, in one task.
pub(super) async fn all<T>(mut futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
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
