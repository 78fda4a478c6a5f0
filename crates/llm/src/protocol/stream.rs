//! One event of a stream in normal form, and the state that reads and writes events of a protocol.

use crate::edit::{EditError, Edits};
use crate::json;
use crate::openai::relay::Piece;
use crate::openai::{Channel, Output};
use crate::scan::{Doc, Limits, ScanError};
use crate::sse::Frame;
use crate::transcript::OpaquePart;
use crate::usage::{Usage, UsageError};
use bytes::Bytes;
use std::sync::Arc;

/// Gives the id under which the client knows what the provider stores under its own id. Ids that clients may send back
/// (`response.id`, `previous_response_id`) are replaced in every event and answer.
pub type IdMap = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// What a stream's state must know before the first event.
#[derive(Clone)]
pub struct StreamOptions<'a> {
    /// The model name the client asked for; it replaces the upstream's.
    pub model: &'a str,
    /// Whether the client gets usage (chat and completions ask for it).
    pub include_usage: bool,
    /// Whether some check may change texts. What repeats a text (log probabilities, the whole text at the end) then
    /// goes or is made again of what was delivered.
    pub edits: bool,
    /// Limits of the strict scanner for one event.
    pub limits: Limits,
    /// For protocols whose clients refer to earlier answers; `None` leaves ids as they are.
    pub ids: Option<IdMap>,
}

impl std::fmt::Debug for StreamOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamOptions")
            .field("include_usage", &self.include_usage)
            .field("edits", &self.edits)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What one event is.
#[derive(Debug)]
pub enum Event {
    /// Nothing for the client and nothing to learn: a comment, a ping.
    Ignored,
    /// The stream is complete; nothing more comes. Only for protocols whose end is no event of the answer (`[DONE]`).
    Done,
    /// An error that the upstream reports inside the stream.
    Error(Reported),
    /// One piece of text and nothing else: the common event, read fast.
    Piece(Piece),
    /// Any other event.
    Change(Box<Change>),
}

/// An error that the upstream reports inside a stream: its words, so content, and to be scrubbed before use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Its message.
    pub message: Option<String>,
    /// Its type (`overloaded_error`, ...).
    pub kind: Option<String>,
    /// Its code.
    pub code: Option<String>,
}

/// An event that was scanned whole.
///
/// A *choice* is the unit that one event finishes: the choice of a chat completion, the content block of a message, the
/// item or part of a response. Whole answers use the same numbers.
#[derive(Debug)]
pub struct Change {
    /// The scanned data.
    pub doc: Doc,
    /// The frame as received.
    pub raw: Bytes,
    /// Name of the event, where the protocol names events; already compared with the data.
    pub name: Option<Bytes>,
    /// Every piece of text in it, in document order.
    pub outputs: Vec<Output>,
    /// Parts that are not text.
    pub opaque: Vec<OpaquePart>,
    /// Structural edits: the client's model name, ids, what the client did not ask for.
    pub edits: Edits,
    /// Choices that end with this event: what checks hold back of them is delivered before it.
    pub finished: Vec<u32>,
    /// Why the answer or a choice of it ended, in the protocol's words.
    pub reasons: Vec<String>,
    /// The usage known after this event, the counts of earlier events included; `Ok(None)` if it says nothing about it.
    pub usage: Result<Option<Usage>, UsageError>,
    /// False if a container is of another kind than the format says: what a client makes of it is not known, so it
    /// cannot be checked and the stream must not go on.
    pub well_formed: bool,
    /// False for an event that the client did not ask for (usage).
    pub forward: bool,
    /// True for the event that completes the answer.
    pub last: bool,
}

impl Change {
    /// An event without any text: the rest is set by the reader.
    #[must_use]
    pub fn new(doc: Doc, raw: Bytes) -> Change {
        Change {
            doc,
            raw,
            name: None,
            outputs: Vec::new(),
            opaque: Vec::new(),
            edits: Edits::new(),
            finished: Vec::new(),
            reasons: Vec::new(),
            usage: Ok(None),
            well_formed: true,
            forward: true,
            last: false,
        }
    }

    /// Puts the texts in (one place for each output, `None` where it stays) and appends the frame: as it came where
    /// nothing changed and it has the plain form, else one `event` line if named and one `data` line.
    ///
    /// # Errors
    /// An [`EditError`] if the edits belong to another document; `out` is then unspecified.
    pub fn write(&mut self, texts: &[Option<String>], out: &mut Vec<u8>) -> Result<(), EditError> {
        for (output, text) in self.outputs.iter().zip(texts) {
            if let Some(text) = text {
                let node = self.doc.node(output.node);
                self.edits.replace_raw(node, json::string(text));
            }
        }
        if self.edits.is_empty() && self.is_plain() {
            out.extend_from_slice(&self.raw);
            return Ok(());
        }
        if let Some(name) = &self.name {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(name);
            out.push(b'\n');
        }
        out.extend_from_slice(b"data: ");
        let from = out.len();
        self.edits.apply_into(&self.doc, out)?;
        // Outside of strings line breaks are white space; inside there are none.
        let written = out.get_mut(from..).unwrap_or_default();
        if memchr::memchr2(b'\n', b'\r', written).is_some() {
            let breaks = written.iter_mut().filter(|b| matches!(**b, b'\n' | b'\r'));
            breaks.for_each(|byte| *byte = b' ');
        }
        out.extend_from_slice(b"\n\n");
        Ok(())
    }

    /// Whether the frame is one `event` line if named, one `data` line and nothing else: no comment, no id that nobody
    /// read.
    fn is_plain(&self) -> bool {
        let mut rest = self.raw.as_ref();
        if let Some(name) = &self.name {
            let cut = rest
                .strip_prefix(b"event: ")
                .and_then(|rest| rest.strip_prefix(name.as_ref()))
                .and_then(|rest| rest.strip_prefix(b"\n"));
            match cut {
                Some(cut) => rest = cut,
                None => return false,
            }
        }
        rest.len() == self.doc.bytes().len().saturating_add(8)
            && rest.starts_with(b"data: ")
            && rest.ends_with(b"\n\n")
    }
}

/// An error of the gateway in the middle of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The whole body in the client's envelope.
    pub envelope: &'a [u8],
    /// The text.
    pub message: &'a str,
    /// Stable code.
    pub code: &'a str,
}

/// State of one stream of a protocol: reads the provider's frames, writes the client's.
pub trait Stream: Send {
    /// Reads one frame.
    ///
    /// # Errors
    /// A [`ScanError`] if its data is not strict JSON.
    fn read(&mut self, frame: Frame) -> Result<Event, ScanError>;

    /// Appends the client's frame of a piece, with another text if there is one.
    fn write_piece(&mut self, piece: &Piece, text: Option<&str>, out: &mut Vec<u8>) {
        piece.write(text, out);
    }

    /// Appends the client's frame of an event; see [`Change::write`].
    ///
    /// # Errors
    /// An [`EditError`] if the edits belong to another document; `out` is then unspecified.
    fn write(
        &mut self,
        change: &mut Change,
        texts: &[Option<String>],
        out: &mut Vec<u8>,
    ) -> Result<(), EditError> {
        change.write(texts, out)
    }

    /// Appends a frame that delivers `text` on a channel: what a check held back. False if the channel does not consist of
    /// pieces: nothing was appended.
    fn write_tail(&mut self, choice: u32, channel: Channel, text: &str, out: &mut Vec<u8>) -> bool;

    /// Whether the answer is complete if the upstream ends here without its end marker.
    fn is_complete(&self) -> bool;

    /// Appends a frame that keeps a silent connection alive.
    fn write_ping(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": keep-alive\n\n");
    }

    /// Appends the protocol's end marker, if its end is no event of the answer.
    fn write_end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(crate::sse::DONE);
    }

    /// Appends the events that end the stream with an error: open units are closed, one error event says why.
    fn write_failure(&mut self, failure: &Failure<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&crate::sse::data_frame(failure.envelope));
    }
}
