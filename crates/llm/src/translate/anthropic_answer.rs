//! A whole Messages answer as a chat completion.

use super::{AnswerError, Back, JSON_TOOL, chat_write};
use crate::anthropic::usage;
use crate::json;
use crate::openai::stream::Head;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::usage::Usage;
use bytes::Bytes;

/// The `finish_reason` of a `stop_reason`.
pub(super) fn finish_reason(stop: &str, json_tool: bool) -> &'static str {
    match stop {
        "tool_use" if json_tool => "stop",
        "tool_use" => "tool_calls",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// What the blocks of a message become.
#[derive(Default)]
struct Parts {
    /// The text: string tokens without their quotes, joined.
    content: Option<Vec<u8>>,
    reasoning: Vec<u8>,
    /// JSON values with commas between.
    thinking: Vec<u8>,
    calls: Vec<u8>,
    citations: Vec<u8>,
    /// Blocks that chat completions have no place for.
    others: Vec<u8>,
    /// The output format's tool was called.
    formatted: bool,
    /// Another tool was called.
    called: bool,
}

/// The `chat.completion`.
pub(super) fn answer(
    back: &Back,
    body: Bytes,
    head: &Head,
    limits: &Limits,
) -> Result<Vec<u8>, AnswerError> {
    let doc = Doc::parse(body, limits)?;
    let root = doc.root();
    let content = root
        .get("content")
        .filter(|content| content.kind() == Kind::Array);
    let is_message = root.get("type").is_some_and(|kind| kind.is_str("message"));
    let Some(content) = content.filter(|_| is_message) else {
        return Err(AnswerError::Shape("it has not the shape of a message"));
    };
    let mut parts = Parts::default();
    for block in content.items() {
        parts.block(block, back)?;
    }
    let mut out = Vec::with_capacity(doc.bytes().len().saturating_add(256));
    chat_write::open(&mut out, head, "chat.completion");
    out.extend_from_slice(
        b",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":",
    );
    parts.write(&mut out);
    let stop = root.get("stop_reason").and_then(|stop| stop.as_str());
    let formatted = parts.formatted && !parts.called;
    let reason = finish_reason(stop.as_deref().unwrap_or_default(), formatted);
    out.extend_from_slice(b"},\"finish_reason\":\"");
    out.extend_from_slice(reason.as_bytes());
    out.extend_from_slice(b"\"}]");
    if let Some(block) = root.get("usage").filter(|block| !block.is_null()) {
        let counts = usage(block, &Usage::default());
        let counts = counts.map_err(|_| AnswerError::Shape("its usage cannot be true"))?;
        out.extend_from_slice(b",\"usage\":");
        chat_write::usage(&mut out, &counts);
    }
    out.push(b'}');
    Ok(out)
}

fn inner(token: &[u8]) -> &[u8] {
    token
        .get(1..token.len().saturating_sub(1))
        .unwrap_or_default()
}

fn listed(out: &mut Vec<u8>, value: &[u8]) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(value);
}

impl Parts {
    fn block(&mut self, block: Node<'_>, back: &Back) -> Result<(), AnswerError> {
        let text = |name: &str| block.get(name).filter(|node| node.kind() == Kind::String);
        let kind = block.get("type").and_then(|kind| kind.as_str());
        match kind.as_deref() {
            Some("text") => {
                let token = text("text").ok_or(AnswerError::Shape("a text block has no text"))?;
                self.content
                    .get_or_insert_default()
                    .extend_from_slice(inner(token.raw()));
                let citations = block.get("citations");
                for citation in citations.into_iter().flat_map(|list| list.items()) {
                    listed(&mut self.citations, citation.raw());
                }
            }
            Some("thinking") => {
                let token =
                    text("thinking").ok_or(AnswerError::Shape("a thinking block has no text"))?;
                self.reasoning.extend_from_slice(inner(token.raw()));
                listed(&mut self.thinking, block.raw());
            }
            Some("redacted_thinking") => listed(&mut self.thinking, block.raw()),
            Some("tool_use") => {
                let (Some(id), Some(name), Some(input)) =
                    (text("id"), text("name"), block.get("input"))
                else {
                    return Err(AnswerError::Shape("a tool call is incomplete"));
                };
                if back.json_tool && name.is_str(JSON_TOOL) {
                    self.formatted = true;
                    let mut token = Vec::new();
                    json::write_string(&mut token, &String::from_utf8_lossy(input.raw()));
                    self.content
                        .get_or_insert_default()
                        .extend_from_slice(inner(&token));
                } else {
                    self.called = true;
                    self.call(id, name, input, back);
                }
            }
            Some(_) => listed(&mut self.others, block.raw()),
            None => return Err(AnswerError::Shape("a block has no type")),
        }
        Ok(())
    }

    fn call(&mut self, id: Node<'_>, name: Node<'_>, input: Node<'_>, back: &Back) {
        listed(&mut self.calls, b"{\"id\":");
        let out = &mut self.calls;
        out.extend_from_slice(id.raw());
        out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        let sent = name.as_str().unwrap_or_default();
        json::write_string(out, back.tool_name(&sent));
        out.extend_from_slice(b",\"arguments\":");
        json::write_string(out, &String::from_utf8_lossy(input.raw()));
        out.extend_from_slice(b"}}");
    }

    /// The members of the chat message from the value of `content` on.
    fn write(&self, out: &mut Vec<u8>) {
        match &self.content {
            Some(content) => {
                out.push(b'"');
                out.extend_from_slice(content);
                out.push(b'"');
            }
            None => out.extend_from_slice(b"null"),
        }
        if !self.reasoning.is_empty() {
            out.extend_from_slice(b",\"reasoning_content\":\"");
            out.extend_from_slice(&self.reasoning);
            out.push(b'"');
        }
        let list = |out: &mut Vec<u8>, name: &[u8], values: &[u8]| {
            out.extend_from_slice(name);
            out.extend_from_slice(values);
            out.push(b']');
        };
        if !self.thinking.is_empty() {
            list(out, b",\"thinking_blocks\":[", &self.thinking);
        }
        if !self.calls.is_empty() {
            list(out, b",\"tool_calls\":[", &self.calls);
        }
        if self.citations.is_empty() && self.others.is_empty() {
            return;
        }
        out.extend_from_slice(b",\"provider_specific_fields\":{");
        if !self.citations.is_empty() {
            list(out, b"\"citations\":[", &self.citations);
        }
        if !self.others.is_empty() {
            let lead: &[u8] = match self.citations.is_empty() {
                true => b"\"content_blocks\":[",
                false => b",\"content_blocks\":[",
            };
            list(out, lead, &self.others);
        }
        out.push(b'}');
    }
}
