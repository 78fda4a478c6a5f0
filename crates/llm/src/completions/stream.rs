//! The events of one text completion.

use crate::edit::EditError;
use crate::json;
use crate::openai::Channel;
use crate::protocol::{Change, ChatStream, Event, Failure, Piece, Stream, StreamOptions};
use crate::scan::{Doc, ScanError};
use crate::sse::Frame;
use std::borrow::Cow;

/// State of the stream of one text completion: that of a chat completion, whose choices
/// carry `text` instead of a delta.
#[derive(Debug)]
pub struct CompletionsStream {
    chat: ChatStream,
    model: String,
    /// Id and time of the answer, once known.
    head: Option<(String, u64)>,
    limits: crate::scan::Limits,
}

impl CompletionsStream {
    /// Before the first event.
    #[must_use]
    pub fn new(options: StreamOptions<'_>) -> CompletionsStream {
        CompletionsStream {
            chat: ChatStream::new(options.clone()),
            model: options.model.to_owned(),
            head: None,
            limits: options.limits,
        }
    }

    fn learn(&mut self, frame: &Frame) {
        let data = frame.data.clone().unwrap_or_default();
        let Ok(doc) = Doc::parse(data, &self.limits) else {
            return;
        };
        let id = doc.root().get("id").and_then(|id| id.as_str());
        let created = doc.root().get("created").and_then(|node| node.as_u64());
        if let Some(id) = id.map(Cow::into_owned) {
            self.head = Some((id, created.unwrap_or(0)));
        }
    }
}

impl Stream for CompletionsStream {
    fn read(&mut self, frame: Frame) -> Result<Event, ScanError> {
        if self.head.is_none() {
            self.learn(&frame);
        }
        self.chat.read(frame)
    }

    fn write_piece(&mut self, piece: &Piece, text: Option<&str>, out: &mut Vec<u8>) {
        self.chat.write_piece(piece, text, out);
    }

    fn write(
        &mut self,
        change: &mut Change,
        texts: &[Option<String>],
        out: &mut Vec<u8>,
    ) -> Result<(), EditError> {
        self.chat.write(change, texts, out)
    }

    fn write_tail(&mut self, choice: u32, channel: Channel, text: &str, out: &mut Vec<u8>) -> bool {
        let (Some((id, created)), Channel::Text) = (&self.head, channel) else {
            return false;
        };
        out.extend_from_slice(b"data: {\"id\":");
        json::write_string(out, id);
        out.extend_from_slice(b",\"object\":\"text_completion\",\"created\":");
        json::write_u64(out, *created);
        out.extend_from_slice(b",\"model\":");
        json::write_string(out, &self.model);
        out.extend_from_slice(b",\"choices\":[{\"text\":");
        json::write_string(out, text);
        out.extend_from_slice(b",\"index\":");
        json::write_u64(out, u64::from(choice));
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":null}]}\n\n");
        true
    }

    fn is_complete(&self) -> bool {
        self.chat.is_complete()
    }

    fn write_failure(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        self.chat.write_failure(failure, out);
    }
}
