//! One event of a stream after the other: what the client gets of it, and what the record learns from it.

use std::sync::Arc;

use llm::openai::Channel;
use llm::openai::relay::{Piece, Read, Relay};
use llm::openai::stream::{Chunk, Head};
use llm::scan::Limits;
use llm::sse::Frame;

use super::answer::{finish_word, note_usage};
use super::call::Call;
use super::channels::{Blocked, Channels};
use super::facts::AskedTool;
use crate::digest::{Purpose, Running};
use crate::error::Error;
use crate::upstream::scrub::scrub;

/// Most tool calls whose names and arguments are collected for the record.
const MOST_TOOLS: usize = 128;

/// What to do after an event.
pub(crate) enum Step {
    /// Go on.
    More,
    /// `[DONE]`.
    Done,
    /// The stream cannot go on.
    Failed(Error, &'static str),
    /// A check refused the answer; its name.
    Blocked(Arc<str>),
}

/// State of the events of one stream.
pub(crate) struct Events {
    channels: Channels,
    /// Model name the client asked for.
    requested: Arc<str>,
    include_usage: bool,
    relay: Relay,
    /// Credentials of the deployment, for error texts.
    secrets: Vec<String>,
    response: Running,
    delivered_bytes: u64,
    head: Option<Head>,
    /// (choice, finished) of every choice that was seen.
    choices: Vec<(u32, bool)>,
    finish_reasons: Vec<String>,
    tools: Vec<((u32, u32), AskedTool)>,
    first_byte: u64,
    blocked_before_delivery: bool,
}

impl Events {
    pub(crate) fn new(
        call: &Call,
        channels: Channels,
        include_usage: bool,
        limits: Limits,
        secrets: Vec<String>,
    ) -> Self {
        let requested: Arc<str> = call.facts().map_or_else(
            || Arc::from(""),
            |facts| facts.destination.requested.clone(),
        );
        Self {
            channels,
            relay: Relay::new(&requested, include_usage, limits),
            requested,
            include_usage,
            secrets,
            response: call.app().digests.begin("", Purpose::Response),
            delivered_bytes: 0,
            head: None,
            choices: Vec::new(),
            finish_reasons: Vec::new(),
            tools: Vec::new(),
            first_byte: 0,
            blocked_before_delivery: false,
        }
    }

    /// True when an event has been handed to the client.
    pub(crate) fn has_delivered(&self) -> bool {
        self.delivered_bytes > 0
    }

    /// True when at least one choice was seen and all of them said how they finished.
    pub(crate) fn all_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|(_, finished)| *finished)
    }

    /// Processes one frame of the provider.
    pub(crate) fn frame(&mut self, frame: Frame, call: &mut Call, out: &mut Vec<u8>) -> Step {
        // Comments and events without data are the provider's own keep-alive; ours are independent of them.
        let Some(data) = frame.data else {
            return Step::More;
        };
        let step = match self.relay.read(data) {
            Err(error) => {
                let what = format!(
                    "an event is not valid JSON: {} at byte {}",
                    error.kind.as_str(),
                    error.offset
                );
                return Step::Failed(Error::UpstreamInvalid(what), "upstream_invalid");
            }
            Ok(Read::Done) => return Step::Done,
            Ok(Read::Error(error)) => return self.upstream_error(&error),
            Ok(Read::Piece(piece)) => self.piece(&piece, out),
            Ok(Read::Chunk(chunk)) => self.chunk(&chunk, &frame.raw, call, out),
        };
        step.unwrap_or_else(|Blocked(check)| {
            self.blocked_before_delivery = !self.has_delivered();
            Step::Blocked(check)
        })
    }

    fn upstream_error(&self, error: &llm::openai::stream::UpstreamError) -> Step {
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        let message = error.message().map_or_else(
            || "the provider reported an error".to_owned(),
            |text| scrub(&text, &secrets),
        );
        let error = Error::Upstream {
            status: 500,
            provider: "OpenAI",
            message,
            code: error.code().map(|code| scrub(&code, &secrets)),
            param: None,
            retry_after: None,
        };
        Step::Failed(error, "upstream_error")
    }

    /// One piece of text and nothing else: the common event.
    fn piece(&mut self, piece: &Piece, out: &mut Vec<u8>) -> Result<Step, Blocked> {
        let text = piece.text();
        self.collect_tool(piece.choice, piece.channel, &text);
        let safe = self.channels.push(piece.choice, piece.channel, &text)?;
        let changed = (safe != text).then_some(safe);
        let before = out.len();
        piece.write(changed.as_deref(), out);
        self.delivered(before, out);
        Ok(Step::More)
    }

    fn chunk(
        &mut self,
        chunk: &Chunk,
        raw: &[u8],
        call: &mut Call,
        out: &mut Vec<u8>,
    ) -> Result<Step, Blocked> {
        if !chunk.is_well_formed() {
            let what = "an event has not the shape of a chunk".to_owned();
            return Ok(Step::Failed(
                Error::UpstreamInvalid(what),
                "upstream_invalid",
            ));
        }
        if let Some(facts) = call.facts_mut() {
            let usage = chunk.usage();
            if !matches!(usage, Ok(None)) {
                note_usage(facts, usage);
            }
            if self.first_byte == 0 {
                self.first_byte = facts.elapsed().max(1);
                facts.timings.first_byte = self.first_byte;
            }
        }
        if chunk.is_usage_only() && !self.include_usage {
            return Ok(Step::More);
        }
        if self.head.is_none() && self.channels.edits() {
            self.head = Some(Head::of(chunk, &self.requested));
        }
        let finished: Vec<u32> = self.note_choices(chunk);
        let mut texts = Vec::with_capacity(chunk.outputs().len());
        for output in chunk.outputs() {
            let text = output.decode(chunk.doc());
            self.collect_tool(output.choice, output.channel, &text);
            let safe = match output.channel.is_incremental() {
                true => self.channels.push(output.choice, output.channel, &text)?,
                false => self.channels.whole(output.choice, output.channel, &text)?,
            };
            texts.push((safe != text).then(|| safe.into_owned()));
        }
        for choice in finished {
            self.tails(Some(choice), Some((chunk, &mut texts)), out)?;
        }
        let mut edits = self.relay.edits(chunk);
        for (output, text) in chunk.outputs().iter().zip(&texts) {
            if let Some(text) = text {
                chunk.replace_output(&mut edits, output, text);
            }
            if self.channels.edits() {
                chunk.drop_logprobs(&mut edits, output.choice);
            }
        }
        // An event that needs no change goes out as it came.
        let data_length = chunk.doc().bytes().len();
        if edits.is_empty()
            && raw.len() == data_length + 8
            && raw.starts_with(b"data: ")
            && raw.ends_with(b"\n\n")
        {
            self.deliver(raw, out);
            return Ok(Step::More);
        }
        let before = out.len();
        match self.relay.write_chunk(chunk, &edits, out) {
            Ok(()) => {
                self.delivered(before, out);
                Ok(Step::More)
            }
            Err(_) => Ok(Step::Failed(Error::Internal, "internal")),
        }
    }

    /// Delivers what the checks still hold back.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Arc<str>> {
        self.tails(None, None, out).map_err(|Blocked(check)| {
            self.blocked_before_delivery = !self.has_delivered();
            check
        })
    }

    /// Ends channels. A tail follows the text of its channel in the chunk that ends the choice, or gets an event of its own
    /// before that chunk.
    fn tails(
        &mut self,
        choice: Option<u32>,
        mut ending: Option<(&Chunk, &mut Vec<Option<String>>)>,
        out: &mut Vec<u8>,
    ) -> Result<(), Blocked> {
        if !self.channels.edits() {
            return Ok(());
        }
        for (choice, channel, tail) in self.channels.finish(choice)? {
            if let Some((chunk, texts)) = &mut ending {
                let at = chunk
                    .outputs()
                    .iter()
                    .rposition(|output| output.choice == choice && output.channel == channel);
                let output = at.and_then(|at| chunk.outputs().get(at));
                let text = at.and_then(|at| texts.get_mut(at));
                if let (Some(output), Some(text)) = (output, text) {
                    text.get_or_insert_with(|| output.decode(chunk.doc()).into_owned())
                        .push_str(&tail);
                    continue;
                }
            }
            let frame = self
                .head
                .as_ref()
                .and_then(|head| head.text_frame(choice, channel, &tail));
            if let Some(frame) = frame {
                self.deliver(&frame, out);
            }
        }
        Ok(())
    }

    fn deliver(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        let before = out.len();
        out.extend_from_slice(frame);
        self.delivered(before, out);
    }

    /// Accounts for what was appended to `out` from `before` on.
    fn delivered(&mut self, before: usize, out: &[u8]) {
        let new = out.get(before..).unwrap_or_default();
        self.response.update(new);
        self.delivered_bytes += new.len() as u64;
    }

    /// Notes which choices exist and which finish with this chunk; gives the latter.
    fn note_choices(&mut self, chunk: &Chunk) -> Vec<u32> {
        for output in chunk.outputs() {
            if !self
                .choices
                .iter()
                .any(|(choice, _)| *choice == output.choice)
            {
                self.choices.push((output.choice, false));
            }
        }
        let mut finished = Vec::new();
        for (choice, reason) in chunk.finished() {
            match self.choices.iter_mut().find(|(known, _)| *known == choice) {
                Some((_, done)) => *done = true,
                None => self.choices.push((choice, true)),
            }
            self.finish_reasons.push(finish_word(&reason));
            finished.push(choice);
        }
        finished
    }

    fn collect_tool(&mut self, choice: u32, channel: Channel, text: &str) {
        let (Channel::ToolName(index) | Channel::ToolArguments(index)) = channel else {
            return;
        };
        let key = (choice, index);
        let at = match self.tools.iter().position(|(known, _)| *known == key) {
            Some(at) => at,
            None if self.tools.len() < MOST_TOOLS => {
                self.tools.push((
                    key,
                    AskedTool {
                        name: String::new(),
                        arguments: String::new(),
                    },
                ));
                self.tools.len() - 1
            }
            None => return,
        };
        if let Some((_, tool)) = self.tools.get_mut(at) {
            let to = if matches!(channel, Channel::ToolName(_)) {
                &mut tool.name
            } else {
                &mut tool.arguments
            };
            to.push_str(text);
        }
    }

    /// Hands everything that was learned over to the call's facts.
    pub(crate) fn report(self, call: &mut Call) {
        let Some(facts) = call.facts_mut() else {
            return;
        };
        facts.finish_reasons = self.finish_reasons;
        facts.asked_tools = self.tools.into_iter().map(|(_, tool)| tool).collect();
        facts.delivered_bytes = self.delivered_bytes;
        if self.delivered_bytes > 0 {
            facts.response_digest = Some(self.response.finish());
        }
        self.channels.report(facts, self.blocked_before_delivery);
    }
}
