//! Every kind of limit on every object that has one, asked at the gateway; and what clients are told about them.

use serde_json::{Value, json};

use crate::support::{Answer, MASTER, TestApp};

const CALL: &str = "/v1/chat/completions";

/// An organization, a team with a member, a user, an end user, a tag, and a key of each sort.
async fn populated(app: &TestApp) -> (String, String) {
    for (path, body) in [
        (
            "/organization/new",
            json!({ "organization_id": "o", "organization_alias": "Org" }),
        ),
        (
            "/team/new",
            json!({ "team_id": "t", "organization_id": "o", "members_with_roles": [{ "user_id": "u" }] }),
        ),
        (
            "/user/new",
            json!({ "user_id": "u", "auto_create_key": false }),
        ),
        ("/customer/new", json!({ "user_id": "client-of-ours" })),
        ("/tag/new", json!({ "name": "blue" })),
    ] {
        app.manage(path, body).await;
    }
    let of_team = json!({ "team_id": "t", "user_id": "u", "tags": ["blue"] });
    let of_user = json!({ "user_id": "u" });
    (app.key(of_team).await, app.key(of_user).await)
}

/// A call that every object of the chain counts.
async fn call(app: &TestApp, key: &str) -> Answer {
    let more = json!({ "max_tokens": 5, "user": "client-of-ours" });
    app.chat_as(key, "echo", more).await
}

/// How each object is changed, and the word that headers and errors have for it.
fn objects(
    team_key: &str,
    user_key: &str,
) -> [(&'static str, &'static str, Value, String, &'static str); 6] {
    let team = || team_key.to_owned();
    [
        (
            "PATCH",
            "/organization/update",
            json!({ "organization_id": "o" }),
            team(),
            "organization",
        ),
        (
            "POST",
            "/team/update",
            json!({ "team_id": "t" }),
            team(),
            "team",
        ),
        (
            "POST",
            "/user/update",
            json!({ "user_id": "u" }),
            user_key.to_owned(),
            "user",
        ),
        (
            "POST",
            "/key/update",
            json!({ "key": team_key }),
            team(),
            "api_key",
        ),
        (
            "POST",
            "/customer/update",
            json!({ "user_id": "client-of-ours" }),
            team(),
            "end_user",
        ),
        (
            "POST",
            "/tag/update",
            json!({ "name": "blue" }),
            team(),
            "tag",
        ),
    ]
}

async fn changed(app: &TestApp, method: &str, path: &str, base: &Value, more: &Value) {
    let mut body = base.clone();
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    let answer = app.with_key(MASTER, method, path, body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
}

fn number(answer: &Answer, name: &str) -> u64 {
    let value = answer
        .header(name)
        .unwrap_or_else(|| panic!("no {name} in {:?}", answer.headers));
    value.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_tokens_of_every_object_are_limited_and_shown() {
    let app = TestApp::start().await;
    let (team_key, user_key) = populated(&app).await;
    for (method, path, base, key, word) in objects(&team_key, &user_key) {
        // What was counted so far is unknown here, so the room is made from what headers say.
        changed(
            &app,
            method,
            path,
            &base,
            &json!({ "rpm_limit": 1000, "tpm_limit": 1_000_000 }),
        )
        .await;
        let open = call(&app, &key).await;
        assert_eq!(open.status, 200, "{path}: {}", open.text());
        let name = |what: &str, of: &str| format!("x-ratelimit-{word}-{what}-{of}");
        assert_eq!(number(&open, &name("limit", "requests")), 1000);
        assert_eq!(number(&open, &name("limit", "tokens")), 1_000_000);
        let used = 1000 - number(&open, &name("remaining", "requests"));
        app.at_rest().await;
        changed(
            &app,
            method,
            path,
            &base,
            &json!({ "rpm_limit": used + 1, "tpm_limit": null }),
        )
        .await;
        let last = call(&app, &key).await;
        assert_eq!(last.status, 200, "{path}: {}", last.text());
        assert_eq!(number(&last, &name("remaining", "requests")), 0);
        assert!(last.header(&name("limit", "tokens")).is_none(), "{path}");
        refused(&call(&app, &key).await, word, "requests");
        changed(
            &app,
            method,
            path,
            &base,
            &json!({ "rpm_limit": null, "tpm_limit": 1 }),
        )
        .await;
        refused(&call(&app, &key).await, word, "tokens");
        changed(
            &app,
            method,
            path,
            &base,
            &json!({ "tpm_limit": null, "tpd_limit": 1 }),
        )
        .await;
        let answer = call(&app, &key).await;
        refused(&answer, word, "tokens_per_day");
        let wait = number(&answer, "retry-after");
        assert!((60..=86_400).contains(&wait), "{wait}");
        changed(
            &app,
            method,
            path,
            &base,
            &json!({ "tpd_limit": null, "max_parallel_requests": 0 }),
        )
        .await;
        refused(&call(&app, &key).await, word, "max_parallel_requests");
        changed(
            &app,
            method,
            path,
            &base,
            &json!({ "max_parallel_requests": null }),
        )
        .await;
        assert_eq!(call(&app, &key).await.status, 200, "{path}");
    }
}

fn refused(answer: &Answer, word: &str, what: &str) {
    assert_eq!(answer.status, 429, "{word} {what}: {}", answer.text());
    assert_eq!(answer.error("type"), "throttling_error");
    assert_eq!(
        (answer.error("code"), answer.error("param")),
        (json!("429"), Value::Null)
    );
    assert_eq!(answer.header("rate_limit_type"), Some(what));
    assert!(number(answer, "retry-after") >= 1);
    let text = answer.error("message").to_string();
    let begin = format!("Rate limit exceeded for {word}: ");
    assert!(
        text.contains(&begin) && text.contains("Remaining: "),
        "{text}"
    );
    if what != "max_parallel_requests" {
        assert!(text.contains("Limit resets at: "), "{text}");
        assert!(
            answer
                .header("reset_at")
                .is_some_and(|at| at.ends_with(" UTC"))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_members_tenants_and_the_gateway_have_rates_too() {
    let app = TestApp::with(|config| {
        config["router_settings"]["rpm_limit"] = json!(1000);
        config["router_settings"]["tpm_limit"] = json!(1_000_000);
    })
    .await;
    let (team_key, _) = populated(&app).await;
    let answer = call(&app, &team_key).await;
    assert_eq!(number(&answer, "x-ratelimit-global-limit-requests"), 1000);
    assert_eq!(
        number(&answer, "x-ratelimit-global-limit-tokens"),
        1_000_000
    );
    // One model of a key, of a team, and a member of the team.
    let key = app
        .key(json!({ "model_rpm_limit": { "echo": 1 }, "model_tpm_limit": { "slow-1": 1 } }))
        .await;
    assert_eq!(call(&app, &key).await.status, 200);
    refused(&call(&app, &key).await, "model_per_key", "requests");
    let tokens = app
        .chat_as(&key, "slow-1", json!({ "max_tokens": 5 }))
        .await;
    refused(&tokens, "model_per_key", "tokens");
    app.manage(
        "/team/new",
        json!({ "team_id": "m", "model_rpm_limit": { "echo": 0 } }),
    )
    .await;
    let key = app.key(json!({ "team_id": "m" })).await;
    refused(&call(&app, &key).await, "model_per_team", "requests");
    assert_eq!(app.chat_as(&key, "slow-1", json!({})).await.status, 200);
    app.manage(
        "/team/member_update",
        json!({ "team_id": "t", "user_id": "u", "rpm_limit": 0 }),
    )
    .await;
    refused(&call(&app, &team_key).await, "team_member", "requests");
    app.manage(
        "/tenant/new",
        json!({ "tenant_id": "acme", "rpm_limit": 0 }),
    )
    .await;
    let key = app.key(json!({ "tenant_id": "acme" })).await;
    refused(&call(&app, &key).await, "tenant", "requests");
    // A key says what it may itself.
    let key = app
        .key(json!({ "rpm_limit": 7, "tpm_limit": 70_000, "max_budget": 5 }))
        .await;
    let answer = call(&app, &key).await;
    assert_eq!(number(&answer, "x-litellm-key-rpm-limit"), 7);
    assert_eq!(number(&answer, "x-litellm-key-tpm-limit"), 70_000);
    assert_eq!(answer.header("x-litellm-key-max-budget"), Some("5.000000"));
    assert!(answer.header("x-litellm-key-spend").is_some());
    // A stream says it in its head.
    let stream = app
        .chat_as(&key, "echo", json!({ "stream": true, "max_tokens": 5 }))
        .await;
    assert_eq!(number(&stream, "x-ratelimit-api_key-remaining-requests"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_has_a_budget_and_rates() {
    let app = TestApp::with(|config| {
        let params = &mut config["model_list"][0]["litellm_params"];
        params["max_budget"] = json!(0.000001);
        params["budget_duration"] = json!("1d");
    })
    .await;
    let answer = app.chat("echo", json!({ "max_tokens": 100 })).await;
    assert_eq!(
        (answer.status, answer.error("type")),
        (422, json!("budget_exceeded"))
    );
    assert!(answer.text().contains("Deployment="), "{}", answer.text());
    assert!(app.sandbox.requests().is_empty());
    let app =
        TestApp::with(|config| config["model_list"][0]["litellm_params"]["rpm"] = json!(1)).await;
    assert_eq!(app.chat("echo", json!({})).await.status, 200);
    let answer = app.chat("echo", json!({})).await;
    answer.refused(429, "deployment_limit");
    assert!((1..=60).contains(&number(&answer, "retry-after")));
}

#[tokio::test(flavor = "multi_thread")]
async fn which_tokens_count_is_a_setting() {
    // One prompt token or so, and two of answer: `input` and `output` see different ones.
    for (kind, limit, passes) in [
        ("input", 30, true),
        ("output", 30, false),
        ("total", 30, false),
    ] {
        let app = TestApp::with(|config| {
            config["general_settings"]["token_rate_limit_type"] = json!(kind);
        })
        .await;
        let key = app.key(json!({ "tpm_limit": limit })).await;
        let answer = app
            .chat_as(&key, "echo", json!({ "max_tokens": 500 }))
            .await;
        assert_eq!(answer.status == 200, passes, "{kind}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_07_whoever_guesses_keys_is_slowed_down_and_nobody_else_is() {
    let app =
        TestApp::with(|config| config["sealgate"]["limits"]["wrong_keys_per_address"] = json!(20))
            .await;
    let key = app.key(json!({})).await;
    let mut statuses = Vec::new();
    for number in 0..40 {
        let guess = format!("sk-guess-{number}");
        let answer = app.with_key(&guess, "POST", CALL, json!({})).await;
        if answer.status == 429 {
            answer.refused(429, "too_many_from_address");
            assert!((1..=4).contains(&self::number(&answer, "retry-after")));
        }
        statuses.push(answer.status);
    }
    assert!(
        statuses.iter().take(20).all(|status| *status == 401),
        "{statuses:?}"
    );
    assert!(
        statuses
            .iter()
            .skip(25)
            .filter(|status| **status == 429)
            .count()
            > 10,
        "{statuses:?}"
    );
    // The same address with a right key, on calls and on the management API, is served.
    assert_eq!(app.chat_as(&key, "echo", json!({})).await.status, 200);
    app.manage("/key/list", json!(null)).await;
    // Another route is no way around.
    let answer = app
        .with_key("sk-guess", "GET", "/key/list", json!(null))
        .await;
    assert_eq!(answer.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_a_rate_before_authentication() {
    let app = TestApp::with(|config| {
        config["sealgate"]["limits"]["requests_per_address"] = json!(2);
        config["sealgate"]["limits"]["burst_per_address"] = json!(5);
    })
    .await;
    let mut refused = 0;
    for _ in 0..10 {
        let answer = app.anonymous("GET", "/models").await;
        refused += u32::from(answer.status == 429);
    }
    assert!((4..=5).contains(&refused), "{refused}");
    let answer = app.chat("echo", json!({})).await;
    answer.refused(429, "too_many_from_address");
    assert_eq!(answer.header("retry-after"), Some("1"));
    app.clock().shift(3);
    assert_eq!(app.chat("echo", json!({})).await.status, 200);
    // The probe at the end of this test is a request as well.
    app.clock().shift(60);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_a_number_of_connections() {
    let app =
        TestApp::with(|config| config["sealgate"]["limits"]["connections_per_address"] = json!(2))
            .await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut connection = app.raw().await;
        assert!(
            connection
                .send("GET /health/liveliness HTTP/1.1\r\nhost: a\r\n\r\n")
                .await
        );
        assert!(connection.until(|seen| seen.contains("200 OK")).await);
        open.push(connection);
    }
    let mut third = app.raw().await;
    let _sent = third
        .send("GET /health/liveliness HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert_eq!(third.closed().await, "");
    drop(open);
    // Their places are free once the gateway has seen them go.
    loop {
        let mut again = app.raw().await;
        let _sent = again
            .send("GET /health/liveliness HTTP/1.1\r\nhost: a\r\n\r\n")
            .await;
        if again.until(|seen| seen.contains("200 OK")).await {
            break;
        }
    }
}
