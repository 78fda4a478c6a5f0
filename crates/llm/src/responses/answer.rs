//! A whole response.

use super::output;
use super::unit::Unit;
use crate::edit::Edits;
use crate::json;
use crate::openai::Output;
use crate::openai::output::Found;
use crate::protocol::{self, IdMap, ToolCall};
use crate::scan::{Doc, Kind, Limits, Node, ScanError};
use crate::transcript::OpaquePart;
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::borrow::Cow;

/// A scanned `response` object.
#[derive(Debug, Clone)]
pub struct Answer {
    doc: Doc,
    outputs: Vec<Output>,
    opaque: Vec<OpaquePart>,
    misshapen: bool,
}

impl Answer {
    /// Scans an answer of the upstream.
    ///
    /// # Errors
    /// A [`ScanError`] if it is not strict JSON.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<Answer, ScanError> {
        let doc = Doc::parse(body, limits)?;
        let mut found = Found::default();
        output::response(doc.root(), &mut found);
        Ok(Answer {
            outputs: found.outputs,
            opaque: found.opaque,
            misshapen: found.misshapen,
            doc,
        })
    }

    /// `status` of the response: `completed`, `incomplete`, `failed`, `in_progress`,
    /// `queued` or `cancelled`.
    #[must_use]
    pub fn status(&self) -> Option<Cow<'_, str>> {
        self.doc.root().get("status")?.as_str()
    }

    fn items(&self) -> impl Iterator<Item = (u32, Node<'_>)> {
        let list = self.doc.root().get("output").into_iter();
        let items = list.flat_map(|list| list.items()).enumerate();
        items.map(|(place, item)| (u32::try_from(place).unwrap_or(u32::MAX), item))
    }

    fn text(&self, node: Option<Node<'_>>) -> Option<Cow<'_, str>> {
        let id = node?.id();
        self.doc.node(id).as_str()
    }
}

impl protocol::Answer for Answer {
    fn doc(&self) -> &Doc {
        &self.doc
    }

    fn is_answer(&self) -> bool {
        let output = self.doc.root().get("output");
        !self.misshapen && output.is_some_and(|output| output.kind() == Kind::Array)
    }

    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn opaque(&self) -> &[OpaquePart] {
        &self.opaque
    }

    fn usage(&self) -> Result<Option<Usage>, UsageError> {
        Usage::of_answer(self.doc.root())
    }

    /// One entry: why the response ended (`completed`, `failed`, or the reason of an
    /// incomplete one).
    fn finish_reasons(&self) -> Vec<(u32, Option<Cow<'_, str>>)> {
        reason(self.doc.root())
            .map(|node| (0, self.text(Some(node))))
            .into_iter()
            .collect()
    }

    fn tool_calls(&self) -> Vec<ToolCall<'_>> {
        let mut calls = Vec::new();
        for (place, item) in self.items() {
            let kind = item.get("type");
            let kinds = ["function_call", "custom_tool_call", "mcp_call"];
            if !kinds
                .iter()
                .any(|name| kind.is_some_and(|k| k.is_str(name)))
            {
                continue;
            }
            let arguments = item.get("arguments").or_else(|| item.get("input"));
            calls.push(ToolCall {
                choice: Unit::item(place).choice(),
                id: self.text(item.get("call_id").or_else(|| item.get("id"))),
                name: self.text(item.get("name")).unwrap_or_default(),
                arguments: self.text(arguments).unwrap_or_default(),
            });
        }
        calls
    }

    fn rename_model(&self, requested: &str) -> Edits {
        let mut edits = Edits::new();
        rename_model(&mut edits, self.doc.root(), requested);
        edits
    }

    fn drop_derived(&self, edits: &mut Edits, choice: u32) {
        for (place, item) in self
            .items()
            .filter(|(place, _)| Unit::is_of(choice, *place))
        {
            let parts = item.get("content").into_iter().flat_map(|c| c.items());
            for (at, part) in parts.enumerate() {
                let part_number = u32::try_from(at).unwrap_or(u32::MAX);
                let unit = Unit {
                    item: place,
                    part: part_number,
                };
                if unit.choice() == choice {
                    drop_logprobs(edits, part);
                }
            }
        }
    }

    fn stored_id(&self) -> Option<Cow<'_, str>> {
        self.text(self.doc.root().get("id"))
    }

    fn rename_ids(&self, edits: &mut Edits, ids: &IdMap) {
        rename_ids(edits, self.doc.root(), ids);
    }
}

/// The client's ids in a response object: of the response and of the one before it.
pub(super) fn rename_ids(edits: &mut Edits, response: Node<'_>, ids: &IdMap) {
    for name in ["id", "previous_response_id"] {
        let node = response.get(name);
        if let Some((node, id)) = node.and_then(|node| Some((node, node.as_str()?))) {
            edits.replace_raw(node, json::string(&ids(&id)));
        }
    }
}

/// Why a response ended: the reason of an incomplete one, else its status once it is
/// over.
pub(super) fn reason(response: Node<'_>) -> Option<Node<'_>> {
    let status = response.get("status")?;
    if status.is_str("incomplete") {
        let details = response.get("incomplete_details");
        let reason = details.and_then(|details| details.get("reason"));
        return Some(reason.filter(|r| !r.is_null()).unwrap_or(status));
    }
    let over = ["completed", "failed", "cancelled"];
    over.iter()
        .any(|word| status.is_str(word))
        .then_some(status)
}

/// The client's model name in a response object.
pub(super) fn rename_model(edits: &mut Edits, response: Node<'_>, requested: &str) {
    if let Some(model) = response.get("model")
        && !model.is_str(requested)
    {
        edits.replace_raw(model, json::string(requested));
    }
}

/// Empties `logprobs` of a part or event: they repeat the text token by token.
pub(super) fn drop_logprobs(edits: &mut Edits, of: Node<'_>) {
    let listed = of
        .get("logprobs")
        .filter(|list| list.items().next().is_some());
    if let Some(list) = listed {
        edits.replace_raw(list, *b"[]");
    }
}
