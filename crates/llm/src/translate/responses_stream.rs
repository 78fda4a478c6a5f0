//! A stream of chat completion chunks as the events of a response.

use super::responses_out::{
    Body, Item, Part, input_of, item_id, logprobs, reasoning_of, response_id, signature_of, status,
    summary,
};
use super::types::{AnswerError, Back};
use super::{Step, TextPiece};
use crate::json;
use crate::openai::stream::Head;
use crate::responses::event::Place;
use crate::responses::write::{self, Status};
use crate::scan::{Doc, Kind, Limits, Node};
use crate::sse::Frame;
use crate::usage::Usage;
use std::borrow::Cow;

/// Tool calls of one answer; more are a fault of the provider.
const MOST_CALLS: usize = 1024;

/// State of one stream.
pub(super) struct FromChat {
    back: Back,
    id: String,
    created: u64,
    model: String,
    limits: Limits,
    number: u64,
    begun: bool,
    over: bool,
    items: Vec<Item>,
    /// The message or reasoning item that is being written.
    open: Option<usize>,
    /// (index of the call in the chunks, its item) of calls that are being written.
    calls: Vec<(u64, usize)>,
    /// Calls whose name has not come yet: index, id, arguments.
    unnamed: Vec<(u64, Option<String>, String)>,
    reason: Option<String>,
    usage: Option<Usage>,
}

impl FromChat {
    pub(super) fn new(back: &Back, head: &Head, limits: &Limits) -> FromChat {
        FromChat {
            back: back.clone(),
            id: response_id(&head.id),
            created: head.created,
            model: head.model.clone(),
            limits: *limits,
            number: 0,
            begun: false,
            over: false,
            items: Vec::new(),
            open: None,
            calls: Vec::new(),
            unnamed: Vec::new(),
            reason: None,
            usage: None,
        }
    }

    /// Appends one event; `members` writes what follows the sequence number.
    fn event(&mut self, out: &mut Vec<u8>, kind: &str, members: impl FnOnce(&mut Vec<u8>)) {
        write::open(out, kind, self.number);
        members(out);
        write::close(out);
        self.number = self.number.saturating_add(1);
    }

    fn response(&self, status: Status<'_>, output: &[u8]) -> Vec<u8> {
        let size = output.len().saturating_add(self.back.echo.len());
        let mut object = Vec::with_capacity(size.saturating_add(512));
        let head = write::Head {
            id: &self.id,
            created: self.created,
            model: &self.model,
        };
        let usage = self.usage.as_ref();
        write::response(&mut object, &head, status, &self.back.echo, output, usage);
        object
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let object = self.response(Status::InProgress, &[]);
        for kind in ["response.created", "response.in_progress"] {
            write::whole(out, kind, self.number, &object);
            self.number = self.number.saturating_add(1);
        }
    }

    /// Announces a new item; gives its place.
    fn add(&mut self, prefix: &str, body: Body, out: &mut Vec<u8>) -> usize {
        let place = self.items.len();
        let id = item_id(prefix, &self.id, place);
        let item = Item { id, body };
        let mut rendered = Vec::new();
        item.write(&mut rendered, &self.back, "in_progress", false);
        self.items.push(item);
        self.event(out, "response.output_item.added", |out| {
            item_members(out, place, &rendered);
        });
        place
    }

    /// Announces a part and gives its event members.
    fn place(&self, at: usize, index: Option<(&'static str, usize)>) -> (String, Place) {
        let id = self.items.get(at).map(|item| item.id.clone());
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let place = Place {
            item: number(at),
            index: index.map(|(name, value)| (name, number(value))),
        };
        (id.unwrap_or_default(), place)
    }

    fn reasoning(&mut self, piece: &str, signature: Option<String>, out: &mut Vec<u8>) {
        let is_open = self.open.filter(|at| {
            let item = self.items.get(*at);
            item.is_some_and(|item| matches!(item.body, Body::Reasoning { .. }))
        });
        let at = match is_open {
            Some(at) => at,
            None => {
                self.close_open(out);
                let body = Body::Reasoning {
                    text: String::new(),
                    signature: None,
                };
                let at = self.add("rs", body, out);
                self.open = Some(at);
                at
            }
        };
        let (id, place) = self.place(at, Some(("summary_index", 0)));
        let Some(Body::Reasoning {
            text,
            signature: own,
        }) = self.items.get_mut(at).map(|item| &mut item.body)
        else {
            return;
        };
        if signature.is_some() {
            *own = signature;
        }
        let first = text.is_empty();
        text.push_str(piece);
        if piece.is_empty() {
            return;
        }
        if first {
            self.event(out, "response.reasoning_summary_part.added", |out| {
                write::place(out, &id, place);
                out.extend_from_slice(b",\"part\":");
                summary(out, "");
            });
        }
        self.event(out, "response.reasoning_summary_text.delta", |out| {
            write::place(out, &id, place);
            out.extend_from_slice(b",\"delta\":");
            json::write_string(out, piece);
        });
    }

    /// The next piece of the part that is being written: the common event. False if it
    /// belongs to another part.
    fn more_text(&mut self, piece: &str, probabilities: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(at) = self.open else { return false };
        let Some(item) = self.items.get_mut(at) else {
            return false;
        };
        let Body::Message { parts } = &mut item.body else {
            return false;
        };
        let index = parts.len().saturating_sub(1);
        let Some(part) = parts.last_mut().filter(|part| !part.refusal) else {
            return false;
        };
        part.text.push_str(piece);
        if !probabilities.is_empty() {
            if !part.logprobs.is_empty() {
                part.logprobs.push(b',');
            }
            part.logprobs.extend_from_slice(probabilities);
        }
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let place = Place {
            item: number(at),
            index: Some(("content_index", number(index))),
        };
        write::open(out, "response.output_text.delta", self.number);
        write::place(out, &item.id, place);
        out.extend_from_slice(b",\"delta\":");
        json::write_string(out, piece);
        out.extend_from_slice(b",\"logprobs\":[");
        out.extend_from_slice(probabilities);
        out.push(b']');
        write::close(out);
        self.number = self.number.saturating_add(1);
        true
    }

    fn text(&mut self, piece: &str, refusal: bool, probabilities: &[u8], out: &mut Vec<u8>) {
        if !refusal && self.more_text(piece, probabilities, out) {
            return;
        }
        let is_open = self.open.filter(|at| {
            let item = self.items.get(*at);
            item.is_some_and(|item| matches!(item.body, Body::Message { .. }))
        });
        let at = match is_open {
            Some(at) => at,
            None => {
                self.close_open(out);
                let at = self.add("msg", Body::Message { parts: Vec::new() }, out);
                self.open = Some(at);
                at
            }
        };
        let parts = self.parts(at).map_or(0, |parts| parts.len());
        let last = self.parts(at).and_then(|parts| parts.last());
        if last.is_none_or(|part| part.refusal != refusal) {
            if parts > 0 {
                self.close_part(at, parts.saturating_sub(1), out);
            }
            let part = Part::new(refusal, "");
            let (id, place) = self.place(at, Some(("content_index", parts)));
            self.event(out, "response.content_part.added", |out| {
                write::place(out, &id, place);
                out.extend_from_slice(b",\"part\":");
                part.write(out, false);
            });
            if let Some(Body::Message { parts }) = self.items.get_mut(at).map(|item| &mut item.body)
            {
                parts.push(part);
            }
        }
        let mut index = 0;
        if let Some(Body::Message { parts }) = self.items.get_mut(at).map(|item| &mut item.body) {
            index = parts.len().saturating_sub(1);
            if let Some(part) = parts.last_mut() {
                part.text.push_str(piece);
                if !probabilities.is_empty() && !part.logprobs.is_empty() {
                    part.logprobs.push(b',');
                }
                part.logprobs.extend_from_slice(probabilities);
            }
        }
        let (id, place) = self.place(at, Some(("content_index", index)));
        let kind = match refusal {
            true => "response.refusal.delta",
            false => "response.output_text.delta",
        };
        self.event(out, kind, |out| {
            write::place(out, &id, place);
            out.extend_from_slice(b",\"delta\":");
            json::write_string(out, piece);
            if !refusal {
                out.extend_from_slice(b",\"logprobs\":[");
                out.extend_from_slice(probabilities);
                out.push(b']');
            }
        });
    }

    fn parts(&self, at: usize) -> Option<&Vec<Part>> {
        match self.items.get(at).map(|item| &item.body) {
            Some(Body::Message { parts }) => Some(parts),
            _ => None,
        }
    }

    fn close_part(&mut self, at: usize, index: usize, out: &mut Vec<u8>) {
        let (id, place) = self.place(at, Some(("content_index", index)));
        let part = self.parts(at).and_then(|parts| parts.get(index));
        let Some(part) = part else { return };
        let (kind, member) = match part.refusal {
            true => ("response.refusal.done", "refusal"),
            false => ("response.output_text.done", "text"),
        };
        let mut text = Vec::new();
        text.extend_from_slice(format!(",\"{member}\":").as_bytes());
        json::write_string(&mut text, &part.text);
        if !part.refusal {
            text.extend_from_slice(b",\"logprobs\":[");
            text.extend_from_slice(&part.logprobs);
            text.push(b']');
        }
        let mut whole = Vec::new();
        part.write(&mut whole, true);
        self.event(out, kind, |out| {
            write::place(out, &id, place);
            out.extend_from_slice(&text);
        });
        self.event(out, "response.content_part.done", |out| {
            write::place(out, &id, place);
            out.extend_from_slice(b",\"part\":");
            out.extend_from_slice(&whole);
        });
    }

    /// Ends the message or reasoning that is being written.
    fn close_open(&mut self, out: &mut Vec<u8>) {
        let Some(at) = self.open.take() else { return };
        match self.items.get(at).map(|item| &item.body) {
            Some(Body::Message { parts }) => {
                let last = parts.len().saturating_sub(1);
                self.close_part(at, last, out);
            }
            Some(Body::Reasoning { text, .. }) if !text.is_empty() => {
                let text = text.clone();
                let (id, place) = self.place(at, Some(("summary_index", 0)));
                self.event(out, "response.reasoning_summary_text.done", |out| {
                    write::place(out, &id, place);
                    out.extend_from_slice(b",\"text\":");
                    json::write_string(out, &text);
                });
                self.event(out, "response.reasoning_summary_part.done", |out| {
                    write::place(out, &id, place);
                    out.extend_from_slice(b",\"part\":");
                    summary(out, &text);
                });
            }
            _ => {}
        }
        self.close_item(at, out);
    }

    fn close_item(&mut self, at: usize, out: &mut Vec<u8>) {
        let mut rendered = Vec::new();
        if let Some(item) = self.items.get(at) {
            item.write(&mut rendered, &self.back, self.word(at), true);
        }
        self.event(out, "response.output_item.done", |out| {
            item_members(out, at, &rendered);
        });
    }

    /// The status of an item: the last one is as incomplete as the response.
    fn word(&self, at: usize) -> &'static str {
        let last = at.saturating_add(1) == self.items.len();
        match self.reason.as_deref().map(status) {
            Some(Status::Incomplete(_)) if last => "incomplete",
            _ => "completed",
        }
    }

    fn call(&mut self, call: Node<'_>, place: usize, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let index = call.get("index").and_then(|node| node.as_u64());
        let index = index.unwrap_or(place as u64);
        let inner = call.get("function").or_else(|| call.get("custom"));
        let text = |node: Option<Node<'_>>, name: &str| {
            let node = node.and_then(|node| node.get(name));
            node.and_then(|node| node.as_str().map(Cow::into_owned))
        };
        let piece = text(inner, "arguments").or_else(|| text(inner, "input"));
        let piece = piece.unwrap_or_default();
        if let Some((_, at)) = self.calls.iter().find(|(known, _)| *known == index) {
            let at = *at;
            self.arguments(at, &piece, out);
            return Ok(());
        }
        let name = text(inner, "name").filter(|name| !name.is_empty());
        let mut id = text(Some(call), "id").filter(|id| !id.is_empty());
        let mut arguments = String::new();
        if let Some(at) = self.unnamed.iter().position(|(known, ..)| *known == index) {
            let (_, early, text) = self.unnamed.remove(at);
            id = id.or(early);
            arguments = text;
        }
        arguments.push_str(&piece);
        if self.calls.len().saturating_add(self.unnamed.len()) >= MOST_CALLS {
            return Err(AnswerError::Shape("an answer has too many tool calls"));
        }
        match name {
            Some(name) => self.open_call(index, id, name, &arguments, out),
            None => self.unnamed.push((index, id, arguments)),
        }
        Ok(())
    }

    fn open_call(
        &mut self,
        index: u64,
        id: Option<String>,
        name: String,
        arguments: &str,
        out: &mut Vec<u8>,
    ) {
        self.close_open(out);
        let custom = self.back.custom_tools.contains(&name);
        let place = self.items.len();
        let body = Body::Call {
            call_id: id.unwrap_or_else(|| item_id("call", &self.id, place)),
            name,
            arguments: String::new(),
            custom,
        };
        let at = self.add(if custom { "ctc" } else { "fc" }, body, out);
        self.calls.push((index, at));
        self.arguments(at, arguments, out);
    }

    fn arguments(&mut self, at: usize, piece: &str, out: &mut Vec<u8>) {
        let (id, place) = self.place(at, None);
        let Some(Body::Call {
            arguments, custom, ..
        }) = self.items.get_mut(at).map(|item| &mut item.body)
        else {
            return;
        };
        arguments.push_str(piece);
        // The text of a free-form call is known when its arguments are whole.
        if !*custom && !piece.is_empty() {
            let kind = "response.function_call_arguments.delta";
            write::piece(out, kind, self.number, &id, place, piece);
            self.number = self.number.saturating_add(1);
        }
    }

    fn close_calls(&mut self, out: &mut Vec<u8>) {
        for (index, id, arguments) in std::mem::take(&mut self.unnamed) {
            self.open_call(index, id, String::new(), &arguments, out);
        }
        for (_, at) in std::mem::take(&mut self.calls) {
            let (id, place) = self.place(at, None);
            let Some(Body::Call {
                arguments, custom, ..
            }) = self.items.get(at).map(|item| &item.body)
            else {
                continue;
            };
            let (kind, member, text) = match custom {
                true => {
                    let input = input_of(arguments).into_owned();
                    ("response.custom_tool_call_input", "input", input)
                }
                false => (
                    "response.function_call_arguments",
                    "arguments",
                    arguments.clone(),
                ),
            };
            if *custom && !text.is_empty() {
                write::piece(
                    out,
                    &format!("{kind}.delta"),
                    self.number,
                    &id,
                    place,
                    &text,
                );
                self.number = self.number.saturating_add(1);
            }
            self.event(out, &format!("{kind}.done"), |out| {
                write::place(out, &id, place);
                out.extend_from_slice(format!(",\"{member}\":").as_bytes());
                json::write_string(out, &text);
            });
            self.close_item(at, out);
        }
    }

    fn chunk(&mut self, root: Node<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        for (key, value) in root.entries().filter(|(_, value)| !value.is_null()) {
            if key.is_str("choices") {
                value
                    .items()
                    .try_for_each(|choice| self.choice(choice, out))?;
            } else if key.is_str("usage") || key.is_str("x_groq") {
                self.usage = Usage::of_answer(root).ok().flatten().or(self.usage);
            }
        }
        Ok(())
    }

    fn choice(&mut self, choice: Node<'_>, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let (mut delta, mut reason) = (None, None);
        let mut probabilities = Vec::new();
        for (key, value) in choice.entries().filter(|(_, value)| !value.is_null()) {
            if key.is_str("delta") {
                delta = Some(value);
            } else if key.is_str("finish_reason") {
                reason = value.as_str();
            } else if key.is_str("logprobs") {
                logprobs(&mut probabilities, choice);
            } else if key.is_str("index") && value.as_u64().unwrap_or(0) != 0 {
                return Ok(());
            }
        }
        if let Some(delta) = delta {
            self.delta(delta, &probabilities, out)?;
        }
        if let Some(reason) = reason {
            self.reason = Some(reason.into_owned());
        }
        Ok(())
    }

    fn delta(
        &mut self,
        delta: Node<'_>,
        probabilities: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), AnswerError> {
        // One look at each member: reasoning first, then text, then calls.
        let (mut thinks, mut content, mut refusal, mut calls) = (false, None, None, None);
        for (key, value) in delta.entries().filter(|(_, value)| !value.is_null()) {
            if key.is_str("content") {
                content = value.as_str();
            } else if key.is_str("tool_calls") {
                calls = Some(value);
            } else if key.is_str("refusal") {
                refusal = value.as_str();
            } else {
                thinks |= !key.is_str("role");
            }
        }
        if thinks {
            let signature = signature_of(delta);
            let reasoning = reasoning_of(delta);
            if reasoning.is_some() || signature.is_some() {
                self.reasoning(&reasoning.unwrap_or_default(), signature, out);
            }
        }
        if let Some(piece) = content.filter(|text| !text.is_empty()) {
            self.text(&piece, false, probabilities, out);
        }
        if let Some(piece) = refusal.filter(|text| !text.is_empty()) {
            self.text(&piece, true, &[], out);
        }
        let calls = calls.into_iter().flat_map(|list| list.items());
        for (place, call) in calls.enumerate() {
            self.call(call, place, out)?;
        }
        Ok(())
    }

    /// Ends the response, if the provider has said how it ended. Otherwise what is open
    /// stays open: an item that is cut must not look whole to a client that acts on it.
    fn end(&mut self, out: &mut Vec<u8>) {
        let Some(reason) = self.reason.clone().filter(|_| !self.over) else {
            return;
        };
        self.over = true;
        self.close_open(out);
        self.close_calls(out);
        let status = status(&reason);
        let mut output = Vec::new();
        for (place, item) in self.items.iter().enumerate() {
            if place > 0 {
                output.push(b',');
            }
            item.write(&mut output, &self.back, self.word(place), true);
        }
        let object = self.response(status, &output);
        let kind = format!("response.{}", status.as_str());
        write::whole(out, &kind, self.number, &object);
        self.number = self.number.saturating_add(1);
    }

    /// The provider reports an error inside the stream.
    fn error(&mut self, error: Node<'_>, out: &mut Vec<u8>) {
        let text = |name: &str| {
            let node = error.get(name)?;
            match node.kind() {
                Kind::Number => Some(String::from_utf8_lossy(node.raw())),
                _ => node.as_str(),
            }
        };
        let message = text("message")
            .or_else(|| error.as_str())
            .unwrap_or_default();
        let code = text("code").or_else(|| text("type"));
        self.over = true;
        self.event(out, "error", |out| {
            out.extend_from_slice(b",\"code\":");
            match code {
                Some(code) => json::write_string(out, &code),
                None => out.extend_from_slice(b"null"),
            }
            out.extend_from_slice(b",\"message\":");
            json::write_string(out, &message);
            out.extend_from_slice(b",\"param\":null");
        });
    }
}

fn item_members(out: &mut Vec<u8>, place: usize, item: &[u8]) {
    out.extend_from_slice(b",\"output_index\":");
    json::write_u64(out, place as u64);
    out.extend_from_slice(b",\"item\":");
    out.extend_from_slice(item);
}

impl Step for FromChat {
    fn take(&mut self, piece: &TextPiece, out: &mut Vec<u8>) -> bool {
        // What follows the end of a choice is for the slow way to judge.
        let plain = self.begun && !self.over && self.reason.is_none();
        let text = piece.token().as_str().unwrap_or_default();
        plain && self.more_text(&text, b"", out)
    }

    fn push(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let Some(data) = frame.data.clone().filter(|_| !self.over) else {
            return Ok(());
        };
        if data.trim_ascii() == b"[DONE]" {
            self.end(out);
            return Ok(());
        }
        let doc = Doc::parse(data, &self.limits)?;
        let error = doc.root().get("error").filter(|error| !error.is_null());
        if let Some(error) = error {
            self.error(error, out);
            return Ok(());
        }
        self.begin(out);
        self.chunk(doc.root(), out)
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        self.end(out);
        Ok(())
    }
}
