//! The local check, blocked words: request and answer, plain and streamed, and what the record says about it.

use serde_json::{Value, json};

use crate::support::{Record, Stub, TestApp, words};

async fn checked(mode: &str, action: &str) -> TestApp {
    let guardrails = words(mode, "forbidden", action);
    TestApp::with(move |config| config["guardrails"] = guardrails).await
}

/// The coverage chains: `seen` is the previous `left`, and the last `left` is what was sent or delivered.
#[track_caller]
fn coverage(record: &Record) -> Vec<Value> {
    let chain = record.document["authority"]["chain"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let request: Vec<&Value> = chain
        .iter()
        .filter(|entry| entry["side"] == "request" && !entry["left"].is_null())
        .collect();
    for pair in request.windows(2) {
        assert_eq!(pair[0]["left"], pair[1]["seen"]);
    }
    if let Some(last) = request.last() {
        let sent = &record.document["context"]["environment"]["sent_text_digest"];
        assert!(
            sent.is_null() || *sent == last["left"],
            "the last `left` is what was sent"
        );
    }
    assert!(
        !record
            .document
            .to_string()
            .to_lowercase()
            .contains("forbidden"),
        "no finding repeats the matched text"
    );
    chain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_word_in_a_request_reaches_no_provider() {
    let app = checked("pre_call", "BLOCK").await;
    for text in ["forbidden", "some ForBidden text", "x\nFORBIDDEN\ny"] {
        for stream in [false, true] {
            let body =
                json!({ "stream": stream, "messages": [{ "role": "user", "content": text }] });
            let answer = app.chat("echo", body).await;
            answer.refused(400, "blocked");
            assert!(
                !answer.text().to_lowercase().contains("forbidden"),
                "the matched text is not repeated: {}",
                answer.text()
            );
            let record = app.record_of(&answer).await;
            assert_eq!((record.outcome(), record.code()), ("blocked", "blocked"));
            assert_eq!(coverage(&record)[0]["outcome"], "blocked");
        }
    }
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_of_a_request_is_checked() {
    let app = checked("pre_call", "BLOCK").await;
    let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{\"q\":\"forbidden\"}" } });
    for more in [
        json!({ "messages": [{ "role": "system", "content": "forbidden" }, { "role": "user", "content": "x" }] }),
        json!({ "messages": [{ "role": "user", "content": [{ "type": "text", "text": "forbidden" }] }] }),
        json!({ "messages": [{ "role": "user", "content": "x" }, { "role": "assistant", "content": null, "tool_calls": [call] }] }),
        json!({ "messages": [{ "role": "tool", "tool_call_id": "c", "content": "forbidden" }] }),
        json!({ "messages": [{ "role": "user", "name": "forbidden", "content": "x" }] }),
        json!({ "tools": [{ "type": "function", "function": { "name": "f", "description": "forbidden", "parameters": {} } }] }),
        json!({ "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "properties": { "forbidden": {} } } } }] }),
        json!({ "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "description": "forbidden" } } } }),
        json!({ "prediction": { "type": "content", "content": "forbidden" } }),
        json!({ "x_unknown": { "deep": ["forbidden"] } }),
        json!({ "stop": ["forbidden"] }),
        json!({ "messages": [{ "role": "user", "content": "for\u{200b}x" }, { "role": "user", "content": "\u{66}orbidden" }] }),
    ] {
        app.chat("echo", more.clone()).await.refused(400, "blocked");
    }
    let escaped =
        br#"{"model":"echo","messages":[{"role":"user","content":"\u0066\u006frbidden"}]}"#;
    app.post_bytes("/v1/chat/completions", escaped.to_vec())
        .await
        .refused(400, "blocked");
    let embedding = json!({ "model": "embed", "input": ["fine", "forbidden"] });
    app.post("/v1/embeddings", &embedding.to_string())
        .await
        .refused(400, "blocked");
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_word_is_replaced_before_the_provider_sees_it() {
    let app = checked("pre_call", "MASK").await;
    let answer = app.say("echo", "a FORBIDDEN word, forbidden twice").await;
    assert_eq!(
        answer.content(0),
        "a [GONE] word, [GONE] twice",
        "{}",
        answer.text()
    );
    assert_eq!(
        app.sandbox.requests()[0].json()["messages"][0]["content"],
        "a [GONE] word, [GONE] twice"
    );
    let record = app.record_of(&answer).await;
    let chain = coverage(&record);
    assert_eq!(chain[0]["outcome"], "edited");
    assert_ne!(chain[0]["seen"], chain[0]["left"]);
    assert_eq!(answer.header("x-litellm-applied-guardrails"), Some("words"));
    let clean = app.say("echo", "nothing to see").await;
    let record = app.record_of(&clean).await;
    assert_eq!(coverage(&record)[0]["outcome"], "passed");
    assert_eq!(coverage(&record)[0]["seen"], coverage(&record)[0]["left"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_checked_before_it_is_delivered() {
    let app = checked("post_call", "BLOCK").await;
    let plain = app.say("echo", "an answer with a forbidden word").await;
    plain.refused(400, "blocked");
    assert_eq!(app.record_of(&plain).await.outcome(), "blocked");
    for model in ["echo", "letters"] {
        let stream = app.chat(model, json!({ "stream": true, "messages": [{ "role": "user", "content": "fine so far, forbidden then" }] })).await;
        assert!(
            !stream.text().to_lowercase().contains("forbidden"),
            "{model}: {}",
            stream.text()
        );
        assert!(
            !stream.content(0).contains("forb"),
            "{model}: not even a part: {}",
            stream.content(0)
        );
        assert!(
            "fine so far, ".starts_with(&stream.content(0)),
            "{model}: {}",
            stream.content(0)
        );
        assert!(!stream.events().contains(&"[DONE]".to_owned()));
        assert!(
            stream
                .events()
                .last()
                .is_some_and(|event| event.contains("\"blocked\"")),
            "{model}: {}",
            stream.text()
        );
        let record = app.record_of(&stream).await;
        assert_eq!(record.code(), "blocked", "{model}");
        coverage(&record);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_answer_is_the_same_streamed_and_whole() {
    let app = checked("post_call", "MASK").await;
    for text in [
        "forbidden",
        "a forbidden b",
        "forbiddenforbidden",
        "forbid den forbidden.",
        "nothing here",
        "ends in forb",
        "é forbidden é",
    ] {
        let want = text.replace("forbidden", "[GONE]");
        let plain = app.say("echo", text).await;
        assert_eq!(plain.content(0), want);
        for model in ["echo", "letters"] {
            for n in [1, 2] {
                let body = json!({ "stream": true, "n": n, "messages": [{ "role": "user", "content": text }] });
                let stream = app.chat(model, body).await;
                assert_eq!(stream.content(0), want, "{model}: {}", stream.text());
                assert_eq!(stream.events().last().map(String::as_str), Some("[DONE]"));
                if n == 2 {
                    assert_eq!(stream.content(1), format!("{want} (1)"), "{model}");
                }
                coverage(&app.record_of(&stream).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tool_arguments_reasoning_and_refusals_are_answers_too() {
    let app = checked("post_call", "BLOCK").await;
    let tool = json!([{ "type": "function", "function": { "name": "weather", "parameters": {} } }]);
    for stream in [false, true] {
        let body = json!({ "stream": stream, "tools": tool, "messages": [{ "role": "user", "content": "forbidden place" }] });
        let answer = app.chat("tools", body).await;
        assert!(!answer.text().contains("forbidden"), "{}", answer.text());
        assert_eq!(app.record_of(&answer).await.code(), "blocked");
    }
    let spoken = json!([{ "guardrail_name": "words", "litellm_params": {
        "guardrail": "litellm_content_filter", "mode": "post_call", "default_on": true,
        "blocked_words": [{ "keyword": "wants the same", "action": "BLOCK" }, { "keyword": "cannot help", "action": "BLOCK" }],
    } }]);
    let app = TestApp::with(move |config| config["guardrails"] = spoken).await;
    for model in ["reasoning", "refusal"] {
        for stream in [false, true] {
            let answer = app.chat(model, json!({ "stream": stream })).await;
            assert!(
                !answer.text().contains("the same text") && !answer.text().contains("cannot help"),
                "{model}: {}",
                answer.text()
            );
            assert_eq!(app.record_of(&answer).await.code(), "blocked", "{model}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_selects_more_checks_never_fewer() {
    let app = TestApp::with(|config| {
        let mut optional = words("pre_call", "forbidden", "BLOCK");
        optional[0]["litellm_params"]["default_on"] = json!(false);
        config["guardrails"] = optional;
    })
    .await;
    assert_eq!(
        app.say("echo", "forbidden").await.status,
        200,
        "not selected, not run"
    );
    let messages = json!([{ "role": "user", "content": "forbidden" }]);
    for selection in [json!(["words"]), json!([{ "words": {} }])] {
        app.chat(
            "echo",
            json!({ "messages": messages, "guardrails": selection }),
        )
        .await
        .refused(400, "blocked");
    }
    // Parameters of a check come from the configuration alone.
    let dynamic = json!([{ "words": { "extra_body": { "blocked_words": [] } } }]);
    let answer = app
        .chat(
            "echo",
            json!({ "messages": messages, "guardrails": dynamic }),
        )
        .await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    app.chat("echo", json!({ "guardrails": ["no-such-check"] }))
        .await
        .refused(400, "unknown_guardrail");
    let default = checked("pre_call", "BLOCK").await;
    for selection in [json!([]), json!(null), json!({ "words": false })] {
        let answer = default
            .chat(
                "echo",
                json!({ "messages": messages, "guardrails": selection }),
            )
            .await;
        assert!(
            (400..=422).contains(&answer.status),
            "a request switches nothing off: {}",
            answer.text()
        );
    }
    assert_eq!(default.sandbox.requests().len(), 0);
}

/// A gateway whose provider answers with `choice`, whole or as the one chunk of a stream.
async fn answered(action: &str, mut choice: Value, stream: bool) -> (TestApp, Stub) {
    let object = if stream {
        "chat.completion.chunk"
    } else {
        "chat.completion"
    };
    if let Some(message) = choice
        .as_object_mut()
        .filter(|_| stream)
        .and_then(|choice| choice.remove("message"))
    {
        choice["delta"] = message;
    }
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    let body = json!({ "id": "x", "object": object, "created": 1, "model": "m", "choices": [choice], "usage": usage }).to_string();
    let (kind, body) = match stream {
        true => (
            "text/event-stream",
            format!("data: {body}\n\ndata: [DONE]\n\n"),
        ),
        false => ("application/json", body),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    let stub = Stub::answering(head + &body).await;
    let guardrails = words("post_call", "forbidden", action);
    let app = TestApp::with(|config| {
        config["guardrails"] = guardrails;
        config["model_list"][0]["litellm_params"]["api_base"] = json!(stub.base_url());
    })
    .await;
    app.provided_by(&stub);
    (app, stub)
}

/// Whoever asks for `logprobs`, or whose provider has fields of its own, gets no text past a check.
#[tokio::test(flavor = "multi_thread")]
async fn text_beside_the_content_does_not_pass_a_check() {
    let token = |text: &str| json!({ "token": text, "logprob": -0.1, "bytes": text.as_bytes(), "top_logprobs": [] });
    let said = json!({ "role": "assistant", "content": "fine" });
    let mut leaks = Vec::new();
    for choice in [
        json!({ "index": 0, "message": { "role": "assistant", "content": "forbidden" }, "finish_reason": "stop",
            "logprobs": { "content": [token("forbidden")] } }),
        json!({ "index": 0, "message": { "role": "assistant", "content": "forbidden" }, "finish_reason": "stop",
            "logprobs": { "content": [token("for"), token("bidden")] } }),
        json!({ "index": 0, "message": said, "finish_reason": "stop", "text": "forbidden" }),
        json!({ "index": 0, "message": { "role": "assistant", "content": "fine", "reasoning": "forbidden" }, "finish_reason": "stop" }),
        json!({ "index": 0, "message": { "role": "assistant", "content": "fine", "reasoning_details": [{ "text": "forbidden" }] }, "finish_reason": "stop" }),
        json!({ "index": 0, "message": { "role": "assistant", "content": [{ "type": "text", "text": "forbidden" }] }, "finish_reason": "stop" }),
        json!({ "index": 0, "message": { "role": "assistant", "content": "fine", "audio": { "transcript": "forbidden" } }, "finish_reason": "stop" }),
        json!({ "index": 0, "message": { "role": "assistant", "content": "fine", "annotations": [{ "title": "forbidden" }] }, "finish_reason": "stop" }),
        json!({ "index": 0, "message": { "role": "assistant", "function_call": { "name": "f", "arguments": "forbidden" } }, "finish_reason": "stop" }),
    ] {
        for (action, stream) in [
            ("BLOCK", false),
            ("MASK", false),
            ("BLOCK", true),
            ("MASK", true),
        ] {
            let (app, _stub) = answered(action, choice.clone(), stream).await;
            let answer = app.chat("echo", json!({ "stream": stream })).await;
            let text = answer.text();
            let split = text.contains("\"for\"") && text.contains("\"bidden\"");
            let bytes = text.contains("102,111,114,98,105,100");
            if text.contains("forbidden") || split || bytes {
                leaks.push(format!("{action}, stream {stream}: {choice}"));
            }
        }
    }
    assert!(
        leaks.is_empty(),
        "text passed the check:\n{}",
        leaks.join("\n")
    );
}
