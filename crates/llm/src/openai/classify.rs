//! Which strings of a request are texts, which are structure, which are opaque.
//!
//! A string is structural only where it is named here **and** has one of the values or
//! the form named here. Every other string is a text.

use super::fields;
use super::request::{RequestError, RequestErrorKind};
use super::vocabulary::{NAMES, PARTS, SCHEMA_WORDS, WORDS, is_in};
use crate::scan::{Kind, Node};
use crate::transcript::{OpaqueKind, Part, Role, Structure, Transcript};

/// Longest identifier that counts as structure.
const MAX_ID: usize = 128;

/// Whether a string looks like an identifier: letters, digits and `_-.:@+|/=`.
pub(crate) fn is_identifier(node: Node<'_>) -> bool {
    let raw = node.raw();
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"_-.:@+|/=".contains(b);
    inner.len() <= MAX_ID && inner.iter().all(allowed)
}

/// Whether a string is the id of a tool call with the signature of the thought behind it.
fn is_signed(node: Node<'_>) -> bool {
    let raw = node.raw();
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let mark = memchr::memmem::find(inner, crate::translate::THOUGHT.as_bytes());
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    mark.is_some() && inner.iter().all(allowed)
}

/// The texts of a chat request.
pub(super) fn chat(root: Node<'_>) -> Result<Transcript, RequestError> {
    let mut walk = Walk::new();
    walk.out.texts.reserve(8);
    for (key, value) in root.entries() {
        walk.top(key, value)?;
    }
    Ok(walk.out)
}

/// The texts of an embeddings request.
pub(super) fn embeddings(root: Node<'_>) -> Result<Transcript, RequestError> {
    let mut walk = Walk::new();
    for (key, value) in root.entries() {
        if key.is_str("input") {
            walk.embed(value)?;
        } else {
            walk.top(key, value)?;
        }
    }
    Ok(walk.out)
}

/// Enters the texts of a request into a transcript, for every format that is built of OpenAI's parts.
pub(crate) struct Walk {
    pub(crate) out: Transcript,
    /// Whose texts are entered now.
    pub(crate) role: Role,
}

impl Walk {
    /// With nothing entered yet.
    pub(crate) fn new() -> Walk {
        Walk {
            out: Transcript::default(),
            role: Role::None,
        }
    }

    pub(crate) fn push(&mut self, part: Part, node: Node<'_>) {
        self.out.push(self.role, part, node);
    }

    /// A place where a string of this part is expected; anything else below is walked.
    pub(crate) fn text(&mut self, part: Part, node: Node<'_>) {
        self.out.push_all(self.role, part, node);
    }

    /// A member that no rule knows: its name and everything below.
    pub(crate) fn unknown(&mut self, key: Node<'_>, value: Node<'_>) {
        if !is_in(NAMES, key) {
            self.push(Part::Key, key);
        }
        self.below(value);
    }

    /// Everything below a value that no rule knows.
    pub(crate) fn below(&mut self, value: Node<'_>) {
        let mut structural = |at: Structure<'_>| match at {
            Structure::Key(key) => is_in(NAMES, key),
            Structure::Value(key, value) => key.is_str("type") && is_in(WORDS, value),
        };
        self.out
            .walk(self.role, Part::Unknown, value, &mut structural);
    }

    /// A string that is structure if it is one of the known words.
    pub(crate) fn word(&mut self, value: Node<'_>) {
        if value.kind() != Kind::String || !is_in(WORDS, value) {
            self.below(value);
        }
    }

    /// A string that is structure if it looks like an identifier.
    pub(crate) fn identifier(&mut self, value: Node<'_>) {
        if value.kind() == Kind::String && is_signed(value) {
            // What follows the mark is a signature: no text, and it must stay as it is.
            self.out.push_opaque(OpaqueKind::Reasoning, value);
        } else if value.kind() != Kind::String || !is_identifier(value) {
            self.below(value);
        }
    }

    pub(crate) fn schema(&mut self, value: Node<'_>) {
        let mut structural = |at: Structure<'_>| match at {
            Structure::Key(key) => is_in(SCHEMA_WORDS, key),
            Structure::Value(key, value) => key.is_str("type") && is_in(SCHEMA_WORDS, value),
        };
        self.out
            .walk(self.role, Part::Schema, value, &mut structural);
    }

    fn top(&mut self, key: Node<'_>, value: Node<'_>) -> Result<(), RequestError> {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "messages" => value
                .items()
                .try_for_each(|message| self.message(message))?,
            "model" => {}
            "tools" => value.items().for_each(|tool| self.tool(tool)),
            "functions" => value.items().for_each(|function| self.function(function)),
            "function_call" | "tool_choice" => self.choice(value),
            "response_format" => self.response_format(value),
            "prediction" => self.prediction(value),
            "stop" => self.text(Part::Stop, value),
            "modalities" => value.items().for_each(|item| self.word(item)),
            "reasoning_effort" | "service_tier" | "verbosity" | "encoding_format" => {
                self.word(value);
            }
            "user" | "safety_identifier" | "prompt_cache_key" | "prompt_cache_retention" => {
                self.identifier(value);
            }
            "audio" => self.voice(value),
            known if fields::known_field(known) => self.below(value),
            // Removed before the body is sent on: no model sees it.
            extra if fields::gateway_extra(extra) => {}
            _ => self.unknown(key, value),
        }
        Ok(())
    }

    fn voice(&mut self, value: Node<'_>) {
        for (key, value) in value.entries() {
            match value.kind() == Kind::String && is_identifier(value) {
                true if key.is_str("voice") || key.is_str("format") => {}
                _ => self.unknown(key, value),
            }
        }
        if value.kind() != Kind::Object {
            self.below(value);
        }
    }

    fn message(&mut self, message: Node<'_>) -> Result<(), RequestError> {
        if message.kind() != Kind::Object {
            return Err(bad(message, "an object"));
        }
        let role = message
            .get("role")
            .filter(|role| role.kind() == Kind::String);
        self.role = role.map_or(Role::Unknown, Role::of);
        for (key, value) in message.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "role" if self.role != Role::Unknown => {}
                "role" => self.below(value),
                "content" => self.content(value)?,
                "name" => self.text(Part::Name, value),
                "refusal" => self.text(Part::Refusal, value),
                "reasoning" | "reasoning_content" | "thinking" => {
                    self.text(Part::Reasoning, value);
                }
                "tool_calls" => self.calls(value),
                "function_call" => self.call(value),
                "tool_call_id" | "id" => self.identifier(value),
                _ => self.unknown(key, value),
            }
        }
        self.role = Role::None;
        Ok(())
    }

    pub(crate) fn content(&mut self, content: Node<'_>) -> Result<(), RequestError> {
        match content.kind() {
            Kind::Null => {}
            Kind::String => self.push(Part::Text, content),
            Kind::Array => content.items().try_for_each(|part| match part.kind() {
                Kind::String => {
                    self.push(Part::Text, part);
                    Ok(())
                }
                Kind::Object => {
                    self.part(part, Part::Text);
                    Ok(())
                }
                _ => Err(bad(part, "an object")),
            })?,
            Kind::Object => self.below(content),
            Kind::True | Kind::False | Kind::Number => {
                return Err(bad(content, "a string or an array of parts"));
            }
        }
        Ok(())
    }

    /// One content part; `text` is what its text counts as.
    pub(crate) fn part(&mut self, part: Node<'_>, text: Part) {
        let kind = part.get("type");
        let known = kind.is_some_and(|kind| is_in(PARTS, kind));
        if !known {
            self.out.push_opaque(OpaqueKind::Unknown, part);
        }
        for (key, value) in part.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" => self.word(value),
                "text" => self.text(text, value),
                "refusal" => self.text(Part::Refusal, value),
                "thinking" | "reasoning" => self.reasoning(value),
                "image_url" if known => self.media(OpaqueKind::Image, value),
                "video_url" if known => self.media(OpaqueKind::Video, value),
                "input_audio" | "audio" if known => self.media(OpaqueKind::Audio, value),
                "file" if known => self.media(OpaqueKind::File, value),
                "signature" if known => self.out.push_opaque(OpaqueKind::Reasoning, value),
                "detail" => self.word(value),
                "file_data" | "file_url" | "file_id" | "filename" if known => {
                    self.media_member(OpaqueKind::File, &name, key, value);
                }
                _ => self.unknown(key, value),
            }
        }
    }

    fn reasoning(&mut self, value: Node<'_>) {
        match value.kind() {
            // Some providers nest text parts.
            Kind::Array => value.items().for_each(|item| match item.kind() {
                Kind::Object => self.part(item, Part::Reasoning),
                _ => self.text(Part::Reasoning, item),
            }),
            _ => self.text(Part::Reasoning, value),
        }
    }

    /// An image, audio or file value: a URL, or an object with URL or data.
    pub(crate) fn media(&mut self, kind: OpaqueKind, value: Node<'_>) {
        match value.kind() {
            Kind::String => self.payload(kind, value),
            Kind::Object => {
                for (key, value) in value.entries() {
                    let name = key.as_str().unwrap_or_default();
                    self.media_member(kind, &name, key, value);
                }
            }
            _ => self.below(value),
        }
    }

    pub(crate) fn media_member(
        &mut self,
        kind: OpaqueKind,
        name: &str,
        key: Node<'_>,
        value: Node<'_>,
    ) {
        match (name, value.kind()) {
            ("url" | "file_url", Kind::String) => self.payload(kind, value),
            ("data" | "file_data", Kind::String) => self.out.push_opaque(kind, value),
            ("file_id" | "id", Kind::String) => {
                self.out.push_opaque(kind, value);
                self.identifier(value);
            }
            ("filename", _) => self.text(Part::Filename, value),
            ("detail" | "format", _) => self.word(value),
            _ => self.unknown(key, value),
        }
    }

    /// A URL of media. Something that is no URL is a text as well.
    pub(crate) fn payload(&mut self, kind: OpaqueKind, value: Node<'_>) {
        self.out.push_opaque(kind, value);
        let raw = value.raw();
        let url = [&b"\"data:"[..], b"\"https://", b"\"http://"];
        if !url.iter().any(|prefix| raw.starts_with(prefix)) {
            self.push(Part::Unknown, value);
        }
    }

    /// `input`: a text, texts, tokens or lists of tokens.
    pub(crate) fn embed(&mut self, input: Node<'_>) -> Result<(), RequestError> {
        match input.kind() {
            Kind::String => self.push(Part::Input, input),
            Kind::Array if input.has_elided() => {
                self.out.push_opaque(OpaqueKind::Tokens, input);
                input.items().for_each(|item| self.below(item));
            }
            Kind::Array => {
                for item in input.items() {
                    match item.kind() {
                        Kind::String => self.push(Part::Input, item),
                        Kind::Array if item.has_elided() && item.items().next().is_none() => {
                            self.out.push_opaque(OpaqueKind::Tokens, item);
                        }
                        Kind::Object => {
                            self.out.push_opaque(OpaqueKind::Unknown, item);
                            self.below(item);
                        }
                        _ => return Err(bad(item, "a string or a list of tokens")),
                    }
                }
            }
            _ => {
                return Err(bad(
                    input,
                    "a string, a list of strings or a list of tokens",
                ));
            }
        }
        Ok(())
    }
}

pub(crate) fn bad(node: Node<'_>, wanted: &str) -> RequestError {
    let path = node.doc().path(node.id());
    let message = format!("'{path}' must be {wanted}.");
    RequestError::new(RequestErrorKind::WrongType, &path, message)
}
