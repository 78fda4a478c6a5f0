//! Redis is stopped, gone, or comes back empty.

use std::time::{Duration, Instant};

use gateway::replicas::WhenLost;
use rustix::process::Signal;
use serde_json::json;
use store::reader::Reader;

use super::several::Several;

#[tokio::test(flavor = "multi_thread")]
async fn dur_09_a_stopped_redis_refuses_in_time_and_comes_back() {
    let all = Several::start(2).await;
    let key = all.key(json!({ "max_budget": 1.0 })).await;
    assert_eq!(all.chat(0, &key, "echo").await.status, 200);
    let before = all.sandbox.requests().len();
    all.redis.signal(Signal::STOP);
    for at in 0..4 {
        let began = Instant::now();
        let answer = all.chat(at, &key, "echo").await;
        answer.refused(503, "limits_unavailable");
        assert_eq!(answer.header("retry-after"), Some("2"));
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    }
    assert_eq!(all.sandbox.requests().len(), before);
    all.redis.signal(Signal::CONT);
    for at in 0..2 {
        all.until("calls again", async || {
            all.chat(at, &key, "echo").await.status == 200
        })
        .await;
    }
    all.stop().await;
}

/// Calls until there is no room for one more although nothing is reserved: the end of a call is counted after its answer, and
/// how long after depends on the machine.
async fn spend_all(all: &Several, key: &str) -> usize {
    let (mut spent, began) = (0, Instant::now());
    loop {
        assert!(began.elapsed() < Duration::from_secs(60));
        let answer = all.chat(spent, key, "echo").await;
        match answer.status {
            200 => spent += 1,
            422 if answer.text().contains("in flight: 0.000000") => break,
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        assert!(spent < 200);
    }
    assert!(spent > 1);
    spent
}

#[tokio::test(flavor = "multi_thread")]
async fn bud_05_a_redis_that_restarts_empty_gives_nothing_away() {
    let mut all = Several::start(2).await;
    let price = all.price("echo").await;
    let key = all.key(json!({ "max_budget": price * 1.5 })).await;
    spend_all(&all, &key).await;
    all.redis.restart();
    let began = Instant::now();
    let mut statuses = Vec::new();
    while began.elapsed() < Duration::from_secs(60) {
        let status = all.chat(statuses.len(), &key, "echo").await.status;
        statuses.push(status);
        // Both have found the new Redis.
        if statuses.ends_with(&[422, 422]) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!statuses.contains(&200), "a free ride: {statuses:?}");
    assert_eq!(statuses.last(), Some(&422));
    // No phantom block: another key works.
    let other = all.key(json!({ "max_budget": price * 1.5 })).await;
    assert_eq!(all.chat(1, &other, "echo").await.status, 200);
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_counts_alone_says_so_in_each_record_and_counts_it_later() {
    let mut all = Several::with(1, WhenLost::Local).await;
    let price = all.price("echo").await;
    let key = all.key(json!({ "max_budget": price * 1.5 })).await;
    all.redis.signal(Signal::STOP);
    let alone = spend_all(&all, &key).await;
    all.redis.signal(Signal::CONT);
    all.redis.restart();
    // What was spent alone is counted when Redis is there again.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        assert_ne!(all.chat(0, &key, "echo").await.status, 200, "a free ride");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let dirs = all.stop().await;
    let reader = Reader::open(dirs[0].path().join("data/capsules.db")).expect("a ledger");
    let mut said = 0;
    reader
        .for_each(0, |row| {
            said += usize::from(String::from_utf8_lossy(&row.data).contains("limits_alone"));
            true
        })
        .expect("records");
    assert_eq!(said, alone);
}

#[tokio::test(flavor = "multi_thread")]
async fn dur_15_a_partition_admits_nobody_and_heals_without_loss() {
    let all = std::sync::Arc::new(Several::start(3).await);
    let budget = all.price("slow-2000").await * 5.0;
    let key = all.key(json!({ "max_budget": budget })).await;
    let before = all.sandbox.requests().len();
    all.redis.signal(Signal::STOP);
    for at in 0..3 {
        all.chat(at, &key, "slow-2000")
            .await
            .refused(503, "limits_unavailable");
    }
    assert_eq!(all.sandbox.requests().len(), before);
    all.redis.signal(Signal::CONT);
    // A key without a price to pay shows when each gateway is back.
    let other = all.key_when_back().await;
    for at in 0..3 {
        all.until("calls again", async || {
            all.chat(at, &other, "echo").await.status == 200
        })
        .await;
    }
    let calls: Vec<_> = (0..60)
        .map(|at| {
            let (all, key) = (all.clone(), key.clone());
            tokio::spawn(async move { all.chat(at, &key, "slow-2000").await.status })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        admitted += usize::from(call.await.expect("a call") == 200);
    }
    assert_eq!(admitted, 5);
}
