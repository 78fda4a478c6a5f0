//! Strings that look random where a word for a key stands.

use super::{SecretKind, add};
use crate::context::{self, Subjects};
use crate::engine::Window;
use crate::resolve::{Candidate, Rank};

/// Shortest string that can be a key.
const SHORTEST: usize = 16;

/// Longest string that is judged.
const LONGEST: usize = 200;

/// Bits per character that a key of this kind has at least.
const BITS: f64 = 3.2;

/// Looks at every word of a run.
pub(super) fn look(window: &Window<'_>, found: &mut Vec<Candidate>) {
    let mut place = window.start;
    while place < window.end {
        let rest = window.bytes.get(place..window.end).unwrap_or_default();
        let length = rest.iter().take_while(|byte| is_part(byte)).count();
        if (SHORTEST..=LONGEST).contains(&length) {
            word(window, place, rest.get(..length).unwrap_or_default(), found);
        }
        place += length.max(1);
    }
}

fn is_part(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'/' | b'=' | b'.')
}

fn word(window: &Window<'_>, start: usize, word: &[u8], found: &mut Vec<Candidate>) {
    // `name=value`: the value; the name may be the word for a key.
    let inner = word
        .iter()
        .take(word.len().saturating_sub(3))
        .rposition(|b| *b == b'=');
    let lead = inner.map_or(0, |place| place + 1);
    let mut value = word.get(lead..).unwrap_or_default();
    while let [head @ .., b'.' | b'-' | b'/'] = value {
        value = head;
    }
    let (start, end) = (start + lead, start + lead + value.len());
    if value.len() < SHORTEST || value.contains(&b'.') && value.contains(&b'/') {
        return;
    }
    if !is_random(value) || is_placeholder(value) || is_uuid(value) || is_chain_of_words(value) {
        return;
    }
    let context = context::around(window, start, end);
    let told = context
        .nearest
        .has(Subjects::KEY.and(Subjects::SECRET).and(Subjects::PASSWORD));
    let hex = value.iter().all(u8::is_ascii_hexdigit);
    let denied = context.before.has(Subjects::CODE) || context.nearest.has(Subjects::OTHER);
    if !told || denied {
        return;
    }
    if hex && !context.before.has(Subjects::SECRET) && value.len() < 32 {
        return;
    }
    add(found, SecretKind::ApiKey, (start, end), 65, Rank::Shape);
}

fn is_random(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let upper = value
        .iter()
        .filter(|byte| byte.is_ascii_uppercase())
        .count();
    let lower = value
        .iter()
        .filter(|byte| byte.is_ascii_lowercase())
        .count();
    // Names of functions have capitals at the beginnings of words only.
    let capitals = value
        .windows(2)
        .filter(|pair| pair.iter().all(u8::is_ascii_uppercase));
    let many = digits == 1 && value.len() >= 20 && lower >= 4 && capitals.count() >= 3;
    let mixed = many || digits >= 2 && upper + lower >= 4;
    mixed && bits(value) >= BITS
}

/// Shannon's entropy per character.
fn bits(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = value.len() as f64;
    let share = |count: &u32| f64::from(*count) / length;
    let used = counts.iter().filter(|count| **count > 0).map(share);
    -used.map(|share| share * share.log2()).sum::<f64>()
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `some-branch-name-2`, `path/to/file1`: words joined, not a random string.
fn is_chain_of_words(value: &[u8]) -> bool {
    let parts = value.split(|byte| !byte.is_ascii_alphanumeric());
    let plain = |part: &[u8]| {
        part.iter().all(u8::is_ascii_digit)
            || part.iter().all(u8::is_ascii_lowercase)
            || part.iter().all(u8::is_ascii_uppercase)
    };
    let mut count = 0;
    let mut all = true;
    for part in parts {
        count += 1;
        all &= plain(part) && part.len() < 16;
    }
    all && count > 1
}

/// Few different characters, or runs of one: `sk-XXXXXXXX`, `AKIA............`.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in value {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let different = seen.iter().filter(|seen| **seen).count();
    let alike = value
        .chunk_by(|a, b| a == b)
        .map(<[u8]>::len)
        .max()
        .unwrap_or(0);
    let lower = value.to_ascii_lowercase();
    let said = [
        &b"example"[..],
        b"your",
        b"xxxx",
        b"redacted",
        b"placeholder",
        b"changeme",
        b"abcdefgh",
        b"12345678",
    ];
    different < 5.min(value.len())
        || alike >= 6
        || said
            .iter()
            .any(|word| memchr::memmem::find(&lower, word).is_some())
}

/// Passwords of examples in documentation.
pub(super) fn is_example(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    let known = [
        &b"password"[..],
        b"pass",
        b"passwd",
        b"pwd",
        b"secret",
        b"user",
        b"postgres",
        b"guest",
        b"root",
        b"admin",
        b"test",
        b"token",
    ];
    known.contains(&lower.as_slice())
        || matches!(value, [b'<' | b'$' | b'{' | b'%' | b'*' | b'[', ..])
}
