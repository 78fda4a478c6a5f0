//! Responses over a provider of chat completions.

use crate::flow::run;
use crate::translated::{answer, back, check_sent, pretty, request, sse, stream};
use llm::protocol::Protocol::{Chat, Responses};
use llm::provider::Wire::OpenAi;
use serde_json::{Value, json};

/// Words of the chat format and constants of the translation.
const WORDS: &[&str] = &[
    "messages",
    "role",
    "content",
    "system",
    "user",
    "assistant",
    "developer",
    "tool",
    "type",
    "text",
    "image_url",
    "url",
    "detail",
    "low",
    "file",
    "filename",
    "file_data",
    "input_audio",
    "data",
    "format",
    "wav",
    "tool_calls",
    "id",
    "function",
    "name",
    "arguments",
    "tool_call_id",
    "reasoning_content",
    "thinking_blocks",
    "thinking",
    "signature",
    "tools",
    "description",
    "parameters",
    "object",
    "properties",
    "input",
    "string",
    "required",
    "strict",
    "Text that follows this grammar: ",
    "tool_choice",
    "auto",
    "response_format",
    "json_schema",
    "schema",
    "verbosity",
    "reasoning_effort",
    "high",
    "model",
    "upstream-model",
    "stream",
    "stream_options",
    "include_usage",
    "max_completion_tokens",
    "parallel_tool_calls",
    "temperature",
    "number",
    "prompt_cache_key",
    "call_1",
    "call_2",
    "additionalProperties",
    "refusal",
    "cache-1",
    "future_member",
    "note",
];

/// A request with everything that can be said in chat completions, in the form of a coding agent's.
fn agent() -> Value {
    json!({
        "model": "group",
        "instructions": "You are an agent.",
        "input": [
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "sandboxed"}]},
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "what is this?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "let me look"}],
             "content": null, "encrypted_content": "gAAAAciphertext"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
            {"type": "function_call", "call_id": "call_1", "name": "shell", "arguments": "{\"command\":\"ls\"}"},
            {"type": "custom_tool_call", "call_id": "call_2", "name": "apply_patch", "input": "*** Begin \"Patch\"\n"},
            {"type": "function_call_output", "call_id": "call_1", "output": "a.rs"},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": [
                {"type": "input_text", "text": "patched"},
                {"type": "input_image", "image_url": "data:image/png;base64,CCCC"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "signed thought"}],
             "encrypted_content": "sealgate-signature:c2ln"},
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "thanks"}
        ],
        "tools": [
            {"type": "function", "name": "shell", "description": "runs", "strict": false,
             "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"], "additionalProperties": false}},
            {"type": "custom", "name": "apply_patch", "description": "edits files",
             "format": {"type": "grammar", "syntax": "lark", "definition": "start: begin"}}],
        "tool_choice": "auto",
        "parallel_tool_calls": false,
        "reasoning": {"effort": "high", "summary": "auto"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "shape", "schema": {"type": "object"}, "strict": true}},
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "cache-1",
        "max_output_tokens": 500,
        "temperature": 0.5,
        "store": false,
        "stream": true,
        "metadata": {"trace": "t"},
        "future_member": {"note": "kept"}
    })
}

#[test]
fn the_request() {
    let rendered = request(Responses, OpenAi, &agent(), false).expect("a translation");
    insta::assert_snapshot!(pretty(&rendered.body));
    assert_eq!(
        rendered.dropped,
        ["input[2].encrypted_content", "reasoning.summary"]
    );
    assert!(rendered.back.stream);
    check_sent(Responses, &agent(), &rendered.body, WORDS);
    // What comes out is itself a request that every check can read.
    let body = bytes::Bytes::from(rendered.body);
    llm::protocol::request(Chat, body, &crate::translated::limits()).expect("a chat request");
}

#[test]
fn a_plain_text_is_one_message() {
    let rendered = request(
        Responses,
        OpenAi,
        &json!({"model": "m", "input": "hi"}),
        false,
    );
    let body: Value = serde_json::from_slice(&rendered.expect("a translation").body).expect("JSON");
    assert_eq!(
        body,
        json!({"model": "upstream-model", "messages": [{"role": "user", "content": "hi"}]})
    );
}

#[test]
fn what_cannot_be_said_is_named() {
    let with = |name: &str, value: Value| {
        let mut body = json!({"model": "m", "input": [{"role": "user", "content": "x"}]});
        body[name] = value;
        body
    };
    // (body, field, may be dropped)
    let table = [
        (
            with("previous_response_id", json!("resp_1")),
            "previous_response_id",
            false,
        ),
        (with("conversation", json!("conv_1")), "conversation", false),
        (with("background", json!(true)), "background", false),
        (with("prompt", json!({"id": "p"})), "prompt", false),
        (
            with("input", json!([{"type": "item_reference", "id": "msg_1"}])),
            "input[0]",
            false,
        ),
        (
            with("input", json!([{"type": "function_call", "name": "f"}])),
            "input[0].call_id",
            false,
        ),
        (
            with("tools", json!([{"type": "web_search"}])),
            "tools[0]",
            true,
        ),
        (
            with("tool_choice", json!({"type": "web_search"})),
            "tool_choice",
            true,
        ),
        (with("truncation", json!("auto")), "truncation", true),
        (
            with("context_management", json!([{"type": "compaction"}])),
            "context_management",
            true,
        ),
        (
            with(
                "input",
                json!([{"type": "web_search_call", "id": "w"}, {"role": "user", "content": "x"}]),
            ),
            "input[0]",
            true,
        ),
        (
            with(
                "input",
                json!([{"role": "user", "content": [{"type": "input_image", "file_id": "f"}, {"type": "input_text", "text": "x"}]}]),
            ),
            "input[0].content[0]",
            true,
        ),
    ];
    for (body, field, droppable) in table {
        let error = request(Responses, OpenAi, &body, false).expect_err("refused");
        assert_eq!(error.field, field, "{body}");
        assert!(error.message.contains(field), "{}", error.message);
        match (request(Responses, OpenAi, &body, true), droppable) {
            (Ok(rendered), true) => assert_eq!(rendered.dropped, [field]),
            (Err(_), false) => {}
            (other, _) => panic!("{body}: {other:?}"),
        }
    }
    // What says nothing is not refused.
    let body = json!({"model": "m", "input": "x", "background": false, "previous_response_id": null, "truncation": "disabled"});
    request(Responses, OpenAi, &body, false).expect("a translation");
}

fn completion() -> Value {
    json!({
        "id": "chatcmpl-9", "object": "chat.completion", "created": 3, "model": "up",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": null, "message": {
            "role": "assistant", "content": "I do it.", "refusal": null, "reasoning_content": "hm",
            "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}],
            "tool_calls": [
                {"id": "call_a", "type": "function", "function": {"name": "shell", "arguments": "{\"command\":\"ls\"}"}},
                {"id": "call_b", "type": "function", "function": {"name": "apply_patch", "arguments": "{\"input\":\"*** \\\"x\\\"\"}"}}]}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16,
                  "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}
    })
}

#[test]
fn the_answer() {
    let back = back(Responses, OpenAi, &agent());
    let response = answer(&back, &completion());
    insta::assert_snapshot!(serde_json::to_string_pretty(&response).expect("JSON"));
}

#[test]
fn ends_of_answers() {
    let back = back(Responses, OpenAi, &json!({"model": "m", "input": "x"}));
    for (reason, status, details) in [
        ("stop", "completed", Value::Null),
        (
            "length",
            "incomplete",
            json!({"reason": "max_output_tokens"}),
        ),
        (
            "content_filter",
            "incomplete",
            json!({"reason": "content_filter"}),
        ),
    ] {
        let chat = json!({"choices": [{"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": "x"}}]});
        let response = answer(&back, &chat);
        assert_eq!(
            (&response["status"], &response["incomplete_details"]),
            (&json!(status), &details)
        );
        assert_eq!(response["output"][0]["status"], status);
        assert_eq!(response["usage"], Value::Null);
    }
    let refused = json!({"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": null, "refusal": "no"}}]});
    assert_eq!(
        answer(&back, &refused)["output"][0]["content"],
        json!([{"type": "refusal", "refusal": "no"}])
    );
}

/// The chunks of [`completion`], and of a text in two pieces.
fn chunks() -> Vec<Value> {
    let delta = |delta: Value| json!({"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 3, "model": "up", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
    let end = |reason: &str| json!({"id": "chatcmpl-9", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    vec![
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"reasoning_content": "h"})),
        delta(json!({"reasoning_content": "m"})),
        delta(
            json!({"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "c2ln"}]}),
        ),
        delta(json!({"content": "I do"})),
        delta(json!({"content": " it."})),
        delta(
            json!({"tool_calls": [{"index": 0, "id": "call_a", "type": "function", "function": {"name": "shell", "arguments": ""}}]}),
        ),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"command\":"}}]})),
        delta(
            json!({"tool_calls": [{"index": 1, "id": "call_b", "type": "function", "function": {"name": "apply_patch", "arguments": "{\"inp"}}]}),
        ),
        delta(
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"ls\"}"}}, {"index": 1, "function": {"arguments": "ut\":\"*** \\\"x\\\"\"}"}}]}),
        ),
        end("tool_calls"),
        json!({"id": "chatcmpl-9", "choices": [], "usage": completion()["usage"]}),
    ]
}

#[test]
fn the_stream_event_by_event() {
    let back = back(Responses, OpenAi, &agent());
    let out = stream(&back, &sse(&chunks()), usize::MAX);
    let text = String::from_utf8(out.clone()).expect("text");
    insta::assert_snapshot!(text);
    // The end says what the whole answer says.
    let flow = run(Responses, &out, true);
    assert!(flow.complete && flow.malformed == 0);
    let end = flow.events().pop().expect("events");
    assert_eq!(end["response"], answer(&back, &completion()));
    for (number, event) in flow.events().iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number));
    }
}

#[test]
fn any_cut_gives_the_same_stream() {
    let back = back(Responses, OpenAi, &agent());
    let upstream = sse(&chunks());
    let whole = stream(&back, &upstream, usize::MAX);
    for size in [1, 2, 3, 7, 50, 333] {
        assert_eq!(stream(&back, &upstream, size), whole, "{size}");
    }
}

#[test]
fn a_cut_stream_does_not_look_complete() {
    let back = back(Responses, OpenAi, &agent());
    for events in 1..chunks().len() - 2 {
        let upstream: String = chunks()[..events]
            .iter()
            .map(|event| format!("data: {event}\n\n"))
            .collect();
        let out = stream(&back, upstream.as_bytes(), usize::MAX);
        let flow = run(Responses, &out, false);
        assert!(!flow.complete && !flow.last, "{events}");
        // A call that is cut is not announced as whole.
        let whole = flow.events().iter().any(|e| {
            e["type"] == "response.output_item.done" && e["item"]["type"] == "function_call"
        });
        assert!(!whole, "{events}");
    }
}

#[test]
fn an_error_in_the_stream_is_an_error_event() {
    let back = back(Responses, OpenAi, &agent());
    let mut events = chunks()[..3].to_vec();
    events.push(json!({"error": {"message": "overloaded", "type": "server_error", "code": 503}}));
    let flow = run(Responses, &stream(&back, &sse(&events), usize::MAX), false);
    let error = flow.error.expect("an error");
    assert_eq!(
        (error.message.as_deref(), error.code.as_deref()),
        (Some("overloaded"), Some("503"))
    );
}
