//! Turning one provider format into another: requests out, answers and streams back.
//!
//! Chat completions are the hub. A client format has one half (to chat and back), a
//! provider format has the other half (from chat and back), and any pair is the two
//! halves one after the other. A request is always rendered from the document that the
//! checks have edited, so nothing is sent that they have not seen. What the target cannot
//! say is a [`TranslateError`] that names the member, unless the caller allows it to be
//! dropped: then [`Rendered::dropped`] lists it.

mod anthropic_answer;
mod anthropic_messages;
mod anthropic_model;
mod anthropic_parts;
mod anthropic_request;
mod anthropic_stream;
mod anthropic_tools;
pub(crate) mod chat_write;
mod completions;
mod error;
mod gemini_answer;
mod gemini_contents;
mod gemini_embeddings;
mod gemini_request;
mod gemini_schema;
mod gemini_stream;
mod messages_answer;
mod messages_content;
mod messages_request;
mod messages_stream;
mod messages_tools;
mod responses_answer;
mod responses_items;
mod responses_out;
mod responses_request;
mod responses_stream;
mod types;

pub use error::{ProviderError, Refusal, error};
pub use types::{AnswerError, Back, Options, Rendered, TranslateError};
pub(crate) use types::{JSON_TOOL, Job};

pub(crate) use gemini_contents::THOUGHT;

use crate::edit::Edits;
use crate::json;
use crate::openai::stream::Head;
use crate::protocol::Protocol;
pub use crate::provider::Wire;
use crate::scan::{Doc, Limits, Node, NodeId};
use crate::sse::{Frame, Framer, SseLimits};
use anthropic_stream::FromMessages;
use bytes::Bytes;
use messages_stream::ToMessages;

/// A further piece of the answer's text, as the provider wrote it.
pub(crate) struct TextPiece {
    doc: Doc,
    /// Its string token.
    node: NodeId,
}

impl TextPiece {
    pub(crate) fn new(doc: Doc, node: NodeId) -> TextPiece {
        TextPiece { doc, node }
    }

    /// The string token.
    pub(crate) fn token(&self) -> Node<'_> {
        self.doc.node(self.node)
    }
}

/// One half of the way back of a stream.
pub(crate) trait Step: Send {
    /// The frame, if it is nothing but a further piece of text: the common event, handed to the next half without a
    /// chunk in between. A frame that the next half does not take this way is pushed afterwards.
    fn piece(&mut self, _frame: &Frame) -> Option<TextPiece> {
        None
    }
    /// Takes a further piece of the text that is being written. False if it must come in a chunk.
    fn take(&mut self, _piece: &TextPiece, _out: &mut Vec<u8>) -> bool {
        false
    }
    /// Takes the next frame; appends the frames it becomes.
    fn push(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), AnswerError>;
    /// The input is over, however it ended: closes what is open. A stream that was cut
    /// must not look complete.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AnswerError>;
}

/// Renders the body for a provider that speaks `to` from a client's document in `from`.
///
/// # Errors
/// A [`TranslateError`] that names the member that cannot be said in the other format.
pub fn request(
    from: Protocol,
    to: Wire,
    doc: &Doc,
    options: &Options<'_>,
) -> Result<Rendered, TranslateError> {
    let mut job = Job::new(from, to, options);
    let stream = doc.root().get("stream").and_then(|node| node.as_bool());
    job.back.stream = stream.unwrap_or(false);
    // First half: the client's format as chat completions.
    let hub: Option<Vec<u8>> = match from {
        Protocol::Chat => None,
        Protocol::Responses => Some(responses_request::to_chat(doc, &mut job)?),
        Protocol::Messages => Some(messages_request::request(doc, &mut job)?),
        Protocol::Completions => Some(completions::to_chat(doc, &mut job)?),
        Protocol::Embeddings if to == Wire::Gemini => {
            let body = gemini_embeddings::request(doc, &mut job)?;
            return Ok(job.rendered(body));
        }
        _ => return Err(TranslateError::not_built(from, to)),
    };
    let hub = match hub {
        Some(body) => Some(Doc::parse(Bytes::from(body), &OWN).map_err(own_fault)?),
        None => None,
    };
    let chat = hub.as_ref().unwrap_or(doc);
    // Second half: chat completions as the provider's format.
    let body = match to {
        Wire::OpenAi => with_model(chat, options.model)?,
        Wire::Anthropic => anthropic_request::request(chat, &mut job)?,
        Wire::Gemini => gemini_request::from_chat(chat, &mut job)?,
    };
    let body = with_passed(body, &job.passed, doc, chat)?;
    Ok(job.rendered(body))
}

/// Adds the members that are sent as they are, in the client's words or in those of chat completions, where the body has none
/// of the name.
fn with_passed(
    body: Vec<u8>,
    passed: &[String],
    client: &Doc,
    chat: &Doc,
) -> Result<Vec<u8>, TranslateError> {
    if passed.is_empty() {
        return Ok(body);
    }
    let doc = Doc::parse(Bytes::from(body), &OWN).map_err(own_fault)?;
    let mut edits = Edits::new();
    for name in passed {
        let own = client.root().get(name).or_else(|| chat.root().get(name));
        if let Some(value) = own.filter(|_| doc.root().get(name).is_none()) {
            let set = edits.set_member(doc.root(), name, value.raw());
            set.map_err(|_| TranslateError::new(name.as_str(), "The body is no object."))?;
        }
    }
    let body = edits.apply(&doc);
    let body = body.map_err(|_| TranslateError::new("body", "The body cannot be edited."))?;
    Ok(body.into())
}

/// For documents that this crate has written itself from one that was within limits.
const OWN: Limits = Limits {
    max_bytes: usize::MAX,
    max_depth: 512,
    max_tokens: usize::MAX,
    elide_numbers: false,
};

fn own_fault(error: crate::scan::ScanError) -> TranslateError {
    let message = format!("the request could not be translated: {error}");
    TranslateError::new("request_body", message)
}

fn with_model(chat: &Doc, model: &str) -> Result<Vec<u8>, TranslateError> {
    let mut edits = Edits::new();
    let set = edits.set_member(chat.root(), "model", json::string(model));
    let body = set.and_then(|()| edits.apply(chat));
    let fault = |error: crate::edit::EditError| TranslateError::new("model", error.to_string());
    body.map(Vec::from).map_err(fault)
}

/// The client's answer from the provider's.
///
/// # Errors
/// An [`AnswerError`] if `body` is not an answer in the provider's format.
pub fn answer(
    back: &Back,
    body: Bytes,
    head: &Head,
    limits: &Limits,
) -> Result<Bytes, AnswerError> {
    let chat = match back.wire {
        Wire::OpenAi => body,
        Wire::Anthropic => anthropic_answer::answer(back, body, head, limits)?.into(),
        Wire::Gemini if back.client == Protocol::Embeddings => {
            // Vectors are checked for grammar and never looked at.
            let limits = Limits {
                elide_numbers: true,
                ..*limits
            };
            let doc = Doc::parse(body, &limits)?;
            return gemini_embeddings::answer(&doc, back, head).map(Bytes::from);
        }
        Wire::Gemini => {
            let doc = Doc::parse(body, limits)?;
            gemini_answer::to_chat(&doc, back, head)?.into()
        }
    };
    match back.client {
        Protocol::Chat => Ok(chat),
        Protocol::Responses => {
            let chat = Doc::parse(chat, limits)?;
            responses_answer::from_chat(&chat, back, head).map(Bytes::from)
        }
        Protocol::Messages => Ok(messages_answer::answer(back, chat, head, limits)?.into()),
        Protocol::Completions => {
            let chat = Doc::parse(chat, limits)?;
            completions::answer(&chat, head).map(Bytes::from)
        }
        _ => Err(AnswerError::NotBuilt),
    }
}

/// The way back of one stream: frames of the provider in, frames of the client out.
pub struct StreamTranslator {
    /// Applied in order; none when both sides speak the same format.
    steps: Vec<Box<dyn Step>>,
    /// Cuts what the first step writes into frames for the second.
    between: Framer,
}

impl std::fmt::Debug for StreamTranslator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamTranslator({} steps)", self.steps.len())
    }
}

impl StreamTranslator {
    /// For one answer; `head` is what the client will see as id, time and model.
    #[must_use]
    pub fn new(back: &Back, head: &Head, limits: &Limits) -> StreamTranslator {
        let mut steps: Vec<Box<dyn Step>> = Vec::new();
        match back.wire {
            Wire::OpenAi => {}
            Wire::Anthropic => steps.push(Box::new(FromMessages::new(back, head, limits))),
            Wire::Gemini => steps.push(Box::new(gemini_stream::ToChat::new(back, head, limits))),
        }
        match back.client {
            Protocol::Messages => steps.push(Box::new(ToMessages::new(back, head, limits))),
            Protocol::Responses => steps.push(Box::new(responses_stream::FromChat::new(
                back, head, limits,
            ))),
            Protocol::Completions => {
                steps.push(Box::new(completions::FromChat::new(head, limits)));
            }
            _ => {}
        }
        StreamTranslator {
            steps,
            between: Framer::new(SseLimits::default()),
        }
    }

    /// Takes the next frame of the provider and appends the client's frames to `out`.
    ///
    /// # Errors
    /// An [`AnswerError`] if the frame is not of the provider's format. What is open is
    /// then closed with [`StreamTranslator::finish`].
    pub fn push(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        match self.steps.as_mut_slice() {
            [] => {
                out.extend_from_slice(&frame.raw);
                Ok(())
            }
            [only] => only.push(frame, out),
            [first, second, ..] => {
                if let Some(piece) = first.piece(frame)
                    && second.take(&piece, out)
                {
                    return Ok(());
                }
                let mut chat = Vec::new();
                first.push(frame, &mut chat)?;
                relay(&mut self.between, chat, second.as_mut(), out)
            }
        }
    }

    /// The provider's stream is over, however it ended: closes every open block. A cut
    /// stream gets no end that makes it look complete.
    ///
    /// # Errors
    /// An [`AnswerError`] if what was held cannot be translated.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        match self.steps.as_mut_slice() {
            [] => Ok(()),
            [only] => only.finish(out),
            [first, second, ..] => {
                let mut chat = Vec::new();
                first.finish(&mut chat)?;
                relay(&mut self.between, chat, second.as_mut(), out)?;
                second.finish(out)
            }
        }
    }
}

/// Passes the frames that one half has written to the other half.
fn relay(
    between: &mut Framer,
    chat: Vec<u8>,
    next: &mut dyn Step,
    out: &mut Vec<u8>,
) -> Result<(), AnswerError> {
    let pushed = between.push(Bytes::from(chat));
    while let Some(frame) = between.next_frame() {
        next.push(&frame, out)?;
    }
    pushed.map_err(|_| AnswerError::Shape("an event is too large"))
}
