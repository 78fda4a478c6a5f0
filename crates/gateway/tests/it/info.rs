//! INFO family: what the gateway tells, and to whom.

use serde_json::json;

use crate::support::{MASTER, PROVIDER_KEY, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn info_01_without_a_key_only_liveness() {
    let app = TestApp::start().await;
    for path in ["/health/liveliness", "/health/liveness"] {
        let answer = app.anonymous("GET", path).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "\"I'm alive!\"")
        );
    }
    let ready = app.anonymous("GET", "/health/readiness").await;
    assert_eq!(
        (ready.status, ready.json()["status"].as_str()),
        (200, Some("healthy"))
    );
    assert!(
        ready
            .json()
            .as_object()
            .is_some_and(|map| map.keys().all(|key| key == "status" || key == "db")),
        "{}",
        ready.text()
    );
    let closed = [
        "/health",
        "/health/readiness/details",
        "/metrics",
        "/metrics/",
        "/v1/models",
        "/models",
        "/models/echo",
        "/model/info",
        "/v1/model/info",
        "/model_group/info",
        "/active/callbacks",
    ];
    for path in closed {
        app.anonymous("GET", path)
            .await
            .refused(401, "unauthenticated");
    }
    for path in [
        "/",
        "/openapi.json",
        "/docs",
        "/redoc",
        "/routes",
        "/debug",
        "/debug/pprof",
        "/config",
        "/config/yaml",
        "/.env",
        "/get/config/callbacks",
        "/settings",
        "/test",
        "/public/model_hub",
        "/.git/config",
        "/health/services",
        "/.well-known/litellm-ui-config",
        "/ui/",
        "/server-status",
        "/actuator/env",
    ] {
        for answer in [
            app.anonymous("GET", path).await,
            app.send("GET", path, "", &[]).await,
        ] {
            assert_eq!(answer.status, 404, "{path}");
            assert_eq!(answer.json(), json!({ "detail": "Not Found" }), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn info_01_with_the_key_no_secret_and_no_address() {
    let app = TestApp::start().await;
    app.chat("echo", json!({})).await;
    for path in [
        "/health",
        "/health/readiness/details",
        "/metrics",
        "/v1/models",
        "/models/echo",
        "/model/info",
        "/model_group/info?model_group=echo",
        "/active/callbacks",
    ] {
        let answer = app.send("GET", path, "", &[]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        for secret in [PROVIDER_KEY, MASTER, &app.sandbox.address().to_string()] {
            assert!(!answer.text().contains(secret), "{path}: {}", answer.text());
        }
    }
    let answer = app.chat("echo", json!({})).await;
    for name in ["x-litellm-model-api-base", "x-litellm-version", "server"] {
        assert!(
            answer.header(name).is_none(),
            "{name} is not shown to every client"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn info_05_a_malformed_key_is_not_echoed() {
    let app = TestApp::start().await;
    let nearly = format!("{}x", &MASTER[..MASTER.len() - 1]);
    for value in [
        "sk-attempt-0123456789abcdef".to_owned(),
        format!("Bearer {nearly}"),
        "Basic c2stYXR0ZW1wdA==".to_owned(),
        format!("Bearer {}", "k".repeat(4000)),
        "Bearer ' OR 1=1 --".to_owned(),
        "Bearer sk-%00".to_owned(),
        MASTER.to_owned(),
    ] {
        let answer = app
            .keyless("GET", "/v1/models", &[("authorization", &value)])
            .await;
        answer.refused(401, "unauthenticated");
        assert!(
            ["None", "key"].contains(&answer.error("param").as_str().unwrap_or_default()),
            "{}",
            answer.text()
        );
        for part in value.split(' ').filter(|part| part.len() > 6) {
            let (head, tail) = (&part[..6], &part[part.len() - 6..]);
            assert!(
                !answer.text().contains(head) && !answer.text().contains(tail),
                "{}",
                answer.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn info_05_configuration_problems_do_not_show_values() {
    for change in ["master_key", "api_base", "timeout"] {
        let secret = "sk-configured-canary-5544332211";
        let refused = TestApp::try_with(|config| match change {
            "master_key" => config["general_settings"]["master_key"] = json!({ "nested": secret }),
            "api_base" => {
                config["model_list"][0]["litellm_params"]["api_base"] =
                    json!(format!("http://user:{secret}@host/v1"))
            }
            _ => {
                config["model_list"][0]["litellm_params"]["api_key"] = json!(secret);
                config["model_list"][0]["litellm_params"]["timeout"] = json!("never");
            }
        })
        .await;
        let message = match refused {
            Err(message) => message,
            Ok(_) => panic!("a broken {change} is accepted"),
        };
        assert!(
            !message.contains(secret) && !message.contains("5544332211"),
            "{message}"
        );
        assert!(
            message.contains(change),
            "the message names the key: {message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_a_client_chose_are_kept_as_digests_only() {
    let app = TestApp::start().await;
    let canary = "hdr-canary-7";
    let names = [
        "x-session-id",
        "x-litellm-session-id",
        "x-claude-code-session-id",
        "x-litellm-trace-id",
        "x-litellm-call-id",
        "x-litellm-tags",
        "x-litellm-end-user-id",
        "user-agent",
        "x-request-id",
    ];
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (*name, canary)).collect();
    let body = crate::support::prompt(
        "echo",
        "hello",
        json!({ "user": canary, "metadata": { "agent_name": canary, "tags": [canary] } }),
    );
    let path = format!("/v1/chat/completions?key={canary}&api-version={canary}");
    let answer = app.send("POST", &path, &body.to_string(), &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(
        !format!("{:?}", answer.headers).contains(canary),
        "{:?}",
        answer.headers
    );
    let record = app.record_of(&answer).await;
    assert!(
        !record.document.to_string().contains(canary),
        "{}",
        record.document
    );
    for member in [
        "/trigger/user_id",
        "/trigger/correlation_id",
        "/context/session_id",
    ] {
        let label = record
            .document
            .pointer(member)
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        assert_eq!(
            label.len(),
            36,
            "{member} is a digest in the form of a UUID: {}",
            record.document
        );
    }
    let sent = &app.sandbox.requests()[0];
    assert!(
        !sent.target.contains(canary)
            && sent
                .headers
                .iter()
                .all(|(_, value)| !value.contains(canary)),
        "{sent:?}"
    );
}
