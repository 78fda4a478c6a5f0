//! Writing responses and their events: what the gateway makes itself.

use super::event::Place;
use crate::json;
use crate::usage::Usage;

/// What every response object begins with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    /// `id` of the response.
    pub(crate) id: &'a str,
    /// In seconds since the Unix epoch.
    pub(crate) created: u64,
    /// The requested model name.
    pub(crate) model: &'a str,
}

/// How far a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status<'a> {
    InProgress,
    Completed,
    /// With the reason (`max_output_tokens`, `content_filter`).
    Incomplete(&'static str),
    /// With code and message.
    Failed(&'a str, &'a str),
}

impl Status<'_> {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Incomplete(_) => "incomplete",
            Status::Failed(..) => "failed",
        }
    }
}

/// Members of the response that repeat the request, where the request did not say them.
pub(crate) const DEFAULT_ECHO: &[u8] = b"\"instructions\":null,\"max_output_tokens\":null,\"parallel_tool_calls\":true,\"previous_response_id\":null,\"reasoning\":{\"effort\":null,\"summary\":null},\"store\":false,\"temperature\":null,\"text\":{\"format\":{\"type\":\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,\"truncation\":\"disabled\",\"user\":null,\"metadata\":{}";

/// Appends a response object. `echo`: members without braces; `output`: items without
/// brackets.
pub(crate) fn response(
    out: &mut Vec<u8>,
    head: &Head<'_>,
    status: Status<'_>,
    echo: &[u8],
    output: &[u8],
    usage: Option<&Usage>,
) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(out, head.id);
    out.extend_from_slice(b",\"object\":\"response\",\"created_at\":");
    json::write_u64(out, head.created);
    out.extend_from_slice(b",\"status\":\"");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b"\",\"error\":");
    match status {
        Status::Failed(code, message) => {
            out.extend_from_slice(b"{\"code\":");
            json::write_string(out, code);
            out.extend_from_slice(b",\"message\":");
            json::write_string(out, message);
            out.push(b'}');
        }
        _ => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"incomplete_details\":");
    match status {
        Status::Incomplete(reason) => {
            out.extend_from_slice(b"{\"reason\":");
            json::write_string(out, reason);
            out.push(b'}');
        }
        _ => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"model\":");
    json::write_string(out, head.model);
    out.extend_from_slice(b",\"output\":[");
    out.extend_from_slice(output);
    out.extend_from_slice(b"],");
    out.extend_from_slice(match echo {
        [] => DEFAULT_ECHO,
        echo => echo,
    });
    out.extend_from_slice(b",\"usage\":");
    match usage {
        Some(usage) => self::usage(out, usage),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
}

fn usage(out: &mut Vec<u8>, usage: &Usage) {
    let members = [
        ("{\"input_tokens\":", usage.input),
        (
            ",\"input_tokens_details\":{\"cached_tokens\":",
            usage.cached_input,
        ),
        (",\"cache_write_tokens\":", usage.cache_write),
        ("},\"output_tokens\":", usage.output),
        (
            ",\"output_tokens_details\":{\"reasoning_tokens\":",
            usage.reasoning,
        ),
        ("},\"total_tokens\":", usage.total),
    ];
    for (name, value) in members {
        out.extend_from_slice(name.as_bytes());
        json::write_u64(out, value);
    }
    out.push(b'}');
}

/// Appends `event: kind`, the data line up to and with `sequence_number`. [`close`] ends
/// it.
pub(crate) fn open(out: &mut Vec<u8>, kind: &str, number: u64) {
    out.extend_from_slice(b"event: ");
    match memchr::memchr2(b'\r', b'\n', kind.as_bytes()) {
        None => out.extend_from_slice(kind.as_bytes()),
        // A type that an upstream made up must not break the frame.
        Some(_) => out.extend(kind.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n'))),
    }
    out.extend_from_slice(b"\ndata: {\"type\":");
    json::write_string(out, kind);
    out.extend_from_slice(b",\"sequence_number\":");
    json::write_u64(out, number);
}

/// Ends a frame that [`open`] began.
pub(crate) fn close(out: &mut Vec<u8>) {
    out.extend_from_slice(b"}\n\n");
}

/// Appends the members that say which item and part an event is about.
pub(crate) fn place(out: &mut Vec<u8>, item_id: &str, place: Place) {
    out.extend_from_slice(b",\"item_id\":");
    json::write_string(out, item_id);
    out.extend_from_slice(b",\"output_index\":");
    json::write_u64(out, u64::from(place.item));
    if let Some((name, value)) = place.index {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        json::write_u64(out, u64::from(value));
    }
}

/// Appends the event that carries a piece of a text.
pub(crate) fn piece(
    out: &mut Vec<u8>,
    kind: &str,
    number: u64,
    item_id: &str,
    at: Place,
    text: &str,
) {
    open(out, kind, number);
    place(out, item_id, at);
    out.extend_from_slice(b",\"delta\":");
    json::write_string(out, text);
    if kind == "response.output_text.delta" {
        out.extend_from_slice(b",\"logprobs\":[]");
    }
    close(out);
}

/// Appends an event that carries the response.
pub(crate) fn whole(out: &mut Vec<u8>, kind: &str, number: u64, response: &[u8]) {
    open(out, kind, number);
    out.extend_from_slice(b",\"response\":");
    out.extend_from_slice(response);
    close(out);
}

/// Appends the event of a response that failed.
pub(crate) fn failed(out: &mut Vec<u8>, head: &Head<'_>, number: u64, code: &str, message: &str) {
    let mut object = Vec::with_capacity(message.len().saturating_add(768));
    let status = Status::Failed(code, message);
    response(&mut object, head, status, &[], &[], None);
    whole(out, "response.failed", number, &object);
}
