//! Several deployments: choice, repetitions, fallbacks, limits, tags, and what records and headers say of them.

use serde_json::{Value, json};

use crate::support::{Answer, PROVIDER_KEY, Record, Stub, TestApp, words};

/// One entry of `model_list`: a deployment whose id is also its model at the provider, unless `more` says otherwise.
pub(crate) fn deployment(group: &str, id: &str, base: &str, more: Value) -> Value {
    let mut params = json!({
        "model": format!("openai/{id}"), "api_base": base, "api_key": PROVIDER_KEY,
        "input_cost_per_token": 2e-6, "output_cost_per_token": 1e-5,
    });
    let mut info = json!({ "id": id });
    for (key, value) in more.as_object().cloned().unwrap_or_default() {
        match key.strip_prefix("info.") {
            Some(key) => info[key] = value,
            None => params[key] = value,
        }
    }
    json!({ "model_name": group, "litellm_params": params, "model_info": info })
}

/// A gateway over deployments `(group, id, more)` of its sandbox, with these `router_settings`.
pub(crate) async fn fleet(deployments: &[(&str, &str, Value)], router: Value) -> TestApp {
    let mut stubs = Vec::new();
    stubs_and_fleet(deployments, &mut stubs, router, json!({})).await
}

/// As [`fleet`]; a deployment whose `more` has `stub` is served by that stub.
pub(crate) async fn stubs_and_fleet(
    deployments: &[(&str, &str, Value)],
    stubs: &mut [&Stub],
    router: Value,
    limits: Value,
) -> TestApp {
    let app = TestApp::with(|config| {
        let base = config["model_list"][0]["litellm_params"]["api_base"].clone();
        let list = deployments.iter().map(|(group, id, more)| {
            let mut more = more.clone();
            let stub = more.as_object_mut().and_then(|more| more.remove("stub"));
            let base = match stub.and_then(|index| index.as_u64()) {
                Some(index) => stubs[index as usize].base_url(),
                None => base.as_str().unwrap_or_default().to_owned(),
            };
            deployment(group, id, &base, more)
        });
        config["model_list"] = list.collect();
        for (key, value) in router.as_object().cloned().unwrap_or_default() {
            match key.strip_prefix("sealgate.") {
                Some(key) => config["sealgate"][key] = value,
                None => config["router_settings"][key] = value,
            }
        }
        for (key, value) in limits.as_object().cloned().unwrap_or_default() {
            config["sealgate"]["limits"][key] = value;
        }
    })
    .await;
    for stub in stubs {
        app.provided_by(stub);
    }
    app
}

/// (deployment, error) of each attempt.
pub(crate) fn attempts(record: &Record) -> Vec<(String, String)> {
    let attempts = &record.document["execution"]["tool_calls"][0]["result"]["attempts"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    attempts
        .as_array()
        .into_iter()
        .flatten()
        .map(|attempt| (text(&attempt["deployment"]), text(&attempt["error"])))
        .collect()
}

/// (id, why it was rejected) of each option.
pub(crate) fn options(record: &Record) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let options = record.document["reasoning"]["options"].as_array();
    options
        .into_iter()
        .flatten()
        .map(|option| {
            assert_eq!(
                option.as_object().map(serde_json::Map::len),
                Some(9),
                "{option}"
            );
            let rejected = text(&option["rejection_reason"]);
            assert_eq!(option["selected"], rejected.is_empty(), "{option}");
            (text(&option["id"]), rejected)
        })
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

/// Retries and fallbacks as the headers say.
pub(crate) fn counted(answer: &Answer) -> (u64, u64) {
    let number = |name| {
        let text = answer.header(name).unwrap_or_else(|| panic!("no {name}"));
        text.parse().expect("a number")
    };
    (
        number("x-litellm-attempted-retries"),
        number("x-litellm-attempted-fallbacks"),
    )
}

fn streamed() -> Value {
    json!({ "stream": true })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_is_repeated_at_another_deployment() {
    let app = fleet(
        &[
            ("g", "fail-500", json!({ "order": 1 })),
            ("g", "echo", json!({ "order": 2 })),
            ("g", "story", json!({ "order": 3 })),
        ],
        json!({ "num_retries": 2 }),
    )
    .await;
    for more in [json!({}), streamed()] {
        let answer = app.chat("g", more).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.content(0), "hello sealed world");
        assert_eq!(counted(&answer), (1, 0));
        assert_eq!(answer.header("x-litellm-model-id"), Some("echo"));
        assert_eq!(
            answer.header("x-sealgate-attempts"),
            Some("fail-500=500, echo=200")
        );
        assert_eq!(
            answer.header("x-sealgate-considered"),
            Some(
                "fail-500=\"attempt failed: server_error\", echo, story=\"a lower order has a usable deployment\""
            )
        );
        let record = app.record_of(&answer).await;
        assert_eq!(record.outcome(), "success");
        assert_eq!(
            attempts(&record),
            pairs(&[("fail-500", "upstream_error"), ("echo", "")])
        );
        assert_eq!(
            options(&record),
            pairs(&[
                ("fail-500", "attempt failed: server_error"),
                ("echo", ""),
                ("story", "a lower order has a usable deployment"),
            ])
        );
        assert_eq!(record.document["reasoning"]["selected_option"], "echo");
    }
    let alone = app.chat("g", json!({ "num_retries": 0 })).await;
    alone.refused(500, "upstream_error");
    assert_eq!(counted(&alone), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_serves_and_sends_what_the_checks_left() {
    let app = TestApp::with(|config| {
        let base = config["model_list"][0]["litellm_params"]["api_base"].clone();
        let base = base.as_str().unwrap_or_default();
        config["model_list"] = json!([
            deployment("g", "fail-503", base, json!({})),
            deployment("h", "echo", base, json!({})),
        ]);
        config["litellm_settings"]["fallbacks"] = json!([{ "g": ["h"] }]);
        config["guardrails"] = words("pre_call", "zzz-secret", "MASK");
    })
    .await;
    for more in [json!({}), streamed()] {
        let body = crate::support::prompt("g", "tell zzz-secret now", more);
        let answer = app.post("/v1/chat/completions", &body.to_string()).await;
        assert_eq!(answer.content(0), "tell [GONE] now", "{}", answer.text());
        assert_eq!(counted(&answer), (0, 1));
        assert_eq!(answer.header("x-litellm-model-group"), Some("h"));
        // LiteLLM's clients see the provider's name of the model after a fallback.
        let model = match answer.chunks().first() {
            Some(chunk) => chunk["model"].clone(),
            None => answer.json()["model"].clone(),
        };
        assert_eq!(model, "echo");
        let record = app.record_of(&answer).await;
        assert_eq!(record.environment("model_group"), "h");
        assert_eq!(record.document["reasoning"]["model"], "g");
        assert_eq!(
            options(&record),
            pairs(&[("fail-503", "attempt failed: server_error"), ("echo", "")])
        );
        let digests: std::collections::BTreeSet<String> =
            record.document["execution"]["tool_calls"][0]["result"]["attempts"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|attempt| attempt["sent_digest"].to_string())
                .collect();
        assert_eq!(digests.len(), 2, "each attempt says what was sent");
    }
    let metrics = app.send("GET", "/metrics", "", &[]).await.text();
    let counted = "litellm_deployment_successful_fallbacks_total{requested_model=\"g\",fallback_model=\"h\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    for sent in app.sandbox.requests() {
        let text = String::from_utf8_lossy(&sent.body).into_owned();
        assert!(
            text.contains("[GONE]") && !text.contains("zzz-secret"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fallbacks_that_point_at_each_other_end() {
    let app = fleet(
        &[
            ("a", "fail-500", json!({})),
            ("b", "fail-502", json!({})),
            ("c", "fail-503", json!({})),
        ],
        json!({ "fallbacks": [{ "a": ["b"] }, { "b": ["a", "c"] }, { "c": ["a", "b", "c"] }] }),
    )
    .await;
    for more in [json!({}), streamed()] {
        let answer = app.chat("a", more).await;
        answer.refused(503, "upstream_error");
        assert_eq!(counted(&answer), (0, 2));
        let record = app.record_of(&answer).await;
        assert_eq!(attempts(&record).len(), 3);
        assert_eq!(record.outcome(), "failure");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fallbacks_fit_the_failure() {
    let app = fleet(
        &[
            ("g", "fail-413", json!({})),
            ("long", "echo", json!({})),
            ("other", "story", json!({})),
            ("small", "letters", json!({ "info.max_input_tokens": 4 })),
        ],
        json!({
            "fallbacks": [{ "g": ["other"] }], "context_window_fallbacks": [{ "g": ["long"] }, { "small": ["long"] }],
            "enable_pre_call_checks": true,
        }),
    )
    .await;
    let answer = app.chat("g", json!({})).await;
    assert_eq!(answer.header("x-litellm-model-group"), Some("long"));
    let answer = app.chat("small", json!({})).await;
    assert_eq!(answer.header("x-litellm-model-group"), Some("long"));
    assert_eq!(counted(&answer), (0, 1));
    let record = app.record_of(&answer).await;
    assert_eq!(
        options(&record),
        pairs(&[
            ("letters", "the prompt is longer than it takes"),
            ("echo", "")
        ])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_deployment_can_serve() {
    let app = fleet(
        &[
            ("cooled", "fail-500", json!({})),
            ("limited", "echo", json!({ "rpm": 1 })),
            ("small", "letters", json!({ "info.max_input_tokens": 4 })),
            ("tagged", "story", json!({ "tags": ["eu"] })),
        ],
        json!({ "allowed_fails": 0, "cooldown_time": 3, "enable_pre_call_checks": true, "enable_tag_filtering": true }),
    )
    .await;
    app.chat("cooled", json!({}))
        .await
        .refused(500, "upstream_error");
    let answer = app.chat("cooled", json!({})).await;
    answer.refused(429, "all_deployments_in_cooldown");
    assert_eq!(answer.error("type"), "all_deployments_in_cooldown");
    assert!(
        !answer.text().contains("fail-500"),
        "no ids: {}",
        answer.text()
    );
    let wait = answer
        .header("retry-after")
        .and_then(|text| text.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (1..=3).contains(&wait)), "{wait:?}");

    assert_eq!(app.chat("limited", json!({})).await.status, 200);
    let answer = app.chat("limited", json!({})).await;
    answer.refused(429, "deployment_limit");
    assert!(answer.header("retry-after").is_some());

    app.chat("small", json!({}))
        .await
        .refused(400, "context_length_exceeded");
    app.chat("tagged", json!({ "metadata": { "tags": ["us"] } }))
        .await
        .refused(401, "no_deployment_for_tags");
    assert_eq!(
        app.chat("tagged", json!({ "tags": ["eu"] })).await.status,
        200
    );
    assert_eq!(app.sandbox.requests().len(), 3, "refusals send nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_choose_and_are_not_sent() {
    let app = fleet(
        &[
            ("g", "echo", json!({ "tags": ["free"] })),
            ("g", "story", json!({ "tags": ["default"] })),
        ],
        json!({ "enable_tag_filtering": true }),
    )
    .await;
    let body = crate::support::prompt("g", "hello sealed world", json!({})).to_string();
    for (body, headers, id) in [
        (
            body.clone(),
            vec![("x-litellm-tags", "other, free")],
            "echo",
        ),
        (body.clone(), vec![], "story"),
    ] {
        let path = "/v1/chat/completions";
        let answer = app.send("POST", path, &body, &headers).await;
        assert_eq!(answer.header("x-litellm-model-id"), Some(id));
    }
    let answer = app
        .chat("g", json!({ "metadata": { "tags": ["free"] } }))
        .await;
    assert_eq!(answer.header("x-litellm-model-id"), Some("echo"));
    for sent in app.sandbox.requests() {
        assert!(sent.json().get("metadata").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_narrows_its_way_and_never_widens_it() {
    let app = fleet(
        &[("g", "fail-500", json!({})), ("h", "echo", json!({}))],
        json!({ "num_retries": 1, "sealgate.retries": { "longest_wait": 0.01 } }),
    )
    .await;
    for (more, tried) in [
        (json!({ "num_retries": 0 }), 1),
        (json!({ "num_retries": 50 }), 2),
        (
            json!({ "mock_testing_fallbacks": true, "num_retries": 0 }),
            1,
        ),
        (
            json!({ "cooldown_time": 0, "max_retries": 9, "num_retries": 0 }),
            1,
        ),
    ] {
        let answer = app.chat("g", more.clone()).await;
        answer.refused(500, "upstream_error");
        let record = app.record_of(&answer).await;
        assert_eq!(attempts(&record).len(), tried, "{more}");
        assert_eq!(counted(&answer), (tried as u64 - 1, 0), "{more}");
    }
    let served = app.sandbox.requests();
    assert!(served.iter().all(|sent| sent.json()["model"] == "fail-500"));
    for refused in ["api_base", "model_list", "router_settings"] {
        let answer = app
            .chat("h", json!({ refused: "http://127.0.0.1:9" }))
            .await;
        answer.refused(400, "refused_field");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_show_what_traffic_taught() {
    let app = fleet(
        &[
            ("g", "fail-401", json!({ "order": 1 })),
            ("g", "echo", json!({ "order": 2 })),
        ],
        json!({ "num_retries": 1, "cooldown_time": 600 }),
    )
    .await;
    let answer = app.chat("g", json!({})).await;
    assert_eq!(counted(&answer), (1, 0));
    app.record_of(&answer).await;
    let again = app.chat("g", streamed()).await;
    assert_eq!(counted(&again), (0, 0), "the first one is left alone now");
    let record = app.record_of(&again).await;
    assert_eq!(options(&record)[0].1, "cooling down after failures");
    let health = app.send("GET", "/health", "", &[]).await.json();
    let bad = &health["unhealthy_endpoints"][0];
    assert_eq!(
        (&bad["model_id"], &bad["model"]),
        (&json!("fail-401"), &json!("g"))
    );
    assert_eq!(bad["traffic"]["state"], "cooling_down");
    assert!(
        bad["traffic"]["cooldown_seconds"]
            .as_u64()
            .is_some_and(|s| s > 500)
    );
    let good = &health["healthy_endpoints"][0]["traffic"];
    assert_eq!(
        (&good["state"], &good["in_flight"]),
        (&json!("healthy"), &json!(0))
    );
    assert_eq!(good["answers_last_minute"], 2);
    assert!(good["ms_per_token"].is_number() && good["ms_to_first_byte"].is_number());
    let metrics = app.send("GET", "/metrics", "", &[]).await.text();
    for line in [
        "litellm_deployment_state{model_group=\"g\",model_id=\"fail-401\"} 2",
        "litellm_deployment_state{model_group=\"g\",model_id=\"echo\"} 0",
        "litellm_deployment_cooled_down_total{model_group=\"g\",model_id=\"fail-401\"} 1",
        "litellm_deployment_failure_responses_total{model_group=\"g\",model_id=\"fail-401\"} 1",
        "litellm_deployment_success_responses_total{model_group=\"g\",model_id=\"echo\"} 2",
        "sealgate_deployment_in_flight{model_group=\"g\",model_id=\"echo\"} 0",
    ] {
        assert!(
            metrics.lines().any(|shown| shown == line),
            "{line}\n{metrics}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_was_learned_and_calls_keep_their_settings() {
    let app = fleet(
        &[("g", "fail-500", json!({})), ("h", "echo", json!({}))],
        json!({ "allowed_fails": 0, "cooldown_time": 600 }),
    )
    .await;
    app.chat("g", json!({}))
        .await
        .refused(500, "upstream_error");
    let refused = |answer: Answer| {
        answer.refused(429, "all_deployments_in_cooldown");
    };
    refused(app.chat("g", json!({})).await);
    app.reload(|config| config["router_settings"]["num_retries"] = json!(3))
        .await
        .expect("a good configuration");
    refused(app.chat("g", json!({})).await);
    app.reload(|config| config["router_settings"]["fallbacks"] = json!([{ "g": ["h"] }]))
        .await
        .expect("a good configuration");
    let answer = app.chat("g", json!({})).await;
    assert_eq!((answer.status, counted(&answer)), (200, (0, 1)));
    let error = app
        .reload(|config| config["router_settings"]["fallbacks"] = json!([{ "g": ["nobody"] }]))
        .await
        .expect_err("a fallback to nowhere");
    assert!(error.contains("router_settings.fallbacks.g"), "{error}");
}
