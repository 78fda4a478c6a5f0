//! Requests and answers of each protocol, read by hand after the API references.

use llm::protocol::Protocol;
use serde_json::{Value, json};

use super::Case;
use crate::support::Answer;

/// A PNG of one pixel.
pub(super) const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn set(body: &mut Value, name: &str, value: Value) {
    body.as_object_mut()
        .expect("an object")
        .insert(name.to_owned(), value);
}

/// A request of the protocol that says `prompt`.
pub(super) fn body(
    protocol: Protocol,
    model: &str,
    prompt: &str,
    stream: bool,
    case: Case,
) -> Value {
    let image = case == Case::Image;
    let schema = json!({ "type": "object", "properties": { "about": { "type": "string" } } });
    let mut body = json!({ "model": model });
    match protocol {
        Protocol::Completions => {
            set(&mut body, "prompt", prompt.into());
            set(&mut body, "max_tokens", 40.into());
        }
        Protocol::Embeddings | Protocol::Moderations => set(&mut body, "input", prompt.into()),
        Protocol::Responses => {
            let mut parts = vec![json!({ "type": "input_text", "text": prompt })];
            if image {
                parts.push(json!({ "type": "input_image", "image_url": format!("data:image/png;base64,{PIXEL}"), "detail": "auto" }));
            }
            set(
                &mut body,
                "input",
                json!([{ "role": "user", "content": parts }]),
            );
        }
        Protocol::Messages | Protocol::CountTokens => {
            let mut parts = vec![json!({ "type": "text", "text": prompt })];
            if image {
                parts.push(json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": PIXEL } }));
            }
            set(
                &mut body,
                "messages",
                json!([{ "role": "user", "content": parts }]),
            );
            if protocol == Protocol::Messages {
                set(&mut body, "max_tokens", 40.into());
            }
        }
        _ => {
            let mut parts = vec![json!({ "type": "text", "text": prompt })];
            if image {
                parts.push(json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{PIXEL}") } }));
            }
            set(
                &mut body,
                "messages",
                json!([{ "role": "user", "content": parts }]),
            );
        }
    }
    if stream {
        set(&mut body, "stream", true.into());
    }
    if case == Case::Tools {
        let tool = match protocol {
            Protocol::Responses => {
                json!({ "type": "function", "name": "lookup", "parameters": schema })
            }
            Protocol::Messages => json!({ "name": "lookup", "input_schema": schema }),
            _ => {
                json!({ "type": "function", "function": { "name": "lookup", "parameters": schema } })
            }
        };
        set(&mut body, "tools", json!([tool]));
    }
    body
}

fn joined<'v>(values: impl Iterator<Item = &'v Value>, pointer: &str) -> String {
    values
        .filter_map(|value| value.pointer(pointer)?.as_str())
        .collect()
}

fn kind(event: &Value) -> &str {
    event["type"].as_str().unwrap_or_default()
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// The text that the client reads.
pub(super) fn text(protocol: Protocol, stream: bool, answer: &Answer) -> String {
    let events = if stream {
        answer.chunks()
    } else {
        vec![answer.json()]
    };
    match (protocol, stream) {
        (Protocol::Completions, _) => joined(
            events.iter().flat_map(|event| list(event, "/choices")),
            "/text",
        ),
        (Protocol::Messages, true) => joined(events.iter(), "/delta/text"),
        (Protocol::Messages, false) => joined(list(&events[0], "/content"), "/text"),
        (Protocol::Responses, true) => joined(
            events
                .iter()
                .filter(|event| kind(event) == "response.output_text.delta"),
            "/delta",
        ),
        (Protocol::Responses, false) => response_text(&events[0]),
        (_, true) => joined(
            events.iter().flat_map(|event| list(event, "/choices")),
            "/delta/content",
        ),
        (_, false) => joined(
            events.iter().flat_map(|event| list(event, "/choices")),
            "/message/content",
        ),
    }
}

fn response_text(response: &Value) -> String {
    list(response, "/output")
        .map(|item| joined(list(item, "/content"), "/text"))
        .collect()
}

/// Name and arguments of the one tool call.
pub(super) fn tools(protocol: Protocol, stream: bool, answer: &Answer) -> (String, String) {
    let events = if stream {
        answer.chunks()
    } else {
        vec![answer.json()]
    };
    match (protocol, stream) {
        (Protocol::Messages, true) => (
            joined(events.iter(), "/content_block/name"),
            joined(events.iter(), "/delta/partial_json"),
        ),
        (Protocol::Messages, false) => {
            let block = list(&events[0], "/content")
                .find(|block| kind(block) == "tool_use")
                .expect("a tool call");
            (
                block["name"].as_str().unwrap_or_default().to_owned(),
                block["input"].to_string(),
            )
        }
        (Protocol::Responses, true) => {
            let done = events
                .iter()
                .find(|event| kind(event) == "response.output_item.done");
            let whole = joined(done.into_iter(), "/item/arguments");
            let deltas = events
                .iter()
                .filter(|event| kind(event) == "response.function_call_arguments.delta");
            assert_eq!(joined(deltas, "/delta"), whole);
            (joined(done.into_iter(), "/item/name"), whole)
        }
        (Protocol::Responses, false) => {
            let item = list(&events[0], "/output").find(|item| kind(item) == "function_call");
            (
                joined(item.into_iter(), "/name"),
                joined(item.into_iter(), "/arguments"),
            )
        }
        (_, stream) => {
            let at = if stream {
                "/delta/tool_calls/0/function"
            } else {
                "/message/tool_calls/0/function"
            };
            let choices = || events.iter().flat_map(|event| list(event, "/choices"));
            (
                joined(choices(), &format!("{at}/name")),
                joined(choices(), &format!("{at}/arguments")),
            )
        }
    }
}

/// Why an answer ends, in the protocol's words.
pub(super) fn reasons(protocol: Protocol, tools: bool) -> &'static str {
    match (protocol, tools) {
        (Protocol::Messages, false) => "end_turn",
        (Protocol::Messages, true) => "tool_use",
        (Protocol::Responses, _) => "completed",
        (_, true) => "tool_calls",
        (_, false) => "stop",
    }
}

/// Answers of protocols that generate nothing.
pub(super) fn simple(protocol: Protocol, native: bool, answer: &Answer) {
    let json = answer.json();
    match protocol {
        Protocol::Embeddings => assert!(json["data"][0]["embedding"].is_array()),
        Protocol::Moderations => assert_eq!(json["results"][0]["flagged"], false),
        _ => {
            assert!(json["input_tokens"].as_u64() > Some(0));
            assert_eq!(json["litellm_count_source"] == "local_estimate", !native);
        }
    }
}

/// The order of events that strict clients insist on.
pub(super) fn order(protocol: Protocol, stream: bool, answer: &Answer) {
    if !stream {
        return;
    }
    let events = answer.chunks();
    let kinds: Vec<&str> = events
        .iter()
        .map(kind)
        .filter(|kind| *kind != "ping")
        .collect();
    match protocol {
        Protocol::Messages => {
            assert_eq!(
                (kinds.first(), kinds.last()),
                (Some(&"message_start"), Some(&"message_stop"))
            );
            let mut open = None;
            let mut next = 0;
            for event in &events {
                let index = event["index"].as_u64();
                match kind(event) {
                    "content_block_start" => {
                        assert_eq!(
                            (open, index),
                            (None, Some(next)),
                            "blocks follow each other"
                        );
                        open = index;
                        next += 1;
                    }
                    "content_block_delta" => assert_eq!(index, open),
                    "content_block_stop" => assert_eq!(std::mem::take(&mut open), index),
                    _ => {}
                }
            }
            assert_eq!(open, None);
            assert!(!answer.text().contains("[DONE]"));
        }
        Protocol::Responses => {
            assert_eq!(
                kinds.get(..2),
                Some(&["response.created", "response.in_progress"][..])
            );
            assert_eq!(kinds.last(), Some(&"response.completed"));
            let numbers: Vec<u64> = events
                .iter()
                .filter_map(|event| event["sequence_number"].as_u64())
                .collect();
            assert_eq!(numbers, (0..events.len() as u64).collect::<Vec<_>>());
            let last = events.last().expect("an event");
            let delivered = text(protocol, true, answer);
            assert_eq!(
                response_text(&last["response"]),
                delivered,
                "the end repeats what was delivered"
            );
            let done = events
                .iter()
                .filter(|event| kind(event) == "response.output_text.done");
            assert_eq!(joined(done, "/text"), delivered);
        }
        _ => assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]")),
    }
}

/// The stream ends with an error in the protocol's form, and nothing makes it look complete.
pub(super) fn error_event(protocol: Protocol, answer: &Answer) {
    let events = answer.chunks();
    let last = events.last().expect("an event");
    match protocol {
        Protocol::Messages => {
            assert_eq!(kind(last), "error", "{last}");
            assert!(
                last["error"]["type"].is_string() && last["error"]["message"].is_string(),
                "{last}"
            );
            assert!(!answer.text().contains("message_stop"));
        }
        Protocol::Responses => {
            assert!(matches!(kind(last), "response.failed" | "error"), "{last}");
            assert!(!answer.text().contains("response.completed"));
        }
        _ => {
            assert!(last["error"]["message"].is_string(), "{last}");
            assert!(!answer.text().contains("[DONE]"));
        }
    }
}
