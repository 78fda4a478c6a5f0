//! Bytes to tape, without recursion.

use super::{Kind, Limits, ScanError, ScanErrorKind, Token, keys, path, text};

/// Parent of the top-level value.
const NONE: u32 = u32::MAX;

type Failure = (ScanErrorKind, usize);

/// Builds the tape of a whole document.
pub(super) fn tape(bytes: &[u8], limits: &Limits) -> Result<Vec<Token>, ScanError> {
    if bytes.len() > limits.max_bytes.min(u32::MAX as usize - 1) {
        return Err(ScanError::at(
            ScanErrorKind::TooLarge,
            &[],
            0,
            String::new(),
        ));
    }
    if let Err(kind) = encoding(bytes) {
        return Err(ScanError::at(kind, bytes, 0, String::new()));
    }
    if let Err(bad) = std::str::from_utf8(bytes) {
        let kind = ScanErrorKind::InvalidUtf8;
        return Err(ScanError::at(kind, bytes, bad.valid_up_to(), String::new()));
    }
    let mut scanner = Scanner {
        bytes,
        at: 0,
        // A guess that fits prose-heavy bodies; grows by doubling otherwise.
        tape: Vec::with_capacity((bytes.len() / 12).clamp(16, 4096)),
        open: NONE,
        depth: 0,
        expecting: true,
        max_tokens: limits.max_tokens.min(NONE as usize - 2),
        limits,
    };
    match scanner.document() {
        Ok(()) => Ok(scanner.tape),
        Err((kind, offset)) => {
            let path = path::of_open(bytes, &scanner.tape, scanner.open, NONE, scanner.expecting);
            Err(ScanError::at(kind, bytes, offset, path))
        }
    }
}

fn encoding(bytes: &[u8]) -> Result<(), ScanErrorKind> {
    match bytes {
        [0xEF, 0xBB, 0xBF, ..] => Err(ScanErrorKind::ByteOrderMark),
        [0xFE, 0xFF, ..] | [0xFF, 0xFE, ..] | [0, ..] | [_, 0, ..] => Err(ScanErrorKind::NotUtf8),
        _ => Ok(()),
    }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    tape: Vec<Token>,
    /// Tape index of the innermost open container.
    open: u32,
    depth: u32,
    /// A value is due and not on the tape yet.
    expecting: bool,
    max_tokens: usize,
    limits: &'a Limits,
}

/// What comes next.
enum Step {
    Value,
    After,
    Done,
}

impl Scanner<'_> {
    fn document(&mut self) -> Result<(), Failure> {
        self.skip_space();
        if self.at >= self.bytes.len() {
            return Err((ScanErrorKind::Empty, self.at));
        }
        let mut step = Step::Value;
        loop {
            step = match step {
                Step::Value => self.value()?,
                Step::After => self.after_value()?,
                Step::Done => break,
            };
        }
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err((ScanErrorKind::TrailingBytes, self.at));
        }
        Ok(())
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at = self.at.wrapping_add(1);
        }
    }

    fn value(&mut self) -> Result<Step, Failure> {
        self.expecting = true;
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'{') => self.enter(Kind::Object),
            Some(b'[') => self.enter(Kind::Array),
            Some(b't') => self.word(b"true", Kind::True),
            Some(b'f') => self.word(b"false", Kind::False),
            Some(b'n') => self.word(b"null", Kind::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'+' | b'.' | b'N' | b'I') => Err((ScanErrorKind::InvalidNumber, self.at)),
            Some(_) => Err((ScanErrorKind::InvalidValue, self.at)),
            None => Err((ScanErrorKind::UnexpectedEnd, self.at)),
        }
    }

    /// Pushes a finished scalar or key that ends at `end`, and moves there.
    #[inline]
    fn push(&mut self, kind: Kind, end: usize, flag: bool) -> Result<(), Failure> {
        if self.tape.len() >= self.max_tokens {
            return Err((ScanErrorKind::TooManyTokens, self.at));
        }
        self.tape.push(Token {
            start: self.at as u32,
            end: end as u32,
            next: self.tape.len().wrapping_add(1) as u32,
            kind,
            flag,
        });
        self.at = end;
        self.expecting = false;
        Ok(())
    }

    #[inline]
    fn string(&mut self) -> Result<Step, Failure> {
        let (end, escaped) = text::end_of_string(self.bytes, self.at)?;
        self.push(Kind::String, end, escaped)?;
        Ok(Step::After)
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Result<Step, Failure> {
        let end = self.at.wrapping_add(word.len());
        if self.bytes.get(self.at..end) != Some(word) {
            return Err((ScanErrorKind::InvalidValue, self.at));
        }
        self.push(kind, end, false)?;
        Ok(Step::After)
    }

    fn number(&mut self) -> Result<Step, Failure> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (length, fractional) =
            number_length(rest).ok_or((ScanErrorKind::InvalidNumber, self.at))?;
        let digits = rest.get(..length).unwrap_or_default();
        if may_overflow(digits, fractional) && !finite(digits) {
            return Err((ScanErrorKind::NumberOutOfRange, self.at));
        }
        let end = self.at.wrapping_add(length);
        if self.limits.elide_numbers
            && let Some(parent) = self.tape.get_mut(self.open as usize)
            && parent.kind == Kind::Array
        {
            parent.flag = true;
            self.at = end;
            self.expecting = false;
            return Ok(Step::After);
        }
        self.push(Kind::Number, end, fractional)?;
        Ok(Step::After)
    }

    fn enter(&mut self, kind: Kind) -> Result<Step, Failure> {
        if self.depth >= self.limits.max_depth {
            return Err((ScanErrorKind::TooDeep, self.at));
        }
        let index = self.tape.len() as u32;
        let after = self.at.wrapping_add(1);
        self.push(kind, after, false)?;
        if let Some(token) = self.tape.last_mut() {
            token.next = self.open;
        }
        self.open = index;
        self.depth = self.depth.wrapping_add(1);
        self.skip_space();
        match (kind, self.peek()) {
            (Kind::Object, Some(b'}')) | (Kind::Array, Some(b']')) => Ok(Step::After),
            (Kind::Object, _) => self.key(),
            _ => Ok(Step::Value),
        }
    }

    fn key(&mut self) -> Result<Step, Failure> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err((ScanErrorKind::ExpectedKey, self.at)),
            None => return Err((ScanErrorKind::UnexpectedEnd, self.at)),
        }
        let (end, escaped) = text::end_of_string(self.bytes, self.at)?;
        self.push(Kind::String, end, escaped)?;
        self.skip_space();
        match self.peek() {
            Some(b':') => self.at = self.at.wrapping_add(1),
            Some(_) => return Err((ScanErrorKind::ExpectedColon, self.at)),
            None => return Err((ScanErrorKind::UnexpectedEnd, self.at)),
        }
        Ok(Step::Value)
    }

    fn after_value(&mut self) -> Result<Step, Failure> {
        let Some(kind) = self.tape.get(self.open as usize).map(|token| token.kind) else {
            return Ok(Step::Done);
        };
        self.skip_space();
        match (kind, self.peek()) {
            (Kind::Object, Some(b',')) => {
                self.at = self.at.wrapping_add(1);
                self.key()
            }
            (_, Some(b',')) => {
                self.at = self.at.wrapping_add(1);
                Ok(Step::Value)
            }
            (Kind::Object, Some(b'}')) | (Kind::Array, Some(b']')) => self.leave(kind),
            (_, Some(_)) => Err((ScanErrorKind::ExpectedComma, self.at)),
            (_, None) => Err((ScanErrorKind::UnexpectedEnd, self.at)),
        }
    }

    fn leave(&mut self, kind: Kind) -> Result<Step, Failure> {
        let index = self.open as usize;
        if kind == Kind::Object
            && let Some(key) = keys::duplicate(self.bytes, &self.tape, index)
        {
            let offset = self
                .tape
                .get(key)
                .map_or(self.at, |token| token.start as usize);
            // Forget what follows the key, so that the path ends at it.
            self.tape.truncate(key.saturating_add(1));
            return Err((ScanErrorKind::DuplicateKey, offset));
        }
        self.at = self.at.wrapping_add(1);
        let next = self.tape.len() as u32;
        if let Some(token) = self.tape.get_mut(index) {
            self.open = token.next;
            token.next = next;
            token.end = self.at as u32;
        }
        self.depth = self.depth.wrapping_sub(1);
        Ok(Step::After)
    }
}

/// A number below 200 digits with an exponent below 100 cannot leave the range.
fn may_overflow(digits: &[u8], fractional: bool) -> bool {
    if digits.len() >= 200 {
        return true;
    }
    let tail = digits.last_chunk::<3>();
    fractional && tail.is_some_and(|tail| tail.iter().all(u8::is_ascii_digit)) && {
        memchr::memchr2(b'e', b'E', digits).is_some()
    }
}

fn finite(digits: &[u8]) -> bool {
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse::<f64>().ok())
        .is_some_and(f64::is_finite)
}

/// Length of the number at the start of `bytes` and whether it has a fraction or an
/// exponent; `None` if the grammar is broken.
fn number_length(bytes: &[u8]) -> Option<(usize, bool)> {
    let digits = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        rest.iter().take_while(|b| b.is_ascii_digit()).count()
    };
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && bytes.get(at) == Some(&b'0')) {
        return None;
    }
    at = at.wrapping_add(whole);
    let mut fractional = false;
    if bytes.get(at) == Some(&b'.') {
        fractional = true;
        let count = digits(at.wrapping_add(1));
        if count == 0 {
            return None;
        }
        at = at.wrapping_add(1).wrapping_add(count);
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        fractional = true;
        at = at.wrapping_add(1);
        if let Some(b'+' | b'-') = bytes.get(at) {
            at = at.wrapping_add(1);
        }
        let count = digits(at);
        if count == 0 {
            return None;
        }
        at = at.wrapping_add(count);
    }
    Some((at, fractional))
}
