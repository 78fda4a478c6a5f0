//! The parser: RFC 8259 text to values, with the number rules of the protocol.

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
    parse_noting_form(bytes, limits).map(|(value, _)| value)
}

/// As [`parse`]; the flag says whether the text is its own canonical form, byte for byte.
pub(crate) fn parse_noting_form(
    bytes: &[u8],
    limits: &Limits,
) -> Result<(Value, bool), ParseError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ParseError::at(bytes, error.valid_up_to(), ParseErrorKind::Utf8))?;
    let mut parser = Parser {
        text,
        bytes,
        at: 0,
        depth_left: limits.max_depth.min(MAX_DEPTH),
        max_depth: limits.max_depth.min(MAX_DEPTH),
        reject_duplicates: limits.duplicates == Duplicates::Reject,
        canonical: true,
        scratch: Vec::new(),
    };
    let value = parser
        .document()
        .map_err(|kind| ParseError::at(bytes, parser.at, kind))?;
    Ok((value, parser.canonical))
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth_left: usize,
    max_depth: usize,
    reject_duplicates: bool,
    canonical: bool,
    scratch: Vec<u8>,
}

type Parsed<T> = Result<T, ParseErrorKind>;

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

    fn value(&mut self) -> Parsed<Value> {
        match self.peek() {
            Some(b'"') => self.string().map(|text| Value::String(text.to_owned())),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
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

    fn nested(&mut self, inner: fn(&mut Self) -> Parsed<Value>) -> Parsed<Value> {
        self.depth_left = self
            .depth_left
            .checked_sub(1)
            .ok_or(ParseErrorKind::TooDeep(self.max_depth))?;
        self.at += 1;
        self.skip_space();
        let value = inner(self)?;
        self.depth_left += 1;
        Ok(value)
    }

    fn array(&mut self) -> Parsed<Value> {
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                Some(_) => return Err(ParseErrorKind::Unexpected("',' or ']'")),
                None => return Err(ParseErrorKind::UnexpectedEnd),
            }
            self.skip_space();
        }
    }

    fn object(&mut self) -> Parsed<Value> {
        let start = self.at;
        let mut sorted = true;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(Object::new()));
        }
        // Sections have three to thirteen members.
        let mut members: Vec<(Cow<'static, str>, Value)> = Vec::with_capacity(8);
        loop {
            match self.peek() {
                Some(b'"') => {}
                Some(_) => return Err(ParseErrorKind::Unexpected("a key in double quotes")),
                None => return Err(ParseErrorKind::UnexpectedEnd),
            }
            let key = super::names::key(self.string()?);
            sorted &= members.last().is_none_or(|(last, _)| *last < key);
            self.skip_space();
            match self.peek() {
                Some(b':') => self.at += 1,
                Some(_) => return Err(ParseErrorKind::Unexpected("':'")),
                None => return Err(ParseErrorKind::UnexpectedEnd),
            }
            self.skip_space();
            let value = self.value()?;
            members.push((key, value));
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(_) => return Err(ParseErrorKind::Unexpected("',' or '}'")),
                None => return Err(ParseErrorKind::UnexpectedEnd),
            }
            self.skip_space();
        }
        if sorted {
            return Ok(Value::Object(Object::from_sorted(members)));
        }
        self.canonical = false;
        if self.reject_duplicates
            && let Some(key) = duplicate(&members)
        {
            self.at = start.saturating_sub(1);
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

    /// The string whose opening quote is next: the text itself, or the decoded text in `scratch`.
    fn string(&mut self) -> Parsed<&str> {
        self.at += 1;
        let start = self.at;
        self.at += self.plain();
        if self.peek() == Some(b'"') {
            let text = self.text.get(start..self.at);
            self.at += 1;
            return text.ok_or(ParseErrorKind::Utf8);
        }
        self.scratch.clear();
        let mut run = start;
        loop {
            let plain = self.bytes.get(run..self.at).unwrap_or_default();
            self.scratch.extend_from_slice(plain);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return std::str::from_utf8(&self.scratch).map_err(|_| ParseErrorKind::Utf8);
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(ParseErrorKind::ControlCharacter),
                None => return Err(ParseErrorKind::UnexpectedEnd),
            }
            run = self.at;
            self.at += self.plain();
        }
    }

    /// Length of the run before the next quote, backslash or control character.
    fn plain(&self) -> usize {
        canonical::plain_prefix(self.bytes.get(self.at..).unwrap_or_default())
    }

    fn escape(&mut self) -> Parsed<()> {
        let start = self.at;
        let byte = match self.bytes.get(self.at + 1) {
            Some(b'"') => b'"',
            Some(b'\\') => b'\\',
            Some(b'/') => {
                self.canonical = false;
                b'/'
            }
            Some(b'b') => 0x08,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 0x0C,
            Some(b'r') => b'\r',
            Some(b'u') => return self.unicode_escape(start),
            Some(_) => return Err(ParseErrorKind::Escape),
            None => return Err(ParseErrorKind::UnexpectedEnd),
        };
        self.scratch.push(byte);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self, start: usize) -> Parsed<()> {
        let high = self.hex4(start + 2)?;
        let mut end = start + 6;
        let code = match high {
            0xD800..=0xDBFF => {
                if self.bytes.get(end..end + 2) != Some(b"\\u") {
                    return Err(ParseErrorKind::LoneSurrogate);
                }
                let low = self.hex4(end + 2)?;
                if !(0xDC00..=0xDFFF).contains(&low) {
                    return Err(ParseErrorKind::LoneSurrogate);
                }
                end += 6;
                0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)
            }
            code => code,
        };
        // What is left without a character is a low half on its own.
        let character = char::from_u32(code).ok_or(ParseErrorKind::LoneSurrogate)?;
        let mut utf8 = [0; 4];
        self.scratch
            .extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
        if self.canonical {
            let mut written = Vec::with_capacity(8);
            canonical::write_string(character.encode_utf8(&mut utf8), &mut written);
            let token = self.bytes.get(start..end).unwrap_or_default();
            self.canonical = written.get(1..written.len() - 1) == Some(token);
        }
        self.at = end;
        Ok(())
    }

    fn hex4(&self, at: usize) -> Parsed<u32> {
        let digits = self
            .bytes
            .get(at..at + 4)
            .ok_or(ParseErrorKind::UnexpectedEnd)?;
        digits.iter().try_fold(0, |value, &digit| {
            let digit = char::from(digit)
                .to_digit(16)
                .ok_or(ParseErrorKind::Escape)?;
            Ok(value * 16 + digit)
        })
    }
}

fn duplicate(members: &[(Cow<'static, str>, Value)]) -> Option<String> {
    let mut keys: Vec<&str> = members.iter().map(|(key, _)| &**key).collect();
    keys.sort_unstable();
    keys.windows(2).find_map(|pair| match pair {
        [left, right] if left == right => Some((*left).to_owned()),
        _ => None,
    })
}
