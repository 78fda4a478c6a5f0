//! Chat completion streams: one event of the upstream, and the frames made of it.

use super::chat::rename_model;
use super::output::{self, Output};
use crate::edit::{EditError, Edits};
use crate::json;
use crate::scan::{Doc, Kind, Limits, Node, ScanError};
use crate::transcript::OpaquePart;
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::borrow::Cow;

/// What the data of one event is.
#[derive(Debug, Clone)]
pub enum Event {
    /// `[DONE]`
    Done,
    /// A chunk of the answer.
    Chunk(Chunk),
    /// An error that the upstream reports inside the stream.
    Error(UpstreamError),
}

/// An error object inside a stream.
#[derive(Debug, Clone)]
pub struct UpstreamError {
    doc: Doc,
}

impl UpstreamError {
    /// The scanned event.
    #[must_use]
    pub fn doc(&self) -> &Doc {
        &self.doc
    }

    /// `error.message`, or `error` itself if it is a string. The upstream's words:
    /// content, and to be scrubbed before anything is done with it.
    #[must_use]
    pub fn message(&self) -> Option<Cow<'_, str>> {
        let error = self.doc.root().get("error")?;
        error.get("message").unwrap_or(error).as_str()
    }

    /// `error.type`.
    #[must_use]
    pub fn kind(&self) -> Option<Cow<'_, str>> {
        self.doc.root().get("error")?.get("type")?.as_str()
    }

    /// `error.code` as text.
    #[must_use]
    pub fn code(&self) -> Option<Cow<'_, str>> {
        let code = self.doc.root().get("error")?.get("code")?;
        match code.kind() {
            Kind::Number => Some(String::from_utf8_lossy(code.raw())),
            _ => code.as_str(),
        }
    }
}

impl Event {
    /// Reads the data of one frame.
    ///
    /// # Errors
    /// A [`ScanError`] if it is neither `[DONE]` nor strict JSON.
    pub fn parse(data: Bytes, limits: &Limits) -> Result<Event, ScanError> {
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Event::Done);
        }
        let doc = Doc::parse(data, limits)?;
        let error = doc.root().get("error").filter(|error| !error.is_null());
        if error.is_some() {
            return Ok(Event::Error(UpstreamError { doc }));
        }
        let mut found = output::Found::default();
        output::document(doc.root(), "delta", &mut found);
        Ok(Event::Chunk(Chunk {
            doc,
            outputs: found.outputs,
            opaque: found.opaque,
            misshapen: found.misshapen,
        }))
    }
}

/// A `chat.completion.chunk`.
#[derive(Debug, Clone)]
pub struct Chunk {
    doc: Doc,
    outputs: Vec<Output>,
    opaque: Vec<OpaquePart>,
    misshapen: bool,
}

impl Chunk {
    /// Whether every container is of the kind that the format says. What a client makes of another one is not known, so
    /// it cannot be checked.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        !self.misshapen
    }

    /// Taken apart: the scanned chunk, its texts, its other parts.
    pub(crate) fn into_parts(self) -> (Doc, Vec<Output>, Vec<OpaquePart>) {
        (self.doc, self.outputs, self.opaque)
    }

    /// The scanned chunk.
    #[must_use]
    pub fn doc(&self) -> &Doc {
        &self.doc
    }

    /// Every piece of text in the chunk, in document order.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Parts that are not text.
    #[must_use]
    pub fn opaque(&self) -> &[OpaquePart] {
        &self.opaque
    }

    /// `id` of the answer.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.doc.root().get("id")?.as_str()
    }

    /// `model` as the upstream names it.
    #[must_use]
    pub fn model(&self) -> Option<Cow<'_, str>> {
        self.doc.root().get("model")?.as_str()
    }

    /// `created`, in seconds since the Unix epoch.
    #[must_use]
    pub fn created(&self) -> Option<u64> {
        self.doc.root().get("created")?.as_u64()
    }

    fn choices(&self) -> impl Iterator<Item = (u32, Node<'_>)> {
        let list = self.doc.root().get("choices").into_iter();
        let choices = list.flat_map(|list| list.items()).enumerate();
        choices.map(|(place, choice)| (output::index(choice, place), choice))
    }

    /// Choices that end with this chunk, and why.
    pub fn finished(&self) -> impl Iterator<Item = (u32, Cow<'_, str>)> {
        self.choices().filter_map(|(index, choice)| {
            let reason = choice.get("finish_reason")?.id();
            Some((index, self.doc.node(reason).as_str()?))
        })
    }

    /// The usage block; `Ok(None)` if there is none.
    ///
    /// # Errors
    /// A [`UsageError`] if the block cannot be true.
    pub fn usage(&self) -> Result<Option<Usage>, UsageError> {
        Usage::of_answer(self.doc.root())
    }

    /// Whether the chunk carries usage and nothing else: no choice, or only choices
    /// without any delta and without an end.
    #[must_use]
    pub fn is_usage_only(&self) -> bool {
        let usage = self.doc.root().get("usage");
        usage.is_some_and(|usage| usage.kind() == Kind::Object)
            && self
                .outputs
                .iter()
                .all(|output| output.decode(&self.doc).is_empty())
            && self.opaque.is_empty()
            && self.choices().all(|(_, choice)| {
                let given = |node: Option<Node<'_>>| node.is_some_and(|node| !node.is_null());
                let delta = |name: &str| choice.get("delta").and_then(|delta| delta.get(name));
                let begins = given(delta("role")) || given(delta("tool_calls"));
                !begins && !given(choice.get("finish_reason"))
            })
    }

    /// The edits every forwarded chunk gets: the requested group name as `model`, and
    /// no `usage` member if the client did not ask for it.
    #[must_use]
    pub fn client_edits(&self, group: &str, keep_usage: bool) -> Edits {
        let mut edits = Edits::new();
        let root = self.doc.root();
        rename_model(&mut edits, root, group);
        if !keep_usage && let Some((key, _)) = root.entry("usage") {
            edits.remove_entry(root, key);
        }
        edits
    }

    /// Replaces one piece of text.
    pub fn replace_output(&self, edits: &mut Edits, output: &Output, text: &str) {
        edits.replace_raw(self.doc.node(output.node), json::string(text));
    }

    /// Sets `logprobs` of a choice to null; they repeat the text token by token.
    pub fn drop_logprobs(&self, edits: &mut Edits, choice: u32) {
        output::drop_logprobs(edits, self.doc.root(), Some(choice));
    }

    /// Sets `logprobs` of every choice to null.
    pub fn drop_all_logprobs(&self, edits: &mut Edits) {
        output::drop_logprobs(edits, self.doc.root(), None);
    }

    /// The chunk with its edits as a frame of one data line. A chunk that the upstream
    /// wrote over several lines is put on one.
    ///
    /// # Errors
    /// An [`EditError`] if the edits belong to another document.
    pub fn render(&self, edits: &Edits) -> Result<Bytes, EditError> {
        let mut out = Vec::with_capacity(self.doc.bytes().len().saturating_add(64));
        self.render_into(edits, &mut out)?;
        Ok(Bytes::from(out))
    }

    /// Appends what [`Chunk::render`] gives.
    ///
    /// # Errors
    /// As [`Chunk::render`]; `out` is then unspecified.
    pub fn render_into(&self, edits: &Edits, out: &mut Vec<u8>) -> Result<(), EditError> {
        out.extend_from_slice(b"data: ");
        let from = out.len();
        edits.apply_into(&self.doc, out)?;
        // Outside of strings line breaks are white space; inside there are none.
        let written = out.get_mut(from..).unwrap_or_default();
        if memchr::memchr2(b'\n', b'\r', written).is_some() {
            let breaks = written.iter_mut().filter(|b| matches!(**b, b'\n' | b'\r'));
            breaks.for_each(|byte| *byte = b' ');
        }
        out.extend_from_slice(b"\n\n");
        Ok(())
    }

    /// Whether the chunk is one piece of text and nothing else.
    pub(super) fn is_one_piece(&self) -> bool {
        let root = self.doc.root();
        let absent = |node: Option<Node<'_>>| node.is_none_or(|node| node.is_null());
        matches!(self.outputs.as_slice(), [one] if one.channel.is_incremental())
            && self.opaque.is_empty()
            && absent(root.get("usage"))
            && absent(root.get("x_groq"))
            && self.choices().all(|(_, choice)| {
                absent(choice.get("finish_reason")) && absent(choice.get("logprobs"))
            })
    }
}

/// What all chunks of a stream share; for chunks made by the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// `id` of the answer.
    pub id: String,
    /// `created`, in seconds since the Unix epoch.
    pub created: u64,
    /// The requested group name.
    pub model: String,
}

impl Head {
    /// The head of the stream that `chunk` belongs to, for a client that asked for
    /// `group`.
    #[must_use]
    pub fn of(chunk: &Chunk, group: &str) -> Head {
        Head {
            id: chunk.id().unwrap_or_default().into_owned(),
            created: chunk.created().unwrap_or(0),
            model: group.to_owned(),
        }
    }

    /// A frame that delivers `text` on a channel: what a check held back. `None` for
    /// channels that do not consist of pieces ([`super::Channel::Other`]).
    #[must_use]
    pub fn text_frame(&self, choice: u32, channel: super::Channel, text: &str) -> Option<Bytes> {
        let mut delta = Vec::with_capacity(text.len().saturating_add(64));
        let member = |delta: &mut Vec<u8>, name: &str| {
            delta.extend_from_slice(b"{\"");
            delta.extend_from_slice(name.as_bytes());
            delta.extend_from_slice(b"\":");
            json::write_string(delta, text);
            delta.push(b'}');
        };
        match channel {
            super::Channel::Text => member(&mut delta, "content"),
            super::Channel::Reasoning => member(&mut delta, "reasoning_content"),
            super::Channel::Refusal => member(&mut delta, "refusal"),
            super::Channel::AudioTranscript => {
                delta.extend_from_slice(b"{\"audio\":");
                member(&mut delta, "transcript");
                delta.push(b'}');
            }
            super::Channel::ToolName(index)
            | super::Channel::ToolArguments(index)
            | super::Channel::ToolInput(index) => {
                let (kind, name) = match channel {
                    super::Channel::ToolName(_) => ("function", "name"),
                    super::Channel::ToolInput(_) => ("custom", "input"),
                    _ => ("function", "arguments"),
                };
                delta.extend_from_slice(b"{\"tool_calls\":[{\"index\":");
                json::write_u64(&mut delta, u64::from(index));
                delta.extend_from_slice(format!(",\"{kind}\":").as_bytes());
                member(&mut delta, name);
                delta.extend_from_slice(b"}]}");
            }
            super::Channel::Other(_)
            | super::Channel::CalledName(_)
            | super::Channel::InputValue(_) => return None,
        }
        Some(self.frame(choice, &delta, None))
    }

    /// A frame that ends a choice.
    #[must_use]
    pub fn finish_frame(&self, choice: u32, reason: &str) -> Bytes {
        self.frame(choice, b"{}", Some(reason))
    }

    pub(super) fn frame(&self, choice: u32, delta: &[u8], reason: Option<&str>) -> Bytes {
        let mut out = Vec::with_capacity(delta.len().saturating_add(192));
        out.extend_from_slice(b"data: ");
        self.open(&mut out);
        out.extend_from_slice(b",\"choices\":[{\"index\":");
        json::write_u64(&mut out, u64::from(choice));
        out.extend_from_slice(b",\"delta\":");
        out.extend_from_slice(delta);
        out.extend_from_slice(b",\"finish_reason\":");
        match reason {
            Some(reason) => json::write_string(&mut out, reason),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}]}\n\n");
        Bytes::from(out)
    }

    /// `{"id":..,"object":..,"created":..,"model":..` without the closing brace.
    pub(super) fn open(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        json::write_string(out, &self.id);
        out.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        json::write_u64(out, self.created);
        out.extend_from_slice(b",\"model\":");
        json::write_string(out, &self.model);
    }
}
