//! A whole answer of `POST /messages`.

use super::output::Found;
use super::usage::{is_estimate, usage};
use crate::edit::Edits;
use crate::json;
use crate::openai::Output;
use crate::openai::chat::ToolCall;
use crate::protocol::Answer;
use crate::scan::{Doc, Kind, Limits, Node, ScanError};
use crate::transcript::OpaquePart;
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::borrow::Cow;

/// A scanned `message`. Its choices are its content blocks.
#[derive(Debug)]
pub struct MessagesAnswer {
    doc: Doc,
    found: Found,
}

impl MessagesAnswer {
    /// Scans an answer of the upstream.
    ///
    /// # Errors
    /// A [`ScanError`] if it is not strict JSON.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<MessagesAnswer, ScanError> {
        let doc = Doc::parse(body, limits)?;
        let mut found = Found::default();
        found.message(doc.root());
        Ok(MessagesAnswer { doc, found })
    }

    fn blocks(&self) -> impl Iterator<Item = (u32, Node<'_>)> {
        let content = self.doc.root().get("content");
        let blocks = content.into_iter().flat_map(|content| content.items());
        blocks.zip(0_u32..).map(|(block, place)| (place, block))
    }
}

impl Answer for MessagesAnswer {
    fn doc(&self) -> &Doc {
        &self.doc
    }

    fn is_answer(&self) -> bool {
        let root = self.doc.root();
        let content = root.get("content");
        let is_message = root.get("type").is_some_and(|kind| kind.is_str("message"));
        let listed = content.is_some_and(|content| content.kind() == Kind::Array);
        is_message && listed && !self.found.misshapen
    }

    fn outputs(&self) -> &[Output] {
        &self.found.outputs
    }

    fn opaque(&self) -> &[OpaquePart] {
        &self.found.opaque
    }

    fn usage(&self) -> Result<Option<Usage>, UsageError> {
        let block = self
            .doc
            .root()
            .get("usage")
            .filter(|usage| !usage.is_null() && !is_estimate(*usage));
        block
            .map(|block| usage(block, &Usage::default()))
            .transpose()
    }

    fn finish_reasons(&self) -> Vec<(u32, Option<Cow<'_, str>>)> {
        let reason = self.doc.root().get("stop_reason");
        vec![(0, reason.and_then(|reason| reason.as_str()))]
    }

    fn tool_calls(&self) -> Vec<ToolCall<'_>> {
        let calls = self.blocks().filter(|(_, block)| {
            block.get("type").is_some_and(|kind| {
                ["tool_use", "server_tool_use", "mcp_tool_use"]
                    .iter()
                    .any(|name| kind.is_str(name))
            })
        });
        calls
            .map(|(choice, block)| {
                let text = |name: &str| {
                    let id = block.get(name)?.id();
                    self.doc.node(id).as_str()
                };
                let input = block.get("input").map(|input| input.span());
                let input = input.and_then(|span| self.doc.bytes().get(span));
                ToolCall {
                    choice,
                    id: text("id"),
                    name: text("name").unwrap_or_default(),
                    arguments: String::from_utf8_lossy(input.unwrap_or_default()),
                }
            })
            .collect()
    }

    fn rename_model(&self, requested: &str) -> Edits {
        let mut edits = Edits::new();
        rename_model(&mut edits, self.doc.root(), requested);
        edits
    }
}

pub(super) fn rename_model(edits: &mut Edits, message: Node<'_>, requested: &str) {
    match message.get("model") {
        Some(model) if !model.is_str(requested) => {
            edits.replace_raw(model, json::string(requested));
        }
        _ => {}
    }
}
