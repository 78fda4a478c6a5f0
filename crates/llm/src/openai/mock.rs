//! Answers for `mock_response`: a deployment that calls no provider.

use super::stream::Head;
use crate::json;
use crate::usage::Usage;
use bytes::Bytes;

/// Tokens a mock answer reports: 10 in, 20 out, 30 in total.
pub const USAGE: Usage = Usage {
    input: 10,
    output: 20,
    total: 30,
    cached_input: 0,
    cache_write: 0,
    reasoning: 0,
    audio_input: 0,
    audio_output: 0,
    accepted_prediction: 0,
    rejected_prediction: 0,
};

fn write_usage(out: &mut Vec<u8>, usage: &Usage) {
    out.extend_from_slice(b"{\"prompt_tokens\":");
    json::write_u64(out, usage.input);
    out.extend_from_slice(b",\"completion_tokens\":");
    json::write_u64(out, usage.output);
    out.extend_from_slice(b",\"total_tokens\":");
    json::write_u64(out, usage.total);
    out.push(b'}');
}

/// A `chat.completion` with `n` choices of the same text.
#[must_use]
pub fn chat(head: &Head, text: &str, n: u64, usage: &Usage) -> Bytes {
    let mut out = Vec::with_capacity(text.len().saturating_add(320));
    out.extend_from_slice(b"{\"id\":");
    json::write_string(&mut out, &head.id);
    out.extend_from_slice(b",\"object\":\"chat.completion\",\"created\":");
    json::write_u64(&mut out, head.created);
    out.extend_from_slice(b",\"model\":");
    json::write_string(&mut out, &head.model);
    out.extend_from_slice(b",\"choices\":[");
    for index in 0..n.max(1) {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"index\":");
        json::write_u64(&mut out, index);
        out.extend_from_slice(b",\"message\":{\"role\":\"assistant\",\"content\":");
        json::write_string(&mut out, text);
        out.extend_from_slice(b"},\"finish_reason\":\"stop\"}");
    }
    out.extend_from_slice(b"],\"usage\":");
    write_usage(&mut out, usage);
    out.push(b'}');
    Bytes::from(out)
}

/// The upstream frames of a streamed mock answer: role, text in pieces of a few
/// characters, end, usage, `[DONE]`; for `n` choices one after the other.
#[must_use]
pub fn stream(head: &Head, text: &str, n: u64, usage: &Usage) -> Vec<Bytes> {
    let mut frames = Vec::new();
    for choice in 0..u32::try_from(n.max(1)).unwrap_or(u32::MAX) {
        let role = b"{\"role\":\"assistant\",\"content\":\"\"}";
        frames.push(head.frame(choice, role, None));
        let letters: Vec<char> = text.chars().collect();
        for piece in letters.chunks(8) {
            let piece: String = piece.iter().collect();
            frames.extend(head.text_frame(choice, super::Channel::Text, &piece));
        }
        frames.push(head.finish_frame(choice, "stop"));
    }
    let mut out = b"data: ".to_vec();
    head.open(&mut out);
    out.extend_from_slice(b",\"choices\":[],\"usage\":");
    write_usage(&mut out, usage);
    out.extend_from_slice(b"}\n\n");
    frames.push(Bytes::from(out));
    frames.push(Bytes::from_static(crate::sse::DONE));
    frames
}

/// An embeddings answer: `count` vectors of `dimensions` zeros and one leading one.
#[must_use]
pub fn embeddings(model: &str, count: usize, dimensions: usize, usage: &Usage) -> Bytes {
    let mut out = b"{\"object\":\"list\",\"model\":".to_vec();
    json::write_string(&mut out, model);
    out.extend_from_slice(b",\"data\":[");
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"object\":\"embedding\",\"index\":");
        json::write_u64(&mut out, index as u64);
        out.extend_from_slice(b",\"embedding\":[1.0");
        for _ in 1..dimensions {
            out.extend_from_slice(b",0.0");
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"],\"usage\":{\"prompt_tokens\":");
    json::write_u64(&mut out, usage.input);
    out.extend_from_slice(b",\"total_tokens\":");
    json::write_u64(&mut out, usage.input);
    out.extend_from_slice(b"}}");
    Bytes::from(out)
}
