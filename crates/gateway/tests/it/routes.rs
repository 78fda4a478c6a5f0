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

/// Deployments of several providers at the sandbox.
fn providers(config: &mut Value) {
    let base = config["model_list"][0]["litellm_params"]["api_base"].clone();
    let base = base
        .as_str()
        .and_then(|base| base.strip_suffix("/v1"))
        .expect("a base")
        .to_owned();
    let list = config["model_list"].as_array_mut().expect("a list");
    list.push(deployment("claude:*", "anthropic/*", &base));
    list.push(deployment("chat-only:*", "groq/*", &format!("{base}/v1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_response_is_its_callers_and_served_by_who_made_it() {
    let guardrails = words("post_call", "forbidden", "MASK");
    let app = TestApp::with(|config| {
        providers(config);
        config["guardrails"] = guardrails;
        config["sealgate"]["opaque_parts"] = json!("pass");
    })
    .await;
    for stream in [false, true] {
        let body = json!({ "model": "echo", "input": "hello sealed world", "stream": stream });
        let made = app.post("/v1/responses", &body.to_string()).await;
        assert_eq!(made.status, 200, "{}", made.text());
        assert!(
            !made.text().contains("resp_sandbox"),
            "the provider's id stays here"
        );
        let id = match stream {
            true => made.chunks()[0]["response"]["id"].clone(),
            false => made.json()["id"].clone(),
        };
        let id = id.as_str().expect("an id").to_owned();
        if stream {
            let ids: Vec<Value> = made
                .chunks()
                .iter()
                .filter_map(|e| e.pointer("/response/id").cloned())
                .collect();
            assert!(
                ids.len() > 2 && ids.iter().all(|other| *other == json!(id)),
                "{ids:?}"
            );
        }
        // What the provider stored is its own text, so it passes the checks again.
        let got = app
            .send("GET", &format!("/v1/responses/{id}?include=x"), "", &[])
            .await;
        assert_eq!(
            (got.status, &got.json()["id"]),
            (200, &json!(id)),
            "{}",
            got.text()
        );
        assert!(
            got.text().contains("[GONE]") && !got.text().contains("forbidden"),
            "{}",
            got.text()
        );
        let events = app
            .send("GET", &format!("/v1/responses/{id}?stream=true"), "", &[])
            .await;
        let kinds = events.chunks();
        let kinds: Vec<&str> = kinds
            .iter()
            .filter_map(|event| event["type"].as_str())
            .collect();
        assert_eq!(
            (kinds.first(), kinds.last()),
            (Some(&"response.created"), Some(&"response.completed")),
            "{}",
            events.text()
        );
        assert_eq!(events.chunks()[0]["response"]["id"], json!(id));
        assert!(
            events.text().contains("[GONE]") && !events.text().contains("forbidden"),
            "{}",
            events.text()
        );
        let record = app.record_of(&events).await;
        assert_eq!(record.environment("call_type"), "get_responses");
        let used = &record.document["execution"]["resources_used"];
        assert!(used["cost_micro_usd"].is_null(), "{used}");
        let items = app
            .send(
                "GET",
                &format!("/responses/{id}/input_items?limit=2"),
                "",
                &[],
            )
            .await;
        assert_eq!(
            (
                items.status,
                items.json()["data"][0]["content"][0]["text"].clone()
            ),
            (200, json!("an input text"))
        );
        let cancelled = app
            .send("POST", &format!("/v1/responses/{id}/cancel"), "", &[])
            .await;
        assert_eq!(
            (cancelled.status, cancelled.json()["status"].clone()),
            (200, json!("cancelled"))
        );
        let deleted = app
            .send("DELETE", &format!("/v1/responses/{id}"), "", &[])
            .await;
        assert_eq!(
            (deleted.status, deleted.json()["deleted"].clone()),
            (200, json!(true))
        );
        assert_eq!(deleted.json()["id"], json!(id));
        let record = app.record_of(&got).await;
        assert_eq!(record.environment("call_type"), "get_responses");
        assert!(
            record.document["execution"]["resources_used"]["cost_micro_usd"].is_null(),
            "nothing is paid twice"
        );
        let body = json!({ "model": "echo", "input": "more", "previous_response_id": id });
        let more = app.post("/v1/responses", &body.to_string()).await;
        assert_eq!(more.status, 200, "{}", more.text());
        let sent = app.sandbox.requests().pop().expect("a request");
        let sent: Value = serde_json::from_slice(&sent.body).expect("JSON");
        assert_eq!(sent["previous_response_id"], "resp_sandbox");
        for refused in [
            format!("/v1/responses/{id}/input_items?stream=true"),
            format!("/v1/responses/{id}?stream=true&starting_after=4"),
            format!("/v1/responses/{id}?x=1"),
        ] {
            app.send("GET", &refused, "", &[])
                .await
                .refused(400, "invalid_field");
        }
    }
    let targets: Vec<String> = app
        .sandbox
        .requests()
        .iter()
        .map(|r| format!("{} {}", r.method, r.target))
        .collect();
    for expected in [
        "GET /v1/responses/resp_sandbox?include=x",
        "GET /v1/responses/resp_sandbox/input_items?limit=2",
        "POST /v1/responses/resp_sandbox/cancel",
        "DELETE /v1/responses/resp_sandbox",
    ] {
        assert!(
            targets.iter().any(|target| target == expected),
            "{expected}: {targets:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_nobody_stores_cannot_be_continued() {
    let app = TestApp::with(providers).await;
    let body = json!({ "model": "chat-only:echo", "input": "hello sealed world" });
    let made = app.post("/v1/responses", &body.to_string()).await;
    let id = made.json()["id"].clone();
    assert!(id.is_string(), "{}", made.text());
    let body = json!({ "model": "chat-only:echo", "input": "more", "previous_response_id": id });
    let refused = app.post("/v1/responses", &body.to_string()).await;
    refused.refused(400, "invalid_field");
    assert_eq!(refused.error("param"), "previous_response_id");
    let id = id.as_str().expect("an id");
    app.send("GET", &format!("/v1/responses/{id}"), "", &[])
        .await
        .refused(404, "unknown_response");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_remembers_is_a_text_that_no_check_reads() {
    let app = TestApp::with(|config| {
        providers(config);
        config["guardrails"] = words("pre_call", "forbidden", "BLOCK");
    })
    .await;
    let body = json!({ "model": "echo", "input": "hello sealed world" });
    let made = app.post("/v1/responses", &body.to_string()).await;
    let more =
        json!({ "model": "echo", "input": "more", "previous_response_id": made.json()["id"] });
    let before = app.sandbox.requests().len();
    let refused = app.post("/v1/responses", &more.to_string()).await;
    refused.refused(400, "not_inspectable");
    assert_eq!(app.sandbox.requests().len(), before);
    let record = app.record_of(&refused).await;
    assert_eq!(record.outcome(), "blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_bodies_of_anthropics_clients_go_on_unchanged() {
    let app = TestApp::with(providers).await;
    let body = concat!(
        r#"{"model":"claude:echo","max_tokens":20,"system":[{"type":"text","text":"x-anthropic-billing-header: a; b","#,
        r#""cache_control":{"type":"ephemeral"}}],  "messages":[{"role":"user","content":"hello sealed world"}],"#,
        r#""x_new_field":{"a":[1,2.50]},"thinking":{"type":"adaptive"}}"#
    );
    let headers = [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "some-beta-2026,other"),
        ("x-canary", "hdr-canary"),
    ];
    for path in [
        "/v1/messages",
        "/v1/messages?beta=true",
        "/anthropic/v1/messages",
    ] {
        let answer = app.send("POST", path, body, &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = app.sandbox.requests().pop().expect("a request");
        assert_eq!(sent.header("anthropic-beta"), Some("some-beta-2026,other"));
        assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
        assert_eq!(sent.header("x-canary"), None);
        assert_eq!(
            String::from_utf8_lossy(&sent.body),
            body.replace("claude:echo", "echo"),
            "byte for byte"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_come_in_the_form_of_the_client() {
    let app = TestApp::with(providers).await;
    let list = app
        .send(
            "GET",
            "/v1/models",
            "",
            &[("anthropic-version", "2023-06-01")],
        )
        .await
        .json();
    assert_eq!(
        (&list["has_more"], &list["data"][0]["type"]),
        (&json!(false), &json!("model")),
        "{list}"
    );
    let list = app.send("GET", "/v1/models", "", &[]).await.json();
    assert_eq!(list["object"], "list");
    let groups = app
        .send("GET", "/model_group/info?model_group=claude:*", "", &[])
        .await
        .json();
    assert_eq!(groups["data"].as_array().map(Vec::len), Some(1), "{groups}");
    assert_eq!(groups["data"][0]["providers"], json!(["anthropic"]));
    let body = json!({ "model": "echo", "messages": [{ "role": "user", "content": "hello sealed world" }] });
    let count = app
        .post("/utils/token_counter", &body.to_string())
        .await
        .json();
    assert!(count["total_tokens"].as_u64() > Some(3), "{count}");
    assert_eq!(count["count_source"], "local_estimate");
    assert!(app.sandbox.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_cannot_be_told_is_refused_or_dropped_by_name() {
    let app = TestApp::with(|config| {
        providers(config);
        let list = config["model_list"].as_array_mut().expect("a list");
        let mut lenient = list[1].clone();
        lenient["model_name"] = json!("lenient:*");
        lenient["litellm_params"]["drop_params"] = json!(true);
        lenient["litellm_params"]["additional_drop_params"] = json!(["temperature"]);
        list.push(lenient);
        list[0]["litellm_params"]["additional_drop_params"] = json!(["seed"]);
    })
    .await;
    let body = |model: &str| {
        json!({ "model": model, "messages": [{ "role": "user", "content": "hello sealed world" }], "logit_bias": { "1": 1 },
                "temperature": 0.5, "seed": 7 })
        .to_string()
    };
    let refused = app.post("/v1/chat/completions", &body("claude:echo")).await;
    refused.refused(400, "invalid_field");
    assert!(app.sandbox.requests().is_empty());
    let answer = app
        .post("/v1/chat/completions", &body("lenient:echo"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let dropped = answer
        .header("x-sealgate-dropped-params")
        .expect("a header")
        .to_owned();
    let mut names: Vec<&str> = dropped.split(',').collect();
    names.sort_unstable();
    assert_eq!(names, ["logit_bias", "seed", "temperature"]);
    let native = app.post("/v1/chat/completions", &body("echo")).await;
    assert_eq!(native.header("x-sealgate-dropped-params"), Some("seed"));
    let sent = app.sandbox.requests().pop().expect("a request");
    assert!(!String::from_utf8_lossy(&sent.body).contains("seed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_takes_a_token_that_is_fetched_once() {
    let app = TestApp::with(|config| {
        let base = config["model_list"][0]["litellm_params"]["api_base"].clone();
        let base = base.as_str().and_then(|base| base.strip_suffix("/v1")).expect("a base").to_owned();
        let azure = |name: &str, secret: &str| {
            json!({ "model_name": name, "litellm_params": { "model": "azure/*", "api_base": base, "tenant_id": "t/1",
                "client_id": "app", "client_secret": secret, "azure_authority_host": base } })
        };
        let list = config["model_list"].as_array_mut().expect("a list");
        list.push(azure("azure:*", "s3cret & more"));
        list.push(azure("locked:*", "wrong"));
    })
    .await;
    let (a, b, c) = tokio::join!(
        app.say("azure:echo", "hello sealed world"),
        app.say("azure:echo", "hello sealed world"),
        app.say("azure:echo", "hello sealed world"),
    );
    for answer in [a, b, c] {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let requests = app.sandbox.requests();
    let (tokens, calls): (Vec<_>, Vec<_>) =
        requests.iter().partition(|r| r.target.contains("/oauth2/"));
    assert_eq!((tokens.len(), calls.len()), (1, 3), "one fetch for all");
    assert_eq!(tokens[0].target, "/t%2F1/oauth2/v2.0/token");
    let form = String::from_utf8_lossy(&tokens[0].body).into_owned();
    assert!(form.contains("client_secret=s3cret%20%26%20more&scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default"), "{form}");
    for call in calls {
        assert_eq!(call.header("authorization"), Some("Bearer entra-token"));
        assert_eq!(call.header("api-key"), None);
    }
    let refused = app.say("locked:echo", "hello sealed world").await;
    refused.refused(502, "upstream_unreachable");
    assert!(
        refused.text().contains("it refused the credentials") && !refused.text().contains("wrong")
    );
}
