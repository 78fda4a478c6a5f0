//! A key that is revoked at one gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::several::Several;
use crate::support::{MASTER, prompt};

#[tokio::test(flavor = "multi_thread")]
async fn key_01_a_block_reaches_all_within_a_second_under_load() {
    let all = Arc::new(Several::start(3).await);
    let key = all.key(json!({})).await;
    let mut streams = Vec::new();
    for at in 0..3 {
        let body = prompt(
            "drip-100",
            "hello",
            json!({ "stream": true, "max_tokens": 400 }),
        );
        let mut open = all.open(at, &key, "/v1/chat/completions", &body).await;
        assert!(open.until(|text| text.contains("data:")).await);
        streams.push(open);
    }
    let ended = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..9)
        .map(|at| {
            let (all, key, ended) = (all.clone(), key.clone(), ended.clone());
            tokio::spawn(async move {
                let (mut last, mut calls) = (Instant::now(), 0_u32);
                while !ended.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    if all.chat(at, &key, "echo").await.status == 200 {
                        // Admitted at the latest when it was answered; the head of the call counts.
                        (last, calls) = (began, calls + 1);
                    }
                }
                (last, calls)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let began = Instant::now();
    all.manage(0, "/key/block", json!({ "key": key })).await;
    let told = began.elapsed();
    for (at, stream) in streams.into_iter().enumerate() {
        let answer = stream.rest().await;
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "stream {at}: {:?}",
            began.elapsed()
        );
        assert!(
            !answer.text().contains("[DONE]"),
            "stream {at} ran to its end"
        );
    }
    let cut = began.elapsed();
    tokio::time::sleep(Duration::from_millis(500)).await;
    ended.store(true, Ordering::Relaxed);
    let (mut worst, mut calls) = (Duration::ZERO, 0);
    for caller in callers {
        let (last, count) = caller.await.expect("a caller");
        worst = worst.max(last.saturating_duration_since(began));
        calls += count;
    }
    println!(
        "block answered after {told:?}, last admitted call began {worst:?} after it was asked, streams cut after {cut:?}, {calls} calls"
    );
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    assert!(calls > 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_budget_and_a_deleted_key_hold_at_once_elsewhere() {
    let all = Several::start(2).await;
    let key = all.key(json!({ "max_budget": 1.0 })).await;
    assert_eq!(all.chat(1, &key, "echo").await.status, 200);
    all.manage(0, "/key/update", json!({ "key": key, "max_budget": 0 }))
        .await;
    let waited = all
        .until("the budget holds", async || {
            all.chat(1, &key, "echo").await.status == 422
        })
        .await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    all.manage(0, "/key/delete", json!({ "keys": [key] })).await;
    let waited = all
        .until("the key is gone", async || {
            all.chat(1, &key, "echo").await.status == 401
        })
        .await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    // And what it spent was counted once, by both.
    let spent = all.post(1, MASTER, "/global/spend", &json!({})).await;
    drop(spent);
    all.stop().await;
}
