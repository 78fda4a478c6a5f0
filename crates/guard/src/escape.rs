//! Escapes of JSON text, character by character.

/// One character of text as it is matched, and how it is written.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Stands for itself.
    Plain(char),
    /// An escape and the character it stands for.
    Escape(char, String),
}

impl Unit {
    /// The character that is matched.
    pub(crate) fn meaning(&self) -> char {
        match self {
            Unit::Plain(c) | Unit::Escape(c, _) => *c,
        }
    }

    /// Bytes as written.
    pub(crate) fn len(&self) -> usize {
        match self {
            Unit::Plain(c) => c.len_utf8(),
            Unit::Escape(_, written) => written.len(),
        }
    }

    /// Appends it as written.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Unit::Plain(c) => out.push(*c),
            Unit::Escape(_, written) => out.push_str(written),
        }
    }
}

/// Collects escapes; what turns out to be none stands for itself.
#[derive(Default)]
pub(crate) struct Escapes {
    /// The escape so far; at most two `\uXXXX`.
    pending: String,
}

/// What the pending characters are.
enum Progress {
    More,
    Done(char),
    NoEscape,
}

impl Escapes {
    /// Bytes that wait for the end of their escape.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes one character; hands on the units that are complete, in order.
    pub(crate) fn take(&mut self, c: char, units: &mut Vec<Unit>) {
        if self.pending.is_empty() && c != '\\' {
            units.push(Unit::Plain(c));
            return;
        }
        self.pending.push(c);
        match progress(self.pending.as_bytes()) {
            Progress::More => {}
            Progress::Done(meaning) => {
                let written = std::mem::take(&mut self.pending);
                units.push(Unit::Escape(meaning, written));
            }
            Progress::NoEscape => {
                // The last character may begin an escape of its own.
                self.pending.pop();
                self.flush(units);
                self.take(c, units);
            }
        }
    }

    /// The end: what is pending stands for itself.
    pub(crate) fn flush(&mut self, units: &mut Vec<Unit>) {
        let pending = std::mem::take(&mut self.pending);
        units.extend(pending.chars().map(Unit::Plain));
    }
}

fn progress(pending: &[u8]) -> Progress {
    match pending {
        [b'\\'] | [b'\\', b'u'] => Progress::More,
        [b'\\', b'u', hex @ ..] => unicode(hex),
        [b'\\', simple] => match simple {
            b'"' | b'\\' | b'/' => Progress::Done(*simple as char),
            b'b' => Progress::Done('\u{8}'),
            b'f' => Progress::Done('\u{c}'),
            b'n' => Progress::Done('\n'),
            b'r' => Progress::Done('\r'),
            b't' => Progress::Done('\t'),
            _ => Progress::NoEscape,
        },
        _ => Progress::NoEscape,
    }
}

/// After `\u`: four digits, and `\u` with four more for a surrogate pair.
fn unicode(rest: &[u8]) -> Progress {
    let (high, low) = rest.split_at(rest.len().min(4));
    let Some(unit) = hex(high) else {
        return Progress::NoEscape;
    };
    if high.len() < 4 {
        return Progress::More;
    }
    if !(0xD800..0xDC00).contains(&unit) {
        return char::from_u32(unit).map_or(Progress::NoEscape, Progress::Done);
    }
    match low {
        [] | [b'\\'] | [b'\\', b'u'] => Progress::More,
        [b'\\', b'u', digits @ ..] => match hex(digits) {
            Some(_) if digits.len() < 4 => Progress::More,
            Some(low @ 0xDC00..0xE000) => {
                let scalar = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                char::from_u32(scalar).map_or(Progress::NoEscape, Progress::Done)
            }
            _ => Progress::NoEscape,
        },
        _ => Progress::NoEscape,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    let add = |value: u32, digit: &u8| Some(value << 4 | (*digit as char).to_digit(16)?);
    digits.iter().try_fold(0, add)
}
