//! Calls about something that the provider stored earlier: nothing is sent but an id, and everything that comes back is
//! read as text unless it is known to be structure.

use super::{Answer, Channel, IdMap, Output, Request, Target};
use crate::edit::Edits;
use crate::json;
use crate::scan::{Doc, Kind, Limits, Node, ScanError};
use crate::transcript::Transcript;
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::borrow::Cow;

/// A request without a body.
#[derive(Debug)]
pub struct StoredRequest {
    doc: Doc,
    transcript: Transcript,
    stream: bool,
}

impl StoredRequest {
    /// A request that says nothing.
    ///
    /// # Errors
    /// None in practice: an empty object is within all limits but the absurd.
    pub fn new(limits: &Limits) -> Result<StoredRequest, ScanError> {
        Ok(StoredRequest {
            doc: Doc::parse(Bytes::from_static(b"{}"), limits)?,
            transcript: Transcript::default(),
            stream: false,
        })
    }

    /// The same, answered event by event.
    #[must_use]
    pub fn streamed(self) -> StoredRequest {
        StoredRequest {
            stream: true,
            ..self
        }
    }
}

impl Request for StoredRequest {
    fn doc(&self) -> &Doc {
        &self.doc
    }

    fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    fn model(&self) -> Option<&str> {
        None
    }

    fn stream(&self) -> bool {
        self.stream
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn unknown_members(&self) -> Vec<String> {
        Vec::new()
    }

    fn prompt(&self) -> Option<Node<'_>> {
        None
    }

    fn upstream_edits(&self, _target: &Target<'_>) -> Edits {
        Edits::new()
    }

    fn max_output_tokens(&self) -> Option<u64> {
        Some(0)
    }
}

/// Members whose strings are words or ids of the format, where they have the form of one.
const STRUCTURE: [&str; 17] = [
    "id",
    "object",
    "type",
    "role",
    "status",
    "model",
    "first_id",
    "last_id",
    "call_id",
    "previous_response_id",
    "service_tier",
    "truncation",
    "tool_choice",
    "effort",
    "summary",
    "verbosity",
    "detail",
];

/// An object that the provider stored, or a list of such.
#[derive(Debug)]
pub struct StoredAnswer {
    doc: Doc,
    outputs: Vec<Output>,
}

impl StoredAnswer {
    /// Scans the answer.
    ///
    /// # Errors
    /// A [`ScanError`] if it is not strict JSON.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<StoredAnswer, ScanError> {
        let doc = Doc::parse(body, limits)?;
        let mut outputs = Vec::new();
        walk(doc.root(), false, &mut outputs);
        Ok(StoredAnswer { doc, outputs })
    }
}

fn walk(node: Node<'_>, structural: bool, found: &mut Vec<Output>) {
    match node.kind() {
        Kind::String if structural && is_word(node) => {}
        Kind::String => found.push(Output {
            choice: 0,
            channel: Channel::Text,
            node: node.id(),
        }),
        Kind::Array => node.items().for_each(|item| walk(item, structural, found)),
        Kind::Object => {
            for (key, value) in node.entries() {
                let name = key.as_str().unwrap_or_default();
                let known = STRUCTURE.contains(&&*name) && value.kind() == Kind::String;
                walk(value, known, found);
            }
        }
        Kind::Null | Kind::True | Kind::False | Kind::Number => {}
    }
}

/// Letters, digits and `_-.:/` only: no words of a sentence.
fn is_word(node: Node<'_>) -> bool {
    let text = node.as_str().unwrap_or_default();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    text.len() <= 256 && text.bytes().all(allowed)
}

impl Answer for StoredAnswer {
    fn doc(&self) -> &Doc {
        &self.doc
    }

    fn is_answer(&self) -> bool {
        self.doc.root().kind() == Kind::Object
    }

    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// What is stored was paid when it was made.
    fn usage(&self) -> Result<Option<Usage>, UsageError> {
        Ok(None)
    }

    fn rename_model(&self, requested: &str) -> Edits {
        let mut edits = Edits::new();
        if let Some(model) = self.doc.root().get("model")
            && !model.is_str(requested)
        {
            edits.replace_raw(model, json::string(requested));
        }
        edits
    }

    fn rename_ids(&self, edits: &mut Edits, ids: &IdMap) {
        let root = self.doc.root();
        // A list has no id of its own; its items are no responses.
        for name in ["id", "previous_response_id"] {
            let Some(node) = root.get(name) else { continue };
            if let Some(id) = node.as_str() {
                edits.replace_raw(node, json::string(&ids(&id)));
            }
        }
    }
}
