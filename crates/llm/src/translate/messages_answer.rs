//! A chat completion as a Messages answer.

use super::anthropic_messages::object_of;
use super::{AnswerError, Back};
use crate::json;
use crate::openai::stream::Head;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::usage::Usage;
use bytes::Bytes;

/// The `stop_reason` of a `finish_reason`; `called` if there is a tool call.
pub(super) fn stop_reason(finish: &str, called: bool) -> &'static str {
    match finish {
        "length" => "max_tokens",
        "content_filter" => "refusal",
        "tool_calls" | "function_call" => "tool_use",
        // Some servers say `stop` after calls.
        _ if called => "tool_use",
        _ => "end_turn",
    }
}

/// Appends a usage block in the words of the Messages API.
pub(super) fn usage(out: &mut Vec<u8>, usage: &Usage) {
    let beside = usage.cached_input.saturating_add(usage.cache_write);
    let mut number = |name: &[u8], value: u64| {
        out.extend_from_slice(name);
        json::write_u64(out, value);
    };
    number(b"{\"input_tokens\":", usage.input.saturating_sub(beside));
    number(b",\"cache_creation_input_tokens\":", usage.cache_write);
    number(b",\"cache_read_input_tokens\":", usage.cached_input);
    number(b",\"output_tokens\":", usage.output);
    if usage.reasoning > 0 {
        number(
            b",\"output_tokens_details\":{\"thinking_tokens\":",
            usage.reasoning,
        );
        out.push(b'}');
    }
    out.push(b'}');
}

/// Appends `{"id":..,"type":"message","role":"assistant","model":..`, not closed.
pub(super) fn open(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(out, &head.id);
    out.extend_from_slice(b",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    json::write_string(out, &head.model);
}

/// The `message`.
pub(super) fn answer(
    back: &Back,
    body: Bytes,
    head: &Head,
    limits: &Limits,
) -> Result<Vec<u8>, AnswerError> {
    let doc = Doc::parse(body, limits)?;
    let root = doc.root();
    let choice = root
        .get("choices")
        .and_then(|choices| choices.items().next());
    let message = choice.and_then(|choice| choice.get("message"));
    let (Some(choice), Some(message)) = (choice, message.filter(|m| m.kind() == Kind::Object))
    else {
        return Err(AnswerError::Shape(
            "it has not the shape of a chat completion",
        ));
    };
    let mut out = Vec::with_capacity(doc.bytes().len().saturating_add(256));
    open(&mut out, head);
    out.extend_from_slice(b",\"content\":[");
    let mut blocks = Blocks {
        out: &mut out,
        count: 0,
    };
    blocks.thinking(message);
    blocks.text(message.get("content"))?;
    let refused = blocks.refusal(message.get("refusal"));
    let called = blocks.calls(message, back)?;
    out.extend_from_slice(b"],\"stop_reason\":\"");
    let finish = choice
        .get("finish_reason")
        .and_then(|reason| reason.as_str());
    let stop = match refused {
        true => "refusal",
        false => stop_reason(finish.as_deref().unwrap_or_default(), called),
    };
    out.extend_from_slice(stop.as_bytes());
    out.extend_from_slice(b"\",\"stop_sequence\":null,\"usage\":");
    let counts = Usage::of_answer(root);
    let counts = counts.map_err(|_| AnswerError::Shape("its usage cannot be true"))?;
    match counts {
        Some(counts) => usage(&mut out, &counts),
        // The member is needed; without counts it says that it is no count.
        None => estimated(&mut out, back.input_estimate, 0),
    }
    out.push(b'}');
    Ok(out)
}

/// Appends a usage block that is an estimate and says so.
pub(super) fn estimated(out: &mut Vec<u8>, input: u64, output: u64) {
    out.extend_from_slice(b"{\"input_tokens\":");
    json::write_u64(out, input);
    out.extend_from_slice(b",\"output_tokens\":");
    json::write_u64(out, output);
    out.extend_from_slice(b",\"estimated\":true}");
}

/// Writes the blocks of one message.
struct Blocks<'o> {
    out: &'o mut Vec<u8>,
    count: u32,
}

impl Blocks<'_> {
    fn block(&mut self, lead: &[u8]) -> &mut Vec<u8> {
        if self.count > 0 {
            self.out.push(b',');
        }
        self.count = self.count.saturating_add(1);
        self.out.extend_from_slice(lead);
        self.out
    }

    /// Signed thinking as it is; else the reasoning text, which nobody has signed.
    fn thinking(&mut self, message: Node<'_>) {
        let blocks = message.get("thinking_blocks");
        let mut signed = false;
        for block in blocks.into_iter().flat_map(|blocks| blocks.items()) {
            self.block(b"").extend_from_slice(block.raw());
            signed = true;
        }
        let text = message
            .get("reasoning_content")
            .or_else(|| message.get("reasoning"));
        let text = text.filter(|text| text.kind() == Kind::String && text.raw().len() > 2);
        if let Some(text) = text.filter(|_| !signed) {
            let out = self.block(b"{\"type\":\"thinking\",\"thinking\":");
            out.extend_from_slice(text.raw());
            out.extend_from_slice(b",\"signature\":\"\"}");
        }
    }

    fn one(&mut self, text: Node<'_>) {
        if text.raw().len() > 2 {
            let out = self.block(b"{\"type\":\"text\",\"text\":");
            out.extend_from_slice(text.raw());
            out.push(b'}');
        }
    }

    fn text(&mut self, content: Option<Node<'_>>) -> Result<(), AnswerError> {
        let Some(content) = content else {
            return Ok(());
        };
        match content.kind() {
            Kind::String => self.one(content),
            Kind::Null => {}
            Kind::Array => {
                for part in content.items() {
                    let text = part.get("text").filter(|text| text.kind() == Kind::String);
                    self.one(text.ok_or(AnswerError::Shape("a part of the answer is no text"))?);
                }
            }
            _ => return Err(AnswerError::Shape("the content is no text")),
        }
        Ok(())
    }

    fn refusal(&mut self, refusal: Option<Node<'_>>) -> bool {
        let text = refusal.filter(|text| text.kind() == Kind::String);
        text.into_iter().for_each(|text| self.one(text));
        text.is_some()
    }

    fn calls(&mut self, message: Node<'_>, back: &Back) -> Result<bool, AnswerError> {
        let list = message.get("tool_calls");
        let mut called = false;
        for call in list.into_iter().flat_map(|calls| calls.items()) {
            let text = |owner: Option<Node<'_>>, name: &str| {
                let node = owner?.get(name)?;
                Some(node.as_str()?.into_owned())
            };
            let function = call.get("function");
            let (Some(id), Some(name)) = (text(Some(call), "id"), text(function, "name")) else {
                return Err(AnswerError::Shape("a tool call is incomplete"));
            };
            let out = self.block(b"{\"type\":\"tool_use\",\"id\":");
            json::write_string(out, &id);
            out.extend_from_slice(b",\"name\":");
            json::write_string(out, back.tool_name(&name));
            out.extend_from_slice(b",\"input\":");
            object_of(out, &text(function, "arguments").unwrap_or_default());
            out.push(b'}');
            called = true;
        }
        Ok(called)
    }
}
