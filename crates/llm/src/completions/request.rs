//! The body of `POST /completions`.

use crate::edit::Edits;
use crate::openai::classify::{Walk, bad};
use crate::openai::fields::{self, Rule};
use crate::openai::request::{self, RequestError};
use crate::openai::{Target, upstream};
use crate::protocol;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::transcript::{OpaqueKind, Part, Role, Transcript};
use bytes::Bytes;
use std::borrow::Cow;

/// Members of the body that the API defines.
const MEMBERS: &[(&str, Rule)] = &[
    ("model", Rule::Any),
    ("prompt", Rule::Any),
    ("suffix", Rule::Text),
    ("max_tokens", Rule::Integer(0, 100_000_000)),
    ("temperature", Rule::Number(0.0, 100.0)),
    ("top_p", Rule::Number(0.0, 1.0)),
    ("n", Rule::Integer(1, 128)),
    ("best_of", Rule::Integer(1, 128)),
    ("stream", Rule::Bool),
    ("stream_options", Rule::Object),
    ("logprobs", Rule::BoolOrInteger),
    ("echo", Rule::Bool),
    ("stop", Rule::Any),
    ("presence_penalty", Rule::Number(-2.0, 2.0)),
    ("frequency_penalty", Rule::Number(-2.0, 2.0)),
    ("logit_bias", Rule::Object),
    ("seed", Rule::Integer(i64::MIN, i64::MAX)),
    ("user", Rule::Text),
];

/// Most choices that a call may ask for: prompts times `n`.
const MOST_CHOICES: u64 = 4096;

/// A checked `POST /completions` body.
#[derive(Debug, Clone)]
pub struct Request {
    doc: Doc,
    model: Option<String>,
    transcript: Transcript,
    prompts: u64,
}

impl Request {
    /// Scans and checks a body. `prompt` may be a text, texts, tokens or lists of tokens
    /// (which are listed as opaque).
    ///
    /// # Errors
    /// A [`RequestError`] that names the member and what is wrong with it.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<Request, RequestError> {
        let limits = Limits {
            elide_numbers: true,
            ..*limits
        };
        let doc = request::parse_own(body, &limits, MEMBERS)?;
        let root = doc.root();
        let model = request::model(root)?.map(Cow::into_owned);
        let prompt = root.get("prompt").filter(|node| !node.is_null());
        let prompt = prompt.ok_or_else(|| RequestError::missing("prompt"))?;
        let asked = root
            .get("stream_options")
            .and_then(|options| options.get("include_usage"));
        if asked.is_some_and(|value| value.as_bool().is_none() && !value.is_null()) {
            let param = "stream_options.include_usage";
            return Err(RequestError::wrong_type(param, "true or false"));
        }
        let prompts = match prompt.kind() {
            Kind::Array if !prompt.has_elided() => prompt.items().count() as u64,
            _ => 1,
        };
        let transcript = classify(root)?;
        Ok(Request {
            model,
            transcript,
            prompts: prompts.max(1),
            doc,
        })
    }

    /// Whether the body names the API's member `name`.
    #[must_use]
    pub fn is_member(name: &str) -> bool {
        MEMBERS.iter().any(|(known, _)| *known == name)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.doc.root().get(name)?.as_u64()
    }
}

fn classify(root: Node<'_>) -> Result<Transcript, RequestError> {
    let mut walk = Walk::new();
    for (key, value) in root.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "model" => {}
            "prompt" => prompt(&mut walk, value)?,
            "suffix" => {
                walk.role = Role::User;
                walk.text(Part::Text, value);
                walk.role = Role::None;
            }
            "stop" => walk.text(Part::Stop, value),
            "user" => walk.identifier(value),
            // Token numbers and their weights.
            "logit_bias" => value.entries().for_each(|(key, value)| {
                if !key.raw().iter().all(|b| b.is_ascii_digit() || *b == b'"') {
                    walk.push(Part::Key, key);
                }
                walk.below(value);
            }),
            known if Request::is_member(known) => walk.below(value),
            // Removed before the body is sent on: no model sees it.
            extra if fields::gateway_extra(extra) => {}
            _ => walk.unknown(key, value),
        }
    }
    Ok(walk.out)
}

fn prompt(walk: &mut Walk, value: Node<'_>) -> Result<(), RequestError> {
    walk.role = Role::User;
    match value.kind() {
        Kind::String => walk.push(Part::Text, value),
        Kind::Array if value.has_elided() => {
            walk.out.push_opaque(OpaqueKind::Tokens, value);
            value.items().for_each(|item| walk.below(item));
        }
        Kind::Array => {
            for item in value.items() {
                match item.kind() {
                    Kind::String => walk.push(Part::Text, item),
                    Kind::Array if item.has_elided() && item.items().next().is_none() => {
                        walk.out.push_opaque(OpaqueKind::Tokens, item);
                    }
                    _ => return Err(bad(item, "a string or a list of tokens")),
                }
            }
        }
        _ => {
            return Err(bad(
                value,
                "a string, a list of strings or a list of tokens",
            ));
        }
    }
    walk.role = Role::None;
    Ok(())
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

    fn include_usage(&self) -> bool {
        let options = self.doc.root().get("stream_options");
        options.is_some_and(|options| request::is_set(options, "include_usage"))
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
        protocol::Request::member(self, "prompt")
    }

    fn upstream_edits(&self, target: &Target<'_>) -> Edits {
        let mut edits = upstream::edits(&self.doc, target);
        let stream = protocol::Request::stream(self);
        upstream::usage_on_streams(&mut edits, self.doc.root(), stream, target);
        edits
    }

    /// Without `max_tokens` the API stops after 16.
    fn max_output_tokens(&self) -> Option<u64> {
        Some(self.number("max_tokens").unwrap_or(16))
    }

    /// Choices that are billed: one for each prompt, `n` or `best_of` times.
    fn choices(&self) -> u64 {
        let each = self.number("best_of").max(self.number("n")).unwrap_or(1);
        self.prompts.saturating_mul(each.max(1)).min(MOST_CHOICES)
    }
}
