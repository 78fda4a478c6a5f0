//! A chat completion stream as a Messages stream.

use super::messages_answer::{self, stop_reason};
use super::{AnswerError, Back, Step, TextPiece};
use crate::anthropic::write::{self, Delta};
use crate::json;
use crate::openai::stream::Head;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::sse::Frame;
use crate::usage::Usage;

/// What the open block is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Thinking,
    Text,
    /// The call of this number.
    Tool(u64),
}

/// State of one stream.
pub(super) struct ToMessages {
    back: Back,
    head: Head,
    limits: Limits,
    started: bool,
    open: Option<Open>,
    /// Index of the next block.
    next: u32,
    /// Numbers of the calls that began.
    calls: Vec<u64>,
    reason: Option<&'static str>,
    refused: bool,
    usage: Option<Usage>,
    /// Letters of output, for an estimate where the provider counts nothing.
    letters: usize,
    done: bool,
}

impl ToMessages {
    pub(super) fn new(back: &Back, head: &Head, limits: &Limits) -> ToMessages {
        ToMessages {
            back: back.clone(),
            head: head.clone(),
            limits: *limits,
            started: false,
            open: None,
            next: 0,
            calls: Vec::new(),
            reason: None,
            refused: false,
            usage: None,
            letters: 0,
            done: false,
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        write::event(out, "message_start", |out| {
            out.extend_from_slice(b"{\"type\":\"message_start\",\"message\":");
            messages_answer::open(out, &self.head);
            let rest = b",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":";
            out.extend_from_slice(rest);
            messages_answer::estimated(out, self.back.input_estimate, 1);
            out.extend_from_slice(b"}}");
        });
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            write::block_stop(out, self.next);
            self.next = self.next.saturating_add(1);
        }
    }

    /// Makes `wanted` the open block, which `members` begins.
    fn enter(
        &mut self,
        wanted: Open,
        out: &mut Vec<u8>,
        kind: &str,
        members: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.open != Some(wanted) {
            self.close(out);
            write::block_start(out, self.next, kind, members);
            self.open = Some(wanted);
        }
    }

    fn text(&mut self, text: Node<'_>, out: &mut Vec<u8>) {
        self.letters = self.letters.saturating_add(text.raw().len());
        self.enter(Open::Text, out, "text", |out| {
            out.extend_from_slice(b",\"text\":\"\"")
        });
        write::delta(out, self.next, Delta::Text, text.raw());
    }

    fn thinking(&mut self, text: Node<'_>, out: &mut Vec<u8>) {
        self.letters = self.letters.saturating_add(text.raw().len());
        self.enter(Open::Thinking, out, "thinking", |out| {
            out.extend_from_slice(b",\"thinking\":\"\",\"signature\":\"\"");
        });
        write::delta(out, self.next, Delta::Thinking, text.raw());
    }

    /// Signed thinking, given whole when it is complete.
    fn signed(&mut self, block: Node<'_>, out: &mut Vec<u8>) {
        let text = |name: &str| block.get(name).filter(|node| node.kind() == Kind::String);
        match (text("thinking"), text("signature"), text("data")) {
            (thinking, Some(signature), _) => {
                if self.open != Some(Open::Thinking)
                    && let Some(thinking) = thinking
                {
                    self.thinking(thinking, out);
                }
                write::delta(out, self.next, Delta::Signature, signature.raw());
                self.close(out);
            }
            (_, None, Some(data)) => {
                self.close(out);
                write::block_start(out, self.next, "redacted_thinking", |out| {
                    out.extend_from_slice(b",\"data\":");
                    out.extend_from_slice(data.raw());
                });
                self.open = Some(Open::Thinking);
                self.close(out);
            }
            _ => {}
        }
    }

    fn call(&mut self, call: Node<'_>, place: u64, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let number = call
            .get("index")
            .and_then(|index| index.as_u64())
            .unwrap_or(place);
        let text = |owner: Option<Node<'_>>, name: &str| {
            let node = owner.and_then(|owner| owner.get(name))?;
            (node.kind() == Kind::String).then_some(node.id())
        };
        let function = call.get("function");
        if self.open != Some(Open::Tool(number)) {
            if self.calls.contains(&number) {
                return Err(AnswerError::Shape("pieces of several tool calls are mixed"));
            }
            let Some(name) = text(function, "name") else {
                return Err(AnswerError::Shape("a tool call begins without a name"));
            };
            self.calls.push(number);
            let sent = call.doc().node(name).as_str().unwrap_or_default();
            let name = self.back.tool_name(&sent).to_owned();
            let id = text(Some(call), "id").and_then(|id| call.doc().node(id).as_str());
            let id = id.map_or_else(|| format!("toolu_{number}"), |id| id.into_owned());
            self.enter(Open::Tool(number), out, "tool_use", |out| {
                out.extend_from_slice(b",\"id\":");
                json::write_string(out, &id);
                out.extend_from_slice(b",\"name\":");
                json::write_string(out, &name);
                out.extend_from_slice(b",\"input\":{}");
            });
        }
        if let Some(piece) = text(function, "arguments") {
            let piece = call.doc().node(piece).raw();
            if piece.len() > 2 {
                self.letters = self.letters.saturating_add(piece.len());
                write::delta(out, self.next, Delta::Input, piece);
            }
        }
        Ok(())
    }

    fn choice(&mut self, choice: Node<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let delta = choice.get("delta");
        for (key, value) in delta.into_iter().flat_map(|delta| delta.entries()) {
            let name = key.as_str().unwrap_or_default();
            let some = value.kind() == Kind::String && value.raw().len() > 2;
            match &*name {
                "content" if some => self.text(value, out),
                "content" => {
                    for part in value.items() {
                        if let Some(text) = part.get("text").filter(|text| text.raw().len() > 2) {
                            self.text(text, out);
                        }
                    }
                }
                "refusal" if some => {
                    self.refused = true;
                    self.text(value, out);
                }
                "reasoning_content" | "reasoning" if some => self.thinking(value, out),
                "thinking_blocks" => value.items().for_each(|block| self.signed(block, out)),
                "tool_calls" => {
                    for (place, call) in value.items().enumerate() {
                        self.call(call, u64::try_from(place).unwrap_or(0), out)?;
                    }
                }
                _ => {}
            }
        }
        let finish = choice
            .get("finish_reason")
            .and_then(|reason| reason.as_str());
        if let Some(finish) = finish {
            self.close(out);
            self.reason = Some(match self.refused {
                true => "refusal",
                false => stop_reason(&finish, !self.calls.is_empty()),
            });
        }
        Ok(())
    }

    /// The end, once the provider has said why the answer ended.
    fn end(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        let Some(reason) = self.reason.filter(|_| !self.done) else {
            return;
        };
        self.done = true;
        write::event(out, "message_delta", |out| {
            out.extend_from_slice(b"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"");
            out.extend_from_slice(reason.as_bytes());
            out.extend_from_slice(b"\",\"stop_sequence\":null},\"usage\":");
            match &self.usage {
                Some(usage) => messages_answer::usage(out, usage),
                None => {
                    let output = u64::try_from(self.letters / 4).unwrap_or(0).max(1);
                    messages_answer::estimated(out, self.back.input_estimate, output);
                }
            }
            out.push(b'}');
        });
        write::message_stop(out);
    }

    fn error(&mut self, error: Node<'_>, out: &mut Vec<u8>) {
        self.close(out);
        self.done = true;
        let text = |name: &str| error.get(name)?.as_str();
        let message = text("message")
            .or_else(|| error.as_str())
            .unwrap_or_default();
        let kind = text("type");
        let kind = match kind.as_deref() {
            Some("overloaded_error") => "overloaded_error",
            Some("rate_limit_error" | "throttling_error" | "tokens" | "requests") => {
                "rate_limit_error"
            }
            Some("invalid_request_error") => "invalid_request_error",
            _ => "api_error",
        };
        let envelope = crate::anthropic::error::Envelope {
            kind,
            message: &message,
            request_id: None,
            provider_specific_fields: None,
        };
        out.extend_from_slice(&envelope.frame());
    }
}

impl Step for ToMessages {
    fn take(&mut self, piece: &TextPiece, out: &mut Vec<u8>) -> bool {
        let plain = self.started && !self.done && self.open == Some(Open::Text);
        if plain {
            self.text(piece.token(), out);
        }
        plain
    }

    fn push(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let Some(data) = frame.data.clone() else {
            return Ok(());
        };
        if data.trim_ascii() == b"[DONE]" {
            self.end(out);
            return Ok(());
        }
        let doc = Doc::parse(data, &self.limits)?;
        let root = doc.root();
        if let Some(error) = root.get("error").filter(|error| !error.is_null()) {
            self.error(error, out);
            return Ok(());
        }
        if self.done {
            return Err(AnswerError::Shape("an event follows the end"));
        }
        self.start(out);
        let usage = Usage::of_answer(root);
        let usage = usage.map_err(|_| AnswerError::Shape("its usage cannot be true"))?;
        self.usage = usage.or(self.usage);
        let choices = root.get("choices");
        for choice in choices.into_iter().flat_map(|choices| choices.items()) {
            let index = choice.get("index").and_then(|index| index.as_u64());
            if index.unwrap_or(0) == 0 {
                self.choice(choice, out)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        self.end(out);
        Ok(())
    }
}
