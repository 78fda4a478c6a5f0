//! Coverage: what each check saw and left, in the order it happened. This is what a record says about inspection.
//!
//! The entries of one side chain: `seen` equals the previous `left`, and the last `left` is the digest of the text that was
//! sent or delivered. An entry outside the chain (observed, not run) has no `left`.

use std::sync::Arc;

use capsule::json::{Object, Value};

use crate::digest::Digest;
use crate::guardrails::row::{Found, Seen};

/// Result of one check on one text or side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum Outcome {
    /// Nothing found.
    Passed,
    /// Something found and replaced.
    Edited,
    /// Something found; the text went no further.
    Blocked,
    /// Something found and left as it is.
    Alerted,
    /// Ran beside or after the call: what it saw did not decide.
    Observed,
    /// Selected, but did not run; the entry's reason says why.
    NotRun,
    /// Gave no verdict, and a switch let the call pass.
    FailedOpen,
    /// Gave no verdict, so the call was refused.
    FailedClosed,
}

impl Outcome {
    /// Whether the check came to a verdict.
    pub(crate) const fn ran(self) -> bool {
        !matches!(self, Self::NotRun | Self::FailedOpen | Self::FailedClosed)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Edited => "edited",
            Self::Blocked => "blocked",
            Self::Alerted => "alerted",
            Self::Observed => "observed",
            Self::NotRun => "not_run",
            Self::FailedOpen => "failed_open",
            Self::FailedClosed => "failed_closed",
        }
    }
}

/// Part of the call that an entry speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// All texts sent to the provider.
    Request,
    /// One channel of one choice of the answer.
    Answer {
        /// Index of the choice.
        choice: u32,
        /// Name of the channel: `text`, `reasoning`, `tool_arguments`, `refusal`.
        channel: String,
    },
}

/// How an answer was held while it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Whole text known before anything was delivered.
    Buffered,
    /// Delivered behind a window of bounded length.
    Windowed,
    /// Looked at when it had been delivered.
    Late,
}

impl Delivery {
    fn word(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Windowed => "windowed",
            Self::Late => "after_delivery",
        }
    }
}

/// One check's entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) check: Arc<str>,
    pub(crate) side: Side,
    pub(crate) outcome: Outcome,
    /// 1 for checks that run here, in order; 2 for those that judge what these left.
    pub(crate) phase: u8,
    /// What was done, where it is not checking: placeholders that were `escaped` or `restored`.
    pub(crate) step: Option<&'static str>,
    /// The texts that it reads, where these are not all of the side.
    pub(crate) scope: Option<&'static str>,
    pub(crate) seen: Option<Digest>,
    pub(crate) left: Option<Digest>,
    pub(crate) bytes: u64,
    pub(crate) micros: u64,
    /// What was found and how often; never the matched text.
    pub(crate) findings: Vec<Found>,
    /// The greatest score a check gave, in thousandths, with its name.
    pub(crate) score: Option<(&'static str, u16)>,
    /// The stream ended before its time, and some text was still held back: less was left than seen.
    pub(crate) held: bool,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) reason: Option<&'static str>,
    /// Who judged, where that is not the gateway: a host or a model.
    pub(crate) asserted_by: Option<Arc<str>>,
    /// Digest of what they answered.
    pub(crate) evidence: Option<Digest>,
}

impl Entry {
    /// An entry for a check that was selected but did not run.
    pub(crate) fn not_run(check: Arc<str>, side: Side, reason: &'static str) -> Self {
        Self {
            check,
            side,
            outcome: Outcome::NotRun,
            phase: 1,
            step: None,
            scope: None,
            seen: None,
            left: None,
            bytes: 0,
            micros: 0,
            findings: Vec::new(),
            score: None,
            held: false,
            delivery: None,
            reason: Some(reason),
            asserted_by: None,
            evidence: None,
        }
    }

    /// Adds a finding that was counted elsewhere.
    pub(crate) fn found(&mut self, kind: Box<str>, count: u64) {
        self.findings.push(Found {
            kind,
            rule: None,
            count,
        });
    }

    /// Takes over what a row of checks saw.
    pub(crate) fn take(&mut self, seen: Seen) {
        self.findings = seen.found;
        self.score = seen.score;
    }

    /// The form in `authority.chain`.
    pub(crate) fn to_object(&self) -> Object {
        let mut entry = Object::new();
        entry.insert("check", self.check.as_ref());
        entry.insert("phase", u64::from(self.phase));
        match &self.side {
            Side::Request => {
                entry.insert("side", "request");
            }
            Side::Answer { choice, channel } => {
                entry.insert("side", "answer");
                entry.insert("choice", u64::from(*choice));
                entry.insert("channel", channel.as_str());
            }
        }
        entry.insert("outcome", self.outcome.word());
        if let Some(seen) = self.seen {
            entry.insert("seen", seen.hex());
        }
        if let Some(left) = self.left {
            entry.insert("left", left.hex());
        }
        entry.insert("bytes", self.bytes);
        entry.insert("micros", self.micros);
        let findings = self.findings.iter().map(|found| {
            let mut finding = Object::new();
            finding.insert("count", found.count);
            if let Some(rule) = found.rule {
                finding.insert("rule", u64::from(rule));
            }
            finding.insert("type", &*found.kind);
            Value::Object(finding)
        });
        entry.insert("findings", findings.collect::<Vec<_>>());
        if let Some(delivery) = self.delivery {
            entry.insert("delivery", delivery.word());
        }
        if self.held {
            entry.insert("held", true);
        }
        if let Some(reason) = self.reason {
            entry.insert("reason", reason);
        }
        if let Some(scope) = self.scope {
            entry.insert("scope", scope);
        }
        if let Some((name, score)) = self.score {
            entry.insert("score", u64::from(score));
            entry.insert("score_name", name);
        }
        if let Some(step) = self.step {
            entry.insert("step", step);
        }
        if let Some(who) = &self.asserted_by {
            entry.insert("asserted_by", who.as_ref());
        }
        if let Some(evidence) = self.evidence {
            entry.insert("answer_digest", evidence.hex());
        }
        entry
    }
}
