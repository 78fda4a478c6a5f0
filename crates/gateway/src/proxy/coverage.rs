//! Coverage: what each check saw and left, in the order it happened. This is what a record says about inspection.
//!
//! The entries of one side chain: `seen` equals the previous `left`, and the last `left` is the digest of the text that was
//! sent or delivered. An entry outside the chain (observed, not run) has no `left`.

use std::sync::Arc;

use capsule::json::{Object, Value};

use crate::digest::Digest;

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
    /// Ran beside or after the call: what it saw did not decide.
    Observed,
    /// Selected, but did not run; the entry's reason says why.
    NotRun,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Edited => "edited",
            Self::Blocked => "blocked",
            Self::Observed => "observed",
            Self::NotRun => "not_run",
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
}

/// One check's entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) check: Arc<str>,
    pub(crate) side: Side,
    pub(crate) outcome: Outcome,
    pub(crate) seen: Option<Digest>,
    pub(crate) left: Option<Digest>,
    pub(crate) bytes: u64,
    pub(crate) micros: u64,
    /// Number of the rule within the check, from 0, and how often it was found; never the matched text.
    pub(crate) findings: Vec<(u32, u64)>,
    pub(crate) delivery: Option<Delivery>,
    pub(crate) reason: Option<&'static str>,
}

impl Entry {
    /// An entry for a check that was selected but did not run.
    pub(crate) fn not_run(check: Arc<str>, side: Side, reason: &'static str) -> Self {
        Self {
            check,
            side,
            outcome: Outcome::NotRun,
            seen: None,
            left: None,
            bytes: 0,
            micros: 0,
            findings: Vec::new(),
            delivery: None,
            reason: Some(reason),
        }
    }

    /// The form in `authority.chain`.
    pub(crate) fn to_object(&self) -> Object {
        let mut entry = Object::new();
        entry.insert("check", self.check.as_ref());
        entry.insert("phase", 1_u64);
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
        let findings = self.findings.iter().map(|(rule, count)| {
            let mut finding = Object::new();
            finding.insert("count", *count);
            finding.insert("rule", u64::from(*rule));
            Value::Object(finding)
        });
        entry.insert("findings", findings.collect::<Vec<_>>());
        if let Some(delivery) = self.delivery {
            entry.insert(
                "delivery",
                if delivery == Delivery::Buffered {
                    "buffered"
                } else {
                    "windowed"
                },
            );
        }
        if let Some(reason) = self.reason {
            entry.insert("reason", reason);
        }
        entry
    }
}

/// Adds one finding to a list of (rule, count).
pub(crate) fn count_finding(findings: &mut Vec<(u32, u64)>, rule: u32) {
    match findings.iter_mut().find(|(known, _)| *known == rule) {
        Some((_, count)) => *count += 1,
        None => findings.push((rule, 1)),
    }
}
