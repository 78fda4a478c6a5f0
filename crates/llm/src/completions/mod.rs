//! OpenAI's older text completions as a client protocol.
//!
//! Answers and streams have the form of chat completions with `choices[].text`, so they
//! are read by the same code ([`crate::openai::chat`], [`crate::protocol::ChatStream`]).

pub mod mock;
mod request;
mod stream;

pub use request::Request;
pub use stream::CompletionsStream;
