//! Text completions over providers of chat completions.

use super::Step;
use super::types::{AnswerError, Job, TranslateError};
use crate::completions::Request;
use crate::json;
use crate::openai::fields;
use crate::openai::stream::Head;
use crate::scan::{Doc, Kind, Limits, Node};
use crate::sse::Frame;
use crate::usage::Usage;

/// Renders a text completion as a chat completion: the prompt is what the user says.
pub(super) fn to_chat(doc: &Doc, job: &mut Job<'_>) -> Result<Vec<u8>, TranslateError> {
    let root = doc.root();
    let prompt = root.get("prompt").filter(|prompt| !prompt.is_null());
    let prompt = prompt.ok_or_else(|| TranslateError::new("prompt", "'prompt' is missing."))?;
    let only = match prompt.kind() {
        Kind::String => Some(prompt),
        Kind::Array if !prompt.has_elided() => {
            let mut items = prompt.items();
            let first = items.next().filter(|node| node.kind() == Kind::String);
            first.filter(|_| items.next().is_none())
        }
        _ => None,
    };
    let prompt = only.ok_or_else(|| {
        let message =
            "'prompt' must be one text: this provider answers conversations, one at a time.";
        TranslateError::new("prompt", message)
    })?;
    let mut out = Vec::with_capacity(doc.bytes().len().saturating_add(128));
    out.extend_from_slice(b"{\"messages\":[{\"role\":\"user\",\"content\":");
    out.extend_from_slice(prompt.raw());
    out.extend_from_slice(b"}]");
    for (key, value) in root.entries().filter(|(_, value)| !value.is_null()) {
        let name = key.as_str().unwrap_or_default();
        if name != "prompt" && !job.left_out(&name) {
            member(&mut out, &name, key, value, job)?;
        }
    }
    if root.get("max_tokens").is_none_or(|node| node.is_null()) {
        // The API's own default.
        out.extend_from_slice(b",\"max_tokens\":16");
    }
    out.push(b'}');
    Ok(out)
}

fn member(
    out: &mut Vec<u8>,
    name: &str,
    key: Node<'_>,
    value: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    match name {
        "echo" if value.as_bool() == Some(false) => Ok(()),
        "best_of" if value.as_u64() == Some(1) => Ok(()),
        "logprobs" if value.as_bool() == Some(false) => Ok(()),
        "suffix" | "echo" | "best_of" | "logprobs" => job.cannot(name),
        // Written here, or another name of what is.
        "messages" | "max_completion_tokens" => job.cannot(name),
        extra if fields::gateway_extra(extra) && !Request::is_member(extra) => Ok(()),
        _ => {
            out.push(b',');
            out.extend_from_slice(key.raw());
            out.push(b':');
            out.extend_from_slice(value.raw());
            Ok(())
        }
    }
}

fn open(out: &mut Vec<u8>, head: &Head) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(out, &head.id);
    out.extend_from_slice(b",\"object\":\"text_completion\",\"created\":");
    json::write_u64(out, head.created);
    out.extend_from_slice(b",\"model\":");
    json::write_string(out, &head.model);
    out.extend_from_slice(b",\"choices\":[");
}

/// Appends the choices whose text is in `member` of each, then usage. False if no choice
/// says anything.
fn choices(out: &mut Vec<u8>, root: Node<'_>, member: &str) -> bool {
    let mut said = false;
    let from = out.len();
    let listed = root
        .get("choices")
        .into_iter()
        .flat_map(|list| list.items());
    for (place, choice) in listed.enumerate() {
        let text = choice
            .get(member)
            .and_then(|message| message.get("content"));
        let text = text.filter(|text| text.kind() == Kind::String);
        let reason = choice
            .get("finish_reason")
            .filter(|reason| !reason.is_null());
        if text.is_none_or(|text| text.is_str("")) && reason.is_none() {
            continue;
        }
        if out.len() > from {
            out.push(b',');
        }
        said = true;
        out.extend_from_slice(b"{\"text\":");
        out.extend_from_slice(text.map_or(b"\"\"", |text| text.raw()));
        out.extend_from_slice(b",\"index\":");
        let index = choice.get("index").and_then(|node| node.as_u64());
        json::write_u64(out, index.unwrap_or(place as u64));
        out.extend_from_slice(b",\"logprobs\":null,\"finish_reason\":");
        out.extend_from_slice(reason.map_or(b"null", |reason| reason.raw()));
        out.push(b'}');
    }
    out.push(b']');
    // Counts that cannot be true are not passed on.
    let usage = root
        .get("usage")
        .filter(|_| matches!(Usage::of_answer(root), Ok(Some(_))));
    if let Some(usage) = usage {
        said = true;
        out.extend_from_slice(b",\"usage\":");
        out.extend_from_slice(usage.raw());
    }
    out.push(b'}');
    said
}

/// A chat completion as a text completion.
pub(super) fn answer(chat: &Doc, head: &Head) -> Result<Vec<u8>, AnswerError> {
    let root = chat.root();
    if root
        .get("choices")
        .is_none_or(|list| list.kind() != Kind::Array)
    {
        return Err(AnswerError::Shape("it has no choices"));
    }
    let mut out = Vec::with_capacity(chat.bytes().len());
    open(&mut out, head);
    choices(&mut out, root, "message");
    Ok(out)
}

/// The chunks of a chat completion as those of a text completion.
pub(super) struct FromChat {
    head: Head,
    limits: Limits,
}

impl FromChat {
    pub(super) fn new(head: &Head, limits: &Limits) -> FromChat {
        FromChat {
            head: head.clone(),
            limits: *limits,
        }
    }
}

impl Step for FromChat {
    fn push(&mut self, frame: &Frame, out: &mut Vec<u8>) -> Result<(), AnswerError> {
        let Some(data) = frame.data.clone() else {
            return Ok(());
        };
        if data.trim_ascii() == b"[DONE]" {
            out.extend_from_slice(crate::sse::DONE);
            return Ok(());
        }
        let doc = Doc::parse(data, &self.limits)?;
        let error = doc.root().get("error").filter(|error| !error.is_null());
        if error.is_some() {
            out.extend_from_slice(&frame.raw);
            return Ok(());
        }
        let before = out.len();
        out.extend_from_slice(b"data: ");
        let from = out.len();
        open(out, &self.head);
        if choices(out, doc.root(), "delta") {
            let written = out.get_mut(from..).unwrap_or_default();
            let breaks = written.iter_mut().filter(|b| matches!(**b, b'\n' | b'\r'));
            breaks.for_each(|byte| *byte = b' ');
            out.extend_from_slice(b"\n\n");
        } else {
            out.truncate(before);
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> Result<(), AnswerError> {
        Ok(())
    }
}
