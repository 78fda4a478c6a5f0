//! Names that stand for many: access groups of models, agents that a request names; and what reading leaves behind.

use serde_json::{Value, json};
use store::reader::Reader;

use super::disk::Site;
use crate::support::{MASTER, TestApp};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_may_name_an_access_group() {
    let app = TestApp::with(|config| {
        let model = |name: &str| {
            let mut entry = config["model_list"][0].clone();
            entry["model_name"] = json!(name);
            entry["litellm_params"]["model"] = json!("openai/echo");
            entry
        };
        let (mut first, mut second, other) = (model("first"), model("second"), model("other"));
        first["model_info"] = json!({ "access_groups": ["beta", "both"] });
        second["model_info"] = json!({ "access_groups": ["both"] });
        config["model_list"] = json!([first, second, other]);
    })
    .await;
    app.manage("/team/new", json!({ "team_id": "t", "models": ["both"] }))
        .await;
    app.manage(
        "/team/new",
        json!({ "team_id": "names", "models": ["first"] }),
    )
    .await;
    for (fields, allowed) in [
        (json!({ "models": ["beta"] }), &["first"][..]),
        (json!({ "models": ["both"] }), &["first", "second"]),
        (json!({ "models": ["beta", "other"] }), &["first", "other"]),
        (json!({ "team_id": "t" }), &["first", "second"]),
        (
            json!({ "team_id": "t", "models": ["all-team-models"] }),
            &["first", "second"],
        ),
        (json!({ "team_id": "t", "models": ["beta"] }), &["first"]),
        // One list says it by group, the other by name.
        (
            json!({ "team_id": "names", "models": ["both"] }),
            &["first"],
        ),
        (json!({ "models": ["gamma"] }), &[]),
    ] {
        let made = app.manage("/key/generate", fields.clone()).await;
        let unknown = fields["models"] == json!(["gamma"]);
        assert_eq!(made.get("warning").is_some(), unknown, "{made}");
        let key = made["key"].as_str().expect("a key").to_owned();
        for model in ["first", "second", "other"] {
            let answer = app.chat_as(&key, model, json!({})).await;
            let expected = if allowed.contains(&model) { 200 } else { 403 };
            assert_eq!(
                answer.status,
                expected,
                "{fields} {model}: {}",
                answer.text()
            );
        }
        let list = app
            .with_key(&key, "GET", "/models", Value::Null)
            .await
            .json();
        let listed = list["data"].as_array().expect("a list");
        let names: Vec<&str> = listed
            .iter()
            .filter_map(|model| model["id"].as_str())
            .collect();
        assert_eq!(names, allowed, "{fields}");
    }
    // Nobody makes a key for a group that is not his.
    let user = app
        .manage("/user/new", json!({ "user_id": "u", "models": ["beta"] }))
        .await;
    let key = user["key"].as_str().expect("a key");
    for (models, status) in [
        (json!(["beta"]), 200),
        (json!(["both"]), 403),
        (json!(["other"]), 403),
    ] {
        let answer = app
            .with_key(key, "POST", "/key/generate", json!({ "models": models }))
            .await;
        assert_eq!(answer.status, status, "{models}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_an_agent_that_its_key_may_name() {
    let app = TestApp::start().await;
    app.manage(
        "/team/new",
        json!({ "team_id": "t", "team_alias": "team-alias" }),
    )
    .await;
    for (fields, named, agent, claimed) in [
        (json!({ "agents": ["a", "b"] }), None, Some("a"), false),
        (json!({ "agents": ["a", "b"] }), Some("b"), Some("b"), true),
        (json!({ "agents": ["a", "b"] }), Some("c"), Some("a"), false),
        (
            json!({ "agents": ["a", "*"] }),
            Some("anything"),
            Some("anything"),
            true,
        ),
        (
            json!({ "key_alias": "alias" }),
            Some("c"),
            Some("alias"),
            false,
        ),
        (json!({ "team_id": "t" }), None, Some("team-alias"), false),
        (json!({}), Some("c"), None, false),
    ] {
        let key = app.key(fields.clone()).await;
        let more = named.map_or(
            json!({}),
            |name| json!({ "metadata": { "agent_name": name } }),
        );
        let answer = app.chat_as(&key, "echo", more).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let record = app.record_of(&answer).await;
        let expected = agent.unwrap_or("127.0.0.1");
        assert_eq!(
            record.document["context"]["agent_id"], expected,
            "{fields} {named:?}"
        );
        let said = &record.document["context"]["environment"]["agent_claimed"];
        assert_eq!(said == &json!(true), claimed, "{fields} {named:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_spend_and_audit_is_sealed_in_groups() {
    let site = Site::new();
    let app = site.start(|_| {}).await;
    let made = app.manage("/key/generate", json!({})).await;
    let key = made["key"].as_str().expect("a key");
    assert_eq!(app.call(key, None).await, 200);
    for path in ["/audit", "/audit", "/spend/logs", "/key/list"] {
        assert_eq!(
            app.ask(MASTER, "GET", path, Value::Null).await.status,
            200,
            "{path}"
        );
    }
    assert_eq!(
        app.ask(key, "GET", "/spend/logs", Value::Null).await.status,
        200
    );
    app.stop().await;
    let reader = Reader::open(site.database()).expect("a database");
    let mut reads = Vec::new();
    let each = |row: &ledger::journal::Row| {
        let record: Value = serde_json::from_slice(&row.data).expect("JSON");
        let environment = &record["context"]["environment"];
        if environment["event"] == "reads" {
            reads.push(environment["reads"].clone());
        }
    };
    reader.records_of_type("auth", each).expect("records");
    assert_eq!(reads.len(), 1);
    let of = |key: &str, route: &str| {
        let all = reads[0].as_array().expect("a list");
        let found = all
            .iter()
            .find(|entry| entry["key_id"] == key && entry["route"] == route);
        found.map(|entry| entry["requests"].clone())
    };
    let id = made["token"].as_str().expect("an id");
    assert_eq!(of("master", "/audit"), Some(json!(2)));
    assert_eq!(of("master", "/spend/logs"), Some(json!(1)));
    assert_eq!(of(id, "/spend/logs"), Some(json!(1)));
    assert_eq!(of("master", "/key/list"), None);
}
