//! The parser: RFC 8259 text to values, with the number rules of the protocol.

mod strings;

use std::borrow::Cow;

use super::limits::{Duplicates, Limits, MAX_DEPTH, ParseError, ParseErrorKind};
use super::{Integer, Object, Value};
use crate::canonical;

/// Parses one JSON value, with nothing but white space around it.
///
/// # Errors
/// [`ParseError`] when the bytes are not one JSON text within the limits.
///
/// ```
/// use capsule::json::{Limits, Value, parse};
/// let value = parse(br#"{"b": 1.0, "a": 12345678901234567890123}"#, &Limits::default())?;
/// assert_eq!(capsule::canonical::to_vec(&value), br#"{"a":12345678901234567890123,"b":1.0}"#);
/// # Ok::<(), capsule::json::ParseError>(())
/// ```
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Value, ParseError> {
    parse_noting_form(bytes, limits).map(|parsed| parsed.value)
}

/// A value and what was seen of its text.
pub(crate) struct Noted {
    pub(crate) value: Value,
    /// Whether the text is its own canonical form, byte for byte.
    pub(crate) canonical: bool,
    /// Where the items or members of the outermost container begin in a canonical text, without the first.
    pub(crate) starts: Vec<usize>,
}

/// As [`parse`], noting the form of the text.
pub(crate) fn parse_noting_form(bytes: &[u8], limits: &Limits) -> Result<Noted, ParseError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ParseError::at(bytes, error.valid_up_to(), ParseErrorKind::Utf8))?;
    let mut parser = Parser {
        text,
        bytes,
        at: 0,
        max_depth: limits.max_depth.min(MAX_DEPTH),
        reject_duplicates: limits.duplicates == Duplicates::Reject,
        canonical: true,
        starts: Vec::with_capacity(16),
        scratch: Vec::new(),
    };
    let value = parser
        .document()
        .map_err(|kind| ParseError::at(bytes, parser.at, kind))?;
    Ok(Noted {
        value,
        canonical: parser.canonical,
        starts: parser.starts,
    })
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    max_depth: usize,
    reject_duplicates: bool,
    canonical: bool,
    starts: Vec<usize>,
    scratch: Vec<u8>,
}

type Parsed<T> = Result<T, ParseErrorKind>;
type Members = Vec<(Cow<'static, str>, Value)>;

/// A container whose end has not been reached.
enum Open {
    Array(Vec<Value>),
    Object {
        /// The last member's value is to be set when it has been read.
        members: Members,
        /// Whether the keys strictly ascend.
        sorted: bool,
        /// Offset of the bracket.
        at: usize,
    },
}

enum Begun {
    Empty(Value),
    Open(Open),
}

impl Parser<'_> {
    fn document(&mut self) -> Parsed<Value> {
        if self.text.starts_with('\u{FEFF}') {
            return Err(ParseErrorKind::ByteOrderMark);
        }
        self.skip_space();
        let value = self.value()?;
        self.skip_space();
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(ParseErrorKind::TrailingText),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.canonical = false;
            self.at += 1;
        }
    }

    fn scalar(&mut self) -> Parsed<Value> {
        match self.peek() {
            Some(b'"') => self.string().map(|text| Value::String(text.to_owned())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'N' | b'I') => Err(self.not_finite()),
            Some(_) => Err(ParseErrorKind::Unexpected("a value")),
            None => Err(ParseErrorKind::UnexpectedEnd),
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Parsed<Value> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(ParseErrorKind::Unexpected("null, true or false"))
        }
    }

    fn not_finite(&self) -> ParseErrorKind {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if ["NaN", "Infinity", "-Infinity"]
            .iter()
            .any(|word| rest.starts_with(word.as_bytes()))
        {
            ParseErrorKind::NotFinite
        } else {
            ParseErrorKind::Unexpected("a value")
        }
    }

    /// One value of any depth. The containers that are open stand in a list, not on the stack.
    fn value(&mut self) -> Parsed<Value> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let mut value = match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    if open.len() == self.max_depth {
                        return Err(ParseErrorKind::TooDeep(self.max_depth));
                    }
                    match self.begin(bracket)? {
                        Begun::Empty(value) => value,
                        Begun::Open(container) => {
                            open.push(container);
                            continue;
                        }
                    }
                }
                _ => self.scalar()?,
            };
            // The value may end its container, which then is the value.
            loop {
                match open.last_mut() {
                    None => return Ok(value),
                    Some(Open::Array(items)) => items.push(value),
                    Some(Open::Object { members, .. }) => {
                        if let Some(member) = members.last_mut() {
                            member.1 = value;
                        }
                    }
                }
                let outermost = open.len() == 1;
                if self.goes_on(open.last_mut(), outermost)? {
                    break;
                }
                value = match open.pop() {
                    Some(Open::Array(items)) => Value::Array(items),
                    Some(Open::Object {
                        members,
                        sorted,
                        at,
                    }) => self.finish(members, sorted, at)?,
                    None => Value::Null,
                };
            }
        }
    }

    fn begin(&mut self, bracket: u8) -> Parsed<Begun> {
        let at = self.at;
        self.at += 1;
        self.skip_space();
        match (bracket, self.peek()) {
            (b'[', Some(b']')) => {
                self.at += 1;
                Ok(Begun::Empty(Value::Array(Vec::new())))
            }
            (b'[', _) => Ok(Begun::Open(Open::Array(Vec::new()))),
            (_, Some(b'}')) => {
                self.at += 1;
                Ok(Begun::Empty(Value::Object(Object::new())))
            }
            (_, _) => {
                // Sections have three to thirteen members.
                let mut members = Vec::with_capacity(8);
                members.push((self.key()?, Value::Null));
                Ok(Begun::Open(Open::Object {
                    members,
                    sorted: true,
                    at,
                }))
            }
        }
    }

    /// After a value of a container: whether another follows, whose key has then been read, or the
    /// container ends.
    fn goes_on(&mut self, container: Option<&mut Open>, outermost: bool) -> Parsed<bool> {
        self.skip_space();
        let (bracket, expected) = match container {
            Some(Open::Object { .. }) => (b'}', "',' or '}'"),
            _ => (b']', "',' or ']'"),
        };
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                if outermost {
                    self.starts.push(self.at);
                }
            }
            Some(byte) if byte == bracket => {
                self.at += 1;
                return Ok(false);
            }
            Some(_) => return Err(ParseErrorKind::Unexpected(expected)),
            None => return Err(ParseErrorKind::UnexpectedEnd),
        }
        self.skip_space();
        if let Some(Open::Object {
            members, sorted, ..
        }) = container
        {
            let key = self.key()?;
            *sorted &= members.last().is_none_or(|(last, _)| precedes(last, &key));
            members.push((key, Value::Null));
        }
        Ok(true)
    }

    /// A key and the colon after it.
    fn key(&mut self) -> Parsed<Cow<'static, str>> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(ParseErrorKind::Unexpected("a key in double quotes")),
            None => return Err(ParseErrorKind::UnexpectedEnd),
        }
        let key = super::names::key(self.string()?);
        self.skip_space();
        match self.peek() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(ParseErrorKind::Unexpected("':'")),
            None => return Err(ParseErrorKind::UnexpectedEnd),
        }
        self.skip_space();
        Ok(key)
    }

    fn finish(&mut self, members: Members, sorted: bool, at: usize) -> Parsed<Value> {
        if sorted {
            return Ok(Value::Object(Object::from_sorted(members)));
        }
        self.canonical = false;
        if self.reject_duplicates
            && let Some(key) = duplicate(&members)
        {
            self.at = at;
            return Err(ParseErrorKind::DuplicateKey(key));
        }
        Ok(Value::Object(Object::from_members(members)))
    }

    fn number(&mut self) -> Parsed<Value> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            Some(b'I') => {
                self.at = start;
                return Err(self.not_finite());
            }
            _ => return Err(ParseErrorKind::Number),
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            float = true;
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            float = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.some_digits()?;
        }
        if let Some(b'0'..=b'9') = self.peek() {
            return Err(ParseErrorKind::Number);
        }
        let token = self
            .text
            .get(start..self.at)
            .ok_or(ParseErrorKind::Number)?;
        if !float {
            self.canonical &= token != "-0";
            return Ok(Value::Int(Integer::from_token(token)));
        }
        let value: f64 = token.parse().map_err(|_| ParseErrorKind::Number)?;
        if !value.is_finite() {
            self.at = start;
            return Err(ParseErrorKind::NumberTooLarge);
        }
        if self.canonical {
            self.scratch.clear();
            canonical::write_f64(value, &mut self.scratch);
            self.canonical = self.scratch == token.as_bytes();
        }
        Ok(Value::Float(value))
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Parsed<()> {
        let start = self.at;
        self.digits();
        if self.at == start {
            return Err(ParseErrorKind::Number);
        }
        Ok(())
    }
}

/// Whether `left` sorts before `right`; the first byte decides nearly always.
fn precedes(left: &str, right: &str) -> bool {
    match (left.as_bytes().first(), right.as_bytes().first()) {
        (Some(l), Some(r)) if l != r => l < r,
        _ => left < right,
    }
}

fn duplicate(members: &Members) -> Option<String> {
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    keys.windows(2).find_map(|pair| match pair {
        [left, right] if left == right => Some((*left).to_owned()),
        _ => None,
    })
}
