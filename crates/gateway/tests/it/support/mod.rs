//! `TestApp`: the gateway on a loopback port over a ledger in a temporary directory and a sandbox provider.
//!
//! Dropped, it stops the gateway and checks what must hold after every case: the chain and the tree verify, no intent, slot or
//! reservation is open, each request that a provider saw has exactly one record, spend is the sum of the records, and no secret
//! is in any answer, log, metric or file.

mod app;
pub(crate) mod client;
mod clock;
mod evidence;
mod invariants;
mod logs;
mod stub;

use serde_json::{Value, json};

pub(crate) use app::{TestApp, load};
pub(crate) use client::{Answer, Open, content, events, open, soon};
pub(crate) use evidence::Record;
pub(crate) use stub::Stub;

/// The master key of every test gateway; a canary.
pub(crate) const MASTER: &str = "sk-test-master-9f8e7d6c5b4a39281706f5e4d3c2b1a0";
/// The provider's key of every test gateway; a canary.
pub(crate) const PROVIDER_KEY: &str = "sk-provider-canary-3b9ac1d27f6e4058";

/// A chat request for `model` with one user message, extended by the members of `more`.
pub(crate) fn prompt(model: &str, text: &str, more: Value) -> Value {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": text }] });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    body
}

/// The `guardrails` section with one check of blocked words, named `words`.
pub(crate) fn words(mode: &str, keyword: &str, action: &str) -> Value {
    json!([{ "guardrail_name": "words", "litellm_params": {
        "guardrail": "litellm_content_filter", "mode": mode, "default_on": true,
        "blocked_words": [{ "keyword": keyword, "action": action }], "keyword_redaction_tag": "[GONE]",
    } }])
}
