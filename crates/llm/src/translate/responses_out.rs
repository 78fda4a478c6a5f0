//! The items of a response that is made of a chat completion.

use super::responses_items::SIGNED;
use super::types::Back;
use crate::json;
use crate::responses::write::Status;
use crate::scan::{Doc, Limits, Node};
use bytes::Bytes;
use std::borrow::Cow;

/// One item of `output`.
pub(super) struct Item {
    pub(super) id: String,
    pub(super) body: Body,
}

/// What an item holds.
pub(super) enum Body {
    /// Reasoning, and the proof that it is the provider's own.
    Reasoning {
        text: String,
        signature: Option<String>,
    },
    /// A message of text and refusal parts.
    Message { parts: Vec<Part> },
    /// A call of a function or of a free-form tool.
    Call {
        call_id: String,
        name: String,
        arguments: String,
        custom: bool,
    },
}

/// A part of a message.
pub(super) struct Part {
    pub(super) refusal: bool,
    pub(super) text: String,
    /// Rendered annotations and log probabilities, with commas between.
    pub(super) annotations: Vec<u8>,
    pub(super) logprobs: Vec<u8>,
}

impl Part {
    pub(super) fn new(refusal: bool, text: impl Into<String>) -> Part {
        Part {
            refusal,
            text: text.into(),
            annotations: Vec::new(),
            logprobs: Vec::new(),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>, whole: bool) {
        let text = if whole { self.text.as_str() } else { "" };
        if self.refusal {
            out.extend_from_slice(b"{\"type\":\"refusal\",\"refusal\":");
            json::write_string(out, text);
            out.push(b'}');
            return;
        }
        out.extend_from_slice(b"{\"type\":\"output_text\",\"annotations\":[");
        out.extend_from_slice(&self.annotations);
        out.extend_from_slice(b"],\"logprobs\":[");
        out.extend_from_slice(&self.logprobs);
        out.extend_from_slice(b"],\"text\":");
        json::write_string(out, text);
        out.push(b'}');
    }
}

impl Item {
    /// Appends the item; `whole`: with its texts, else as it is announced.
    pub(super) fn write(&self, out: &mut Vec<u8>, back: &Back, status: &str, whole: bool) {
        out.extend_from_slice(b"{\"id\":");
        json::write_string(out, &self.id);
        match &self.body {
            Body::Reasoning { text, signature } => {
                out.extend_from_slice(b",\"type\":\"reasoning\",\"summary\":[");
                if whole && !text.is_empty() {
                    summary(out, text);
                }
                out.push(b']');
                let signature = signature.as_ref().filter(|_| back.encrypted && whole);
                if let Some(signature) = signature {
                    out.extend_from_slice(b",\"encrypted_content\":");
                    json::write_string(out, &format!("{SIGNED}{signature}"));
                }
            }
            Body::Message { parts } => {
                out.extend_from_slice(b",\"type\":\"message\",\"status\":\"");
                out.extend_from_slice(status.as_bytes());
                out.extend_from_slice(b"\",\"role\":\"assistant\",\"content\":[");
                for (place, part) in parts.iter().filter(|_| whole).enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    part.write(out, true);
                }
                out.push(b']');
            }
            Body::Call {
                call_id,
                name,
                arguments,
                custom,
            } => {
                let (kind, member) = match custom {
                    true => ("custom_tool_call", "input"),
                    false => ("function_call", "arguments"),
                };
                let head = format!(",\"type\":\"{kind}\",\"status\":\"{status}\",\"call_id\":");
                out.extend_from_slice(head.as_bytes());
                json::write_string(out, call_id);
                out.extend_from_slice(b",\"name\":");
                json::write_string(out, name);
                out.extend_from_slice(format!(",\"{member}\":").as_bytes());
                match (whole, custom) {
                    (false, _) => json::write_string(out, ""),
                    (true, true) => json::write_string(out, &input_of(arguments)),
                    (true, false) => json::write_string(out, arguments),
                }
            }
        }
        out.push(b'}');
    }
}

/// Appends a part of a reasoning summary.
pub(super) fn summary(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"{\"type\":\"summary_text\",\"text\":");
    json::write_string(out, text);
    out.push(b'}');
}

/// The text of a free-form call from the arguments of the function that stood for it.
pub(super) fn input_of(arguments: &str) -> Cow<'_, str> {
    let bytes = Bytes::copy_from_slice(arguments.as_bytes());
    let doc = Doc::parse(bytes, &Limits::default()).ok();
    let input = doc.as_ref().and_then(|doc| doc.root().get("input"));
    match input.and_then(|input| input.as_str()) {
        Some(input) => Cow::Owned(input.into_owned()),
        None => Cow::Borrowed(arguments),
    }
}

/// The id of a response: the call's id under the prefix that clients expect.
pub(super) fn response_id(id: &str) -> String {
    match id.strip_prefix("chatcmpl-") {
        Some(own) => format!("resp_{own}"),
        None if id.starts_with("resp_") => id.to_owned(),
        None => format!("resp_{id}"),
    }
}

/// The id of an item: a prefix that says what it is, the response and its place.
pub(super) fn item_id(prefix: &str, response: &str, place: usize) -> String {
    let own = response.strip_prefix("resp_").unwrap_or(response);
    format!("{prefix}_{own}_{place}")
}

/// How a response with this finish reason ends.
pub(super) fn status(reason: &str) -> Status<'static> {
    match reason {
        "length" | "max_tokens" => Status::Incomplete("max_output_tokens"),
        "content_filter" => Status::Incomplete("content_filter"),
        _ => Status::Completed,
    }
}

/// The first reasoning text of a message or delta.
pub(super) fn reasoning_of(message: Node<'_>) -> Option<Cow<'_, str>> {
    let names = ["reasoning_content", "reasoning", "thinking"];
    let mut texts = names
        .into_iter()
        .filter_map(|name| message.get(name)?.as_str());
    texts.find(|text| !text.is_empty())
}

/// The last signature in the thinking blocks of a message or delta.
pub(super) fn signature_of(message: Node<'_>) -> Option<String> {
    let blocks = message.get("thinking_blocks")?;
    let signed = blocks
        .items()
        .filter_map(|block| block.get("signature")?.as_str());
    signed
        .filter(|text| !text.is_empty())
        .last()
        .map(Cow::into_owned)
}

/// Appends the log probabilities of a choice.
pub(super) fn logprobs(out: &mut Vec<u8>, choice: Node<'_>) {
    let content = choice.get("logprobs").and_then(|node| node.get("content"));
    for token in content.into_iter().flat_map(|list| list.items()) {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend(token.raw().iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            other => *other,
        }));
    }
}
