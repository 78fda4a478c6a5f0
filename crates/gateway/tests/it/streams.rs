//! STR family: clients and servers that leave in the middle.

use std::time::{Duration, Instant};

use gateway::sandbox::Outcome;
use serde_json::{Value, json};

use crate::support::{TestApp, soon};

fn streamed(more: Value) -> Value {
    let mut body = json!({ "stream": true });
    body.as_object_mut()
        .expect("object")
        .extend(more.as_object().expect("object").clone());
    body
}

/// Opens a stream, reads until `enough`, leaves; the provider's call must end within a second.
async fn leave(app: &TestApp, model: &str, more: Value, enough: &str) -> Value {
    let index = app.sandbox.requests().len();
    let mut open = app.open(model, streamed(more)).await;
    assert_eq!(open.status, 200);
    assert!(
        open.until(|text| text.contains(enough)).await,
        "{model}: `{enough}` came"
    );
    let id = open.headers["x-litellm-call-id"]
        .to_str()
        .expect("text")
        .to_owned();
    open.leave().await;
    let left = Instant::now();
    let journal = app.sandbox.journal();
    soon(
        "the end of the provider's call",
        journal.until(|all| all.get(index).is_some_and(|r| r.outcome != Outcome::Open)),
    )
    .await;
    assert!(
        left.elapsed() <= Duration::from_secs(1),
        "{model}: cancelled after {:?}",
        left.elapsed()
    );
    app.record(&id).await.document
}

#[tokio::test(flavor = "multi_thread")]
async fn str_01_a_client_that_leaves_cancels_the_provider() {
    let app = TestApp::start().await;
    let first = leave(&app, "hang-after-1", json!({}), "\"content\":\"A\"").await;
    assert_eq!(
        (
            first["outcome"]["status"].as_str(),
            first["outcome"]["error"].as_str()
        ),
        (Some("partial"), Some("client_gone"))
    );
    assert!(
        first["execution"]["resources_used"]["tokens_out"]
            .as_u64()
            .is_some_and(|n| n >= 1),
        "billed for what was delivered"
    );
    assert_eq!(app.sandbox.requests()[0].outcome, Outcome::Abandoned);

    let tool = json!({ "type": "function", "function": { "name": "weather", "parameters": {} } });
    let dripping = leave(&app, "drip-100", json!({ "tools": [tool] }), "\"content\"").await;
    assert_eq!(dripping["outcome"]["error"], "client_gone");

    let last = leave(&app, "echo", json!({}), "finish_reason\":\"stop\"").await;
    assert!(
        matches!(
            last["outcome"]["status"].as_str(),
            Some("partial" | "success")
        ),
        "{}",
        last["outcome"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn str_01_a_client_that_leaves_before_the_first_byte() {
    let app = TestApp::start().await;
    for body in [json!({}), json!({ "stream": true })] {
        let index = app.sandbox.requests().len();
        let mut raw = app.raw().await;
        raw.send(app.raw_chat("hang", body)).await;
        let journal = app.sandbox.journal();
        soon(
            "the provider's call",
            journal.until(|all| all.len() == index + 1),
        )
        .await;
        drop(raw);
        let left = Instant::now();
        soon(
            "the end of the provider's call",
            journal.until(|all| {
                all.get(index)
                    .is_some_and(|r| r.outcome == Outcome::Abandoned)
            }),
        )
        .await;
        assert!(left.elapsed() <= Duration::from_secs(1));
        let records = app.calls(index + 1).await;
        let record = &records[index];
        assert_eq!(
            (record.outcome(), record.code()),
            ("partial", "client_gone")
        );
    }
}

/// The time limit is that of the system's TCP, a minute, so this runs with the long tests.
#[tokio::test(flavor = "multi_thread")]
async fn str_03_a_client_that_stops_reading_is_let_go() {
    if std::env::var_os("SEALGATE_LONG_TESTS").is_none() {
        return;
    }
    let app = TestApp::start().await;
    let mut raw = app.raw().await;
    raw.send(app.raw_chat("chunks-20000", json!({ "stream": true })))
        .await;
    assert!(raw.until(|text| text.contains("HTTP/1.1 200")).await);
    // Nothing more is read from here on: the window closes and the gateway can write no more.
    let call = app
        .calls_within(1, Duration::from_secs(120))
        .await
        .remove(0);
    assert_eq!((call.outcome(), call.code()), ("partial", "client_gone"));
    app.at_rest().await;
    drop(raw);
}

#[tokio::test(flavor = "multi_thread")]
async fn str_05_shutdown_with_open_streams() {
    let app =
        TestApp::with(|config| config["sealgate"]["limits"]["drain_timeout"] = json!(1)).await;
    let mut streams = Vec::new();
    let count = if std::env::var_os("SEALGATE_LONG_TESTS").is_some() {
        1000
    } else {
        200
    };
    for index in 0..count {
        let model = if index % 2 == 0 {
            "hang-after-1"
        } else {
            "drip-10"
        };
        let mut open = app.open(model, streamed(json!({ "max_tokens": 20 }))).await;
        assert!(open.until(|text| text.contains("\"content\":\"A\"")).await);
        streams.push((model, open));
    }
    let began = Instant::now();
    let stopping = app.begin_shutdown();
    for (model, open) in streams {
        let answer = open.rest().await;
        let events = answer.events();
        let done = events.last().is_some_and(|event| event == "[DONE]");
        let told = events
            .last()
            .is_some_and(|event| event.contains("shutting_down"));
        assert!(
            done || told,
            "{model}: finished or told: {:?}",
            events.last()
        );
        assert!(
            model == "hang-after-1" || done,
            "a stream that can finish does"
        );
    }
    stopping.await;
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    let records = app.calls(count).await;
    assert_eq!(records.len(), count);
    assert_eq!(
        records
            .iter()
            .filter(|record| record.outcome() == "success")
            .count(),
        count / 2
    );
    assert_eq!(
        records
            .iter()
            .filter(|record| record.outcome() == "partial")
            .count(),
        count / 2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_filled_with_comments() {
    let app =
        TestApp::with(|config| config["sealgate"]["limits"]["keep_alive_interval"] = json!(0.2))
            .await;
    let mut open = app.open("hang-after-1", streamed(json!({}))).await;
    assert!(
        open.until(|text| text.matches("\n: ").count() + text.matches("\n:\n").count() >= 2)
            .await,
        "comments came"
    );
    open.leave().await;
    assert_eq!(app.calls(1).await[0].outcome(), "partial");
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_frames_leave_in_one_write_and_nothing_waits_for_acknowledgements() {
    let app = TestApp::start().await;
    // Twelve paced chunks: 40 ms of delayed acknowledgement on each would be half a second more. The best of a few counts, so
    // that a busy machine does not.
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let answer = app
            .chat("drip-20", streamed(json!({ "max_tokens": 10 })))
            .await;
        best = best.min(began.elapsed());
        assert_eq!(answer.content(0).split(' ').count(), 10);
    }
    assert!(best < Duration::from_millis(600), "{best:?}");
}
