//! The events of one response.
//!
//! The format repeats every text: in pieces, whole when the text is over, again with its
//! part and its item, and in the response at the end. What was delivered in pieces is
//! kept, and every repetition carries that text and no other. A text that comes whole
//! without pieces is an output where it first stands.

use super::answer::{drop_logprobs, reason, rename_ids, rename_model};
use super::event::{self, Family, Place};
use super::unit::Unit;
use super::write;
use crate::edit::EditError;
use crate::json;
use crate::openai::output::Found;
use crate::openai::{Channel, Output};
use crate::protocol::{Change, Event, Failure, IdMap, Reported, Stream, StreamOptions};
use crate::scan::{Doc, Kind, Limits, Node, NodeId, ScanError};
use crate::sse::Frame;
use crate::usage::Usage;
use std::borrow::Cow;

/// State of the stream of one response.
pub struct ResponsesStream {
    requested: String,
    edits: bool,
    limits: Limits,
    ids: Option<IdMap>,
    /// Id and time of the response, once known.
    head: Option<(String, u64)>,
    texts: Vec<Text>,
    /// Repetitions in the event that was read last: the string and its text's place.
    repeats: Vec<(NodeId, usize)>,
    /// Events that the gateway has put in: later numbers grow by it.
    inserted: u64,
    /// The number of the next event as the client sees it.
    next: u64,
    complete: bool,
}

/// One text of the response as the client has it.
struct Text {
    choice: u32,
    channel: Channel,
    delivered: String,
    /// Something of it was an output: whole texts repeat it.
    seen: bool,
    /// More of it may come.
    open: bool,
    /// Type of the events that carry its pieces, item id and place.
    pieces: Option<(String, String, Place)>,
}

impl std::fmt::Debug for ResponsesStream {
    /// Counts only: texts are content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (texts, next) = (self.texts.len(), self.next);
        write!(f, "ResponsesStream({texts} texts, {next} events)")
    }
}

impl ResponsesStream {
    /// Before the first event.
    #[must_use]
    pub fn new(options: StreamOptions<'_>) -> ResponsesStream {
        ResponsesStream {
            requested: options.model.to_owned(),
            edits: options.edits,
            limits: options.limits,
            ids: options.ids,
            head: None,
            texts: Vec::new(),
            repeats: Vec::new(),
            inserted: 0,
            next: 0,
            complete: false,
        }
    }

    fn find(&self, choice: u32, channel: Channel) -> Option<usize> {
        let is = |text: &Text| text.choice == choice && text.channel == channel;
        self.texts.iter().rposition(is)
    }

    fn change(&mut self, doc: Doc, frame: Frame, kind: &str) -> Change {
        let family = event::family(kind);
        let mut found = Found::default();
        let root = doc.root();
        let choice = event::outputs(kind, family, root, &mut found);
        let mut change = Change::new(doc, frame.raw);
        let named = frame.event.as_deref();
        change.well_formed = !found.misshapen && named.is_none_or(|name| name == kind.as_bytes());
        change.name = frame.event;
        change.opaque = found.opaque;
        self.sort_out(kind, family, found.outputs, &mut change);
        self.finish(family, choice, &mut change);
        self.structure(family, &mut change);
        change
    }

    /// Tells outputs from repetitions of what was delivered.
    fn sort_out(&mut self, kind: &str, family: Family, found: Vec<Output>, change: &mut Change) {
        for output in found {
            let (choice, channel) = (output.choice, output.channel);
            if !channel.is_incremental() {
                change.outputs.push(output);
                continue;
            }
            let known = self.find(choice, channel);
            let at = known.unwrap_or(self.texts.len());
            if known.is_none() {
                self.texts.push(Text {
                    choice,
                    channel,
                    delivered: String::new(),
                    seen: false,
                    open: true,
                    pieces: None,
                });
            }
            let Some(text) = self.texts.get_mut(at) else {
                continue;
            };
            let root = change.doc.root();
            if family == Family::Delta {
                text.open = true;
                if text.pieces.is_none() {
                    let id = root.get("item_id").and_then(|id| id.as_str());
                    let id = id.unwrap_or_default().into_owned();
                    text.pieces = Some((kind.to_owned(), id, Place::of(root)));
                }
            }
            if family == Family::Delta || !text.seen {
                text.seen |= !change.doc.node(output.node).is_str("");
                change.outputs.push(output);
            } else {
                self.repeats.push((output.node, at));
            }
        }
    }

    /// Which choices end with the event.
    fn finish(&mut self, family: Family, choice: u32, change: &mut Change) {
        let item = Place::of(change.doc.root()).item;
        let mut finished = Vec::new();
        for text in self.texts.iter_mut().filter(|text| text.open) {
            // A name has no pieces: it is whole where it first stands.
            let ends = match family {
                Family::Done => text.choice == choice,
                Family::ItemDone => Unit::is_of(text.choice, item),
                Family::Response(last) => last,
                Family::Added => matches!(text.channel, Channel::ToolName(_)),
                Family::Delta | Family::Progress => false,
            };
            if ends {
                text.open = false;
                if !finished.contains(&text.choice) {
                    finished.push(text.choice);
                }
            }
        }
        change.finished = finished;
    }

    /// What does not depend on texts: model name, usage, log probabilities, the end.
    fn structure(&mut self, family: Family, change: &mut Change) {
        let root = change.doc.root();
        let edits = &mut change.edits;
        if let Some(response) = root.get("response") {
            rename_model(edits, response, &self.requested);
            change.usage = Usage::of_answer(response);
            let ids = self.ids.as_ref();
            if self.head.is_none() {
                let (id, created) = head(response);
                self.head = Some((ids.map_or_else(|| id.clone(), |ids| ids(&id)), created));
            }
            if let Some(ids) = ids {
                rename_ids(edits, response, ids);
            }
            if family == Family::Response(true) {
                change.last = true;
                self.complete = true;
                let reason = reason(response).and_then(|reason| reason.as_str());
                change.reasons = reason.map(Cow::into_owned).into_iter().collect();
            }
        }
        if self.edits {
            drop_logprobs(edits, root);
            let response = root.get("response").and_then(|r| r.get("output"));
            let items = response.into_iter().flat_map(|output| output.items());
            let items = items.chain(root.get("item"));
            let parts = items.filter_map(|item| item.get("content"));
            let parts = parts.flat_map(|content| content.items());
            for part in parts.chain(root.get("part")) {
                drop_logprobs(edits, part);
            }
        }
    }

    /// Numbers the event as the client counts.
    fn number(&mut self, change: &mut Change) {
        let sent = change.doc.root().get("sequence_number");
        let theirs = sent.and_then(|node| node.as_u64());
        let number = theirs.map_or(self.next, |theirs| theirs.saturating_add(self.inserted));
        if let Some(node) = sent.filter(|_| self.inserted > 0) {
            change.edits.replace_raw(node, number.to_string());
        }
        self.next = number.saturating_add(1);
    }
}

/// Id and time of a response.
fn head(response: Node<'_>) -> (String, u64) {
    let id = response.get("id").and_then(|id| id.as_str());
    let created = response.get("created_at");
    let whole = created.and_then(|node| node.as_u64());
    let seconds = whole.or_else(|| Some(created?.as_f64()? as u64));
    (id.unwrap_or_default().into_owned(), seconds.unwrap_or(0))
}

fn reported(error: Node<'_>) -> Reported {
    let text = |name: &str| match error.get(name) {
        Some(node) if node.kind() == Kind::Number => {
            Some(String::from_utf8_lossy(node.raw()).into_owned())
        }
        node => Some(node?.as_str()?.into_owned()),
    };
    Reported {
        message: text("message"),
        kind: text("type").filter(|kind| kind != "error"),
        code: text("code"),
    }
}

/// The error of an event that ends the stream with one.
fn error_of(root: Node<'_>, kind: &str) -> Option<Reported> {
    let own = root.get("error").filter(|error| !error.is_null());
    match kind {
        "error" => Some(reported(own.unwrap_or(root))),
        "response.failed" => {
            let error = root.get("response").and_then(|r| r.get("error"));
            Some(error.map(reported).unwrap_or_default())
        }
        "" => own.map(reported),
        _ => None,
    }
}

impl Stream for ResponsesStream {
    fn read(&mut self, frame: Frame) -> Result<Event, ScanError> {
        self.repeats.clear();
        let Some(data) = frame.data.clone() else {
            return Ok(Event::Ignored);
        };
        // Not part of the format; some servers send it after the last event.
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Event::Ignored);
        }
        let doc = Doc::parse(data, &self.limits)?;
        let kind = doc.root().get("type").and_then(|kind| kind.as_str());
        let kind = kind.unwrap_or_default().into_owned();
        if let Some(error) = error_of(doc.root(), &kind) {
            return Ok(Event::Error(error));
        }
        let mut change = self.change(doc, frame, &kind);
        change.well_formed &= !kind.is_empty();
        Ok(Event::Change(Box::new(change)))
    }

    fn write(
        &mut self,
        change: &mut Change,
        texts: &[Option<String>],
        out: &mut Vec<u8>,
    ) -> Result<(), EditError> {
        for (place, output) in change.outputs.iter().enumerate() {
            let Some(at) = self.find(output.choice, output.channel) else {
                continue;
            };
            let Some(text) = self.texts.get_mut(at) else {
                continue;
            };
            match texts.get(place) {
                Some(Some(edited)) => text.delivered.push_str(edited),
                _ => text.delivered.push_str(&output.decode(&change.doc)),
            }
        }
        for (node, at) in std::mem::take(&mut self.repeats) {
            let node = change.doc.node(node);
            if let Some(text) = self.texts.get(at)
                && !node.is_str(&text.delivered)
            {
                change
                    .edits
                    .replace_raw(node, json::string(&text.delivered));
            }
        }
        self.number(change);
        change.write(texts, out)
    }

    fn write_tail(&mut self, choice: u32, channel: Channel, text: &str, out: &mut Vec<u8>) -> bool {
        let number = self.next;
        let Some(at) = self.find(choice, channel) else {
            return false;
        };
        let Some(own) = self.texts.get_mut(at) else {
            return false;
        };
        let Some((kind, item, place)) = &own.pieces else {
            return false;
        };
        write::piece(out, kind, number, item, *place, text);
        own.delivered.push_str(text);
        self.next = number.saturating_add(1);
        self.inserted = self.inserted.saturating_add(1);
        true
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    /// The end is an event of the answer.
    fn write_end(&mut self, _out: &mut Vec<u8>) {}

    fn write_failure(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        let (id, created) = self.head.clone().unwrap_or_default();
        let head = write::Head {
            id: &id,
            created,
            model: &self.requested,
        };
        write::failed(out, &head, self.next, failure.code, failure.message);
        self.next = self.next.saturating_add(1);
    }
}
