//! Token counts as the provider reports them, checked.

use crate::scan::{Kind, Node};

/// No honest call has more tokens; a larger number is a lie or a fault.
pub const MAX_TOKENS: u64 = 1 << 40;

/// Tokens of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Input tokens, cached ones included.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Total as reported; the sum if the provider gives none. May differ from the sum
    /// (some providers count reasoning beside the output).
    pub total: u64,
    /// Input tokens that came from the provider's cache; part of `input`.
    pub cached_input: u64,
    /// Input tokens written to the provider's cache; part of `input`.
    pub cache_write: u64,
    /// Output tokens spent on reasoning.
    pub reasoning: u64,
    /// Audio tokens in the input.
    pub audio_input: u64,
    /// Audio tokens in the output.
    pub audio_output: u64,
    /// Predicted tokens that were accepted.
    pub accepted_prediction: u64,
    /// Predicted tokens that were rejected; billed as output.
    pub rejected_prediction: u64,
}

/// A usage block that cannot be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// Not an object.
    #[error("usage is not an object")]
    NotAnObject,
    /// A count that is not a whole number from 0 to [`MAX_TOKENS`].
    #[error("usage.{0} is not a possible number of tokens")]
    Impossible(&'static str),
    /// A part is larger than the whole.
    #[error("usage.{0} is larger than the count it is part of")]
    PartExceedsWhole(&'static str),
}

impl Usage {
    /// The usage of an answer or chunk: `usage`, else `x_groq.usage`. `Ok(None)` if it
    /// has none.
    ///
    /// # Errors
    /// A [`UsageError`] if the block cannot be true.
    pub fn of_answer(root: Node<'_>) -> Result<Option<Usage>, UsageError> {
        let own = root.get("usage").filter(|usage| !usage.is_null());
        let groq = || root.get("x_groq").and_then(|x| x.get("usage"));
        match own.or_else(groq).filter(|usage| !usage.is_null()) {
            Some(block) => Usage::parse(block).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a usage object. Absent counts are 0.
    ///
    /// # Errors
    /// A [`UsageError`] if the block cannot be true.
    pub fn parse(block: Node<'_>) -> Result<Usage, UsageError> {
        if block.kind() != Kind::Object {
            return Err(UsageError::NotAnObject);
        }
        let prompt = details(block, "prompt_tokens_details", "input_tokens_details");
        let completion = details(block, "completion_tokens_details", "output_tokens_details");
        let input = either(block, "prompt_tokens", "input_tokens")?;
        let output = either(block, "completion_tokens", "output_tokens")?;
        // DeepSeek reports hits beside the prompt; both are part of it.
        let hits = count(Some(block), "prompt_cache_hit_tokens")?;
        let cached = count(prompt, "cached_tokens")?.or(hits).unwrap_or(0);
        let usage = Usage {
            input,
            output,
            // Each is at most 2^40: no overflow.
            total: count(Some(block), "total_tokens")?.unwrap_or(input.saturating_add(output)),
            cached_input: cached,
            cache_write: count(prompt, "cache_write_tokens")?.unwrap_or(0),
            reasoning: count(completion, "reasoning_tokens")?.unwrap_or(0),
            audio_input: count(prompt, "audio_tokens")?.unwrap_or(0),
            audio_output: count(completion, "audio_tokens")?.unwrap_or(0),
            accepted_prediction: count(completion, "accepted_prediction_tokens")?.unwrap_or(0),
            rejected_prediction: count(completion, "rejected_prediction_tokens")?.unwrap_or(0),
        };
        if usage.cached_input > usage.input {
            return Err(UsageError::PartExceedsWhole("cached_tokens"));
        }
        if usage.total < usage.input.max(usage.output) {
            return Err(UsageError::PartExceedsWhole("prompt_tokens"));
        }
        Ok(usage)
    }

    /// Whether the reported total is input plus output.
    #[must_use]
    pub fn total_is_sum(&self) -> bool {
        self.input.checked_add(self.output) == Some(self.total)
    }
}

fn details<'a>(block: Node<'a>, name: &str, other: &str) -> Option<Node<'a>> {
    let found = block.get(name).or_else(|| block.get(other));
    found.filter(|details| !details.is_null())
}

fn either(block: Node<'_>, name: &'static str, other: &'static str) -> Result<u64, UsageError> {
    match count(Some(block), name)? {
        Some(value) => Ok(value),
        None => Ok(count(Some(block), other)?.unwrap_or(0)),
    }
}

fn count(block: Option<Node<'_>>, name: &'static str) -> Result<Option<u64>, UsageError> {
    let found = block.and_then(|block| block.get(name));
    match found.filter(|value| !value.is_null()) {
        None => Ok(None),
        Some(value) => match value.as_u64() {
            Some(value) if value <= MAX_TOKENS => Ok(Some(value)),
            _ => Err(UsageError::Impossible(name)),
        },
    }
}
