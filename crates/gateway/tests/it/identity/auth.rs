//! Who gets in.

use serde_json::json;

use crate::support::{MASTER, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn auth_01_no_key_is_no_key_in_every_form() {
    let app = TestApp::start().await;
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer null",
        "Bearer undefined",
        "Basic c2s6eA==",
    ] {
        let answer = app
            .keyless("POST", "/v1/chat/completions", &[("authorization", value)])
            .await;
        assert_eq!(answer.status, 401, "{value:?}");
        assert_eq!(answer.error("param"), "None");
        let manage = app
            .keyless("POST", "/key/generate", &[("authorization", value)])
            .await;
        assert_eq!(manage.status, 401, "{value:?}");
    }
    let twice = [
        ("authorization", "Bearer sk-a"),
        ("authorization", "Bearer sk-a"),
    ];
    assert_eq!(app.keyless("GET", "/key/list", &twice).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_03_sql_as_a_key_is_an_unknown_key() {
    let app = TestApp::start().await;
    let long = format!("sk-{}", "x".repeat(16_000));
    for key in [
        "sk-'OR/**/1=1--",
        "sk-';SELECT/**/pg_sleep(5)--",
        "sk-$1",
        "sk-%27%20OR",
        &long,
    ] {
        for path in ["/v1/chat/completions", "/key/block", "/spend/logs"] {
            let method = if path == "/spend/logs" { "GET" } else { "POST" };
            let answer = app.with_key(key, method, path, json!(null)).await;
            assert_eq!(answer.status, 401, "{path}");
            assert!(
                !answer.text().contains(&key[..8.min(key.len())]),
                "{}",
                answer.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_05_query_and_body_carry_no_keys() {
    let app = TestApp::start().await;
    for path in [
        format!("/key/list?api_key={MASTER}"),
        format!("/key/list?key={MASTER}"),
    ] {
        assert_eq!(app.anonymous("GET", &path).await.status, 401);
    }
    let two = [
        ("x-api-key", "sk-other-key"),
        ("authorization", "Bearer sk-one-key"),
    ];
    assert_eq!(app.keyless("GET", "/key/list", &two).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_13_whatever_the_api_returns_is_no_credential() {
    let app = TestApp::start().await;
    let made = app
        .manage("/key/generate", json!({ "key_alias": "alias-of-a-key" }))
        .await;
    let user = app.manage("/user/new", json!({})).await;
    for value in [
        &made["token"],
        &made["key_name"],
        &made["key_alias"],
        &user["user_id"],
        &user["token"],
    ] {
        let text = value.as_str().expect("a text");
        for bearer in [text.to_owned(), format!("sk-{text}")] {
            assert_eq!(
                app.with_key(&bearer, "GET", "/key/list", json!(null))
                    .await
                    .status,
                401
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_15_forwarded_addresses_count_from_trusted_proxies_only() {
    let app = TestApp::start().await;
    let key = app
        .key(json!({ "allowed_addresses": ["203.0.113.0/24"] }))
        .await;
    let bearer = format!("Bearer {key}");
    for header in [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "cf-connecting-ip",
    ] {
        let headers = [("authorization", bearer.as_str()), (header, "203.0.113.7")];
        let answer = app.keyless("GET", "/v1/models", &headers).await;
        assert_eq!(answer.status, 403, "{header}");
    }
    let app = TestApp::with(|config| {
        config["general_settings"]["use_x_forwarded_for"] = json!(true);
        config["general_settings"]["trusted_proxy_ranges"] = json!(["127.0.0.0/8"]);
    })
    .await;
    let key = app
        .key(json!({ "allowed_addresses": ["203.0.113.0/24"] }))
        .await;
    let bearer = format!("Bearer {key}");
    for (hops, status) in [
        ("203.0.113.7", 200),
        ("203.0.113.7, 8.8.8.8", 403),
        ("8.8.8.8, 203.0.113.7, 127.0.0.9", 200),
    ] {
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-forwarded-for", hops),
        ];
        assert_eq!(
            app.keyless("GET", "/v1/models", &headers).await.status,
            status,
            "{hops}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scannable_keys_work_and_a_wrong_check_digit_is_refused() {
    let app = TestApp::with(|config| config["sealgate"]["key_format"] = json!("scannable")).await;
    let key = app.key(json!({ "environment": "prod" })).await;
    assert!(key.starts_with("sealgate_prod_"), "{key}");
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    let wrong = format!(
        "{}{}",
        &key[..key.len() - 1],
        if key.ends_with('x') { 'y' } else { 'x' }
    );
    assert_eq!(app.chat_as(&wrong, "echo", json!({})).await.status, 401);
}
