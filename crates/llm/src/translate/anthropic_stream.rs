//! A Messages stream as a chat completion stream.

use super::anthropic_answer::finish_reason;
use super::chat_write::{self, Chunks};
use super::{AnswerError, Back, JSON_TOOL, Step, TextPiece};
use crate::anthropic::usage;
use crate::json;
use crate::openai::stream::Head;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::sse::{DONE, Frame};
use crate::usage::Usage;

/// What the open block is.
enum Block {
    None,
    Text,
    /// The text so far, for the block that is given with its signature.
    Thinking(String),
    /// The call's number, whether arguments have come, and those of the start.
    Tool {
        number: u64,
        begun: bool,
        input: Vec<u8>,
    },
    /// The output format's tool: its arguments are the text.
    Format {
        begun: bool,
        input: Vec<u8>,
    },
    /// A block that chat completions have no place for; it was given whole.
    Other,
}

/// State of one stream.
pub(super) struct FromMessages {
    back: Back,
    limits: Limits,
    chunks: Chunks,
    block: Block,
    index: Option<u64>,
    calls: u64,
    /// The output format's tool was called.
    formatted: bool,
    usage: Usage,
    counted: bool,
    /// A stop reason was seen, and the end was written.
    ended: bool,
    done: bool,
}

impl FromMessages {
    pub(super) fn new(back: &Back, head: &Head, limits: &Limits) -> FromMessages {
        FromMessages {
            back: back.clone(),
            limits: *limits,
            chunks: Chunks::new(head),
            block: Block::None,
            index: None,
            calls: 0,
            formatted: false,
            usage: Usage::default(),
            counted: false,
            ended: false,
            done: false,
        }
    }

    fn count(&mut self, holder: Node<'_>) -> Result<(), AnswerError> {
        if let Some(block) = holder.get("usage").filter(|usage| !usage.is_null()) {
            let counts = usage(block, &self.usage);
            self.usage = counts.map_err(|_| AnswerError::Shape("its usage cannot be true"))?;
            self.counted = true;
        }
        Ok(())
    }

    fn begin(&mut self, event: Node<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let block = event.get("content_block");
        let index = event.get("index").and_then(|index| index.as_u64());
        let (Some(block), Some(index)) = (block, index) else {
            return Err(AnswerError::Shape(
                "a block begins without index or content",
            ));
        };
        if !matches!(self.block, Block::None) {
            return Err(AnswerError::Shape("a block begins inside another"));
        }
        self.index = Some(index);
        let text = |name: &str| block.get(name).filter(|node| node.kind() == Kind::String);
        let kind = block.get("type").and_then(|kind| kind.as_str());
        self.block = match kind.as_deref() {
            Some("text") => {
                self.first(out, text("text"), b"\"content\":");
                Block::Text
            }
            Some("thinking") => {
                self.first(out, text("thinking"), b"\"reasoning_content\":");
                let text = text("thinking").and_then(|text| text.as_str());
                Block::Thinking(text.unwrap_or_default().into_owned())
            }
            Some("redacted_thinking") => {
                self.thinking_block(out, block.raw());
                Block::Other
            }
            Some("tool_use") => self.tool(block, out)?,
            Some(_) => {
                self.chunks.delta(out, |out| {
                    out.extend_from_slice(b"\"provider_specific_fields\":{\"content_blocks\":[");
                    out.extend_from_slice(block.raw());
                    out.extend_from_slice(b"]}");
                });
                Block::Other
            }
            None => return Err(AnswerError::Shape("a block has no type")),
        };
        Ok(())
    }

    /// Text that comes with the start of a block.
    fn first(&self, out: &mut Vec<u8>, text: Option<Node<'_>>, member: &[u8]) {
        if let Some(text) = text.filter(|text| text.raw().len() > 2) {
            self.chunks.text(out, member, text.raw());
        }
    }

    fn thinking_block(&self, out: &mut Vec<u8>, block: &[u8]) {
        self.chunks.delta(out, |out| {
            out.extend_from_slice(b"\"thinking_blocks\":[");
            out.extend_from_slice(block);
            out.push(b']');
        });
    }

    fn tool(&mut self, block: Node<'_>, out: &mut Vec<u8>) -> Result<Block, AnswerError> {
        let text = |name: &str| block.get(name).filter(|node| node.kind() == Kind::String);
        let (Some(id), Some(name)) = (text("id"), text("name")) else {
            return Err(AnswerError::Shape("a tool call is incomplete"));
        };
        let input = block
            .get("input")
            .map(|input| json::string(&String::from_utf8_lossy(input.raw())));
        let input = input.unwrap_or_else(|| b"\"{}\"".to_vec());
        if self.back.json_tool && name.is_str(JSON_TOOL) {
            self.formatted = true;
            return Ok(Block::Format {
                begun: false,
                input,
            });
        }
        let number = self.calls;
        self.calls = self.calls.saturating_add(1);
        let sent = name.as_str().unwrap_or_default();
        self.chunks.delta(out, |out| {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            json::write_u64(out, number);
            out.extend_from_slice(b",\"id\":");
            out.extend_from_slice(id.raw());
            out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
            json::write_string(out, self.back.tool_name(&sent));
            out.extend_from_slice(b",\"arguments\":\"\"}}]");
        });
        Ok(Block::Tool {
            number,
            begun: false,
            input,
        })
    }

    fn delta(&mut self, event: Node<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let index = event.get("index").and_then(|index| index.as_u64());
        let Some(delta) = event
            .get("delta")
            .filter(|_| index.is_some() && index == self.index)
        else {
            return Err(AnswerError::Shape("a delta belongs to no open block"));
        };
        for (key, value) in delta.entries() {
            let name = key.as_str().unwrap_or_default();
            if value.kind() == Kind::String {
                self.piece(&name, value, out);
            } else if &*name == "citation" {
                self.chunks.delta(out, |out| {
                    out.extend_from_slice(b"\"provider_specific_fields\":{\"citation\":");
                    out.extend_from_slice(value.raw());
                    out.push(b'}');
                });
            }
        }
        Ok(())
    }

    fn piece(&mut self, name: &str, value: Node<'_>, out: &mut Vec<u8>) {
        match (name, &mut self.block) {
            ("text", Block::Text) => self.chunks.text(out, b"\"content\":", value.raw()),
            ("thinking", Block::Thinking(text)) => {
                text.push_str(&value.as_str().unwrap_or_default());
                self.chunks
                    .text(out, b"\"reasoning_content\":", value.raw());
            }
            ("signature", Block::Thinking(text)) => {
                let mut block = b"{\"type\":\"thinking\",\"thinking\":".to_vec();
                json::write_string(&mut block, text);
                block.extend_from_slice(b",\"signature\":");
                block.extend_from_slice(value.raw());
                block.push(b'}');
                self.thinking_block(out, &block);
            }
            ("partial_json", _) if value.raw().len() <= 2 => {}
            ("partial_json", Block::Tool { number, begun, .. }) => {
                *begun = true;
                self.chunks.arguments(out, *number, value.raw());
            }
            ("partial_json", Block::Format { begun, .. }) => {
                *begun = true;
                self.chunks.text(out, b"\"content\":", value.raw());
            }
            _ => {}
        }
    }

    fn end(&mut self, event: Node<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let index = event.get("index").and_then(|index| index.as_u64());
        if index.is_none() || index != self.index {
            return Err(AnswerError::Shape("a block ends that is not open"));
        }
        self.index = None;
        match std::mem::replace(&mut self.block, Block::None) {
            // A call without arguments: clients read JSON there.
            Block::Tool {
                number,
                begun: false,
                input,
            } => {
                self.chunks.arguments(out, number, &input);
            }
            Block::Format {
                begun: false,
                input,
            } => {
                self.chunks.text(out, b"\"content\":", &input);
            }
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        if self.counted {
            self.chunks.usage(out, &self.usage);
        }
        out.extend_from_slice(DONE);
    }

    fn message_delta(&mut self, event: Node<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        self.count(event)?;
        let reason = event
            .get("delta")
            .and_then(|delta| delta.get("stop_reason"));
        if let Some(reason) = reason.and_then(|reason| reason.as_str()) {
            let formatted = self.formatted && self.calls == 0;
            self.chunks.finish(out, finish_reason(&reason, formatted));
            self.ended = true;
        }
        Ok(())
    }
}

impl Step for FromMessages {
    fn piece(&mut self, frame: &Frame) -> Option<TextPiece> {
        let data = frame.data.as_ref()?;
        let plain = matches!(self.block, Block::Text) && !self.done;
        if !plain || memchr::memmem::find(data, b"\"text_delta\"").is_none() {
            return None;
        }
        let doc = Doc::parse(data.clone(), &self.limits).ok()?;
        let root = doc.root();
        let index = root.get("index").and_then(|index| index.as_u64());
        let delta = root.get("delta")?;
        let known = root.get("type")?.is_str("content_block_delta")
            && delta.get("type")?.is_str("text_delta")
            && delta.entries().count() == 2
            && index.is_some()
            && index == self.index;
        let text = delta.get("text")?;
        let text =
            (known && text.kind() == Kind::String && text.raw().len() > 2).then(|| text.id())?;
        Some(TextPiece::new(doc, text))
    }

    fn push(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let Some(data) = frame.data.clone() else {
            return Ok(());
        };
        let doc = Doc::parse(data, &self.limits)?;
        let event = doc.root();
        let kind = event.get("type").and_then(|kind| kind.as_str());
        match kind.as_deref() {
            Some("content_block_delta") => self.delta(event, out),
            Some("content_block_start") => self.begin(event, out),
            Some("content_block_stop") => self.end(event, out),
            Some("message_start") => {
                if let Some(message) = event.get("message") {
                    self.count(message)?;
                }
                self.chunks.delta(out, |out| {
                    out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\"");
                });
                Ok(())
            }
            Some("message_delta") => self.message_delta(event, out),
            Some("message_stop") => {
                self.close(out);
                Ok(())
            }
            Some("error") => {
                let text = |name: &str| event.get("error")?.get(name)?.as_str();
                let message = text("message").unwrap_or_default();
                chat_write::error(out, &message, text("type").as_deref(), None);
                Ok(())
            }
            // Pings and events of newer versions.
            Some(_) => Ok(()),
            None => Err(AnswerError::Shape("an event has no type")),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        // An answer that said why it ended is complete, whether its last event came or not.
        if self.ended {
            self.close(out);
        }
        Ok(())
    }
}
