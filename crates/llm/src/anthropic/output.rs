//! The normal form of what a Messages answer holds: the content block is the choice.

use super::vocabulary::BLOCKS;
use crate::openai::vocabulary::is_in;
use crate::openai::{Channel, Output};
use crate::scan::{Kind, Node};
use crate::transcript::{OpaqueKind, OpaquePart};

/// What an answer or event holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) outputs: Vec<Output>,
    pub(super) opaque: Vec<OpaquePart>,
    /// A container that clients read text from is of another kind than the format says.
    pub(super) misshapen: bool,
}

/// Members of a message whose strings are structure.
const MESSAGE: &[&str] = &[
    "id",
    "type",
    "role",
    "model",
    "stop_reason",
    "stop_sequence",
];

impl Found {
    pub(super) fn expect(&mut self, node: Node<'_>, kind: Kind) {
        self.misshapen |= !node.is_null() && node.kind() != kind;
    }

    fn one(&mut self, choice: u32, channel: Channel, node: Node<'_>) {
        self.outputs.push(Output {
            choice,
            channel,
            node: node.id(),
        });
    }

    fn opaque(&mut self, kind: OpaqueKind, node: Node<'_>) {
        let node = node.id();
        self.opaque.push(OpaquePart { kind, node });
    }

    /// A text of a channel; anything below something else than a string.
    fn text(&mut self, choice: u32, channel: Channel, node: Node<'_>) {
        match node.kind() {
            Kind::String => self.one(choice, channel, node),
            _ => self.below(choice, Channel::of_member("text"), node),
        }
    }

    /// Every string below `node`, names of members too, on one channel of whole values.
    pub(super) fn below(&mut self, choice: u32, channel: Channel, node: Node<'_>) {
        match node.kind() {
            Kind::String => self.one(choice, channel, node),
            Kind::Array => node
                .items()
                .for_each(|item| self.below(choice, channel, item)),
            Kind::Object => {
                for (key, value) in node.entries() {
                    self.one(choice, channel, key);
                    self.below(choice, channel, value);
                }
            }
            Kind::Null | Kind::True | Kind::False | Kind::Number => {}
        }
    }

    /// The members of a message (whole, or in `message_start`).
    pub(super) fn message(&mut self, message: Node<'_>) {
        self.expect(message, Kind::Object);
        for (key, value) in message.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                name if MESSAGE.contains(&name) => self.expect(value, Kind::String),
                "content" => {
                    self.expect(value, Kind::Array);
                    for (place, block) in value.items().enumerate() {
                        self.block(block, u32::try_from(place).unwrap_or(u32::MAX), false);
                    }
                }
                name => self.member(0, name, value),
            }
        }
    }

    /// A member that is not part of a text: identifiers, counts, and whatever is unknown.
    pub(super) fn member(&mut self, choice: u32, name: &str, value: Node<'_>) {
        match name {
            "usage" | "container" | "context_management" => self.facts(choice, name, value),
            _ => self.values(choice, name, value),
        }
    }

    /// Numbers and identifiers by the format; other texts in it are output.
    fn facts(&mut self, choice: u32, name: &str, value: Node<'_>) {
        for (key, value) in value.entries() {
            let known = key.is_str("id")
                || key.is_str("expires_at")
                || key.is_str("service_tier")
                || key.is_str("inference_geo")
                || key.is_str("speed");
            if !(known && value.kind() == Kind::String) {
                self.values(choice, name, value);
            }
        }
        value
            .items()
            .for_each(|item| self.facts(choice, name, item));
    }

    /// The strings below a member without names of members.
    fn values(&mut self, choice: u32, name: &str, value: Node<'_>) {
        match value.kind() {
            Kind::String => self.one(choice, Channel::of_member(name), value),
            Kind::Array => value
                .items()
                .for_each(|item| self.values(choice, name, item)),
            Kind::Object => {
                for (key, value) in value.entries() {
                    if !key.is_str("type") || value.kind() != Kind::String {
                        self.values(choice, name, value);
                    }
                }
            }
            Kind::Null | Kind::True | Kind::False | Kind::Number => {}
        }
    }

    /// One content block; `stream` if it begins one and deltas follow.
    pub(super) fn block(&mut self, block: Node<'_>, choice: u32, stream: bool) {
        self.expect(block, Kind::Object);
        let kind = block.get("type");
        let is = |name: &str| kind.is_some_and(|kind| kind.is_str(name));
        for (key, value) in block.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" if is_in(BLOCKS, value) => {}
                "id" | "tool_use_id" if value.kind() == Kind::String => {}
                "text" if is("text") => self.text(choice, Channel::Text, value),
                "thinking" => self.text(choice, Channel::Reasoning, value),
                "signature" | "encrypted_content" | "encrypted_stdout" => {
                    self.sealed(choice, &name, value);
                }
                "data" if is("redacted_thinking") => self.sealed(choice, &name, value),
                "name" if stream => self.text(choice, Channel::CalledName(choice), value),
                "name" => self.text(choice, Channel::ToolName(choice), value),
                "input" => self.below(choice, Channel::InputValue(choice), value),
                "citations" => self.citations(choice, value),
                "content" if value.kind() != Kind::String => self.results(choice, value),
                _ => self.values(choice, &name, value),
            }
        }
    }

    fn sealed(&mut self, choice: u32, name: &str, value: Node<'_>) {
        match value.kind() {
            Kind::String => self.opaque(OpaqueKind::Reasoning, value),
            _ => self.values(choice, name, value),
        }
    }

    pub(super) fn citations(&mut self, choice: u32, citations: Node<'_>) {
        for citation in citations.items() {
            self.citation(choice, citation);
        }
        if citations.kind() != Kind::Array {
            self.values(choice, "citations", citations);
        }
    }

    pub(super) fn citation(&mut self, choice: u32, citation: Node<'_>) {
        for (key, value) in citation.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" | "file_id" if value.kind() == Kind::String => {}
                "encrypted_index" => self.sealed(choice, &name, value),
                _ => self.values(choice, "citations", value),
            }
        }
        if citation.kind() != Kind::Object {
            self.values(choice, "citations", citation);
        }
    }

    /// Results of the provider's own tools: texts beside encrypted ones.
    fn results(&mut self, choice: u32, content: Node<'_>) {
        content.items().for_each(|item| self.results(choice, item));
        for (key, value) in content.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" | "file_id" if value.kind() == Kind::String => {}
                "encrypted_content" | "encrypted_stdout" => self.sealed(choice, &name, value),
                _ if matches!(value.kind(), Kind::Array | Kind::Object) => {
                    self.results(choice, value);
                }
                _ => self.values(choice, &name, value),
            }
        }
        if content.kind() == Kind::String {
            self.values(choice, "content", content);
        }
    }

    /// The delta of a block.
    pub(super) fn delta(&mut self, choice: u32, delta: Node<'_>) {
        self.expect(delta, Kind::Object);
        let kind = delta.get("type");
        let is = |name: &str| kind.is_some_and(|kind| kind.is_str(name));
        for (key, value) in delta.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" if value.kind() == Kind::String => {}
                "text" => self.text(choice, Channel::Text, value),
                "thinking" => self.text(choice, Channel::Reasoning, value),
                "partial_json" => self.text(choice, Channel::ToolArguments(choice), value),
                "citation" => self.citation(choice, value),
                "signature" if is("signature_delta") => self.sealed(choice, &name, value),
                "encrypted_content" => self.sealed(choice, &name, value),
                _ => self.values(choice, &name, value),
            }
        }
    }
}
