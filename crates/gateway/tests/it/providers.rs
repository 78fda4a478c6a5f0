//! Errors of providers as clients see them, and as records say.

use serde_json::json;

use crate::support::{TestApp, soon};

#[tokio::test(flavor = "multi_thread")]
async fn providers_that_take_too_long() {
    let app = TestApp::with(|config| {
        config["sealgate"]["limits"]["first_byte_timeout"] = json!(1);
        config["sealgate"]["limits"]["idle_timeout"] = json!(1);
    })
    .await;
    app.chat("hang", json!({}))
        .await
        .refused(408, "upstream_timeout");
    app.chat("hang", json!({ "stream": true }))
        .await
        .refused(408, "upstream_timeout");
    let body = app.chat("hang-after-1", json!({})).await;
    assert!(
        body.status >= 400
            && ["upstream_timeout", "upstream_idle_timeout"].contains(&body.code().as_str()),
        "{}",
        body.text()
    );
    let stream = app.chat("hang-after-1", json!({ "stream": true })).await;
    assert!(
        stream
            .events()
            .last()
            .is_some_and(|event| event.contains("timeout")),
        "{}",
        stream.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn providers() {
    let app = TestApp::with(|config| {
        config["model_list"].as_array_mut().expect("list").push(json!({
            "model_name": "nobody", "litellm_params": { "model": "openai/x", "api_base": "http://127.0.0.1:9/v1", "api_key": "sk-x-0123456789abcdef" },
        }));
    })
    .await;
    for (status, seen, kind) in [
        (400, 400, "invalid_request_error"),
        (401, 401, "authentication_error"),
        (403, 403, "permission_error"),
        (404, 404, "invalid_request_error"),
        (422, 422, "invalid_request_error"),
        (429, 429, "throttling_error"),
        (500, 500, "internal_server_error"),
        (503, 503, "internal_server_error"),
        (529, 500, "internal_server_error"),
    ] {
        for stream in [false, true] {
            let answer = app
                .chat(&format!("fail-{status}"), json!({ "stream": stream }))
                .await;
            answer.refused(seen, "upstream_error");
            assert_eq!(answer.error("type"), kind);
            let record = app.record_of(&answer).await;
            assert_eq!(
                (record.outcome(), record.code()),
                ("failure", "upstream_error")
            );
            let attempts = &record.document["execution"]["tool_calls"][0]["result"]["attempts"];
            assert_eq!(attempts[0]["status"], status, "{attempts}");
        }
    }
    let limited = app.chat("fail-429", json!({})).await;
    assert_eq!(limited.header("retry-after"), Some("7"));
    app.chat("fail-413", json!({}))
        .await
        .refused(400, "context_length_exceeded");
    app.chat("cut-before-head", json!({}))
        .await
        .refused(502, "upstream_unreachable");
    app.chat("cut-after-3", json!({}))
        .await
        .refused(502, "upstream_cut");
    app.chat("bad-json", json!({}))
        .await
        .refused(502, "upstream_invalid");
    app.providers_elsewhere();
    app.chat("nobody", json!({}))
        .await
        .refused(502, "upstream_unreachable");
    soon("rest", app.at_rest()).await;
}
