//! The same answers in the formats beside chat completions: messages, responses, completions, Google's. Written by hand after
//! the providers' references, so that they share nothing with what they test.

use bytes::Bytes;
use serde_json::{Value, json};

use super::behaviour::{Behaviour, Hostile};
use super::chat::{Answer, Request, pieces};
use super::script::Step;
use super::{sse, tokens};

/// A format that the sandbox speaks beside chat completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenAI's older text completions.
    Completions,
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
    /// Google's `generateContent`.
    Gemini,
}

/// The request as a chat completion: what the sandbox makes answers of.
pub(super) fn as_chat(format: Format, body: &Value, model: Option<&str>, stream: bool) -> Value {
    let get = |name: &str| body.get(name).cloned().unwrap_or_default();
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    let named = |list: &Value| -> Vec<Value> {
        let tools = list.as_array().into_iter().flatten();
        tools
            .filter_map(|tool| tool.get("name").cloned())
            .map(|name| json!({ "type": "function", "function": { "name": name } }))
            .collect()
    };
    let (messages, tools, limit) = match format {
        Format::Completions => (user(get("prompt")), Vec::new(), get("max_tokens")),
        Format::Messages => (get("messages"), named(&get("tools")), get("max_tokens")),
        Format::Responses => {
            let input = get("input");
            let messages = if input.is_string() {
                user(input)
            } else {
                input
            };
            (messages, named(&get("tools")), get("max_output_tokens"))
        }
        Format::Gemini => {
            let turns = get("contents");
            let turns = turns.as_array().into_iter().flatten();
            let messages: Vec<Value> = turns
                .map(|turn| {
                    let role = match turn["role"].as_str() {
                        Some("model") => "assistant",
                        _ => "user",
                    };
                    json!({ "role": role, "content": turn["parts"] })
                })
                .collect();
            let tools = get("tools");
            let declared = tools.pointer("/0/functionDeclarations").cloned();
            let limit = body.pointer("/generationConfig/maxOutputTokens");
            let limit = limit.cloned().unwrap_or_default();
            (messages.into(), named(&declared.unwrap_or_default()), limit)
        }
    };
    let model = model.map_or_else(|| get("model"), Value::from);
    let stream = stream || get("stream").as_bool().unwrap_or(false);
    json!({ "model": model, "messages": messages, "tools": tools, "max_tokens": limit, "stream": stream,
            "stream_options": { "include_usage": true } })
}

fn counts(answer: &Answer) -> (Value, Value) {
    let count = |name: &str| answer.usage.get(name).cloned().unwrap_or_default();
    (count("prompt_tokens"), count("completion_tokens"))
}

/// The whole answer.
pub(super) fn whole(format: Format, answer: &Answer) -> Value {
    let (input, output) = counts(answer);
    match format {
        Format::Completions => json!({
            "id": answer.id, "object": "text_completion", "created": super::chat::CREATED, "model": answer.model,
            "choices": answer.choices.iter().enumerate().map(|(at, choice)| json!({
                "index": at, "text": choice.content.concat(), "logprobs": null, "finish_reason": "stop" })).collect::<Vec<_>>(),
            "usage": answer.usage,
        }),
        Format::Messages => json!({
            "id": "msg_sandbox", "type": "message", "role": "assistant", "model": answer.model,
            "content": blocks(answer), "stop_reason": stop(answer), "stop_sequence": null,
            "usage": { "input_tokens": input, "output_tokens": output },
        }),
        Format::Responses => response(answer, "completed", items(answer)),
        Format::Gemini => json!({
            "candidates": [{ "index": 0, "content": { "role": "model", "parts": parts(answer) }, "finishReason": "STOP" }],
            "usageMetadata": { "promptTokenCount": input, "candidatesTokenCount": output,
                "totalTokenCount": input.as_u64().unwrap_or(0) + output.as_u64().unwrap_or(0) },
            "modelVersion": answer.model, "responseId": "sandbox",
        }),
    }
}

/// The events of the stream: name and data, in order.
fn events(format: Format, answer: &Answer) -> Vec<(Option<&'static str>, Value)> {
    match format {
        Format::Completions => completion_events(answer),
        Format::Messages => message_events(answer),
        Format::Responses => response_events(answer),
        Format::Gemini => gemini_events(answer),
    }
}

/// The steps of a stream, well-behaved or not.
pub(super) fn steps(format: Format, behaviour: Behaviour, answer: &Answer) -> Vec<Step> {
    let events = events(format, answer);
    let pieces_begin = events.iter().position(|(_, data)| is_piece(format, data));
    let first = pieces_begin.unwrap_or(0);
    let send = |(name, data): &(Option<&'static str>, Value)| {
        let name = name.map_or_else(String::new, |name| format!("event: {name}\n"));
        Step::Send(Bytes::from(format!("{name}data: {data}\n\n")))
    };
    let take = |count: usize| events.iter().take(first + count).map(send).collect();
    let pause = Step::Pause(std::time::Duration::from_millis(5));
    match behaviour {
        Behaviour::CutAfter(count) => {
            let mut steps: Vec<Step> = take(count as usize);
            steps.extend([pause, Step::Cut]);
            steps
        }
        Behaviour::HangAfterFirst => {
            let mut steps: Vec<Step> = take(1);
            steps.push(Step::Hang);
            steps
        }
        Behaviour::Hostile(Hostile::ErrorInStream) => {
            let mut steps: Vec<Step> = take(2);
            steps.push(send(&failure_event(format)));
            steps
        }
        Behaviour::Drip(time) => events
            .iter()
            .flat_map(|event| [Step::Pause(time), send(event)])
            .chain(end(format))
            .collect(),
        _ => events.iter().map(send).chain(end(format)).collect(),
    }
}

fn end(format: Format) -> Option<Step> {
    (format == Format::Completions).then(|| Step::Send(Bytes::from_static(sse::DONE.as_bytes())))
}

fn is_piece(format: Format, data: &Value) -> bool {
    let kind = data["type"].as_str().unwrap_or_default();
    match format {
        Format::Messages => kind == "content_block_delta",
        Format::Responses => kind.ends_with(".delta"),
        Format::Completions | Format::Gemini => true,
    }
}

fn failure_event(format: Format) -> (Option<&'static str>, Value) {
    let message = "The server had an error with key sk-provider-0123456789.";
    match format {
        Format::Messages => (
            Some("error"),
            json!({ "type": "error", "error": { "type": "overloaded_error", "message": message } }),
        ),
        Format::Responses => (
            Some("error"),
            json!({ "type": "error", "sequence_number": 99, "code": "server_error", "message": message, "param": null }),
        ),
        Format::Completions | Format::Gemini => (
            None,
            json!({ "error": { "message": message, "type": "server_error", "code": 500, "status": "INTERNAL" } }),
        ),
    }
}

/// An error answer in the format's envelope.
pub(super) fn failure(format: Format, status: u16, body: &Value) -> Value {
    let error = &body["error"];
    match format {
        Format::Messages => {
            let kind = match status {
                401 => "authentication_error",
                404 => "not_found_error",
                429 => "rate_limit_error",
                529 => "overloaded_error",
                400..=499 => "invalid_request_error",
                _ => "api_error",
            };
            json!({ "type": "error", "error": { "type": kind, "message": error["message"] }, "request_id": "req_sandbox" })
        }
        Format::Gemini => {
            json!({ "error": { "code": status, "message": error["message"], "status": "FAILED" } })
        }
        Format::Completions | Format::Responses => body.clone(),
    }
}

// ---- messages

fn stop(answer: &Answer) -> &'static str {
    match answer.choices.first() {
        Some(choice) if !choice.calls.is_empty() => "tool_use",
        Some(choice) if !choice.refusal.is_empty() => "refusal",
        _ => "end_turn",
    }
}

fn blocks(answer: &Answer) -> Vec<Value> {
    let Some(choice) = answer.choices.first() else {
        return Vec::new();
    };
    let mut blocks = Vec::new();
    if !choice.reasoning.is_empty() {
        blocks.push(json!({ "type": "thinking", "thinking": choice.reasoning.concat(), "signature": "c2lnbmVk" }));
    }
    let text = [choice.content.concat(), choice.refusal.concat()].concat();
    if !text.is_empty() {
        blocks.push(json!({ "type": "text", "text": text }));
    }
    for call in &choice.calls {
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        blocks
            .push(json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": input }));
    }
    blocks
}

fn message_events(answer: &Answer) -> Vec<(Option<&'static str>, Value)> {
    let (input, output) = counts(answer);
    let mut out: Vec<(&'static str, Value)> = vec![
        (
            "message_start",
            json!({ "message": {
                "id": "msg_sandbox", "type": "message", "role": "assistant", "model": answer.model, "content": [],
                "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": input, "output_tokens": 1 } } }),
        ),
        ("ping", json!({})),
    ];
    let mut index = 0;
    let mut block = |start: Value, deltas: Vec<Value>| {
        out.push((
            "content_block_start",
            json!({ "index": index, "content_block": start }),
        ));
        out.extend(deltas.into_iter().map(|delta| {
            (
                "content_block_delta",
                json!({ "index": index, "delta": delta }),
            )
        }));
        out.push(("content_block_stop", json!({ "index": index })));
        index += 1;
    };
    if let Some(choice) = answer.choices.first() {
        if !choice.reasoning.is_empty() {
            let mut deltas: Vec<Value> = choice
                .reasoning
                .iter()
                .map(|piece| json!({ "type": "thinking_delta", "thinking": piece }))
                .collect();
            deltas.push(json!({ "type": "signature_delta", "signature": "c2lnbmVk" }));
            block(
                json!({ "type": "thinking", "thinking": "", "signature": "" }),
                deltas,
            );
        }
        let text = choice.content.iter().chain(&choice.refusal);
        let deltas: Vec<Value> = text
            .map(|piece| json!({ "type": "text_delta", "text": piece }))
            .collect();
        if !deltas.is_empty() {
            block(json!({ "type": "text", "text": "" }), deltas);
        }
        for call in &choice.calls {
            let deltas = pieces(&call.arguments, 6)
                .into_iter()
                .map(|piece| json!({ "type": "input_json_delta", "partial_json": piece }))
                .collect();
            let start =
                json!({ "type": "tool_use", "id": call.id, "name": call.name, "input": {} });
            block(start, deltas);
        }
    }
    out.push((
        "message_delta",
        json!({ "delta": { "stop_reason": stop(answer), "stop_sequence": null }, "usage": { "output_tokens": output } }),
    ));
    out.push(("message_stop", json!({})));
    out.into_iter()
        .map(|(name, mut data)| {
            super::chat::set(&mut data, "type", name.into());
            (Some(name), data)
        })
        .collect()
}

// ---- completions

fn completion_events(answer: &Answer) -> Vec<(Option<&'static str>, Value)> {
    let chunk = |index: usize, text: &str, finish: Value| {
        json!({
            "id": answer.id, "object": "text_completion", "created": super::chat::CREATED, "model": answer.model,
            "choices": [{ "index": index, "text": text, "logprobs": null, "finish_reason": finish }],
        })
    };
    let mut out = Vec::new();
    for (index, choice) in answer.choices.iter().enumerate() {
        out.extend(
            choice
                .content
                .iter()
                .map(|piece| chunk(index, piece, Value::Null)),
        );
        out.push(chunk(index, "", "stop".into()));
    }
    out.push(json!({
        "id": answer.id, "object": "text_completion", "created": super::chat::CREATED, "model": answer.model,
        "choices": [], "usage": answer.usage,
    }));
    out.into_iter().map(|data| (None, data)).collect()
}

// ---- gemini

fn parts(answer: &Answer) -> Vec<Value> {
    let Some(choice) = answer.choices.first() else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    if !choice.reasoning.is_empty() {
        parts.push(json!({ "text": choice.reasoning.concat(), "thought": true }));
    }
    let text = [choice.content.concat(), choice.refusal.concat()].concat();
    if !text.is_empty() {
        parts.push(json!({ "text": text }));
    }
    for call in &choice.calls {
        let args: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        parts.push(json!({ "functionCall": { "name": call.name, "args": args } }));
    }
    parts
}

fn gemini_events(answer: &Answer) -> Vec<(Option<&'static str>, Value)> {
    let mut out = Vec::new();
    let chunk = |part: Value| {
        json!({ "candidates": [{ "index": 0, "content": { "role": "model", "parts": [part] } }],
                "modelVersion": answer.model, "responseId": "sandbox" })
    };
    if let Some(choice) = answer.choices.first() {
        let thoughts = choice.reasoning.iter();
        out.extend(thoughts.map(|piece| chunk(json!({ "text": piece, "thought": true }))));
        let text = choice.content.iter().chain(&choice.refusal);
        out.extend(text.map(|piece| chunk(json!({ "text": piece }))));
        for call in &choice.calls {
            let args: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
            out.push(chunk(
                json!({ "functionCall": { "name": call.name, "args": args } }),
            ));
        }
    }
    let mut last = whole(Format::Gemini, answer);
    if let Some(content) = last.pointer_mut("/candidates/0/content/parts") {
        *content = json!([{ "text": "" }]);
    }
    out.push(last);
    out.into_iter().map(|data| (None, data)).collect()
}

// ---- responses

/// The response object around its items.
pub(super) fn response(answer: &Answer, status: &str, items: Vec<Value>) -> Value {
    let (input, output) = counts(answer);
    let usage = match status {
        "completed" => json!({
            "input_tokens": input, "input_tokens_details": { "cached_tokens": 0 },
            "output_tokens": output, "output_tokens_details": { "reasoning_tokens": 0 },
            "total_tokens": input.as_u64().unwrap_or(0) + output.as_u64().unwrap_or(0) }),
        _ => Value::Null,
    };
    json!({
        "id": "resp_sandbox", "object": "response", "created_at": super::chat::CREATED, "status": status,
        "error": null, "incomplete_details": null, "instructions": null, "metadata": {}, "model": answer.model,
        "output": items, "parallel_tool_calls": true, "previous_response_id": null, "store": true, "temperature": 1.0,
        "tool_choice": "auto", "tools": [], "top_p": 1.0, "usage": usage,
    })
}

/// One item of a response with the text that its pieces spell.
struct Item {
    whole: Value,
    begin: Value,
    /// Name of the piece events, and the member of the done event.
    piece: &'static str,
    member: &'static str,
    pieces: Vec<String>,
    part: Option<(Value, Value)>,
}

fn parts_of_response(answer: &Answer) -> Vec<Item> {
    let Some(choice) = answer.choices.first() else {
        return Vec::new();
    };
    let mut items = Vec::new();
    if !choice.reasoning.is_empty() {
        let part = |text: String| json!({ "type": "summary_text", "text": text });
        let item =
            |parts: Value| json!({ "id": "rs_sandbox", "type": "reasoning", "summary": parts });
        items.push(Item {
            whole: item(json!([part(choice.reasoning.concat())])),
            begin: item(json!([])),
            piece: "response.reasoning_summary_text",
            member: "text",
            pieces: choice.reasoning.clone(),
            part: None,
        });
    }
    let (kind, text) = match choice.refusal.is_empty() {
        true => ("output_text", &choice.content),
        false => ("refusal", &choice.refusal),
    };
    if !text.is_empty() {
        let member = if kind == "refusal" { "refusal" } else { "text" };
        let part = |text: String| {
            let mut part = json!({ "type": kind, member: text });
            if kind == "output_text" {
                super::chat::set(&mut part, "annotations", json!([]));
                super::chat::set(&mut part, "logprobs", json!([]));
            }
            part
        };
        let item = |status: &str, parts: Value| json!({ "id": "msg_sandbox", "type": "message", "status": status, "role": "assistant", "content": parts });
        items.push(Item {
            whole: item("completed", json!([part(text.concat())])),
            begin: item("in_progress", json!([])),
            piece: if kind == "refusal" {
                "response.refusal"
            } else {
                "response.output_text"
            },
            member,
            pieces: text.clone(),
            part: Some((part(String::new()), part(text.concat()))),
        });
    }
    for call in &choice.calls {
        let item = |status: &str, arguments: &str| {
            json!({ "id": format!("fc_{}", call.id), "type": "function_call", "status": status, "call_id": call.id,
                    "name": call.name, "arguments": arguments })
        };
        items.push(Item {
            whole: item("completed", &call.arguments),
            begin: item("in_progress", ""),
            piece: "response.function_call_arguments",
            member: "arguments",
            pieces: pieces(&call.arguments, 6),
            part: None,
        });
    }
    items
}

fn items(answer: &Answer) -> Vec<Value> {
    let items = parts_of_response(answer).into_iter();
    items.map(|item| item.whole).collect()
}

fn response_events(answer: &Answer) -> Vec<(Option<&'static str>, Value)> {
    let mut out: Vec<(String, Value)> = vec![
        (
            "response.created".into(),
            json!({ "response": response(answer, "in_progress", Vec::new()) }),
        ),
        (
            "response.in_progress".into(),
            json!({ "response": response(answer, "in_progress", Vec::new()) }),
        ),
    ];
    for (at, item) in parts_of_response(answer).into_iter().enumerate() {
        let id = item.whole.get("id").cloned().unwrap_or_default();
        let place = |mut data: Value| {
            super::chat::set(&mut data, "item_id", id.clone());
            super::chat::set(&mut data, "output_index", at.into());
            match item.piece {
                "response.function_call_arguments" => {}
                "response.reasoning_summary_text" => {
                    super::chat::set(&mut data, "summary_index", 0.into());
                }
                _ => super::chat::set(&mut data, "content_index", 0.into()),
            }
            data
        };
        out.push((
            "response.output_item.added".into(),
            json!({ "output_index": at, "item": item.begin }),
        ));
        if let Some((empty, _)) = &item.part {
            out.push((
                "response.content_part.added".into(),
                place(json!({ "part": empty })),
            ));
        }
        for piece in &item.pieces {
            out.push((
                format!("{}.delta", item.piece),
                place(json!({ "delta": piece })),
            ));
        }
        let whole = item.pieces.concat();
        out.push((
            format!("{}.done", item.piece),
            place(json!({ item.member: whole })),
        ));
        if let Some((_, full)) = &item.part {
            out.push((
                "response.content_part.done".into(),
                place(json!({ "part": full })),
            ));
        }
        out.push((
            "response.output_item.done".into(),
            json!({ "output_index": at, "item": item.whole }),
        ));
    }
    out.push((
        "response.completed".into(),
        json!({ "response": response(answer, "completed", items(answer)) }),
    ));
    out.into_iter()
        .enumerate()
        .map(|(number, (name, mut data))| {
            super::chat::set(&mut data, "type", name.as_str().into());
            super::chat::set(&mut data, "sequence_number", number.into());
            (known(&name), data)
        })
        .collect()
}

/// The name as a constant; events of responses are named after their type.
fn known(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 15] = [
        "response.created",
        "response.in_progress",
        "response.completed",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.refusal.delta",
        "response.refusal.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
    ];
    NAMES.into_iter().find(|known| *known == name)
}

/// The count of `POST /messages/count_tokens`.
pub(super) fn count(body: &Value) -> Value {
    let chat = as_chat(Format::Messages, body, None, false);
    json!({ "input_tokens": tokens(&chat.get("messages").unwrap_or(&Value::Null).to_string()) })
}

/// Vectors of `batchEmbedContents`.
pub(super) fn embeddings(body: &Value) -> Value {
    let requests = body.get("requests").and_then(Value::as_array);
    let many = requests.map_or(0, Vec::len);
    json!({ "embeddings": vec![json!({ "values": [1.0, 0.0, 0.5] }); many] })
}

/// What a judgement about texts looks like: nothing is ever flagged.
pub(super) fn moderation(body: &Value) -> Value {
    let many = body["input"].as_array().map_or(1, Vec::len);
    let result = json!({ "flagged": false, "categories": { "violence": false }, "category_scores": { "violence": 0.001 } });
    json!({ "id": "modr-sandbox", "model": body["model"], "results": vec![result; many] })
}

/// The stored response as events: the request that would make it.
pub(super) fn stored_stream(path: &str, query: &str) -> Option<bytes::Bytes> {
    let id = path.strip_prefix("/responses/")?;
    let asked = !id.contains('/') && query.split('&').any(|pair| pair == "stream=true");
    let body =
        json!({ "model": "echo", "stream": true, "input": "a stored text with a forbidden word" });
    asked.then(|| body.to_string().into())
}

/// The stored response that every id of the sandbox's own form stands for; a deletion; a list of inputs.
pub(super) fn stored(method: &str, path: &str) -> Option<Value> {
    let rest = path.strip_prefix("/responses/")?;
    let (id, tail) = rest.split_once('/').unwrap_or((rest, ""));
    let message = |role: &str, kind: &str, text: &str| {
        json!({ "id": "msg_stored", "type": "message", "status": "completed", "role": role,
                "content": [{ "type": kind, "text": text, "annotations": [] }] })
    };
    let response = |status: &str| {
        json!({ "id": id, "object": "response", "created_at": super::chat::CREATED, "status": status, "model": "echo-2026-01-01",
                "output": [message("assistant", "output_text", "a stored text with a forbidden word")],
                "previous_response_id": null, "error": null,
                "usage": { "input_tokens": 5, "output_tokens": 5, "total_tokens": 10 } })
    };
    match (method, tail) {
        ("GET", "") => Some(response("completed")),
        ("DELETE", "") => Some(json!({ "id": id, "object": "response", "deleted": true })),
        ("POST", "cancel") => Some(response("cancelled")),
        ("GET", "input_items") => Some(json!({
            "object": "list", "data": [message("user", "input_text", "an input text")],
            "first_id": "msg_stored", "last_id": "msg_stored", "has_more": false })),
        _ => None,
    }
}

/// The request that a body of a format stands for.
pub(super) fn read(
    format: Format,
    body: &Value,
    model: Option<&str>,
    stream: bool,
    id: String,
) -> Option<Request> {
    Request::read(&as_chat(format, body, model, stream), id)
}
