//! Every named error, provoked from outside, and its body read.

use std::collections::BTreeSet;

use serde_json::json;

use crate::support::{MASTER, TestApp, prompt, soon, words};

const CHAT: &str = "/v1/chat/completions";

/// The tests that read bodies of errors.
const TESTS: [&str; 14] = [
    include_str!("remote/hostile.rs"),
    include_str!("errors.rs"),
    include_str!("providers.rs"),
    include_str!("http.rs"),
    include_str!("upstream.rs"),
    include_str!("ssrf.rs"),
    include_str!("content.rs"),
    include_str!("reload.rs"),
    include_str!("routes.rs"),
    include_str!("routing.rs"),
    include_str!("identity/authz.rs"),
    include_str!("identity/budgets.rs"),
    include_str!("identity/limits.rs"),
    include_str!("replicas/outages.rs"),
];

/// Quoted words of the table that are no codes of ours: types and parameters.
const OTHER_WORDS: [&str; 7] = [
    "None",
    "request_body",
    "guardrails",
    "invalid_request_error",
    "auth_error",
    "throttling_error",
    "internal_server_error",
];

#[test]
fn every_code_of_the_source_is_tested() {
    let source = include_str!("../../src/error.rs");
    let table = source
        .split_once("pub fn public")
        .and_then(|(_, rest)| rest.split_once("///"))
        .expect("the table")
        .0;
    let quoted = table.split('"').skip(1).step_by(2);
    let codes: BTreeSet<&str> = quoted.filter(|word| !OTHER_WORDS.contains(word)).collect();
    assert!(codes.len() > 25, "{codes:?}");
    for code in codes {
        // These keep LiteLLM's body, which has no code.
        let asserted = match code {
            "not_found" => "\"detail\": \"Not Found\"".to_owned(),
            "method_not_allowed" => "\"detail\": \"Method Not Allowed\"".to_owned(),
            "route_denied" => "Virtual key is not allowed to call this route.".to_owned(),
            _ => format!("\"{code}"),
        };
        assert!(
            TESTS.iter().any(|test| test.contains(&asserted)),
            "`{code}` has no test"
        );
    }
}

/// Nothing provokes it from outside, so its body is read where it is made.
#[test]
fn the_text_of_an_internal_error_tells_nothing() {
    let body: serde_json::Value =
        serde_json::from_slice(&gateway::error::Error::Internal.body(Some("call-id")))
            .expect("JSON");
    assert_eq!(
        body,
        json!({ "error": {
        "message": "internal error", "type": "internal_server_error", "param": null, "code": "500", "sealgate_code": "internal",
        "call_id": "call-id",
    } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials() {
    let app = TestApp::start().await;
    for (headers, status, kind, begins) in [
        (
            vec![],
            401,
            "auth_error",
            "Authentication Error, No api key passed in.",
        ),
        (
            vec![("authorization", MASTER)],
            401,
            "auth_error",
            "Authentication Error, Malformed API Key passed in.",
        ),
        (
            vec![("authorization", "Bearer sk-unknown-0123456789")],
            401,
            "token_not_found_in_db",
            "Authentication Error, Invalid proxy server token",
        ),
        (
            vec![("authorization", "Bearer hello-there")],
            401,
            "auth_error",
            "Authentication Error, LiteLLM Virtual Key expected.",
        ),
        (
            vec![("x-api-key", MASTER), ("api-key", "sk-other-0123456789")],
            400,
            "auth_error",
            "Authentication Error, Two different",
        ),
    ] {
        for path in [CHAT, "/v1/embeddings"] {
            let answer = app.keyless("POST", path, &headers).await;
            answer.refused(status, "unauthenticated");
            assert_eq!(answer.error("type"), kind);
            assert!(
                answer
                    .error("message")
                    .as_str()
                    .is_some_and(|text| text.starts_with(begins)),
                "{}",
                answer.text()
            );
        }
    }
    let bearer = format!("Bearer {MASTER}");
    for (name, value) in [
        ("authorization", bearer.as_str()),
        ("x-litellm-api-key", &bearer),
        ("api-key", MASTER),
        ("x-api-key", MASTER),
        ("x-goog-api-key", MASTER),
        ("ocp-apim-subscription-key", MASTER),
    ] {
        assert_eq!(
            app.keyless("GET", "/v1/models", &[(name, value)])
                .await
                .status,
            200,
            "{name}"
        );
    }
    let denied =
        TestApp::with(|config| config["sealgate"]["master_key_on_llm_routes"] = json!("deny"))
            .await;
    denied
        .chat("echo", json!({}))
        .await
        .refused(403, "master_key_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn targets() {
    let app = TestApp::with(|config| {
        let models = config["model_list"].as_array_mut().expect("list");
        models[0]["model_name"] = json!("echo");
        models[0]["litellm_params"]["model"] = json!("openai/echo");
        models.push(json!({ "model_name": "claude", "litellm_params": { "model": "bedrock/anthropic.claude-v2", "aws_region_name": "eu-west-1" } }));
    })
    .await;
    let missing = app.send("GET", "/no/such/route", "", &[]).await;
    assert_eq!(
        (missing.status, missing.json()),
        (404, json!({ "detail": "Not Found" }))
    );
    for (method, path, allow) in [
        ("GET", CHAT, "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/metrics", "GET"),
        ("PUT", "/v1/embeddings", "POST"),
    ] {
        let answer = app.send(method, path, "", &[]).await;
        assert_eq!(
            (answer.status, answer.json()),
            (405, json!({ "detail": "Method Not Allowed" })),
            "{method} {path}"
        );
        assert_eq!(answer.header("allow"), Some(allow));
    }
    for model in [json!("nothing"), json!(null)] {
        let answer = app.chat("x", json!({ "model": model })).await;
        answer.refused(400, "unknown_model");
        assert!(answer.error("message").as_str().is_some_and(|text| {
            text.starts_with("/chat/completions: Invalid model name passed in model=")
        }));
    }
    app.chat("x", json!({ "model": 7 }))
        .await
        .refused(400, "invalid_field");
    let none = app.send("GET", "/v1/models/nothing", "", &[]).await;
    assert_eq!(
        (none.status, none.json()),
        (
            404,
            json!({ "detail": "The model `nothing` does not exist or is not accessible" })
        )
    );
    let claude = app.chat("claude", json!({})).await;
    claude.refused(501, "provider_not_available");
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies() {
    let app =
        TestApp::with(|config| config["sealgate"]["limits"]["max_request_mb"] = json!(1)).await;
    let long = prompt("echo", &"x".repeat(1 << 20), json!({})).to_string();
    app.post(CHAT, &long).await.refused(413, "body_too_large");
    let mut raw = app.raw().await;
    raw.send(format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {MASTER}\r\ntransfer-encoding: chunked\r\n\r\n")).await;
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..20 {
        // The gateway may answer and close before the last piece.
        if !raw.send(&piece).await {
            break;
        }
    }
    assert!(
        raw.until(|text| text.contains("body_too_large")).await,
        "{}",
        raw.text()
    );
    let mut raw = app.raw().await;
    raw.send(format!("POST {CHAT} HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {MASTER}\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")).await;
    let answer = raw.closed().await;
    assert!(answer.contains("body_incomplete"), "{answer:?}");
    for (body, param) in [
        ("", "request_body"),
        ("{", "request_body"),
        ("[]", "request_body"),
        ("null", "request_body"),
        ("{} {}", "request_body"),
    ] {
        let answer = app.post(CHAT, body).await;
        answer.refused(400, "invalid_json");
        assert_eq!(answer.error("param"), param);
        assert!(
            answer
                .error("message")
                .as_str()
                .is_some_and(|text| text.starts_with("Invalid JSON payload: ")),
            "{}",
            answer.text()
        );
    }
    let deep = format!(
        "{{\"model\":\"echo\",\"messages\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    app.post(CHAT, &deep).await.refused(400, "invalid_json");
    for (body, field) in [
        (r#"{"model":"echo"}"#, "messages"),
        (r#"{"model":"echo","messages":"x"}"#, "messages"),
    ] {
        let answer = app.post(CHAT, body).await;
        assert_eq!(
            (answer.code().as_str(), answer.error("param").as_str()),
            ("invalid_field", Some(field)),
            "{}",
            answer.text()
        );
    }
    let answer = app.post("/v1/embeddings", r#"{"model":"embed"}"#).await;
    assert_eq!(
        answer.error("message"),
        "/embeddings: Missing required parameter: 'input'."
    );
    answer.refused(400, "invalid_field");
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_that_cannot_run() {
    let app = TestApp::with(|config| {
        let mut list = words("pre_call", "forbidden", "BLOCK");
        list.as_array_mut().expect("list").push(json!({
            "guardrail_name": "remote", "litellm_params": { "guardrail": "lakera_v2", "mode": "pre_call", "api_key": "sk-lakera-canary-0123456789" },
        }));
        config["guardrails"] = list;
        config["sealgate"]["opaque_parts"] = json!("block");
    })
    .await;
    app.chat("echo", json!({ "guardrails": ["remote"] }))
        .await
        .refused(503, "check_not_available");
    let image =
        json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }]);
    app.chat(
        "echo",
        json!({ "messages": [{ "role": "user", "content": image }] }),
    )
    .await
    .refused(400, "not_inspectable");
    app.chat("echo", json!({ "guardrails": ["nothing"] }))
        .await
        .refused(400, "unknown_guardrail");
    app.say("echo", "forbidden").await.refused(400, "blocked");
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_signed_can_go_back_while_images_cannot() {
    for (setting, status) in [("block", 400), ("pass_reasoning", 200)] {
        let app = TestApp::with(|config| {
            config["guardrails"] = words("pre_call", "forbidden", "BLOCK");
            config["sealgate"]["opaque_parts"] = json!(setting);
        })
        .await;
        let signed = json!([{ "role": "user", "content": "x" },
            { "role": "assistant", "content": [{ "type": "thinking", "thinking": "hm", "signature": "c2ln" }, { "type": "text", "text": "y" }] },
            { "role": "user", "content": "z" }]);
        let answer = app.chat("echo", json!({ "messages": signed })).await;
        assert_eq!(answer.status, status, "{setting}: {}", answer.text());
        let image =
            json!([{ "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } }]);
        let image = json!({ "messages": [{ "role": "user", "content": image }] });
        let answer = app.chat("echo", image).await;
        answer.refused(400, "not_inspectable");
        assert_eq!(app.sandbox.requests().len(), usize::from(status == 200));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_gateway() {
    let app = TestApp::with(|config| config["sealgate"]["limits"]["max_parallel"] = json!(1)).await;
    let mut first = app.open("hang-after-1", json!({ "stream": true })).await;
    assert!(first.until(|text| text.contains("\"content\":\"A\"")).await);
    let refused = app.chat("echo", json!({})).await;
    refused.refused(429, "too_many_parallel");
    assert!(refused.header("retry-after").is_some());
    first.leave().await;
    app.calls(1).await;
    app.at_rest().await;
    assert_eq!(
        app.chat("echo", json!({})).await.status,
        200,
        "the slot came back"
    );

    let app = TestApp::with(|config| config["sealgate"]["limits"]["settle_slots"] = json!(1)).await;
    let mut first = app.open("hang-after-1", json!({ "stream": true })).await;
    assert!(first.until(|text| text.contains("\"content\":\"A\"")).await);
    app.chat("echo", json!({})).await.refused(503, "overloaded");
    first.leave().await;
    app.calls(1).await;
    app.at_rest().await;
    assert_eq!(app.chat("echo", json!({})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_durable_intent_nothing_is_sent() {
    let app = TestApp::start().await;
    assert_eq!(app.chat("echo", json!({})).await.status, 200);
    app.store().set_room(false);
    let refused = soon("refusals", async {
        loop {
            let answer = app.chat("echo", json!({})).await;
            if answer.status != 200 {
                return answer;
            }
        }
    })
    .await;
    refused.refused(503, "audit_unavailable");
    let seen = app.sandbox.requests().len();
    for _ in 0..5 {
        app.chat("echo", json!({}))
            .await
            .refused(503, "audit_unavailable");
    }
    assert_eq!(
        app.sandbox.requests().len(),
        seen,
        "nothing is sent that cannot be recorded"
    );
    app.store().heal();
    soon("recovery without a restart", async {
        while app.chat("echo", json!({})).await.status != 200 {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn draining() {
    let app =
        TestApp::with(|config| config["sealgate"]["limits"]["drain_timeout"] = json!(20)).await;
    let mut open = app.open("drip-30", json!({ "stream": true })).await;
    assert!(open.until(|text| text.contains("\"content\":\"A\"")).await);
    // One client is in the middle of its request, one is connected and idle.
    let request = app.raw_chat("echo", json!({}));
    let (first, rest) = request.split_at(request.len() - 10);
    let mut sending = app.raw().await;
    sending.send(first).await;
    let mut idle = app.raw().await;
    idle.send("GET /health/liveliness HTTP/1.1\r\nhost: g\r\n\r\n")
        .await;
    assert!(idle.until(|text| text.contains("alive")).await);
    let stopping = app.begin_shutdown();
    app.refuses_connections().await;
    sending.send(rest).await;
    let text = sending.closed().await;
    assert!(
        text.contains("\"shutting_down\"") && sending.statuses() == [503],
        "{text}"
    );
    idle.send(&request).await;
    let text = idle.closed().await;
    assert!(!text.contains("hello"), "no new call is taken: {text}");
    let answer = open.rest().await;
    assert_eq!(
        answer.events().last().map(String::as_str),
        Some("[DONE]"),
        "an open stream finishes"
    );
    stopping.await;
    assert_eq!(app.calls(1).await[0].outcome(), "success");
}
