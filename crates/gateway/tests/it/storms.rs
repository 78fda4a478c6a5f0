//! Providers that flap, hang, lie about when to come back or fail all at once; clients that leave meanwhile.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::routing::{attempts, counted, fleet, options, stubs_and_fleet};
use crate::support::{Stub, prompt, soon};

fn streamed() -> Value {
    json!({ "stream": true })
}

fn answer(status: &str, more: &str, body: &str) -> Bytes {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{more}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .into()
}

fn limited(retry_after: &str) -> Bytes {
    let body = json!({ "error": { "message": "slow down", "type": "requests", "code": "rate_limit_exceeded" } });
    let more = format!("content-type: application/json\r\nretry-after: {retry_after}\r\n");
    answer("429 Too Many Requests", &more, &body.to_string())
}

fn completion(text: &str) -> Bytes {
    let body = json!({
        "id": "x", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    });
    answer(
        "200 OK",
        "content-type: application/json\r\n",
        &body.to_string(),
    )
}

fn events(body: &str) -> Bytes {
    answer("200 OK", "content-type: text/event-stream\r\n", body)
}

/// Retries of a fast kind: no wait above 10 ms.
fn quick(num_retries: u32) -> Value {
    json!({ "num_retries": num_retries, "disable_cooldowns": true, "sealgate.retries": { "longest_wait": 0.01 } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flapping_provider_is_asked_again() {
    let down = || answer("503 Service Unavailable", "", "");
    let stub = Stub::in_turn([down(), down(), completion("up again")]).await;
    let app = stubs_and_fleet(
        &[("g", "m", json!({ "stub": 0 }))],
        &mut [&stub],
        quick(2),
        json!({}),
    )
    .await;
    for _ in 0..3 {
        let answer = app.chat("g", json!({})).await;
        assert_eq!(answer.content(0), "up again");
        assert_eq!(counted(&answer), (2, 0));
        assert_eq!(
            answer.header("x-sealgate-attempts"),
            Some("m=503, m=503, m=200")
        );
        assert_eq!(attempts(&app.record_of(&answer).await).len(), 3);
    }
    assert_eq!(stub.requests().len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn up_07_retry_after_is_capped_whatever_it_says() {
    for retry_after in [
        "99999999",
        "-5",
        "0",
        "1e400",
        "NaN",
        "18446744073709551616",
        "Wed, 21 Oct 2099 07:28:00 GMT",
        "soon",
    ] {
        let stub = Stub::in_turn([limited(retry_after), completion("ok")]).await;
        let app = stubs_and_fleet(
            &[("g", "m", json!({ "stub": 0 }))],
            &mut [&stub],
            quick(1),
            json!({}),
        )
        .await;
        let began = Instant::now();
        let answer = app.chat("g", json!({})).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{retry_after}");
        assert_eq!(
            (answer.status, counted(&answer)),
            (200, (1, 0)),
            "{retry_after}"
        );
        let record = app.record_of(&answer).await;
        let waited = &record.document["execution"]["tool_calls"][0]["result"]["attempts"][1];
        let waited = waited["waited_micros"].as_u64().unwrap_or_default();
        assert!(waited <= 10_000, "{retry_after}: {waited}");
    }
    // What the client is told is capped too.
    let stub = Stub::answering(limited("99999999")).await;
    let app = stubs_and_fleet(
        &[("g", "m", json!({ "stub": 0 }))],
        &mut [&stub],
        quick(0),
        json!({}),
    )
    .await;
    let answer = app.chat("g", json!({})).await;
    answer.refused(429, "upstream_error");
    assert_eq!(answer.header("retry-after"), Some("3600"));
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_do_not_become_a_storm() {
    let app = fleet(
        &[("g", "fail-500", json!({})), ("g", "fail-502", json!({}))],
        json!({
            "num_retries": 5, "disable_cooldowns": true,
            "sealgate.retries": { "longest_wait": 0.01, "budget_percent": 10, "floor_per_minute": 3 },
        }),
    )
    .await;
    let calls = 80;
    let all = (0..calls).map(|_| app.chat("g", json!({})));
    for answer in futures_of(all).await {
        assert!([500, 502].contains(&answer.status), "{}", answer.text());
    }
    let seen = app.sandbox.requests().len();
    assert!(
        seen <= calls + calls / 10,
        "{seen} requests for {calls} calls"
    );
    assert!(seen >= calls + 3);
    app.calls(calls).await;
}

/// Runs all of them at once.
async fn futures_of<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = all.map(Box::pin).collect();
    let mut done = Vec::new();
    soon(
        "all answers",
        std::future::poll_fn(|cx| {
            pending.retain_mut(|future| match future.as_mut().poll(cx) {
                std::task::Poll::Ready(output) => {
                    done.push(output);
                    false
                }
                std::task::Poll::Pending => true,
            });
            match pending.is_empty() {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        }),
    )
    .await;
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_not_an_answer() {
    for garbage in [
        "bad-json",
        "html",
        "error-with-200",
        "gzip",
        "empty",
        "cut-after-1",
        "cut-before-head",
    ] {
        let app = fleet(
            &[
                ("g", garbage, json!({ "order": 1 })),
                ("g", "echo", json!({ "order": 2 })),
            ],
            quick(1),
        )
        .await;
        let answer = app.chat("g", json!({})).await;
        assert_eq!(
            answer.content(0),
            "hello sealed world",
            "{garbage}: {}",
            answer.text()
        );
        assert_eq!(counted(&answer), (1, 0), "{garbage}");
        let record = app.record_of(&answer).await;
        let first = &record.document["execution"]["tool_calls"][0]["result"]["attempts"][0];
        // The provider had taken the prompt: it may charge for it, and the record does not forget that.
        let taken = first["status"] == 200;
        assert_eq!(first["wasted_tokens"].is_u64(), taken, "{garbage}: {first}");
        let used = &record.document["execution"]["resources_used"];
        assert_eq!(used["usage_estimated"] == true, taken, "{garbage}: {used}");
        assert_eq!(garbage != "cut-before-head", taken, "{garbage}: {first}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_repeated_until_its_first_event_and_never_after_it() {
    let failing = events("data: {\"error\":{\"message\":\"overloaded\",\"code\":\"x\"}}\n\n");
    let silent = events(": nothing\n\n");
    for first in [failing, silent, answer("500 No", "", "")] {
        let stub = Stub::answering(first).await;
        let app = stubs_and_fleet(
            &[
                ("g", "m", json!({ "stub": 0, "order": 1 })),
                ("g", "echo", json!({ "order": 2 })),
            ],
            &mut [&stub],
            quick(1),
            json!({}),
        )
        .await;
        let answer = app.chat("g", streamed()).await;
        assert_eq!(answer.content(0), "hello sealed world", "{}", answer.text());
        assert_eq!(counted(&answer), (1, 0));
        assert_eq!(attempts(&app.record_of(&answer).await).len(), 2);
    }
    for dying in ["cut-after-1", "error-in-stream", "half-event"] {
        let app = fleet(
            &[
                ("g", dying, json!({ "order": 1 })),
                ("g", "echo", json!({ "order": 2 })),
            ],
            quick(3),
        )
        .await;
        let answer = app.chat("g", streamed()).await;
        assert_eq!((answer.status, counted(&answer)), (200, (0, 0)), "{dying}");
        assert!(
            answer
                .events()
                .last()
                .is_some_and(|event| event.contains("error")),
            "{dying}"
        );
        assert_eq!(app.sandbox.requests().len(), 1, "{dying}");
        let record = app.record_of(&answer).await;
        assert_eq!(
            (record.outcome(), attempts(&record).len()),
            ("partial", 1),
            "{dying}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_provider_costs_its_time_and_no_more() {
    let app = stubs_and_fleet(
        &[
            ("g", "hang", json!({ "order": 1, "timeout": 0.2 })),
            ("g", "echo", json!({ "order": 2 })),
            ("alone", "hang-after-1", json!({ "timeout": 0.3 })),
        ],
        &mut [],
        json!({ "num_retries": 8, "disable_cooldowns": true, "sealgate.retries": { "longest_wait": 0.01 } }),
        json!({ "total_timeout": 1 }),
    )
    .await;
    for more in [json!({}), streamed()] {
        let answer = app.chat("g", more).await;
        assert_eq!(
            (answer.status, counted(&answer)),
            (200, (1, 0)),
            "{}",
            answer.text()
        );
        let record = app.record_of(&answer).await;
        assert_eq!(attempts(&record)[0].1, "upstream_timeout");
        let used = &record.document["execution"]["resources_used"];
        assert_eq!(used["usage_estimated"], true, "{used}");
    }
    let began = Instant::now();
    let answer = app.chat("alone", json!({})).await;
    answer.refused(408, "upstream_timeout");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "the whole call is bounded"
    );
    assert!(
        (2..=4).contains(&(counted(&answer).0 + 1)),
        "{:?}",
        counted(&answer)
    );
    let asked = app.chat("alone", json!({ "timeout": 0.1 })).await;
    asked.refused(408, "upstream_timeout");
    assert_eq!(counted(&asked), (0, 0), "the client asked for less time");
}

#[tokio::test(flavor = "multi_thread")]
async fn str_01_a_client_that_leaves_ends_the_attempts() {
    let app = fleet(
        &[("g", "fail-500", json!({}))],
        json!({ "num_retries": 3, "retry_after": 20 }),
    )
    .await;
    let mut raw = app.raw().await;
    raw.send(app.raw_chat("g", json!({}))).await;
    soon(
        "the first attempt",
        app.sandbox.journal().until(|seen| !seen.is_empty()),
    )
    .await;
    drop(raw);
    let record = app.calls(1).await.remove(0);
    assert_eq!(
        (record.outcome(), record.code()),
        ("partial", "client_gone")
    );
    assert_eq!(attempts(&record).len(), 1);
    assert_eq!(app.sandbox.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_between_two_attempts_changes_nothing_for_the_call() {
    let app = fleet(
        &[("g", "fail-500", json!({})), ("h", "echo", json!({}))],
        json!({ "num_retries": 1, "retry_after": 1, "fallbacks": [{ "g": ["h"] }] }),
    )
    .await;
    let body = prompt("g", "hello sealed world", json!({})).to_string();
    let call = app.post("/v1/chat/completions", &body);
    let reload = async {
        soon(
            "the first attempt",
            app.sandbox.journal().until(|seen| !seen.is_empty()),
        )
        .await;
        let change = |config: &mut Value| {
            config["router_settings"]["fallbacks"] = json!([]);
            config["model_list"][1]["litellm_params"]["model"] = json!("openai/fail-503");
        };
        app.reload(change).await.expect("a good configuration");
    };
    let (answer, ()) = tokio::join!(call, reload);
    assert_eq!(
        (answer.status, counted(&answer)),
        (200, (1, 1)),
        "{}",
        answer.text()
    );
    app.chat("g", json!({}))
        .await
        .refused(500, "upstream_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_over_a_mixed_fleet_are_all_accounted_for() {
    let app = fleet(
        &[
            ("g", "echo", json!({ "weight": 3 })),
            ("g", "slow-20", json!({ "max_parallel_requests": 4 })),
            ("g", "fail-500", json!({})),
            ("g", "fail-429", json!({})),
            ("g", "bad-json", json!({})),
            ("g", "letters", json!({ "rpm": 10 })),
            ("last", "story", json!({})),
        ],
        json!({
            "num_retries": 3, "routing_strategy": "least-busy", "default_fallbacks": ["last"],
            "sealgate.retries": { "longest_wait": 0.01, "budget_percent": 400 },
        }),
    )
    .await;
    let calls = 120;
    let all = (0..calls).map(|number| {
        let more = if number % 3 == 0 {
            streamed()
        } else {
            json!({})
        };
        app.chat("g", more)
    });
    for answer in futures_of(all).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let records = app.calls(calls).await;
    assert_eq!(records.len(), calls);
    for record in &records {
        let chosen = options(record)
            .iter()
            .filter(|(_, why)| why.is_empty())
            .count();
        assert_eq!(chosen, 1, "{}", record.document);
    }
    let of = |id: &str| {
        let sent = app.sandbox.requests();
        sent.iter()
            .filter(|sent| sent.json()["model"] == id)
            .count()
    };
    assert!(of("letters") <= 10, "ten a minute");
    assert!(
        of("fail-429") <= 30,
        "left alone after it failed: {}",
        of("fail-429")
    );
}
