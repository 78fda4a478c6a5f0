//! Routes beside chat: what they refuse, and in whose envelope.

use serde_json::{Value, json};

use crate::support::{TestApp, words};

/// A deployment that answers in another provider's name.
fn deployment(name: &str, model: &str, base: &str) -> Value {
    json!({ "model_name": name, "litellm_params": { "model": model, "api_base": base, "api_key": "sk-provider-0123456789" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_has_no_such_thing_is_not_asked_for_it() {
    let app = TestApp::with(|config| {
        let base = "http://127.0.0.1:9/v1";
        let list = config["model_list"].as_array_mut().expect("a list");
        list.push(deployment("quick", "groq/quick", base));
    })
    .await;
    let body = json!({ "model": "quick", "input": "x" }).to_string();
    let answer = app.post("/v1/moderations", &body).await;
    answer.refused(400, "not_served");
    assert!(app.sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_others_and_invented_ones_are_unknown() {
    let app = TestApp::start().await;
    for (method, path) in [
        ("GET", "/v1/responses/resp_123"),
        ("GET", "/responses/resp_123/input_items"),
        (
            "DELETE",
            "/v1/responses/resp_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ),
        ("POST", "/v1/responses/x/cancel"),
    ] {
        let answer = app.send(method, path, "", &[]).await;
        answer.refused(404, "unknown_response");
    }
    let body = json!({ "model": "echo", "input": "x", "previous_response_id": "resp_123" });
    let answer = app.post("/v1/responses", &body.to_string()).await;
    answer.refused(400, "invalid_field");
    assert_eq!(answer.json()["error"]["param"], "previous_response_id");
    assert!(app.sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_is_a_tunnel() {
    let app = TestApp::start().await;
    for path in [
        "/openai/v1/files",
        "/anthropic/v1/messages/batches",
        "/openai/x",
    ] {
        let answer = app.post(path, "{}").await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            answer
                .text()
                .contains("only the routes whose texts are inspected"),
            "{path}"
        );
    }
    assert!(app.sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_come_in_the_envelope_of_the_route() {
    let guardrails = words("pre_call", "forbidden", "BLOCK");
    let app = TestApp::with(|config| config["guardrails"] = guardrails).await;
    let body = json!({ "model": "echo", "max_tokens": 5, "messages": [{ "role": "user", "content": "forbidden" }] });
    for path in [
        "/v1/messages",
        "/anthropic/v1/messages",
        "/v1/messages/count_tokens",
    ] {
        let answer = app.post(path, &body.to_string()).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["type"]),
            (400, &json!("error")),
            "{json}"
        );
        assert_eq!(json["error"]["type"], "invalid_request_error");
        assert_eq!(json["error"]["sealgate_code"], "blocked");
        let nobody = app.keyless("POST", path, &[]).await;
        assert_eq!(
            (nobody.status, nobody.json()["error"]["type"].clone()),
            (401, json!("authentication_error"))
        );
    }
    let answer = app
        .post("/v1/responses", r#"{"model":"echo","input":"forbidden"}"#)
        .await;
    answer.refused(400, "blocked");
    assert!(app.sandbox.requests().is_empty());
}
