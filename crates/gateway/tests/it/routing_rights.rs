//! Where a fallback may go and what it counts against: only to models that caller and end user may use, and always against the
//! budgets of the deployment that serves.

use serde_json::{Value, json};

use crate::routing::{attempts, fleet, options};
use crate::support::{Answer, TestApp, prompt};

const DENIED: &str = "the caller may not use its model group";
const NO_ROOM: &str = "its budget has no room for the call";

/// Groups: `g` fails, then come `secret` and `h`, by whatever list; `pool/*` is a pattern and `door` an alias of `secret`.
async fn house(router: Value) -> TestApp {
    fleet(
        &[
            ("g", "fail-503", json!({})),
            ("secret", "story", json!({})),
            ("h", "echo", json!({})),
            ("small", "letters", json!({ "info.max_input_tokens": 1 })),
            ("pool/*", "pool", json!({ "model": "openai/*" })),
        ],
        router,
    )
    .await
}

/// Models that the provider was asked for since the last look.
fn asked(app: &TestApp, seen: &mut usize) -> Vec<String> {
    let requests = app.sandbox.requests();
    let new = requests.iter().skip(*seen);
    let models = new.map(|sent| sent.json()["model"].as_str().unwrap_or_default().to_owned());
    let models = models.collect();
    *seen = requests.len();
    models
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_reaches_no_model_that_the_caller_may_not_use() {
    let lists = [
        json!({ "fallbacks": [{ "g": ["secret", "h"] }] }),
        json!({ "fallbacks": [{ "*": ["secret", "h"] }] }),
        json!({ "default_fallbacks": ["secret", "h"] }),
        json!({ "fallbacks": [{ "g": ["door", "pool/story", "h"] }], "model_group_alias": { "door": "secret" } }),
        // By way of a group that has the other one as its own fallback.
        json!({ "fallbacks": [{ "g": ["secret"] }, { "secret": ["h"] }], "default_fallbacks": ["h"] }),
    ];
    for router in lists {
        let mut router = router;
        router["num_retries"] = json!(0);
        let app = house(router.clone()).await;
        app.manage("/team/new", json!({ "team_id": "t", "models": ["g", "h"] }))
            .await;
        let of_team = json!({ "team_id": "t", "models": ["all-team-models"] });
        let mut seen = 0;
        let reaches = !router.to_string().contains("{\"g\":[\"secret\"]}");
        for key in [
            app.key(json!({ "models": ["g", "h"] })).await,
            app.key(of_team).await,
        ] {
            for more in [json!({}), json!({ "stream": true })] {
                let answer = app.chat_as(&key, "g", more).await;
                let record = app.record_of(&answer).await;
                if reaches {
                    assert_eq!(answer.status, 200, "{router} {}", answer.text());
                    assert_eq!(asked(&app, &mut seen), ["fail-503", "echo"], "{router}");
                } else {
                    // What another one may not use leads nowhere either.
                    answer.refused(503, "upstream_error");
                    assert_eq!(asked(&app, &mut seen), ["fail-503"], "{router}");
                }
                let options = options(&record);
                let denied = options.iter().filter(|(_, why)| why == DENIED);
                assert!(denied.count() >= 1, "{options:?}");
            }
        }
        // The master key may use everything, so the same list leads there.
        let answer = app.chat("g", json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(asked(&app, &mut seen).len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_is_too_long_goes_to_no_model_that_the_caller_may_not_use() {
    let app = house(json!({
        "enable_pre_call_checks": true, "context_window_fallbacks": [{ "small": ["secret", "h"] }], "num_retries": 0,
    }))
    .await;
    let mut seen = 0;
    let key = app.key(json!({ "models": ["small", "h"] })).await;
    let answer = app.chat_as(&key, "small", json!({})).await;
    assert_eq!(answer.header("x-litellm-model-group"), Some("h"));
    assert_eq!(asked(&app, &mut seen), ["echo"]);
    let alone = app.key(json!({ "models": ["small"] })).await;
    let answer = app.chat_as(&alone, "small", json!({})).await;
    answer.refused(400, "context_length_exceeded");
    assert_eq!(asked(&app, &mut seen), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn fallbacks_of_a_request_are_those_that_the_caller_could_ask_for() {
    let app =
        house(json!({ "fallbacks": [{ "g": ["secret"] }], "num_retries": 0, "max_fallbacks": 3 }))
            .await;
    let key = app.key(json!({ "models": ["g", "h"] })).await;
    let alone = app.key(json!({ "models": ["g"] })).await;
    let mut seen = 0;
    let ask = async |key: &str, list: Value| -> Answer {
        let answer = app.chat_as(key, "g", json!({ "fallbacks": list })).await;
        app.record_of(&answer).await;
        answer
    };
    let answer = ask(&key, json!(["secret", "nobody", "pool/story", "h"])).await;
    assert_eq!(answer.header("x-litellm-model-group"), Some("h"));
    assert_eq!(asked(&app, &mut seen), ["fail-503", "echo"]);
    for list in [
        json!(["h"]),
        json!(["secret"]),
        json!(["pool/echo", "door"]),
    ] {
        ask(&alone, list).await.refused(503, "upstream_error");
        assert_eq!(asked(&app, &mut seen), ["fail-503"]);
    }
    // Not a list of names: as if it were not there. Each group once, and no more than configured.
    for (list, tried) in [
        (json!("h"), vec!["fail-503", "story"]),
        (json!([7, null, ["h"]]), vec!["fail-503", "story"]),
        (json!(["g", "g", "h"]), vec!["fail-503", "echo"]),
    ] {
        let body = prompt("g", "hello sealed world", json!({ "fallbacks": list }));
        let answer = app.post("/v1/chat/completions", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{list}: {}", answer.text());
        assert_eq!(asked(&app, &mut seen), tried, "{list}");
    }
    for sent in app.sandbox.requests() {
        assert!(sent.json().get("fallbacks").is_none());
    }
    // Maps would bring messages and settings of their own.
    for list in [json!([{ "g": ["h"] }]), json!([{ "model": "h" }])] {
        app.chat_as(&key, "g", json!({ "fallbacks": list }))
            .await
            .refused(400, "refused_field");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_reaches_no_model_that_the_end_user_may_not_use() {
    let app = house(json!({ "fallbacks": [{ "g": ["secret", "h"] }], "num_retries": 0 })).await;
    app.manage(
        "/customer/new",
        json!({ "user_id": "client-of-ours", "models": ["g", "h"] }),
    )
    .await;
    let mut seen = 0;
    let user = json!({ "user": "client-of-ours" });
    let key = app.key(json!({})).await;
    let answer = app.chat_as(&key, "g", user.clone()).await;
    assert_eq!(answer.header("x-litellm-model-group"), Some("h"));
    assert_eq!(asked(&app, &mut seen), ["fail-503", "echo"]);
    let answer = app.chat("g", user.clone()).await;
    assert_eq!(
        answer.header("x-litellm-model-group"),
        Some("h"),
        "the master key serves him no more than that"
    );
    app.chat_as(&key, "secret", user)
        .await
        .refused(403, "model_denied");
    assert_eq!(asked(&app, &mut seen), ["fail-503", "echo"]);
}

/// Calls of `g` until one is refused: how many were served, and the refusal.
async fn until_refused(app: &TestApp, key: &str) -> (u32, Answer) {
    for served in 0..40 {
        let answer = app.chat_as(key, "g", json!({ "max_tokens": 8 })).await;
        if answer.status != 200 {
            return (served, answer);
        }
        assert_eq!(answer.header("x-litellm-model-group"), Some("h"));
        app.at_rest().await;
    }
    panic!("nothing counts what the fallback spends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_counts_against_the_budget_of_the_deployment_that_serves() {
    let router = json!({ "fallbacks": [{ "g": ["h"] }], "num_retries": 0 });
    let app = fleet(
        &[
            ("g", "fail-503", json!({})),
            ("h", "echo", json!({ "max_budget": 0.0007 })),
        ],
        router,
    )
    .await;
    let key = app.key(json!({})).await;
    let (served, refused) = until_refused(&app, &key).await;
    assert!(served > 0);
    // Without room there it is no fallback any more, and the error is the first one's.
    refused.refused(503, "upstream_error");
    let record = app.record_of(&refused).await;
    assert!(options(&record).contains(&("echo".to_owned(), NO_ROOM.to_owned())));
    let direct = app.chat_as(&key, "h", json!({ "max_tokens": 8 })).await;
    direct.refused(422, "budget_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_counts_against_the_limits_of_its_model() {
    let router = json!({ "fallbacks": [{ "g": ["h"] }], "num_retries": 0 });
    let app = fleet(
        &[("g", "fail-503", json!({})), ("h", "echo", json!({}))],
        router,
    )
    .await;
    let limit = json!({ "h": { "budget_limit": 0.0007, "time_period": "1d" } });
    let key = app.key(json!({ "model_max_budget": limit })).await;
    let (served, refused) = until_refused(&app, &key).await;
    assert!(served > 0);
    refused.refused(422, "budget_exceeded");
    assert_eq!(
        attempts(&app.record_of(&refused).await).len(),
        1,
        "nothing was sent to it"
    );
    // The group that failed is not what was spent on.
    let answer = app
        .chat_as(
            &key,
            "g",
            json!({ "max_tokens": 8, "fallbacks": ["nobody"] }),
        )
        .await;
    answer.refused(503, "upstream_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_without_room_in_its_budget_is_passed_over() {
    let app = fleet(
        &[
            ("g", "echo", json!({ "order": 1, "max_budget": 0.000001 })),
            ("g", "story", json!({ "order": 2 })),
            (
                "alone",
                "letters",
                json!({ "max_budget": 0.000001, "budget_duration": "1d" }),
            ),
        ],
        json!({ "num_retries": 0 }),
    )
    .await;
    let answer = app.chat("g", json!({})).await;
    assert_eq!(answer.header("x-litellm-model-id"), Some("story"));
    let record = app.record_of(&answer).await;
    assert_eq!(options(&record)[0], ("echo".to_owned(), NO_ROOM.to_owned()));
    app.chat("alone", json!({}))
        .await
        .refused(422, "budget_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_of_providers_hold_for_all_their_deployments() {
    let budget = json!({ "openai": { "budget_limit": 0.0008, "time_period": "1d" } });
    let app = fleet(
        &[
            ("a", "echo", json!({})),
            ("b", "letters", json!({})),
            ("g", "story", json!({ "order": 1 })),
            ("g", "other", json!({ "model": "groq/echo", "order": 2 })),
        ],
        json!({ "num_retries": 0, "provider_budget_config": budget, "routing_strategy": "provider-budget-routing" }),
    )
    .await;
    let few = json!({ "max_tokens": 8 });
    let mut served = 0;
    let refused = loop {
        let answer = app
            .chat(if served % 2 == 0 { "a" } else { "b" }, few.clone())
            .await;
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(served < 50, "nothing counts what the provider is paid");
        app.at_rest().await;
    };
    assert!(served > 1, "{}", refused.text());
    refused.refused(422, "budget_exceeded");
    let answer = app.chat("g", few).await;
    assert_eq!(answer.header("x-litellm-model-id"), Some("other"));
}
