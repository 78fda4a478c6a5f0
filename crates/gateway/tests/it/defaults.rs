//! What a deployment's `litellm_params` say of every request: members for requests that do not say them, members that are sent
//! whatever is known of the provider, the model behind a deployment's name.

use serde_json::{Value, json};

use crate::routing::deployment;
use crate::support::{TestApp, prompt};

async fn app(entries: &[(&str, &str, Value)], router: Value) -> TestApp {
    TestApp::with(|config| {
        let base = config["model_list"][0]["litellm_params"]["api_base"].clone();
        let base = base.as_str().unwrap_or_default();
        let list = entries
            .iter()
            .map(|(group, id, more)| deployment(group, id, base, more.clone()));
        config["model_list"] = list.collect();
        for (key, value) in router.as_object().cloned().unwrap_or_default() {
            config["router_settings"][key] = value;
        }
    })
    .await
}

/// What the provider got of the last call.
fn sent(app: &TestApp) -> Value {
    let requests = app.sandbox.requests();
    let last = requests.last().expect("a request");
    serde_json::from_slice(&last.body).expect("JSON")
}

async fn ask(app: &TestApp, path: &str, body: &Value) -> Value {
    let answer = app.post(path, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    sent(app)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_a_request_does_not_say_come_from_the_deployment() {
    let defaults = json!({
        "temperature": 0.25, "top_p": 0.5, "seed": 7, "max_tokens": 33, "presence_penalty": 0.5,
        "parallel_tool_calls": false, "verbosity": "low", "stop": ["never sent"], "n": 3,
    });
    let claude = json!({ "model": "anthropic/echo", "temperature": 0.25, "max_tokens": 33,
        "thinking": { "type": "enabled", "budget_tokens": 2000 } });
    let app = app(
        &[
            ("g", "echo", defaults),
            ("claude", "claude", claude),
            ("shared", "story", json!({ "temperature": 0.75 })),
        ],
        json!({ "default_litellm_params": { "temperature": 0.1, "top_p": 0.9 } }),
    )
    .await;
    // What the request says wins, by whichever of its names.
    let body = prompt(
        "g",
        "hello",
        json!({ "temperature": 1, "max_completion_tokens": 5 }),
    );
    let got = ask(&app, "/v1/chat/completions", &body).await;
    assert_eq!(got["temperature"], 1);
    assert_eq!(
        (&got["max_completion_tokens"], got.get("max_tokens")),
        (&json!(5), None)
    );
    assert_eq!((&got["top_p"], &got["seed"]), (&json!(0.5), &json!(7)));
    assert_eq!(
        (&got["verbosity"], got.get("stop"), got.get("n")),
        (&json!("low"), None, None)
    );
    assert_eq!(got.get("parallel_tool_calls"), None, "there are no tools");

    let body = prompt("g", "hello", json!({}));
    let got = ask(&app, "/v1/chat/completions", &body).await;
    assert_eq!(
        (&got["temperature"], &got["max_tokens"]),
        (&json!(0.25), &json!(33))
    );
    // Each format has its own names, and only the members that it knows.
    let got = ask(
        &app,
        "/v1/responses",
        &json!({ "model": "g", "input": "hello" }),
    )
    .await;
    assert_eq!(
        (&got["max_output_tokens"], &got["temperature"]),
        (&json!(33), &json!(0.25))
    );
    assert_eq!((got.get("seed"), got.get("max_tokens")), (None, None));
    // Also where the request is translated, and where it goes on as it came.
    let got = ask(
        &app,
        "/v1/chat/completions",
        &prompt("claude", "hello", json!({ "max_tokens": 3000 })),
    )
    .await;
    assert_eq!(
        (&got["max_tokens"], &got["thinking"]["budget_tokens"]),
        (&json!(3000), &json!(2000))
    );
    // Nobody asked for what this one does not take with thinking, so nobody is refused for it.
    let answer = app.chat("claude", json!({ "max_tokens": 3000 })).await;
    assert_eq!(
        (answer.status, answer.header("x-sealgate-dropped-params")),
        (200, Some("temperature"))
    );
    let asked = json!({ "max_tokens": 3000, "temperature": 0.5 });
    app.chat("claude", asked)
        .await
        .refused(400, "invalid_field");
    let body = prompt(
        "claude",
        "hello",
        json!({ "max_tokens": 3000, "temperature": 1 }),
    );
    let got = ask(&app, "/v1/messages", &body).await;
    assert_eq!(
        (&got["temperature"], &got["thinking"]["type"]),
        (&json!(1), &json!("enabled"))
    );
    // What all deployments share, where they say nothing themselves.
    let got = ask(
        &app,
        "/v1/chat/completions",
        &prompt("shared", "hello", json!({})),
    )
    .await;
    assert_eq!(
        (&got["temperature"], &got["top_p"]),
        (&json!(0.75), &json!(0.9))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_members_are_sent_whatever_is_known_of_the_provider() {
    let allowed = json!({ "model": "groq/echo", "allowed_openai_params": ["logit_bias"] });
    let claude = json!({ "model": "anthropic/echo", "allowed_openai_params": ["seed"] });
    let app = app(
        &[
            ("plain", "plain", json!({ "model": "groq/echo" })),
            ("allowed", "allowed", allowed),
            ("claude", "claude", claude),
        ],
        json!({}),
    )
    .await;
    let more = json!({ "logit_bias": { "1": 2 } });
    let answer = app.chat("plain", more.clone()).await;
    assert_eq!(sent(&app).get("logit_bias"), None);
    assert_eq!(
        answer.header("x-sealgate-dropped-params"),
        Some("logit_bias")
    );
    let answer = app.chat("allowed", more.clone()).await;
    assert_eq!(sent(&app)["logit_bias"], more["logit_bias"]);
    assert_eq!(answer.header("x-sealgate-dropped-params"), None);
    app.chat("claude", json!({ "seed": 7 })).await;
    assert_eq!(sent(&app)["seed"], 7);
    let refused = app.chat("claude", more).await;
    refused.refused(400, "invalid_field");
    // A request does not allow itself anything.
    let own = json!({ "logit_bias": { "1": 2 }, "allowed_openai_params": ["logit_bias"] });
    app.chat("plain", own).await;
    assert_eq!(sent(&app).get("logit_bias"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_whose_name_is_no_model_says_which_it_is() {
    let unpriced = |more: Value| {
        let mut params = json!({ "input_cost_per_token": null, "output_cost_per_token": null, "max_tokens": 50 });
        for (key, value) in more.as_object().cloned().unwrap_or_default() {
            params[key] = value;
        }
        params
    };
    let app = app(
        &[
            (
                "known",
                "echo",
                unpriced(json!({ "info.base_model": "azure/gpt-4o" })),
            ),
            ("unknown", "story", unpriced(json!({}))),
        ],
        json!({}),
    )
    .await;
    let known = app.chat("known", json!({})).await;
    let record = app.record_of(&known).await;
    assert_eq!(
        record.environment("cost_source"),
        "table",
        "{}",
        record.document
    );
    let unknown = app.chat("unknown", json!({})).await;
    let record = app.record_of(&unknown).await;
    assert_eq!(record.environment("cost_source"), "none");
}
