//! The Anthropic Messages format: requests, answers, streams, errors, model lists.

mod answer;
mod blocks;
mod classify;
pub mod count;
pub mod error;
pub mod mock;
pub mod models;
mod output;
mod request;
mod stream;
mod usage;
mod vocabulary;
pub(crate) mod write;

pub use answer::MessagesAnswer;
pub use request::MessagesRequest;
pub use stream::MessagesStream;
pub use usage::usage;
