//! OpenAI's Responses as a client protocol: requests, answers, streams, mock answers.
//!
//! A text of an answer is named by a *unit* ([`Unit`]): the place of its item in `output`
//! and of the part within the item. Streams and whole answers number units alike.

mod answer;
mod classify;
pub(crate) mod event;
pub mod mock;
mod output;
mod request;
mod stream;
mod unit;
pub(crate) mod write;

pub use answer::Answer;
pub use request::Request;
pub use stream::ResponsesStream;
pub use unit::Unit;
