//! Published advisories against LiteLLM that touch keys, teams, budgets and the management API, by their ids.

use serde_json::{Value, json};

use super::disk::Site;
use crate::support::{MASTER, TestApp};

const PAYLOADS: [&str; 6] = [
    "x' OR pg_sleep(5)--",
    "'; DROP TABLE sealgate_spend;--",
    "1) UNION SELECT doc,mac,1,1,1 FROM sealgate_entities--",
    "%' OR '1'='1",
    "\\",
    "$1",
];

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Filters of spend and audit are values: nothing they hold changes the statement, and nothing is slow.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2024_5225_filters_of_spend_and_audit_are_values() {
    let site = Site::new();
    let app = site.start(|_| {}).await;
    let made = app.manage("/key/generate", json!({})).await;
    let key = made["key"].as_str().expect("a key").to_owned();
    assert_eq!(app.call(&key, None).await, 200);
    for payload in PAYLOADS {
        let payload = encoded(payload);
        for (path, names) in [
            (
                "/spend/logs",
                &[
                    "api_key",
                    "user_id",
                    "request_id",
                    "start_date",
                    "end_date",
                    "summarize",
                ][..],
            ),
            (
                "/audit",
                &[
                    "changed_by",
                    "action",
                    "table_name",
                    "object_id",
                    "start_date",
                    "sort_by",
                    "sort_order",
                    "page",
                    "page_size",
                ][..],
            ),
            ("/user/info", &["user_id"][..]),
            ("/team/info", &["team_id"][..]),
            ("/customer/info", &["end_user_id"][..]),
        ] {
            for name in names {
                let began = std::time::Instant::now();
                let answer = app
                    .ask(
                        MASTER,
                        "GET",
                        &format!("{path}?{name}={payload}"),
                        Value::Null,
                    )
                    .await;
                assert!(
                    matches!(answer.status, 200 | 400 | 404 | 422),
                    "{path} {name}: {} {}",
                    answer.status,
                    answer.text()
                );
                assert!(!answer.text().contains("\"mac\""));
                assert!(began.elapsed() < std::time::Duration::from_secs(2));
                if answer.status == 200 {
                    let rows = answer.json();
                    let rows = rows
                        .get("audit_logs")
                        .unwrap_or(&rows)
                        .as_array()
                        .map_or(0, Vec::len);
                    assert!(rows <= 1, "{path} {name}: {}", answer.text());
                }
            }
        }
        let one = app
            .ask(MASTER, "GET", &format!("/audit/{payload}"), Value::Null)
            .await;
        assert_eq!(one.status, 404);
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_2025_45809_sql_in_block_and_unblock_is_an_unknown_key() {
    let app = TestApp::start().await;
    for payload in PAYLOADS {
        for path in ["/key/block", "/key/unblock", "/team/block", "/team/unblock"] {
            let name = if path.starts_with("/key") {
                "key"
            } else {
                "team_id"
            };
            let answer = app
                .with_key(MASTER, "POST", path, json!({ name: payload }))
                .await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        }
    }
}

/// Teams are nobody's but those who have the right.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2024_5710_teams_are_changed_by_those_who_may() {
    let app = TestApp::start().await;
    app.manage("/team/new", json!({ "team_id": "t" })).await;
    let user = app.manage("/user/new", json!({ "user_id": "u" })).await;
    let service = app.key(json!({ "team_id": "t" })).await;
    for key in [user["key"].as_str().expect("a key"), service.as_str()] {
        for (path, body) in [
            ("/team/new", json!({ "team_id": "x" })),
            ("/team/update", json!({ "team_id": "t", "max_budget": 1 })),
            ("/team/delete", json!({ "team_ids": ["t"] })),
            ("/team/block", json!({ "team_id": "t" })),
            ("/team/unblock", json!({ "team_id": "t" })),
            (
                "/team/member_add",
                json!({ "team_id": "t", "member": { "user_id": "u", "role": "admin" } }),
            ),
        ] {
            let answer = app.with_key(key, "POST", path, body).await;
            assert!(
                matches!(answer.status, 401 | 403 | 404),
                "{path}: {}",
                answer.text()
            );
        }
    }
    assert_eq!(app.chat_as(&service, "echo", json!({})).await.status, 200);
}

/// A viewer reads what his role reads and no user list of others; a plain user sees himself.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2025_0628_a_viewer_sees_his_own_scope() {
    let app = TestApp::start().await;
    app.manage(
        "/user/new",
        json!({ "user_id": "other", "user_email": "other@example.com" }),
    )
    .await;
    let viewer = app
        .manage(
            "/user/new",
            json!({ "user_id": "me", "user_role": "internal_user_viewer" }),
        )
        .await;
    let key = viewer["key"].as_str().expect("a key");
    let list = app.with_key(key, "GET", "/user/list", Value::Null).await;
    assert_eq!(
        (list.status, &list.json()["total"]),
        (200, &json!(1)),
        "{}",
        list.text()
    );
    for path in [
        "/users/list",
        "/users/get_users",
        "/ui/users",
        "/user/info?user_id=other",
        "/user/other",
        "/global/spend",
        "/spend/users",
    ] {
        let answer = app.with_key(key, "GET", path, Value::Null).await;
        assert!(!answer.text().contains("other@example.com"), "{path}");
        assert!(
            matches!(answer.status, 200 | 401 | 403 | 404),
            "{path}: {}",
            answer.status
        );
    }
}

/// No answer holds a digest of a credential, and no digest is one.
#[tokio::test(flavor = "multi_thread")]
async fn ghsa_69x8_hrgq_fjj8_a_hash_is_no_key_and_stands_in_no_answer() {
    let app = TestApp::start().await;
    let hash = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c";
    app.manage(
        "/key/generate",
        json!({ "key_hash": hash, "key_alias": "imported" }),
    )
    .await;
    for bearer in [hash.to_owned(), format!("sk-{hash}")] {
        assert_eq!(
            app.with_key(&bearer, "GET", "/models", Value::Null)
                .await
                .status,
            401
        );
    }
    app.manage("/user/new", json!({ "user_id": "u" })).await;
    for path in [
        "/key/list?return_full_object=true",
        "/user/info?user_id=u",
        "/user/list",
        "/team/list",
    ] {
        let text = app.with_key(MASTER, "GET", path, Value::Null).await.text();
        let long_hex = text
            .split(|letter: char| !letter.is_ascii_hexdigit())
            .find(|word| word.len() >= 64);
        assert_eq!(long_hex, None, "{path}");
        assert!(
            !text.contains("\"digest\"") && !text.contains("password"),
            "{path}"
        );
    }
}

/// What decides is the route that is served, whatever the host says.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_49468_a_host_header_opens_nothing() {
    let app = TestApp::start().await;
    let body = "{\"models\":[\"*\"]}";
    for host in [
        "localhost:4000/#@attacker.example",
        "localhost:4000/health?",
        "a b",
        "public/../",
        "127.0.0.1:4000@x",
    ] {
        let request = format!(
            "POST /key/generate HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let mut raw = app.raw().await;
        raw.send(request).await;
        let answer = raw.closed().await;
        assert!(
            answer.contains(" 400 ") || answer.contains(" 401 "),
            "{host}: {answer}"
        );
        assert!(!answer.contains("sk-"), "{host}");
    }
    for path in [
        "/key/generate;/health",
        "//key/generate",
        "/./key/generate",
        "/health/../key/generate",
        "/key%2fgenerate",
        "/KEY/generate",
    ] {
        let answer = app.anonymous("POST", path).await;
        assert!(
            matches!(answer.status, 400 | 401 | 404 | 405),
            "{path}: {}",
            answer.status
        );
        assert!(!answer.text().contains("sk-"), "{path}");
    }
}

/// A wrong key is refused on every surface, and none of them gives a session.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_59822_a_wrong_key_is_refused_on_every_surface() {
    let app = TestApp::start().await;
    let governed = policy::route::ROUTES
        .iter()
        .filter(|route| route.permission != policy::auth::Permission::Public)
        .flat_map(|route| {
            route
                .paths
                .iter()
                .map(move |path| (route.method.as_str(), *path))
        });
    let managed = policy::identity::MANAGE_ROUTES
        .iter()
        .map(|route| (route.method.as_str(), route.path));
    let mut count = 0;
    for (method, path) in governed.chain(managed) {
        let path = path
            .replace("{id}", "x")
            .replace("{model...}", "x")
            .replace("{model}", "x");
        for bearer in ["a", "sk-a"] {
            let answer = app.with_key(bearer, method, &path, json!({})).await;
            assert!(
                matches!(answer.status, 401 | 429),
                "{method} {path}: {} {}",
                answer.status,
                answer.text()
            );
            assert!(
                answer.header("set-cookie").is_none() && answer.header("mcp-session-id").is_none()
            );
        }
        count += 1;
    }
    assert!(count > 80, "{count}");
    for path in ["/mcp/", "/mcp", "/v1/realtime", "/v1/files", "/v1/batches"] {
        let answer = app
            .with_key("a", "POST", path, json!({ "method": "initialize" }))
            .await;
        assert!(
            matches!(answer.status, 401 | 404 | 429),
            "{path}: {}",
            answer.status
        );
    }
}

/// A blocked key of an administrator is blocked as any other.
#[tokio::test(flavor = "multi_thread")]
async fn issue_35535_a_blocked_administrator_is_blocked() {
    let app = TestApp::start().await;
    let made = app
        .manage(
            "/user/new",
            json!({ "user_id": "admin", "user_role": "proxy_admin" }),
        )
        .await;
    let key = made["key"].as_str().expect("a key");
    assert_eq!(
        app.with_key(key, "GET", "/key/list", Value::Null)
            .await
            .status,
        200
    );
    app.manage("/key/block", json!({ "key": key })).await;
    for (method, path) in [
        ("GET", "/key/list"),
        ("POST", "/key/unblock"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/models"),
    ] {
        let answer = app.with_key(key, method, path, json!({ "key": key })).await;
        assert_eq!(answer.status, 401, "{path}");
    }
}
