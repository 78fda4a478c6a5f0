//! OpenAI's moderations as a client protocol: texts in, verdicts out. Answers are passed
//! along.

use crate::edit::Edits;
use crate::openai::classify::{Walk, bad};
use crate::openai::fields::{self, Rule};
use crate::openai::request::{self, RequestError};
use crate::openai::{Output, Target, upstream};
use crate::protocol;
use crate::scan::{Doc, Kind, Limits, Node, ScanError};
use crate::transcript::{Part, Role, Transcript};
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::borrow::Cow;

/// Members of the body that the API defines.
const MEMBERS: &[(&str, Rule)] = &[("model", Rule::Any), ("input", Rule::Any)];

/// A checked `POST /moderations` body.
#[derive(Debug, Clone)]
pub struct Request {
    doc: Doc,
    model: Option<String>,
    transcript: Transcript,
}

impl Request {
    /// Scans and checks a body. `input` may be a text, texts or parts (text, image).
    ///
    /// # Errors
    /// A [`RequestError`] that names the member and what is wrong with it.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<Request, RequestError> {
        let doc = request::parse_own(body, limits, MEMBERS)?;
        let root = doc.root();
        let model = request::model(root)?.map(Cow::into_owned);
        if root.get("input").is_none_or(|input| input.is_null()) {
            return Err(RequestError::missing("input"));
        }
        let mut walk = Walk::new();
        for (key, value) in root.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "model" => {}
                "input" => input(&mut walk, value)?,
                extra if fields::gateway_extra(extra) => {}
                _ => walk.unknown(key, value),
            }
        }
        Ok(Request {
            model,
            transcript: walk.out,
            doc,
        })
    }
}

fn input(walk: &mut Walk, value: Node<'_>) -> Result<(), RequestError> {
    match value.kind() {
        Kind::String => walk.push(Part::Input, value),
        Kind::Array => {
            for item in value.items() {
                match item.kind() {
                    Kind::String => walk.push(Part::Input, item),
                    Kind::Object => walk.part(item, Part::Input),
                    _ => return Err(bad(item, "a string or a part")),
                }
            }
        }
        _ => return Err(bad(value, "a string or an array")),
    }
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

    fn user(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn unknown_members(&self) -> Vec<String> {
        request::unknown_members(self.doc.root(), MEMBERS)
    }

    fn last_user_text(&self) -> Option<Cow<'_, str>> {
        self.transcript
            .last_text(Role::None, Part::Input, &self.doc)
    }

    fn prompt(&self) -> Option<Node<'_>> {
        protocol::Request::member(self, "input")
    }

    fn upstream_edits(&self, target: &Target<'_>) -> Edits {
        upstream::edits(&self.doc, target)
    }

    /// Verdicts are no tokens.
    fn max_output_tokens(&self) -> Option<u64> {
        Some(0)
    }
}

/// A scanned moderations answer.
#[derive(Debug, Clone)]
pub struct Answer {
    doc: Doc,
}

impl Answer {
    /// Scans an answer of the upstream.
    ///
    /// # Errors
    /// A [`ScanError`] if it is not strict JSON.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<Answer, ScanError> {
        let doc = Doc::parse(body, limits)?;
        Ok(Answer { doc })
    }
}

impl protocol::Answer for Answer {
    fn doc(&self) -> &Doc {
        &self.doc
    }

    fn is_answer(&self) -> bool {
        let results = self.doc.root().get("results");
        results.is_some_and(|results| results.kind() == Kind::Array)
    }

    /// Verdicts are no text of a model.
    fn outputs(&self) -> &[Output] {
        &[]
    }

    fn usage(&self) -> Result<Option<Usage>, UsageError> {
        Usage::of_answer(self.doc.root())
    }

    fn rename_model(&self, requested: &str) -> Edits {
        let mut edits = Edits::new();
        if let Some(model) = self.doc.root().get("model") {
            edits.replace_raw(model, crate::json::string(requested));
        }
        edits
    }
}
