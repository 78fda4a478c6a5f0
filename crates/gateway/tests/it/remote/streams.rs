//! Streams that a service judges: held whole, judged, then delivered as they came, or not at all.

use serde_json::{Value, json};

use super::service::{Act, Service};
use super::{app, entries, generic, none};
use crate::support::TestApp;

fn blocks(word: &'static str) -> impl Fn(&Value) -> Act {
    move |asked| match asked["texts"].to_string().contains(word) {
        true => Act::json(json!({ "action": "BLOCKED", "blocked_reason": "not this" })),
        false => none(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_passes_is_what_the_provider_sent() {
    let service = Service::start(blocks("poison")).await;
    let guarded = app(generic(&service, "post_call", json!({}))).await;
    let free = TestApp::start().await;
    for model in ["echo", "letters", "tools", "reasoning"] {
        let body =
            json!({ "stream": true, "messages": [{ "role": "user", "content": "some words" }] });
        let with = guarded.chat(model, body.clone()).await;
        let without = free.chat(model, body).await;
        assert_eq!(with.status, 200, "{}", with.text());
        assert_eq!(with.content(0), without.content(0), "{model}");
        assert_eq!(with.events().len(), without.events().len(), "{model}");
        assert_eq!(with.header("x-litellm-applied-guardrails"), Some("guard"));
        let record = guarded.record_of(&with).await;
        for entry in entries(&record, "guard") {
            assert_eq!(entry["outcome"], "passed", "{entry}");
            assert_eq!(entry["delivery"], "buffered");
        }
        assert!(!entries(&record, "guard").is_empty(), "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_refused_stream_is_delivered() {
    let service = Service::start(blocks("poison")).await;
    let app = app(generic(&service, "post_call", json!({}))).await;
    for model in ["echo", "letters"] {
        let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "sweet words, then poison" }] });
        let answer = app.chat(model, body).await;
        answer.refused(400, "blocked");
        assert!(!answer.text().contains("sweet"), "{}", answer.text());
        let record = app.record_of(&answer).await;
        assert_eq!(record.outcome(), "blocked");
        let used = &record.document["execution"]["resources_used"];
        assert!(
            used["tokens_out"].as_u64() > Some(0),
            "what the provider made is charged: {used}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_changes_the_texts_of_a_stream() {
    let service = Service::start(|asked| {
        let texts = asked["texts"].as_array().cloned().unwrap_or_default();
        let change = |text: &Value| {
            json!(
                text.as_str()
                    .unwrap_or_default()
                    .replace("Zora", "<PERSON>")
            )
        };
        let texts: Vec<Value> = texts.iter().map(change).collect();
        Act::json(json!({ "action": "GUARDRAIL_INTERVENED", "texts": texts }))
    })
    .await;
    let app = app(generic(&service, "post_call", json!({}))).await;
    for model in ["echo", "letters"] {
        let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "ask Zora and Zora" }] });
        let answer = app.chat(model, body).await;
        assert_eq!(
            answer.content(0),
            "ask <PERSON> and <PERSON>",
            "{}",
            answer.text()
        );
        let record = app.record_of(&answer).await;
        assert_eq!(entries(&record, "guard")[0]["outcome"], "edited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_kept_alive_while_a_service_thinks() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let service = {
        let gate = gate.clone();
        let late = json!({ "action": "BLOCKED", "blocked_reason": "too late" });
        Service::start(move |_| Act::Wait(gate.clone(), late.clone())).await
    };
    let guardrails = generic(&service, "post_call", json!({ "timeout": 120 }));
    let app = TestApp::with(|config| {
        config["guardrails"] = guardrails;
        config["sealgate"]["limits"]["keep_alive_interval"] = json!(0.1);
    })
    .await;
    let body = json!({ "stream": true, "messages": [{ "role": "user", "content": "slow judge" }] });
    let mut open = app.open("echo", body).await;
    assert!(open.until(|seen| seen.contains(':')).await, "a comment");
    gate.add_permits(1);
    let all = open.rest().await.text();
    assert!(!all.contains("slow judge"), "{all}");
    assert!(all.contains("too late"), "one event says why: {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_service_refuses_a_stream_before_its_first_byte() {
    let service = Service::start(|_| Act::Answer(500, "{}".into())).await;
    let app = app(generic(&service, "post_call", json!({}))).await;
    let answer = app.chat("echo", json!({ "stream": true })).await;
    answer.refused(503, "check_failed");
    let record = app.record_of(&answer).await;
    assert_eq!(entries(&record, "guard")[0]["outcome"], "failed_closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_only_logs_is_not_shown_streams_and_the_record_says_so() {
    let service = Service::start(blocks("hello")).await;
    let app = app(generic(&service, "logging_only", json!({}))).await;
    let plain = app.chat("echo", json!({})).await;
    assert_eq!(plain.status, 200, "{}", plain.text());
    let record = app.record_of(&plain).await;
    let found = entries(&record, "guard");
    assert!(
        found.len() >= 2 && found.iter().all(|entry| entry["outcome"] == "observed"),
        "{found:?}"
    );
    let stream = app.chat("echo", json!({ "stream": true })).await;
    assert_eq!(stream.status, 200, "{}", stream.text());
    let record = app.record_of(&stream).await;
    let of_answer = entries(&record, "guard")
        .into_iter()
        .find(|entry| entry["side"] == "answer");
    assert_eq!(of_answer.expect("an entry")["outcome"], "not_run");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_are_held_too() {
    let service = Service::start(blocks("poison")).await;
    let app = app(generic(&service, "post_call", json!({}))).await;
    let ask = |text: &str| {
        [
            (
                "/v1/responses",
                json!({ "model": "echo", "stream": true, "input": text }),
            ),
            (
                "/v1/messages",
                json!({ "model": "echo", "stream": true, "max_tokens": 50, "messages": [{ "role": "user", "content": text }] }),
            ),
            (
                "/v1/completions",
                json!({ "model": "echo", "stream": true, "prompt": text }),
            ),
        ]
    };
    for (path, body) in ask("a poison apple") {
        let answer = app.post(path, &body.to_string()).await;
        assert!(
            !answer.text().contains("poison"),
            "{path}: {}",
            answer.text()
        );
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    }
    for (path, body) in ask("a ripe apple") {
        let answer = app.post(path, &body.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.text().contains("apple"), "{path}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_streams_do_not_mix() {
    let service = Service::start(|asked| {
        let texts = asked["texts"].as_array().cloned().unwrap_or_default();
        let change =
            |text: &Value| json!(text.as_str().unwrap_or_default().replace("mark", "seen"));
        let texts: Vec<Value> = texts.iter().map(change).collect();
        Act::json(json!({ "action": "GUARDRAIL_INTERVENED", "texts": texts }))
    })
    .await;
    let app = app(generic(&service, "post_call", json!({ "timeout": 120 }))).await;
    let app = std::sync::Arc::new(app);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100 {
        let app = app.clone();
        calls.spawn(async move {
            let text = format!("mark {number} and again mark {number}");
            let body = json!({ "stream": true, "messages": [{ "role": "user", "content": text }] });
            (number, app.chat("letters", body).await)
        });
    }
    while let Some(done) = calls.join_next().await {
        let (number, answer) = done.expect("no panic");
        let wanted = format!("seen {number} and again seen {number}");
        assert_eq!(answer.content(0), wanted, "{}", answer.text());
    }
}
