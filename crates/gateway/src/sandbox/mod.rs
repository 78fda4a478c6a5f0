//! A provider that speaks OpenAI's, Anthropic's and Google's wire on loopback: for the demo and for tests, never for production traffic.
//!
//! The model name chooses the behaviour (see [`Behaviour`]); answers follow the request and are the same every time. Every
//! request is kept with its head and body, so that a test can say what really left the gateway.

mod behaviour;
mod chat;
mod embeddings;
mod formats;
mod hostile;
mod journal;
mod provider;
mod reply;
mod script;
mod server;
mod sse;

pub use behaviour::{Behaviour, NAMES};
pub use journal::{Journal, Outcome, Recorded};
pub use server::{Options, Sandbox};

/// Tokens that the sandbox counts for `text`: one for every four bytes begun. Deterministic, not a real tokenizer.
#[must_use]
pub fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

#[cfg(test)]
mod tests;
