//! Answers for `mock_response`: a deployment that calls no provider.

use crate::json;
use crate::openai::stream::Head;
use crate::sse;
use crate::usage::Usage;
use bytes::Bytes;

fn open(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(out, &head.id);
    out.extend_from_slice(b",\"object\":\"text_completion\",\"created\":");
    json::write_u64(out, head.created);
    out.extend_from_slice(b",\"model\":");
    json::write_string(out, &head.model);
    out.extend_from_slice(b",\"choices\":[");
}

fn choice(out: &mut Vec<u8>, index: u64, text: &str, reason: Option<&str>) {
    out.extend_from_slice(b"{\"text\":");
    json::write_string(out, text);
    out.extend_from_slice(b",\"index\":");
    json::write_u64(out, index);
    out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
    match reason {
        Some(reason) => json::write_string(out, reason),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

fn close(out: &mut Vec<u8>, usage: Option<&Usage>) {
    out.push(b']');
    if let Some(usage) = usage {
        let members = [
            (",\"usage\":{\"prompt_tokens\":", usage.input),
            (",\"completion_tokens\":", usage.output),
            (",\"total_tokens\":", usage.total),
        ];
        for (name, value) in members {
            out.extend_from_slice(name.as_bytes());
            json::write_u64(out, value);
        }
        out.push(b'}');
    }
    out.push(b'}');
}

/// A `text_completion` with `n` choices of the same text.
#[must_use]
pub fn answer(head: &Head, text: &str, n: u64, usage: &Usage) -> Bytes {
    let mut out = Vec::with_capacity(text.len().saturating_add(320));
    open(&mut out, head);
    for index in 0..n.max(1) {
        if index > 0 {
            out.push(b',');
        }
        choice(&mut out, index, text, Some("stop"));
    }
    close(&mut out, Some(usage));
    Bytes::from(out)
}

/// The upstream frames of a streamed mock answer: text in pieces of a few characters,
/// end, usage, `[DONE]`; for `n` choices one after the other.
#[must_use]
pub fn stream(head: &Head, text: &str, n: u64, usage: &Usage) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let frame = |index: u64, text: &str, reason: Option<&str>| {
        let mut out = Vec::new();
        open(&mut out, head);
        choice(&mut out, index, text, reason);
        close(&mut out, None);
        sse::data_frame(&out)
    };
    let letters: Vec<char> = text.chars().collect();
    for index in 0..n.max(1) {
        for piece in letters.chunks(8) {
            let piece: String = piece.iter().collect();
            frames.push(frame(index, &piece, None));
        }
        frames.push(frame(index, "", Some("stop")));
    }
    let mut out = Vec::new();
    open(&mut out, head);
    close(&mut out, Some(usage));
    frames.push(sse::data_frame(&out));
    frames.push(Bytes::from_static(sse::DONE));
    frames
}
