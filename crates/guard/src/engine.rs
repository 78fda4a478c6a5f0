//! Runs detectors over texts, whole or in pieces.
//!
//! A detector judges one run at a time and sees at most [`BEFORE`] bytes before it and
//! [`AFTER`] bytes after it. Both ways of reading hand it the same bytes, so a stream gives
//! what the whole text gives, however it is cut.

use std::sync::Arc;

use crate::resolve::{Candidate, resolve};
use crate::runs::{MAX_PEM, Run, runs};
use crate::view::View;
use crate::{Action, Finding, Form, Verdict};

/// Bytes before a run in which a detector looks for context.
pub(crate) const BEFORE: usize = 80;

/// Bytes after a run in which a detector looks for context.
pub(crate) const AFTER: usize = 48;

/// What streams hold back at most, in read bytes; outside private keys it is a quarter.
pub(crate) const WINDOW: usize = MAX_PEM + AFTER;

/// A run with its surroundings.
pub(crate) struct Window<'v> {
    /// The surroundings and the run.
    pub(crate) bytes: &'v [u8],
    /// Where in them the run is.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) run: Run,
}

impl<'v> Window<'v> {
    /// The part of a text around a run. `base` is the offset of `bytes` in the text.
    pub(crate) fn around(bytes: &'v [u8], base: usize, run: Run) -> Window<'v> {
        let start = run.start.saturating_sub(base);
        let end = run.end.saturating_sub(base);
        let from = start.saturating_sub(BEFORE);
        let to = end.saturating_add(AFTER).min(bytes.len());
        Window {
            bytes: bytes.get(from..to).unwrap_or_default(),
            start: start.saturating_sub(from),
            end: end.saturating_sub(from),
            run,
        }
    }

    /// The run itself.
    pub(crate) fn text(&self) -> &'v [u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The byte at an offset of `bytes`; 0 outside.
    pub(crate) fn at(&self, place: usize) -> u8 {
        self.bytes.get(place).copied().unwrap_or(0)
    }

    /// The byte before an offset of `bytes`; 0 at the start.
    pub(crate) fn before(&self, place: usize) -> u8 {
        place.checked_sub(1).map_or(0, |place| self.at(place))
    }
}

/// What looks for something in runs.
pub(crate) trait Detector: Send + Sync + std::fmt::Debug {
    /// Adds what it sees, with offsets in [`Window::bytes`], all within the run.
    fn look(&self, window: &Window<'_>, found: &mut Vec<Candidate>);

    /// Lowest score of the kind that counts.
    fn threshold(&self, kind: u32) -> u8;

    /// What is done about the kind.
    fn action(&self, kind: u32) -> Action;

    /// What the kind is called.
    fn name(&self, kind: u32) -> Option<&'static str>;

    /// Whether this text is exempt.
    fn allowed(&self, kind: u32, text: &[u8]) -> bool;
}

/// Judges runs in order.
#[derive(Debug, Clone)]
pub(crate) struct Judge {
    detector: Arc<dyn Detector>,
    /// The kind of the finding that reached the end of the run before.
    open: Option<(u32, u8)>,
    scratch: Vec<Candidate>,
}

impl Judge {
    pub(crate) fn new(detector: Arc<dyn Detector>) -> Judge {
        Judge {
            detector,
            open: None,
            scratch: Vec::new(),
        }
    }

    /// Findings of a run, by start; offsets are those of the text.
    pub(crate) fn judge(&mut self, bytes: &[u8], base: usize, run: Run, out: &mut Vec<Finding>) {
        let window = Window::around(bytes, base, run);
        let mut found = std::mem::take(&mut self.scratch);
        found.clear();
        self.detector.look(&window, &mut found);
        found.retain(|candidate| {
            let text = window.bytes.get(candidate.start..candidate.end);
            candidate.score >= self.detector.threshold(candidate.kind)
                && text.is_some_and(|text| !self.detector.allowed(candidate.kind, text))
        });
        let mut taken = window.start;
        if let Some((kind, score)) = self.open.take().filter(|_| run.continued) {
            let end = rest_of_token(&window);
            taken = end;
            found.retain(|candidate| candidate.start >= end);
            if end > window.start {
                let shift = run.start.saturating_sub(window.start);
                out.push(self.finding(kind, score, window.start + shift, end + shift));
                self.open = (end == window.end).then_some((kind, score));
            }
        }
        resolve(&mut found);
        for candidate in &found {
            if candidate.start < taken {
                continue;
            }
            let shift = run.start.saturating_sub(window.start);
            let (start, end) = (candidate.start + shift, candidate.end + shift);
            out.push(self.finding(candidate.kind, candidate.score, start, end));
            if candidate.end == window.end {
                self.open = Some((candidate.kind, candidate.score));
            }
        }
        self.scratch = found;
    }

    fn finding(&self, rule: u32, score: u8, start: usize, end: usize) -> Finding {
        Finding {
            start,
            end,
            rule,
            action: self.detector.action(rule),
            score,
        }
    }
}

/// Where the token ends that a run begins with, if the token goes on from the run before.
fn rest_of_token(window: &Window<'_>) -> usize {
    if window.run.marks.has(crate::runs::Marks::PEM) {
        return window.end;
    }
    let token = |byte: &&u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b',');
    let length = window.text().iter().take_while(token).count();
    window.start.saturating_add(length)
}

/// Everything found in a whole text, by start.
pub(crate) fn findings(detector: &Arc<dyn Detector>, form: Form, text: &str) -> Vec<Finding> {
    let view = View::new(text, form);
    let mut judge = Judge::new(Arc::clone(detector));
    let mut all = Vec::new();
    runs(&view.bytes, |run| {
        judge.judge(&view.bytes, 0, run, &mut all)
    });
    for finding in &mut all {
        (finding.start, finding.end) = view.written(finding.start, finding.end);
    }
    all
}

/// Puts text in the place of what was found.
pub trait Replacer: Send + Sync + std::fmt::Debug {
    /// What stands for `value`, which is of the given kind. Must be the same for the same
    /// arguments, and hold no quote, backslash or control character: it may be put into JSON.
    fn replace(&self, kind: &str, value: &str) -> String;
}

/// The verdict that a list of findings means.
pub(crate) fn verdict(
    text: &str,
    mut findings: Vec<Finding>,
    mut replace: impl FnMut(&Finding, &str) -> String,
) -> Verdict {
    let first = findings.iter().position(|f| f.action == Action::Block);
    if let Some(first) = first {
        findings.truncate(first.saturating_add(1));
        return Verdict {
            blocked: findings.last().copied(),
            findings,
            masked: None,
        };
    }
    let mut masked = String::new();
    let mut done = 0_usize;
    for finding in findings.iter().filter(|f| f.action == Action::Mask) {
        if finding.start < done {
            continue;
        }
        masked.push_str(text.get(done..finding.start).unwrap_or_default());
        let value = text.get(finding.start..finding.end).unwrap_or_default();
        masked.push_str(&replace(finding, value));
        done = finding.end;
    }
    if done > 0 {
        masked.push_str(text.get(done..).unwrap_or_default());
    }
    Verdict {
        findings,
        blocked: None,
        masked: (done > 0 && masked != text).then_some(masked),
    }
}
