//! Every string of a request, one after the other: what reaches the provider unchecked must be structural.

use serde_json::{Value, json};

use crate::support::{TestApp, words};

/// A request with everything that the API reference knows and some things that it does not.
fn rich() -> Value {
    json!({
        "model": "echo",
        "messages": [
            { "role": "developer", "content": "d" },
            { "role": "system", "content": "s", "name": "n" },
            { "role": "user", "content": [
                { "type": "text", "text": "t" },
                { "type": "refusal", "refusal": "r" },
                { "type": "unknown_kind", "payload": { "deep": ["p"] } },
            ] },
            { "role": "assistant", "content": "a", "refusal": "r", "reasoning_content": "c",
              "tool_calls": [{ "id": "i", "type": "function", "function": { "name": "f", "arguments": "{\"k\":\"v\"}" } },
                             { "id": "j", "type": "custom", "custom": { "name": "g", "input": "h" } }],
              "function_call": { "name": "f", "arguments": "{}" }, "annotations": [{ "note": "n" }], "audio": { "id": "a" } },
            { "role": "tool", "tool_call_id": "i", "content": "o" },
            { "role": "function", "name": "f", "content": "o" },
            { "role": "user", "content": "u", "x_extra": { "more": "m" } },
        ],
        "tools": [{ "type": "function", "function": { "name": "f", "description": "d", "strict": true,
            "parameters": { "type": "object", "title": "t", "properties": { "k": { "type": "string", "description": "d", "enum": ["e"], "default": "x", "pattern": "p" } } } } }],
        "functions": [{ "name": "f", "description": "d", "parameters": {} }],
        "tool_choice": { "type": "function", "function": { "name": "f" } },
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "description": "d", "schema": { "type": "object", "description": "d" } } },
        "prediction": { "type": "content", "content": [{ "type": "text", "text": "t" }] },
        "web_search_options": { "user_location": { "type": "approximate", "approximate": { "city": "c", "country": "DE" } } },
        "stop": ["s"],
        "user": "u",
        "logit_bias": { "1": 1 },
        "x_unknown": { "a": ["b", { "c": "d" }] },
    })
}

/// Ends of paths that are structural: enumerations, ids and the names of kinds.
const STRUCTURAL: [&str; 8] = [
    "/model",
    "/role",
    "/type",
    "/id",
    "/tool_call_id",
    "/country",
    "/user",
    "/audio/id",
];

fn leaves(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::String(_) => out.push(path.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| leaves(item, &format!("{path}/{index}"), out)),
        Value::Object(map) => map
            .iter()
            .for_each(|(key, item)| leaves(item, &format!("{path}/{key}"), out)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_string_of_a_request_goes_unchecked() {
    let guardrails = words("pre_call", "forbidden", "BLOCK");
    let app = TestApp::with(|config| {
        config["guardrails"] = guardrails;
        config["sealgate"]["opaque_parts"] = json!("pass");
    })
    .await;
    let clean = app.post("/v1/chat/completions", &rich().to_string()).await;
    assert_eq!(clean.status, 200, "{}", clean.text());
    let mut paths = Vec::new();
    leaves(&rich(), "", &mut paths);
    assert!(paths.len() > 50);
    let mut unchecked = Vec::new();
    for path in &paths {
        let mut body = rich();
        let leaf = body.pointer_mut(path).expect("a leaf");
        *leaf = "some forbidden text".into();
        let before = app.sandbox.requests().len();
        let answer = app.post("/v1/chat/completions", &body.to_string()).await;
        let sent = app.sandbox.requests().split_off(before);
        let reached = sent
            .iter()
            .any(|request| String::from_utf8_lossy(&request.body).contains("forbidden"));
        let structural = STRUCTURAL.iter().any(|end| path.ends_with(end));
        if reached && !structural {
            unchecked.push(path.clone());
        }
        assert!(
            reached || answer.status >= 400,
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert!(unchecked.is_empty(), "sent unchecked: {unchecked:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_of_a_request_goes_unchecked() {
    let guardrails = words("pre_call", "forbidden", "BLOCK");
    let app = TestApp::with(|config| config["guardrails"] = guardrails).await;
    for path in [
        "",
        "/messages/0",
        "/messages/3/tool_calls/0/function",
        "/tools/0/function/parameters/properties",
        "/x_unknown",
        "/logit_bias",
        "/response_format/json_schema/schema",
    ] {
        let mut body = rich();
        body["messages"][2]["content"] = json!("plain");
        let object = body
            .pointer_mut(path)
            .and_then(Value::as_object_mut)
            .expect("an object");
        object.insert("some forbidden key".to_owned(), json!(1));
        let answer = app.post("/v1/chat/completions", &body.to_string()).await;
        assert!(
            answer.status >= 400,
            "a key at {path:?} was sent: {}",
            answer.text()
        );
    }
    assert_eq!(app.sandbox.requests().len(), 0);
}
