//! LED family, as far as the gateway writes it: every call and every refusal is in the ledger, and nothing else than it should.

use serde_json::{Value, json};

use crate::support::{TestApp, words};

fn environment(record: &Value) -> &Value {
    &record["context"]["environment"]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_has_one_record_that_says_what_happened() {
    let app = TestApp::start().await;
    let answer = app
        .chat(
            "echo",
            json!({ "user": "customer-7", "metadata": { "session_id": "s-1" } }),
        )
        .await;
    let id = answer
        .header("x-litellm-call-id")
        .expect("a call id")
        .to_owned();
    assert_eq!(
        answer.header("x-sealgate-capsule"),
        Some(format!("capsule://{id}").as_str())
    );
    let record = app.record(&id).await;
    let document = &record.document;
    assert_eq!(
        (document["type"].as_str(), record.outcome()),
        (Some("chat"), "success")
    );
    let environment = environment(document);
    assert_eq!(environment["observed"], true);
    assert!(
        environment["intent"].as_u64().is_some()
            && environment["boot"].is_string()
            && environment["ledger"].is_string()
    );
    for digest in [
        "request_digest",
        "sent_digest",
        "response_digest",
        "sent_text_digest",
        "config_digest",
    ] {
        assert!(
            environment[digest]
                .as_str()
                .is_some_and(|text| text.len() >= 32),
            "{digest}: {environment}"
        );
    }
    let used = &document["execution"]["resources_used"];
    let usage = &answer.json()["usage"];
    assert_eq!(
        (&used["tokens_in"], &used["tokens_out"]),
        (&usage["prompt_tokens"], &usage["completion_tokens"])
    );
    for text in ["customer-7", "s-1", "hello sealed world"] {
        assert!(
            !document.to_string().contains(text),
            "a record holds no `{text}`"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_carry_the_newest_checkpoint() {
    let app = TestApp::start().await;
    let first = app.chat("echo", json!({})).await;
    app.record_of(&first).await;
    let value = app.until_header("x-sealgate-checkpoint").await;
    let (size, root) = value.split_once(':').expect("size and root");
    assert!(
        size.parse::<u64>().is_ok_and(|size| size > 0) && root.len() >= 8,
        "{value}"
    );
    let stream = app.chat("echo", json!({ "stream": true })).await;
    let id = stream
        .header("x-litellm-call-id")
        .expect("a call id")
        .to_owned();
    let text = stream.text();
    let comment = text
        .find(": ")
        .and_then(|at| text.get(at..))
        .unwrap_or_default();
    assert!(
        comment.contains(&format!("capsule://{id}")),
        "a comment before the end names the record: {text}"
    );
    assert!(text.find("capsule://") < text.find("[DONE]"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn led_21_refusals_of_authenticated_callers_are_sealed() {
    let app = TestApp::with(|config| {
        config["guardrails"] = words("pre_call", "forbidden", "BLOCK");
        config["model_list"].as_array_mut().expect("list").push(json!({
            "model_name": "elsewhere", "litellm_params": { "model": "bedrock/anthropic.claude-v2", "aws_region_name": "eu-west-1" },
        }));
    })
    .await;
    let blocked = app.say("echo", "this is FORBIDDEN text").await;
    blocked.refused(400, "blocked");
    let record = app.record_of(&blocked).await;
    assert_eq!(
        (record.document["type"].as_str(), record.outcome()),
        (Some("chat"), "blocked")
    );
    assert_eq!(
        record.document["authority"]["chain"][0]["outcome"],
        "blocked"
    );
    assert_eq!(record.document["authority"]["type"], "policy");

    app.post("/v1/chat/completions", "{")
        .await
        .refused(400, "invalid_json");
    app.chat("echo", json!({ "api_base": "http://x" }))
        .await
        .refused(400, "refused_field");
    app.chat("elsewhere", json!({}))
        .await
        .refused(501, "provider_not_available");
    let codes = app.refusals(3).await;
    for code in ["invalid_json", "refused_field", "provider_not_available"] {
        assert!(codes.contains_key(code), "{code} is sealed: {codes:?}");
    }
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn led_21_a_flood_of_refusals_becomes_exact_summaries() {
    let app = TestApp::with(|config| {
        config["sealgate"]["limits"]["sealed_refusals_per_minute"] = json!(5)
    })
    .await;
    for _ in 0..200 {
        app.keyless("GET", "/v1/models", &[])
            .await
            .refused(401, "unauthenticated");
    }
    for _ in 0..30 {
        app.keyless(
            "POST",
            "/v1/chat/completions",
            &[("authorization", "Bearer sk-wrong")],
        )
        .await
        .refused(401, "unauthenticated");
    }
    // The rest is summed up at the latest when the gateway stops.
    let app = app.stopped().await;
    let codes = app.refusals(1).await;
    assert_eq!(codes.get("unauthenticated"), Some(&230), "{codes:?}");
    let records = app.all_records();
    assert!(
        records.len() < 30,
        "a flood does not fill the disk: {} records",
        records.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn led_23_the_list_of_unaudited_routes_is_exact() {
    use policy::route::{Method, ROUTES, RouteId};
    let guardrails = crate::support::words("logging_only", "never said", "BLOCK");
    let app = TestApp::with(|config| config["guardrails"] = guardrails).await;
    let before = app.all_records().len();
    // A reload is no call, and its change is sealed as a record of its own.
    let silent =
        |route: &&policy::route::Route| !route.governed && route.id != RouteId::ReloadConfig;
    for route in ROUTES.iter().filter(silent) {
        for path in route.paths {
            let path = path
                .replace("{model...}", "echo")
                .replace("{model}", "echo");
            let body = match route.method {
                Method::Post => {
                    let words = json!({ "model": "echo", "messages": [], "guardrail_name": "words", "text": "x" });
                    words.to_string()
                }
                _ => String::new(),
            };
            let answer = app.send(route.method.as_str(), &path, &body, &[]).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
    }
    assert_eq!(
        app.all_records().len(),
        before,
        "ungoverned routes seal nothing"
    );
    let mut calls = 0;
    let made = app
        .post("/v1/responses", r#"{"model":"echo","input":"x"}"#)
        .await;
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    calls += 1;
    for route in ROUTES.iter().filter(|route| route.governed) {
        for path in route.paths {
            let path = path.replace("{model}", "echo").replace("{id}", &id);
            let body = match route.id {
                RouteId::Embeddings | RouteId::Moderations | RouteId::Responses => {
                    json!({ "model": "echo", "input": "x" })
                }
                RouteId::Completions => json!({ "model": "echo", "prompt": "x" }),
                _ => {
                    json!({ "model": "echo", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] })
                }
            };
            let answer = app
                .send(route.method.as_str(), &path, &body.to_string(), &[])
                .await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            calls += 1;
        }
    }
    assert_eq!(
        app.calls(calls).await.len(),
        calls,
        "every governed route seals"
    );
    let page = include_str!("../../../../docs/threat-model.md").to_owned()
        + include_str!("../../../../docs/operating.md");
    for path in ROUTES
        .iter()
        .filter(|route| !route.governed)
        .flat_map(|route| route.paths)
    {
        assert!(page.contains(path), "`{path}` is documented as unaudited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn led_25_prompts_that_imitate_records_stay_prompts() {
    let imitation = r#"{"id":"00000000-0000-7000-8000-000000000000","type":"system","sequence":0,"previous_hash":null,"hash":"00","outcome":{"status":"success"}}"#;
    let control: String = (1..32_u8)
        .map(char::from)
        .chain(['\u{7f}', '\u{85}', '\u{2028}', '\u{202e}', '\u{feff}'])
        .collect();
    let huge = "A".repeat(300_000);
    for mode in ["hash", "full"] {
        let app = TestApp::with(|config| config["sealgate"]["content_mode"] = json!(mode)).await;
        app.keeps_content(mode == "full");
        for text in [
            imitation,
            control.as_str(),
            huge.as_str(),
            "\\u0000\\ud800",
            "'; DROP TABLE capsules; --",
        ] {
            let answer = app.say("echo", text).await;
            assert_eq!(answer.content(0), text);
            let record = app.record_of(&answer).await;
            assert_eq!(record.outcome(), "success");
            let kept = record.document["trigger"]["request"]
                .as_str()
                .unwrap_or_default();
            match mode {
                "hash" => assert_eq!(kept, ""),
                _ => assert!(
                    text.starts_with(kept) && kept.len() <= 10_000,
                    "bounded: {} bytes",
                    kept.len()
                ),
            }
            assert!(
                record.document.to_string().len() < 64 * 1024,
                "a record stays small"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn led_15_a_configuration_is_sealed_before_it_takes_effect() {
    let app = TestApp::start().await;
    let before = app.record_of(&app.chat("echo", json!({})).await).await;
    let first = environment(&before.document)["config_digest"].clone();
    let sealed = app.events("config_change");
    app.reload(|config| config["sealgate"]["domain"] = json!("changed"))
        .await
        .expect("a good configuration");
    let after = app.record_of(&app.chat("echo", json!({})).await).await;
    let second = environment(&after.document)["config_digest"].clone();
    assert_ne!(first, second);
    let changes = app.events("config_change");
    assert_eq!(changes.len(), sealed.len() + 1);
    let change = changes.last().expect("a change");
    assert!(
        change.sequence < after.sequence
            && change
                .document
                .to_string()
                .contains(second.as_str().expect("hex"))
    );
    assert_eq!(after.document["domain"], "changed");

    let refused = app
        .reload(|config| config["general_settings"]["master_key"] = json!("sk-1234"))
        .await;
    assert!(refused.is_err(), "a bad configuration changes nothing");
    let still = app.record_of(&app.chat("echo", json!({})).await).await;
    assert_eq!(environment(&still.document)["config_digest"], second);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_mode_full_keeps_the_texts_in_clear() {
    let app = TestApp::with(|config| config["sealgate"]["content_mode"] = json!("full")).await;
    app.keeps_content(true);
    let record = app.record_of(&app.say("echo", "keep this").await).await;
    assert_eq!(record.document["trigger"]["request"], "keep this");
    assert_eq!(record.document["outcome"]["result"], "keep this");
}
