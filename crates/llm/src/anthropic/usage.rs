//! Token counts as the Messages API reports them.

use crate::scan::{Kind, Node};
use crate::usage::{MAX_TOKENS, Usage, UsageError};

/// Reads a usage object. The API counts input that was read from or written to the cache
/// beside `input_tokens`; here both are part of the input. Absent counts are those of
/// `before` (what an earlier event of the stream said).
///
/// # Errors
/// A [`UsageError`] if the block cannot be true.
pub fn usage(block: Node<'_>, before: &Usage) -> Result<Usage, UsageError> {
    if block.kind() != Kind::Object {
        return Err(UsageError::NotAnObject);
    }
    // Each count is at most 2^40: no overflow.
    let fresh = before
        .input
        .saturating_sub(before.cached_input)
        .saturating_sub(before.cache_write);
    let cached = count(block, "cache_read_input_tokens")?.unwrap_or(before.cached_input);
    let written = count(block, "cache_creation_input_tokens")?.unwrap_or(before.cache_write);
    let fresh = count(block, "input_tokens")?.unwrap_or(fresh);
    let input = fresh.saturating_add(cached).saturating_add(written);
    let output = count(block, "output_tokens")?.unwrap_or(before.output);
    let details = block
        .get("output_tokens_details")
        .filter(|node| !node.is_null());
    let thinking = match details {
        Some(details) => count(details, "thinking_tokens")?,
        None => None,
    };
    Ok(Usage {
        input,
        output,
        total: input.saturating_add(output),
        cached_input: cached,
        cache_write: written,
        reasoning: thinking.unwrap_or(before.reasoning).min(output),
        ..Usage::default()
    })
}

/// Whether a usage object says of itself that nobody counted: the translation from
/// formats that count at the end has to begin with a number.
pub(super) fn is_estimate(block: Node<'_>) -> bool {
    block.get("estimated").and_then(|node| node.as_bool()) == Some(true)
}

fn count(block: Node<'_>, name: &'static str) -> Result<Option<u64>, UsageError> {
    match block.get(name).filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(value) if value <= MAX_TOKENS => Ok(Some(value)),
            _ => Err(UsageError::Impossible(name)),
        },
    }
}
