//! Duplicate keys of one object.

use super::{Kind, Token, text};
use std::borrow::Cow;

/// Objects up to this many members are compared pair by pair without allocating.
const SMALL: usize = 16;

/// The tape index of a key that repeats an earlier one of the same object, if any.
/// `object` is the index of a closed object or of one whose members are all read.
pub(super) fn duplicate(bytes: &[u8], tape: &[Token], object: usize) -> Option<usize> {
    let mut seen: [&[u8]; SMALL] = [&[]; SMALL];
    let mut count = 0_usize;
    let mut at = object.saturating_add(1);
    while let Some(key) = tape.get(at) {
        if key.flag || count >= SMALL {
            return duplicate_large(bytes, tape, object);
        }
        let raw = inner(bytes, key);
        let earlier = seen.get(..count).unwrap_or_default();
        if earlier.contains(&raw) {
            return Some(at);
        }
        if let Some(slot) = seen.get_mut(count) {
            *slot = raw;
        }
        count = count.wrapping_add(1);
        at = after_member(tape, at);
    }
    None
}

/// For many or escaped keys: sort, then compare neighbours. No hashing, so no input
/// makes it slower than n log n comparisons.
fn duplicate_large(bytes: &[u8], tape: &[Token], object: usize) -> Option<usize> {
    let mut keys: Vec<(Cow<'_, str>, usize)> = Vec::new();
    let mut at = object.saturating_add(1);
    while let Some(key) = tape.get(at) {
        keys.push((text::decode(inner(bytes, key), key.flag), at));
        at = after_member(tape, at);
    }
    keys.sort_unstable();
    let pairs = keys.iter().zip(keys.iter().skip(1));
    pairs
        .filter(|(left, right)| left.0 == right.0)
        .map(|(_, right)| right.1)
        .min()
}

/// The inside of a string token, quotes cut off.
pub(super) fn inner<'a>(bytes: &'a [u8], token: &Token) -> &'a [u8] {
    let range = token.start.wrapping_add(1) as usize..token.end.wrapping_sub(1) as usize;
    bytes.get(range).unwrap_or_default()
}

/// Tape index after the member whose key is at `key`.
pub(super) fn after_member(tape: &[Token], key: usize) -> usize {
    let value = key.saturating_add(1);
    match tape.get(value) {
        // A value that is still open has no members after it.
        Some(token) if token.next as usize > value => token.next as usize,
        Some(token) if !matches!(token.kind, Kind::Array | Kind::Object) => value.saturating_add(1),
        _ => usize::MAX,
    }
}
