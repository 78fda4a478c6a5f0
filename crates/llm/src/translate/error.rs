//! What the body of a provider's error says.

use crate::provider::Wire;
use crate::scan::{Doc, Kind, Limits};
use bytes::Bytes;

/// The facts of a provider's error body. The texts are the provider's words: to be
/// scrubbed before anything is done with them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderError {
    /// What the provider says.
    pub message: Option<String>,
    /// Its class, in the provider's words (`invalid_request_error`, `INVALID_ARGUMENT`).
    pub kind: Option<String>,
    /// Its code, as text: a word, or a number for providers that repeat the status.
    pub code: Option<String>,
    /// The request member it is about.
    pub param: Option<String>,
}

/// Failures that a gateway treats in their own way, whatever words a provider has for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The prompt is longer than the model takes.
    ContextWindow,
    /// A content policy of the provider refused.
    ContentPolicy,
}

impl Refusal {
    /// OpenAI's code for it, which clients of every format know.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ContextWindow => "context_length_exceeded",
            Self::ContentPolicy => "content_policy_violation",
        }
    }
}

/// Codes and what they mean.
const CODES: [(&str, Refusal); 5] = [
    ("context_length_exceeded", Refusal::ContextWindow),
    ("context_window_exceeded", Refusal::ContextWindow),
    ("content_policy_violation", Refusal::ContentPolicy),
    ("content_filter", Refusal::ContentPolicy),
    ("responsibleaipolicyviolation", Refusal::ContentPolicy),
];

/// Words of messages and what they mean, in lower case: for providers without a code.
const WORDS: [(&str, Refusal); 9] = [
    // OpenAI, vLLM.
    ("maximum context length", Refusal::ContextWindow),
    // Anthropic.
    ("prompt is too long", Refusal::ContextWindow),
    ("exceed context limit", Refusal::ContextWindow),
    // Gemini.
    (
        "exceeds the maximum number of tokens",
        Refusal::ContextWindow,
    ),
    // llama.cpp.
    ("exceeds the available context size", Refusal::ContextWindow),
    ("exceed the context window", Refusal::ContextWindow),
    // Anthropic, Azure, OpenAI.
    (
        "blocked by content filtering policy",
        Refusal::ContentPolicy,
    ),
    ("content management policy", Refusal::ContentPolicy),
    (
        "rejected as a result of our safety system",
        Refusal::ContentPolicy,
    ),
];

impl ProviderError {
    /// What the error means, where it is one of those with a treatment of their own.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let code = self.code.as_deref().unwrap_or_default();
        let by_code = CODES
            .iter()
            .find(|(known, _)| code.eq_ignore_ascii_case(known));
        let by_words = || {
            let message = self.message.as_deref()?.to_ascii_lowercase();
            WORDS.iter().find(|(words, _)| message.contains(words))
        };
        by_code.or_else(by_words).map(|(_, refusal)| *refusal)
    }
}

/// The facts of an error body of a provider. A body in another form gives none.
#[must_use]
pub fn error(wire: Wire, body: Bytes) -> ProviderError {
    let Ok(doc) = Doc::parse(body, &Limits::default()) else {
        return ProviderError::default();
    };
    // Google answers some calls with a list of one.
    let root = doc.root();
    let object = match root.kind() {
        Kind::Array => root.items().next(),
        _ => Some(root),
    };
    let Some(error) = object.and_then(|object| object.get("error")) else {
        return ProviderError::default();
    };
    let text = |name: &str| {
        let node = error.get(name)?;
        match node.kind() {
            Kind::Number => Some(String::from_utf8_lossy(node.raw()).into_owned()),
            _ => Some(node.as_str()?.into_owned()),
        }
    };
    // Google's `status` is the word, its `code` the HTTP status.
    let kind = match wire {
        Wire::Gemini => text("status"),
        Wire::OpenAi | Wire::Anthropic => text("type"),
    };
    ProviderError {
        message: text("message").or_else(|| Some(error.as_str()?.into_owned())),
        kind,
        code: text("code"),
        param: text("param"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, error};
    use crate::provider::Wire;
    use bytes::Bytes;

    #[test]
    fn every_provider_has_its_own_words_for_a_prompt_that_is_too_long() {
        for (wire, body) in [
            (
                Wire::OpenAi,
                r#"{"error":{"message":"x","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            ),
            (
                Wire::OpenAi,
                r#"{"error":{"message":"This model's maximum context length is 4096 tokens. However, you requested 5000.","type":"BadRequestError","code":400}}"#,
            ),
            (
                Wire::OpenAi,
                r#"{"error":"the request exceeds the available context size. try increasing it"}"#,
            ),
            (
                Wire::Anthropic,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
            ),
            (
                Wire::Anthropic,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"}}"#,
            ),
            (
                Wire::Gemini,
                r#"{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
            ),
            (
                Wire::Gemini,
                r#"[{"error":{"code":400,"message":"The input token count exceeds the maximum number of tokens allowed","status":"INVALID_ARGUMENT"}}]"#,
            ),
        ] {
            let found = error(wire, Bytes::from_static(body.as_bytes()));
            assert_eq!(found.refusal(), Some(Refusal::ContextWindow), "{body}");
        }
        let azure = r#"{"error":{"code":"content_filter","message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","status":400}}"#;
        let found = error(Wire::OpenAi, Bytes::from_static(azure.as_bytes()));
        assert_eq!(found.refusal(), Some(Refusal::ContentPolicy));
        let gemini =
            r#"{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED"}}"#;
        let found = error(Wire::Gemini, Bytes::from_static(gemini.as_bytes()));
        assert_eq!(
            (
                found.refusal(),
                found.kind.as_deref(),
                found.code.as_deref()
            ),
            (None, Some("RESOURCE_EXHAUSTED"), Some("429"))
        );
    }
}
