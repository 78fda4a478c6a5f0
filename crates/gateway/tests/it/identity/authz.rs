//! Who may do what: roles, minting, other tenants.

use serde_json::{Value, json};

use crate::support::{MASTER, TestApp};

/// A user of a role and its key.
async fn user(app: &TestApp, id: &str, role: &str) -> String {
    let made = app
        .manage("/user/new", json!({ "user_id": id, "user_role": role }))
        .await;
    made["key"].as_str().expect("a key").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn authz_01_every_route_refuses_roles_that_the_table_does_not_grant() {
    use policy::identity::{MANAGE_ROUTES, Reach, Role};
    let app = TestApp::start().await;
    for role in [
        "proxy_admin_viewer",
        "internal_user",
        "internal_user_viewer",
        "auditor",
        "org_admin",
    ] {
        let key = user(&app, role, role).await;
        let role = Role::parse(role).expect("a role");
        for route in MANAGE_ROUTES {
            let path = route.path.replace("{id}", "x");
            let answer = app
                .with_key(&key, route.method.as_str(), &path, json!(null))
                .await;
            let refused = matches!(answer.code().as_str(), "forbidden");
            if role.reach(route.need) == Reach::None {
                assert!(
                    refused && matches!(answer.status, 401 | 403),
                    "{role:?} {path}: {} {}",
                    answer.status,
                    answer.text()
                );
            } else {
                assert!(
                    !matches!(answer.status, 401 | 500),
                    "{role:?} {path}: {} {}",
                    answer.status,
                    answer.text()
                );
            }
        }
    }
    let service = app.key(json!({})).await;
    assert_eq!(
        app.with_key(&service, "POST", "/key/generate", json!({}))
            .await
            .status,
        401
    );
    // An auditor reads the trail and calls nothing.
    let auditor = user(&app, "a2", "auditor").await;
    app.chat_as(&auditor, "echo", json!({}))
        .await
        .refused(403, "role_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_47101_a_user_mints_no_more_than_it_has() {
    let app = TestApp::start().await;
    let key = user(&app, "u", "internal_user").await;
    app.manage(
        "/user/update",
        json!({ "user_id": "u", "models": ["echo", "slow"] }),
    )
    .await;
    app.manage("/team/new", json!({ "team_id": "theirs" }))
        .await;
    for wrong in [
        json!({ "allowed_routes": ["/*"] }),
        json!({ "allowed_routes": ["/key/*"] }),
        json!({ "allowed_routes": ["management_routes"] }),
        json!({ "key_type": "management" }),
        json!({ "models": ["*"] }),
        json!({ "models": ["other"] }),
        json!({ "models": ["all-proxy-models"] }),
        json!({ "user_id": "somebody" }),
        json!({ "team_id": "theirs" }),
    ] {
        let answer = app
            .with_key(&key, "POST", "/key/generate", wrong.clone())
            .await;
        assert_eq!(answer.status, 403, "{wrong}: {}", answer.text());
    }
    let minted = app
        .with_key(
            &key,
            "POST",
            "/key/generate",
            json!({ "models": ["echo"], "allowed_routes": ["/chat/completions"] }),
        )
        .await;
    assert_eq!(minted.status, 200, "{}", minted.text());
    let minted = minted.json();
    assert_eq!(minted["user_id"], "u");
    let minted = minted["key"].as_str().expect("a key");
    assert_eq!(app.chat_as(minted, "echo", json!({})).await.status, 200);
    // authz_03: less for the minter is less for what it minted.
    app.manage(
        "/user/update",
        json!({ "user_id": "u", "models": ["slow"] }),
    )
    .await;
    let answer = app.chat_as(minted, "echo", json!({})).await;
    assert_eq!(answer.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_47102_nobody_raises_himself() {
    let app = TestApp::start().await;
    let key = user(&app, "u", "internal_user").await;
    for field in [
        json!({ "user_role": "proxy_admin" }),
        json!({ "max_budget": 1000 }),
        json!({ "models": [] }),
        json!({ "rpm_limit": 1000 }),
        json!({ "spend": 0 }),
        json!({ "blocked": false }),
        json!({ "organization_id": "o" }),
    ] {
        let mut body = field.clone();
        body["user_id"] = json!("u");
        let answer = app.with_key(&key, "POST", "/user/update", body).await;
        assert_eq!(answer.status, 422, "{field}: {}", answer.text());
    }
    let answer = app
        .with_key(
            &key,
            "POST",
            "/user/update",
            json!({ "user_id": "u", "user_alias": "Me" }),
        )
        .await;
    assert_eq!(answer.status, 200);
    let other = user(&app, "v", "internal_user").await;
    assert_eq!(
        app.with_key(
            &other,
            "POST",
            "/user/update",
            json!({ "user_id": "u", "user_alias": "x" })
        )
        .await
        .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn authz_05_fields_that_would_grant_or_limit_are_known_or_refused() {
    let app = TestApp::start().await;
    for field in [
        "id",
        "created_by",
        "tenant",
        "version",
        "mac",
        "token",
        "role",
        "max_budgets",
        "rpm",
        "admin",
    ] {
        let answer = app
            .with_key(MASTER, "POST", "/key/generate", json!({ field: "x" }))
            .await;
        assert_eq!(answer.status, 422, "{field}");
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", field]));
    }
    for (field, value, status) in [
        ("max_budget", json!(-1), 400),
        ("max_budget", json!("NaN"), 400),
        ("spend", json!(-100), 400),
        ("budget_duration", json!("soon"), 400),
        ("rpm_limit", json!(-1), 422),
        ("rpm_limit", json!(1.5), 422),
        ("models", json!("echo"), 422),
        ("duration", json!("1 year"), 400),
        ("enforced_params", json!(["user"]), 422),
        ("disable_global_guardrails", json!(true), 422),
        ("enforced_params", json!([]), 200),
    ] {
        let answer = app
            .with_key(MASTER, "POST", "/key/generate", json!({ field: value }))
            .await;
        assert_eq!(answer.status, status, "{field}: {}", answer.text());
    }
    let twice = app
        .post("/key/generate", r#"{"max_budget": 1, "max_budget": 100}"#)
        .await;
    assert_eq!(twice.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_01_a_tenant_sees_its_own_and_nothing_else() {
    let app = TestApp::start().await;
    app.manage("/tenant/new", json!({ "tenant_id": "acme" }))
        .await;
    let inside = app
        .manage(
            "/user/new",
            json!({ "user_id": "boss", "user_role": "proxy_admin", "tenant_id": "acme" }),
        )
        .await;
    let inside = inside["key"].as_str().expect("a key").to_owned();
    let outside = app
        .manage("/key/generate", json!({ "key_alias": "outside" }))
        .await;
    let id = outside["token"].as_str().expect("an id");
    app.manage("/team/new", json!({ "team_id": "t" })).await;
    for (method, path, body) in [
        ("GET", format!("/key/info?key={id}"), json!(null)),
        ("POST", "/key/block".to_owned(), json!({ "key": id })),
        ("POST", "/key/delete".to_owned(), json!({ "keys": [id] })),
        (
            "POST",
            "/key/update".to_owned(),
            json!({ "key": id, "max_budget": 1 }),
        ),
        ("POST", "/key/regenerate".to_owned(), json!({ "key": id })),
        ("GET", "/team/info?team_id=t".to_owned(), json!(null)),
        (
            "POST",
            "/team/update".to_owned(),
            json!({ "team_id": "t", "tenant_id": "" }),
        ),
        (
            "GET",
            "/user/info?user_id=default_user_id".to_owned(),
            json!(null),
        ),
    ] {
        let answer = app.with_key(&inside, method, &path, body).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    // ten_03: lists are the tenant's own whatever the filter says.
    for path in [
        "/key/list?size=100",
        "/key/list?search=%25",
        "/key/list?key_alias=outside",
        "/team/list",
        "/user/list",
        "/tenant/list",
    ] {
        let answer = app.with_key(&inside, "GET", path, json!(null)).await;
        assert!(
            !answer.text().contains("outside") && !answer.text().contains("\"t\""),
            "{path}: {}",
            answer.text()
        );
    }
    let unknown = app
        .with_key(&inside, "GET", "/key/list?tenant_id=*", json!(null))
        .await;
    assert_eq!(unknown.status, 422);
    assert_eq!(
        app.with_key(&inside, "POST", "/key/generate", json!({ "tenant_id": "" }))
            .await
            .status,
        422
    );
    // A team of the same id is another team.
    let team = app
        .with_key(&inside, "POST", "/team/new", json!({ "team_id": "t" }))
        .await;
    assert_eq!(team.status, 200, "{}", team.text());
    let key = app
        .with_key(&inside, "POST", "/key/generate", json!({ "team_id": "t" }))
        .await
        .json();
    assert_eq!(key["tenant_id"], "acme");
    app.manage("/team/block", json!({ "team_id": "t" })).await;
    let key = key["key"].as_str().expect("a key");
    let answer = app.chat_as(key, "echo", json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(app.record_of(&answer).await.environment("tenant"), "acme");
    app.manage("/tenant/block", json!({ "tenant_id": "acme" }))
        .await;
    assert_eq!(app.chat_as(key, "echo", json!({})).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_admin_manages_its_team_and_no_other() {
    let app = TestApp::start().await;
    let lead = user(&app, "lead", "internal_user").await;
    let plain = user(&app, "plain", "internal_user").await;
    app.manage("/team/new", json!({ "team_id": "mine", "max_budget": 5, "members_with_roles": [{ "user_id": "lead", "role": "admin" }, { "user_id": "plain" }] })).await;
    app.manage(
        "/team/new",
        json!({ "team_id": "other", "members_with_roles": [{ "user_id": "plain" }] }),
    )
    .await;
    let key = app
        .with_key(&lead, "POST", "/key/generate", json!({ "team_id": "mine" }))
        .await;
    assert_eq!(key.status, 200, "{}", key.text());
    let id = key.json()["token"].clone();
    assert_eq!(
        app.with_key(&lead, "POST", "/key/block", json!({ "key": id }))
            .await
            .status,
        200
    );
    assert_eq!(
        app.with_key(&plain, "POST", "/key/block", json!({ "key": id }))
            .await
            .status,
        404
    );
    assert_eq!(
        app.with_key(
            &plain,
            "POST",
            "/key/generate",
            json!({ "team_id": "mine" })
        )
        .await
        .status,
        403
    );
    assert_eq!(
        app.with_key(
            &lead,
            "POST",
            "/key/generate",
            json!({ "team_id": "other" })
        )
        .await
        .status,
        403
    );
    let raise = app
        .with_key(
            &lead,
            "POST",
            "/team/update",
            json!({ "team_id": "mine", "max_budget": 500 }),
        )
        .await;
    assert_eq!(raise.status, 403, "{}", raise.text());
    assert_eq!(
        app.with_key(
            &lead,
            "POST",
            "/team/delete",
            json!({ "team_ids": ["mine"] })
        )
        .await
        .status,
        403
    );
    let add = app
        .with_key(
            &lead,
            "POST",
            "/team/member/add",
            json!({ "team_id": "mine", "user_id": "new@example.com", "role": "member" }),
        )
        .await;
    assert_eq!(add.status, 200, "{}", add.text());
    assert_eq!(add.json()["created_users"], json!(["new@example.com"]));
    assert_eq!(
        app.with_key(&lead, "GET", "/team/info?team_id=other", json!(null))
            .await
            .status,
        404
    );
    app.manage(
        "/team/update",
        json!({ "team_id": "mine", "team_member_permissions": ["/key/generate"] }),
    )
    .await;
    assert_eq!(
        app.with_key(
            &plain,
            "POST",
            "/key/generate",
            json!({ "team_id": "mine" })
        )
        .await
        .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_routes_of_keys() {
    let app = TestApp::start().await;
    let key = app.key(json!({ "models": ["echo", "gpt-*"], "aliases": { "mine": "echo" }, "allowed_routes": ["/chat/completions", "/models"] })).await;
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    assert_eq!(app.chat_as(&key, "mine", json!({})).await.status, 200);
    let refused = app.chat_as(&key, "slow", json!({})).await;
    assert_eq!(
        (refused.status, refused.error("type")),
        (403, json!("key_model_access_denied"))
    );
    refused.refused(403, "model_denied");
    assert_eq!(refused.error("param"), "model");
    let route = app
        .with_key(
            &key,
            "POST",
            "/v1/embeddings",
            json!({ "model": "echo", "input": "x" }),
        )
        .await;
    assert_eq!(route.status, 403);
    let detail = route.json()["detail"]
        .as_str()
        .map(str::to_owned)
        .unwrap_or_default();
    assert!(
        detail.starts_with(
            "Virtual key is not allowed to call this route. Only allowed to call routes: ["
        ),
        "{detail}"
    );
    app.manage("/team/new", json!({ "team_id": "t", "models": ["echo"] }))
        .await;
    let key = app
        .key(json!({ "team_id": "t", "models": ["all-team-models"] }))
        .await;
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    app.manage(
        "/team/update",
        json!({ "team_id": "t", "models": ["slow"] }),
    )
    .await;
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 403);
    let missing = app
        .with_key(
            MASTER,
            "POST",
            "/key/generate",
            json!({ "team_id": "team-123" }),
        )
        .await;
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("/team/new"), "{}", missing.text());
}

/// inj_01, cve_2024_4890, cve_2024_5225, cve_2025_45809: SQL in every text and filter is a text.
#[tokio::test(flavor = "multi_thread")]
async fn inj_01_sql_is_stored_as_it_came() {
    let app = TestApp::start().await;
    for payload in [
        "x' OR pg_sleep(5)--",
        "'; DROP TABLE capsules;--",
        "{{7*7}}",
        "${7*7}",
        "%",
        "\"><svg/onload=alert(1)>",
    ] {
        let made = app.manage("/key/generate", json!({ "key_alias": payload, "user_id": payload, "tags": [payload], "metadata": { payload: payload } })).await;
        assert_eq!(
            (&made["key_alias"], &made["user_id"], &made["tags"][0]),
            (&json!(payload), &json!(payload), &json!(payload))
        );
        assert_eq!(made["metadata"][payload], payload);
        for path in ["/key/block", "/key/delete"] {
            let body: Value = if path == "/key/delete" {
                json!({ "keys": [payload] })
            } else {
                json!({ "key": payload })
            };
            assert_eq!(app.with_key(MASTER, "POST", path, body).await.status, 404);
        }
        let encoded: String = payload.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for query in ["key_alias", "user_id", "team_id", "search"] {
            assert_eq!(
                app.with_key(
                    MASTER,
                    "GET",
                    &format!("/key/list?{query}={encoded}"),
                    json!(null)
                )
                .await
                .status,
                200
            );
        }
        for query in ["sort_by", "sort_order2", "page", "size", "columns"] {
            assert_eq!(
                app.with_key(
                    MASTER,
                    "GET",
                    &format!("/key/list?{query}={encoded}"),
                    json!(null)
                )
                .await
                .status,
                422,
                "{query}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_end_user_is_refused_whatever_key_names_it() {
    let app = TestApp::start().await;
    let key = app.key(json!({})).await;
    let call = json!({ "user": "client-of-ours" });
    assert_eq!(app.chat_as(&key, "echo", call.clone()).await.status, 200);
    app.manage("/customer/block", json!({ "user_ids": ["client-of-ours"] }))
        .await;
    app.chat_as(&key, "echo", call.clone())
        .await
        .refused(403, "end_user_blocked");
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    app.manage(
        "/customer/unblock",
        json!({ "user_ids": ["client-of-ours"] }),
    )
    .await;
    app.manage(
        "/customer/update",
        json!({ "user_id": "client-of-ours", "models": ["slow"] }),
    )
    .await;
    let refused = app.chat_as(&key, "echo", call).await;
    assert_eq!(
        (refused.status, refused.error("type")),
        (403, json!("customer_model_access_denied"))
    );
}
