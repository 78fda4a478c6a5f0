//! Duplicate keys of one object.

use super::{Kind, Token, text};

/// Objects up to this many members are compared pair by pair without allocating.
const SMALL: usize = 16;

/// The tape index of a key that repeats an earlier one of the same object, if any.
/// `object` is the index of a container whose members are all on the tape.
pub(super) fn duplicate(bytes: &[u8], tape: &[Token], object: usize) -> Option<usize> {
    let mut seen = [(0_u64, 0_usize); SMALL];
    let mut count = 0_usize;
    let mut at = object.saturating_add(1);
    while let Some(key) = tape.get(at) {
        let Some(slot) = seen.get_mut(count).filter(|_| !key.flag) else {
            return duplicate_large(bytes, tape, object);
        };
        let label = head(bytes, key);
        *slot = (label, at);
        let earlier = seen.get(..count).unwrap_or_default().iter();
        for (other, other_at) in earlier {
            if *other == label && same(bytes, tape.get(*other_at), key) {
                return Some(at);
            }
        }
        count = count.wrapping_add(1);
        at = after_member(tape, at);
    }
    None
}

fn same(bytes: &[u8], earlier: Option<&Token>, key: &Token) -> bool {
    earlier.is_some_and(|earlier| inner(bytes, earlier) == inner(bytes, key))
}

/// The first bytes of a key, those of a short key mixed with its length.
#[inline]
fn head(bytes: &[u8], key: &Token) -> u64 {
    let start = key.start.wrapping_add(1) as usize;
    let length = key.end.wrapping_sub(key.start).wrapping_sub(2);
    let rest = bytes.get(start..).unwrap_or_default();
    let word = match rest.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        // At the end of the document: the same word, with zeros for what is missing.
        None => rest
            .iter()
            .rev()
            .fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    match length {
        // Bytes after the key are shifted out.
        0..8 => {
            let unused = 64_u32.wrapping_sub(length.wrapping_mul(8));
            word.checked_shl(unused).unwrap_or(0) | u64::from(length)
        }
        _ => word ^ u64::from(length).rotate_right(8),
    }
}

/// For many or escaped keys: sort by label, then look at equal labels only. Equal labels
/// of different keys, which anybody can make, cost a sort by content: no input makes
/// this slower than n log n comparisons.
fn duplicate_large(bytes: &[u8], tape: &[Token], object: usize) -> Option<usize> {
    let mut keys: Vec<(u64, usize)> = Vec::new();
    let mut at = object.saturating_add(1);
    while let Some(key) = tape.get(at) {
        let own = inner(bytes, key);
        let label = match key.flag {
            true => label(text::decode(own, true).as_bytes()),
            false => label(own),
        };
        keys.push((label, at));
        at = after_member(tape, at);
    }
    keys.sort_unstable();
    let runs = keys.chunk_by(|left, right| left.0 == right.0);
    runs.filter(|run| run.len() > 1)
        .filter_map(|run| duplicate_in_run(bytes, tape, run))
        .min()
}

fn duplicate_in_run(bytes: &[u8], tape: &[Token], run: &[(u64, usize)]) -> Option<usize> {
    let decoded = |at: usize| {
        tape.get(at)
            .map(|key| text::decode(inner(bytes, key), key.flag))
    };
    let mut keys: Vec<_> = run.iter().map(|(_, at)| (decoded(*at), *at)).collect();
    keys.sort_unstable();
    let pairs = keys.iter().zip(keys.iter().skip(1));
    let equal = pairs.filter(|(left, right)| left.0 == right.0);
    equal.map(|(_, right)| right.1).min()
}

/// A number that is equal for equal keys and usually differs for others.
fn label(key: &[u8]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut label = key.len() as u64;
    let mut rest = key;
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        label = (label.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(ODD);
        rest = tail;
    }
    let tail = rest
        .iter()
        .fold(0_u64, |word, &byte| word << 8 | u64::from(byte));
    (label.rotate_left(23) ^ tail).wrapping_mul(ODD)
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
