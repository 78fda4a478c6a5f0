//! A stream that services judge: it is read to its end, judged whole, and only then delivered.
//!
//! What is kept are the frames in the client's format, so that what is delivered afterwards is what was judged. Meanwhile
//! the client gets comments that keep its connection alive.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body as _;
use llm::protocol::{Event, Reported, Stream};
use llm::sse::{Frame, Framer};
use llm::translate::StreamTranslator;
use llm::usage::{Usage, UsageError};

use super::answer::untranslated;
use super::channels::{Blocked, Channels, Replaced};
use super::staged::Staged;
use crate::error::Error;
use crate::guardrails::Selected;
use crate::guardrails::remote::{Notes, Permit};
use crate::upstream::link::RelayBody;

/// Where the frames come from.
pub(crate) enum From {
    Provider(RelayBody),
    Ready(VecDeque<Bytes>),
}

/// What a held stream is read with.
pub(crate) struct Holding {
    pub(crate) from: From,
    pub(crate) framer: Framer,
    /// Where the provider speaks another format.
    pub(crate) translator: Option<Box<(StreamTranslator, Framer)>>,
    /// Reads the events; it writes none.
    pub(crate) protocol: Box<dyn Stream>,
    /// The local checks.
    pub(crate) channels: Channels,
    pub(crate) selected: Selected,
    pub(crate) permit: Permit,
    /// Longest silence of the provider, and when the whole must have come.
    pub(crate) idle: Duration,
    pub(crate) deadline: Instant,
    /// Most bytes that are kept.
    pub(crate) most: usize,
}

/// What came of it.
pub(crate) struct Held {
    /// The stream in the client's format.
    pub(crate) frames: VecDeque<Bytes>,
    pub(crate) notes: Notes,
    /// What the provider says it used.
    pub(crate) usage: Result<Option<Usage>, UsageError>,
    /// The texts that stand for the provider's, or why nothing is delivered.
    pub(crate) result: Result<Replaced, Stopped>,
}

/// Why nothing of a held stream is delivered.
pub(crate) enum Stopped {
    Blocked(Blocked),
    Failed(Box<Error>, &'static str),
    /// The provider reported an error.
    Reported(Box<Reported>),
}

/// What is kept while reading.
struct Kept {
    frames: VecDeque<Bytes>,
    usage: Result<Option<Usage>, UsageError>,
    /// The answer is complete.
    over: bool,
}

fn invalid(what: impl ToString) -> Stopped {
    failed(Error::UpstreamInvalid(what.to_string()), "upstream_invalid")
}

fn failed(error: Error, code: &'static str) -> Stopped {
    Stopped::Failed(Box::new(error), code)
}

impl Holding {
    /// Reads to the end and asks.
    pub(crate) async fn run(mut self) -> Held {
        let mut kept = Kept {
            frames: VecDeque::new(),
            usage: Ok(None),
            over: false,
        };
        let mut notes = Notes::default();
        let read = self.read(&mut kept).await;
        let blocked = matches!(read, Err(Stopped::Blocked(_)));
        let staged = Staged::of(&mut self.channels);
        notes.entries.extend(self.channels.entries(blocked));
        let result = match read {
            Err(stopped) => Err(stopped),
            Ok(()) => {
                let permit = Arc::new(self.permit);
                let judged = staged.judged(permit.clone(), &self.selected, &mut notes);
                match judged.await {
                    Ok(texts) => Ok(texts.replaced(&permit)),
                    Err(blocked) => Err(Stopped::Blocked(blocked)),
                }
            }
        };
        Held {
            frames: kept.frames,
            notes,
            usage: kept.usage,
            result,
        }
    }

    async fn read(&mut self, kept: &mut Kept) -> Result<(), Stopped> {
        let mut taken = 0_usize;
        while let Some(bytes) = self.next().await? {
            taken = taken.saturating_add(bytes.len());
            if taken > self.most {
                return Err(invalid("the stream is longer than allowed"));
            }
            if self.translator.is_none() {
                kept.frames.push_back(bytes.clone());
            }
            self.framer.push(bytes).map_err(invalid)?;
            while let Some(frame) = self.framer.next_frame() {
                self.frame(frame, kept)?;
            }
            if kept.over {
                return self.complete();
            }
        }
        if let Some(last) = self.framer.finish() {
            let data = last.data.as_deref().unwrap_or_default();
            kept.over |= self.translator.is_none() && data.trim_ascii() == b"[DONE]";
        }
        let mut out = Vec::new();
        if let Some(translator) = &mut self.translator {
            let result = translator.0.finish(&mut out);
            self.translated(out, kept)?;
            result.map_err(|error| failed(untranslated(&error), "upstream_invalid"))?;
        }
        match kept.over || self.protocol.is_complete() {
            true => self.complete(),
            false => Err(failed(Error::UpstreamCut, "upstream_cut")),
        }
    }

    /// Everything has come: what the local checks still hold is theirs to decide now.
    fn complete(&mut self) -> Result<(), Stopped> {
        let provider = std::mem::replace(&mut self.from, From::Ready(VecDeque::new()));
        if let From::Provider(body) = provider {
            body.release();
        }
        let tails = self.channels.finish(None);
        tails.map(drop).map_err(Stopped::Blocked)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Stopped> {
        let body = match &mut self.from {
            From::Ready(frames) => return Ok(frames.pop_front()),
            From::Provider(body) => body,
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let wait = self.idle.min(left);
        let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        match tokio::time::timeout(wait, frame).await {
            Err(_) => {
                let seconds = wait.as_secs();
                let error = Error::UpstreamTimeout { seconds };
                Err(failed(error, "upstream_timeout"))
            }
            Ok(None) => Ok(None),
            Ok(Some(Err(_))) => Err(failed(Error::UpstreamCut, "upstream_cut")),
            // Trailers carry nothing for us.
            Ok(Some(Ok(frame))) => Ok(Some(frame.into_data().unwrap_or_default())),
        }
    }

    /// A frame of the provider.
    fn frame(&mut self, frame: Frame, kept: &mut Kept) -> Result<(), Stopped> {
        let Some(translator) = &mut self.translator else {
            return self.event(frame, kept);
        };
        let mut out = Vec::new();
        let result = translator.0.push(&frame, &mut out);
        self.translated(out, kept)?;
        result.map_err(|error| failed(untranslated(&error), "upstream_invalid"))
    }

    fn translated(&mut self, bytes: Vec<u8>, kept: &mut Kept) -> Result<(), Stopped> {
        if bytes.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(bytes);
        kept.frames.push_back(bytes.clone());
        let Some(translator) = &mut self.translator else {
            return Ok(());
        };
        translator.1.push(bytes).map_err(invalid)?;
        while let Some(frame) = self
            .translator
            .as_mut()
            .and_then(|translator| translator.1.next_frame())
        {
            self.event(frame, kept)?;
        }
        Ok(())
    }

    /// A frame in the client's format: its texts go through the local checks.
    fn event(&mut self, frame: Frame, kept: &mut Kept) -> Result<(), Stopped> {
        if kept.over {
            return Ok(());
        }
        let blocked = Stopped::Blocked;
        match self.protocol.read(frame) {
            Err(error) => {
                let what = format!(
                    "an event is not valid JSON: {} at byte {}",
                    error.kind.as_str(),
                    error.offset
                );
                return Err(invalid(what));
            }
            Ok(Event::Ignored) => {}
            Ok(Event::Done) => kept.over = true,
            Ok(Event::Error(reported)) => return Err(Stopped::Reported(Box::new(reported))),
            Ok(Event::Piece(piece)) => {
                let text = piece.text();
                let left = self.channels.push(piece.choice, piece.channel, &text);
                left.map_err(blocked)?;
            }
            Ok(Event::Change(mut change)) => {
                if !change.well_formed {
                    return Err(invalid("an event has not the shape that its format says"));
                }
                let usage = std::mem::replace(&mut change.usage, Ok(None));
                if !matches!(usage, Ok(None)) {
                    kept.usage = usage;
                }
                if !change.forward {
                    return Ok(());
                }
                for output in &change.outputs {
                    let text = output.decode(&change.doc);
                    let (choice, channel) = (output.choice, output.channel);
                    let left = match channel.is_incremental() {
                        true => self.channels.push(choice, channel, &text),
                        false => self.channels.whole(choice, channel, &text),
                    };
                    left.map_err(blocked)?;
                }
                for choice in std::mem::take(&mut change.finished) {
                    self.channels.finish(Some(choice)).map_err(blocked)?;
                }
                kept.over |= change.last;
            }
        }
        Ok(())
    }
}
