//! The OpenAI wire format: requests, answers, streams, errors, model lists.

pub mod chat;
mod classify;
mod classify_tools;
pub mod embeddings;
pub mod error;
pub mod fields;
mod members;
pub mod mock;
pub mod models;
mod output;
pub mod relay;
mod request;
pub mod stream;
mod upstream;
mod vocabulary;

pub use output::{Channel, Output};
pub use request::{RequestError, RequestErrorKind};
pub use upstream::Target;
