//! The answer of `POST /messages/count_tokens`.

use crate::edit::Edits;
use crate::json;
use crate::openai::Output;
use crate::protocol::Answer;
use crate::scan::{Doc, Limits, ScanError};
use crate::usage::{Usage, UsageError};
use bytes::Bytes;

/// A scanned count of the provider.
#[derive(Debug)]
pub struct CountAnswer {
    doc: Doc,
}

impl CountAnswer {
    /// Scans an answer of the upstream.
    ///
    /// # Errors
    /// A [`ScanError`] if it is not strict JSON.
    pub fn parse(body: Bytes, limits: &Limits) -> Result<CountAnswer, ScanError> {
        let doc = Doc::parse(body, limits)?;
        Ok(CountAnswer { doc })
    }

    /// The count.
    #[must_use]
    pub fn input_tokens(&self) -> Option<u64> {
        self.doc.root().get("input_tokens")?.as_u64()
    }
}

impl Answer for CountAnswer {
    fn doc(&self) -> &Doc {
        &self.doc
    }

    fn is_answer(&self) -> bool {
        self.input_tokens().is_some()
    }

    fn outputs(&self) -> &[Output] {
        &[]
    }

    /// Counting spends no tokens.
    fn usage(&self) -> Result<Option<Usage>, UsageError> {
        Ok(Some(Usage::default()))
    }

    fn rename_model(&self, _requested: &str) -> Edits {
        Edits::new()
    }
}

/// The answer with a count of our own, marked as an estimate.
#[must_use]
pub fn estimate(input_tokens: u64) -> Vec<u8> {
    let mut out = b"{\"input_tokens\":".to_vec();
    json::write_u64(&mut out, input_tokens);
    out.extend_from_slice(b",\"litellm_count_source\":\"local_estimate\"}");
    out
}
