//! Clients of every format over Gemini.

use crate::flow::run;
use crate::translated::{answer, back, check_sent, pretty, request, stream};
use llm::protocol::Protocol::{Chat, Completions, Embeddings, Responses};
use llm::provider::Wire::Gemini;
use llm::translate::TranslateError;
use serde_json::{Value, json};

/// Words of Gemini's format and constants of the translation.
const WORDS: &[&str] = &[
    "contents",
    "role",
    "parts",
    "text",
    "user",
    "model",
    "systemInstruction",
    "functionCall",
    "args",
    "name",
    "thoughtSignature",
    "functionResponse",
    "response",
    "output",
    "inlineData",
    "mimeType",
    "data",
    "image/png",
    "application/pdf",
    "audio/wav",
    "fileData",
    "fileUri",
    "tools",
    "functionDeclarations",
    "description",
    "parameters",
    "type",
    "object",
    "string",
    "integer",
    "array",
    "properties",
    "items",
    "required",
    "anyOf",
    "nullable",
    "enum",
    "format",
    "toolConfig",
    "functionCallingConfig",
    "mode",
    "AUTO",
    "ANY",
    "allowedFunctionNames",
    "generationConfig",
    "temperature",
    "topP",
    "maxOutputTokens",
    "stopSequences",
    "seed",
    "candidateCount",
    "responseMimeType",
    "application/json",
    "responseSchema",
    "thinkingConfig",
    "thinkingBudget",
    "thinkingLevel",
    "includeThoughts",
    "low",
    "safetySettings",
    "category",
    "threshold",
    "skip_thought_signature_validator",
    "c2lnbmVk",
    "date-time",
    "minimum",
    "AAAA",
    "BBBB",
    "CCCC",
    "gs://bucket/movie.mp4",
    "number",
    "boolean",
    "title",
    "\n",
];

fn rich() -> Value {
    json!({
        "model": "group",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
                {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "wav"}},
                {"type": "video_url", "video_url": {"url": "gs://bucket/movie.mp4"}}]},
            {"role": "assistant", "content": "I call.", "tool_calls": [
                {"id": "call_1__thought__c2lnbmVk", "type": "function", "function": {"name": "look", "arguments": "{\"q\": [1, \"a\"]}"}},
                {"id": "call_2", "type": "function", "function": {"name": "wait", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "call_1__thought__c2lnbmVk", "content": "{\"found\": true}"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "wai"}, {"type": "text", "text": "ted"}]},
            {"role": "developer", "content": [{"type": "text", "text": "be kind"}]},
            {"role": "user", "content": "and now?"}
        ],
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "looks", "strict": true, "parameters": {
                "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
                "properties": {
                    "q": {"type": ["string", "null"], "format": "uri"},
                    "at": {"type": "string", "format": "date-time"},
                    "kind": {"const": "only"},
                    "size": {"oneOf": [{"type": "integer", "minimum": 1, "exclusiveMaximum": 9}, {"type": "null"}]},
                    "inner": {"$ref": "#/$defs/inner"}},
                "required": ["q"],
                "$defs": {"inner": {"type": "object", "properties": {"x": {"type": "integer", "enum": [1, 2]}, "y": {"enum": ["a", "b"]}}}}}}},
            {"type": "function", "function": {"name": "wait", "parameters": {"type": "object", "properties": {}}}}],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": true,
        "temperature": 0.5, "top_p": 0.9, "max_completion_tokens": 100, "max_tokens": 50, "stop": "END", "seed": 7, "n": 2,
        "response_format": {"type": "json_schema", "json_schema": {"name": "shape", "schema": {"type": "array", "items": {"type": "string"}}}},
        "reasoning_effort": "low",
        "user": "u-1", "stream": true, "stream_options": {"include_usage": true},
        "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "metadata": {"trace": "t"}
    })
}

#[test]
fn the_request() {
    let rendered = request(Chat, Gemini, &rich(), false).expect("a translation");
    insta::assert_snapshot!(pretty(&rendered.body));
    assert_eq!(rendered.dropped, ["user"]);
    check_sent(Chat, &rich(), &rendered.body, WORDS);
}

#[test]
fn models_that_check_signatures_get_one_for_every_turn() {
    let mut body = rich();
    body["messages"][2]["tool_calls"][0]["id"] = json!("call_1");
    body["messages"][3]["tool_call_id"] = json!("call_1");
    let bytes = bytes::Bytes::from(serde_json::to_vec(&body).expect("JSON"));
    let chat =
        llm::protocol::request(Chat, bytes, &crate::translated::limits()).expect("a request");
    for (model, first) in [
        ("gemini-3-pro", json!("skip_thought_signature_validator")),
        ("gemini-2.5-pro", Value::Null),
    ] {
        let options = llm::translate::Options {
            model,
            ..crate::translated::options(false)
        };
        let sent =
            llm::translate::request(Chat, Gemini, chat.doc(), &options).expect("a translation");
        let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
        let parts = &sent["contents"][1]["parts"];
        assert_eq!(parts[1]["thoughtSignature"], first, "{model}");
        assert_eq!(parts[2]["thoughtSignature"], Value::Null, "{model}");
        let level = &sent["generationConfig"]["thinkingConfig"];
        assert_eq!(level["thinkingLevel"].is_string(), model == "gemini-3-pro");
    }
}

#[test]
fn what_cannot_be_said_is_named() {
    let with = |name: &str, value: Value| {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}]});
        body[name] = value;
        body
    };
    let says = |message: Value| {
        with(
            "messages",
            json!([{"role": "user", "content": "x"}, message]),
        )
    };
    let called = |arguments: &str| {
        says(
            json!({"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]}),
        )
    };
    let table = [
        (with("logit_bias", json!({"1": 2})), "logit_bias", true),
        (
            with("parallel_tool_calls", json!(false)),
            "parallel_tool_calls",
            true,
        ),
        (with("future_member", json!(1)), "future_member", true),
        (
            with("tools", json!([{"type": "web_search"}])),
            "tools[0]",
            true,
        ),
        (with("modalities", json!(["audio"])), "modalities[0]", true),
        (
            with("reasoning_effort", json!("wild")),
            "reasoning_effort",
            true,
        ),
        (
            says(
                json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}]}),
            ),
            "messages[1].content[0]",
            true,
        ),
        (
            called("{\"cut"),
            "messages[1].tool_calls[0].function.arguments",
            false,
        ),
        (
            called("[1]"),
            "messages[1].tool_calls[0].function.arguments",
            false,
        ),
        (
            says(json!({"role": "tool", "tool_call_id": "nobody", "content": "x"})),
            "messages[1].tool_call_id",
            false,
        ),
        (
            with("messages", json!([{"role": "system", "content": "x"}])),
            "messages",
            false,
        ),
    ];
    for (body, field, droppable) in table {
        let error: TranslateError = request(Chat, Gemini, &body, false).expect_err("refused");
        assert_eq!(error.field, field, "{body}");
        assert!(error.message.contains(field), "{}", error.message);
        match (request(Chat, Gemini, &body, true), droppable) {
            (Ok(rendered), true) => assert_eq!(rendered.dropped, [field]),
            (Err(_), false) => {}
            (other, _) => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn schemas_that_refer_to_themselves_end() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", "function": {"name": "f",
        "parameters": {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}, "c": {"$ref": "#/nowhere"}}}}}]});
    let rendered = request(Chat, Gemini, &body, false).expect("a translation");
    assert!(rendered.body.len() < 2_000_000, "{}", rendered.body.len());
    let value: Value = serde_json::from_slice(&rendered.body).expect("JSON");
    assert_eq!(
        value["tools"][0]["functionDeclarations"][0]["parameters"]["properties"]["c"],
        json!({})
    );
}

fn generated() -> Value {
    json!({
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": "I think", "thought": true},
            {"text": "Hello \"you\""}, {"text": ", here:"},
            {"functionCall": {"name": "look", "args": {"q": [1, "a"]}}, "thoughtSignature": "c2ln+/=="},
            {"functionCall": {"name": "wait"}},
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            "safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "cachedContentTokenCount": 4, "totalTokenCount": 18},
        "modelVersion": "gemini-x", "responseId": "r"
    })
}

#[test]
fn the_answer() {
    let whole = answer(&back(Chat, Gemini, &rich()), &generated());
    insta::assert_snapshot!(serde_json::to_string_pretty(&whole).expect("JSON"));
    // A signature is nothing that a check can read or may change.
    let body = json!({"model": "m", "messages": [{"role": "assistant", "tool_calls": whole["choices"][0]["message"]["tool_calls"]}]});
    let bytes = bytes::Bytes::from(serde_json::to_vec(&body).expect("JSON"));
    let chat =
        llm::protocol::request(Chat, bytes, &crate::translated::limits()).expect("a request");
    let texts: Vec<String> = chat
        .transcript()
        .decoded(chat.doc())
        .map(|(_, text)| text.into_owned())
        .collect();
    assert_eq!(texts, ["{\"q\":[1,\"a\"]}", "look", "{}", "wait"]);
    assert_eq!(chat.transcript().opaque.len(), 2);
    // The id brings the signature back.
    let mut next = rich();
    next["messages"][2]["tool_calls"] = whole["choices"][0]["message"]["tool_calls"].clone();
    next["messages"][2]["tool_calls"][0]
        .as_object_mut()
        .expect("a call")
        .remove("provider_specific_fields");
    for (place, call) in whole["choices"][0]["message"]["tool_calls"]
        .as_array()
        .expect("calls")
        .iter()
        .enumerate()
    {
        next["messages"][3 + place]["tool_call_id"] = call["id"].clone();
    }
    let sent = request(Chat, Gemini, &next, false).expect("a translation");
    let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
    assert_eq!(
        sent["contents"][1]["parts"][1]["thoughtSignature"],
        "c2ln+/=="
    );
}

#[test]
fn ends_of_answers() {
    let back = back(Chat, Gemini, &rich());
    for (reason, finish) in [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("OTHER", "stop"),
    ] {
        let body = json!({"candidates": [{"finishReason": reason, "content": {"parts": [{"text": "x"}]}}]});
        assert_eq!(answer(&back, &body)["choices"][0]["finish_reason"], finish);
    }
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}});
    let whole = answer(&back, &blocked);
    assert_eq!(whole["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(whole["usage"]["prompt_tokens"], 3);
    let head = crate::translated::head();
    let odd = bytes::Bytes::from_static(b"{\"x\":1}");
    llm::translate::answer(&back, odd, &head, &crate::translated::limits()).expect_err("no answer");
}

/// The stream of [`generated`], without an end mark.
fn chunks() -> Vec<u8> {
    let mut whole = generated();
    let parts = whole["candidates"][0]["content"]["parts"].take();
    let mut out = String::new();
    let parts = parts.as_array().expect("parts").clone();
    for (place, part) in parts.iter().enumerate() {
        let mut chunk = json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}], "usageMetadata": {"promptTokenCount": 10}});
        if place + 1 == parts.len() {
            chunk["candidates"][0]["finishReason"] = json!("STOP");
            chunk["usageMetadata"] = generated()["usageMetadata"].clone();
        }
        out.push_str(&format!("data: {chunk}\r\n\r\n"));
    }
    out.into_bytes()
}

#[test]
fn the_stream_event_by_event() {
    let back = back(Chat, Gemini, &rich());
    let out = stream(&back, &chunks(), usize::MAX);
    insta::assert_snapshot!(String::from_utf8(out.clone()).expect("text"));
    for size in [1, 2, 5, 64] {
        assert_eq!(stream(&back, &chunks(), size), out, "{size}");
    }
    let flow = run(Chat, &out, false);
    assert!(flow.last && flow.complete && flow.malformed == 0);
    assert_eq!(
        flow.usage.map(|usage| (
            usage.input,
            usage.output,
            usage.reasoning,
            usage.cached_input
        )),
        Some((10, 8, 3, 4))
    );
    assert_eq!(flow.reasons, ["tool_calls"]);
}

#[test]
fn a_cut_stream_does_not_look_complete() {
    let back = back(Chat, Gemini, &rich());
    let whole = chunks();
    let cut = whole.len() - 60;
    let out = stream(
        &back,
        &whole[..whole[..cut]
            .windows(4)
            .rposition(|w| w == b"\r\n\r\n")
            .expect("a frame")
            + 4],
        usize::MAX,
    );
    let flow = run(Chat, &out, false);
    assert!(!flow.last && !flow.complete);
    let mut failed = whole[..300].to_vec();
    failed.truncate(
        whole
            .windows(4)
            .position(|w| w == b"\r\n\r\n")
            .expect("a frame")
            + 4,
    );
    failed.extend_from_slice(b"data: {\"error\":{\"code\":503,\"message\":\"overloaded\",\"status\":\"UNAVAILABLE\"}}\n\n");
    let flow = run(Chat, &stream(&back, &failed, usize::MAX), false);
    let error = flow.error.expect("an error");
    assert_eq!(
        (
            error.message.as_deref(),
            error.kind.as_deref(),
            error.code.as_deref()
        ),
        (Some("overloaded"), Some("UNAVAILABLE"), Some("503"))
    );
}

#[test]
fn responses_over_gemini_go_through_both_halves() {
    let body = json!({"model": "m", "input": "hello", "stream": true, "tools": [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {"q": {"type": "array"}}}}]});
    let rendered = request(Responses, Gemini, &body, false).expect("a translation");
    let sent: Value = serde_json::from_slice(&rendered.body).expect("JSON");
    assert_eq!(
        sent["contents"],
        json!([{"role": "user", "parts": [{"text": "hello"}]}])
    );
    let out = stream(&rendered.back, &chunks(), 7);
    let flow = run(Responses, &out, true);
    assert!(flow.complete && flow.malformed == 0);
    let end = flow.events().pop().expect("events");
    assert_eq!(end["type"], "response.completed");
    let mut streamed = end["response"].clone();
    let mut whole = answer(&rendered.back, &generated());
    // Images have no place in a message of a response.
    for response in [&mut streamed, &mut whole] {
        response["created_at"] = Value::Null;
    }
    assert_eq!(streamed, whole);
    let kinds: Vec<&Value> = whole["output"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["type"])
        .collect();
    assert_eq!(
        kinds,
        ["reasoning", "message", "function_call", "function_call"]
    );
    assert_eq!(
        whole["output"][2]["call_id"],
        "call_01_0_0__thought__c2ln-_"
    );
}

#[test]
fn text_completions_are_conversations() {
    let body = json!({"model": "m", "prompt": ["say hi"], "max_tokens": 5, "stream": true, "temperature": 0});
    let rendered = request(Completions, Gemini, &body, false).expect("a translation");
    let sent: Value = serde_json::from_slice(&rendered.body).expect("JSON");
    assert_eq!(
        sent["generationConfig"],
        json!({"maxOutputTokens": 5, "temperature": 0})
    );
    let out = stream(&rendered.back, &chunks(), 11);
    let flow = run(Completions, &out, true);
    assert!(flow.complete && flow.last);
    let text: String = flow
        .events()
        .iter()
        .filter_map(|event| event["choices"][0]["text"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(text, "Hello \"you\", here:");
    let whole = answer(&rendered.back, &generated());
    assert_eq!(
        (&whole["object"], &whole["choices"][0]["text"]),
        (&json!("text_completion"), &json!("Hello \"you\", here:"))
    );
    for (name, value) in [
        ("suffix", json!("x")),
        ("echo", json!(true)),
        ("logprobs", json!(3)),
    ] {
        let mut body = body.clone();
        body[name] = value;
        assert_eq!(
            request(Completions, Gemini, &body, false)
                .expect_err("refused")
                .field,
            name
        );
    }
    for prompt in [json!(["a", "b"]), json!([1, 2]), json!([[1]])] {
        let body = json!({"model": "m", "prompt": prompt});
        assert_eq!(
            request(Completions, Gemini, &body, true)
                .expect_err("refused")
                .field,
            "prompt"
        );
    }
}

#[test]
fn embeddings() {
    let body =
        json!({"model": "m", "input": ["a", "b"], "dimensions": 2, "encoding_format": "float"});
    let rendered = request(Embeddings, Gemini, &body, false).expect("a translation");
    let sent: Value = serde_json::from_slice(&rendered.body).expect("JSON");
    assert_eq!(
        sent["requests"][1],
        json!({"model": "models/upstream-model", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 2})
    );
    let upstream = json!({"embeddings": [{"values": [0.5, -1]}, {"values": [1e-3, 2]}]});
    let whole = answer(&rendered.back, &upstream);
    assert_eq!(whole["data"][0]["embedding"], json!([0.5, -1]));
    assert_eq!(whole["model"], "group");
    // What the OpenAI SDK asks for by itself.
    let body = json!({"model": "m", "input": "a", "encoding_format": "base64"});
    let back = back(Embeddings, Gemini, &body);
    let whole = answer(&back, &json!({"embeddings": [{"values": [0.5, -1]}]}));
    assert_eq!(whole["data"][0]["embedding"], "AAAAPwAAgL8=");
    let tokens = json!({"model": "m", "input": [1, 2, 3]});
    assert_eq!(
        request(Embeddings, Gemini, &tokens, true)
            .expect_err("refused")
            .field,
        "input"
    );
}
