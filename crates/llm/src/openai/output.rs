//! The one normal form of output: (choice, channel, text).

use super::vocabulary::{ANSWER, is_in};
use crate::edit::Edits;
use crate::scan::{Doc, Kind, Node, NodeId};
use crate::transcript::{OpaqueKind, OpaquePart};
use std::borrow::Cow;

/// Which stream of text within a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Channel {
    /// The answer's text.
    Text,
    /// Reasoning shown beside the answer.
    Reasoning,
    /// A refusal.
    Refusal,
    /// Name of the tool call with this index.
    ToolName(u32),
    /// Arguments of the function call with this index: JSON as text.
    ToolArguments(u32),
    /// Input of the custom tool call with this index: free text.
    ToolInput(u32),
    /// Name of the tool call with this index, where a stream gives it as a whole.
    CalledName(u32),
    /// A string within the input of the tool call with this index, whole: a value or the
    /// name of a member.
    InputValue(u32),
    /// The transcript of spoken output.
    AudioTranscript,
    /// Any other string, by a hash of the member names that lead to it, so that the
    /// same member of successive chunks is the same channel. Usually a whole value per
    /// chunk (citations), not a piece of a longer text.
    Other(u32),
}

impl Channel {
    /// A stable name for records; tool calls without their index.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Channel::Text => "text",
            Channel::Reasoning => "reasoning",
            Channel::Refusal => "refusal",
            Channel::ToolName(_) | Channel::CalledName(_) => "tool_name",
            Channel::ToolArguments(_) => "tool_arguments",
            Channel::ToolInput(_) | Channel::InputValue(_) => "tool_input",
            Channel::AudioTranscript => "audio_transcript",
            Channel::Other(_) => "other",
        }
    }

    /// Whether successive chunks carry pieces of one text.
    #[must_use]
    pub fn is_incremental(self) -> bool {
        !matches!(
            self,
            Channel::Other(_) | Channel::CalledName(_) | Channel::InputValue(_)
        )
    }

    /// Whether the text is a JSON document, whose escapes a check should read.
    #[must_use]
    pub fn is_json_text(self) -> bool {
        matches!(self, Channel::ToolArguments(_))
    }

    /// The channel of whole values of a member with this name.
    pub(crate) fn of_member(name: &str) -> Channel {
        let fold = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        Channel::Other(name.as_bytes().iter().fold(0x811c_9dc5, fold))
    }

    /// The channel of a member below this one. Known channels stay what they are.
    fn below(self, key: Node<'_>) -> Channel {
        match self {
            Channel::Other(path) => Channel::other(path, key),
            known => known,
        }
    }

    /// FNV-1a over the member name: a label, nothing depends on its strength.
    fn other(path: u32, key: Node<'_>) -> Channel {
        let fold = |hash: u32, &byte: &u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        Channel::Other(key.raw().iter().fold(path ^ 0x811c_9dc5, fold))
    }
}

/// One piece of output: a whole string token of the answer or chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// Index of the choice.
    pub choice: u32,
    /// Which text of the choice.
    pub channel: Channel,
    /// The string token.
    pub node: NodeId,
}

impl Output {
    /// The decoded text, from the document it was found in.
    #[must_use]
    pub fn decode<'a>(&self, doc: &'a Doc) -> Cow<'a, str> {
        doc.node(self.node).as_str().unwrap_or_default()
    }
}

/// What a document holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) outputs: Vec<Output>,
    pub(crate) opaque: Vec<OpaquePart>,
    /// A container that clients read text from is of another kind than the format says: what they would make of it is
    /// not known.
    pub(crate) misshapen: bool,
}

impl Found {
    /// Notes when a value is neither null nor of the kind that the format says.
    pub(crate) fn expect(&mut self, node: Node<'_>, kind: Kind) {
        self.misshapen |= !node.is_null() && node.kind() != kind;
    }
}

/// Finds the outputs of an answer (`member` is `message`) or chunk (`delta`).
pub(crate) fn document(root: Node<'_>, member: &str, found: &mut Found) {
    found.expect(root, Kind::Object);
    for (key, value) in root.entries() {
        if key.is_str("choices") {
            found.expect(value, Kind::Array);
            for (at, choice) in value.items().enumerate() {
                one_choice(choice, at, member, found);
            }
        } else if !is_in(ANSWER, key) {
            other(key, value, 0, found);
        } else if key.is_str("usage") {
            // Numbers by the format; text in it is as visible as anywhere.
            below(value, 0, Channel::other(0, key), found);
        }
    }
}

/// `index` of a choice, else its place in the list.
pub(crate) fn index(choice: Node<'_>, place: usize) -> u32 {
    let written = choice.get("index").and_then(|node| node.as_u64());
    let index = written.unwrap_or(place as u64);
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn one_choice(choice: Node<'_>, place: usize, member: &str, found: &mut Found) {
    let number = index(choice, place);
    found.expect(choice, Kind::Object);
    for (key, value) in choice.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "index" | "finish_reason" | "stop_reason" | "native_finish_reason" => {}
            // Repeats the text token by token; goes when the text is changed.
            "logprobs" => {}
            "text" => push(number, Channel::Text, value, found),
            name if name == member => message(value, number, found),
            _ => other(key, value, number, found),
        }
    }
}

pub(crate) fn push(choice: u32, channel: Channel, node: Node<'_>, found: &mut Found) {
    match node.kind() {
        Kind::String => found.outputs.push(Output {
            choice,
            channel,
            node: node.id(),
        }),
        _ => below(node, choice, channel, found),
    }
}

pub(crate) fn other(key: Node<'_>, node: Node<'_>, choice: u32, found: &mut Found) {
    push(choice, Channel::other(0, key), node, found);
}

/// Every string below `node`.
pub(crate) fn below(node: Node<'_>, choice: u32, channel: Channel, found: &mut Found) {
    for item in node.items() {
        push(choice, channel, item, found);
    }
    for (key, value) in node.entries() {
        if !key.is_str("type") || value.kind() != Kind::String {
            push(choice, channel.below(key), value, found);
        }
    }
}

fn message(message: Node<'_>, choice: u32, found: &mut Found) {
    found.expect(message, Kind::Object);
    for (key, value) in message.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "role" if value.kind() == Kind::String => {}
            "content" => content(value, choice, found),
            "refusal" => push(choice, Channel::Refusal, value, found),
            "reasoning_content" | "reasoning" | "thinking" => {
                push(choice, Channel::Reasoning, value, found);
            }
            "tool_calls" => {
                found.expect(value, Kind::Array);
                for (place, call) in value.items().enumerate() {
                    tool_call(call, index(call, place), choice, found);
                }
            }
            "function_call" => call(value, 0, choice, found),
            "audio" => audio(value, choice, found),
            "images" => found.opaque.push(OpaquePart {
                kind: OpaqueKind::Image,
                node: value.id(),
            }),
            "reasoning_details" => reasoning_details(value, choice, found),
            _ => other(key, value, choice, found),
        }
    }
}

fn content(content: Node<'_>, choice: u32, found: &mut Found) {
    if content.kind() != Kind::Array {
        return push(choice, Channel::Text, content, found);
    }
    for part in content.items() {
        for (key, value) in part.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" if value.kind() == Kind::String => {}
                "text" => push(choice, Channel::Text, value, found),
                "refusal" => push(choice, Channel::Refusal, value, found),
                "thinking" | "reasoning" => push(choice, Channel::Reasoning, value, found),
                "signature" => opaque(OpaqueKind::Reasoning, value, found),
                "image_url" => opaque(OpaqueKind::Image, value, found),
                _ => other(key, value, choice, found),
            }
        }
        if part.kind() != Kind::Object {
            push(choice, Channel::Text, part, found);
        }
    }
}

pub(crate) fn opaque(kind: OpaqueKind, node: Node<'_>, found: &mut Found) {
    let node = node.id();
    found.opaque.push(OpaquePart { kind, node });
}

fn tool_call(node: Node<'_>, number: u32, choice: u32, found: &mut Found) {
    found.expect(node, Kind::Object);
    for (key, value) in node.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "id" | "type" | "index" => {}
            "function" | "custom" => call(value, number, choice, found),
            "provider_specific_fields" if value.kind() == Kind::Object => {
                for (key, value) in value.entries() {
                    match key.is_str("thought_signature") {
                        true => opaque(OpaqueKind::Reasoning, value, found),
                        false => other(key, value, choice, found),
                    }
                }
            }
            _ => other(key, value, choice, found),
        }
    }
}

fn call(node: Node<'_>, number: u32, choice: u32, found: &mut Found) {
    found.expect(node, Kind::Object);
    for (key, value) in node.entries() {
        let channel = match () {
            () if key.is_str("name") => Channel::ToolName(number),
            () if key.is_str("arguments") => Channel::ToolArguments(number),
            () if key.is_str("input") => Channel::ToolInput(number),
            () => Channel::other(0, key),
        };
        push(choice, channel, value, found);
    }
}

fn audio(node: Node<'_>, choice: u32, found: &mut Found) {
    for (key, value) in node.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "id" | "expires_at" => {}
            "data" => opaque(OpaqueKind::Audio, value, found),
            "transcript" => push(choice, Channel::AudioTranscript, value, found),
            _ => other(key, value, choice, found),
        }
    }
}

fn reasoning_details(node: Node<'_>, choice: u32, found: &mut Found) {
    for item in node.items() {
        for (key, value) in item.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" | "id" | "format" | "index" => {}
                "data" | "signature" => opaque(OpaqueKind::Reasoning, value, found),
                _ => push(choice, Channel::Reasoning, value, found),
            }
        }
    }
}

/// Sets `logprobs` to null, of one choice or of all.
pub(crate) fn drop_logprobs(edits: &mut Edits, root: Node<'_>, only: Option<u32>) {
    let choices = root
        .get("choices")
        .into_iter()
        .flat_map(|list| list.items());
    for (place, node) in choices.enumerate() {
        let logprobs = node.get("logprobs").filter(|logprobs| !logprobs.is_null());
        if let Some(logprobs) = logprobs
            && only.is_none_or(|choice| choice == index(node, place))
        {
            edits.replace_raw(logprobs, *b"null");
        }
    }
}
