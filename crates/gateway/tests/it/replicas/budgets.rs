//! Budgets over several gateways.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use store::redis::Command;

use super::several::Several;

#[tokio::test(flavor = "multi_thread")]
async fn bud_01_two_hundred_parallel_calls_at_a_budget_for_five_on_three() {
    let all = Arc::new(Several::patient(3).await);
    let budget = all.price("slow-2000").await * 5.0;
    let key = all.key(json!({ "max_budget": budget })).await;
    let before = all.sandbox.requests().len();
    let calls: Vec<_> = (0..200)
        .map(|at| {
            let (all, key) = (all.clone(), key.clone());
            tokio::spawn(async move { all.chat(at, &key, "slow-2000").await })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        let answer = call.await.expect("a call");
        match answer.status {
            200 => admitted += 1,
            _ => {
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (422, "budget_exceeded"),
                    "{}",
                    answer.text()
                );
            }
        }
    }
    assert_eq!(admitted, 5);
    assert_eq!(all.sandbox.requests().len() - before, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_and_slots_hold_over_all() {
    let all = Several::start(3).await;
    let key = all.key(json!({ "rpm_limit": 4 })).await;
    let mut statuses = Vec::new();
    for at in 0..6 {
        statuses.push(all.chat(at, &key, "echo").await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429]);
    let key = all.key(json!({ "max_parallel_requests": 1 })).await;
    let slow = all.chat(0, &key, "slow-1000");
    let other = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        all.chat(1, &key, "echo").await.status
    };
    let (slow, other) = tokio::join!(slow, other);
    assert_eq!((slow.status, other), (200, 429));
    all.until("the slot comes back", async || {
        all.chat(2, &key, "echo").await.status == 200
    })
    .await;
}

/// Emptied while calls are in flight: nobody spends twice, nobody is blocked for what he did not spend.
#[tokio::test(flavor = "multi_thread")]
async fn bud_05_an_emptied_redis_is_built_again() {
    let all = Several::start(2).await;
    let price = all.price("slow-4000").await;
    let key = all.key(json!({ "max_budget": price * 3.0 })).await;
    let link = all.redis.link();
    // One call is in flight at the moment of the loss, on the gateway that will not notice first.
    let slow = all.chat(1, &key, "slow-4000");
    let lose = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let answer = all.chat(0, &key, "echo").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        link.one(Command::new("FLUSHALL")).await.expect("emptied");
        let began = std::time::Instant::now();
        let mut refused = 0;
        loop {
            let answer = all.chat(0, &key, "echo").await;
            match answer.status {
                503 => refused += 1,
                200 => break,
                _ => panic!("{}", answer.text()),
            }
            assert_eq!(answer.code(), "limits_unavailable");
            assert!(answer.header("retry-after").is_some());
            assert!(began.elapsed() < Duration::from_secs(10));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(refused > 0);
        // Two are spent or held, and the slow one: the budget of three is full until that one is settled.
        let answers = [
            all.chat(0, &key, "slow-3000"),
            all.chat(1, &key, "slow-3000"),
        ];
        let [one, two] = answers;
        let (one, two) = tokio::join!(one, two);
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        // Settled calls cost less than they reserved, so one more may fit; both never do.
        assert_ne!(statuses, [200, 200]);
    };
    let (slow, ()) = tokio::join!(slow, lose);
    assert_eq!(slow.status, 200);
    all.stop().await;
}

/// A process that is gone: its slot comes back after its lease, its money when the database knows nothing of its call.
#[tokio::test(flavor = "multi_thread")]
async fn bud_15_what_a_dead_process_held_comes_back() {
    use policy::budget::{Ask, Caps, Demand, Object, ObjectKind, Rules};
    use store::redis::{Clock, Place, SharedBook};
    let all = Several::start(1).await;
    let key = all.key(json!({ "max_parallel_requests": 1 })).await;
    let link = all.redis.link();
    link.connected(Duration::from_secs(5))
        .await
        .expect("connected");
    let names = blake3::derive_key("sealgate 2026-11-20 names of objects in Redis", &[5; 32]);
    let place = Place {
        ledger: "all".to_owned(),
        instance: "dead".to_owned(),
        names,
    };
    let book = SharedBook::new(link.clone(), place, Rules::default(), Clock::Redis);
    let marker = link
        .one(Command::new("GET").arg(book.key("epoch")))
        .await
        .expect("a state");
    let marker = marker.text().expect("a marker");
    book.enter(marker.split(':').nth(1).expect("a name"), &marker);
    let id = gateway::identity::public_id(&[5; 32], &key);
    let caps = Caps {
        max_parallel_requests: Some(1),
        ..Caps::default()
    };
    let demand = Demand {
        object: Object::new(ObjectKind::Key, id.as_str()),
        shown: "k",
        caps: Some(&caps),
        anchor: 0,
        measure: policy::budget::Measure::Ruled,
    };
    let now = i64::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("a time")
            .as_micros(),
    )
    .expect("a time");
    book.reserve(
        "01990000-0000-7000-8000-000000000000",
        now,
        &[demand],
        &Ask::default(),
    )
    .await
    .expect("held");
    let alive = Command::new("ZADD")
        .arg(book.key("instances"))
        .number(now)
        .arg("dead");
    link.one(alive).await.expect("alive");
    assert_eq!(all.chat(0, &key, "echo").await.status, 429);
    let waited = all
        .until("the slot comes back", async || {
            all.chat(0, &key, "echo").await.status == 200
        })
        .await;
    assert!(
        waited > Duration::from_secs(2),
        "before the lease ended: {waited:?}"
    );
    all.stop().await;
}
