//! Answers for `mock_response`: a deployment that calls no provider.

use super::event::Place;
use super::write::{self, Head, Status};
use crate::json;
use crate::openai::stream::Head as Names;
use crate::usage::Usage;
use bytes::Bytes;

/// The message item of a mock answer.
fn item(out: &mut Vec<u8>, id: &str, status: &str, text: Option<&str>) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(out, id);
    out.extend_from_slice(b",\"type\":\"message\",\"status\":\"");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\",\"role\":\"assistant\",\"content\":[");
    if let Some(text) = text {
        part(out, text);
    }
    out.extend_from_slice(b"]}");
}

fn part(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(
        b"{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":",
    );
    json::write_string(out, text);
    out.push(b'}');
}

fn head(names: &Names) -> Head<'_> {
    Head {
        id: &names.id,
        created: names.created,
        model: &names.model,
    }
}

/// A completed response with one message.
#[must_use]
pub fn answer(names: &Names, text: &str, usage: &Usage) -> Bytes {
    let mut output = Vec::with_capacity(text.len().saturating_add(256));
    item(
        &mut output,
        &format!("msg_{}", names.id),
        "completed",
        Some(text),
    );
    let mut out = Vec::with_capacity(output.len().saturating_add(768));
    write::response(
        &mut out,
        &head(names),
        Status::Completed,
        &[],
        &output,
        Some(usage),
    );
    Bytes::from(out)
}

/// The upstream frames of a streamed mock answer: every event of one message, the text in
/// pieces of a few characters.
#[must_use]
pub fn stream(names: &Names, text: &str, usage: &Usage) -> Vec<Bytes> {
    let mut events = Events {
        frames: Vec::new(),
        number: 0,
    };
    let id = format!("msg_{}", names.id);
    let place = Place {
        item: 0,
        index: Some(("content_index", 0)),
    };
    let response = |status: Status<'_>, output: &[u8], usage: Option<&Usage>| {
        let mut object = Vec::new();
        write::response(&mut object, &head(names), status, &[], output, usage);
        [b",\"response\":", object.as_slice()].concat()
    };
    let begun = response(Status::InProgress, &[], None);
    events.push("response.created", &begun);
    events.push("response.in_progress", &begun);
    let wrapped = |status: &str, text: Option<&str>| {
        let mut body = b",\"output_index\":0,\"item\":".to_vec();
        item(&mut body, &id, status, text);
        body
    };
    events.push("response.output_item.added", &wrapped("in_progress", None));
    let with_place = |member: &[u8], value: &dyn Fn(&mut Vec<u8>)| {
        let mut body = Vec::new();
        write::place(&mut body, &id, place);
        body.extend_from_slice(member);
        value(&mut body);
        body
    };
    let empty = with_place(b",\"part\":", &|body| part(body, ""));
    events.push("response.content_part.added", &empty);
    let letters: Vec<char> = text.chars().collect();
    for piece in letters.chunks(8) {
        let piece: String = piece.iter().collect();
        let body = with_place(b",\"logprobs\":[],\"delta\":", &|body| {
            json::write_string(body, &piece);
        });
        events.push("response.output_text.delta", &body);
    }
    let body = with_place(b",\"logprobs\":[],\"text\":", &|body| {
        json::write_string(body, text);
    });
    events.push("response.output_text.done", &body);
    let full = with_place(b",\"part\":", &|body| part(body, text));
    events.push("response.content_part.done", &full);
    events.push(
        "response.output_item.done",
        &wrapped("completed", Some(text)),
    );
    let mut output = Vec::new();
    item(&mut output, &id, "completed", Some(text));
    let over = response(Status::Completed, &output, Some(usage));
    events.push("response.completed", &over);
    events.frames
}

struct Events {
    frames: Vec<Bytes>,
    number: u64,
}

impl Events {
    fn push(&mut self, kind: &str, members: &[u8]) {
        let mut out = Vec::with_capacity(members.len().saturating_add(96));
        write::open(&mut out, kind, self.number);
        out.extend_from_slice(members);
        write::close(&mut out);
        self.frames.push(Bytes::from(out));
        self.number = self.number.saturating_add(1);
    }
}
