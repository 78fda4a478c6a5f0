//! Server-sent events: cutting a byte stream into frames.
//!
//! A frame is one event with its terminator, as received. Lines end with LF, CR or CRLF;
//! the data may be cut anywhere. What lies whole in one buffer is not copied. Pending
//! bytes and silence (bytes without data) are bounded, time is linear.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// What a stream may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SseLimits {
    /// Largest event in bytes, terminator included.
    pub max_event: usize,
    /// Most bytes without any data (comments, other fields, blank lines) in a row.
    pub max_silence: usize,
}

impl Default for SseLimits {
    /// 4 MiB an event, 1 MiB of silence.
    fn default() -> Self {
        SseLimits {
            max_event: 4 << 20,
            max_silence: 1 << 20,
        }
    }
}

/// Why a stream was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event is larger than [`SseLimits::max_event`].
    #[error("a stream event is too large")]
    EventTooLarge,
    /// More than [`SseLimits::max_silence`] bytes without data.
    #[error("the stream has sent too many bytes without data")]
    TooMuchSilence,
}

/// One event.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The bytes as received, terminator included. Concatenated, the frames of a stream
    /// are the stream.
    pub raw: Bytes,
    /// The value of the `data` lines, joined by LF; `None` without any (a comment).
    pub data: Option<Bytes>,
    /// The value of the last `event` line.
    pub event: Option<Bytes>,
    /// Whether the terminating blank line was seen. `false` only from
    /// [`Framer::finish`].
    pub complete: bool,
}

impl std::fmt::Debug for Frame {
    /// Sizes only: the bytes are content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("raw", &self.raw.len())
            .field("data", &self.data.as_ref().map(Bytes::len))
            .field("event", &self.event.as_ref().map(Bytes::len))
            .field("complete", &self.complete)
            .finish()
    }
}

/// Cuts a stream into frames. Feed with [`Framer::push`], take with
/// [`Framer::next_frame`], end with [`Framer::finish`].
pub struct Framer {
    limits: SseLimits,
    /// Bytes of the event that is not complete yet.
    pending: BytesMut,
    ready: VecDeque<Frame>,
    /// The line that is being read has bytes.
    line_has_bytes: bool,
    /// The event that is being read has a line that is not blank.
    event_has_lines: bool,
    /// The last byte was a CR: an LF now belongs to it.
    after_cr: bool,
    /// Bytes since the last frame with data.
    silence: usize,
    /// Nothing was framed yet: a byte-order mark is skipped.
    at_start: bool,
    failed: Option<SseError>,
}

impl std::fmt::Debug for Framer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (pending, ready) = (self.pending.len(), self.ready.len());
        write!(f, "Framer({pending} bytes pending, {ready} frames ready)")
    }
}

impl Framer {
    /// A framer for one stream.
    #[must_use]
    pub fn new(limits: SseLimits) -> Framer {
        Framer {
            limits,
            pending: BytesMut::new(),
            ready: VecDeque::new(),
            line_has_bytes: false,
            event_has_lines: false,
            after_cr: false,
            silence: 0,
            at_start: true,
            failed: None,
        }
    }

    /// Takes the next bytes. Complete frames are then ready for
    /// [`Framer::next_frame`], also those before an error.
    ///
    /// # Errors
    /// An [`SseError`] when a limit is passed; the framer then stays failed.
    pub fn push(&mut self, input: Bytes) -> Result<(), SseError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.take(input);
        self.failed = result.err();
        result
    }

    /// The next complete frame.
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }

    /// Bytes held for an event that is not complete.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The end of the stream. Gives the event that was cut off, if it has any bytes:
    /// whether its data is whole, the caller must judge (`[DONE]` without a blank line
    /// is common, half a JSON document is a fault).
    pub fn finish(&mut self) -> Option<Frame> {
        let raw = std::mem::take(&mut self.pending).freeze();
        let blank = raw.iter().all(|b| matches!(b, b'\r' | b'\n'));
        if blank || self.failed.is_some() {
            return None;
        }
        let mut frame = frame(raw, self.at_start);
        frame.complete = false;
        Some(frame)
    }

    fn take(&mut self, mut input: Bytes) -> Result<(), SseError> {
        while !input.is_empty() {
            let Some(length) = self.end_of_event(&input) else {
                return self.hold(&input);
            };
            let part = input.split_to(length);
            let raw = if self.pending.is_empty() {
                part
            } else {
                self.pending.extend_from_slice(&part);
                self.pending.split().freeze()
            };
            self.emit(raw)?;
        }
        Ok(())
    }

    fn hold(&mut self, input: &[u8]) -> Result<(), SseError> {
        if self.pending.len().saturating_add(input.len()) > self.limits.max_event {
            return Err(SseError::EventTooLarge);
        }
        self.pending.extend_from_slice(input);
        Ok(())
    }

    fn emit(&mut self, raw: Bytes) -> Result<(), SseError> {
        if raw.len() > self.limits.max_event {
            return Err(SseError::EventTooLarge);
        }
        let frame = frame(raw, std::mem::take(&mut self.at_start));
        self.silence = match frame.data {
            Some(_) => 0,
            None => self.silence.saturating_add(frame.raw.len()),
        };
        if self.silence > self.limits.max_silence {
            return Err(SseError::TooMuchSilence);
        }
        self.ready.push_back(frame);
        Ok(())
    }

    /// Number of bytes up to the end of the current event, if it ends in `input`. The
    /// state moves along, so every byte is looked at once.
    fn end_of_event(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0_usize;
        loop {
            if self.after_cr {
                match input.get(at) {
                    // The LF of a CRLF; part of the line that has ended already.
                    Some(b'\n') => at = at.saturating_add(1),
                    Some(_) => {}
                    None => return None,
                }
                self.after_cr = false;
            }
            let rest = input.get(at..)?;
            let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.line_has_bytes |= !rest.is_empty();
                return None;
            };
            let is_cr = rest.get(length) == Some(&b'\r');
            let blank = length == 0 && !self.line_has_bytes;
            self.line_has_bytes = false;
            at = at.saturating_add(length).saturating_add(1);
            if !blank {
                self.event_has_lines = true;
                self.after_cr = is_cr;
            } else if std::mem::take(&mut self.event_has_lines) {
                // A CR ends the event at once; its LF, if it comes, starts the next.
                let crlf = is_cr && input.get(at) == Some(&b'\n');
                self.after_cr = is_cr && !crlf;
                return Some(at.saturating_add(usize::from(crlf)));
            } else {
                self.after_cr = is_cr;
            }
        }
    }
}

/// Reads the fields of one event.
fn frame(raw: Bytes, at_start: bool) -> Frame {
    let mut data: Option<Bytes> = None;
    let mut event = None;
    let mut at = 0_usize;
    if at_start && raw.starts_with(&[0xEF, 0xBB, 0xBF]) {
        at = 3;
    }
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = at..at.saturating_add(length);
        at = line.end.saturating_add(1);
        let bytes = raw.get(line.clone()).unwrap_or_default();
        let Some(value) = field(bytes) else { continue };
        let value_at = line.end.saturating_sub(value.1.len());
        let value_bytes = raw.slice(value_at..line.end);
        match value.0 {
            b"event" => event = Some(value_bytes),
            b"data" => data = Some(join(data, value_bytes)),
            _ => {}
        }
    }
    Frame {
        raw,
        data,
        event,
        complete: true,
    }
}

/// Name and value of a field line; `None` for comments and blank lines.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    match memchr::memchr(b':', line) {
        Some(0) => None,
        Some(colon) => {
            let (name, rest) = line.split_at_checked(colon)?;
            let value = rest.get(1..).unwrap_or_default();
            Some((name, value.strip_prefix(b" ").unwrap_or(value)))
        }
        None if line.is_empty() => None,
        None => Some((line, &[])),
    }
}

fn join(before: Option<Bytes>, value: Bytes) -> Bytes {
    match before {
        None => value,
        Some(before) => {
            let mut joined = BytesMut::with_capacity(before.len().saturating_add(value.len()));
            joined.extend_from_slice(&before);
            joined.extend_from_slice(b"\n");
            joined.extend_from_slice(&value);
            joined.freeze()
        }
    }
}

/// The last frame of an OpenAI stream.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// A frame with one line of data. `data` must not contain CR or LF (JSON written on one
/// line does not).
#[must_use]
pub fn data_frame(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len().saturating_add(8));
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
    out.freeze()
}

/// A comment frame; line breaks in `text` become spaces.
#[must_use]
pub fn comment_frame(text: &str) -> Bytes {
    let mut out = Vec::with_capacity(text.len().saturating_add(4));
    out.extend_from_slice(b": ");
    out.extend(
        text.bytes()
            .map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }),
    );
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}
