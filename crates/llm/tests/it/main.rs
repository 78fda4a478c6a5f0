//! Tests of the wire formats through the public interface.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may state what must hold"
)]

mod chat;
mod edit;
mod embeddings;
mod flow;
mod fuzz;
mod fuzz_parsers;
mod fuzz_responses;
mod fuzz_translate;
mod gemini;
mod json;
mod messages;
mod pairs;
mod provider;
mod relay;
mod responses;
mod responses_chat;
mod scan;
mod signed_ids;
mod sse;
mod stream;
mod tokens;
mod transcript;
mod translate;
mod translate_streams;
mod translated;
mod usage;
