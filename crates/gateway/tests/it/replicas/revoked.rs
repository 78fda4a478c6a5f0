//! A key that is revoked at one gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gateway::serve::{self, Setup, data};
use policy::budget::Rules;
use serde_json::json;
use store::redis::{Clock, Envelope, Place, SharedBook, Team};

use super::several::Several;
use crate::support::{MASTER, load, prompt};

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

/// A process that works alone blocks the key in its database; gives that database.
async fn blocked_elsewhere(all: &Several, key: &str, dir: &std::path::Path) -> std::path::PathBuf {
    let config = load(&all.config()).expect("a configuration");
    let clock: Arc<dyn ledger::Clock> = Arc::new(ledger::SystemClock);
    let place = dir.join("data");
    data::create(&place, None, "chat", false, clock.clone()).expect("a ledger");
    let opened = data::open(&place, &config, clock.clone()).expect("a ledger");
    let setup = Setup {
        config,
        ledger: opened.ledger,
        digest_key: [5; 32],
        access_log: None,
        clock,
        identity: opened.identity,
        content: gateway::content::Seed::default(),
        sharing: None,
    };
    let running = serve::start(setup).await.expect("a gateway");
    for (path, body) in [
        ("/key/generate", json!({ "key": key })),
        ("/key/block", json!({ "key": key })),
    ] {
        let request = http::Request::post(path)
            .header("host", "gateway")
            .header("authorization", format!("Bearer {MASTER}"))
            .header("content-type", "application/json")
            .body(http_body_util::Full::from(body.to_string()))
            .expect("a request");
        let open = crate::support::open(running.address(), request).await;
        let answer = open.expect("an answer").rest().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    let ended = running.shutdown(Duration::from_secs(30)).await;
    ended.expect("everything settled");
    place.join("capsules.db")
}

/// Another process announces a block, commits it, and dies before it tells what it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_nobody_told_is_read_from_the_database() {
    let all = Several::start(2).await;
    let key = all.key(json!({})).await;
    let book = SharedBook::new(
        all.redis.link(),
        Place {
            ledger: "all".to_owned(),
            instance: "dead".to_owned(),
            names: [0; 32],
        },
        Rules::default(),
        Clock::Redis,
    );
    let connected = book.link().connected(Duration::from_secs(30)).await;
    connected.expect("connected");
    let envelope = blake3::derive_key("sealgate 2026-11-20 messages of replicas", &[5; 32]);
    let envelope = Envelope::new(&envelope).expect("a key");
    let dead = Team::new(Arc::new(book), all.redis.link(), envelope);
    let dir = tempfile::tempdir().expect("a directory");
    let database = blocked_elsewhere(&all, &key, dir.path()).await;
    let note = json!({ "from": "dead", "number": 0, "rows": null });
    dead.tell(note.to_string().as_bytes())
        .await
        .expect("announced");
    all.committed_elsewhere(database);
    for at in 0..2 {
        let waited = all
            .until("the block is read", async || {
                all.chat(at, &key, "echo").await.status == 401
            })
            .await;
        println!("gateway {at} refuses after {waited:?}");
    }
    // Another key is served as before.
    let other = all.key(json!({})).await;
    for at in 0..2 {
        assert_eq!(all.chat(at, &other, "echo").await.status, 200);
    }
    all.stop().await;
}
