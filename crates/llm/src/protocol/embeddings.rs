//! Embeddings as a protocol.

use super::{Answer, Output, Request, Target};
use crate::edit::Edits;
use crate::openai::embeddings::{Request as EmbeddingsRequest, Response as EmbeddingsResponse};
use crate::scan::{Doc, Node};
use crate::transcript::Transcript;
use crate::usage::{Usage, UsageError};
use std::borrow::Cow;

impl Request for EmbeddingsRequest {
    fn doc(&self) -> &Doc {
        self.doc()
    }

    fn transcript(&self) -> &Transcript {
        self.transcript()
    }

    fn model(&self) -> Option<&str> {
        self.model()
    }

    fn user(&self) -> Option<Cow<'_, str>> {
        self.user()
    }

    fn unknown_members(&self) -> Vec<String> {
        self.unknown_members().map(Cow::into_owned).collect()
    }

    fn prompt(&self) -> Option<Node<'_>> {
        self.member("input")
    }

    fn upstream_edits(&self, target: &Target<'_>) -> Edits {
        self.upstream_edits(target)
    }

    /// Vectors are no tokens.
    fn max_output_tokens(&self) -> Option<u64> {
        Some(0)
    }
}

impl Answer for EmbeddingsResponse {
    fn doc(&self) -> &Doc {
        self.doc()
    }

    fn is_answer(&self) -> bool {
        self.is_answer()
    }

    fn outputs(&self) -> &[Output] {
        &[]
    }

    fn usage(&self) -> Result<Option<Usage>, UsageError> {
        self.usage()
    }

    fn rename_model(&self, requested: &str) -> Edits {
        self.rename_model(requested)
    }
}
