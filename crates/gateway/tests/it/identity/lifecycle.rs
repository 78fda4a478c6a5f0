//! Making, using, blocking, rotating and deleting keys.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{MASTER, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_calls_and_its_spend_is_seen() {
    let app = TestApp::start().await;
    let made = app.manage("/key/generate", json!({ "key_alias": "frontend", "models": ["echo"], "max_budget": 10.0, "budget_duration": "30d", "rpm_limit": 100, "metadata": { "environment": "production" } })).await;
    let key = made["key"].as_str().expect("a key");
    assert!(key.starts_with("sk-") && key.len() == 46);
    assert_eq!(made["key_name"], format!("sk-...{}", &key[42..]));
    assert_eq!(
        (made["max_budget"].as_f64(), &made["budget_duration"]),
        (Some(10.0), &json!("30d"))
    );
    assert_eq!(made["metadata"]["environment"], "production");
    let answer = app.chat_as(key, "echo", json!({ "max_tokens": 20 })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = app.record_of(&answer).await;
    assert_eq!(record.environment("key_id"), &made["token"]);
    app.at_rest().await;
    let info = app
        .manage(
            &format!("/key/info?key={}", made["token"].as_str().expect("an id")),
            json!(null),
        )
        .await;
    assert!(info["info"]["spend"].as_f64() > Some(0.0), "{info}");
    assert_eq!(info["info"]["status"], "active");
    assert!(info["info"].get("token").is_none());
    // The key shows its own row to itself, and the same by its text.
    let own = app.with_key(key, "GET", "/key/info", json!(null)).await;
    assert_eq!(own.json()["info"]["key_alias"], "frontend");
    let list = app.manage("/key/list", json!(null)).await;
    assert_eq!(list["keys"], json!([made["token"]]));
    assert_eq!(
        (&list["total_count"], &list["total_pages"]),
        (&json!(1), &json!(1))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_names_the_team_and_the_agent_of_the_key() {
    let app = TestApp::start().await;
    let team = app
        .manage("/team/new", json!({ "team_alias": "search" }))
        .await;
    let key = app
        .key(json!({ "team_id": team["team_id"], "agents": ["billing-bot", "other"] }))
        .await;
    let answer = app.chat_as(&key, "echo", json!({ "max_tokens": 20 })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = app.record_of(&answer).await;
    assert_eq!(record.environment("team"), &team["team_id"]);
    assert_eq!(record.document["context"]["agent_id"], "billing-bot");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_01_a_blocked_key_is_refused_at_once_and_its_stream_is_cut() {
    let app = TestApp::start().await;
    let key = app.key(json!({})).await;
    let mut stream = app
        .open_as(
            &key,
            "drip-20",
            json!({ "stream": true, "max_tokens": 500 }),
        )
        .await;
    assert!(stream.until(|seen| seen.contains("delta")).await);
    let began = Instant::now();
    let row = app.manage("/key/block", json!({ "key": key })).await;
    assert_eq!(row["blocked"], true);
    app.chat_as(&key, "echo", json!({}))
        .await
        .refused(401, "unauthenticated");
    let rest = stream.rest().await;
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    assert!(!rest.text().contains("[DONE]"), "{}", rest.text());
    assert!(rest.text().contains("blocked"), "{}", rest.text());
    app.manage("/key/unblock", json!({ "key": key })).await;
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    let missing = app
        .with_key(MASTER, "POST", "/key/block", json!({ "key": "sk-nobody" }))
        .await;
    missing.refused(404, "entity_not_found");
    assert_eq!(missing.error("message"), "Key not found.");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_01_a_block_under_load_admits_no_call_after_its_answer() {
    let app = TestApp::start().await;
    let key = app.key(json!({})).await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let load = async {
        let mut admitted_after = 0;
        loop {
            let before = done.load(std::sync::atomic::Ordering::SeqCst);
            let status = app.chat_as(&key, "echo", json!({})).await.status;
            if before {
                assert_eq!(status, 401);
                admitted_after += 1;
                if admitted_after > 5 {
                    return;
                }
            }
        }
    };
    let block = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        app.manage("/key/block", json!({ "key": key })).await;
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    tokio::join!(load, block);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_has_a_grace_and_then_none() {
    let app = TestApp::start().await;
    let key = app.key(json!({ "models": ["echo"] })).await;
    let made = app
        .manage(
            "/key/regenerate",
            json!({ "key": key, "grace_period": "1h" }),
        )
        .await;
    let new = made["key"].as_str().expect("a key");
    assert_ne!(new, key);
    for text in [&*key, new] {
        assert_eq!(app.chat_as(text, "echo", json!({})).await.status, 200);
    }
    let again = app
        .manage(
            &format!("/key/{}/regenerate", made["token"].as_str().expect("an id")),
            json!({}),
        )
        .await;
    assert_eq!(again["token"], made["token"], "the id stays");
    for text in [&*key, new] {
        assert_eq!(app.chat_as(text, "echo", json!({})).await.status, 401);
    }
    assert_eq!(
        app.chat_as(again["key"].as_str().expect("a key"), "echo", json!({}))
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_is_said_as_litellm_says_it() {
    let app = TestApp::start().await;
    let key = app.key(json!({ "duration": "1s" })).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let answer = app.chat_as(&key, "echo", json!({})).await;
    assert_eq!(
        (answer.status, answer.error("type")),
        (401, json!("expired_key"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn key_03_deleting_a_user_or_membership_ends_its_keys() {
    let app = TestApp::start().await;
    let user = app
        .manage(
            "/user/new",
            json!({ "user_id": "u1", "user_role": "internal_user" }),
        )
        .await;
    let of_user = user["key"].as_str().expect("a key").to_owned();
    app.manage(
        "/team/new",
        json!({ "team_id": "t1", "members_with_roles": [{ "user_id": "u1" }] }),
    )
    .await;
    let of_member = app.key(json!({ "team_id": "t1", "user_id": "u1" })).await;
    let of_team = app.key(json!({ "team_id": "t1" })).await;
    for key in [&of_user, &of_member, &of_team] {
        assert_eq!(app.chat_as(key, "echo", json!({})).await.status, 200);
    }
    app.manage(
        "/team/member_delete",
        json!({ "team_id": "t1", "user_id": "u1" }),
    )
    .await;
    assert_eq!(app.chat_as(&of_member, "echo", json!({})).await.status, 401);
    assert_eq!(app.chat_as(&of_user, "echo", json!({})).await.status, 200);
    app.manage("/user/delete", json!({ "user_ids": ["u1"] }))
        .await;
    assert_eq!(app.chat_as(&of_user, "echo", json!({})).await.status, 401);
    // Who is gone is not erased twice.
    let erase = app
        .with_key(MASTER, "DELETE", "/user/delete", json!({ "user_id": "u1" }))
        .await;
    assert_eq!(erase.status, 404);
    assert_eq!(app.chat_as(&of_team, "echo", json!({})).await.status, 200);
    app.manage("/team/block", json!({ "team_id": "t1" })).await;
    assert_eq!(app.chat_as(&of_team, "echo", json!({})).await.status, 401);
    app.manage("/team/unblock", json!({ "team_id": "t1" }))
        .await;
    assert_eq!(app.chat_as(&of_team, "echo", json!({})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_05_a_new_team_of_the_same_id_gets_no_old_keys() {
    let app = TestApp::start().await;
    app.manage("/team/new", json!({ "team_id": "t" })).await;
    let key = app.key(json!({ "team_id": "t" })).await;
    app.manage("/team/delete", json!({ "team_ids": ["t"] }))
        .await;
    app.manage("/team/new", json!({ "team_id": "t" })).await;
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_07_own_values_are_strong_and_nobody_elses() {
    let app = TestApp::start().await;
    for weak in [
        "sk-1",
        "sk-1234",
        "sk-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let answer = app
            .with_key(MASTER, "POST", "/key/generate", json!({ "key": weak }))
            .await;
        assert_eq!(answer.status, 422, "{weak}");
    }
    let answer = app
        .with_key(
            MASTER,
            "POST",
            "/key/generate",
            json!({ "key": "no-prefix-7f3k9Qx2LmNpRsTuVwXyZa8bCdEf" }),
        )
        .await;
    assert_eq!(answer.status, 400);
    let own = "sk-7f3k9Qx2LmNpRsTuVwXyZa8bCdEfGhJk4561";
    assert_eq!(app.key(json!({ "key": own })).await, own);
    let taken = app
        .with_key(MASTER, "POST", "/key/generate", json!({ "key": own }))
        .await;
    assert_eq!(taken.status, 409);
    assert!(!taken.text().contains(own));
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_hashes_of_litellm_are_imported_and_are_no_keys() {
    let app = TestApp::start().await;
    // SHA-256 of `sk-imported-from-litellm`
    let hash = "7b75a7e07bf8d38caf2ac102c9842291e57f06c79630ccf443c14b38bb3f12a7";
    let made = app
        .manage(
            "/key/generate",
            json!({ "key_hash": hash, "models": ["echo"] }),
        )
        .await;
    assert_eq!(made["key"], "");
    for bearer in [
        hash.to_owned(),
        format!("sk-{hash}"),
        made["token"].as_str().expect("an id").to_owned(),
    ] {
        assert_eq!(app.chat_as(&bearer, "echo", json!({})).await.status, 401);
    }
    let info = app
        .manage(&format!("/key/info?key={hash}"), json!(null))
        .await;
    assert_eq!(info["info"]["models"], json!(["echo"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_sealed_is_not_in_force() {
    let app = TestApp::start().await;
    let key = app.key(json!({})).await;
    app.at_rest().await;
    app.store().fault(ledger::memory::Fault::always(
        ledger::memory::Op::Attach,
        ledger::memory::Mode::Fails,
        ledger::journal::Class::Item,
    ));
    let answer = app
        .with_key(MASTER, "POST", "/key/block", json!({ "key": key }))
        .await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    app.store().heal();
    app.at_rest().await;
    app.store().tamper(|contents| contents.quarantine.clear());
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
}
