//! UP family: providers that lie, break off, or say too much.

use serde_json::{Value, json};

use crate::support::{PROVIDER_KEY, Stub, TestApp};

fn streamed() -> Value {
    json!({ "stream": true })
}

#[tokio::test(flavor = "multi_thread")]
async fn up_01_an_echoed_key_is_scrubbed() {
    let app = TestApp::start().await;
    for more in [json!({}), streamed()] {
        let answer = app.chat("fail-401-echo-key", more).await;
        answer.refused(401, "upstream_error");
        assert!(
            answer
                .error("message")
                .as_str()
                .is_some_and(|text| text.contains("Incorrect API key provided")),
            "{}",
            answer.text()
        );
        let (head, tail) = (&PROVIDER_KEY[..12], &PROVIDER_KEY[PROVIDER_KEY.len() - 8..]);
        for part in [PROVIDER_KEY, head, tail] {
            assert!(!answer.text().contains(part), "{}", answer.text());
            assert!(!format!("{:?}", answer.headers).contains(part));
        }
    }
    let cut = app.chat("error-in-stream", streamed()).await;
    assert!(!cut.text().contains(PROVIDER_KEY), "{}", cut.text());
    let hidden = app.chat("error-with-200", json!({})).await;
    assert!(!hidden.text().contains(PROVIDER_KEY), "{}", hidden.text());
}

/// A stream that the provider broke: what came before is delivered, then one error event, and no `[DONE]`.
#[track_caller]
fn ends_in_error(answer: &crate::support::Answer, code: &str) {
    let events = answer.events();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let errors: Vec<&String> = events
        .iter()
        .filter(|event| event.contains("\"error\""))
        .collect();
    assert_eq!(errors.len(), 1, "one error event: {events:?}");
    assert_eq!(
        events.last(),
        errors.first().copied(),
        "the error is the last event"
    );
    let error: Value = serde_json::from_str(errors[0]).expect("JSON");
    assert_eq!(error["error"]["sealgate_code"], code, "{error}");
    assert!(!events.contains(&"[DONE]".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn up_03_streams_that_break_the_format() {
    let app = TestApp::start().await;
    for (model, code) in [
        ("half-event", "upstream_cut"),
        ("cut-after-3", "upstream_cut"),
    ] {
        ends_in_error(&app.chat(model, streamed()).await, code);
    }
    for model in ["huge-event", "comment-flood"] {
        let answer = app.chat(model, streamed()).await;
        assert!(
            answer.body.len() < 2 << 20,
            "{model}: bounded, got {} bytes",
            answer.body.len()
        );
        ends_in_error(&answer, "upstream_invalid");
    }
    for model in [
        "cr-only",
        "crlf",
        "comments",
        "no-done",
        "two-done",
        "after-done",
    ] {
        let answer = app.chat(model, streamed()).await;
        assert!(
            answer.complete && answer.status == 200,
            "{model}: {}",
            answer.text()
        );
        let text = answer.text().replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!(text.matches("[DONE]").count(), 1, "{model}: {text}");
        assert!(
            !text.contains("AFTER-DONE"),
            "nothing after the end: {text}"
        );
        let chunks: Vec<Value> = crate::support::events(&text)
            .iter()
            .filter_map(|event| serde_json::from_str(event).ok())
            .collect();
        assert_eq!(
            crate::support::content(&chunks, 0),
            "hello sealed world",
            "{model}"
        );
        let record = app.record_of(&answer).await;
        assert_eq!(record.outcome(), "success", "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_03_events_that_are_not_json_are_not_passed_through_a_check() {
    let app = TestApp::with(|config| {
        config["guardrails"] = json!([{ "guardrail_name": "words", "litellm_params": {
            "guardrail": "litellm_content_filter", "mode": "post_call", "default_on": true,
            "blocked_words": [{ "keyword": "forbidden", "action": "BLOCK" }],
        } }]);
    })
    .await;
    for model in ["bad-json", "dup-keys", "bad-utf8", "deep"] {
        ends_in_error(&app.chat(model, streamed()).await, "upstream_invalid");
        app.chat(model, json!({}))
            .await
            .refused(502, "upstream_invalid");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn up_03_plain_answers_that_are_not_what_they_should_be() {
    let app = TestApp::start().await;
    for model in [
        "bad-json",
        "dup-keys",
        "bad-utf8",
        "deep",
        "html",
        "gzip",
        "empty",
        "stream-anyway",
        "error-with-200",
    ] {
        let answer = app.chat(model, json!({})).await;
        assert!(
            [500, 502].contains(&answer.status),
            "{model}: {}",
            answer.text()
        );
        assert_eq!(app.record_of(&answer).await.outcome(), "failure", "{model}");
    }
    for model in ["html", "gzip", "empty", "not-a-stream"] {
        let answer = app.chat(model, streamed()).await;
        assert!(
            [500, 502].contains(&answer.status),
            "{model}: {} {}",
            answer.status,
            answer.text()
        );
    }
    app.chat("cut-after-3", json!({}))
        .await
        .refused(502, "upstream_cut");
    let small =
        TestApp::with(|config| config["sealgate"]["limits"]["max_response_mb"] = json!(1)).await;
    small
        .chat("huge-event", json!({}))
        .await
        .refused(502, "upstream_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn up_03_usage_that_lies_is_not_billed_as_told() {
    let app = TestApp::start().await;
    for (model, more) in [
        ("lying-usage", json!({})),
        ("lying-usage", streamed()),
        ("no-usage", json!({})),
        ("no-usage", streamed()),
    ] {
        let answer = app.chat(model, more).await;
        let record = app.record_of(&answer).await;
        let used = record.document["execution"]["resources_used"].clone();
        assert_eq!(used["usage_estimated"], true, "{model}: {used}");
        let counts = [used["tokens_in"].as_u64(), used["tokens_out"].as_u64()];
        assert!(
            counts
                .iter()
                .all(|count| count.is_some_and(|count| (1..1000).contains(&count))),
            "{model}: {used}"
        );
        assert!(
            used["cost_micro_usd"]
                .as_i64()
                .is_some_and(|cost| cost >= 0),
            "{model}: {used}"
        );
    }
    let running = app
        .chat(
            "usage-in-every-chunk",
            json!({ "stream": true, "stream_options": { "include_usage": true } }),
        )
        .await;
    let last = running
        .chunks()
        .iter()
        .filter_map(|chunk| chunk["usage"]["completion_tokens"].as_u64())
        .max();
    let record = app.record_of(&running).await;
    assert_eq!(
        record.document["execution"]["resources_used"]["tokens_out"].as_u64(),
        last,
        "the last usage counts, not the sum"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn up_05_only_listed_response_headers_pass() {
    let app = TestApp::start().await;
    for more in [json!({}), streamed()] {
        let answer = app.chat("set-cookie", more).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        for name in [
            "set-cookie",
            "location",
            "access-control-allow-origin",
            "access-control-allow-credentials",
            "server",
            "x-powered-by",
            "x-upstream-secret",
            "www-authenticate",
            "alt-svc",
            "refresh",
            "x-request-id",
        ] {
            let value = answer.header(name).unwrap_or_default();
            assert!(
                !value.contains("upstream")
                    && !value.contains("evil")
                    && !value.contains("sandbox"),
                "{name}: {value}"
            );
        }
        assert_eq!(
            answer.header("content-security-policy"),
            Some("frame-ancestors 'none'")
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(
            answer.header("set-cookie").is_none() && answer.header("x-upstream-secret").is_none()
        );
    }
    let html = app.chat("html", json!({})).await;
    assert_eq!(html.header("content-type"), Some("application/json"));
    assert!(!html.text().contains("<script>"), "{}", html.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn up_05_heads_that_no_server_should_send() {
    let good = "{\"id\":\"x\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[]}";
    let length = good.len();
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-a: b\0c\r\n".to_owned(),
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-big: {}\r\n",
            "h".repeat(1 << 20)
        ),
        "HTTP/1.1 20 OK\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 7\r\n".to_owned(),
    ] {
        let stub = Stub::answering(format!("{head}content-length: {length}\r\n\r\n{good}")).await;
        let app = TestApp::with(|config| {
            config["model_list"][0]["litellm_params"]["api_base"] = json!(stub.base_url())
        })
        .await;
        app.provided_by(&stub);
        let answer = app.chat("echo", json!({})).await;
        assert_eq!(answer.status, 502, "{head:?}: {}", answer.text());
        assert!(answer.header("x-a").is_none() && answer.header("x-big").is_none());
        assert_eq!(stub.requests().len(), 1);
    }
}
