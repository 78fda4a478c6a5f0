//! Budgets, rates and slots from outside.

use serde_json::json;

use crate::support::{MASTER, TestApp};

/// All calls are in flight at the same time.
const SLOW: &str = "slow-3000";

/// A budget for exactly five calls of `echo` with these bounds: what one call reserves is asked first.
async fn budget_for_five(app: &TestApp, more: &serde_json::Value) -> f64 {
    let probe = app.key(json!({ "max_budget": 0.0 })).await;
    let refused = app.chat_as(&probe, SLOW, more.clone()).await;
    let text = refused
        .error("message")
        .as_str()
        .expect("a message")
        .to_owned();
    let needed = text
        .split("Needed by this call: ")
        .nth(1)
        .expect("the need");
    let needed: f64 = needed
        .split(' ')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");
    needed * 5.0
}

#[tokio::test(flavor = "multi_thread")]
async fn bud_01_two_hundred_parallel_calls_at_a_budget_for_five() {
    let app = TestApp::start().await;
    let more = json!({ "max_tokens": 50 });
    let budget = budget_for_five(&app, &more).await;
    let key = app.key(json!({ "max_budget": budget })).await;
    let before = app.sandbox.requests().len();
    let calls = (0..200).map(|_| app.chat_as(&key, SLOW, more.clone()));
    let answers = futures(calls).await;
    let admitted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(admitted, 5);
    assert_eq!(app.sandbox.requests().len() - before, 5);
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(
            (refused.status, refused.error("type")),
            (422, json!("budget_exceeded")),
            "{}",
            refused.text()
        );
    }
    app.at_rest().await;
    // At rest nothing is reserved, and the sum is that of the records.
    let info = app
        .with_key(&key, "GET", "/key/info", json!(null))
        .await
        .json();
    let spent = info["info"]["spend"].as_f64().expect("a number");
    assert!(spent > 0.0 && spent <= budget, "{spent} of {budget}");
}

async fn futures<F: Future>(calls: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut open = false;
        for (call, slot) in calls.iter_mut().zip(&mut done) {
            if slot.is_none() {
                match call.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *slot = Some(value),
                    std::task::Poll::Pending => open = true,
                }
            }
        }
        if open {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_the_chain_refuses_and_is_named() {
    let app = TestApp::start().await;
    app.manage(
        "/organization/new",
        json!({ "organization_id": "o", "organization_alias": "Org" }),
    )
    .await;
    app.manage("/team/new", json!({ "team_id": "t", "organization_id": "o", "members_with_roles": [{ "user_id": "u" }] })).await;
    app.manage(
        "/user/new",
        json!({ "user_id": "u", "auto_create_key": false }),
    )
    .await;
    app.manage("/customer/new", json!({ "user_id": "client-of-ours" }))
        .await;
    app.manage("/tag/new", json!({ "name": "blue" })).await;
    let team_key = app
        .key(json!({ "team_id": "t", "user_id": "u", "tags": ["blue"] }))
        .await;
    let user_key = app.key(json!({ "user_id": "u" })).await;
    let call = json!({ "max_tokens": 5, "user": "client-of-ours" });
    for key in [&team_key, &user_key] {
        let answer = app.chat_as(key, "echo", call.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    for (method, path, body, key, word) in [
        (
            "PATCH",
            "/organization/update",
            json!({ "organization_id": "o", "max_budget": 0 }),
            &team_key,
            "Organization=",
        ),
        (
            "POST",
            "/team/update",
            json!({ "team_id": "t", "max_budget": 0 }),
            &team_key,
            "Team=",
        ),
        (
            "POST",
            "/team/member_update",
            json!({ "team_id": "t", "user_id": "u", "max_budget_in_team": 0 }),
            &team_key,
            "in Team=t",
        ),
        (
            "POST",
            "/user/update",
            json!({ "user_id": "u", "max_budget": 0 }),
            &user_key,
            "ExceededBudget: User=",
        ),
        (
            "POST",
            "/customer/update",
            json!({ "user_id": "client-of-ours", "max_budget": 0 }),
            &user_key,
            "ExceededBudget: End User=",
        ),
        (
            "POST",
            "/tag/update",
            json!({ "name": "blue", "max_budget": 0 }),
            &team_key,
            "Tag=",
        ),
        (
            "POST",
            "/key/update",
            json!({ "key": user_key, "model_max_budget": { "echo": { "max_budget": 0, "budget_duration": "1d" } } }),
            &user_key,
            "Model of key=",
        ),
    ] {
        let changed = app.with_key(MASTER, method, path, body.clone()).await;
        assert_eq!(changed.status, 200, "{path}: {}", changed.text());
        let refused = app.chat_as(key, "echo", call.clone()).await;
        assert_eq!(
            (refused.status, refused.error("type")),
            (422, json!("budget_exceeded")),
            "{path}: {}",
            refused.text()
        );
        let text = refused.error("message").to_string();
        assert!(
            text.contains(word)
                && text.contains("Current cost: ")
                && text.contains("Max budget: 0.000000"),
            "{text}"
        );
        let mut undo = body.clone();
        for name in ["max_budget", "max_budget_in_team", "model_max_budget"] {
            if undo.get(name).is_some() {
                undo[name] = if name == "model_max_budget" {
                    json!({})
                } else {
                    json!(1000)
                };
            }
        }
        assert_eq!(app.with_key(MASTER, method, path, undo).await.status, 200);
        let again = app.chat_as(key, "echo", call.clone()).await;
        assert_eq!(again.status, 200, "{path}: {}", again.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_have_litellms_headers_and_a_truthful_retry_after() {
    let app = TestApp::start().await;
    let key = app
        .key(json!({ "rpm_limit": 2, "key_alias": "limited" }))
        .await;
    for _ in 0..2 {
        assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    }
    let refused = app.chat_as(&key, "echo", json!({})).await;
    assert_eq!(
        (refused.status, refused.error("type")),
        (429, json!("throttling_error"))
    );
    refused.refused(429, "rate_limited");
    assert_eq!(refused.header("rate_limit_type"), Some("requests"));
    let after: u64 = refused
        .header("retry-after")
        .expect("a header")
        .parse()
        .expect("a number");
    assert!((1..=60).contains(&after), "{after}");
    assert!(
        refused
            .header("reset_at")
            .is_some_and(|text| text.ends_with(" UTC"))
    );
    let text = refused.error("message").to_string();
    assert!(
        text.contains("Rate limit exceeded for api_key: limited")
            && text.contains("Current limit: 2, Remaining: 0."),
        "{text}"
    );
    let key = app.key(json!({ "max_parallel_requests": 1 })).await;
    let mut open = app
        .open_as(
            &key,
            "drip-20",
            json!({ "stream": true, "max_tokens": 300 }),
        )
        .await;
    assert!(open.until(|seen| seen.contains("delta")).await);
    let refused = app.chat_as(&key, "echo", json!({})).await;
    assert_eq!(
        (refused.status, refused.header("rate_limit_type")),
        (429, Some("max_parallel_requests"))
    );
    // bud_15: the slot of a client that leaves comes back.
    open.leave().await;
    app.at_rest().await;
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    let key = app.key(json!({ "tpm_limit": 10 })).await;
    let refused = app
        .chat_as(&key, "echo", json!({ "max_tokens": 100 }))
        .await;
    assert_eq!(
        (refused.status, refused.header("rate_limit_type")),
        (429, Some("tokens"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bud_07_an_answer_without_a_bound_is_bounded() {
    let app =
        TestApp::with(|config| config["sealgate"]["default_max_output_tokens"] = json!(123)).await;
    let key = app.key(json!({ "max_budget": 100 })).await;
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    let sent = app.sandbox.requests().last().expect("a request").json();
    assert_eq!(sent["max_tokens"], 123);
    // Without a budget nothing is added.
    let key = app.key(json!({})).await;
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    let sent = app.sandbox.requests().last().expect("a request").json();
    assert!(sent.get("max_tokens").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn bud_11_a_model_without_a_price_is_refused_under_a_budget() {
    let unpriced = |config: &mut serde_json::Value| {
        let params = config["model_list"][0]["litellm_params"]
            .as_object_mut()
            .expect("parameters");
        params.remove("input_cost_per_token");
        params.remove("output_cost_per_token");
    };
    let app = TestApp::with(unpriced).await;
    let key = app.key(json!({ "max_budget": 100 })).await;
    let refused = app.chat_as(&key, "echo", json!({})).await;
    assert_eq!(
        (refused.status, refused.error("type")),
        (422, json!("price_unknown"))
    );
    let free = app.key(json!({})).await;
    assert_eq!(app.chat_as(&free, "echo", json!({})).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bud_17_budgets_are_lowered_raised_and_reset_at_once() {
    let app = TestApp::start().await;
    let key = app.key(json!({ "max_budget": 10 })).await;
    let call = json!({ "max_tokens": 5 });
    assert_eq!(app.chat_as(&key, "echo", call.clone()).await.status, 200);
    app.at_rest().await;
    app.manage("/key/update", json!({ "key": key, "max_budget": 0.000001 }))
        .await;
    assert_eq!(app.chat_as(&key, "echo", call.clone()).await.status, 422);
    app.manage(
        "/key/update",
        json!({ "key": key, "max_budget": 10, "spend": 10 }),
    )
    .await;
    assert_eq!(app.chat_as(&key, "echo", call.clone()).await.status, 422);
    let own = app
        .with_key(&key, "GET", "/key/info", json!(null))
        .await
        .json();
    let id = own["key"].as_str().expect("an id").to_owned();
    let reset = app
        .manage(&format!("/key/{id}/reset_spend"), json!({ "reset_to": 0 }))
        .await;
    assert_eq!(reset["spend"], 0.0);
    assert_eq!(app.chat_as(&key, "echo", call.clone()).await.status, 200);
    app.manage(
        "/key/update",
        json!({ "key": key, "max_budget": null, "temp_budget_increase": null }),
    )
    .await;
    let half = app
        .with_key(
            MASTER,
            "POST",
            "/key/update",
            json!({ "key": key, "temp_budget_increase": 5 }),
        )
        .await;
    assert_eq!(half.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_gateway_has_a_budget_too() {
    let app = TestApp::with(|config| {
        config["litellm_settings"] = json!({ "max_budget": 0.0001, "budget_duration": "1d", "budget_exceeded_status_code": 402 });
    })
    .await;
    let refused = app.chat("echo", json!({ "max_tokens": 1000 })).await;
    assert_eq!(
        (refused.status, refused.error("type")),
        (402, json!("budget_exceeded"))
    );
    assert!(refused.header("retry-after").is_some());
    assert!(
        refused
            .error("message")
            .to_string()
            .contains("Proxy=gateway")
    );
}
