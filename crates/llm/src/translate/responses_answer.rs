//! A chat completion as a response.

use super::responses_out::{
    Body, Item, Part, item_id, logprobs, reasoning_of, response_id, signature_of, status,
};
use super::types::{AnswerError, Back};
use crate::openai::stream::Head;
use crate::responses::write::{self, Status};
use crate::scan::{Doc, Kind, Node};
use crate::usage::Usage;
use std::borrow::Cow;

/// Renders the response of a scanned chat completion.
pub(super) fn from_chat(chat: &Doc, back: &Back, head: &Head) -> Result<Vec<u8>, AnswerError> {
    let choices = chat.root().get("choices");
    let choice = choices.and_then(|list| list.items().next());
    let choice = choice.ok_or(AnswerError::Shape("it has no choices"))?;
    let message = choice.get("message").filter(|m| m.kind() == Kind::Object);
    let message = message.ok_or(AnswerError::Shape("a choice has no message"))?;
    let id = response_id(&head.id);
    let items = items(choice, message, back, &id);
    let reason = choice.get("finish_reason").and_then(|node| node.as_str());
    let status = status(reason.as_deref().unwrap_or("stop"));
    let mut output = Vec::new();
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            output.push(b',');
        }
        let last = place.saturating_add(1) == items.len();
        let word = match (last, status) {
            (true, Status::Incomplete(_)) => "incomplete",
            _ => "completed",
        };
        item.write(&mut output, back, word, true);
    }
    let usage = Usage::of_answer(chat.root()).ok().flatten();
    let mut out = Vec::with_capacity(output.len().saturating_add(back.echo.len() + 512));
    let head = write::Head {
        id: &id,
        created: head.created,
        model: &head.model,
    };
    write::response(&mut out, &head, status, &back.echo, &output, usage.as_ref());
    Ok(out)
}

fn items(choice: Node<'_>, message: Node<'_>, back: &Back, id: &str) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    let signature = signature_of(message);
    if let Some(text) = reasoning_of(message).or(signature.as_ref().map(|_| Cow::Borrowed(""))) {
        let text = text.into_owned();
        items.push(Item {
            id: item_id("rs", id, 0),
            body: Body::Reasoning { text, signature },
        });
    }
    let parts = parts(choice, message);
    if !parts.is_empty() {
        items.push(Item {
            id: item_id("msg", id, items.len()),
            body: Body::Message { parts },
        });
    }
    let calls = message.get("tool_calls");
    for call in calls.into_iter().flat_map(|list| list.items()) {
        let place = items.len();
        let inner = call.get("function").or_else(|| call.get("custom"));
        let text = |node: Option<Node<'_>>, name: &str| {
            let node = node.and_then(|node| node.get(name));
            node.and_then(|node| node.as_str().map(Cow::into_owned))
        };
        let name = text(inner, "name").unwrap_or_default();
        let free = text(inner, "input");
        let custom = back.custom_tools.contains(&name) || free.is_some();
        let prefix = if custom { "ctc" } else { "fc" };
        items.push(Item {
            id: item_id(prefix, id, place),
            body: Body::Call {
                call_id: text(Some(call), "id").unwrap_or_else(|| item_id("call", id, place)),
                arguments: text(inner, "arguments").or(free).unwrap_or_default(),
                name,
                custom,
            },
        });
    }
    items
}

fn parts(choice: Node<'_>, message: Node<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    let text = |node: Option<Node<'_>>| node.and_then(|node| node.as_str().map(Cow::into_owned));
    let content = message.get("content");
    match content.map(|content| content.kind()) {
        Some(Kind::String) => parts.extend(text(content).map(|text| Part::new(false, text))),
        Some(Kind::Array) => {
            let listed = content.into_iter().flat_map(|list| list.items());
            for part in listed {
                parts.extend(text(part.get("text")).map(|text| Part::new(false, text)));
                parts.extend(text(part.get("refusal")).map(|text| Part::new(true, text)));
            }
        }
        _ => {}
    }
    parts.retain(|part| !part.text.is_empty());
    if let Some(first) = parts.first_mut() {
        logprobs(&mut first.logprobs, choice);
        annotations(&mut first.annotations, message);
    }
    let refusal = text(message.get("refusal")).filter(|text| !text.is_empty());
    parts.extend(refusal.map(|text| Part::new(true, text)));
    parts
}

/// Citations, whose members are one level higher in a response.
fn annotations(out: &mut Vec<u8>, message: Node<'_>) {
    let listed = message.get("annotations");
    for one in listed.into_iter().flat_map(|list| list.items()) {
        let Some(inner) = one.get("url_citation") else {
            continue;
        };
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"type\":\"url_citation\"");
        for (key, value) in inner.entries().filter(|(key, _)| !key.is_str("type")) {
            out.push(b',');
            out.extend_from_slice(key.raw());
            out.push(b':');
            out.extend_from_slice(value.raw());
        }
        out.push(b'}');
    }
}
