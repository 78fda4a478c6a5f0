//! Runs: the stretches of a text that can hold something to find.
//!
//! A token is what stands between spaces and characters that belong to no Latin word. It is
//! hot if it holds a digit or `@`, is long, or is a short group of capitals; a run is a row
//! of hot tokens on one line. Everything that the detectors look for lies within a run, so
//! plain prose costs one look per byte. Where runs begin and end depends on the text alone,
//! never on how it arrives: that is why a stream finds what the whole text gives.

use std::sync::LazyLock;

/// Longest run, in read bytes. What reaches its end goes on in the next one.
pub(crate) const MAX_RUN: usize = 2048;

/// Longest run within a private key.
pub(crate) const MAX_PEM: usize = 8192;

/// Spaces within a run between two tokens.
const MAX_GAP: usize = 3;

/// A token of this length is hot whatever it holds.
const LONG: usize = 16;

/// Tokens of capitals up to this length are hot.
const CAPS: usize = 5;

/// A tail that is no short group of capitals.
const MANY: u8 = 200;

const BEGIN: &[u8] = b"-----BEGIN";
const END: &[u8] = b"-----END";

/// What a run holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marks(u8);

impl Marks {
    pub(crate) const DIGIT: Marks = Marks(1);
    pub(crate) const AT: Marks = Marks(2);
    pub(crate) const LONG: Marks = Marks(4);
    const UPPER: Marks = Marks(8);
    const LOWER: Marks = Marks(16);
    pub(crate) const PEM: Marks = Marks(32);

    pub(crate) fn has(self, other: Marks) -> bool {
        self.0 & other.0 != 0
    }

    fn add(&mut self, other: Marks) {
        self.0 |= other.0;
    }
}

/// A stretch of read bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) marks: Marks,
    /// Begins where the one before had to end.
    pub(crate) continued: bool,
}

impl Run {
    /// Whether any detector has to look.
    pub(crate) fn worth_a_look(&self) -> bool {
        self.marks.has(Marks(
            Marks::DIGIT.0 | Marks::AT.0 | Marks::LONG.0 | Marks::PEM.0,
        ))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Break,
    Lower,
    Upper,
    Digit,
    At,
    Dash,
    Other,
    /// Continues a character: same as the byte before.
    Inner,
}

static CLASSES: LazyLock<[Class; 256]> = LazyLock::new(|| {
    let mut classes = [Class::Break; 256];
    for (byte, class) in (0_u8..=255).zip(classes.iter_mut()) {
        *class = match byte {
            b' ' | b'\t' => Class::Space,
            b'a'..=b'z' | 0xC3..=0xC9 => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            b'0'..=b'9' => Class::Digit,
            b'@' => Class::At,
            b'-' => Class::Dash,
            0x80..=0xBF => Class::Inner,
            0x21..=0x7E => Class::Other,
            _ => Class::Break,
        };
    }
    classes
});

/// Finds runs in bytes that are fed one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    classes: &'static LazyLock<[Class; 256]>,
    at: usize,
    /// Start and marks of the token that is being read.
    token: Option<(usize, Marks)>,
    /// Capitals at the end of the token, after something that is no letter; `MANY` for others.
    tail: u8,
    run: Option<Run>,
    gap: usize,
    /// The next token begins where a run had to end.
    continued: bool,
    /// Bytes of `-----BEGIN` or `-----END` seen.
    marker: usize,
    pem: Option<Pem>,
}

impl std::fmt::Debug for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Class")
    }
}

/// Within a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pem {
    Body,
    /// After `-----END`: dashes in a row.
    Footer(usize),
}

impl Tracker {
    pub(crate) fn new() -> Tracker {
        Tracker {
            classes: &CLASSES,
            at: 0,
            token: None,
            tail: 0,
            run: None,
            gap: 0,
            continued: false,
            marker: 0,
            pem: None,
        }
    }

    /// The first byte that can still be part of a run that is not closed.
    pub(crate) fn pending(&self) -> usize {
        let token = self.token.map_or(self.at, |token| token.0);
        self.run.map_or(token, |run| run.start.min(token))
    }

    /// Takes the next byte; gives the run that it closes.
    #[inline]
    pub(crate) fn feed(&mut self, byte: u8) -> Option<Run> {
        if byte.is_ascii_lowercase()
            && self.pem.is_none()
            && let Some((_, marks)) = &mut self.token
        {
            // Most bytes of most texts.
            marks.add(Marks::LOWER);
            (self.tail, self.marker) = (MANY, 0);
            self.at = self.at.saturating_add(1);
            return self.cap(MAX_RUN);
        }
        let class = self.classes.get(usize::from(byte)).copied()?;
        self.at = self.at.saturating_add(1);
        if self.pem.is_some() {
            return self.in_pem(byte);
        }
        let mark = match class {
            Class::Inner => return self.cap(MAX_RUN),
            Class::Space => return self.space(),
            Class::Break => return self.stop(),
            Class::Lower => Marks::LOWER,
            Class::Upper => Marks::UPPER,
            Class::Digit => Marks::DIGIT,
            Class::At => Marks::AT,
            Class::Dash | Class::Other => Marks::default(),
        };
        let start = self.at.saturating_sub(1);
        match &mut self.token {
            Some((_, marks)) => marks.add(mark),
            None => {
                self.token = Some((start, mark));
                self.tail = 0;
            }
        }
        self.tail = match class {
            Class::Upper => self.tail.saturating_add(1),
            Class::Dash | Class::Other => 0,
            _ => MANY,
        };
        if self.marker > 0 || class == Class::Dash {
            self.look_for(BEGIN, byte);
        }
        // Never within a character.
        if byte >= 0x80 {
            return None;
        }
        self.cap(MAX_RUN)
    }

    /// The end of the text.
    pub(crate) fn finish(&mut self) -> Option<Run> {
        self.pem = None;
        self.at = self.at.saturating_add(1);
        self.stop()
    }

    fn space(&mut self) -> Option<Run> {
        self.marker = 0;
        let closed = self.end_token();
        self.gap = self.gap.saturating_add(1);
        if self.gap > MAX_GAP {
            return closed.or_else(|| self.close());
        }
        closed
    }

    fn stop(&mut self) -> Option<Run> {
        self.marker = 0;
        let closed = self.end_token();
        closed.or_else(|| self.close())
    }

    /// A token ends before the byte just read: it joins the run, or the run ends.
    fn end_token(&mut self) -> Option<Run> {
        let (start, mut marks) = self.token.take()?;
        let end = self.at.saturating_sub(1);
        let length = end.saturating_sub(start);
        if length >= LONG {
            marks.add(Marks::LONG);
        }
        let caps = marks.has(Marks::UPPER) && !marks.has(Marks::LOWER) && length <= CAPS
            || (1..=CAPS).contains(&usize::from(self.tail));
        let continued = std::mem::take(&mut self.continued);
        self.gap = 0;
        if !caps && !continued && !marks.has(Marks(Marks::DIGIT.0 | Marks::AT.0 | Marks::LONG.0)) {
            return self.close();
        }
        match &mut self.run {
            Some(run) => {
                run.end = end;
                run.marks.add(marks);
            }
            None => {
                self.run = Some(Run {
                    start,
                    end,
                    marks,
                    continued,
                });
            }
        }
        None
    }

    fn close(&mut self) -> Option<Run> {
        self.run.take()
    }

    /// What is too long ends here and goes on as a run of its own.
    #[inline]
    fn cap(&mut self, most: usize) -> Option<Run> {
        if self.at.saturating_sub(self.pending()) < most {
            return None;
        }
        self.token?;
        // The byte after a token is not part of it; here there is none.
        self.at = self.at.saturating_add(1);
        let closed = self.end_token();
        self.at = self.at.saturating_sub(1);
        let closed = closed.or_else(|| self.close());
        self.continued = true;
        closed
    }

    fn look_for(&mut self, what: &[u8], byte: u8) {
        if what.get(self.marker) == Some(&byte) {
            self.marker = self.marker.saturating_add(1);
        } else if byte == b'-' {
            self.marker = self.marker.min(5);
        } else {
            self.marker = 0;
        }
        if self.marker == what.len() {
            self.marker = 0;
            self.pem = match self.pem {
                None => Some(Pem::Body),
                Some(_) => Some(Pem::Footer(0)),
            };
        }
    }

    fn in_pem(&mut self, byte: u8) -> Option<Run> {
        let start = self.at.saturating_sub(1);
        let (_, marks) = self.token.get_or_insert((start, Marks::default()));
        marks.add(Marks::PEM);
        match self.pem {
            Some(Pem::Footer(dashes)) if byte == b'-' && dashes == 4 => {
                self.pem = None;
                self.at = self.at.saturating_add(1);
                let closed = self.stop();
                self.at = self.at.saturating_sub(1);
                self.continued = false;
                return closed;
            }
            Some(Pem::Footer(dashes)) => {
                let dashes = if byte == b'-' { dashes + 1 } else { 0 };
                self.pem = Some(Pem::Footer(dashes));
            }
            _ => self.look_for(END, byte),
        }
        self.cap(MAX_PEM)
    }
}

/// All runs of a text that are worth a look.
pub(crate) fn runs(bytes: &[u8], mut each: impl FnMut(Run)) {
    let mut tracker = Tracker::new();
    for &byte in bytes {
        if let Some(run) = tracker.feed(byte)
            && run.worth_a_look()
        {
            each(run);
        }
    }
    if let Some(run) = tracker.finish()
        && run.worth_a_look()
    {
        each(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        runs(text.as_bytes(), |run| {
            all.extend(text.get(run.start..run.end))
        });
        all
    }

    #[test]
    fn runs_are_rows_of_hot_tokens() {
        let table: [(&str, &[&str]); 8] = [
            ("plain words, nothing else.", &[]),
            ("call 415 555 0132 now", &["415 555 0132"]),
            ("KA 12 MZ 0357 is mine", &["KA 12 MZ 0357"]),
            ("ref=KA 12 MZ 0357", &["ref=KA 12 MZ 0357"]),
            ("a@b.co\n4111", &["a@b.co", "4111"]),
            ("I am NASA", &[]),
            ("电话13812345678谢", &["13812345678"]),
            ("tiny x9", &["x9"]),
        ];
        for (text, expected) in table {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn a_private_key_is_one_run() {
        let key = "-----BEGIN RSA PRIVATE KEY-----\nabc\n\ndef g\n-----END RSA PRIVATE KEY-----";
        assert_eq!(found(&format!("here: {key} and more")), [key]);
    }

    #[test]
    fn long_runs_are_cut_and_go_on() {
        let text = "7".repeat(5000);
        let mut lengths = Vec::new();
        runs(text.as_bytes(), |run| {
            lengths.push((run.end - run.start, run.continued))
        });
        assert_eq!(lengths, [(2048, false), (2048, true), (904, true)]);
    }
}
