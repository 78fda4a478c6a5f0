//! Golden files: every client format over every provider format, one file for each pair. It holds the request as it is sent,
//! the answer as it is given back, and the stream event by event.

use std::fmt::Write as _;

use bytes::Bytes;
use llm::fuzz::frames;
use llm::protocol::Protocol;
use llm::provider::Wire;
use llm::translate::StreamTranslator;
use serde_json::{Value, json};

use crate::translated::{answer, head, limits, pretty, request};

/// Media type and bytes of a picture.
const PICTURE: &str = "data:image/png;base64,iVBORw0KGgo=";

/// A conversation with system text, a picture, thinking, two tool calls at once, their results and one more word.
fn asked(protocol: Protocol) -> Value {
    let schema = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    match protocol {
        Protocol::Chat => json!({
            "model": "group", "stream": true, "temperature": 0.5, "max_tokens": 200, "stop": ["END"],
            "messages": [
                { "role": "system", "content": "be brief" },
                { "role": "user", "content": [
                    { "type": "text", "text": "where is this?" }, { "type": "image_url", "image_url": { "url": PICTURE } }] },
                { "role": "assistant", "content": "I look",
                  "thinking_blocks": [{ "type": "thinking", "thinking": "a tower", "signature": "c2lnbmVk" }],
                  "tool_calls": [
                    { "id": "call_1", "type": "function", "function": { "name": "look_up", "arguments": "{\"city\":\"Paris\"}" } },
                    { "id": "call_2", "type": "function", "function": { "name": "look_up", "arguments": "{\"city\":\"Pune\"}" } }] },
                { "role": "tool", "tool_call_id": "call_1", "content": "2.1 million" },
                { "role": "tool", "tool_call_id": "call_2", "content": "3.1 million" },
                { "role": "user", "content": "in one sentence" }],
            "tools": [{ "type": "function", "function": { "name": "look_up", "description": "looks up", "parameters": schema } }],
            "tool_choice": "auto", "parallel_tool_calls": false, "reasoning_effort": "low", "user": "u-1",
        }),
        Protocol::Messages => json!({
            "model": "group", "stream": true, "temperature": 0.5, "max_tokens": 200, "stop_sequences": ["END"],
            "system": [{ "type": "text", "text": "be brief", "cache_control": { "type": "ephemeral" } }],
            "messages": [
                { "role": "user", "content": [
                    { "type": "text", "text": "where is this?" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo=" } }] },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "a tower", "signature": "c2lnbmVk" },
                    { "type": "text", "text": "I look" },
                    { "type": "tool_use", "id": "toolu_1", "name": "look_up", "input": { "city": "Paris" } },
                    { "type": "tool_use", "id": "toolu_2", "name": "look_up", "input": { "city": "Pune" } }] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "toolu_1", "content": "2.1 million" },
                    { "type": "tool_result", "tool_use_id": "toolu_2", "content": [{ "type": "text", "text": "3.1 million" }], "is_error": true },
                    { "type": "text", "text": "in one sentence" }] }],
            "tools": [{ "name": "look_up", "description": "looks up", "input_schema": schema }],
            "tool_choice": { "type": "auto", "disable_parallel_tool_use": true },
            "thinking": { "type": "enabled", "budget_tokens": 1024 }, "metadata": { "user_id": "u-1" },
        }),
        Protocol::Responses => json!({
            "model": "group", "stream": true, "temperature": 0.5, "max_output_tokens": 200, "instructions": "be brief",
            "input": [
                { "role": "user", "content": [
                    { "type": "input_text", "text": "where is this?" }, { "type": "input_image", "image_url": PICTURE }] },
                { "type": "reasoning", "summary": [{ "type": "summary_text", "text": "a tower" }],
                  "encrypted_content": "sealgate-signature:c2lnbmVk" },
                { "role": "assistant", "content": [{ "type": "output_text", "text": "I look" }] },
                { "type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{\"city\":\"Paris\"}" },
                { "type": "function_call", "call_id": "call_2", "name": "look_up", "arguments": "{\"city\":\"Pune\"}" },
                { "type": "function_call_output", "call_id": "call_1", "output": "2.1 million" },
                { "type": "function_call_output", "call_id": "call_2", "output": [{ "type": "input_text", "text": "3.1 million" }] },
                { "role": "user", "content": "in one sentence" }],
            "tools": [{ "type": "function", "name": "look_up", "description": "looks up", "parameters": schema, "strict": false }],
            "tool_choice": "auto", "parallel_tool_calls": false, "reasoning": { "effort": "low" },
            "include": ["reasoning.encrypted_content"], "store": false,
        }),
        _ => {
            json!({ "model": "group", "stream": true, "temperature": 0.5, "max_tokens": 200, "stop": "END",
            "prompt": "the capital of France is", "user": "u-1" })
        }
    }
}

/// Signed thinking, a text and a tool call in the provider's format.
fn given(wire: Wire) -> Value {
    match wire {
        Wire::OpenAi => json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "gpt",
            "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": "Paris", "reasoning_content": "a capital",
                "tool_calls": [{ "id": "call_9", "type": "function", "function": { "name": "look_up", "arguments": "{\"city\":\"Paris\"}" } }] } }],
            "usage": { "prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110,
                "prompt_tokens_details": { "cached_tokens": 40 }, "completion_tokens_details": { "reasoning_tokens": 7 } } }),
        Wire::Anthropic => json!({
            "id": "msg", "type": "message", "role": "assistant", "model": "claude",
            "content": [
                { "type": "thinking", "thinking": "a capital", "signature": "c2ln" }, { "type": "text", "text": "Paris" },
                { "type": "tool_use", "id": "toolu_9", "name": "look_up", "input": { "city": "Paris" } }],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": { "input_tokens": 50, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 3, "output_tokens": 20 } }),
        Wire::Gemini => json!({
            "candidates": [{ "index": 0, "finishReason": "STOP", "content": { "role": "model", "parts": [
                { "text": "a capital", "thought": true }, { "text": "Paris" },
                { "functionCall": { "name": "look_up", "args": { "city": "Paris" } }, "thoughtSignature": "c2ln" }] } }],
            "usageMetadata": { "promptTokenCount": 90, "cachedContentTokenCount": 40, "candidatesTokenCount": 13,
                "thoughtsTokenCount": 7, "totalTokenCount": 110 }, "modelVersion": "gemini" }),
    }
}

/// The same as a stream.
fn streamed(wire: Wire) -> String {
    let chunk = |delta: Value, finish: Value| {
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
    };
    let part = |part: Value, finish: Value| {
        let mut candidate = json!({ "index": 0, "content": { "role": "model", "parts": [part] } });
        if !finish.is_null() {
            candidate["finishReason"] = finish;
        }
        json!({ "candidates": [candidate], "modelVersion": "gemini" })
    };
    let none = Value::Null;
    let call = json!({ "index": 0, "id": "call_9", "type": "function", "function": { "name": "look_up", "arguments": "" } });
    let events = match wire {
        Wire::OpenAi => vec![
            chunk(json!({ "role": "assistant", "content": "" }), none.clone()),
            chunk(json!({ "reasoning_content": "a cap" }), none.clone()),
            chunk(json!({ "reasoning_content": "ital" }), none.clone()),
            // Nothing but signed thinking.
            chunk(
                json!({ "thinking_blocks": [{ "type": "thinking", "thinking": "a capital", "signature": "c2ln" }] }),
                none.clone(),
            ),
            chunk(json!({ "content": "Par" }), none.clone()),
            chunk(json!({ "content": "is" }), none.clone()),
            chunk(json!({ "tool_calls": [call] }), none.clone()),
            chunk(
                json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{\"city\":" } }] }),
                none.clone(),
            ),
            chunk(
                json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "\"Paris\"}" } }] }),
                none.clone(),
            ),
            chunk(json!({}), json!("tool_calls")),
            json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "choices": [],
                "usage": given(wire)["usage"] }),
        ],
        Wire::Anthropic => vec![
            json!({ "type": "message_start", "message": { "id": "msg", "type": "message", "role": "assistant", "model": "claude",
                "content": [], "usage": { "input_tokens": 50, "cache_read_input_tokens": 40, "output_tokens": 1 } } }),
            json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "thinking", "thinking": "", "signature": "" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "thinking_delta", "thinking": "a capital" } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "signature_delta", "signature": "c2ln" } }),
            json!({ "type": "content_block_stop", "index": 0 }),
            json!({ "type": "ping" }),
            json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "text", "text": "" } }),
            json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "Par" } }),
            json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "text_delta", "text": "is" } }),
            json!({ "type": "content_block_stop", "index": 1 }),
            json!({ "type": "content_block_start", "index": 2, "content_block": { "type": "tool_use", "id": "toolu_9", "name": "look_up", "input": {} } }),
            json!({ "type": "content_block_delta", "index": 2, "delta": { "type": "input_json_delta", "partial_json": "{\"city\":" } }),
            json!({ "type": "content_block_delta", "index": 2, "delta": { "type": "input_json_delta", "partial_json": "\"Paris\"}" } }),
            json!({ "type": "content_block_stop", "index": 2 }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use", "stop_sequence": null }, "usage": { "output_tokens": 20 } }),
            json!({ "type": "message_stop" }),
        ],
        Wire::Gemini => {
            let mut last = part(json!({ "text": "" }), json!("STOP"));
            last["usageMetadata"] = given(wire)["usageMetadata"].clone();
            vec![
                part(
                    json!({ "text": "a capital", "thought": true }),
                    none.clone(),
                ),
                part(json!({ "text": "Par" }), none.clone()),
                part(json!({ "text": "is" }), none.clone()),
                part(
                    json!({ "functionCall": { "name": "look_up", "args": { "city": "Paris" } }, "thoughtSignature": "c2ln" }),
                    none,
                ),
                last,
            ]
        }
    };
    let mut out = String::new();
    for event in &events {
        let name = event["type"].as_str().filter(|_| wire == Wire::Anthropic);
        if let Some(name) = name {
            let _ = writeln!(out, "event: {name}");
        }
        let _ = write!(out, "data: {event}\n\n");
    }
    if wire == Wire::OpenAi {
        out.push_str("data: [DONE]\n\n");
    }
    out
}

/// One golden file.
fn golden(from: Protocol, to: Wire) -> String {
    let body = asked(from);
    let sent = request(from, to, &body, true).expect("a translation");
    let mut out = format!("# request\n{}\n", pretty(&sent.body));
    let _ = writeln!(out, "dropped: {:?}", sent.dropped);
    let back = answer(&sent.back, &given(to));
    let _ = writeln!(
        out,
        "\n# answer\n{}",
        serde_json::to_string_pretty(&back).expect("JSON")
    );
    let upstream = streamed(to);
    let mut translator = StreamTranslator::new(&sent.back, &head(), &limits());
    let _ = writeln!(out, "\n# stream");
    for frame in frames(upstream.as_bytes(), &[]).expect("frames") {
        let shown = frame
            .data
            .clone()
            .unwrap_or_else(|| Bytes::from_static(b"-"));
        let _ = writeln!(out, "< {}", String::from_utf8_lossy(&shown));
        let mut written = Vec::new();
        translator
            .push(&frame, &mut written)
            .expect("an event of the format");
        show(&mut out, &written);
    }
    let mut written = Vec::new();
    translator.finish(&mut written).expect("an end");
    let _ = writeln!(out, "< the end");
    show(&mut out, &written);
    out
}

fn show(out: &mut String, written: &[u8]) {
    for line in String::from_utf8_lossy(written)
        .lines()
        .filter(|line| !line.is_empty())
    {
        let _ = writeln!(out, "> {line}");
    }
}

#[test]
fn every_pair_of_formats_event_by_event() {
    let clients = [
        Protocol::Chat,
        Protocol::Messages,
        Protocol::Responses,
        Protocol::Completions,
    ];
    for from in clients {
        for to in [Wire::OpenAi, Wire::Anthropic, Wire::Gemini] {
            // A provider of the client's own format gets the client's bytes.
            let native = [
                (Protocol::Chat, Wire::OpenAi),
                (Protocol::Messages, Wire::Anthropic),
            ];
            if !native.contains(&(from, to)) {
                let name = format!("{}_over_{to:?}", from.call_type());
                insta::assert_snapshot!(name, golden(from, to));
            }
        }
    }
}
