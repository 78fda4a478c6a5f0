//! Settings that open something, or only look: each call that they touched says so in its record.

use serde_json::{Value, json};

use crate::support::{TestApp, words};

fn remote(default_on: bool) -> Value {
    json!([{ "guardrail_name": "remote", "litellm_params": {
        "guardrail": "lakera_v2", "mode": "pre_call", "api_key": "sk-lakera-0123456789abcdef", "default_on": default_on,
    } }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_not_built_stops_calls_unless_told_otherwise() {
    let closed = TestApp::with(|config| config["guardrails"] = remote(true)).await;
    closed
        .chat("echo", json!({}))
        .await
        .refused(503, "check_not_available");
    assert_eq!(closed.sandbox.requests().len(), 0);

    let open = TestApp::with(|config| {
        config["guardrails"] = remote(true);
        config["sealgate"]["inactive_checks"] = json!("pass");
    })
    .await;
    let answer = open.chat("echo", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = open.record_of(&answer).await;
    let entry = &record.document["authority"]["chain"][0];
    assert_eq!(
        (entry["check"].as_str(), entry["outcome"].as_str()),
        (Some("remote"), Some("not_run")),
        "{entry}"
    );
    assert!(
        entry["seen"].is_null() && entry["left"].is_null(),
        "no digest of what nobody saw: {entry}"
    );
    assert!(
        record
            .environment("opened")
            .to_string()
            .contains("inactive_checks"),
        "{}",
        record.document
    );
    let metrics = open.send("GET", "/metrics", "", &[]).await.text();
    assert!(
        metrics
            .lines()
            .any(|line| line.contains("inactive_checks") && line.trim().ends_with(" 1")),
        "counted: {metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_that_nobody_can_read_are_named_in_the_record() {
    let guardrails = words("pre_call", "forbidden", "BLOCK");
    let app = TestApp::with(|config| {
        config["guardrails"] = guardrails;
        config["sealgate"]["opaque_parts"] = json!("pass");
    })
    .await;
    let parts = json!([{ "type": "text", "text": "look" }, { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }]);
    let answer = app
        .chat(
            "echo",
            json!({ "messages": [{ "role": "user", "content": parts }] }),
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = app.record_of(&answer).await;
    assert!(
        record
            .environment("not_inspected")
            .to_string()
            .contains("image"),
        "{}",
        record.document
    );
    assert!(
        record
            .environment("opened")
            .to_string()
            .contains("opaque_parts"),
        "{}",
        record.document
    );
    assert!(!record.document.to_string().contains("AAAA"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_only_logs_changes_nothing_and_is_outside_the_chain() {
    let guardrails = words("logging_only", "forbidden", "BLOCK");
    let app = TestApp::with(|config| config["guardrails"] = guardrails).await;
    for stream in [false, true] {
        let body = json!({ "stream": stream, "messages": [{ "role": "user", "content": "a forbidden word" }] });
        let answer = app.chat("echo", body).await;
        assert_eq!(answer.content(0), "a forbidden word", "{}", answer.text());
        let record = app.record_of(&answer).await;
        let chain = record.document["authority"]["chain"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert!(!chain.is_empty(), "what was looked at is recorded");
        for entry in chain {
            assert_eq!(entry["outcome"], "observed", "{entry}");
            assert!(entry["left"].is_null(), "{entry}");
        }
        assert_eq!(record.outcome(), "success");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_beside_the_call_judges_before_the_answer_is_delivered() {
    let guardrails = words("during_call", "forbidden", "BLOCK");
    let app = TestApp::with(|config| config["guardrails"] = guardrails).await;
    for stream in [false, true] {
        let body = json!({ "stream": stream, "messages": [{ "role": "user", "content": "a forbidden word" }] });
        let answer = app.chat("echo", body).await;
        assert!(
            !answer.text().contains("a forbidden word"),
            "{}",
            answer.text()
        );
        answer.refused(400, "blocked");
        assert_eq!(app.record_of(&answer).await.outcome(), "blocked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_hash_can_be_the_reference_s() {
    let app = TestApp::with(|config| config["sealgate"]["prompt_hash"] = json!("reference")).await;
    let body = r#"{"model":"echo","messages":[{"role":"user","content":"h\u00e9llo"}]}"#;
    let answer = app.post("/v1/chat/completions", body).await;
    let record = app.record_of(&answer).await;
    // Python: json.dumps(messages, sort_keys=True), hashed.
    let known = [
        "[{\"content\": \"h\\u00e9llo\", \"role\": \"user\"}]",
        "[{\"content\":\"h\u{e9}llo\",\"role\":\"user\"}]",
    ]
    .map(|text| capsule::Hash::of(text.as_bytes()).hex());
    let hash = record.document["reasoning"]["prompt_hash"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(known.contains(&hash), "{hash} is none of {known:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_have_a_listener_of_their_own() {
    let app =
        TestApp::with(|config| config["sealgate"]["health_listen"] = json!("127.0.0.1:0")).await;
    let Some(health) = app.health_address() else {
        panic!("no health listener")
    };
    for (path, status) in [
        ("/health/liveliness", 200),
        ("/health/readiness", 200),
        ("/v1/models", 404),
        ("/health", 404),
        ("/health/readiness/details", 404),
        ("/v1/chat/completions", 404),
        ("/", 404),
    ] {
        assert_eq!(app.at(health, "GET", path).await.status, status, "{path}");
    }
    assert!([200, 401].contains(&app.at(health, "GET", "/metrics").await.status));
}
