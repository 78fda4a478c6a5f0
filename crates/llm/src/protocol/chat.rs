//! Chat completions as a protocol.

use super::stream::{Change, Event, Reported, Stream, StreamOptions};
use super::{Answer, Channel, Output, Request, Target, ToolCall};
use crate::edit::Edits;
use crate::openai::chat::{Request as ChatRequest, Response as ChatResponse};
use crate::openai::relay::{Read, Relay};
use crate::openai::stream::{Chunk, Head};
use crate::scan::{Doc, Node, ScanError};
use crate::sse::Frame;
use crate::transcript::{OpaquePart, Transcript};
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::borrow::Cow;

impl Request for ChatRequest {
    fn doc(&self) -> &Doc {
        self.doc()
    }

    fn transcript(&self) -> &Transcript {
        self.transcript()
    }

    fn model(&self) -> Option<&str> {
        self.model()
    }

    fn stream(&self) -> bool {
        self.stream()
    }

    fn include_usage(&self) -> bool {
        self.include_usage()
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        self.user()
    }

    fn unknown_members(&self) -> Vec<String> {
        self.unknown_members().map(Cow::into_owned).collect()
    }

    fn last_user_text(&self) -> Option<Cow<'_, str>> {
        self.last_user_text()
    }

    fn prompt(&self) -> Option<Node<'_>> {
        Some(self.messages())
    }

    fn upstream_edits(&self, target: &Target<'_>) -> Edits {
        self.upstream_edits(target)
    }

    fn forbid_retention(&self, edits: &mut Edits) {
        // The root is an object: checked when the request was parsed.
        let _ = edits.set_member(self.doc().root(), "store", *b"false");
    }

    fn max_output_tokens(&self) -> Option<u64> {
        self.max_tokens()
    }

    fn choices(&self) -> u64 {
        self.n()
    }
}

impl Answer for ChatResponse {
    fn doc(&self) -> &Doc {
        self.doc()
    }

    fn is_answer(&self) -> bool {
        self.is_answer()
    }

    fn outputs(&self) -> &[Output] {
        self.outputs()
    }

    fn opaque(&self) -> &[OpaquePart] {
        self.opaque()
    }

    fn usage(&self) -> Result<Option<Usage>, UsageError> {
        self.usage()
    }

    fn finish_reasons(&self) -> Vec<(u32, Option<Cow<'_, str>>)> {
        self.finish_reasons()
    }

    fn tool_calls(&self) -> Vec<ToolCall<'_>> {
        self.tool_calls()
    }

    fn rename_model(&self, requested: &str) -> Edits {
        self.rename_model(requested)
    }

    fn drop_derived(&self, edits: &mut Edits, choice: u32) {
        self.drop_logprobs(edits, choice);
    }
}

/// The events of one chat completion.
#[derive(Debug)]
pub struct ChatStream {
    relay: Relay,
    requested: String,
    include_usage: bool,
    edits: bool,
    head: Option<Head>,
    /// (choice, finished) of every choice that was seen.
    choices: Vec<(u32, bool)>,
}

impl ChatStream {
    /// Before the first event.
    #[must_use]
    pub fn new(options: StreamOptions<'_>) -> ChatStream {
        ChatStream {
            relay: Relay::new(options.model, options.include_usage, options.limits),
            requested: options.model.to_owned(),
            include_usage: options.include_usage,
            edits: options.edits,
            head: None,
            choices: Vec::new(),
        }
    }

    fn change(&mut self, chunk: Chunk, raw: Bytes) -> Change {
        if self.head.is_none() {
            self.head = Some(Head::of(&chunk, &self.requested));
        }
        let forward = self.include_usage || !chunk.is_usage_only();
        let (finished, reasons) = match forward {
            true => self.note_choices(&chunk),
            false => (Vec::new(), Vec::new()),
        };
        let mut edits = self.relay.edits(&chunk);
        if self.edits {
            for output in chunk.outputs() {
                chunk.drop_logprobs(&mut edits, output.choice);
            }
        }
        let (usage, well_formed) = (chunk.usage(), chunk.is_well_formed());
        let (doc, outputs, opaque) = chunk.into_parts();
        Change {
            outputs,
            opaque,
            edits,
            finished,
            reasons,
            usage,
            well_formed,
            forward,
            ..Change::new(doc, raw)
        }
    }

    /// Notes which choices exist and which finish with this chunk; gives the latter.
    fn note_choices(&mut self, chunk: &Chunk) -> (Vec<u32>, Vec<String>) {
        for output in chunk.outputs() {
            if !self
                .choices
                .iter()
                .any(|(known, _)| *known == output.choice)
            {
                self.choices.push((output.choice, false));
            }
        }
        let (mut finished, mut reasons) = (Vec::new(), Vec::new());
        for (choice, reason) in chunk.finished() {
            match self.choices.iter_mut().find(|(known, _)| *known == choice) {
                Some((_, done)) => *done = true,
                None => self.choices.push((choice, true)),
            }
            finished.push(choice);
            reasons.push(reason.into_owned());
        }
        (finished, reasons)
    }
}

impl Stream for ChatStream {
    fn read(&mut self, frame: Frame) -> Result<Event, ScanError> {
        let Some(data) = frame.data else {
            return Ok(Event::Ignored);
        };
        Ok(match self.relay.read(data)? {
            Read::Piece(piece) => Event::Piece(piece),
            Read::Done => Event::Done,
            Read::Chunk(chunk) => Event::Change(Box::new(self.change(chunk, frame.raw))),
            Read::Error(error) => Event::Error(Reported {
                message: error.message().map(Cow::into_owned),
                kind: error.kind().map(Cow::into_owned),
                code: error.code().map(Cow::into_owned),
            }),
        })
    }

    fn write_tail(&mut self, choice: u32, channel: Channel, text: &str, out: &mut Vec<u8>) -> bool {
        let head = self.head.as_ref();
        let frame = head.and_then(|head| head.text_frame(choice, channel, text));
        out.extend_from_slice(frame.as_deref().unwrap_or_default());
        frame.is_some()
    }

    /// Some providers end without `[DONE]`; a choice that said how it finished is complete.
    fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|(_, finished)| *finished)
    }
}
