//! Personal data and secrets in text that arrives in pieces.
//!
//! The same reading, the same runs and the same judgement as over a whole text; text is
//! released as soon as no run can begin in it any more, and each run is judged when the
//! bytes after it that can matter are there. The borders of pieces are invisible.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::{AFTER, BEFORE, Detector, Judge, Replacer};
use crate::runs::{Run, Tracker};
use crate::view::{Lens, Origin};
use crate::{Action, Emit, Finding, Form, StreamCheck};

/// Read bytes that are kept before they are thrown away in one go.
const KEPT: usize = 4096;

/// A [`crate::PatternCheck`] at work on one text.
pub(crate) struct PatternStream {
    detector: Arc<dyn Detector>,
    replacer: Arc<dyn Replacer>,
    lens: Lens,
    tracker: Tracker,
    judge: Judge,
    /// What was read, with its origins, from the read offset `base` on.
    bytes: Vec<u8>,
    origins: Vec<Origin>,
    base: usize,
    /// What was written and is not delivered, from the offset `out` on.
    raw: String,
    out: usize,
    waiting: VecDeque<Run>,
    /// Found, not yet delivered.
    masks: VecDeque<Finding>,
    blocked: Option<Finding>,
}

impl std::fmt::Debug for PatternStream {
    /// Without the text that is held.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PatternStream")
            .field("delivered", &self.out)
            .field("held", &self.raw.len())
            .field("blocked", &self.blocked)
            .finish_non_exhaustive()
    }
}

impl PatternStream {
    pub(crate) fn new(
        detector: Arc<dyn Detector>,
        replacer: Arc<dyn Replacer>,
        form: Form,
    ) -> PatternStream {
        PatternStream {
            judge: Judge::new(Arc::clone(&detector)),
            detector,
            replacer,
            lens: Lens::new(form),
            tracker: Tracker::new(),
            bytes: Vec::new(),
            origins: Vec::new(),
            base: 0,
            raw: String::new(),
            out: 0,
            waiting: VecDeque::new(),
            masks: VecDeque::new(),
            blocked: None,
        }
    }

    fn read(&mut self, piece: Option<&str>) {
        let PatternStream {
            lens,
            tracker,
            bytes,
            origins,
            waiting,
            ..
        } = self;
        let mut keep = |byte: u8, origin: Origin| {
            bytes.push(byte);
            origins.push(origin);
            waiting.extend(tracker.feed(byte).filter(Run::worth_a_look));
        };
        match piece {
            Some(piece) => piece.chars().for_each(|c| lens.take(c, &mut keep)),
            None => {
                lens.finish(&mut keep);
                waiting.extend(tracker.finish().filter(Run::worth_a_look));
            }
        }
    }

    fn end(&self) -> usize {
        self.base.saturating_add(self.bytes.len())
    }

    /// Judges the runs whose surroundings are there.
    fn decide(&mut self, all: bool, findings: &mut Vec<Finding>) {
        while let Some(run) = self.waiting.front().copied() {
            if !all && run.end.saturating_add(AFTER) > self.end() {
                break;
            }
            self.waiting.pop_front();
            let mut found = Vec::new();
            self.judge.judge(&self.bytes, self.base, run, &mut found);
            for mut finding in found {
                finding.start = self.origin(finding.start).0;
                finding.end = self.origin(finding.end.saturating_sub(1)).1;
                findings.push(finding);
                match finding.action {
                    Action::Block => {
                        self.blocked = Some(finding);
                        // Nothing of the run is delivered.
                        self.waiting.push_front(run);
                        return;
                    }
                    Action::Mask => self.masks.push_back(finding),
                    Action::Alert => {}
                }
            }
        }
    }

    fn origin(&self, at: usize) -> Origin {
        let place = at.saturating_sub(self.base);
        self.origins.get(place).copied().unwrap_or_else(|| {
            let read = self.lens.read();
            (read, read)
        })
    }

    /// Delivers what no run that is not judged can begin in.
    fn release(&mut self, all: bool, out: &mut String) {
        let waiting = self.waiting.front().map(|run| run.start);
        let to = match waiting {
            Some(start) => self.origin(start).0,
            None if all => self.out.saturating_add(self.raw.len()),
            None => self.origin(self.tracker.pending()).0,
        };
        let mut done = self.out;
        while let Some(mask) = self.masks.front().copied().filter(|mask| mask.start < to) {
            self.masks.pop_front();
            if mask.start < done {
                continue;
            }
            out.push_str(self.raw_part(done, mask.start));
            let value = self.raw_part(mask.start, mask.end);
            let kind = self.detector.name(mask.rule).unwrap_or("UNKNOWN");
            out.push_str(&self.replacer.replace(kind, value));
            done = mask.end;
        }
        if to > done {
            out.push_str(self.raw_part(done, to));
            done = to;
        }
        let gone = done.saturating_sub(self.out).min(self.raw.len());
        self.raw.drain(..gone);
        self.out = self.out.saturating_add(gone);
        self.forget(waiting);
    }

    fn raw_part(&self, start: usize, end: usize) -> &str {
        let from = start.saturating_sub(self.out);
        let to = end.saturating_sub(self.out);
        self.raw.get(from..to).unwrap_or_default()
    }

    /// Throws away read bytes that nothing will look at again.
    fn forget(&mut self, waiting: Option<usize>) {
        let first = waiting.unwrap_or_else(|| self.tracker.pending());
        let useless = first
            .saturating_sub(BEFORE)
            .saturating_sub(self.base)
            .min(self.bytes.len());
        if useless >= KEPT {
            self.bytes.drain(..useless);
            self.origins.drain(..useless);
            self.base = self.base.saturating_add(useless);
        }
    }
}

impl StreamCheck for PatternStream {
    fn push<'a>(&mut self, piece: &'a str) -> Emit<'a> {
        let mut out = String::new();
        let mut findings = Vec::new();
        if self.blocked.is_none() {
            self.raw.push_str(piece);
            self.read(Some(piece));
            self.decide(false, &mut findings);
            self.release(false, &mut out);
        }
        let text = if out == piece {
            Cow::Borrowed(piece)
        } else {
            Cow::Owned(out)
        };
        Emit {
            text,
            findings,
            blocked: self.blocked,
        }
    }

    fn finish(&mut self) -> Emit<'static> {
        let mut out = String::new();
        let mut findings = Vec::new();
        if self.blocked.is_none() {
            self.read(None);
            self.decide(true, &mut findings);
            self.release(true, &mut out);
        }
        Emit {
            text: Cow::Owned(out),
            findings,
            blocked: self.blocked,
        }
    }

    fn held(&self) -> usize {
        self.raw.len()
    }
}
