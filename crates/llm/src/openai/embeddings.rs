//! Embeddings: request and answer. Vectors are checked for grammar and never looked at.

use super::chat::rename_model;
use super::classify;
use super::request::{self, RequestError};
use super::upstream::{self, Target};
use crate::edit::Edits;
use crate::scan::{Doc, Kind, Limits, Node, ScanError};
use crate::transcript::Transcript;
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::borrow::Cow;

/// A checked `POST /embeddings` body.
#[derive(Debug, Clone)]
pub struct Request {
    doc: Doc,
    model: Option<String>,
    transcript: Transcript,
}

impl Request {
    /// Scans and checks a body. `input` may be a text, a list of texts, or tokens (which
    /// are listed as opaque).
    ///
    /// # Errors
    /// A [`RequestError`] that names the member and what is wrong with it.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<Request, RequestError> {
        let limits = Limits {
            elide_numbers: true,
            ..*limits
        };
        let doc = request::parse(body, &limits)?;
        let root = doc.root();
        let model = request::model(root)?.map(Cow::into_owned);
        if root.get("input").is_none_or(|input| input.is_null()) {
            return Err(RequestError::missing("input"));
        }
        let transcript = classify::embeddings(root)?;
        Ok(Request {
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

    /// The requested model; `None` if absent or null.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The end user's id (`user`).
    #[must_use]
    pub fn user(&self) -> Option<Cow<'_, str>> {
        self.doc.root().get("user").and_then(|node| node.as_str())
    }

    /// A top-level member, for the gateway's own members.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Node<'_>> {
        self.doc.root().get(name).filter(|node| !node.is_null())
    }

    /// Top-level members that neither the API nor the gateway defines.
    pub fn unknown_members(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let names = self
            .doc
            .root()
            .entries()
            .filter_map(|(key, _)| key.as_str());
        names
            .filter(|name| !super::fields::known_field(name) && !super::fields::gateway_extra(name))
    }

    /// Every text that will be embedded.
    #[must_use]
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The edits that turn this body into the one for `target`.
    #[must_use]
    pub fn upstream_edits(&self, target: &Target<'_>) -> Edits {
        upstream::edits(&self.doc, target)
    }
}

/// A scanned embeddings answer.
#[derive(Debug, Clone)]
pub struct Response {
    doc: Doc,
}

impl Response {
    /// Scans an answer of the upstream.
    ///
    /// # Errors
    /// A [`ScanError`] if it is not strict JSON.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<Response, ScanError> {
        let limits = Limits {
            elide_numbers: true,
            ..*limits
        };
        Ok(Response {
            doc: Doc::parse(body, &limits)?,
        })
    }

    /// The scanned answer.
    #[must_use]
    pub fn doc(&self) -> &Doc {
        &self.doc
    }

    /// Whether this has the form of an answer: an object with `data`.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        let data = self.doc.root().get("data");
        data.is_some_and(|data| data.kind() == Kind::Array)
    }

    /// Number of vectors.
    #[must_use]
    pub fn vectors(&self) -> usize {
        self.doc
            .root()
            .get("data")
            .map_or(0, |data| data.items().count())
    }

    /// `model` of the answer.
    #[must_use]
    pub fn model(&self) -> Option<Cow<'_, str>> {
        self.doc.root().get("model").and_then(|node| node.as_str())
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
}
