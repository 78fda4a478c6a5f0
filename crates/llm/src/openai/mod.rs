//! The OpenAI wire format: requests, answers, streams, errors, model lists.

pub mod chat;
pub(crate) mod classify;
mod classify_tools;
pub mod embeddings;
pub mod error;
pub mod fields;
mod members;
pub mod mock;
pub mod models;
pub(crate) mod output;
pub mod relay;
pub(crate) mod request;
pub mod stream;
pub(crate) mod upstream;
pub(crate) mod vocabulary;

pub use output::{Channel, Output};
pub use request::{RequestError, RequestErrorKind};
pub use upstream::Target;
