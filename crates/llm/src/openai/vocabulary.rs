//! Words of the wire format: what can be structure. Every list is sorted
//! by length, then by bytes, so that a look-up seldom compares texts.

use crate::scan::Node;
use std::cmp::Ordering;

/// Types of content parts that are understood.
pub(super) const PARTS: &[&str] = &[
    "file",
    "text",
    "audio",
    "image",
    "video",
    "refusal",
    "thinking",
    "image_url",
    "reasoning",
    "video_url",
    "input_file",
    "input_text",
    "input_audio",
    "input_image",
    "output_text",
];

/// Values of `type` members, formats and choices that are structure.
pub(super) const WORDS: &[&str] = &[
    "24h",
    "aac",
    "any",
    "low",
    "mp3",
    "wav",
    "auto",
    "file",
    "flac",
    "flex",
    "high",
    "lark",
    "none",
    "opus",
    "text",
    "audio",
    "float",
    "image",
    "pcm16",
    "regex",
    "scale",
    "video",
    "xhigh",
    "base64",
    "custom",
    "medium",
    "concise",
    "content",
    "default",
    "grammar",
    "minimal",
    "refusal",
    "detailed",
    "function",
    "original",
    "priority",
    "required",
    "thinking",
    "tool_use",
    "ephemeral",
    "image_url",
    "in-memory",
    "in_memory",
    "reasoning",
    "video_url",
    "input_file",
    "input_text",
    "input_audio",
    "input_image",
    "json_object",
    "json_schema",
    "output_text",
    "tool_result",
    "allowed_tools",
    "standard_only",
    "redacted_thinking",
];

/// Keywords and type names of JSON Schema.
pub(crate) const SCHEMA_WORDS: &[&str] = &[
    "if",
    "$id",
    "not",
    "$ref",
    "else",
    "enum",
    "null",
    "then",
    "type",
    "$defs",
    "allOf",
    "anyOf",
    "array",
    "const",
    "items",
    "oneOf",
    "title",
    "format",
    "number",
    "object",
    "string",
    "$anchor",
    "$schema",
    "boolean",
    "default",
    "integer",
    "maximum",
    "minimum",
    "pattern",
    "$comment",
    "contains",
    "examples",
    "maxItems",
    "minItems",
    "nullable",
    "readOnly",
    "required",
    "maxLength",
    "minLength",
    "writeOnly",
    "deprecated",
    "multipleOf",
    "properties",
    "definitions",
    "description",
    "prefixItems",
    "uniqueItems",
    "discriminator",
    "maxProperties",
    "minProperties",
    "propertyNames",
    "contentEncoding",
    "contentMediaType",
    "dependentSchemas",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "unevaluatedItems",
    "dependentRequired",
    "patternProperties",
    "additionalProperties",
    "unevaluatedProperties",
];

/// Member names of messages, parts, calls and tools; never text of the sender.
pub(super) const NAMES: &[&str] = &[
    "id",
    "ttl",
    "url",
    "data",
    "file",
    "mode",
    "name",
    "role",
    "text",
    "type",
    "audio",
    "index",
    "input",
    "phase",
    "tools",
    "voice",
    "custom",
    "detail",
    "format",
    "prefix",
    "schema",
    "strict",
    "syntax",
    "content",
    "file_id",
    "grammar",
    "refusal",
    "filename",
    "function",
    "thinking",
    "arguments",
    "file_data",
    "image_url",
    "reasoning",
    "signature",
    "video_url",
    "definition",
    "parameters",
    "tool_calls",
    "annotations",
    "description",
    "input_audio",
    "json_schema",
    "tool_call_id",
    "allowed_tools",
    "cache_control",
    "function_call",
    "include_usage",
    "thinking_blocks",
    "reasoning_content",
    "reasoning_details",
    "include_obfuscation",
    "provider_specific_fields",
];

/// Members of an answer whose strings are structure; everything below others is output.
pub(super) const ANSWER: &[&str] = &[
    "id",
    "model",
    "usage",
    "object",
    "x_groq",
    "created",
    "provider",
    "time_info",
    "obfuscation",
    "service_tier",
    "prompt_logprobs",
    "kv_transfer_params",
    "system_fingerprint",
];

/// Whether a string token is one of the words of a sorted list.
pub(crate) fn is_in(list: &[&str], node: Node<'_>) -> bool {
    let text = node.text_bytes();
    text.is_some_and(|text| {
        list.binary_search_by(|word| order(word.as_bytes(), &text))
            .is_ok()
    })
}

/// The order of the lists: by length, then by bytes.
pub(crate) fn order(left: &[u8], right: &[u8]) -> Ordering {
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        for list in [PARTS, WORDS, SCHEMA_WORDS, NAMES, ANSWER] {
            assert!(
                list.is_sorted_by(|a, b| order(a.as_bytes(), b.as_bytes()).is_lt()),
                "{list:?}"
            );
        }
    }
}
