//! `POST /messages` and `POST /messages/count_tokens`: the request as received.

use super::classify;
use crate::edit::Edits;
use crate::json;
use crate::openai::fields::{self, Class, Mismatch, Rule};
use crate::openai::request::{nested, refused};
use crate::openai::{RequestError, RequestErrorKind, Target};
use crate::protocol::Request;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::transcript::{Part, Role, Transcript};
use bytes::Bytes;
use std::borrow::Cow;

/// Top-level members that the API defines, and what they may be. `null` is let through:
/// the provider judges it.
const KNOWN: &[(&str, Rule)] = &[
    ("model", Rule::Text),
    ("messages", Rule::Array),
    ("system", Rule::Any),
    ("max_tokens", Rule::Integer(0, 100_000_000)),
    ("tools", Rule::Array),
    ("stream", Rule::Bool),
    ("metadata", Rule::Object),
    ("tool_choice", Rule::Object),
    ("thinking", Rule::Object),
    ("temperature", Rule::Number(0.0, 100.0)),
    ("stop_sequences", Rule::Array),
    ("top_p", Rule::Number(0.0, 1.0)),
    ("top_k", Rule::Integer(0, 1 << 31)),
    ("service_tier", Rule::Text),
    ("context_management", Rule::Object),
    ("output_config", Rule::Object),
    ("output_format", Rule::Object),
    ("cache_control", Rule::Object),
    ("mcp_servers", Rule::Array),
    ("container", Rule::Any),
    ("inference_geo", Rule::Text),
    ("speed", Rule::Text),
];

/// A checked body of `POST /messages` or `POST /messages/count_tokens`.
#[derive(Debug, Clone)]
pub struct MessagesRequest {
    doc: Doc,
    model: Option<String>,
    stream: bool,
    transcript: Transcript,
}

impl MessagesRequest {
    /// Scans and checks a body of `POST /messages`. The bytes are kept, not copied.
    ///
    /// # Errors
    /// A [`RequestError`] that names the member and what is wrong with it.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<MessagesRequest, RequestError> {
        let request = MessagesRequest::parse_count(body, limits)?;
        let limit = request.doc.root().get("max_tokens");
        match limit.is_some_and(|limit| !limit.is_null()) {
            true => Ok(request),
            false => Err(missing("max_tokens")),
        }
    }

    /// As [`MessagesRequest::parse`] for `POST /messages/count_tokens`, where `max_tokens`
    /// is not needed.
    ///
    /// # Errors
    /// As [`MessagesRequest::parse`].
    pub fn parse_count(body: Bytes, limits: &Limits) -> Result<MessagesRequest, RequestError> {
        let doc = Doc::parse(body, limits)?;
        let root = doc.root();
        if root.kind() != Kind::Object {
            let message = "Invalid JSON payload: the body must be an object.".to_owned();
            let kind = RequestErrorKind::NotAnObject;
            return Err(RequestError::new(kind, "request_body", message));
        }
        for (key, value) in root.entries() {
            member(&key.as_str().unwrap_or_default(), value)?;
        }
        let messages = root.get("messages").filter(|node| !node.is_null());
        let Some(messages) = messages else {
            return Err(missing("messages"));
        };
        if messages.items().next().is_none() {
            let message = "messages: at least one message is required.".to_owned();
            let kind = RequestErrorKind::Missing;
            return Err(RequestError::new(kind, "messages", message));
        }
        let model = root.get("model").and_then(|node| node.as_str());
        let stream = root.get("stream").and_then(|node| node.as_bool());
        let transcript = classify::messages(root)?;
        Ok(MessagesRequest {
            model: model.map(Cow::into_owned),
            stream: stream.unwrap_or(false),
            transcript,
            doc,
        })
    }
}

impl Request for MessagesRequest {
    fn doc(&self) -> &Doc {
        &self.doc
    }

    fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    fn stream(&self) -> bool {
        self.stream
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        self.doc.root().get("metadata")?.get("user_id")?.as_str()
    }

    fn unknown_members(&self) -> Vec<String> {
        let names = self.doc.root().entries();
        let names = names.filter_map(|(key, _)| key.as_str());
        names
            .filter(|name| rule(name).is_none() && !fields::gateway_extra(name))
            .map(Cow::into_owned)
            .collect()
    }

    fn last_user_text(&self) -> Option<Cow<'_, str>> {
        self.transcript.last_text(Role::User, Part::Text, &self.doc)
    }

    fn prompt(&self) -> Option<Node<'_>> {
        self.doc.root().get("messages")
    }

    /// The model's name, and no members that only the gateway reads. Everything else, the
    /// unknown included, stays byte for byte.
    fn upstream_edits(&self, target: &Target<'_>) -> Edits {
        let mut edits = Edits::new();
        let root = self.doc.root();
        let mut has_model = false;
        for (key, value) in root.entries() {
            let name = key.as_str().unwrap_or_default();
            if name == "model" {
                has_model = true;
                if !value.is_str(target.model) {
                    edits.replace_raw(value, json::string(target.model));
                }
            } else if name == "metadata" {
                if !target.forward_metadata {
                    own_metadata(&mut edits, value);
                }
            } else if name == "messages" {
                signed_only(&mut edits, value);
            } else if fields::gateway_extra(&name) && rule(&name).is_none() {
                edits.remove_entry(root, key);
            }
        }
        if !has_model {
            // The root is an object: checked when the request was parsed.
            let _ = edits.set_member(root, "model", json::string(target.model));
        }
        edits
    }

    fn max_output_tokens(&self) -> Option<u64> {
        self.doc.root().get("max_tokens")?.as_u64()
    }
}

/// Takes thinking out that another provider's model did: it has no signature, and the API
/// refuses what it has not signed itself.
fn signed_only(edits: &mut Edits, messages: Node<'_>) {
    let unsigned = |block: Node<'_>| {
        let signature = block.get("signature");
        block
            .get("type")
            .is_some_and(|kind| kind.is_str("thinking"))
            && signature.is_some_and(|signature| signature.is_str(""))
    };
    let turns = messages.items().filter(|message| {
        message
            .get("role")
            .is_some_and(|role| role.is_str("assistant"))
    });
    for content in turns.filter_map(|message| message.get("content")) {
        if !content.items().any(unsigned) {
            continue;
        }
        match content.items().all(unsigned) {
            // A turn must not be empty.
            true => edits.replace_raw(content, json::string("(no answer)")),
            false => edits.retain_items(content, |block| !unsigned(block)),
        }
    }
}

/// Leaves `user_id`, the API's one member of `metadata`; the others are the gateway's.
fn own_metadata(edits: &mut Edits, metadata: Node<'_>) {
    for (key, _) in metadata.entries() {
        if !key.is_str("user_id") {
            edits.remove_entry(metadata, key);
        }
    }
}

fn rule(name: &str) -> Option<Rule> {
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    known.map(|(_, rule)| *rule)
}

fn member(name: &str, value: Node<'_>) -> Result<(), RequestError> {
    let (rule, free) = match (rule(name), fields::class(name)) {
        (Some(rule), _) => (rule, name == "metadata"),
        (None, Class::Refused | Class::RefusedAtTop) => return Err(refused(name, name)),
        (None, Class::Extra(rule)) => (rule, true),
        (None, Class::Known(_) | Class::Unknown) => (Rule::Any, true),
    };
    if let Err(mismatch) = fields::check(name, rule, value) {
        let (kind, message) = match mismatch {
            Mismatch::Type(message) => (RequestErrorKind::WrongType, message),
            Mismatch::Range(message) => (RequestErrorKind::OutOfRange, message),
        };
        return Err(RequestError::new(kind, name, message));
    }
    if name == "fallbacks" && value.items().any(|item| item.kind() == Kind::Object) {
        return Err(refused(name, name));
    }
    match free {
        true => nested(value),
        false => Ok(()),
    }
}

fn missing(name: &str) -> RequestError {
    let message = format!("{name}: Field required");
    RequestError::new(RequestErrorKind::Missing, name, message)
}
