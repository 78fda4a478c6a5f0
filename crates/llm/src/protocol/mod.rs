//! One form for all client protocols: what a call asks, what the model answers, and one event of a stream.
//!
//! The pipeline of a call knows these traits and no protocol. A protocol is a type that implements [`Request`], one that
//! implements [`Answer`], where it streams one that implements [`Stream`], and its line in each function below.

mod chat;
mod embeddings;
mod stored;
mod stream;

use crate::anthropic::count::CountAnswer;
use crate::anthropic::{MessagesAnswer, MessagesRequest, MessagesStream};
use crate::completions;
use crate::edit::Edits;
use crate::moderations;
use crate::openai::chat::{Request as ChatRequest, Response as ChatResponse};
use crate::openai::embeddings::{Request as EmbeddingsRequest, Response as EmbeddingsResponse};
use crate::responses;
use crate::scan::{Doc, Limits, Node, ScanError};
use crate::transcript::{OpaquePart, Transcript};
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::borrow::Cow;

pub use crate::openai::chat::ToolCall;
pub use crate::openai::relay::Piece;
pub use crate::openai::{Channel, Output, RequestError, RequestErrorKind, Target};
pub use chat::ChatStream;
pub use stored::{StoredAnswer, StoredRequest};
pub use stream::{Change, Event, Failure, IdMap, Reported, Stream, StreamOptions};

/// What a client speaks on a governed route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// OpenAI `POST /chat/completions`
    Chat,
    /// OpenAI `POST /completions` (the older text completion)
    Completions,
    /// OpenAI `POST /embeddings`
    Embeddings,
    /// OpenAI `POST /moderations`
    Moderations,
    /// Anthropic `POST /messages`
    Messages,
    /// Anthropic `POST /messages/count_tokens`
    CountTokens,
    /// OpenAI `POST /responses`
    Responses,
    /// OpenAI `GET /responses/{id}`
    ResponseGet,
    /// OpenAI `DELETE /responses/{id}`
    ResponseDelete,
    /// OpenAI `POST /responses/{id}/cancel`
    ResponseCancel,
    /// OpenAI `GET /responses/{id}/input_items`
    ResponseInputItems,
}

/// Whose envelope and conventions a client of the protocol expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// `{"error":{"message",..}}`
    OpenAi,
    /// `{"type":"error","error":{"type","message"}}`
    Anthropic,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Protocol; 11] = [
        Protocol::Chat,
        Protocol::Completions,
        Protocol::Embeddings,
        Protocol::Moderations,
        Protocol::Messages,
        Protocol::CountTokens,
        Protocol::Responses,
        Protocol::ResponseGet,
        Protocol::ResponseDelete,
        Protocol::ResponseCancel,
        Protocol::ResponseInputItems,
    ];

    /// Name of the kind of call, as it stands in records.
    #[must_use]
    pub const fn call_type(self) -> &'static str {
        match self {
            Protocol::Chat => "chat",
            Protocol::Completions => "completion",
            Protocol::Embeddings => "embedding",
            Protocol::Moderations => "moderation",
            Protocol::Messages => "messages",
            Protocol::CountTokens => "count_tokens",
            Protocol::Responses => "responses",
            Protocol::ResponseGet => "get_responses",
            Protocol::ResponseDelete => "delete_responses",
            Protocol::ResponseCancel => "cancel_responses",
            Protocol::ResponseInputItems => "list_input_items",
        }
    }

    /// Whether a call of it is about something that the provider stored earlier: it is named in the path, there is no
    /// body, and nothing is generated.
    #[must_use]
    pub const fn is_stored(self) -> bool {
        matches!(
            self,
            Protocol::ResponseGet
                | Protocol::ResponseDelete
                | Protocol::ResponseCancel
                | Protocol::ResponseInputItems
        )
    }

    /// Whether providers charge tokens for a call of it.
    #[must_use]
    pub const fn is_billed(self) -> bool {
        !self.is_stored() && !matches!(self, Protocol::CountTokens | Protocol::Moderations)
    }

    /// Whose conventions its clients expect.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Protocol::Messages | Protocol::CountTokens => Family::Anthropic,
            _ => Family::OpenAi,
        }
    }

    /// Whether a call of it may ask for a stream.
    #[must_use]
    pub const fn streams(self) -> bool {
        matches!(
            self,
            Protocol::Chat | Protocol::Completions | Protocol::Messages | Protocol::Responses
        )
    }
}

/// A checked request body of a client.
pub trait Request: Send + Sync + std::fmt::Debug {
    /// The scanned body.
    fn doc(&self) -> &Doc;

    /// Every text that the model will see.
    fn transcript(&self) -> &Transcript;

    /// The requested model; `None` if absent or null (the path may name it).
    fn model(&self) -> Option<&str>;

    /// Whether the answer is to be streamed.
    fn stream(&self) -> bool {
        false
    }

    /// Whether the client asked for usage in the stream. Protocols that always send it: `true`.
    fn include_usage(&self) -> bool {
        true
    }

    /// The end user's id (`user`, `metadata.user_id`).
    fn user(&self) -> Option<Cow<'_, str>>;

    /// Top-level members that neither the API nor the gateway defines, for `strict_fields`.
    fn unknown_members(&self) -> Vec<String>;

    /// The last text of a user message.
    fn last_user_text(&self) -> Option<Cow<'_, str>> {
        None
    }

    /// The member that holds the prompt as the client sent it: what a digest of the prompt is made of.
    fn prompt(&self) -> Option<Node<'_>>;

    /// The structural edits for an upstream that speaks the same protocol: the upstream's model name, no gateway members,
    /// the provider's quirks, usage asked for on streams.
    fn upstream_edits(&self, target: &Target<'_>) -> Edits;

    /// Edits that ask the provider to keep nothing, where the protocol can say so.
    fn forbid_retention(&self, _edits: &mut Edits) {}

    /// Most output tokens of one choice; `None` if the request sets no limit.
    fn max_output_tokens(&self) -> Option<u64>;

    /// Number of choices asked for.
    fn choices(&self) -> u64 {
        1
    }

    /// A top-level member that is there and not null.
    fn member(&self, name: &str) -> Option<Node<'_>> {
        self.doc().root().get(name).filter(|node| !node.is_null())
    }
}

/// A whole answer of the provider, in the client's protocol.
pub trait Answer: Send + std::fmt::Debug {
    /// The scanned answer.
    fn doc(&self) -> &Doc;

    /// Whether this has the form of an answer. What a client makes of another one is not known, so it cannot be checked.
    fn is_answer(&self) -> bool;

    /// Every text the model produced, in document order.
    fn outputs(&self) -> &[Output];

    /// Parts that are not text.
    fn opaque(&self) -> &[OpaquePart] {
        &[]
    }

    /// The usage block; `Ok(None)` if there is none.
    ///
    /// # Errors
    /// A [`UsageError`] if the block cannot be true.
    fn usage(&self) -> Result<Option<Usage>, UsageError>;

    /// (choice, finish reason) of each choice, in the protocol's words.
    fn finish_reasons(&self) -> Vec<(u32, Option<Cow<'_, str>>)> {
        Vec::new()
    }

    /// The tool calls the model asked for, in order.
    fn tool_calls(&self) -> Vec<ToolCall<'_>> {
        Vec::new()
    }

    /// Edits that put the requested name in place of the upstream's model name.
    fn rename_model(&self, requested: &str) -> Edits;

    /// Replaces one output text. Everything that repeats it must go or follow, see [`Answer::drop_derived`].
    fn replace_output(&self, edits: &mut Edits, output: &Output, text: &str) {
        edits.replace_raw(self.doc().node(output.node), crate::json::string(text));
    }

    /// Drops what repeats the text of a choice that was changed (log probabilities).
    fn drop_derived(&self, _edits: &mut Edits, _choice: u32) {}

    /// The provider's id of the answer, where the protocol lets clients refer to it later.
    fn stored_id(&self) -> Option<Cow<'_, str>> {
        None
    }

    /// Replaces the ids that clients may send back later (`id`, `previous_response_id` of a response).
    fn rename_ids(&self, _edits: &mut Edits, _ids: &IdMap) {}
}

/// Scans and checks a request body. The bytes are kept, not copied.
///
/// # Errors
/// A [`RequestError`] that names the member and what is wrong with it.
pub fn request(
    protocol: Protocol,
    body: Bytes,
    limits: &Limits,
) -> Result<Box<dyn Request>, RequestError> {
    match protocol {
        Protocol::Embeddings => Ok(Box::new(EmbeddingsRequest::parse(body, limits)?)),
        Protocol::Messages => Ok(Box::new(MessagesRequest::parse(body, limits)?)),
        Protocol::CountTokens => Ok(Box::new(MessagesRequest::parse_count(body, limits)?)),
        Protocol::Completions => Ok(Box::new(completions::Request::parse(body, limits)?)),
        Protocol::Moderations => Ok(Box::new(moderations::Request::parse(body, limits)?)),
        Protocol::Responses => Ok(Box::new(responses::Request::parse(body, limits)?)),
        Protocol::ResponseGet
        | Protocol::ResponseDelete
        | Protocol::ResponseCancel
        | Protocol::ResponseInputItems => Ok(Box::new(StoredRequest::new(limits)?)),
        Protocol::Chat => Ok(Box::new(ChatRequest::parse(body, limits)?)),
    }
}

/// Scans an answer of the provider.
///
/// # Errors
/// A [`ScanError`] if it is not strict JSON.
pub fn answer(
    protocol: Protocol,
    body: Bytes,
    limits: &Limits,
) -> Result<Box<dyn Answer>, ScanError> {
    match protocol {
        Protocol::Embeddings => Ok(Box::new(EmbeddingsResponse::parse(body, limits)?)),
        Protocol::Messages => Ok(Box::new(MessagesAnswer::parse(body, limits)?)),
        Protocol::CountTokens => Ok(Box::new(CountAnswer::parse(body, limits)?)),
        Protocol::Moderations => Ok(Box::new(moderations::Answer::parse(body, limits)?)),
        Protocol::Responses => Ok(Box::new(responses::Answer::parse(body, limits)?)),
        Protocol::ResponseGet
        | Protocol::ResponseDelete
        | Protocol::ResponseCancel
        | Protocol::ResponseInputItems => Ok(Box::new(StoredAnswer::parse(body, limits)?)),
        // A completion has the container of a chat completion: choices.
        Protocol::Chat | Protocol::Completions => Ok(Box::new(ChatResponse::parse(body, limits)?)),
    }
}

/// The state of one stream.
#[must_use]
pub fn stream(protocol: Protocol, options: StreamOptions<'_>) -> Box<dyn Stream> {
    match protocol {
        Protocol::Messages => Box::new(MessagesStream::new(options)),
        Protocol::Completions => Box::new(completions::CompletionsStream::new(options)),
        Protocol::Responses | Protocol::ResponseGet => {
            Box::new(responses::ResponsesStream::new(options))
        }
        _ => Box::new(ChatStream::new(options)),
    }
}
