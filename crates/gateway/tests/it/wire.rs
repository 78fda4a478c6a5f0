//! What an unchanged client sees: bodies, chunks, headers, and what the provider is sent.

use serde_json::{Value, json};

use crate::support::{PROVIDER_KEY, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn plain_chat() {
    let app = TestApp::start().await;
    let answer = app
        .chat("echo", json!({ "n": 2, "temperature": 0.5, "seed": 7 }))
        .await;
    let body = answer.json();
    assert_eq!(
        (
            answer.status,
            body["object"].as_str(),
            body["model"].as_str()
        ),
        (200, Some("chat.completion"), Some("echo"))
    );
    assert_eq!(body["choices"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("content-security-policy", "frame-ancestors 'none'"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert_eq!(answer.header("x-litellm-model-group"), Some("*"));
    let sent = &app.sandbox.requests()[0];
    assert_eq!(
        (sent.method.as_str(), sent.target.as_str()),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(
        sent.header("authorization"),
        Some(format!("Bearer {PROVIDER_KEY}").as_str())
    );
    assert_eq!(sent.header("accept-encoding"), Some("identity"));
    assert_eq!(
        (
            sent.json()["temperature"].as_f64(),
            sent.json()["seed"].as_u64()
        ),
        (Some(0.5), Some(7))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ours_is_not_forwarded() {
    let app = TestApp::start().await;
    let extras = json!({
        "metadata": { "tags": ["a"], "secret": "metadata-canary" }, "guardrails": [], "cache": { "no-cache": true }, "num_retries": 3,
        "timeout": 5, "tags": ["b"], "litellm_session_id": "s", "litellm_trace_id": "t", "x_unknown": { "kept": true },
    });
    let answer = app.chat("echo", extras).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = app.sandbox.requests()[0].json();
    for key in [
        "metadata",
        "guardrails",
        "cache",
        "num_retries",
        "timeout",
        "tags",
        "litellm_session_id",
        "litellm_trace_id",
    ] {
        assert!(sent.get(key).is_none(), "{key} was forwarded");
    }
    assert_eq!(
        sent["x_unknown"],
        json!({ "kept": true }),
        "unknown fields are inert data"
    );
    let headers = [
        ("cookie", "a=b"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-custom", "v"),
        ("openai-organization", "org"),
        ("referer", "x"),
    ];
    app.send(
        "POST",
        "/v1/chat/completions",
        &crate::support::prompt("echo", "x", json!({})).to_string(),
        &headers,
    )
    .await;
    let sent = &app.sandbox.requests()[1];
    for (name, _) in headers {
        assert!(
            sent.header(name).is_none(),
            "client header {name} was forwarded"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streamed_chat() {
    let app = TestApp::start().await;
    let answer = app.chat("echo", json!({ "stream": true })).await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    assert_eq!(answer.header("x-accel-buffering"), Some("no"));
    let chunks = answer.chunks();
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["model"] == "echo"),
        "{}",
        answer.text()
    );
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk.get("usage").is_none_or(Value::is_null)),
        "usage is hidden: {}",
        answer.text()
    );
    assert!(chunks.iter().all(|chunk| {
        chunk["choices"]
            .as_array()
            .is_some_and(|list| !list.is_empty())
    }));
    assert_eq!(
        (
            answer.content(0).as_str(),
            answer.events().last().map(String::as_str)
        ),
        ("hello sealed world", Some("[DONE]"))
    );
    assert_eq!(
        app.sandbox.requests()[0].json()["stream_options"]["include_usage"],
        true,
        "usage is asked for upstream"
    );
    let used = app.record_of(&answer).await.document["execution"]["resources_used"].clone();
    assert_eq!(
        (used["tokens_out"].as_u64(), used.get("usage_estimated")),
        (Some(gateway::sandbox::tokens("hello sealed world")), None)
    );

    let asked = app
        .chat(
            "echo",
            json!({ "stream": true, "stream_options": { "include_usage": true } }),
        )
        .await;
    let last = asked.chunks().pop().expect("chunks");
    assert!(
        last["usage"]["total_tokens"].as_u64().is_some(),
        "{}",
        asked.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_in_both_forms() {
    let app = TestApp::start().await;
    let tool = |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object" } } });
    let tools = json!([tool("weather"), tool("time")]);
    let plain = app
        .chat(
            "tools",
            json!({ "tools": tools, "parallel_tool_calls": true }),
        )
        .await
        .json();
    let calls = plain["choices"][0]["message"]["tool_calls"]
        .as_array()
        .cloned()
        .expect("calls");
    assert_eq!(calls.len(), 2);
    let stream = app
        .chat("tools", json!({ "tools": tools, "stream": true }))
        .await;
    let mut arguments = [String::new(), String::new()];
    for chunk in stream.chunks() {
        for call in chunk
            .pointer("/choices/0/delta/tool_calls")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let index = call["index"].as_u64().expect("index") as usize;
            arguments[index] += call["function"]["arguments"].as_str().unwrap_or_default();
        }
    }
    for (call, arguments) in calls.iter().zip(&arguments) {
        assert_eq!(call["function"]["arguments"], arguments.as_str());
    }
    let record = app.record_of(&stream).await;
    assert_eq!(
        record.document["execution"]["tool_calls"]
            .as_array()
            .map(Vec::len),
        Some(3),
        "the provider call and the two that the model asked for"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings() {
    let app = TestApp::start().await;
    for format in ["float", "base64"] {
        let body = json!({ "model": "embed", "input": ["one", "two"], "encoding_format": format });
        let answer = app.post("/v1/embeddings", &body.to_string()).await;
        let json = answer.json();
        assert_eq!(
            (
                answer.status,
                json["object"].as_str(),
                json["model"].as_str()
            ),
            (200, Some("list"), Some("embed"))
        );
        assert_eq!(json["data"].as_array().map(Vec::len), Some(2));
        let record = app.record_of(&answer).await;
        assert_eq!(
            record.document["execution"]["resources_used"]["tokens_in"],
            json["usage"]["prompt_tokens"]
        );
    }
    assert_eq!(app.sandbox.requests()[0].target, "/v1/embeddings");
}

#[tokio::test(flavor = "multi_thread")]
async fn models() {
    let app = TestApp::with(|config| {
        config["model_list"].as_array_mut().expect("list").push(json!({
            "model_name": "gpt-fixed", "litellm_params": { "model": "openai/gpt-4o", "mock_response": "a fixed answer" },
        }));
    })
    .await;
    for path in ["/v1/models", "/models"] {
        let list = app.send("GET", path, "", &[]).await.json();
        assert_eq!(list["object"], "list");
        let ids: Vec<&str> = list["data"]
            .as_array()
            .expect("data")
            .iter()
            .filter_map(|model| model["id"].as_str())
            .collect();
        assert!(ids.contains(&"gpt-fixed"), "{ids:?}");
    }
    let one = app
        .send("GET", "/v1/models/gpt-fixed", "", &[])
        .await
        .json();
    assert_eq!(
        (one["id"].as_str(), one["object"].as_str()),
        (Some("gpt-fixed"), Some("model"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mock_answers_are_sealed_calls_without_a_provider() {
    let app = TestApp::with(|config| {
        config["model_list"].as_array_mut().expect("list").push(json!({
            "model_name": "fixed", "litellm_params": { "model": "openai/gpt-4o", "mock_response": "a fixed answer" },
        }));
    })
    .await;
    app.providers_elsewhere();
    for stream in [false, true] {
        let answer = app.chat("fixed", json!({ "stream": stream })).await;
        assert_eq!(answer.content(0), "a fixed answer", "{}", answer.text());
        assert_eq!(app.record_of(&answer).await.outcome(), "success");
    }
    assert_eq!(
        app.chat("fixed", json!({})).await.json()["usage"]["total_tokens"],
        30
    );
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_no_check_touches_are_forwarded_as_they_came() {
    let app = TestApp::start().await;
    let body = "{ \"messages\" : [ {\"role\":\"user\" , \"content\":\"\\u0068\\u00e9llo\\/\" } ],\n\t\"model\":\"echo\", \"temperature\":1.0e0, \"x\": 1.000000000000000000001 }";
    let answer = app.post("/v1/chat/completions", body).await;
    assert_eq!(answer.content(0), "héllo/");
    assert_eq!(
        String::from_utf8_lossy(&app.sandbox.requests()[0].body),
        body
    );
}
