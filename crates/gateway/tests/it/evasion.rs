//! Attempts to get text past the output checks: odd forms of answers, escapes within escapes, unusual framings.

use serde_json::{Value, json};

use crate::support::{Stub, TestApp, words};

/// A gateway that blocks or masks `forbidden` in answers, in front of a provider that sends `body`.
async fn provided(action: &str, content_type: &str, body: &str) -> (TestApp, Stub) {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n"
    );
    let stub = Stub::answering(head + body).await;
    let guardrails = words("post_call", "forbidden", action);
    let app = TestApp::with(|config| {
        config["guardrails"] = guardrails;
        config["model_list"][0]["litellm_params"]["api_base"] = json!(stub.base_url());
    })
    .await;
    app.provided_by(&stub);
    (app, stub)
}

/// True when a client that joins all texts of the events would read the word.
fn readable(text: &str) -> bool {
    let mut joined = String::new();
    for line in text
        .lines()
        .map(|line| line.strip_prefix("data:").unwrap_or(line).trim())
    {
        let value: Value = serde_json::from_str(line).unwrap_or_default();
        collect(&value, &mut joined);
    }
    text.to_lowercase().contains("forbidden") || joined.to_lowercase().contains("forbidden")
}

fn collect(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            out.push_str(text);
            // Arguments of tools are JSON within a string: their reader unescapes once more.
            collect(&serde_json::from_str(text).unwrap_or_default(), out);
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
        Value::Object(map) => map.values().for_each(|item| collect(item, out)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_chunks_do_not_carry_text_past_a_check() {
    let chunks = [
        json!([{ "index": -1, "delta": { "content": "forbidden" } }]),
        json!([{ "index": 4_294_967_296_u64, "delta": { "content": "forbidden" } }]),
        json!([{ "index": "0", "delta": { "content": "forbidden" } }]),
        json!([{ "delta": { "content": "forbidden" } }]),
        json!([{ "index": 0.5, "delta": { "content": "forbidden" } }]),
        json!([{ "index": 0, "delta": { "content": ["forbidden"] } }]),
        json!([{ "index": 0, "delta": { "content": { "text": "forbidden" } } }]),
        json!([{ "index": 0, "delta": "forbidden" }]),
        json!([{ "index": 0, "delta": ["forbidden"] }]),
        json!([["forbidden"]]),
        json!("forbidden"),
        json!({ "0": "forbidden" }),
        json!([{ "index": 0, "delta": { "tool_calls": [{ "index": -7, "function": { "arguments": "forbidden" } }] } }]),
        json!([{ "index": 0, "delta": { "tool_calls": [{ "function": { "name": "forbidden", "arguments": "" } }] } }]),
        json!([{ "index": 0, "delta": { "tool_calls": "forbidden" } }]),
        json!([{ "index": 0, "delta": { "function_call": { "arguments": "forbidden" } } }]),
        json!([{ "index": 0, "delta": { "content": "for" } }, { "index": 0, "delta": { "content": "bidden" } }]),
        json!([{ "index": 0, "delta": { "tool_calls": [
            { "index": 0, "function": { "arguments": "{\"a\":\"for" } }, { "index": 0, "function": { "arguments": "bidden\"}" } },
        ] } }]),
    ];
    let mut leaks = Vec::new();
    for choices in chunks {
        let chunk = json!({ "id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices });
        let body = format!("data: {chunk}\n\ndata: [DONE]\n\n");
        let (app, _stub) = provided("BLOCK", "text/event-stream", &body).await;
        let answer = app.chat("echo", json!({ "stream": true })).await;
        if readable(&answer.text()) {
            leaks.push(format!("{choices} gave {}", answer.text()));
        }
        app.record_of(&answer).await;
    }
    for body in [
        "data: \"forbidden\"\n\ndata: [DONE]\n\n",
        "data: forbidden\n\ndata: [DONE]\n\n",
        "event: forbidden\ndata: [DONE]\n\n",
        "id: forbidden\ndata: [DONE]\n\n",
        ": forbidden\n\ndata: [DONE]\n\n",
        "forbidden: x\n\ndata: [DONE]\n\n",
        "data: {\"object\":\"error\",\"message\":\"forbidden\"}\n\ndata: [DONE]\n\n",
        "data: [DONE]\n\ndata: forbidden\n\n",
        "data: [DONE] forbidden\n\n",
    ] {
        let (app, _stub) = provided("BLOCK", "text/event-stream", body).await;
        let answer = app.chat("echo", json!({ "stream": true })).await;
        if readable(&answer.text()) {
            leaks.push(format!("{body:?} gave {}", answer.text()));
        }
    }
    assert!(
        leaks.is_empty(),
        "text passed the check:\n{}",
        leaks.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_answers_do_not_carry_text_past_a_check() {
    let completion = |choices: Value| json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": choices });
    let said = |message: Value| {
        completion(json!([{ "index": 0, "message": message, "finish_reason": "stop" }]))
    };
    let mut leaks = Vec::new();
    for body in [
        json!("forbidden"),
        json!(["forbidden"]),
        json!({ "text": "forbidden" }),
        completion(json!("forbidden")),
        completion(json!({ "0": "forbidden" })),
        completion(json!([["forbidden"]])),
        completion(json!(["forbidden"])),
        said(json!("forbidden")),
        said(json!(["forbidden"])),
        said(json!({ "role": "assistant", "content": { "text": "forbidden" } })),
        said(json!({ "role": "assistant", "content": [["forbidden"]] })),
        said(json!({ "role": "assistant", "tool_calls": "forbidden" })),
        said(json!({ "role": "assistant", "tool_calls": [{ "function": "forbidden" }] })),
        said(
            json!({ "role": "assistant", "tool_calls": [{ "function": { "name": "f", "arguments": { "place": "forbidden" } } }] }),
        ),
        completion(
            json!([{ "index": "0", "message": { "role": "assistant", "content": "forbidden" } }]),
        ),
        completion(json!([{ "message": { "role": "assistant", "content": "forbidden" } }])),
        completion(
            json!([{ "index": 0, "message": { "content": "x" } }, { "index": 0, "message": { "content": "forbidden" } }]),
        ),
        json!({ "choices": [], "error": { "message": "forbidden" } }),
        json!({ "choices": [], "usage": { "note": "forbidden" } }),
        json!({ "choices": [], "warnings": ["forbidden"] }),
    ] {
        for action in ["BLOCK", "MASK"] {
            let (app, _stub) = provided(action, "application/json", &body.to_string()).await;
            let answer = app.chat("echo", json!({})).await;
            if readable(&answer.text()) {
                leaks.push(format!("{action}: {body} gave {}", answer.text()));
            }
            app.record_of(&answer).await;
        }
    }
    assert!(
        leaks.is_empty(),
        "text passed the check:\n{}",
        leaks.join("\n")
    );
}

/// What a provider writes into fields of fixed values does not get into records as it is.
#[tokio::test(flavor = "multi_thread")]
async fn finish_reasons_in_records_are_known_words() {
    let choice = json!({ "index": 0, "message": { "role": "assistant", "content": "x" }, "finish_reason": "metadata-canary in a finish reason" });
    let body = json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice] }).to_string();
    let (app, _stub) = provided("MASK", "application/json", &body).await;
    let answer = app.chat("echo", json!({})).await;
    let record = app.record_of(&answer).await;
    assert!(
        !record.document.to_string().contains("metadata-canary"),
        "{}",
        record.document
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn escapes_within_arguments_are_read_as_their_reader_reads_them() {
    let arguments = [
        r#"{"place":"\u0066orbidden"}"#,
        r#"{"place":"forb\u0069dden"}"#,
        r#"{"\u0066orbidden":1}"#,
    ];
    for arguments in arguments {
        for action in ["BLOCK", "MASK"] {
            let call = json!({ "index": 0, "id": "c", "type": "function", "function": { "name": "f", "arguments": arguments } });
            let choice = json!({ "index": 0, "finish_reason": "tool_calls", "message": { "role": "assistant", "content": null, "tool_calls": [call] } });
            let whole = json!({ "id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice] }).to_string();
            let (app, _stub) = provided(action, "application/json", &whole).await;
            let answer = app.chat("echo", json!({})).await;
            assert!(
                !readable(&answer.text()),
                "{action} {arguments} gave {}",
                answer.text()
            );

            // A character at a time.
            let piece = |text: char| {
                let call = json!({ "index": 0, "function": { "arguments": text } });
                let chunk = json!({ "id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [{ "index": 0, "delta": { "tool_calls": [call] }, "finish_reason": null }] });
                format!("data: {chunk}\n\n")
            };
            let stream: String = arguments.chars().map(piece).collect();
            let (app, _stub) =
                provided(action, "text/event-stream", &(stream + "data: [DONE]\n\n")).await;
            let answer = app.chat("echo", json!({ "stream": true })).await;
            let joined: String = answer
                .chunks()
                .iter()
                .filter_map(|chunk| {
                    chunk
                        .pointer("/choices/0/delta/tool_calls/0/function/arguments")?
                        .as_str()
                        .map(str::to_owned)
                })
                .collect();
            assert!(
                !readable(&format!("{}\n", json!(joined))),
                "{action} {arguments} streamed gave {joined}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_escaped_arguments_are_checked_as_the_model_reads_them() {
    let guardrails = words("pre_call", "forbidden", "BLOCK");
    let app = TestApp::with(|config| config["guardrails"] = guardrails).await;
    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": r#"{"q":"\u0066orbidden"}"# } });
    let messages = json!([{ "role": "user", "content": "x" }, { "role": "assistant", "content": null, "tool_calls": [call] }]);
    app.chat("echo", json!({ "messages": messages }))
        .await
        .refused(400, "blocked");
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unusual_framings_are_masked_like_any_other() {
    let guardrails = words("post_call", "sealed", "MASK");
    let app = TestApp::with(|config| config["guardrails"] = guardrails).await;
    for model in [
        "cr-only",
        "crlf",
        "comments",
        "no-done",
        "two-done",
        "after-done",
        "usage-in-every-chunk",
        "no-usage",
    ] {
        let answer = app.chat(model, json!({ "stream": true })).await;
        let text = answer.text().replace("\r\n", "\n").replace('\r', "\n");
        assert!(!readable_word(&text, "sealed world"), "{model}: {text}");
        let chunks: Vec<Value> = crate::support::events(&text)
            .iter()
            .filter_map(|event| serde_json::from_str(event).ok())
            .collect();
        assert_eq!(
            crate::support::content(&chunks, 0),
            "hello [GONE] world",
            "{model}: {text}"
        );
        assert_eq!(app.record_of(&answer).await.outcome(), "success", "{model}");
    }
}

fn readable_word(text: &str, word: &str) -> bool {
    let chunks: Vec<Value> = crate::support::events(text)
        .iter()
        .filter_map(|event| serde_json::from_str(event).ok())
        .collect();
    crate::support::content(&chunks, 0).contains(word)
}
