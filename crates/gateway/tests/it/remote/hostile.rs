//! Services that hang, lie, fail or answer too much: the call is refused, or passes by a switch that the record names.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::service::{Act, Service};
use super::{app, entries, generic, none};
use crate::support::soon;

fn raw(text: impl Into<String>) -> Act {
    Act::Raw(text.into().into_bytes())
}

/// Each misbehaviour, the cause that it counts as, and the switch that opens it.
fn misbehaviours() -> Vec<(&'static str, Act, &'static str, &'static str)> {
    let answer = |body: Value| Act::Answer(200, body.to_string());
    let many = json!({ "action": "GUARDRAIL_INTERVENED", "texts": vec!["x"; 99] });
    let huge = json!({ "action": "NONE", "padding": "x".repeat(3_000_000) });
    vec![
        ("hangs", Act::Hang, "timeout", "timeout"),
        ("drips", Act::Drip, "timeout", "timeout"),
        (
            "500",
            Act::Answer(500, "{}".into()),
            "unreachable",
            "unreachable",
        ),
        (
            "503",
            Act::Answer(503, String::new()),
            "unreachable",
            "unreachable",
        ),
        (
            "429",
            Act::Answer(429, "{}".into()),
            "unreachable",
            "unreachable",
        ),
        ("closes at once", raw(""), "unreachable", "unreachable"),
        (
            "closes early",
            raw(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{\"action\":\"NONE\"",
            ),
            "unreachable",
            "unreachable",
        ),
        (
            "401",
            Act::Answer(401, "{}".into()),
            "access denied",
            "denied",
        ),
        (
            "403",
            Act::Answer(403, "{}".into()),
            "access denied",
            "denied",
        ),
        (
            "no JSON",
            Act::Answer(200, "<html>".into()),
            "malformed answer",
            "malformed",
        ),
        ("a list", answer(json!([])), "malformed answer", "malformed"),
        (
            "twice",
            Act::Answer(200, r#"{"action":"BLOCKED","action":"NONE"}"#.into()),
            "malformed answer",
            "malformed",
        ),
        (
            "deep",
            Act::Answer(200, "[".repeat(100_000)),
            "malformed answer",
            "malformed",
        ),
        (
            "another word",
            answer(json!({ "action": "ALLOW" })),
            "malformed answer",
            "malformed",
        ),
        (
            "another type",
            answer(json!({ "action": 1 })),
            "malformed answer",
            "malformed",
        ),
        (
            "too many texts",
            answer(many),
            "malformed answer",
            "malformed",
        ),
        (
            "too much",
            Act::Answer(200, huge.to_string()),
            "malformed answer",
            "malformed",
        ),
        (
            "a redirect",
            raw("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"),
            "malformed answer",
            "malformed",
        ),
        (
            "204",
            raw("HTTP/1.1 204 No Content\r\n\r\n"),
            "malformed answer",
            "malformed",
        ),
        (
            "compressed",
            raw("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}"),
            "malformed answer",
            "malformed",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gives_no_verdict_refuses_the_call_unless_a_switch_says_otherwise() {
    for (what, act, cause, switch) in misbehaviours() {
        let timeout = if cause == "timeout" { 0.3 } else { 25.0 };
        let service = {
            let act = act.clone();
            Service::start(move |_| act.clone()).await
        };
        let others: Vec<&str> = ["timeout", "unreachable", "malformed", "denied"]
            .into_iter()
            .filter(|other| *other != switch)
            .collect();
        // Every other switch is on: it opens nothing here.
        let settings =
            json!({ "timeout": timeout, "fail_open": others, "max_answer_bytes": 1_000_000 });
        let closed = app(generic(&service, "pre_call", settings)).await;
        let answer = closed.chat("echo", json!({})).await;
        answer.refused(503, "check_failed");
        assert!(
            !answer.text().contains(&service.host()),
            "{}",
            answer.text()
        );
        let record = closed.record_of(&answer).await;
        let entry = entries(&record, "guard")[0].clone();
        let said = (entry["outcome"].as_str(), entry["reason"].as_str());
        assert_eq!(
            said,
            (Some("failed_closed"), Some(cause)),
            "{what}: {entry}"
        );
        assert!(entry.get("left").is_none(), "{what}");
        assert_eq!(closed.sandbox.requests().len(), 0, "{what}");

        let settings =
            json!({ "timeout": timeout, "fail_open": [switch], "max_answer_bytes": 1_000_000 });
        let open = app(generic(&service, "pre_call", settings)).await;
        let answer = open.chat("echo", json!({})).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        assert_eq!(
            answer.header("x-litellm-applied-guardrails"),
            None,
            "{what}"
        );
        let record = open.record_of(&answer).await;
        let entry = entries(&record, "guard")[0].clone();
        let said = (entry["outcome"].as_str(), entry["reason"].as_str());
        assert_eq!(said, (Some("failed_open"), Some(cause)), "{what}: {entry}");
        let opened = record.environment("opened").to_string();
        assert!(
            opened.contains(&format!("fail_open_{switch}")),
            "{what}: {opened}"
        );
        let metrics = open.send("GET", "/metrics", "", &[]).await.text();
        assert!(
            metrics.contains(&format!("fail_open_{switch}")),
            "counted: {what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn litellm_s_switches_are_understood_and_said() {
    for (settings, status) in [
        (json!({ "unreachable_fallback": "fail_open" }), 500),
        (json!({ "fail_on_error": false }), 500),
    ] {
        let service = Service::start(move |_| Act::Answer(status, "{}".into())).await;
        let app = app(generic(&service, "pre_call", settings)).await;
        assert_eq!(app.chat("echo", json!({})).await.status, 200);
    }
    // A wrong key of our own is no outage.
    for settings in [
        json!({ "unreachable_fallback": "fail_open" }),
        json!({ "fail_on_error": false }),
    ] {
        let service = Service::start(|_| Act::Answer(401, "{}".into())).await;
        let app = app(generic(&service, "pre_call", settings)).await;
        app.chat("echo", json!({}))
            .await
            .refused(503, "check_failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_listens_there() {
    let gone = Service::start(|_| none()).await;
    let guardrails = generic(&gone, "pre_call", json!({}));
    drop(gone);
    let app = app(guardrails).await;
    app.chat("echo", json!({}))
        .await
        .refused(503, "check_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_is_left_alone_and_asked_again() {
    let down = Arc::new(AtomicBool::new(true));
    let service = {
        let down = down.clone();
        Service::start(move |_| match down.load(Ordering::SeqCst) {
            true => Act::Answer(500, "{}".into()),
            false => none(),
        })
        .await
    };
    let settings = json!({ "breaker_failures": 3, "breaker_pause": 0.2 });
    let app = app(generic(&service, "pre_call", settings)).await;
    let mut left_alone = false;
    for _ in 0..20 {
        let answer = app.chat("echo", json!({})).await;
        answer.refused(503, "check_failed");
        let record = app.record_of(&answer).await;
        left_alone |= entries(&record, "guard")[0]["reason"] == "too busy";
    }
    assert!(
        left_alone && service.requests().len() < 20,
        "{}",
        service.requests().len()
    );
    down.store(false, Ordering::SeqCst);
    soon("the service is asked again", async {
        while app.chat("echo", json!({})).await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(app.chat("echo", json!({})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_questions_at_a_time() {
    let gate = Arc::new(Semaphore::new(0));
    let service = {
        let gate = gate.clone();
        Service::start(move |_| Act::Wait(gate.clone(), json!({ "action": "NONE" }))).await
    };
    let settings = json!({ "max_parallel": 7, "timeout": 120 });
    let app = app(generic(&service, "pre_call", settings)).await;
    let calls = (0..200).map(|_| async { app.chat("echo", json!({})).await.status });
    let all = async {
        let mut waiting: Vec<_> = calls.map(Box::pin).collect();
        let mut done = vec![None; waiting.len()];
        std::future::poll_fn(|cx| {
            for (call, slot) in waiting.iter_mut().zip(&mut done) {
                if slot.is_none()
                    && let std::task::Poll::Ready(status) = call.as_mut().poll(cx)
                {
                    *slot = Some(status);
                }
            }
            match done.iter().all(Option::is_some) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
        done
    };
    let opened = async {
        soon("seven questions", async {
            while service.most() < 7 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        gate.add_permits(200);
    };
    let (done, ()) = tokio::join!(all, opened);
    assert!(done.iter().all(|status| *status == Some(200)), "{done:?}");
    assert_eq!(service.most(), 7);
    assert_eq!(service.requests().len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_service_may_be_is_the_configuration_s_word() {
    let service = Service::start(|_| none()).await;
    for base in [
        "http://169.254.169.254/latest",
        "http://[fd00:ec2::254]",
        "file:///etc",
        "http://u:p@localhost",
    ] {
        let mut guardrails = generic(&service, "pre_call", json!({}));
        guardrails[0]["litellm_params"]["api_base"] = json!(base);
        let refused =
            crate::support::TestApp::try_with(|config| config["guardrails"] = guardrails).await;
        assert!(refused.is_err(), "{base}");
    }
}
