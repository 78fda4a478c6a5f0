//! Gemini's answers as chat completions.

use super::gemini_contents::signed_id;
use super::types::{AnswerError, Back};
use crate::json;
use crate::openai::stream::Head;
use crate::scan::{Doc, Kind, Node};
use crate::usage::{MAX_TOKENS, Usage};

/// One piece of a candidate.
pub(super) enum Piece<'a> {
    /// A string token of the answer's text.
    Text(Node<'a>),
    /// A string token of a thought.
    Thought(Node<'a>),
    /// A function call: name, arguments, signature of the thought behind it.
    Call(Node<'a>, Option<Node<'a>>, Option<String>),
    /// Inline media: type and data.
    Media(Node<'a>, Node<'a>),
}

/// The pieces of a candidate, in order.
pub(super) fn pieces(candidate: Node<'_>) -> impl Iterator<Item = Piece<'_>> {
    let parts = candidate
        .get("content")
        .and_then(|content| content.get("parts"));
    let parts = parts.into_iter().flat_map(|parts| parts.items());
    parts.flat_map(|part| {
        let is_thought = part.get("thought").and_then(|node| node.as_bool()) == Some(true);
        let mut found = Vec::new();
        for (key, value) in part.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "text" if value.kind() == Kind::String => found.push(match is_thought {
                    true => Piece::Thought(value),
                    false => Piece::Text(value),
                }),
                "functionCall" => {
                    let signature = part.get("thoughtSignature").and_then(|node| node.as_str());
                    let signature = signature.map(|text| text.into_owned());
                    let name = value.get("name").filter(|name| name.kind() == Kind::String);
                    found.extend(name.map(|name| Piece::Call(name, value.get("args"), signature)));
                }
                "inlineData" => {
                    if let (Some(kind), Some(data)) = (value.get("mimeType"), value.get("data")) {
                        found.push(Piece::Media(kind, data));
                    }
                }
                // What a program of the model is and gave: shown as the text it is.
                "executableCode" => found.extend(value.get("code").map(Piece::Text)),
                "codeExecutionResult" => found.extend(value.get("output").map(Piece::Text)),
                _ => {}
            }
        }
        found
    })
}

/// The candidates with their index.
pub(super) fn candidates(root: Node<'_>) -> impl Iterator<Item = (u64, Node<'_>)> {
    let list = root
        .get("candidates")
        .into_iter()
        .flat_map(|list| list.items());
    list.enumerate().map(|(place, candidate)| {
        let index = candidate.get("index").and_then(|node| node.as_u64());
        (index.unwrap_or(place as u64), candidate)
    })
}

/// Why a candidate ended, in the words of chat completions.
pub(super) fn finish_reason(candidate: Node<'_>, calls: bool) -> Option<&'static str> {
    let reason = candidate.get("finishReason")?.as_str()?;
    Some(match &*reason {
        "STOP" if calls => "tool_calls",
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "LANGUAGE"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION" => "content_filter",
        _ => "stop",
    })
}

/// Whether the prompt was refused: there are no candidates then.
pub(super) fn is_blocked(root: Node<'_>) -> bool {
    let feedback = root.get("promptFeedback");
    feedback.is_some_and(|feedback| feedback.get("blockReason").is_some_and(|r| !r.is_null()))
}

/// The counts of `usageMetadata`; nothing if they cannot be true.
pub(super) fn usage(root: Node<'_>) -> Option<Usage> {
    let block = root
        .get("usageMetadata")
        .filter(|block| block.kind() == Kind::Object)?;
    let count = |name: &str| {
        let value = block.get(name).filter(|value| !value.is_null());
        match value {
            None => Some(0),
            Some(value) => value.as_u64().filter(|value| *value <= MAX_TOKENS),
        }
    };
    let input = count("promptTokenCount")?.saturating_add(count("toolUsePromptTokenCount")?);
    let reasoning = count("thoughtsTokenCount")?;
    let output = count("candidatesTokenCount")?.saturating_add(reasoning);
    let usage = Usage {
        input,
        output,
        total: input.saturating_add(output),
        cached_input: count("cachedContentTokenCount")?,
        reasoning,
        ..Usage::default()
    };
    (usage.cached_input <= usage.input).then_some(usage)
}

/// Appends a call as an element of `tool_calls`. `index`: its number in a stream.
pub(super) fn call(
    out: &mut Vec<u8>,
    back: &Back,
    id: &str,
    index: Option<u64>,
    (name, arguments, signature): (Node<'_>, Option<Node<'_>>, Option<&str>),
) {
    out.push(b'{');
    if let Some(index) = index {
        out.extend_from_slice(b"\"index\":");
        json::write_u64(out, index);
        out.push(b',');
    }
    out.extend_from_slice(b"\"id\":");
    json::write_string(out, &signed_id(id, signature));
    out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
    let name = name.as_str().unwrap_or_default();
    json::write_string(out, back.tool_name(&name));
    out.extend_from_slice(b",\"arguments\":");
    let object = arguments.filter(|node| node.kind() == Kind::Object);
    let object = object.map_or(&b"{}"[..], |node| node.raw());
    json::write_string(out, &String::from_utf8_lossy(object));
    out.push(b'}');
    if let Some(signature) = signature {
        out.extend_from_slice(b",\"provider_specific_fields\":{\"thought_signature\":");
        json::write_string(out, signature);
        out.push(b'}');
    }
    out.push(b'}');
}

/// Appends a medium as an element of `images`.
pub(super) fn image(out: &mut Vec<u8>, kind: Node<'_>, data: Node<'_>) {
    let (kind, data) = (
        kind.as_str().unwrap_or_default(),
        data.as_str().unwrap_or_default(),
    );
    out.extend_from_slice(b"{\"type\":\"image_url\",\"image_url\":{\"url\":");
    json::write_string(out, &format!("data:{kind};base64,{data}"));
    out.extend_from_slice(b"}}");
}

/// The id of a call: the answer's, the candidate and its number.
pub(super) fn call_id(head: &Head, candidate: u64, number: u64) -> String {
    let own = head.id.strip_prefix("chatcmpl-").unwrap_or(&head.id);
    format!("call_{own}_{candidate}_{number}")
}

/// The message of a candidate as it is collected.
#[derive(Default)]
struct Message {
    text: Vec<u8>,
    reasoning: Vec<u8>,
    calls: Vec<u8>,
    images: Vec<u8>,
    count: u64,
}

/// Appends the inside of a string token.
fn append(out: &mut Vec<u8>, token: Node<'_>) {
    let raw = token.raw();
    out.extend_from_slice(raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default());
}

impl Message {
    fn of(candidate: Node<'_>, index: u64, back: &Back, head: &Head) -> Message {
        let mut own = Message::default();
        for piece in pieces(candidate) {
            match piece {
                Piece::Text(token) => append(&mut own.text, token),
                Piece::Thought(token) => append(&mut own.reasoning, token),
                Piece::Call(name, arguments, signature) => {
                    if own.count > 0 {
                        own.calls.push(b',');
                    }
                    let id = call_id(head, index, own.count);
                    let parts = (name, arguments, signature.as_deref());
                    call(&mut own.calls, back, &id, None, parts);
                    own.count = own.count.saturating_add(1);
                }
                Piece::Media(kind, data) => {
                    if !own.images.is_empty() {
                        own.images.push(b',');
                    }
                    image(&mut own.images, kind, data);
                }
            }
        }
        own
    }

    fn write(&self, out: &mut Vec<u8>, index: u64, reason: &str) {
        out.extend_from_slice(b"{\"index\":");
        json::write_u64(out, index);
        out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":");
        let string = |out: &mut Vec<u8>, inner: &[u8]| {
            out.push(b'"');
            out.extend_from_slice(inner);
            out.push(b'"');
        };
        match self.text.is_empty() && self.count > 0 {
            true => out.extend_from_slice(b"null"),
            false => string(out, &self.text),
        }
        if !self.reasoning.is_empty() {
            out.extend_from_slice(b",\"reasoning_content\":");
            string(out, &self.reasoning);
        }
        let lists: [(&[u8], &[u8]); 2] = [
            (b",\"tool_calls\":[", &self.calls),
            (b",\"images\":[", &self.images),
        ];
        for (name, items) in lists.into_iter().filter(|(_, items)| !items.is_empty()) {
            out.extend_from_slice(name);
            out.extend_from_slice(items);
            out.push(b']');
        }
        out.extend_from_slice(b"},\"finish_reason\":\"");
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\"}");
    }
}

/// Appends usage in the words of chat completions.
pub(super) fn write_usage(out: &mut Vec<u8>, usage: &Usage) {
    let members = [
        ("{\"prompt_tokens\":", usage.input),
        (",\"completion_tokens\":", usage.output),
        (",\"total_tokens\":", usage.total),
        (
            ",\"prompt_tokens_details\":{\"cached_tokens\":",
            usage.cached_input,
        ),
        (
            "},\"completion_tokens_details\":{\"reasoning_tokens\":",
            usage.reasoning,
        ),
    ];
    for (name, value) in members {
        out.extend_from_slice(name.as_bytes());
        json::write_u64(out, value);
    }
    out.extend_from_slice(b"}}");
}

/// Appends `{"id":..,"object":..,"created":..,"model":..,"choices":[`.
pub(super) fn open(out: &mut Vec<u8>, head: &Head, object: &str) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(out, &head.id);
    out.extend_from_slice(b",\"object\":");
    json::write_string(out, object);
    out.extend_from_slice(b",\"created\":");
    json::write_u64(out, head.created);
    out.extend_from_slice(b",\"model\":");
    json::write_string(out, &head.model);
    out.extend_from_slice(b",\"choices\":[");
}

/// The chat completion of a scanned answer.
pub(super) fn to_chat(doc: &Doc, back: &Back, head: &Head) -> Result<Vec<u8>, AnswerError> {
    let root = doc.root();
    let blocked = is_blocked(root);
    if root
        .get("candidates")
        .is_none_or(|list| list.kind() != Kind::Array)
        && !blocked
    {
        return Err(AnswerError::Shape("it has no candidates"));
    }
    let mut out = Vec::with_capacity(doc.bytes().len().saturating_add(256));
    open(&mut out, head, "chat.completion");
    let from = out.len();
    for (index, candidate) in candidates(root) {
        if out.len() > from {
            out.push(b',');
        }
        let message = Message::of(candidate, index, back, head);
        let reason = finish_reason(candidate, message.count > 0);
        message.write(&mut out, index, reason.unwrap_or("stop"));
    }
    if out.len() == from {
        // The prompt was refused, or nothing was answered.
        let reason = if blocked { "content_filter" } else { "stop" };
        Message::default().write(&mut out, 0, reason);
    }
    out.push(b']');
    if let Some(usage) = usage(root) {
        out.extend_from_slice(b",\"usage\":");
        write_usage(&mut out, &usage);
    }
    out.push(b'}');
    Ok(out)
}
