//! Reading the events of one stream fast.
//!
//! The chunks of an answer differ in little but their text. A chunk that was scanned
//! whole becomes a template; one that equals it byte for byte outside of its string
//! tokens is the same document with other strings, so only these are scanned. Whatever
//! does not fit is scanned whole: the result is the same, only slower.

use super::Channel;
use super::stream::{Chunk, Event, UpstreamError};
use crate::edit::{EditError, Edits};
use crate::json;
use crate::scan::{Limits, ScanError, string_token, string_value};
use bytes::Bytes;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// Templates kept: choices of one stream take turns.
const TEMPLATES: usize = 4;
/// Larger chunks make no template.
const MAX_TEMPLATE: usize = 4096;
/// Templates made in vain before it is given up for a stream.
const MAX_IN_VAIN: u32 = 16;

/// The events of one stream, for a client that asked for one group.
pub struct Relay {
    group: String,
    keep_usage: bool,
    limits: Limits,
    templates: Vec<Arc<Template>>,
    /// Templates made since one last fitted.
    in_vain: u32,
}

/// What one event is.
#[derive(Debug)]
pub enum Read {
    /// `[DONE]`
    Done,
    /// An error that the upstream reports inside the stream.
    Error(UpstreamError),
    /// One piece of text and nothing else: no end, no usage, no log probabilities.
    Piece(Piece),
    /// Any other chunk.
    Chunk(Chunk),
}

/// One piece of text of one channel.
#[derive(Clone)]
pub struct Piece {
    /// Index of the choice.
    pub choice: u32,
    /// Which text of the choice; always one that comes in pieces.
    pub channel: Channel,
    template: Arc<Template>,
    /// The string tokens, quotes included, in order.
    tokens: [Bytes; 2],
    text: usize,
}

impl std::fmt::Debug for Piece {
    /// Without the text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Piece(choice {}, {})",
            self.choice,
            self.channel.as_str()
        )
    }
}

impl Piece {
    /// The decoded text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        self.tokens
            .get(self.text)
            .map(|token| string_value(token))
            .unwrap_or_default()
    }

    /// Appends the client's frame, with another text if there is one.
    pub fn write(&self, text: Option<&str>, out: &mut Vec<u8>) {
        let segments = self.template.ours.iter();
        let tokens = self.tokens.iter().map(Some).chain([None]);
        for (place, (segment, token)) in segments.zip(tokens).enumerate() {
            out.extend_from_slice(segment);
            match (text, token) {
                (Some(text), Some(_)) if place == self.text => json::write_string(out, text),
                (_, Some(token)) => out.extend_from_slice(token),
                (_, None) => {}
            }
        }
    }
}

/// A chunk with one or two holes where string tokens were.
pub(crate) struct Template {
    choice: u32,
    channel: Channel,
    /// Which hole is the text; the other one is padding (`obfuscation`).
    text: usize,
    /// The upstream's bytes around the holes: one more than there are holes.
    theirs: Vec<Bytes>,
    /// The same for the client, `data: ` and the blank line included.
    ours: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Relay({} templates)", self.templates.len())
    }
}

impl Relay {
    /// For a client that asked for `group` and, with `keep_usage`, for usage.
    #[must_use]
    pub fn new(group: &str, keep_usage: bool, limits: Limits) -> Relay {
        Relay {
            group: group.to_owned(),
            keep_usage,
            limits,
            templates: Vec::new(),
            in_vain: 0,
        }
    }

    /// Reads the data of one frame.
    ///
    /// # Errors
    /// A [`ScanError`] if it is neither `[DONE]` nor strict JSON.
    pub fn read(&mut self, data: Bytes) -> Result<Read, ScanError> {
        let mut newest_first = self.templates.iter().rev();
        if let Some(piece) = newest_first.find_map(|t| t.fit(t, &data)) {
            self.in_vain = 0;
            return Ok(Read::Piece(piece));
        }
        match Event::parse(data, &self.limits)? {
            Event::Done => Ok(Read::Done),
            Event::Error(error) => Ok(Read::Error(error)),
            Event::Chunk(chunk) => {
                self.learn(&chunk);
                Ok(Read::Chunk(chunk))
            }
        }
    }

    /// The edits every forwarded chunk gets: group name, no usage if not asked for.
    #[must_use]
    pub fn edits(&self, chunk: &Chunk) -> Edits {
        chunk.client_edits(&self.group, self.keep_usage)
    }

    /// Appends the client's frame of a chunk.
    ///
    /// # Errors
    /// An [`EditError`] if the edits belong to another document.
    pub fn write_chunk(
        &self,
        chunk: &Chunk,
        edits: &Edits,
        out: &mut Vec<u8>,
    ) -> Result<(), EditError> {
        chunk.render_into(edits, out)
    }

    fn learn(&mut self, chunk: &Chunk) {
        if self.in_vain >= MAX_IN_VAIN || chunk.doc().bytes().len() > MAX_TEMPLATE {
            return;
        }
        let edits = self.edits(chunk);
        if let Some(template) = Template::of(chunk, &edits, &self.limits) {
            self.in_vain = self.in_vain.saturating_add(1);
            if self.templates.len() >= TEMPLATES {
                self.templates.remove(0);
            }
            self.templates.push(Arc::new(template));
        }
    }
}

impl Template {
    fn of(chunk: &Chunk, edits: &Edits, limits: &Limits) -> Option<Template> {
        if !chunk.is_one_piece() {
            return None;
        }
        let output = chunk.outputs().first()?;
        let frame = chunk.render(edits).ok()?;
        let data = frame.slice(b"data: ".len()..frame.len().checked_sub(2)?);
        let Ok(Event::Chunk(mine)) = Event::parse(data, limits) else {
            return None;
        };
        let (text, theirs) = around(chunk.doc().bytes(), &holes(chunk)?)?;
        let (_, ours) = around(mine.doc().bytes(), &holes(&mine)?)?;
        let mut ours: Vec<Vec<u8>> = ours.iter().map(|segment| segment.to_vec()).collect();
        ours.first_mut()?.splice(..0, *b"data: ");
        ours.last_mut()?.extend_from_slice(b"\n\n");
        let (choice, channel) = (output.choice, output.channel);
        (ours.len() == theirs.len()).then_some(Template {
            choice,
            channel,
            text,
            theirs,
            ours,
        })
    }

    /// For an event whose one text is the string token at `hole`; the client's frame is
    /// `lead`, the data with the text and a blank line.
    pub(crate) fn with_hole(
        choice: u32,
        channel: Channel,
        data: &Bytes,
        hole: Range<usize>,
        lead: &[u8],
    ) -> Option<Template> {
        let (text, theirs) = around(data, &[(hole, true)])?;
        let mut ours: Vec<Vec<u8>> = theirs.iter().map(|segment| segment.to_vec()).collect();
        let breaks = |segment: &Vec<u8>| memchr::memchr2(b'\n', b'\r', segment).is_some();
        if ours.iter().any(breaks) {
            return None;
        }
        ours.first_mut()?.splice(..0, lead.iter().copied());
        ours.last_mut()?.extend_from_slice(b"\n\n");
        Some(Template {
            choice,
            channel,
            text,
            theirs,
            ours,
        })
    }

    /// The piece that `data` is, if it equals the template outside of its holes.
    pub(crate) fn fit(&self, own: &Arc<Template>, data: &Bytes) -> Option<Piece> {
        let mut tokens = [const { Bytes::new() }; 2];
        let mut at = 0_usize;
        for (number, segment) in self.theirs.iter().enumerate() {
            let rest = data.get(at..)?;
            if number.saturating_add(1) == self.theirs.len() {
                if rest != segment {
                    return None;
                }
                break;
            }
            if !rest.starts_with(segment) {
                return None;
            }
            at = at.saturating_add(segment.len());
            let end = string_token(data, at)?;
            *tokens.get_mut(number)? = data.slice(at..end);
            at = end;
        }
        Some(Piece {
            choice: self.choice,
            channel: self.channel,
            template: Arc::clone(own),
            tokens,
            text: self.text,
        })
    }
}

/// The string tokens that vary: the text, marked, and the padding.
fn holes(chunk: &Chunk) -> Option<Vec<(Range<usize>, bool)>> {
    let doc = chunk.doc();
    let text = doc.node(chunk.outputs().first()?.node).span();
    let mut holes = vec![(text, true)];
    let padding = doc.root().get("obfuscation");
    if let Some(padding) = padding.filter(|node| node.as_str().is_some()) {
        holes.push((padding.span(), false));
    }
    holes.sort_by_key(|(range, _)| range.start);
    Some(holes)
}

/// Which hole is the text, and the bytes around the holes.
fn around(bytes: &Bytes, holes: &[(Range<usize>, bool)]) -> Option<(usize, Vec<Bytes>)> {
    let mut segments = Vec::with_capacity(3);
    let mut from = 0_usize;
    for (range, _) in holes {
        (from <= range.start && range.end <= bytes.len()).then_some(())?;
        segments.push(bytes.slice(from..range.start));
        from = range.end;
    }
    segments.push(bytes.slice(from..));
    let text = holes.iter().position(|(_, is_text)| *is_text)?;
    Some((text, segments))
}
