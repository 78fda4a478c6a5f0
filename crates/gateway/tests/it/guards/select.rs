//! Which calls run which guardrails: all of them, those that ask, by key and team, model, tag and agent. Asking only adds.

use serde_json::{Value, json};

use super::guard;
use crate::support::{Answer, TestApp};

fn named(name: &str, more: Value) -> Value {
    let mut guardrail = guard(name, "presidio", json!("pre_call"), more);
    guardrail["litellm_params"]["default_on"] = json!(false);
    guardrail
}

fn ran(answer: &Answer) -> Vec<String> {
    let header = answer
        .header("x-litellm-applied-guardrails")
        .unwrap_or_default();
    header
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_adds_and_never_removes() {
    let app = TestApp::with(|config| {
        config["guardrails"] = json!([
            guard("always", "hide-secrets", json!("pre_call"), json!({})),
            named("asked", json!({})),
        ]);
    })
    .await;
    assert_eq!(ran(&app.say("echo", "x").await), ["always"]);
    let asked = app.chat("echo", json!({ "guardrails": ["asked"] })).await;
    assert_eq!(ran(&asked), ["always", "asked"]);
    let form = app
        .chat(
            "echo",
            json!({ "guardrails": [{ "asked": { "threshold": 1 } }] }),
        )
        .await;
    assert_eq!(ran(&form), ["always", "asked"]);
    for removing in [
        json!({ "guardrails": [] }),
        json!({ "metadata": { "disable_global_guardrails": true } }),
        json!({ "disable_global_guardrails": true }),
        json!({ "disable_global_guardrail": true }),
    ] {
        assert_eq!(ran(&app.chat("echo", removing).await), ["always"]);
    }
    app.chat("echo", json!({ "guardrails": ["nobody"] }))
        .await
        .refused(400, "unknown_guardrail");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_models_and_keys_select() {
    let app = TestApp::with(|config| {
        let mut other = config["model_list"][0].clone();
        other["model_name"] = json!("guarded-echo");
        other["litellm_params"]["model"] = json!("openai/echo");
        other["litellm_params"]["guardrails"] = json!(["bound"]);
        let mut first = config["model_list"][0].clone();
        first["model_name"] = json!("first");
        first["litellm_params"]["model"] = json!("openai/echo");
        let list = config["model_list"].as_array_mut().expect("models");
        list.extend([other, first]);
        config["router_settings"]["fallbacks"] = json!([{ "first": ["guarded-echo"] }]);
        config["guardrails"] = json!([
            named(
                "tagged",
                json!({ "apply_to": { "tags": ["hr"], "models": ["nobody"] } })
            ),
            named("bound", json!({})),
            named(
                "modes",
                json!({ "mode": { "tags": { "strict": "pre_call" } } })
            ),
        ]);
    })
    .await;
    let tagged = app
        .chat("echo", json!({ "metadata": { "tags": ["hr"] } }))
        .await;
    assert_eq!(ran(&tagged), ["tagged"]);
    assert_eq!(
        ran(&app.chat("echo", json!({ "tags": ["strict"] })).await),
        ["modes"]
    );
    assert_eq!(ran(&app.say("guarded-echo", "x").await), ["bound"]);
    // A fallback may lead there, so the checks of both run before anything is sent.
    assert_eq!(ran(&app.say("first", "x").await), ["bound"]);
    assert!(ran(&app.say("echo", "x").await).is_empty());
    let key = app.key(json!({ "guardrails": ["bound"] })).await;
    assert_eq!(ran(&app.chat_as(&key, "echo", json!({})).await), ["bound"]);
}
