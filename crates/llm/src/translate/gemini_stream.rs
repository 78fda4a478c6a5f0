//! Gemini's streams as chat completion chunks.

use super::gemini_answer::{
    Piece, call, call_id, candidates, finish_reason, image, is_blocked, open, pieces, usage,
    write_usage,
};
use super::types::{AnswerError, Back};
use super::{Step, TextPiece};
use crate::json;
use crate::openai::stream::Head;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::sse::{self, Frame};
use crate::usage::Usage;

/// Most candidates of one answer.
const MOST_CANDIDATES: usize = 256;

/// State of one stream.
pub(super) struct ToChat {
    back: Back,
    head: Head,
    limits: Limits,
    /// `data: {..,"choices":[{"index":`
    lead: Vec<u8>,
    candidates: Vec<Candidate>,
    usage: Option<Usage>,
    over: bool,
}

struct Candidate {
    index: u64,
    calls: u64,
    finished: bool,
}

impl ToChat {
    pub(super) fn new(back: &Back, head: &Head, limits: &Limits) -> ToChat {
        let mut lead = b"data: ".to_vec();
        open(&mut lead, head, "chat.completion.chunk");
        lead.extend_from_slice(b"{\"index\":");
        ToChat {
            back: back.clone(),
            head: head.clone(),
            limits: *limits,
            lead,
            candidates: Vec::new(),
            usage: None,
            over: false,
        }
    }

    /// Appends a chunk; `delta` writes its members.
    fn chunk(
        &self,
        out: &mut Vec<u8>,
        index: u64,
        reason: Option<&str>,
        delta: impl FnOnce(&mut Vec<u8>),
    ) {
        out.extend_from_slice(&self.lead);
        json::write_u64(out, index);
        out.extend_from_slice(b",\"delta\":{");
        delta(out);
        out.extend_from_slice(b"},\"finish_reason\":");
        match reason {
            Some(reason) => json::write_string(out, reason),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}]}\n\n");
    }

    fn text(&self, out: &mut Vec<u8>, index: u64, name: &str, token: Node<'_>) {
        // A part without text only closes a thought.
        if token.is_str("") {
            return;
        }
        self.chunk(out, index, None, |out| {
            json::write_string(out, name);
            out.push(b':');
            out.extend_from_slice(token.raw());
        });
    }

    fn begin(&mut self, index: u64, out: &mut Vec<u8>) -> Result<usize, AnswerError> {
        let known = self.candidates.iter().position(|one| one.index == index);
        if let Some(at) = known {
            return Ok(at);
        }
        if self.candidates.len() >= MOST_CANDIDATES {
            return Err(AnswerError::Shape("it has too many candidates"));
        }
        self.candidates.push(Candidate {
            index,
            calls: 0,
            finished: false,
        });
        self.chunk(out, index, None, |out| {
            out.extend_from_slice(b"\"role\":\"assistant\",\"content\":\"\"");
        });
        Ok(self.candidates.len().saturating_sub(1))
    }

    fn candidate(
        &mut self,
        index: u64,
        candidate: Node<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), AnswerError> {
        let at = self.begin(index, out)?;
        let mut calls = self.candidates.get(at).map_or(0, |one| one.calls);
        for piece in pieces(candidate) {
            match piece {
                Piece::Text(token) => self.text(out, index, "content", token),
                Piece::Thought(token) => self.text(out, index, "reasoning_content", token),
                Piece::Call(name, arguments, signature) => {
                    let id = call_id(&self.head, index, calls);
                    self.chunk(out, index, None, |out| {
                        out.extend_from_slice(b"\"tool_calls\":[");
                        let parts = (name, arguments, signature.as_deref());
                        call(out, &self.back, &id, Some(calls), parts);
                        out.push(b']');
                    });
                    calls = calls.saturating_add(1);
                }
                Piece::Media(kind, data) => self.chunk(out, index, None, |out| {
                    out.extend_from_slice(b"\"images\":[");
                    image(out, kind, data);
                    out.push(b']');
                }),
            }
        }
        let reason = finish_reason(candidate, calls > 0);
        let first = match self.candidates.get_mut(at) {
            Some(one) => {
                one.calls = calls;
                let first = reason.is_some() && !one.finished;
                one.finished |= reason.is_some();
                first
            }
            None => false,
        };
        if first {
            self.chunk(out, index, reason, |_| {});
        }
        Ok(())
    }

    fn error(&mut self, error: Node<'_>, out: &mut Vec<u8>) {
        let text = |name: &str| {
            let node = error.get(name)?;
            match node.kind() {
                Kind::Number => Some(String::from_utf8_lossy(node.raw()).into_owned()),
                _ => Some(node.as_str()?.into_owned()),
            }
        };
        let (message, status, code) = (text("message"), text("status"), text("code"));
        let envelope = crate::openai::error::Envelope {
            message: message
                .as_deref()
                .unwrap_or("the provider reported an error"),
            kind: status.as_deref(),
            param: crate::openai::error::Param::Null,
            code: code.as_deref().unwrap_or("500"),
            provider_specific_fields: None,
        };
        out.extend_from_slice(&envelope.frame());
        self.over = true;
    }
}

impl Step for ToChat {
    fn piece(&mut self, frame: &Frame) -> Option<TextPiece> {
        let begun = matches!(
            self.candidates.as_slice(),
            [Candidate {
                index: 0,
                finished: false,
                ..
            }]
        );
        let data = frame.data.as_ref().filter(|_| begun && !self.over)?;
        // A call is more than a text, and the last event has a reason.
        let other = |word: &str| memchr::memmem::find(data, word.as_bytes()).is_some();
        if other("finishReason") || other("functionCall") || other("promptFeedback") {
            return None;
        }
        let doc = Doc::parse(data.clone(), &self.limits).ok()?;
        let root = doc.root();
        let mut listed = candidates(root);
        let (0, candidate) = listed.next()? else {
            return None;
        };
        let mut found = pieces(candidate);
        let only = match (
            found.next()?,
            found.next(),
            listed.next(),
            root.get("error"),
        ) {
            (Piece::Text(token), None, None, None) if token.raw().len() > 2 => token.id(),
            _ => return None,
        };
        let counted = usage(root);
        drop(found);
        drop(listed);
        self.usage = counted.or(self.usage);
        Some(TextPiece::new(doc, only))
    }

    fn push(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let Some(data) = frame.data.clone().filter(|_| !self.over) else {
            return Ok(());
        };
        let doc = Doc::parse(data, &self.limits)?;
        let root = doc.root();
        if let Some(error) = root.get("error").filter(|error| !error.is_null()) {
            self.error(error, out);
            return Ok(());
        }
        self.usage = usage(root).or(self.usage);
        for (index, candidate) in candidates(root) {
            self.candidate(index, candidate, out)?;
        }
        if is_blocked(root) && self.candidates.is_empty() {
            let at = self.begin(0, out)?;
            if let Some(one) = self.candidates.get_mut(at) {
                one.finished = true;
            }
            self.chunk(out, 0, Some("content_filter"), |_| {});
        }
        Ok(())
    }

    /// The format has no end mark: an answer is whole when every candidate says how it
    /// ended.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let whole = !self.candidates.is_empty() && self.candidates.iter().all(|one| one.finished);
        if !whole || std::mem::replace(&mut self.over, true) {
            return Ok(());
        }
        if let Some(usage) = &self.usage {
            out.extend_from_slice(b"data: ");
            open(out, &self.head, "chat.completion.chunk");
            out.extend_from_slice(b"],\"usage\":");
            write_usage(out, usage);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(sse::DONE);
        Ok(())
    }
}
