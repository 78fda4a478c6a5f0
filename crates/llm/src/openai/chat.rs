//! Chat completions: the request as received and the answer as one document.

use super::classify;
use super::output::Output;
use super::request::{self, RequestError};
use super::upstream::{self, Target};
use crate::edit::Edits;
use crate::json;
use crate::scan::{Doc, Kind, Limits, Node, ScanError};
use crate::transcript::{OpaquePart, Part, Role, Transcript};
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::borrow::Cow;

/// A checked `POST /chat/completions` body.
#[derive(Debug, Clone)]
pub struct Request {
    doc: Doc,
    model: Option<String>,
    stream: bool,
    include_usage: bool,
    transcript: Transcript,
}

impl Request {
    /// Scans and checks a body. The bytes are kept, not copied.
    ///
    /// # Errors
    /// A [`RequestError`] that names the member and what is wrong with it.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<Request, RequestError> {
        let doc = request::parse(body, limits)?;
        let root = doc.root();
        let model = request::model(root)?.map(Cow::into_owned);
        match root.get("messages") {
            None => return Err(RequestError::missing("messages")),
            Some(messages) if messages.is_null() => return Err(RequestError::missing("messages")),
            Some(messages) if messages.kind() != Kind::Array => {
                return Err(RequestError::wrong_type("messages", "an array"));
            }
            Some(_) => {}
        }
        let flag = |node: Option<Node<'_>>| node.and_then(|n| n.as_bool()).unwrap_or(false);
        let stream = flag(root.get("stream"));
        let asked = root
            .get("stream_options")
            .and_then(|o| o.get("include_usage"));
        if asked.is_some_and(|v| v.as_bool().is_none() && !v.is_null()) {
            let param = "stream_options.include_usage";
            return Err(RequestError::wrong_type(param, "true or false"));
        }
        let include_usage = flag(asked);
        let transcript = classify::chat(root)?;
        Ok(Request {
            stream,
            include_usage,
            model,
            transcript,
            doc,
        })
    }

    /// The scanned body.
    #[must_use]
    pub fn doc(&self) -> &Doc {
        &self.doc
    }

    /// The requested model; `None` if absent or null (the path may name it).
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether the answer is to be streamed.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// Whether the client asked for usage in the stream.
    #[must_use]
    pub fn include_usage(&self) -> bool {
        self.include_usage
    }

    /// Number of choices asked for; 1 if not given.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.doc
            .root()
            .get("n")
            .and_then(|n| n.as_u64())
            .unwrap_or(1)
    }

    /// The larger of `max_completion_tokens` and `max_tokens`, per choice.
    #[must_use]
    pub fn max_tokens(&self) -> Option<u64> {
        let root = self.doc.root();
        let read = |name| root.get(name).and_then(|node: Node<'_>| node.as_u64());
        read("max_completion_tokens").max(read("max_tokens"))
    }

    /// The end user's id (`user`).
    #[must_use]
    pub fn user(&self) -> Option<Cow<'_, str>> {
        request::text(self.doc.root(), "user")
    }

    /// The `messages` array as received.
    #[must_use]
    pub fn messages(&self) -> Node<'_> {
        let root = self.doc.root();
        root.get("messages").unwrap_or(root)
    }

    /// A top-level member, for the gateway's own members (`metadata`, `guardrails`).
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Node<'_>> {
        self.doc.root().get(name).filter(|node| !node.is_null())
    }

    /// Top-level members that neither the API nor the gateway defines, for
    /// `strict_fields`.
    pub fn unknown_members(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let names = self
            .doc
            .root()
            .entries()
            .filter_map(|(key, _)| key.as_str());
        names
            .filter(|name| !super::fields::known_field(name) && !super::fields::gateway_extra(name))
    }

    /// Every text the model will see.
    #[must_use]
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The last text of a user message.
    #[must_use]
    pub fn last_user_text(&self) -> Option<Cow<'_, str>> {
        self.transcript.last_text(Role::User, Part::Text, &self.doc)
    }

    /// The edits that turn this body into the one for `target`: the upstream's model
    /// name, no gateway members, the provider's quirks, usage asked for on streams.
    /// Text edits of checks are added to the result.
    #[must_use]
    pub fn upstream_edits(&self, target: &Target<'_>) -> Edits {
        let mut edits = upstream::edits(&self.doc, target);
        upstream::plain_ids(&mut edits, &self.doc, call_ids(self.doc.root()));
        upstream::usage_on_streams(&mut edits, self.doc.root(), self.stream, target);
        edits
    }
}

/// Ids of tool calls, where they are made and where their results are.
fn call_ids<'a>(root: Node<'a>) -> impl Iterator<Item = Node<'a>> {
    let messages = root.get("messages").into_iter();
    messages.flat_map(|list| list.items()).flat_map(|message| {
        let calls = message.get("tool_calls").into_iter();
        let made = calls
            .flat_map(|calls| calls.items())
            .filter_map(|call| call.get("id"));
        message.get("tool_call_id").into_iter().chain(made)
    })
}

/// A scanned `chat.completion` answer.
#[derive(Debug, Clone)]
pub struct Response {
    doc: Doc,
    outputs: Vec<Output>,
    opaque: Vec<OpaquePart>,
    misshapen: bool,
}

impl Response {
    /// Scans an answer of the upstream.
    ///
    /// # Errors
    /// A [`ScanError`] if it is not strict JSON.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<Response, ScanError> {
        let doc = Doc::parse(body, limits)?;
        let mut found = super::output::Found::default();
        super::output::document(doc.root(), "message", &mut found);
        Ok(Response {
            outputs: found.outputs,
            opaque: found.opaque,
            misshapen: found.misshapen,
            doc,
        })
    }

    /// The scanned answer.
    #[must_use]
    pub fn doc(&self) -> &Doc {
        &self.doc
    }

    /// Whether this has the form of an answer: an object with `choices`, every container of the kind that the format
    /// says. What a client makes of another one is not known, so it cannot be checked.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        let choices = self.doc.root().get("choices");
        !self.misshapen && choices.is_some_and(|choices| choices.kind() == Kind::Array)
    }

    /// Every text the model produced, in document order.
    #[must_use]
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Parts of the answer that are not text (audio, images).
    #[must_use]
    pub fn opaque(&self) -> &[OpaquePart] {
        &self.opaque
    }

    /// `id` of the answer.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'_, str>> {
        self.doc.root().get("id").and_then(|node| node.as_str())
    }

    /// `model` of the answer.
    #[must_use]
    pub fn model(&self) -> Option<Cow<'_, str>> {
        self.doc.root().get("model").and_then(|node| node.as_str())
    }

    /// (choice index, finish reason) of each choice.
    #[must_use]
    pub fn finish_reasons(&self) -> Vec<(u32, Option<Cow<'_, str>>)> {
        let choices = self
            .doc
            .root()
            .get("choices")
            .into_iter()
            .flat_map(|c| c.items());
        let reason = |choice: Node<'_>| choice.get("finish_reason").map(|node| node.id());
        choices
            .enumerate()
            .map(|(at, choice)| {
                let reason = reason(choice).and_then(|id| self.doc.node(id).as_str());
                (super::output::index(choice, at), reason)
            })
            .collect()
    }

    /// The tool calls the model asked for, in order.
    #[must_use]
    pub fn tool_calls(&self) -> Vec<ToolCall<'_>> {
        let choices = self
            .doc
            .root()
            .get("choices")
            .into_iter()
            .flat_map(|c| c.items());
        let mut calls = Vec::new();
        for (at, choice) in choices.enumerate() {
            let listed = choice.get("message").and_then(|m| m.get("tool_calls"));
            for call in listed.into_iter().flat_map(|list| list.items()) {
                let text = |node: Option<Node<'_>>, name: &str| {
                    let id = node.and_then(|node| node.get(name)).map(|node| node.id())?;
                    self.doc.node(id).as_str()
                };
                let function = call.get("function").or_else(|| call.get("custom"));
                calls.push(ToolCall {
                    choice: super::output::index(choice, at),
                    id: text(Some(call), "id"),
                    name: text(function, "name").unwrap_or_default(),
                    arguments: text(function, "arguments")
                        .or_else(|| text(function, "input"))
                        .unwrap_or_default(),
                });
            }
        }
        calls
    }

    /// The usage block; `Ok(None)` if there is none.
    ///
    /// # Errors
    /// A [`UsageError`] if the block cannot be true.
    pub fn usage(&self) -> Result<Option<Usage>, UsageError> {
        Usage::of_answer(self.doc.root())
    }

    /// Edits that put the requested group name in place of the upstream's model name.
    #[must_use]
    pub fn rename_model(&self, group: &str) -> Edits {
        let mut edits = Edits::new();
        rename_model(&mut edits, self.doc.root(), group);
        edits
    }

    /// Replaces one output text.
    pub fn replace_output(&self, edits: &mut Edits, output: &Output, text: &str) {
        edits.replace_raw(self.doc.node(output.node), json::string(text));
    }

    /// Sets `logprobs` of a choice to null: they repeat the text token by token, so
    /// they go whenever the text of the choice was changed.
    pub fn drop_logprobs(&self, edits: &mut Edits, choice: u32) {
        super::output::drop_logprobs(edits, self.doc.root(), Some(choice));
    }

    /// Sets `logprobs` of every choice to null.
    pub fn drop_all_logprobs(&self, edits: &mut Edits) {
        super::output::drop_logprobs(edits, self.doc.root(), None);
    }
}

/// A tool call in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall<'a> {
    /// Index of the choice.
    pub choice: u32,
    /// The call's id.
    pub id: Option<Cow<'a, str>>,
    /// Name of the function or custom tool.
    pub name: Cow<'a, str>,
    /// The arguments text (JSON as text for functions).
    pub arguments: Cow<'a, str>,
}

pub(super) fn rename_model(edits: &mut Edits, root: Node<'_>, group: &str) {
    match root.get("model") {
        Some(model) if model.is_str(group) => {}
        Some(model) => edits.replace_raw(model, json::string(group)),
        None => {}
    }
}
