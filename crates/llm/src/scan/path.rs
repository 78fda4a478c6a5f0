//! Rendering where a token is.

use super::{Kind, Token, keys, text};
use std::fmt::Write as _;

/// Longest rendered key, in characters.
const MAX_KEY: usize = 64;
/// Most levels rendered; deeper paths end in `...`.
const MAX_LEVELS: usize = 32;

/// Path of the token at `target` in a finished tape.
pub(super) fn render(bytes: &[u8], tape: &[Token], target: u32) -> String {
    let mut out = String::new();
    let mut at = 0_usize;
    let target = target as usize;
    for _ in 0..MAX_LEVELS {
        let Some(container) = tape.get(at) else { break };
        if at == target || !matches!(container.kind, Kind::Array | Kind::Object) {
            return out;
        }
        let Some(child) = step(bytes, tape, at, &mut out, |value, end| {
            (value..end).contains(&target) || value.wrapping_sub(1) == target
        }) else {
            return out;
        };
        at = child;
    }
    if at != target {
        out.push_str("...");
    }
    out
}

/// Path of the place reached when scanning stopped with `open` as innermost container.
///
/// `expecting`: a value was about to start, so it is not on the tape yet.
pub(super) fn of_open(
    bytes: &[u8],
    tape: &[Token],
    open: u32,
    none: u32,
    expecting: bool,
) -> String {
    let mut chain = Vec::new();
    let mut at = open;
    while at != none {
        chain.push(at as usize);
        at = tape.get(at as usize).map_or(none, |token| token.next);
    }
    chain.reverse();
    let mut out = String::new();
    for (level, &container) in chain.iter().take(MAX_LEVELS).enumerate() {
        let innermost = level.wrapping_add(1) == chain.len();
        if innermost && expecting && kind_of(tape, container) == Some(Kind::Array) {
            let _ = write!(out, "[{}]", count(tape, container));
        } else {
            step(bytes, tape, container, &mut out, |_, end| end >= tape.len());
        }
    }
    if chain.len() > MAX_LEVELS {
        out.push_str("...");
    }
    out
}

/// Appends the step from `container` to the first child that `wanted` accepts (given the
/// child's tape index and the index after it) and gives that child.
fn step(
    bytes: &[u8],
    tape: &[Token],
    container: usize,
    out: &mut String,
    wanted: impl Fn(usize, usize) -> bool,
) -> Option<usize> {
    let parent = tape.get(container)?;
    let is_object = parent.kind == Kind::Object;
    let closed = parent.next as usize > container && (parent.next as usize) <= tape.len();
    let end = if closed {
        parent.next as usize
    } else {
        usize::MAX
    };
    let mut at = container.wrapping_add(1);
    let mut index = 0_usize;
    while at < end && tape.get(at).is_some() {
        let value = if is_object { at.wrapping_add(1) } else { at };
        let after = keys::after_member(tape, value.wrapping_sub(1));
        if wanted(value, after) {
            if is_object {
                push_key(bytes, tape.get(at)?, out);
            } else {
                let _ = write!(out, "[{index}]");
            }
            return Some(value);
        }
        at = after;
        index = index.wrapping_add(1);
    }
    None
}

fn kind_of(tape: &[Token], at: usize) -> Option<Kind> {
    tape.get(at).map(|token| token.kind)
}

/// Elements so far of the open array at `container`.
fn count(tape: &[Token], container: usize) -> usize {
    let mut at = container.wrapping_add(1);
    let mut count = 0_usize;
    while let Some(token) = tape.get(at) {
        at = token.next as usize;
        count = count.wrapping_add(1);
    }
    count
}

fn push_key(bytes: &[u8], key: &Token, out: &mut String) {
    if !out.is_empty() {
        out.push('.');
    }
    let name = text::decode(keys::inner(bytes, key), key.flag);
    out.extend(
        name.chars()
            .take(MAX_KEY)
            .map(|c| if c.is_control() { '\u{FFFD}' } else { c }),
    );
}
