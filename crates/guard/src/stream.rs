//! Blocked words over text that arrives in pieces.
//!
//! The text is processed character by character; the borders of pieces are invisible.
//! That the result is the same for every way of cutting the text therefore holds by
//! construction. A character is released as soon as the automaton's depth says that no
//! match can begin at or before it.

use crate::escape::{Escapes, Unit};
use crate::fold::fold;
use crate::words::Inner;
use crate::{Action, Emit, Finding, Form, StreamCheck};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::automaton::{Hit, State};

/// A character that is held back.
struct Held {
    unit: Unit,
    /// Byte offset in the text.
    at: usize,
    /// Byte offset in the folded text.
    folded: usize,
    /// Skipped by folding.
    invisible: bool,
}

/// A [`crate::BlockedWords`] check at work on one text: one per choice and channel.
pub struct StreamWindow {
    words: Arc<Inner>,
    state: State,
    /// Bytes read.
    at: usize,
    /// Bytes read, after folding.
    folded: usize,
    held: VecDeque<Held>,
    /// Masked ranges that begin in held text; disjoint, in order.
    masked: VecDeque<(usize, usize)>,
    /// Text before this offset is replaced by a tag that is already out.
    masked_until: usize,
    blocked: Option<Finding>,
    /// For JSON text: the escape that is being read.
    escapes: Option<Escapes>,
}

impl std::fmt::Debug for StreamWindow {
    /// Without the text that is held.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamWindow")
            .field("read", &self.at)
            .field("held", &self.held())
            .field("blocked", &self.blocked)
            .finish()
    }
}

impl StreamWindow {
    pub(crate) fn new(words: Arc<Inner>, form: Form) -> StreamWindow {
        StreamWindow {
            words,
            state: State::default(),
            at: 0,
            folded: 0,
            held: VecDeque::new(),
            masked: VecDeque::new(),
            masked_until: 0,
            blocked: None,
            escapes: (form == Form::JsonText).then(Escapes::default),
        }
    }

    /// Takes one character of the text as it is written.
    fn read(&mut self, c: char, out: &mut String, findings: &mut Vec<Finding>) {
        let mut units = Vec::new();
        match &mut self.escapes {
            Some(escapes) if c == '\\' || escapes.pending() > 0 => escapes.take(c, &mut units),
            _ => return self.step(Unit::Plain(c), out, findings),
        }
        self.steps(units, out, findings);
    }

    fn steps(&mut self, units: Vec<Unit>, out: &mut String, findings: &mut Vec<Finding>) {
        for unit in units {
            if self.blocked.is_none() {
                self.step(unit, out, findings);
            }
        }
    }

    fn step(&mut self, unit: Unit, out: &mut String, findings: &mut Vec<Finding>) {
        let (at, folded) = (self.at, self.folded);
        self.at = self.at.saturating_add(unit.len());
        let meaning = fold(unit.meaning());
        let invisible = meaning.is_none();
        self.held.push_back(Held {
            unit,
            at,
            folded,
            invisible,
        });
        if let Some(meaning) = meaning {
            let mut buffer = [0; 4];
            for &byte in meaning.encode_utf8(&mut buffer).as_bytes() {
                self.state = self.words.automaton.next(self.state, byte);
                self.folded = self.folded.saturating_add(1);
            }
            self.look(findings);
        }
        if self.blocked.is_none() {
            self.check_window(findings);
        }
        if self.blocked.is_none() {
            self.release(out);
        }
    }

    /// Takes the matches that end with the last character.
    fn look(&mut self, findings: &mut Vec<Finding>) {
        if let Some(hit) = self.words.automaton.block(self.state) {
            let finding = self.finding(hit, Action::Block);
            findings.push(finding);
            self.blocked = Some(finding);
        } else if let Some(hit) = self.words.automaton.mask(self.state) {
            let finding = self.finding(hit, Action::Mask);
            findings.push(finding);
            self.mask(finding.start, finding.end);
        }
    }

    fn finding(&self, hit: Hit, action: Action) -> Finding {
        let start = self.start_of(hit.length);
        let (end, rule) = (self.at, hit.rule);
        Finding {
            start,
            end,
            rule,
            action,
            score: 100,
        }
    }

    /// Where in the text the last `length` bytes of folded text begin.
    fn start_of(&self, length: u32) -> usize {
        let folded = self.folded.saturating_sub(length as usize);
        // Invisible characters share the folded offset of the visible one after them.
        let after = self.held.partition_point(|held| held.folded <= folded);
        let first = self.held.get(after.saturating_sub(1));
        first.map_or(self.at, |held| held.at)
    }

    /// A candidate that outgrows the window counts as a match.
    fn check_window(&mut self, findings: &mut Vec<Finding>) {
        let first = self.held.front().map_or(self.at, |held| held.at);
        if self.at.saturating_sub(first) <= self.words.window {
            return;
        }
        let automaton = &self.words.automaton;
        let start = self.start_of(automaton.depth(self.state));
        let outgrown = self.at.saturating_sub(start) > self.words.window;
        let Some((action, rule)) = automaton.candidate(self.state).filter(|_| outgrown) else {
            return;
        };
        let end = self.at;
        let finding = Finding {
            start,
            end,
            rule,
            action,
            score: 100,
        };
        findings.push(finding);
        match action {
            Action::Block => self.blocked = Some(finding),
            Action::Mask | Action::Alert => {
                self.mask(start, end);
                self.state = State::default();
            }
        }
    }

    /// Marks a range that ends at the last character.
    fn mask(&mut self, mut start: usize, end: usize) {
        if start < self.masked_until {
            self.masked_until = end;
            self.masked.clear();
            return;
        }
        while let Some(last) = self.masked.pop_back() {
            if last.1 <= start {
                self.masked.push_back(last);
                break;
            }
            start = start.min(last.0);
        }
        self.masked.push_back((start, end));
    }

    /// Lets go of what no match can begin in.
    fn release(&mut self, out: &mut String) {
        let depth = self.words.automaton.depth(self.state) as usize;
        let keep = self.folded.saturating_sub(depth);
        while let Some(held) = self.held.front() {
            let before = held.folded < keep || (held.invisible && held.folded == keep);
            if !before {
                break;
            }
            if let Some(held) = self.held.pop_front() {
                self.deliver(&held, out);
            }
        }
    }

    fn deliver(&mut self, held: &Held, out: &mut String) {
        if held.at < self.masked_until {
            return;
        }
        match self.masked.front() {
            Some(&(start, end)) if start <= held.at => {
                self.masked.pop_front();
                self.masked_until = end;
                out.push_str(&self.words.tag);
            }
            _ => held.unit.write(out),
        }
    }

    /// Copies leading text that cannot be part of any match.
    fn skip_clean<'a>(&mut self, rest: &'a str, out: &mut String) -> &'a str {
        let escapes = self.escapes.as_ref();
        if !self.state.is_root()
            || !self.held.is_empty()
            || escapes.is_some_and(|e| e.pending() > 0)
        {
            return rest;
        }
        let json = escapes.is_some();
        let automaton = &self.words.automaton;
        let clean = rest.bytes().take_while(|byte| {
            byte.is_ascii()
                && !(json && *byte == b'\\')
                && automaton
                    .next(State::default(), byte.to_ascii_lowercase())
                    .is_root()
        });
        let length = clean.count();
        let (clean, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
        out.push_str(clean);
        self.at = self.at.saturating_add(length);
        self.folded = self.folded.saturating_add(length);
        rest
    }
}

impl StreamCheck for StreamWindow {
    fn push<'a>(&mut self, piece: &'a str) -> Emit<'a> {
        let mut out = String::new();
        let mut findings = Vec::new();
        let mut rest = piece;
        while self.blocked.is_none() {
            rest = self.skip_clean(rest, &mut out);
            let mut letters = rest.chars();
            let Some(c) = letters.next() else { break };
            self.read(c, &mut out, &mut findings);
            rest = letters.as_str();
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
        if let Some(escapes) = &mut self.escapes {
            let mut units = Vec::new();
            escapes.flush(&mut units);
            self.steps(units, &mut out, &mut findings);
        }
        if self.blocked.is_none() {
            self.state = State::default();
            while let Some(held) = self.held.pop_front() {
                self.deliver(&held, &mut out);
            }
        }
        Emit {
            text: Cow::Owned(out),
            findings,
            blocked: self.blocked,
        }
    }

    fn held(&self) -> usize {
        let start = self.held.front().map_or(self.at, |held| held.at);
        let pending = self.escapes.as_ref().map_or(0, Escapes::pending);
        self.at.saturating_sub(start).saturating_add(pending)
    }
}
