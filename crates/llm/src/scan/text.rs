//! The inside of strings: skipping plain bytes, checking escapes, decoding.

use super::ScanErrorKind;
use std::borrow::Cow;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Marks, in the top bit of its byte, the first quote, backslash or control character.
/// Bits above the first mark may be wrong (borrows), bits below never are.
fn special(word: u64) -> u64 {
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let slash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | slash | control) & HIGH
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Number of leading bytes that stand for themselves inside a JSON string.
#[inline]
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    // Names and ids end within the first word.
    if let Some(word) = bytes.first_chunk::<8>() {
        let mask = special(u64::from_le_bytes(*word));
        if mask != 0 {
            return mask.trailing_zeros() as usize / 8;
        }
    }
    long_prefix(bytes)
}

fn long_prefix(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let mut done = 0_usize;
    // Most strings are short: words first, then blocks the compiler turns into SIMD.
    for _ in 0..4 {
        let Some((word, tail)) = rest.split_first_chunk::<8>() else {
            return done.wrapping_add(short_prefix(rest));
        };
        let mask = special(u64::from_le_bytes(*word));
        if mask != 0 {
            return done.wrapping_add(mask.trailing_zeros() as usize / 8);
        }
        done = done.wrapping_add(8);
        rest = tail;
    }
    while let Some((block, tail)) = rest.split_first_chunk::<32>() {
        if block.iter().fold(false, |hit, &b| hit | is_special(b)) {
            break;
        }
        done = done.wrapping_add(32);
        rest = tail;
    }
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        let mask = special(u64::from_le_bytes(*word));
        if mask != 0 {
            return done.wrapping_add(mask.trailing_zeros() as usize / 8);
        }
        done = done.wrapping_add(8);
        rest = tail;
    }
    done.wrapping_add(short_prefix(rest))
}

fn short_prefix(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&b| is_special(b))
        .unwrap_or(bytes.len())
}

/// Finds the end of the string whose opening quote is at `open`. Gives the offset after
/// the closing quote and whether there are escapes; fails with kind and offset.
#[inline]
pub(super) fn end_of_string(
    bytes: &[u8],
    open: usize,
) -> Result<(usize, bool), (ScanErrorKind, usize)> {
    let mut at = open.saturating_add(1);
    let mut escaped = false;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        at = at.saturating_add(plain_prefix(rest));
        match bytes.get(at) {
            Some(b'"') => return Ok((at.saturating_add(1), escaped)),
            Some(b'\\') => {
                escaped = true;
                at = end_of_escape(bytes, at)?;
            }
            Some(_) => return Err((ScanErrorKind::ControlCharacter, at)),
            None => return Err((ScanErrorKind::UnterminatedString, open)),
        }
    }
}

/// The end of a whole, valid string token that starts at `open`, if there is one.
pub(crate) fn string_token(bytes: &[u8], open: usize) -> Option<usize> {
    let token = bytes
        .get(open..)
        .filter(|rest| rest.first() == Some(&b'"'))?;
    let (end, _) = end_of_string(token, 0).ok()?;
    std::str::from_utf8(token.get(..end)?).ok()?;
    Some(open.saturating_add(end))
}

/// The decoded text of a whole, valid string token.
pub(crate) fn string_value(token: &[u8]) -> Cow<'_, str> {
    let inner = token
        .get(1..token.len().saturating_sub(1))
        .unwrap_or_default();
    decode(inner, memchr::memchr(b'\\', inner).is_some())
}

/// Checks the escape whose backslash is at `at`; gives the offset after it.
fn end_of_escape(bytes: &[u8], at: usize) -> Result<usize, (ScanErrorKind, usize)> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at.saturating_add(2)),
        Some(b'u') => {
            let unit = hex4(rest, 2).ok_or((ScanErrorKind::InvalidEscape, at))?;
            match unit {
                0xD800..=0xDBFF => match (rest.get(6), rest.get(7), hex4(rest, 8)) {
                    (Some(b'\\'), Some(b'u'), Some(0xDC00..=0xDFFF)) => Ok(at.saturating_add(12)),
                    _ => Err((ScanErrorKind::LoneSurrogate, at)),
                },
                0xDC00..=0xDFFF => Err((ScanErrorKind::LoneSurrogate, at)),
                _ => Ok(at.saturating_add(6)),
            }
        }
        Some(_) => Err((ScanErrorKind::InvalidEscape, at)),
        None => Err((ScanErrorKind::UnterminatedString, at)),
    }
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at.checked_add(4)?)?;
    digits.iter().try_fold(0_u32, |value, &digit| {
        Some(value << 4 | (digit as char).to_digit(16)?)
    })
}

/// Decodes the inside of a checked string token.
pub(super) fn decode(inner: &[u8], escaped: bool) -> Cow<'_, str> {
    if !escaped {
        // Checked when scanned, so the lossy form is never needed.
        return match std::str::from_utf8(inner) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(inner),
        };
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    loop {
        let plain = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(plain.min(rest.len()));
        out.extend_from_slice(run);
        if tail.is_empty() {
            break;
        }
        let (scalar, length) = unescape(tail);
        out.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
        rest = tail.get(length..).unwrap_or_default();
    }
    match String::from_utf8(out) {
        Ok(text) => Cow::Owned(text),
        Err(bad) => Cow::Owned(String::from_utf8_lossy(bad.as_bytes()).into_owned()),
    }
}

/// The character of a checked escape and the bytes it takes.
fn unescape(escape: &[u8]) -> (char, usize) {
    let simple = match escape.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let high = hex4(escape, 2).unwrap_or(0xFFFD);
            if let (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) = (high, hex4(escape, 8)) {
                let scalar = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                return (char::from_u32(scalar).unwrap_or('\u{FFFD}'), 12);
            }
            return (char::from_u32(high).unwrap_or('\u{FFFD}'), 6);
        }
        Some(&other) => other as char,
        None => '\u{FFFD}',
    };
    (simple, 2)
}
