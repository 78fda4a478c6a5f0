//! Values that are written in another alphabet: base64, hexadecimal, percent escapes, HTML entities.
//!
//! A token that decodes to text is read a second time as what it stands for; what is found in it
//! covers the whole token. Tokens lie within runs, so a stream finds what the whole text gives.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::engine::{Detector, Window, findings};
use crate::resolve::{Candidate, Rank};
use crate::runs::Marks;
use crate::{Action, Form};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, CONFIG);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, CONFIG);

/// Shortest token that is tried as base64 or hexadecimal.
const SHORTEST: usize = 12;

/// A detector that also reads encoded tokens.
#[derive(Debug)]
pub(crate) struct Encoded {
    inner: Arc<dyn Detector>,
}

impl Encoded {
    pub(crate) fn new(inner: impl Detector + 'static) -> Encoded {
        Encoded {
            inner: Arc::new(inner),
        }
    }

    /// Looks at every token of an alphabet.
    fn tokens(
        &self,
        window: &Window<'_>,
        belongs: fn(u8) -> bool,
        decode: fn(&[u8]) -> Option<String>,
        found: &mut Vec<Candidate>,
    ) {
        let text = window.text();
        let mut at = 0;
        for token in text.split(|byte| !belongs(*byte)) {
            let start = at;
            at += token.len() + 1;
            let Some(plain) = decode(token) else { continue };
            // A part of a JWT stands for nothing by itself.
            let beside = |place: Option<usize>| place.is_some_and(|p| text.get(p) == Some(&b'.'));
            let dotted = beside(start.checked_sub(1)) || beside(Some(start + token.len()));
            if dotted && token.starts_with(b"eyJ") {
                continue;
            }
            let inside = findings(&self.inner, Form::Plain, &plain);
            if let Some(best) = inside.iter().max_by_key(|finding| finding.score) {
                found.push(Candidate {
                    start: window.start + start,
                    end: window.start + start + token.len(),
                    kind: best.rule,
                    score: best.score,
                    rank: Rank::Checked,
                });
            }
        }
    }
}

impl Detector for Encoded {
    fn look(&self, window: &Window<'_>, found: &mut Vec<Candidate>) {
        self.inner.look(window, found);
        let marks = window.run.marks;
        if marks.has(Marks::PEM) {
            return;
        }
        let text = window.text();
        if marks.has(Marks::DIGIT) && memchr::memchr(b'%', text).is_some() {
            self.tokens(window, in_percent, percent, found);
        }
        if memchr::memchr(b'&', text).is_some() {
            self.tokens(window, in_html, html, found);
        }
        if marks.has(Marks::LONG) {
            self.tokens(window, in_base64, letters, found);
        }
    }

    fn threshold(&self, kind: u32) -> u8 {
        self.inner.threshold(kind)
    }

    fn action(&self, kind: u32) -> Action {
        self.inner.action(kind)
    }

    fn name(&self, kind: u32) -> Option<&'static str> {
        self.inner.name(kind)
    }

    fn allowed(&self, kind: u32, text: &[u8]) -> bool {
        self.inner.allowed(kind, text)
    }
}

fn in_percent(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"%._+-~@".contains(&byte)
}

fn in_html(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"&#;._+-@".contains(&byte)
}

fn in_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte)
}

/// Base64 or hexadecimal, twice at most.
fn letters(token: &[u8]) -> Option<String> {
    let once = layer(token)?;
    let twice = layer(once.trim().as_bytes());
    Some(twice.unwrap_or(once))
}

fn layer(token: &[u8]) -> Option<String> {
    if token.len() < SHORTEST {
        return None;
    }
    let has = |class: fn(&u8) -> bool| token.iter().any(class);
    let decoded = if token.len().is_multiple_of(2) && token.iter().all(u8::is_ascii_hexdigit) {
        hex(token)?
    } else if has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) {
        let decoded = STANDARD.decode(token);
        decoded.or_else(|_| URL_SAFE.decode(token)).ok()?
    } else {
        return None;
    };
    readable(decoded)
}

/// Text without control characters, not what random bytes would give.
fn readable(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let fine = text
        .chars()
        .all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'));
    (fine && text.len() >= 6).then_some(text)
}

fn hex(token: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    token.chunks(2).map(pair).collect()
}

/// `%40`: what the escapes stand for, twice at most; `None` without any.
fn percent(token: &[u8]) -> Option<String> {
    let once = unescape(token)?;
    let twice = unescape(&once);
    readable(twice.unwrap_or(once))
}

fn unescape(token: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(token.len());
    let mut rest = token;
    let mut changed = false;
    while let [first, tail @ ..] = rest {
        let byte = match (first, tail) {
            (b'%', [a, b, ..]) => hex(&[*a, *b]),
            _ => None,
        };
        match byte {
            Some(byte) => {
                out.extend(byte);
                changed = true;
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    changed.then_some(out)
}

fn html(token: &[u8]) -> Option<String> {
    std::str::from_utf8(token).ok().and_then(unescape_html)
}

/// A text with its HTML entities undone: `&#64;`, `&#x40;`, and the names that stand for ASCII; `None` without any.
pub(crate) fn unescape_html(text: &str) -> Option<String> {
    const NAMES: [(&str, char); 14] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("commat", '@'),
        ("period", '.'),
        ("colon", ':'),
        ("nbsp", ' '),
        ("hyphen", '-'),
        ("dash", '-'),
        ("lowbar", '_'),
        ("plus", '+'),
        ("sol", '/'),
    ];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find('&') {
        let (before, entity) = rest.split_at(at);
        out.push_str(before);
        let end = entity.bytes().take(10).position(|byte| byte == b';');
        let name = end.and_then(|end| entity.get(1..end));
        let read = name.and_then(|name| match name.strip_prefix('#') {
            Some(number) => {
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    None => number.parse().ok(),
                };
                code.and_then(char::from_u32)
            }
            None => {
                let known = NAMES.iter().find(|(known, _)| *known == name);
                known.map(|(_, c)| *c)
            }
        });
        match (read, end) {
            (Some(c), Some(end)) => {
                out.push(c);
                changed = true;
                rest = entity.get(end + 1..).unwrap_or_default();
            }
            _ => {
                out.push('&');
                rest = entity.get(1..).unwrap_or_default();
            }
        }
    }
    out.push_str(rest);
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use crate::{Check as _, PatternCheck, PiiSettings, SecretSettings};

    /// What is left of a text.
    fn left(text: &str) -> String {
        let check = PatternCheck::pii("pii", PiiSettings::default());
        let verdict = check.scan(text);
        verdict.masked.unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn encoded_values_are_found_as_a_whole() {
        for (text, expected) in [
            ("mail zora%40example.org now", "mail <EMAIL_ADDRESS> now"),
            ("mail zora%2540example.org now", "mail <EMAIL_ADDRESS> now"),
            ("mail zora&#64;example.org now", "mail <EMAIL_ADDRESS> now"),
            (
                "mail zora&commat;example.org now",
                "mail <EMAIL_ADDRESS> now",
            ),
            (
                "mail zora&#x40;example&#46;org now",
                "mail <EMAIL_ADDRESS> now",
            ),
            (
                "b64 em9yYUBleGFtcGxlLm9yZw== now",
                "b64 <EMAIL_ADDRESS> now",
            ),
            (
                "hex 7a6f7261406578616d706c652e6f7267 now",
                "hex <EMAIL_ADDRESS> now",
            ),
            (
                "twice ZW05eVlVQmxlR0Z0Y0d4bExtOXladz09 now",
                "twice <EMAIL_ADDRESS> now",
            ),
            (
                "url https://x.example/?a=1&b=2",
                "url https://x.example/?a=1&b=2",
            ),
            ("Tom & Jerry &amp; 100% sure", "Tom & Jerry &amp; 100% sure"),
            (
                "digest 3f2a9c0d4b5e6f708192a3b4c5d6e7f8",
                "digest 3f2a9c0d4b5e6f708192a3b4c5d6e7f8",
            ),
        ] {
            assert_eq!(left(text), expected, "{text}");
        }
        let check = PatternCheck::secrets("secrets", SecretSettings::default());
        let key = "eG94Yi0xMjM0MTIzNDEyMzQtNTY3ODU2Nzg1Njc4LUFiMUNkMkVmM0doNElqNUtsNk1uN09wOA==";
        assert!(!check.scan(&format!("it is {key} here")).passed());
    }

    #[test]
    fn a_stream_finds_what_the_whole_text_gives() {
        let check = PatternCheck::pii("pii", PiiSettings::default());
        let text = "b64 em9yYUBleGFtcGxlLm9yZw== and zora%40example.org and bo&#64;ex.org!";
        let whole = check.scan(text).masked.unwrap_or_default();
        for size in 1..text.len() {
            let mut stream = check.stream().expect("a stream");
            let mut out = String::new();
            for piece in text.as_bytes().chunks(size) {
                out.push_str(&stream.push(std::str::from_utf8(piece).expect("ascii")).text);
            }
            out.push_str(&stream.finish().text);
            assert_eq!(out, whole, "{size}");
        }
    }
}
