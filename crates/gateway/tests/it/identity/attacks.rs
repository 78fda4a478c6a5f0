//! Attack cases on rights, tenants and budgets that no other file here has.

use serde_json::{Value, json};

use crate::support::{MASTER, TestApp};

async fn user(app: &TestApp, id: &str, role: &str) -> String {
    let body = json!({ "user_id": id, "user_role": role });
    let made = app.manage("/user/new", body).await;
    made["key"].as_str().expect("a key").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn authz_03_what_was_minted_shrinks_with_who_minted_it() {
    let app = TestApp::start().await;
    let own = user(&app, "minter", "internal_user").await;
    let minted = app
        .with_key(&own, "POST", "/key/generate", json!({ "models": ["echo"] }))
        .await
        .json();
    let minted = minted["key"].as_str().expect("a key").to_owned();
    assert_eq!(app.chat_as(&minted, "echo", json!({})).await.status, 200);
    // Fewer models for the minter are fewer for what he made.
    app.manage(
        "/user/update",
        json!({ "user_id": "minter", "models": ["slow-1"] }),
    )
    .await;
    app.chat_as(&minted, "echo", json!({}))
        .await
        .refused(403, "model_denied");
    app.manage("/user/update", json!({ "user_id": "minter", "models": [] }))
        .await;
    assert_eq!(app.chat_as(&minted, "echo", json!({})).await.status, 200);
    // A lower role is a lower role for every key of his, minted before or not.
    let body = json!({ "user_id": "minter", "user_role": "internal_user_viewer" });
    app.manage("/user/update", body).await;
    for key in [&own, &minted] {
        let answer = app.with_key(key, "POST", "/key/generate", json!({})).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    // A blocked minter ends them.
    app.manage(
        "/user/update",
        json!({ "user_id": "minter", "blocked": true }),
    )
    .await;
    assert_eq!(app.chat_as(&minted, "echo", json!({})).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn authz_07_nobody_below_an_administrator_configures() {
    let app = TestApp::start().await;
    let service = app.key(json!({})).await;
    for key in [
        &service,
        &user(&app, "u", "internal_user").await,
        &user(&app, "v", "proxy_admin_viewer").await,
    ] {
        for (method, path) in [
            ("POST", "/config/reload"),
            ("POST", "/config/update"),
            ("POST", "/config/field/update"),
            ("POST", "/config/pass_through_endpoint"),
            ("POST", "/guardrails"),
            ("POST", "/guardrails/test_custom_code"),
            ("POST", "/prompts/test"),
            ("POST", "/mcp-rest/test/connection"),
            ("POST", "/health/test_connection"),
            ("POST", "/model/new"),
            ("POST", "/credentials"),
            ("POST", "/add/allowed_ip"),
            ("POST", "/tenant/new"),
            ("POST", "/global/spend/reset"),
        ] {
            let answer = app.with_key(key, method, path, json!({})).await;
            assert!(
                matches!(answer.status, 401 | 403 | 404),
                "{path}: {} {}",
                answer.status,
                answer.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn authz_09_an_auditor_writes_nothing_and_nobody_deletes_records() {
    use policy::identity::MANAGE_ROUTES;
    let app = TestApp::start().await;
    let auditor = user(&app, "auditor", "auditor").await;
    let admin = user(&app, "admin", "proxy_admin").await;
    for route in MANAGE_ROUTES.iter().filter(|route| route.writes()) {
        let path = route.path.replace("{id}", "x");
        let answer = app
            .with_key(&auditor, route.method.as_str(), &path, json!({}))
            .await;
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
        for word in ["ledger", "capsule", "record", "audit"] {
            assert!(!path.contains(word), "{path} would change what is sealed");
        }
    }
    for key in [&admin, MASTER] {
        for (method, path) in [
            ("DELETE", "/audit/x"),
            ("POST", "/audit"),
            ("DELETE", "/spend/logs"),
            ("POST", "/ledger/delete"),
            ("DELETE", "/capsules/x"),
        ] {
            let answer = app.with_key(key, method, path, json!({})).await;
            assert!(
                matches!(answer.status, 404 | 405),
                "{path}: {}",
                answer.status
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_03_lists_and_filters_show_own_rows_only() {
    let app = TestApp::start().await;
    let mut keys = Vec::new();
    for tenant in ["one", "two"] {
        app.manage("/tenant/new", json!({ "tenant_id": tenant }))
            .await;
        app.manage("/user/new", json!({ "user_id": "admin", "user_role": "proxy_admin", "tenant_id": tenant, "auto_create_key": false })).await;
        app.manage(
            "/team/new",
            json!({ "team_id": "shared-name", "team_alias": tenant, "tenant_id": tenant }),
        )
        .await;
        let key = json!({ "user_id": "admin", "key_alias": format!("alias-{tenant}"), "tenant_id": tenant });
        keys.push(app.key(key).await);
    }
    for query in [
        "",
        "?tenant=*",
        "?tenant_id=two",
        "?tenant_id=%25",
        "?search=%25",
        "?search=",
        "?user_id=%25",
        "?size=100",
        "?page=1&size=100&sort_by=spend",
        "?team_id=' OR 1=1--",
        "?organization_id=*",
    ] {
        for path in [
            "/key/list",
            "/key/aliases",
            "/team/list",
            "/v2/team/list",
            "/user/list",
        ] {
            let path = format!("{path}{}", query.replace(' ', "%20").replace('\'', "%27"));
            let answer = app.with_key(&keys[0], "GET", &path, Value::Null).await;
            assert!(
                matches!(answer.status, 200 | 422),
                "{path}: {}",
                answer.text()
            );
            let text = answer.text();
            assert!(
                !text.contains("alias-two") && !text.contains("\"two\""),
                "{path}: {text}"
            );
        }
    }
    for size in ["0", "101", "1000000", "-1", "1e3"] {
        let answer = app
            .with_key(
                &keys[0],
                "GET",
                &format!("/key/list?size={size}"),
                Value::Null,
            )
            .await;
        assert_eq!(answer.status, 422, "{size}");
    }
    let team = app
        .with_key(
            &keys[0],
            "GET",
            "/team/info?team_id=shared-name",
            Value::Null,
        )
        .await;
    assert_eq!(team.json()["team_info"]["team_alias"], "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_05_no_character_of_another_stream() {
    let app = TestApp::start().await;
    let key = app.key(json!({})).await;
    let calls = (0..200).map(|number| {
        let text = format!("\u{7b2c}{number}\u{53f7}\u{1f9ea}-{}", "\u{00e9}\u{4e16}\u{1f468}\u{200d}\u{1f469}".repeat(number % 7 + 1));
        let body = json!({ "model": "echo", "stream": true, "messages": [{ "role": "user", "content": text }] });
        let (app, key) = (&app, &key);
        async move {
            let answer = app.with_key(key, "POST", "/v1/chat/completions", body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(answer.content(0), text);
        }
    });
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        calls.retain_mut(|call| call.as_mut().poll(cx).is_pending());
        match calls.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_09_a_request_does_not_say_whose_it_is() {
    let app = TestApp::start().await;
    app.manage("/team/new", json!({ "team_id": "mine" })).await;
    let key = app.key(json!({ "team_id": "mine", "user_id": "me" })).await;
    let id = app
        .with_key(&key, "GET", "/key/info", Value::Null)
        .await
        .json()["key"]
        .clone();
    let more = json!({ "max_tokens": 5, "metadata": {
        "team_id": "theirs", "tenant": "theirs", "tenant_id": "theirs", "user_id": "they", "user_api_key": "sk-theirs",
        "user_api_key_team_id": "theirs", "user_api_key_user_id": "they", "organization_id": "theirs", "tags": ["theirs"],
    } });
    let body = crate::support::prompt("echo", "hello sealed world", more);
    let bearer = format!("Bearer {key}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-litellm-team-id", "theirs"),
        ("x-litellm-customer-id", "theirs"),
        ("x-litellm-end-user-id", "theirs"),
        ("x-tenant-id", "theirs"),
    ];
    let answer = app
        .send(
            "POST",
            "/v1/chat/completions",
            &body.to_string(),
            &headers[1..],
        )
        .await;
    assert_eq!(answer.status, 200);
    let answer = app
        .with_key(&key, "POST", "/v1/chat/completions", body)
        .await;
    let record = app.record_of(&answer).await;
    assert_eq!(
        (record.environment("key_id"), record.environment("team")),
        (&id, &json!("mine"))
    );
    assert!(
        !record.document["context"]["environment"]
            .to_string()
            .contains("theirs")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bud_09_a_fallback_to_a_dearer_model_needs_room_too() {
    let app = TestApp::with(|config| {
        let mut free = config["model_list"][0].clone();
        let mut paid = free.clone();
        for (group, name, model) in [(&mut free, "free", "fail-500"), (&mut paid, "paid", "echo")] {
            group["model_name"] = json!(name);
            group["litellm_params"]["model"] = json!(format!("openai/{model}"));
        }
        free["litellm_params"]["input_cost_per_token"] = json!(0);
        free["litellm_params"]["output_cost_per_token"] = json!(0);
        config["model_list"] = json!([free, paid]);
        config["litellm_settings"] = json!({ "fallbacks": [{ "free": ["paid"] }] });
    })
    .await;
    let poor = app.key(json!({ "max_budget": 0.000_001 })).await;
    let refused = app.chat_as(&poor, "free", json!({ "max_tokens": 5 })).await;
    assert!(matches!(refused.status, 422 | 500), "{}", refused.text());
    let asked = |model: &str| {
        let requests = app.sandbox.requests();
        requests
            .iter()
            .filter(|request| request.json()["model"] == model)
            .count()
    };
    assert_eq!((asked("fail-500"), asked("echo")), (1, 0));
    app.at_rest().await;
    let info = app
        .with_key(&poor, "GET", "/key/info", Value::Null)
        .await
        .json();
    assert_eq!(info["info"]["spend"], 0.0);
    let rich = app.key(json!({ "max_budget": 100 })).await;
    assert_eq!(
        app.chat_as(&rich, "free", json!({ "max_tokens": 5 }))
            .await
            .status,
        200
    );
    assert_eq!(asked("echo"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn inj_03_templates_are_texts() {
    let app = TestApp::start().await;
    let key = app.key(json!({})).await;
    for text in [
        "{{7*7}}",
        "${7*7}",
        "<%= 7*7 %>",
        "#{7*7}",
        "{% for x in ().__class__.__base__.__subclasses__() %}",
    ] {
        let body = json!({ "model": "echo", "messages": [{ "role": "user", "content": text }] });
        let answer = app
            .with_key(&key, "POST", "/v1/chat/completions", body)
            .await;
        assert_eq!(answer.json()["choices"][0]["message"]["content"], text);
        let team = app.manage("/team/new", json!({ "team_alias": text })).await;
        assert_eq!(team["team_alias"], text);
    }
}
