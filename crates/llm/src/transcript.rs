//! Every text a model will see or has produced, with its origin and its place.
//!
//! A transcript holds no text of its own: each entry names a string token of the
//! document it was taken from ([`crate::scan::NodeId`]). Strings that no rule of the
//! adapter calls structural enter with [`Part::Unknown`], so they are checked too.

use crate::scan::{Doc, Node, NodeId};
use std::borrow::Cow;
use std::ops::Range;

/// Whose text it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Role {
    /// Not part of a message (tools, prediction, inputs of an embedding).
    None,
    /// `system`
    System,
    /// `developer`
    Developer,
    /// `user`
    User,
    /// `assistant`
    Assistant,
    /// `tool`
    Tool,
    /// `function` (older name of `tool`)
    Function,
    /// A role that the API does not define.
    Unknown,
}

impl Role {
    /// The wire name; `none` and `unknown` for the two others.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::None => "none",
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
            Role::Function => "function",
            Role::Unknown => "unknown",
        }
    }

    pub(crate) fn of(node: Node<'_>) -> Role {
        let known = [
            Role::User,
            Role::Assistant,
            Role::System,
            Role::Tool,
            Role::Developer,
            Role::Function,
        ];
        let found = known.into_iter().find(|role| node.is_str(role.as_str()));
        found.unwrap_or(Role::Unknown)
    }
}

/// Which part of a message or request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// Message content, as a string or a text part.
    Text,
    /// A refusal of an earlier answer.
    Refusal,
    /// Reasoning of an earlier answer.
    Reasoning,
    /// The `name` of a message.
    Name,
    /// Arguments of a function call: JSON as text.
    ToolArguments,
    /// Input of a custom tool call: free text.
    ToolInput,
    /// The name of a tool, function or called tool.
    ToolName,
    /// The description of a tool or function.
    ToolDescription,
    /// A string inside a JSON schema (tool parameters, response format).
    Schema,
    /// A stop sequence.
    Stop,
    /// Predicted output.
    Prediction,
    /// An input to embed.
    Input,
    /// The name of an attached file.
    Filename,
    /// A member name chosen by the sender, for example a property of a schema. Masking
    /// it changes the structure of the body.
    Key,
    /// A string that no rule knows.
    Unknown,
}

impl Part {
    /// A stable name for records and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Part::Text => "text",
            Part::Refusal => "refusal",
            Part::Reasoning => "reasoning",
            Part::Name => "name",
            Part::ToolArguments => "tool_arguments",
            Part::ToolInput => "tool_input",
            Part::ToolName => "tool_name",
            Part::ToolDescription => "tool_description",
            Part::Schema => "schema",
            Part::Stop => "stop",
            Part::Prediction => "prediction",
            Part::Input => "input",
            Part::Filename => "filename",
            Part::Key => "key",
            Part::Unknown => "unknown",
        }
    }
}

impl Part {
    /// Whether the text is a JSON document, whose escapes a check should read.
    #[must_use]
    pub fn is_json_text(self) -> bool {
        self == Part::ToolArguments
    }
}

/// Role and part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Whose text.
    pub role: Role,
    /// Which part.
    pub part: Part,
}

/// One text: a whole string token of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// Where it comes from.
    pub origin: Origin,
    /// The string token.
    pub node: NodeId,
}

impl Text {
    /// The decoded text, from the document the transcript was taken from.
    #[must_use]
    pub fn decode<'a>(&self, doc: &'a Doc) -> Cow<'a, str> {
        doc.node(self.node).as_str().unwrap_or_default()
    }

    /// Byte range of the string token, quotes included.
    #[must_use]
    pub fn span(&self, doc: &Doc) -> Range<usize> {
        doc.node(self.node).span()
    }

    /// Its JSON path, rendered on demand.
    #[must_use]
    pub fn path(&self, doc: &Doc) -> String {
        doc.path(self.node)
    }
}

/// What kind of content cannot be read as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum OpaqueKind {
    /// An image, by URL or inline.
    Image,
    /// Audio.
    Audio,
    /// Video.
    Video,
    /// A file, inline or by id.
    File,
    /// Token numbers instead of text.
    Tokens,
    /// Encrypted or signed reasoning.
    Reasoning,
    /// Content that the provider keeps and the request only refers to: a stored prompt, an
    /// earlier response or item.
    Stored,
    /// A content part whose type is not known. Its strings are in the transcript too,
    /// but what they encode is not known.
    Unknown,
}

impl OpaqueKind {
    /// A stable name for records and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OpaqueKind::Image => "image",
            OpaqueKind::Audio => "audio",
            OpaqueKind::Video => "video",
            OpaqueKind::File => "file",
            OpaqueKind::Tokens => "tokens",
            OpaqueKind::Reasoning => "reasoning",
            OpaqueKind::Stored => "stored",
            OpaqueKind::Unknown => "unknown",
        }
    }
}

/// A part that no text check can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpaquePart {
    /// What it is.
    pub kind: OpaqueKind,
    /// The value's token.
    pub node: NodeId,
}

/// All texts of a document in document order, and the parts that are not text.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    /// The texts.
    pub texts: Vec<Text>,
    /// Parts that cannot be read.
    pub opaque: Vec<OpaquePart>,
}

impl Transcript {
    /// The texts decoded, in order.
    pub fn decoded<'a>(&'a self, doc: &'a Doc) -> impl Iterator<Item = (Text, Cow<'a, str>)> + 'a {
        self.texts.iter().map(|text| (*text, text.decode(doc)))
    }

    /// The text of `origin` that comes last.
    #[must_use]
    pub fn last(&self, origin: Origin) -> Option<Text> {
        let mut newest_first = self.texts.iter().rev();
        newest_first.find(|text| text.origin == origin).copied()
    }

    /// As [`Transcript::last`], decoded from the document that it is the transcript of.
    pub(crate) fn last_text<'d>(
        &self,
        role: Role,
        part: Part,
        doc: &'d Doc,
    ) -> Option<Cow<'d, str>> {
        let text = self.last(Origin { role, part })?;
        Some(text.decode(doc))
    }

    pub(crate) fn push(&mut self, role: Role, part: Part, node: Node<'_>) {
        let origin = Origin { role, part };
        self.texts.push(Text {
            origin,
            node: node.id(),
        });
    }

    pub(crate) fn push_opaque(&mut self, kind: OpaqueKind, node: Node<'_>) {
        let node = node.id();
        self.opaque.push(OpaquePart { kind, node });
    }

    /// Enters every string below `node`, itself included, as `part`, and every member
    /// name as [`Part::Key`].
    pub(crate) fn push_all(&mut self, role: Role, part: Part, node: Node<'_>) {
        self.walk(role, part, node, &mut |_| false);
    }

    /// As [`Transcript::push_all`], without the names that `structural` accepts.
    pub(crate) fn walk(
        &mut self,
        role: Role,
        part: Part,
        node: Node<'_>,
        structural: &mut dyn FnMut(Structure<'_>) -> bool,
    ) {
        use crate::scan::Kind;
        match node.kind() {
            Kind::String => self.push(role, part, node),
            Kind::Array => {
                for item in node.items() {
                    self.walk(role, part, item, structural);
                }
            }
            Kind::Object => {
                for (key, value) in node.entries() {
                    if !structural(Structure::Key(key)) {
                        self.push(role, Part::Key, key);
                    }
                    if value.kind() != Kind::String || !structural(Structure::Value(key, value)) {
                        self.walk(role, part, value, structural);
                    }
                }
            }
            Kind::Null | Kind::True | Kind::False | Kind::Number => {}
        }
    }
}

/// Something a walk asks about: is it part of the format rather than content?
pub(crate) enum Structure<'a> {
    /// A member name.
    Key(Node<'a>),
    /// A member name and its string value.
    Value(Node<'a>, Node<'a>),
}
