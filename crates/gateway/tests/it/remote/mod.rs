//! Checks that ask a service: what it sees, what its answers and its silence do to a call, and what the record says of it.

mod hostile;
mod judges;
mod kinds;
mod service;
mod streams;

use serde_json::{Value, json};

use crate::support::{Record, TestApp};
use service::{Act, Service};

/// A guardrail of the Generic Guardrail API at `service`.
pub(crate) fn generic(service: &Service, mode: &str, more: Value) -> Value {
    let mut params = json!({ "guardrail": "generic_guardrail_api", "mode": mode, "default_on": true,
        "api_base": service.base(), "api_key": "guard-key-canary-77", "timeout": 20 });
    if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
        params.extend(more);
    }
    json!([{ "guardrail_name": "guard", "litellm_params": params }])
}

pub(crate) async fn app(guardrails: Value) -> TestApp {
    TestApp::with(|config| config["guardrails"] = guardrails).await
}

/// The entries of a record about one check.
pub(crate) fn entries(record: &Record, check: &str) -> Vec<Value> {
    let chain = record.document["authority"]["chain"].as_array().cloned();
    let mut chain = chain.unwrap_or_default();
    chain.retain(|entry| entry["check"] == check);
    chain
}

fn none() -> Act {
    Act::json(json!({ "action": "NONE" }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_sees_every_text_in_litellm_s_format_and_may_pass() {
    let service = Service::start(|_| none()).await;
    let more = json!({ "additional_provider_specific_params": { "threshold": 0.8 }, "headers": { "x-tenant": "t1" } });
    let app = app(generic(&service, "pre_call", more)).await;
    let body = json!({ "messages": [{ "role": "system", "content": "S" }, { "role": "user", "content": "my mail" }],
        "metadata": { "secret_note": "metadata-canary" } });
    let answer = app.chat("echo", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-litellm-applied-guardrails"), Some("guard"));
    let asked = service.requests();
    let [asked] = &asked[..] else {
        panic!("asked {} times", asked.len())
    };
    assert_eq!(asked.path, "/beta/litellm_basic_guardrail_api");
    assert_eq!(asked.header("x-api-key"), Some("guard-key-canary-77"));
    assert_eq!(asked.header("x-tenant"), Some("t1"));
    assert_eq!(
        asked.header("authorization"),
        None,
        "the client's key stays here"
    );
    let said = &asked.body;
    let texts = said["texts"].as_array().expect("texts");
    for text in ["S", "my mail"] {
        assert!(texts.contains(&json!(text)), "{said}");
    }
    assert_eq!(said["input_type"], "request");
    assert_eq!(said["structured_messages"][1]["content"], "my mail");
    assert_eq!(
        said["additional_provider_specific_params"]["threshold"],
        0.8
    );
    assert_eq!(said["model"], "*");
    let id = answer.header("x-litellm-call-id").expect("an id");
    assert_eq!(said["litellm_call_id"], id);
    for key in [
        "litellm_trace_id",
        "images",
        "tools",
        "tool_calls",
        "request_data",
        "request_headers",
        "litellm_version",
    ] {
        assert!(said.get(key).is_some(), "{key} is always there");
    }
    assert!(!said.to_string().contains("sk-test-master"), "{said}");
    let record = app.record_of(&answer).await;
    let entries = entries(&record, "guard");
    let [entry] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(
        (&entry["outcome"], &entry["phase"]),
        (&json!("passed"), &json!(2))
    );
    assert_eq!(entry["seen"], entry["left"]);
    assert_eq!(entry["asserted_by"], service.host());
    assert!(entry["answer_digest"].is_string() && entry["micros"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_refuses_reaches_no_provider() {
    let reason = json!({ "action": "BLOCKED", "blocked_reason": "no poems\u{7} today" });
    let service = Service::start(move |_| Act::json(reason.clone())).await;
    let app = app(generic(&service, "pre_call", json!({}))).await;
    for stream in [false, true] {
        let answer = app.chat("echo", json!({ "stream": stream })).await;
        answer.refused(400, "blocked");
        assert_eq!(answer.error("message"), "no poems today");
        let record = app.record_of(&answer).await;
        assert_eq!(record.outcome(), "blocked");
        assert_eq!(entries(&record, "guard")[0]["outcome"], "blocked");
        assert!(entries(&record, "guard")[0].get("left").is_none());
    }
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn local_checks_mask_before_and_look_again_after_a_service() {
    // The service takes a name out and puts something in that the local check masks.
    let service = Service::start(|asked| {
        let texts = asked["texts"].as_array().cloned().unwrap_or_default();
        let change = |text: &Value| {
            let text = text.as_str().unwrap_or_default();
            json!(text.replace("Zora", "somebody forbidden"))
        };
        let texts: Vec<Value> = texts.iter().map(change).collect();
        Act::json(json!({ "action": "GUARDRAIL_INTERVENED", "texts": texts }))
    })
    .await;
    let mut guardrails = generic(&service, "pre_call", json!({}));
    let words = crate::support::words("pre_call", "forbidden", "MASK");
    guardrails
        .as_array_mut()
        .expect("a list")
        .push(words[0].clone());
    let app = app(guardrails).await;
    let answer = app.say("echo", "Zora has forbidden things").await;
    assert_eq!(answer.content(0), "somebody [GONE] has [GONE] things");
    let shown = service.requests()[0].body.to_string();
    assert!(
        !shown.contains("forbidden"),
        "masked before it leaves: {shown}"
    );
    let record = app.record_of(&answer).await;
    let chain = record.document["authority"]["chain"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let seen: Vec<_> = chain
        .iter()
        .filter(|entry| entry["side"] == "request")
        .map(|entry| {
            (
                entry["check"].as_str().unwrap_or_default(),
                entry["outcome"].as_str().unwrap_or_default(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("words", "edited"),
            ("guard", "edited"),
            ("words", "edited")
        ]
    );
    // The local check may refuse what the service wrote.
    let service = Service::start(|asked| {
        let count = asked["texts"].as_array().map_or(0, Vec::len);
        Act::json(json!({ "action": "NONE", "texts": vec!["now forbidden"; count] }))
    })
    .await;
    let mut guardrails = generic(&service, "pre_call", json!({}));
    let words = crate::support::words("pre_call", "forbidden", "BLOCK");
    guardrails
        .as_array_mut()
        .expect("a list")
        .push(words[0].clone());
    let app = self::app(guardrails).await;
    app.say("echo", "all fine").await.refused(400, "blocked");
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_beside_the_call_is_waited_for_and_replaces_nothing() {
    let service = Service::start(
        |asked| match asked["texts"].to_string().contains("rewrite") {
            true => {
                let count = asked["texts"].as_array().map_or(0, Vec::len);
                Act::json(
                    json!({ "action": "GUARDRAIL_INTERVENED", "texts": vec!["other"; count] }),
                )
            }
            false => Act::json(json!({ "action": "BLOCKED", "blocked_reason": "no" })),
        },
    )
    .await;
    let app = app(generic(&service, "during_call", json!({}))).await;
    for (text, stream) in [("plain", false), ("plain", true), ("rewrite me", false)] {
        let body = json!({ "stream": stream, "messages": [{ "role": "user", "content": text }] });
        let answer = app.chat("echo", body).await;
        answer.refused(400, "blocked");
        assert!(!answer.text().contains(text), "{}", answer.text());
        assert_eq!(app.record_of(&answer).await.outcome(), "blocked");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_judges_and_changes_answers() {
    let service = Service::start(|asked| {
        let texts = asked["texts"].as_array().cloned().unwrap_or_default();
        let all = json!(texts).to_string();
        if all.contains("poison") {
            return Act::json(json!({ "action": "BLOCKED", "blocked_reason": "bad answer" }));
        }
        let change = |text: &Value| {
            json!(
                text.as_str()
                    .unwrap_or_default()
                    .replace("Zora", "<PERSON>")
            )
        };
        let texts: Vec<Value> = texts.iter().map(change).collect();
        Act::json(json!({ "action": "GUARDRAIL_INTERVENED", "texts": texts }))
    })
    .await;
    let app = app(generic(&service, "post_call", json!({}))).await;
    let answer = app.say("echo", "ask Zora").await;
    assert_eq!(answer.content(0), "ask <PERSON>");
    let asked = &service.requests()[0].body;
    assert_eq!(asked["input_type"], "response");
    assert_eq!(asked["structured_messages"], Value::Null);
    let record = app.record_of(&answer).await;
    let entry = entries(&record, "guard")[0].clone();
    assert_eq!(
        (&entry["outcome"], &entry["delivery"]),
        (&json!("edited"), &json!("buffered"))
    );
    let answer = app.say("echo", "the poison").await;
    answer.refused(400, "blocked");
    assert!(!answer.text().contains("the poison"));
    assert_eq!(app.record_of(&answer).await.outcome(), "blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_values_come_back_after_the_service_has_looked() {
    let service = Service::start(|_| none()).await;
    let mut guardrails = generic(&service, "post_call", json!({}));
    guardrails.as_array_mut().expect("a list").push(json!({
        "guardrail_name": "pii", "litellm_params": { "guardrail": "presidio", "mode": "pre_call",
            "default_on": true, "output_parse_pii": true } }));
    let app = app(guardrails).await;
    for stream in [false, true] {
        let text = "write to zora@example.org today";
        let body = json!({ "stream": stream, "messages": [{ "role": "user", "content": text }] });
        let answer = app.chat("echo", body).await;
        assert_eq!(answer.content(0), text, "{}", answer.text());
        let record = app.record_of(&answer).await;
        assert_eq!(entries(&record, "guard")[0]["outcome"], "passed");
    }
    for asked in service.requests() {
        assert!(!asked.body.to_string().contains("zora@"), "{}", asked.body);
    }
}

/// GRD-17: what a service took out is taken out of every attempt.
#[tokio::test(flavor = "multi_thread")]
async fn grd_17_a_fallback_sends_what_the_service_left() {
    let service = Service::start(|asked| {
        let count = asked["texts"].as_array().map_or(0, Vec::len);
        Act::json(json!({ "action": "GUARDRAIL_INTERVENED", "texts": vec!["cleaned"; count] }))
    })
    .await;
    let guardrails = generic(&service, "pre_call", json!({}));
    let app = TestApp::with(|config| {
        config["guardrails"] = guardrails;
        for (group, model) in [("g", "openai/fail-500"), ("h", "openai/echo")] {
            let mut entry = config["model_list"][0].clone();
            entry["model_name"] = json!(group);
            entry["litellm_params"]["model"] = json!(model);
            config["model_list"]
                .as_array_mut()
                .expect("a list")
                .push(entry);
        }
        config["litellm_settings"]["fallbacks"] = json!([{ "g": ["h"] }]);
    })
    .await;
    let answer = app.say("g", "the secret plan").await;
    assert_eq!(answer.content(0), "cleaned", "{}", answer.text());
    assert_eq!(app.sandbox.requests().len(), 2);
    for request in app.sandbox.requests() {
        assert!(
            !request.json().to_string().contains("secret plan"),
            "{}",
            request.json()
        );
    }
}
