//! Answers for `mock_response`: a deployment that calls no provider.

use super::write::{self, Delta};
use crate::json;
use crate::openai::stream::Head;
use crate::usage::Usage;
use bytes::Bytes;

fn write_usage(out: &mut Vec<u8>, usage: &Usage, output: u64) {
    out.extend_from_slice(b"{\"input_tokens\":");
    json::write_u64(out, usage.input);
    out.extend_from_slice(b",\"cache_creation_input_tokens\":");
    json::write_u64(out, usage.cache_write);
    out.extend_from_slice(b",\"cache_read_input_tokens\":");
    json::write_u64(out, usage.cached_input);
    out.extend_from_slice(b",\"output_tokens\":");
    json::write_u64(out, output);
    out.push(b'}');
}

/// `{"id":..,"type":"message",..,"model":..` without the closing brace.
fn open(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(out, &head.id);
    out.extend_from_slice(b",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    json::write_string(out, &head.model);
}

/// A `message` with one text block.
#[must_use]
pub fn message(head: &Head, text: &str, usage: &Usage) -> Bytes {
    let mut out = Vec::with_capacity(text.len().saturating_add(320));
    open(&mut out, head);
    out.extend_from_slice(b",\"content\":[{\"type\":\"text\",\"text\":");
    json::write_string(&mut out, text);
    out.extend_from_slice(b"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":");
    write_usage(&mut out, usage, usage.output);
    out.push(b'}');
    Bytes::from(out)
}

/// The upstream frames of a streamed mock answer: the text in pieces of a few characters.
#[must_use]
pub fn stream(head: &Head, text: &str, usage: &Usage) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut frame = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        frames.push(Bytes::from(out));
    };
    frame(&|out| {
        write::event(out, "message_start", |out| {
            out.extend_from_slice(b"{\"type\":\"message_start\",\"message\":");
            open(out, head);
            let rest = b",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":";
            out.extend_from_slice(rest);
            write_usage(out, usage, 1);
            out.extend_from_slice(b"}}");
        });
    });
    frame(&|out| {
        write::block_start(out, 0, "text", |out| {
            out.extend_from_slice(b",\"text\":\"\"")
        })
    });
    let letters: Vec<char> = text.chars().collect();
    for piece in letters.chunks(8) {
        let piece: String = piece.iter().collect();
        frame(&|out| write::delta(out, 0, Delta::Text, &json::string(&piece)));
    }
    frame(&|out| write::block_stop(out, 0));
    frame(&|out| {
        write::event(out, "message_delta", |out| {
            out.extend_from_slice(b"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":");
            write_usage(out, usage, usage.output);
            out.push(b'}');
        });
    });
    frame(&|out| write::message_stop(out));
    frames
}
