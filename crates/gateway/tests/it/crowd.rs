//! Many clients at once, some of which leave: afterwards everything is accounted for, to the last call.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_a_crowd_has_one_record() {
    let app =
        TestApp::with(|config| config["sealgate"]["limits"]["max_parallel"] = json!(40)).await;
    let behaviours = [
        "echo",
        "letters",
        "story",
        "tools",
        "fail-500",
        "fail-429",
        "cut-after-2",
        "cut-before-head",
        "drip-1",
        "no-usage",
        "bad-json",
    ];
    let calls = (0..400).map(|number| {
        let (app, model) = (&app, behaviours[number % behaviours.len()]);
        async move {
            let stream = number % 3 != 0;
            if number % 7 == 0 && stream {
                let mut open = app.open(model, json!({ "stream": true })).await;
                open.until(|text| text.len() > 100).await;
                let status = open.status;
                open.leave().await;
                return status;
            }
            app.chat(model, json!({ "stream": stream })).await.status
        }
    });
    let statuses = in_groups(calls, 64).await;
    let mut counts: BTreeMap<u16, usize> = BTreeMap::new();
    for status in &statuses {
        *counts.entry(*status).or_default() += 1;
    }
    app.at_rest().await;
    // A refusal for want of a slot has no intent; everything else is a call.
    let calls = app
        .calls_and_refusals("too_many_parallel", statuses.len())
        .await;
    assert!(calls.len() >= 40, "{counts:?}");
    let lines: Vec<Value> = app.access_lines().await;
    let ids: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["record"].as_str())
        .collect();
    for call in &calls {
        assert_eq!(
            ids.iter().filter(|id| **id == call.id()).count(),
            1,
            "one line a call"
        );
    }
}

/// Runs futures, so many at a time.
async fn in_groups<F: Future>(futures: impl Iterator<Item = F>, size: usize) -> Vec<F::Output> {
    let mut results = Vec::new();
    let mut futures = futures.peekable();
    while futures.peek().is_some() {
        let mut group: Vec<_> = futures.by_ref().take(size).map(Box::pin).collect();
        let mut done: Vec<Option<F::Output>> = group.iter().map(|_| None).collect();
        std::future::poll_fn(|cx| {
            let mut pending = false;
            for (future, done) in group.iter_mut().zip(&mut done) {
                if done.is_none() {
                    match future.as_mut().poll(cx) {
                        std::task::Poll::Ready(output) => *done = Some(output),
                        std::task::Poll::Pending => pending = true,
                    }
                }
            }
            if pending {
                std::task::Poll::Pending
            } else {
                std::task::Poll::Ready(())
            }
        })
        .await;
        results.extend(done.into_iter().flatten());
    }
    results
}
