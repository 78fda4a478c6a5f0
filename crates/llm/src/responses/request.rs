//! The body of `POST /responses`.

use super::classify;
use crate::edit::Edits;
use crate::openai::fields::Rule;
use crate::openai::request::{self, RequestError};
use crate::openai::{Target, upstream};
use crate::protocol;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::transcript::{Part, Role, Transcript};
use bytes::Bytes;
use std::borrow::Cow;

/// Members of the body that the API defines. (`metadata` is the gateway's.)
const MEMBERS: &[(&str, Rule)] = &[
    ("model", Rule::Any),
    ("input", Rule::Any),
    ("instructions", Rule::Any),
    ("stream", Rule::Bool),
    ("tools", Rule::Array),
    ("tool_choice", Rule::Any),
    ("parallel_tool_calls", Rule::Bool),
    ("reasoning", Rule::Object),
    ("store", Rule::Bool),
    ("include", Rule::Array),
    ("text", Rule::Object),
    ("prompt_cache_key", Rule::Any),
    ("previous_response_id", Rule::Text),
    ("max_output_tokens", Rule::Integer(1, 100_000_000)),
    ("max_tool_calls", Rule::Integer(0, 1_000_000)),
    ("temperature", Rule::Number(0.0, 100.0)),
    ("top_p", Rule::Number(0.0, 1.0)),
    ("top_logprobs", Rule::Integer(0, 1000)),
    ("truncation", Rule::Text),
    ("background", Rule::Bool),
    ("conversation", Rule::Any),
    ("prompt", Rule::Object),
    ("service_tier", Rule::Text),
    ("stream_options", Rule::Object),
    ("safety_identifier", Rule::Text),
    ("user", Rule::Text),
    ("prompt_cache_retention", Rule::Text),
    ("prompt_cache_options", Rule::Object),
    ("context_management", Rule::Any),
    ("moderation", Rule::Object),
    ("image", Rule::Object),
    ("access_programs", Rule::Object),
];

/// A checked `POST /responses` body.
#[derive(Debug, Clone)]
pub struct Request {
    doc: Doc,
    model: Option<String>,
    transcript: Transcript,
}

impl Request {
    /// Scans and checks a body. The bytes are kept, not copied.
    ///
    /// # Errors
    /// A [`RequestError`] that names the member and what is wrong with it.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<Request, RequestError> {
        let doc = request::parse_own(body, limits, MEMBERS)?;
        let root = doc.root();
        let model = request::model(root)?.map(Cow::into_owned);
        let given = |name: &str| root.get(name).filter(|node| !node.is_null());
        match given("input") {
            Some(input) if matches!(input.kind(), Kind::String | Kind::Array) => {}
            Some(_) => return Err(RequestError::wrong_type("input", "a string or an array")),
            // What the model sees is then kept by the provider.
            None if ["prompt", "previous_response_id", "conversation"]
                .into_iter()
                .any(|name| given(name).is_some()) => {}
            None => return Err(RequestError::missing("input")),
        }
        let transcript = classify::request(root)?;
        Ok(Request {
            model,
            transcript,
            doc,
        })
    }

    /// Whether the body names the API's member `name`.
    #[must_use]
    pub fn is_member(name: &str) -> bool {
        MEMBERS.iter().any(|(known, _)| *known == name)
    }

    /// The earlier response that this one continues (`previous_response_id`).
    #[must_use]
    pub fn previous_response_id(&self) -> Option<Cow<'_, str>> {
        request::text(self.doc.root(), "previous_response_id")
    }

    /// Whether the answer is to be made in the background.
    #[must_use]
    pub fn background(&self) -> bool {
        request::is_set(self.doc.root(), "background")
    }

    /// Whether the provider is to keep the response. The API's default is that it does.
    #[must_use]
    pub fn store(&self) -> bool {
        let asked = self.doc.root().get("store");
        asked.and_then(|node| node.as_bool()).unwrap_or(true)
    }
}

impl protocol::Request for Request {
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
        request::is_set(self.doc.root(), "stream")
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        request::text(self.doc.root(), "user")
    }

    fn unknown_members(&self) -> Vec<String> {
        request::unknown_members(self.doc.root(), MEMBERS)
    }

    fn last_user_text(&self) -> Option<Cow<'_, str>> {
        self.transcript.last_text(Role::User, Part::Text, &self.doc)
    }

    fn prompt(&self) -> Option<Node<'_>> {
        protocol::Request::member(self, "input")
    }

    fn upstream_edits(&self, target: &Target<'_>) -> Edits {
        let mut edits = upstream::edits(&self.doc, target);
        let items = self.doc.root().get("input").into_iter();
        let ids = items
            .flat_map(|list| list.items())
            .filter_map(|item| item.get("call_id"));
        upstream::plain_ids(&mut edits, &self.doc, ids);
        edits
    }

    fn forbid_retention(&self, edits: &mut Edits) {
        // The root is an object: checked when the request was parsed.
        let _ = edits.set_member(self.doc.root(), "store", *b"false");
    }

    fn max_output_tokens(&self) -> Option<u64> {
        self.doc.root().get("max_output_tokens")?.as_u64()
    }
}
