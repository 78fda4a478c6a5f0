//! The events of one streamed message.

use super::answer::rename_model;
use super::output::Found;
use super::usage::{is_estimate, usage};
use super::write::{self, Delta};
use crate::json;
use crate::openai::Channel;
use crate::openai::relay::Template;
use crate::protocol::{Change, Event, Failure, Reported, Stream, StreamOptions};
use crate::scan::{Doc, Kind, Limits, Node, ScanError};
use crate::sse::Frame;
use crate::usage::Usage;
use bytes::Bytes;
use std::sync::Arc;

/// The event that carries text.
const DELTA: &[u8] = b"content_block_delta";
/// What stands before the data of a piece.
const LEAD: &[u8] = b"event: content_block_delta\ndata: ";
/// Templates kept: blocks follow one another, so few are needed.
const TEMPLATES: usize = 2;
/// Larger events make no template.
const MAX_TEMPLATE: usize = 4096;

/// State of one stream of `POST /messages`. The content block is the choice.
pub struct MessagesStream {
    requested: String,
    limits: Limits,
    templates: Vec<Arc<Template>>,
    usage: Usage,
    /// Blocks that began and have not ended.
    open: Vec<u32>,
    /// The smallest index that the next block may have.
    next: u32,
    /// A stop reason was seen.
    ended: bool,
    /// `message_stop` was seen.
    stopped: bool,
}

impl std::fmt::Debug for MessagesStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (open, next) = (self.open.len(), self.next);
        write!(f, "MessagesStream({open} blocks open, next {next})")
    }
}

/// What an event is, before its texts go through the checks.
#[derive(Default)]
struct Note {
    found: Found,
    finished: Vec<u32>,
    reasons: Vec<String>,
    last: bool,
}

impl MessagesStream {
    /// Before the first event.
    #[must_use]
    pub fn new(options: StreamOptions<'_>) -> MessagesStream {
        MessagesStream {
            requested: options.model.to_owned(),
            limits: options.limits,
            templates: Vec::new(),
            usage: Usage::default(),
            open: Vec::new(),
            next: 0,
            ended: false,
            stopped: false,
        }
    }

    fn change(&mut self, doc: Doc, frame: Frame) -> Change {
        let root = doc.root();
        let mut note = Note::default();
        let kind = root.get("type").and_then(|kind| kind.as_str());
        let kind = kind.unwrap_or_default();
        note.found.expect(root, Kind::Object);
        // A client may go by either of the two.
        note.found.misshapen |= kind.is_empty() || self.stopped;
        if let Some(name) = &frame.event {
            note.found.misshapen |= name.as_ref() != kind.as_bytes();
        }
        self.note(&kind, root, &mut note);
        let usage = match self.usage_block(&kind, root) {
            None => Ok(None),
            Some(block) => usage(block, &self.usage).map(Some),
        };
        if let Ok(Some(usage)) = usage {
            self.usage = usage;
        }
        let name = Some(Bytes::from(kind.into_owned()));
        let mut change = Change::new(doc, frame.raw);
        if let Some(message) = change.doc.root().get("message") {
            rename_model(&mut change.edits, message, &self.requested);
        }
        change.name = name;
        change.outputs = note.found.outputs;
        change.opaque = note.found.opaque;
        change.well_formed = !note.found.misshapen;
        change.finished = note.finished;
        change.reasons = note.reasons;
        change.last = note.last;
        change.usage = usage;
        change
    }

    fn usage_block<'a>(&self, kind: &str, root: Node<'a>) -> Option<Node<'a>> {
        let holder = match kind {
            "message_start" => root.get("message")?,
            "message_delta" => root,
            _ => return None,
        };
        let block = holder.get("usage");
        block.filter(|usage| !usage.is_null() && !is_estimate(*usage))
    }

    fn note(&mut self, kind: &str, root: Node<'_>, note: &mut Note) {
        match kind {
            "message_start" => message_start(root, &mut note.found),
            "content_block_start" => self.block_start(root, &mut note.found),
            "content_block_delta" => self.block_delta(root, &mut note.found),
            "content_block_stop" => {
                rest(root, &["index"], &mut note.found);
                match index(root).and_then(|block| self.close(block)) {
                    Some(block) => note.finished.push(block),
                    None => note.found.misshapen = true,
                }
            }
            "message_delta" => {
                rest(root, &["delta"], &mut note.found);
                if let Some(reason) = message_delta(root, &mut note.found) {
                    self.ended = true;
                    note.reasons.push(reason);
                    note.finished.append(&mut self.open);
                }
            }
            "message_stop" => {
                rest(root, &[], &mut note.found);
                note.finished.append(&mut self.open);
                note.last = true;
                self.stopped = true;
            }
            // An event of a newer version.
            _ => rest(root, &[], &mut note.found),
        }
    }

    /// Ends an open block.
    fn close(&mut self, block: u32) -> Option<u32> {
        let place = self.open.iter().position(|open| *open == block)?;
        Some(self.open.swap_remove(place))
    }

    fn block_start(&mut self, root: Node<'_>, found: &mut Found) {
        rest(root, &["index", "content_block"], found);
        let (Some(block), Some(content)) = (index(root), root.get("content_block")) else {
            found.misshapen = true;
            return;
        };
        // An index that comes again would add text to a block that was ended.
        found.misshapen |= block < self.next || block == u32::MAX;
        self.next = block.saturating_add(1);
        self.open.push(block);
        found.block(content, block, true);
    }

    fn block_delta(&mut self, root: Node<'_>, found: &mut Found) {
        rest(root, &["index", "delta"], found);
        let (Some(block), Some(delta)) = (index(root), root.get("delta")) else {
            found.misshapen = true;
            return;
        };
        found.misshapen |= !self.open.contains(&block);
        found.delta(block, delta);
    }

    /// Makes a template of an event that is one piece of text and nothing else.
    fn learn(&mut self, change: &Change) {
        let data = change.doc.bytes();
        let is_delta = change.name.as_deref() == Some(DELTA);
        let [output] = change.outputs.as_slice() else {
            return;
        };
        let plain = is_delta && change.well_formed && change.opaque.is_empty();
        if !plain || !output.channel.is_incremental() || data.len() > MAX_TEMPLATE {
            return;
        }
        let hole = change.doc.node(output.node).span();
        if let Some(template) = Template::with_hole(output.choice, output.channel, data, hole, LEAD)
        {
            if self.templates.len() >= TEMPLATES {
                self.templates.remove(0);
            }
            self.templates.push(Arc::new(template));
        }
    }
}

impl Stream for MessagesStream {
    fn read(&mut self, frame: Frame) -> Result<Event, ScanError> {
        let Some(data) = frame.data.clone() else {
            return Ok(Event::Ignored);
        };
        if frame.event.as_deref().is_none_or(|name| name == DELTA) {
            let mut newest_first = self.templates.iter().rev();
            let piece = newest_first.find_map(|template| template.fit(template, &data));
            // A template outlives its block: a piece of a block that has ended is read whole.
            if let Some(piece) = piece.filter(|piece| self.open.contains(&piece.choice)) {
                return Ok(Event::Piece(piece));
            }
        }
        let doc = Doc::parse(data, &self.limits)?;
        let kind = doc.root().get("type");
        if kind.is_some_and(|kind| kind.is_str("ping")) {
            return Ok(Event::Ignored);
        }
        let error = doc.root().get("error").filter(|error| !error.is_null());
        if let Some(error) = error {
            return Ok(Event::Error(reported(error)));
        }
        let change = self.change(doc, frame);
        self.learn(&change);
        Ok(Event::Change(Box::new(change)))
    }

    fn write_tail(&mut self, choice: u32, channel: Channel, text: &str, out: &mut Vec<u8>) -> bool {
        let kind = match channel {
            Channel::Text => Delta::Text,
            Channel::Reasoning => Delta::Thinking,
            Channel::ToolArguments(_) => Delta::Input,
            _ => return false,
        };
        write::delta(out, choice, kind, &json::string(text));
        true
    }

    fn is_complete(&self) -> bool {
        self.ended && self.open.is_empty()
    }

    fn write_ping(&mut self, out: &mut Vec<u8>) {
        write::ping(out);
    }

    /// `message_stop`, unless the upstream has sent it.
    fn write_end(&mut self, out: &mut Vec<u8>) {
        if !self.stopped {
            self.stopped = true;
            write::message_stop(out);
        }
    }

    fn write_failure(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        for block in self.open.drain(..) {
            write::block_stop(out, block);
        }
        write::event(out, "error", |out| out.extend_from_slice(failure.envelope));
    }
}

fn index(root: Node<'_>) -> Option<u32> {
    root.get("index")?
        .as_u64()
        .and_then(|index| u32::try_from(index).ok())
}

/// The members of an event beside its type and the `known` ones: their texts are output.
fn rest(root: Node<'_>, known: &[&str], found: &mut Found) {
    for (key, value) in root.entries() {
        let name = key.as_str().unwrap_or_default();
        if name != "type" && !known.contains(&&*name) {
            found.member(0, &name, value);
        }
    }
}

fn message_start(root: Node<'_>, found: &mut Found) {
    rest(root, &["message"], found);
    let Some(message) = root.get("message") else {
        found.misshapen = true;
        return;
    };
    // Blocks come in events of their own; here they would have no end.
    let content = message.get("content");
    let first = content.and_then(|content| content.items().next());
    found.misshapen |= first.is_some();
    found.message(message);
}

/// The outputs of `message_delta`; gives the stop reason.
fn message_delta(root: Node<'_>, found: &mut Found) -> Option<String> {
    let delta = root.get("delta")?;
    found.expect(delta, Kind::Object);
    for (key, value) in delta.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "stop_reason" | "stop_sequence" if value.kind() == Kind::String => {}
            _ => found.member(0, &name, value),
        }
    }
    let reason = delta.get("stop_reason")?.as_str()?;
    Some(reason.into_owned())
}

fn reported(error: Node<'_>) -> Reported {
    let text = |name: &str| Some(error.get(name)?.as_str()?.into_owned());
    Reported {
        message: text("message").or_else(|| Some(error.as_str()?.into_owned())),
        kind: text("type"),
        code: text("code"),
    }
}
