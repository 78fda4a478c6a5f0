//! One event of a stream after the other: what the client gets of it, and what the record learns from it.

use bytes::Bytes;
use llm::protocol::{Change, Channel, Event, Failure, Output, Piece, Reported, Stream};
use llm::sse::{self, Frame};

use super::answer::{finish_word, note_usage};
use super::call::Call;
use super::channels::{Blocked, Channels, Replaced};
use super::facts::AskedTool;
use crate::digest::{Purpose, Running};
use crate::error::Error;
use crate::upstream::forward::spoken_name;
use crate::upstream::scrub::scrub;

/// Most tool calls whose names and arguments are collected for the record.
const MOST_TOOLS: usize = 128;

/// What to do after an event.
pub(crate) enum Step {
    /// Go on.
    More,
    /// The answer is complete.
    Done,
    /// The stream cannot go on.
    Failed(Error, &'static str),
    /// A check refused the answer.
    Blocked(Box<Blocked>),
}

/// A comment that says where the record is, and the newest checkpoint: goes before the end of a complete answer.
fn record_comment(call: &Call) -> Bytes {
    let Some(facts) = call.facts() else {
        return Bytes::new();
    };
    let mut comment = format!("sealgate capsule://{}", facts.id);
    if let Some(checkpoint) = call.app().witness.text(&call.app().ledger) {
        comment.push_str(" checkpoint ");
        comment.push_str(&checkpoint);
    }
    sse::comment_frame(&comment)
}

/// Whether the checks hold back the name of a tool, so that nothing of it would be delivered now.
fn is_held_name(output: &Output, text: &Option<String>) -> bool {
    matches!(output.channel, Channel::ToolName(_)) && text.as_deref() == Some("")
}

/// Whether an event would deliver no text now, and ends nothing.
fn is_silent(change: &Change, texts: &[Option<String>]) -> bool {
    let mut all = change.outputs.iter().zip(texts);
    let empty = all.all(|(output, text)| match text {
        Some(text) => text.is_empty(),
        None => output.decode(&change.doc).is_empty(),
    });
    empty && change.finished.is_empty() && change.reasons.is_empty() && !change.last
}

/// State of the events of one stream.
pub(crate) struct Events {
    channels: Channels,
    /// Reads the provider's events and writes the client's.
    protocol: Box<dyn Stream>,
    /// The event that completes the answer has been written.
    ended: bool,
    /// Credentials of the deployment, for error texts.
    secrets: Vec<String>,
    /// Name of the provider in error texts.
    provider: &'static str,
    response: Running,
    delivered_bytes: u64,
    finish_reasons: Vec<String>,
    tools: Vec<((u32, u32), AskedTool)>,
    /// Events that begin a call of a tool whose name is not decided: a client that reads an empty name may act on it.
    held: Vec<(Change, Vec<Option<String>>)>,
    first_byte: u64,
    blocked_before_delivery: bool,
}

impl Events {
    pub(crate) fn new(
        call: &Call,
        channels: Channels,
        protocol: Box<dyn Stream>,
        secrets: Vec<String>,
    ) -> Self {
        Self {
            channels,
            protocol,
            ended: false,
            secrets,
            provider: call.facts().map_or("", |facts| {
                spoken_name(&facts.destination.deployment.provider)
            }),
            response: call.digests().begin("", Purpose::Response),
            delivered_bytes: 0,
            finish_reasons: Vec::new(),
            tools: Vec::new(),
            held: Vec::new(),
            first_byte: 0,
            blocked_before_delivery: false,
        }
    }

    /// Texts that stand for those that come.
    pub(crate) fn replace(&mut self, replaced: Replaced) {
        self.channels.replace(replaced);
    }

    /// True when an event has been handed to the client.
    pub(crate) fn has_delivered(&self) -> bool {
        self.delivered_bytes > 0
    }

    /// Whether the answer is complete if the provider ends here without its end marker.
    pub(crate) fn is_complete(&self) -> bool {
        self.protocol.is_complete()
    }

    /// Processes one frame of the provider.
    pub(crate) fn frame(&mut self, frame: Frame, call: &mut Call, out: &mut Vec<u8>) -> Step {
        let step = match self.protocol.read(frame) {
            Err(error) => {
                let what = format!(
                    "an event is not valid JSON: {} at byte {}",
                    error.kind.as_str(),
                    error.offset
                );
                return Step::Failed(Error::UpstreamInvalid(what), "upstream_invalid");
            }
            // Keep-alive of the provider; ours is independent of it.
            Ok(Event::Ignored) => return Step::More,
            Ok(Event::Done) => return Step::Done,
            Ok(Event::Error(error)) => return self.upstream_error(&error),
            Ok(Event::Piece(piece)) => self.piece(&piece, out),
            Ok(Event::Change(change)) => self.change(*change, call, out),
        };
        step.unwrap_or_else(|blocked| {
            self.blocked_before_delivery = !self.has_delivered();
            Step::Blocked(Box::new(blocked))
        })
    }

    /// The provider reported an error.
    pub(crate) fn upstream_error(&self, error: &Reported) -> Step {
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        let message = error.message.as_deref().map_or_else(
            || "the provider reported an error".to_owned(),
            |text| scrub(text, &secrets),
        );
        let status = match error.kind.as_deref() {
            Some("overloaded_error") => 529,
            Some("rate_limit_error" | "rate_limit_exceeded") => 429,
            _ => 500,
        };
        let error = Error::Upstream {
            status,
            provider: self.provider,
            message,
            code: error.code.as_deref().map(|code| scrub(code, &secrets)),
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
        if safe.is_empty()
            && let Channel::ToolName(index) | Channel::ToolArguments(index) = piece.channel
            && self.is_held(piece.choice, Channel::ToolName(index))
        {
            return Ok(Step::More);
        }
        let changed = (safe != text).then_some(safe);
        let before = out.len();
        self.protocol.write_piece(piece, changed.as_deref(), out);
        self.delivered(before, out);
        Ok(Step::More)
    }

    fn change(
        &mut self,
        mut change: Change,
        call: &mut Call,
        out: &mut Vec<u8>,
    ) -> Result<Step, Blocked> {
        if !change.well_formed {
            let what = "an event has not the shape that its format says".to_owned();
            let error = Error::UpstreamInvalid(what);
            return Ok(Step::Failed(error, "upstream_invalid"));
        }
        if let Some(facts) = call.facts_mut() {
            let usage = std::mem::replace(&mut change.usage, Ok(None));
            // What is stored was paid when it was made.
            if facts.billed && !matches!(usage, Ok(None)) {
                note_usage(facts, usage);
            }
            if self.first_byte == 0 {
                self.first_byte = facts.elapsed().max(1);
                facts.timings.first_byte = self.first_byte;
            }
        }
        if !change.forward {
            return Ok(Step::More);
        }
        if !change.opaque.is_empty()
            && let Some(facts) = call.facts()
        {
            let policy = facts.snapshot.config.opaque_parts;
            self.channels.opaque(&change.opaque, policy)?;
        }
        let reasons = change.reasons.iter();
        self.finish_reasons
            .extend(reasons.map(|reason| finish_word(reason)));
        let mut texts = Vec::with_capacity(change.outputs.len());
        for output in &change.outputs {
            let text = output.decode(&change.doc);
            self.collect_tool(output.choice, output.channel, &text);
            let safe = match output.channel.is_incremental() {
                true => self.channels.push(output.choice, output.channel, &text)?,
                false => self.channels.whole(output.choice, output.channel, &text)?,
            };
            texts.push((safe != text).then(|| safe.into_owned()));
        }
        if self.waits(&change, &texts) {
            return Ok(Step::More);
        }
        let held = self.held.len();
        if change
            .outputs
            .iter()
            .zip(&texts)
            .any(|(output, text)| is_held_name(output, text))
            && is_silent(&change, &texts)
            && held < MOST_TOOLS
        {
            self.held.push((change, texts));
            return Ok(Step::More);
        }
        for choice in std::mem::take(&mut change.finished) {
            self.tails(Some(choice), Some((&change, &mut texts)), out)?;
        }
        if change.last {
            // Nothing follows this event, so whatever is still held goes before it.
            self.tails(None, Some((&change, &mut texts)), out)?;
            out.extend_from_slice(&record_comment(call));
            self.ended = true;
        }
        let before = out.len();
        match self.protocol.write(&mut change, &texts, out) {
            Ok(()) => {
                self.delivered(before, out);
                Ok(if change.last { Step::Done } else { Step::More })
            }
            Err(_) => Ok(Step::Failed(Error::Internal, "internal")),
        }
    }

    /// Delivers what the checks still hold back.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Box<Blocked>> {
        self.tails(None, None, out).map_err(|blocked| {
            self.blocked_before_delivery = !self.has_delivered();
            Box::new(blocked)
        })
    }

    /// Ends channels. A tail follows the text of its channel in the chunk that ends the choice, or gets an event of its own
    /// before that chunk.
    fn tails(
        &mut self,
        choice: Option<u32>,
        mut ending: Option<(&Change, &mut Vec<Option<String>>)>,
        out: &mut Vec<u8>,
    ) -> Result<(), Blocked> {
        if !self.channels.edits() {
            return Ok(());
        }
        let mut tails = self.channels.finish(choice)?;
        tails.retain(|(choice, channel, tail)| !self.named(*choice, *channel, tail));
        self.release(choice, out);
        for (choice, channel, tail) in tails {
            if let Some((change, texts)) = &mut ending {
                let at = change
                    .outputs
                    .iter()
                    .rposition(|output| output.choice == choice && output.channel == channel);
                let output = at.and_then(|at| change.outputs.get(at));
                let text = at.and_then(|at| texts.get_mut(at));
                if let (Some(output), Some(text)) = (output, text) {
                    text.get_or_insert_with(|| output.decode(&change.doc).into_owned())
                        .push_str(&tail);
                    continue;
                }
            }
            let before = out.len();
            if self.protocol.write_tail(choice, channel, &tail, out) {
                self.delivered(before, out);
            }
        }
        Ok(())
    }

    /// Whether an event brings nothing but more of a tool whose beginning is held back.
    fn waits(&self, change: &Change, texts: &[Option<String>]) -> bool {
        if self.held.is_empty() || !is_silent(change, texts) {
            return false;
        }
        let of_held = |output: &Output| {
            let (Channel::ToolName(index) | Channel::ToolArguments(index)) = output.channel else {
                return false;
            };
            self.is_held(output.choice, Channel::ToolName(index))
        };
        !change.outputs.is_empty() && change.outputs.iter().all(of_held)
    }

    fn is_held(&self, choice: u32, channel: Channel) -> bool {
        let same = |output: &Output| output.choice == choice && output.channel == channel;
        self.held
            .iter()
            .any(|(change, _)| change.outputs.iter().any(same))
    }

    /// Puts a decided name into the event that is held for it.
    fn named(&mut self, choice: u32, channel: Channel, name: &str) -> bool {
        for (change, texts) in &mut self.held {
            let at = change
                .outputs
                .iter()
                .position(|output| output.choice == choice && output.channel == channel);
            if let Some(text) = at.and_then(|at| texts.get_mut(at)) {
                *text = Some(name.to_owned());
                return true;
            }
        }
        false
    }

    /// Delivers the held events of a choice, whose names are decided now.
    fn release(&mut self, choice: Option<u32>, out: &mut Vec<u8>) {
        let of_choice = |change: &Change| {
            let mut outputs = change.outputs.iter();
            choice.is_none_or(|choice| outputs.any(|output| output.choice == choice))
        };
        let (ready, rest) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|(change, _)| of_choice(change));
        self.held = rest;
        let ready: Vec<(Change, Vec<Option<String>>)> = ready;
        for (mut change, texts) in ready {
            let before = out.len();
            if self.protocol.write(&mut change, &texts, out).is_ok() {
                self.delivered(before, out);
            }
        }
    }

    /// Appends a keep-alive in the protocol's form.
    pub(crate) fn ping(&mut self, out: &mut Vec<u8>) {
        self.protocol.write_ping(out);
    }

    /// Appends the end of a complete answer, if it is no event of the answer itself.
    pub(crate) fn end(&mut self, call: &Call, out: &mut Vec<u8>) {
        if !self.ended {
            out.extend_from_slice(&record_comment(call));
            self.protocol.write_end(out);
        }
    }

    /// Appends what tells the client that the answer ends here and why.
    pub(crate) fn failure(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        self.protocol.write_failure(failure, out);
    }

    /// Accounts for what was appended to `out` from `before` on.
    fn delivered(&mut self, before: usize, out: &[u8]) {
        let new = out.get(before..).unwrap_or_default();
        self.response.update(new);
        self.delivered_bytes += new.len() as u64;
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
