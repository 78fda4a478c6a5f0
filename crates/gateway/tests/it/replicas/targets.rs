//! Limits of deployments and providers over several gateways: who has no room is passed over, and a call that goes elsewhere
//! counts there.

use gateway::replicas::WhenLost;
use serde_json::{Value, json};

use super::several::Several;
use crate::routing::deployment;
use crate::support::{Answer, prompt};

/// Gateways over deployments `(group, id, more)`.
async fn fleet(count: usize, deployments: &[(&str, &str, Value)], router: Value) -> Several {
    Several::configured(count, WhenLost::Refuse, |config| {
        let base = config["model_list"][0]["litellm_params"]["api_base"].clone();
        let base = base.as_str().expect("an address");
        let list = deployments
            .iter()
            .map(|(group, id, more)| deployment(group, id, base, more.clone()));
        config["model_list"] = list.collect();
        for (key, value) in router.as_object().cloned().unwrap_or_default() {
            config["router_settings"][key] = value;
        }
    })
    .await
}

fn served_by(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let id = answer.header("x-litellm-model-id");
    id.expect("a deployment").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_without_room_is_passed_over_by_all() {
    for (limit, reason) in [
        (json!({ "rpm": 2, "order": 1 }), "requests per minute"),
        (json!({ "otpm": 1, "order": 1 }), "tokens per minute"),
        (json!({ "itpm": 1, "order": 1 }), "tokens per minute"),
        (json!({ "max_budget": 0.000_001, "order": 1 }), "its budget"),
    ] {
        let deployments = [
            ("g", "echo", limit.clone()),
            ("g", "story", json!({ "order": 2 })),
        ];
        let all = fleet(2, &deployments, json!({})).await;
        let key = all.key(json!({})).await;
        let (mut first, mut passed) = (0, 0);
        for at in 0..6 {
            let answer = all.chat(at, &key, "g").await;
            match served_by(&answer).as_str() {
                "echo" => first += 1,
                _ => {
                    passed += 1;
                    let considered = answer.header("x-sealgate-considered");
                    assert!(
                        considered.is_some_and(|seen| seen.contains(reason)),
                        "{considered:?}"
                    );
                }
            }
            // What a call used is counted when its record is durable.
            all.settled().await;
        }
        let most = if limit.get("rpm").is_some() { 2 } else { 1 };
        assert!(first <= most, "{limit}: {first} calls");
        assert_eq!(first + passed, 6);
        all.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn places_at_a_deployment_are_those_of_all() {
    let deployments = [
        (
            "g",
            "slow-2000",
            json!({ "max_parallel_requests": 1, "order": 1 }),
        ),
        ("g", "echo", json!({ "order": 2 })),
    ];
    let all = fleet(2, &deployments, json!({})).await;
    let key = all.key(json!({})).await;
    let before = all.sandbox.requests().len();
    let slow = all.chat(0, &key, "g");
    let other = async {
        all.until("the slow one is asked", async || {
            all.sandbox.requests().len() > before
        })
        .await;
        all.chat(1, &key, "g").await
    };
    let (slow, other) = tokio::join!(slow, other);
    assert_eq!(served_by(&slow), "slow-2000");
    assert_eq!(served_by(&other), "echo");
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_counts_where_it_is_served() {
    let deployments = [
        ("g", "fail-503", json!({ "rpm": 100 })),
        ("h", "echo", json!({ "rpm": 3 })),
    ];
    let router = json!({ "fallbacks": [{ "g": ["h"] }], "num_retries": 0 });
    let all = fleet(2, &deployments, router).await;
    let key = all.key(json!({ "model_rpm_limit": { "h": 100 } })).await;
    for at in 0..3 {
        assert_eq!(served_by(&all.chat(at, &key, "g").await), "echo");
    }
    // Without room there it is no fallback any more, and the error is the first one's.
    for at in 0..2 {
        all.chat(at, &key, "g").await.refused(503, "upstream_error");
        let direct = all.chat(at, &key, "h").await;
        direct.refused(429, "deployment_limit");
        assert!(direct.header("retry-after").is_some());
    }
    all.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_counts_against_the_limits_of_its_model() {
    let deployments = [("g", "fail-503", json!({})), ("h", "echo", json!({}))];
    let router = json!({ "fallbacks": [{ "g": ["h"] }], "num_retries": 0 });
    let all = fleet(2, &deployments, router).await;
    let key = all.key(json!({ "model_rpm_limit": { "h": 2 } })).await;
    for at in 0..2 {
        assert_eq!(served_by(&all.chat(at, &key, "g").await), "echo");
    }
    for at in 0..2 {
        all.chat(at, &key, "g").await.refused(429, "rate_limited");
    }
    let body = prompt(
        "g",
        "hello",
        json!({ "max_tokens": 50, "fallbacks": ["nobody"] }),
    );
    let answer = all.post(0, &key, "/v1/chat/completions", &body).await;
    answer.refused(503, "upstream_error");
    all.stop().await;
}
