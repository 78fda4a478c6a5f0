//! Defects and failures inside: panics in any task that stamps time or writes logs, and a store that refuses.

use gateway::sandbox::Outcome;
use ledger::journal::Class;
use ledger::memory::{Fault, Mode, Op};
use serde_json::json;

use crate::support::{TestApp, soon};

#[tokio::test(flavor = "multi_thread")]
async fn the_intent_is_committed_before_the_provider_is_called() {
    let app = TestApp::start().await;
    let mut raw = app.raw().await;
    raw.send(app.raw_chat("hang", json!({}))).await;
    let journal = app.sandbox.journal();
    soon("the provider's call", journal.until(|all| all.len() == 1)).await;
    let contents = app.store().contents();
    assert_eq!(
        contents.intents.len(),
        1,
        "durable before the first byte left"
    );
    assert!(
        app.all_records().iter().all(|record| !record.is_call()),
        "and no outcome yet"
    );
    drop(raw);
    soon(
        "the end of the call",
        journal.until(|all| all[0].outcome == Outcome::Abandoned),
    )
    .await;
    app.calls(1).await;
}

/// The n-th use of the clock panics, for n = 1, 2, … until a call does not come that far: every place of the pipeline is hit.
#[tokio::test(flavor = "multi_thread")]
async fn info_03_a_panic_anywhere_in_a_call_is_contained() {
    for body in [
        json!({}),
        json!({ "stream": true }),
        json!({ "guardrails": ["nothing"] }),
    ] {
        let mut fired = 0;
        for n in 0..50 {
            let app = TestApp::start().await;
            let request = app.raw_chat("echo", body.clone());
            app.clock().panic_after(n);
            let mut raw = app.raw().await;
            raw.send(request.replacen("\r\n", "\r\nconnection: close\r\n", 1))
                .await;
            let text = raw.closed().await;
            if !app.clock().disarm() {
                break;
            }
            fired += 1;
            for inside in ["panicked", "backtrace", "src/", "test clock"] {
                assert!(!text.contains(inside), "{text}");
            }
            let statuses = raw.statuses();
            assert!(
                statuses.is_empty() || [200, 400, 500].contains(&statuses[0]),
                "{text}"
            );
            // Everything goes on, nothing stays reserved; the end of the app checks that the call was closed.
            assert_eq!(app.chat("echo", json!({})).await.status, 200);
            app.at_rest().await;
        }
        assert!(fired >= 1, "the clock was never used: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn info_03_a_panic_in_the_access_log_stops_no_call() {
    let app = TestApp::start().await;
    app.clock().panic_in_log(true);
    for _ in 0..3 {
        assert_eq!(app.chat("echo", json!({})).await.status, 200);
    }
    app.calls(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_intents_stops_calls_and_nothing_else() {
    let app = TestApp::start().await;
    let first = app.chat("echo", json!({})).await;
    app.record_of(&first).await;
    app.store()
        .fault(Fault::always(Op::InsertIntent, Mode::Fails, Class::Item));
    app.chat("echo", json!({}))
        .await
        .refused(503, "audit_unavailable");
    assert_eq!(app.sandbox.requests().len(), 1, "nothing was sent");
    app.alive().await;
    app.store().heal();
    soon("calls again", async {
        while app.chat("echo", json!({})).await.status != 200 {}
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_do_not_wait_for_records_and_records_survive_failing_commits() {
    let app = TestApp::start().await;
    let mut open = app
        .open("drip-20", json!({ "stream": true, "max_tokens": 5 }))
        .await;
    assert!(open.until(|text| text.contains("\"content\":\"A\"")).await);
    // From here on every commit fails for a while: the answer goes on, the record is kept and tried again.
    app.store().fault(Fault {
        op: Op::Commit,
        after: 0,
        times: 3,
        mode: Mode::Fails,
        class: Class::Batch,
    });
    let answer = open.rest().await;
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
    assert_eq!(app.record_of(&answer).await.outcome(), "success");
}

#[tokio::test(flavor = "multi_thread")]
async fn seal_before_answer_means_that_the_record_is_there_with_the_answer() {
    let app = TestApp::with(|config| config["sealgate"]["seal_before_answer"] = json!(true)).await;
    for _ in 0..20 {
        let answer = app.chat("echo", json!({})).await;
        let id = answer
            .header("x-litellm-call-id")
            .expect("a call id")
            .to_owned();
        assert!(
            app.all_records().iter().any(|record| record.id() == id),
            "committed before the answer"
        );
    }
}
