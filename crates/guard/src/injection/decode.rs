//! Words that are encodings of text.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, CONFIG);

/// Shortest and longest word that is tried.
const SHORTEST: usize = 16;
const LONGEST: usize = 8192;

/// The text that a word encodes: base64, hexadecimal or percent escapes, twice at most.
pub(crate) fn word(word: &str) -> Option<String> {
    let once = layer(word)?;
    Some(layer(once.trim()).unwrap_or(once))
}

fn layer(word: &str) -> Option<String> {
    if !(SHORTEST..=LONGEST).contains(&word.len()) || !word.is_ascii() {
        return None;
    }
    let bytes = word.as_bytes();
    let decoded = if bytes.iter().all(u8::is_ascii_hexdigit) {
        hex(bytes)
    } else if bytes.iter().filter(|byte| **byte == b'%').count() >= 3 {
        Some(percent(bytes))
    } else {
        let padded = word.trim_end_matches('.');
        STANDARD
            .decode(padded)
            .or_else(|_| URL_SAFE.decode(padded))
            .ok()
    };
    decoded
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|text| is_text(text))
}

/// Letters and spaces, not what random bytes would give.
fn is_text(text: &str) -> bool {
    let plain = text
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ')
        .count();
    let count = text.chars().count();
    count >= 8 && plain * 10 >= count * 8 && !text.chars().any(|c| c.is_control() && c != '\n')
}

fn hex(bytes: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    bytes.chunks(2).map(pair).collect()
}

fn percent(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let escape = match (first, tail) {
            (b'%', [a, b, ..]) => hex(&[*a, *b]),
            _ => None,
        };
        match escape {
            Some(byte) => {
                out.extend(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

/// Letters moved thirteen places.
pub(crate) fn rot13(text: &str) -> String {
    let turn = |c: char| match c {
        'a'..='m' | 'A'..='M' => char::from_u32(c as u32 + 13).unwrap_or(c),
        'n'..='z' | 'N'..='Z' => char::from_u32(c as u32 - 13).unwrap_or(c),
        other => other,
    };
    text.chars().map(turn).collect()
}
