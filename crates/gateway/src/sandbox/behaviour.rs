//! Which behaviour a model name asks for.

use std::time::Duration;

/// Model names that `GET /v1/models` lists. Parametric names (`fail-418`, `cut-after-7`, `chunks-200`, `redirect-308`) work too.
pub const NAMES: [&str; 13] = [
    "echo",
    "letters",
    "story",
    "slow",
    "drip",
    "tools",
    "reasoning",
    "refusal",
    "embed",
    "fail-500",
    "fail-429",
    "cut-after-3",
    "hang",
];

/// What the sandbox does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers with the text of the last user message, a word per chunk.
    Echo,
    /// As `Echo`, one character per chunk.
    Letters,
    /// A fixed story of `max_tokens` words (40 without), a word per chunk.
    Story,
    /// `Echo` after a pause before the head.
    Slow(Duration),
    /// `Story` with a pause between chunks.
    Drip(Duration),
    /// So many one-word chunks, without pauses.
    Chunks(u32),
    /// Calls every function that the request offers; without offered functions as `Echo`.
    Tools,
    /// Reasoning text, then `Echo`.
    Reasoning,
    /// A refusal in place of content.
    Refusal,
    /// Answers with this status and OpenAI's error envelope.
    Fail(u16),
    /// 401 whose text and headers repeat the key and a URL with `?key=`.
    FailEchoingKey,
    /// So many content chunks, then the connection breaks; a plain answer breaks in the middle of its body.
    CutAfter(u32),
    /// Closes the connection without an answer.
    CutBeforeHead,
    /// Never answers.
    Hang,
    /// One content chunk, then silence.
    HangAfterFirst,
    /// A redirect with this status to the sandbox's own `/sink`.
    Redirect(u16),
    /// One of the ways to break the wire format.
    Hostile(Hostile),
}

/// Ways to break OpenAI's wire format, or to stretch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hostile {
    /// A body or event that is not JSON.
    BadJson,
    /// JSON with a key twice.
    DupKeys,
    /// JSON holding bytes that are not UTF-8.
    BadUtf8,
    /// JSON nested 100,000 levels deep.
    Deep,
    /// One event, or body, of more than 10 MiB.
    HugeEvent,
    /// A stream that ends without `[DONE]`.
    NoDone,
    /// `[DONE]` twice.
    TwoDone,
    /// A content event after `[DONE]`.
    AfterDone,
    /// The stream ends in the middle of an event.
    HalfEvent,
    /// Lines that end in CR only.
    CrOnly,
    /// Lines that end in CRLF, and `data:` without a space.
    Crlf,
    /// Comments without end in place of events.
    CommentFlood,
    /// Comments and unknown fields between good events.
    Comments,
    /// Usage with negative and overflowing counts.
    LyingUsage,
    /// No usage although it was asked for.
    NoUsage,
    /// A running usage object in every chunk.
    UsageInEveryChunk,
    /// An error object, repeating the key, after two content chunks.
    ErrorInStream,
    /// HTML with status 200.
    Html,
    /// A good answer with headers that must not reach a client.
    Headers,
    /// A gzip body although identity was asked for.
    Gzip,
    /// A plain JSON answer to a request for a stream.
    NotAStream,
    /// A stream in answer to a plain request.
    StreamAnyway,
    /// A response head of more than a mebibyte.
    BigHead,
    /// A status that says success and a body that holds an error object.
    ErrorWith200,
    /// An empty body.
    Empty,
}

impl Behaviour {
    /// The behaviour of `model`; any other name is `None`, answered 404 as an unknown model.
    #[must_use]
    pub fn of(model: &str) -> Option<Self> {
        if let Some(hostile) = Hostile::of(model) {
            return Some(Self::Hostile(hostile));
        }
        Some(match model {
            "echo" | "embed" => Self::Echo,
            "letters" => Self::Letters,
            "story" => Self::Story,
            "slow" => Self::Slow(Duration::from_millis(300)),
            "drip" => Self::Drip(Duration::from_millis(20)),
            "tools" => Self::Tools,
            "reasoning" => Self::Reasoning,
            "refusal" => Self::Refusal,
            "fail-401-echo-key" => Self::FailEchoingKey,
            "cut-before-head" => Self::CutBeforeHead,
            "hang" => Self::Hang,
            "hang-after-1" => Self::HangAfterFirst,
            "redirect" => Self::Redirect(302),
            _ => return Self::with_number(model),
        })
    }

    fn with_number(model: &str) -> Option<Self> {
        let (kind, number) = model.rsplit_once('-')?;
        let number: u32 = number.parse().ok()?;
        let status = u16::try_from(number).ok();
        Some(match kind {
            "fail" => Self::Fail(status.filter(|s| (400..600).contains(s))?),
            "redirect" => Self::Redirect(status.filter(|s| (300..400).contains(s))?),
            "cut-after" => Self::CutAfter(number),
            "chunks" => Self::Chunks(number.min(100_000)),
            "slow" => Self::Slow(Duration::from_millis(number.into())),
            "drip" => Self::Drip(Duration::from_millis(number.into())),
            _ => return None,
        })
    }
}

impl Hostile {
    fn of(model: &str) -> Option<Self> {
        Some(match model {
            "bad-json" => Self::BadJson,
            "dup-keys" => Self::DupKeys,
            "bad-utf8" => Self::BadUtf8,
            "deep" => Self::Deep,
            "huge-event" => Self::HugeEvent,
            "no-done" => Self::NoDone,
            "two-done" => Self::TwoDone,
            "after-done" => Self::AfterDone,
            "half-event" => Self::HalfEvent,
            "cr-only" => Self::CrOnly,
            "crlf" => Self::Crlf,
            "comment-flood" => Self::CommentFlood,
            "comments" => Self::Comments,
            "lying-usage" => Self::LyingUsage,
            "no-usage" => Self::NoUsage,
            "usage-in-every-chunk" => Self::UsageInEveryChunk,
            "error-in-stream" => Self::ErrorInStream,
            "html" => Self::Html,
            "set-cookie" => Self::Headers,
            "gzip" => Self::Gzip,
            "not-a-stream" => Self::NotAStream,
            "stream-anyway" => Self::StreamAnyway,
            "big-head" => Self::BigHead,
            "error-with-200" => Self::ErrorWith200,
            "empty" => Self::Empty,
            _ => return None,
        })
    }
}
