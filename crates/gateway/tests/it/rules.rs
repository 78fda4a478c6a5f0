//! Consent, notices, purposes and presets on calls: a test for each sentence of docs/rules.md.

use serde_json::{Value, json};

use crate::content::Site;
use crate::support::{Answer, MASTER, Record, TestApp, prompt};

fn with_rule(require: &'static str) -> impl FnOnce(&mut Value) {
    move |config| config["sealgate"]["rules"] = json!([{ "name": "consent", "require": require }])
}

/// A call for `support` of a person.
fn of(person: &str, more: Value) -> Value {
    let mut body = json!({ "user": person, "metadata": { "purpose": "support" } });
    if let (Some(metadata), Value::Object(more)) = (body["metadata"].as_object_mut(), more) {
        metadata.extend(more);
    }
    body
}

async fn refused(app: &TestApp, body: Value, rule: &str) -> Record {
    let sent = app.sandbox.requests().len();
    let answer = app.chat("echo", body).await;
    answer.refused(403, "rule_refused");
    assert_eq!(app.sandbox.requests().len(), sent, "nothing leaves");
    let record = app.record_of(&answer).await;
    let named = format!("rule:{rule}");
    assert_eq!(
        record.document["authority"]["policy_reference"],
        named.as_str()
    );
    assert_eq!(record.outcome(), "blocked");
    record
}

async fn passes(app: &TestApp, body: Value) -> Record {
    let answer: Answer = app.chat("echo", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    app.record_of(&answer).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_consent_stops_the_next_call_and_the_record_says_by_which_rule() {
    let app = TestApp::with(with_rule("consented")).await;
    refused(&app, of("anna", json!({})), "consent").await;
    let granted = app
        .manage(
            "/consent/grant",
            json!({ "subject": "anna", "purpose": "support" }),
        )
        .await;
    assert_eq!(granted["purposes"]["support"]["state"], "granted");
    assert_eq!(granted["version"], 1);
    let record = passes(&app, of("anna", json!({}))).await;
    assert_eq!(record.environment("rules"), &json!(["consent"]));
    assert_eq!(record.environment("consent_version"), &json!(1));
    // Another person, another purpose, and nobody: none of them agreed.
    refused(&app, of("bert", json!({})), "consent").await;
    refused(&app, of("anna", json!({ "purpose": "billing" })), "consent").await;
    refused(
        &app,
        json!({ "metadata": { "purpose": "support" } }),
        "consent",
    )
    .await;
    let withdrawn = app
        .manage(
            "/consent/withdraw",
            json!({ "subject": "anna", "purpose": "support" }),
        )
        .await;
    assert_eq!(withdrawn["purposes"]["support"]["state"], "withdrawn");
    let record = refused(&app, of("anna", json!({})), "consent").await;
    assert_eq!(record.environment("consent_version"), &json!(2));
    // The caller's word does not bring it back.
    let claim = json!({ "user_consent": "support:true", "consent_date": "2026-01-01" });
    refused(&app, of("anna", claim), "consent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_may_say_no_where_the_registry_says_yes() {
    let app = TestApp::with(with_rule("consented")).await;
    app.manage(
        "/consent/grant",
        json!({ "subject": "anna", "purposes": ["support"] }),
    )
    .await;
    passes(&app, of("anna", json!({}))).await;
    refused(
        &app,
        of("anna", json!({ "user_consent": "support:false" })),
        "consent",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_consent_is_sealed_and_names_nobody() {
    let app = TestApp::start().await;
    let body = json!({ "subject": "anna-canary@example.org", "purpose": "support" });
    app.manage("/consent/grant", body.clone()).await;
    app.manage("/consent/withdraw", body).await;
    let changes = app.events("identity_change");
    let done: Vec<&Value> = changes
        .iter()
        .flat_map(|record| record.environment("changes").as_array().expect("changes"))
        .collect();
    let words: Vec<(&str, &str)> = done
        .iter()
        .map(|change| {
            let text = |name: &str| change[name].as_str().expect("a text");
            (text("kind"), text("action"))
        })
        .collect();
    assert_eq!(words, [("consent", "granted"), ("consent", "withdrawn")]);
    for record in app.all_records() {
        assert!(!record.document.to_string().contains("anna-canary"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_names_the_notice_that_was_shown() {
    let app = TestApp::with(|config| {
        config["sealgate"]["notices"] = json!([
            { "purpose": "support", "version": "1", "language": "en", "text": "We answer you with a model." },
            { "purpose": "support", "version": "2", "language": "en", "text": "We answer you with two models." },
            { "purpose": "support", "version": "2", "language": "hi", "text": "ham do model se uttar dete hain" },
        ]);
        config["sealgate"]["rules"] = json!([{ "name": "notice", "require": "notice_current" }]);
    })
    .await;
    let shown = app
        .with_key(MASTER, "GET", "/consent/notices", Value::Null)
        .await
        .json();
    let notices = shown["notices"].as_array().expect("notices");
    let in_force: Vec<bool> = notices.iter().map(|one| one["in_force"] == true).collect();
    assert_eq!(in_force, [false, true, true]);
    let grant = |version: Value, language: Value| json!({ "subject": "anna", "purpose": "support", "notice_version": version, "notice_language": language });
    for (version, language) in [
        (Value::Null, Value::Null),
        (json!("3"), Value::Null),
        (json!("1"), json!("hi")),
    ] {
        let body = grant(version, language);
        let answer = app.with_key(MASTER, "POST", "/consent/grant", body).await;
        assert!(
            (400..423).contains(&answer.status),
            "{} {}",
            answer.status,
            answer.text()
        );
        assert!(
            answer.text().contains("notice_version"),
            "{}",
            answer.text()
        );
    }
    app.manage("/consent/grant", grant(json!("1"), json!("en")))
        .await;
    refused(&app, of("anna", json!({})), "notice").await;
    app.manage("/consent/grant", grant(json!("2"), json!("hi")))
        .await;
    passes(&app, of("anna", json!({}))).await;
    // A new version of the notice: who saw the old one has to see it.
    app.reload(|config| {
        let list = config["sealgate"]["notices"]
            .as_array_mut()
            .expect("notices");
        list.push(
            json!({ "purpose": "support", "version": "3", "language": "en", "text": "Three." }),
        );
    })
    .await
    .expect("a configuration");
    refused(&app, of("anna", json!({})), "notice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_storage_keeps_nothing_and_a_withdrawn_analytics_is_written_down() {
    let app = TestApp::with(|config| config["sealgate"]["content_mode"] = json!("full")).await;
    app.keeps_content(true);
    let kept = |record: &Record| record.document["trigger"]["request"] != "";
    assert!(kept(&passes(&app, of("anna", json!({}))).await));
    let both = json!({ "subject": "anna", "purposes": ["storage", "analytics"] });
    app.manage("/consent/grant", both.clone()).await;
    let record = passes(&app, of("anna", json!({}))).await;
    assert!(kept(&record));
    assert_eq!(record.environment("analytics"), &json!(true));
    app.manage("/consent/withdraw", both).await;
    for more in [
        json!({}),
        json!({ "user_consent": "analytics:true,storage:true" }),
    ] {
        let record = passes(&app, of("anna", more)).await;
        assert!(!kept(&record), "nothing is kept");
        assert_eq!(record.environment("analytics"), &json!(false));
    }
    assert!(kept(&passes(&app, of("bert", json!({}))).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawing_everything_covers_what_nobody_named() {
    let app = TestApp::with(with_rule("!consent_withdrawn")).await;
    passes(&app, of("anna", json!({}))).await;
    app.manage(
        "/consent/withdraw",
        json!({ "subject": "anna", "all": true }),
    )
    .await;
    refused(&app, of("anna", json!({})), "consent").await;
    app.manage(
        "/consent/grant",
        json!({ "subject": "anna", "purpose": "support" }),
    )
    .await;
    passes(&app, of("anna", json!({}))).await;
    refused(&app, of("anna", json!({ "purpose": "billing" })), "consent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_is_for_administrators_and_takes_nonsense_for_none() {
    let app = TestApp::start().await;
    let key = app.key(json!({})).await;
    for (method, path) in [
        ("POST", "/consent/grant"),
        ("POST", "/consent/withdraw"),
        ("GET", "/consent/info?subject=anna"),
        ("GET", "/consent/list"),
    ] {
        let body = match method {
            "GET" => Value::Null,
            _ => json!({ "subject": "anna", "purpose": "support" }),
        };
        let answer = app.with_key(&key, method, path, body).await;
        assert!(
            [401, 403].contains(&answer.status),
            "{path} {}",
            answer.status
        );
    }
    for (path, body) in [
        ("/consent/grant", json!({})),
        ("/consent/grant", json!({ "subject": "anna" })),
        (
            "/consent/grant",
            json!({ "subject": "", "purpose": "support" }),
        ),
        (
            "/consent/grant",
            json!({ "subject": "anna", "purpose": "*" }),
        ),
        (
            "/consent/grant",
            json!({ "subject": "anna", "purpose": "a b" }),
        ),
        (
            "/consent/grant",
            json!({ "subject": "anna", "purpose": "support", "kind": "dog" }),
        ),
        (
            "/consent/grant",
            json!({ "subject": "anna", "purpose": "support", "colour": "red" }),
        ),
        (
            "/consent/grant",
            json!({ "subject": "anna", "purpose": "x".repeat(61) }),
        ),
        ("/consent/withdraw", json!({ "subject": "anna" })),
        (
            "/consent/withdraw",
            json!({ "subject": "anna", "purpose": "support", "all": true }),
        ),
    ] {
        let answer = app.with_key(MASTER, "POST", path, body.clone()).await;
        assert!(
            (400..423).contains(&answer.status),
            "{path} {body}: {}",
            answer.status
        );
    }
    let many: Vec<String> = (0..201).map(|number| format!("p{number}")).collect();
    let body = json!({ "subject": "anna", "purposes": many });
    let answer = app.with_key(MASTER, "POST", "/consent/grant", body).await;
    assert!((400..423).contains(&answer.status), "{}", answer.status);
    let listed = app
        .with_key(MASTER, "GET", "/consent/list", Value::Null)
        .await
        .json();
    assert_eq!(listed["total"], 0);
    let nobody = app
        .with_key(MASTER, "GET", "/consent/info?subject=anna", Value::Null)
        .await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn consents_outlive_a_restart_and_name_nobody_in_any_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut site = Site::start(&dir.path().join("d"), with_rule("consented")).await;
    for (path, purpose) in [
        ("grant", "support"),
        ("grant", "billing"),
        ("withdraw", "billing"),
    ] {
        let body = json!({ "subject": "anna-canary", "purpose": purpose });
        site.manage(&format!("/consent/{path}"), body).await;
    }
    site.stop().await;
    site.open().await;
    let shown = site
        .manage("/consent/info?subject=anna-canary", Value::Null)
        .await;
    assert_eq!(shown["purposes"]["support"]["state"], "granted");
    assert_eq!(shown["purposes"]["billing"]["state"], "withdrawn");
    let one = site
        .manage(
            "/consent/info?subject=anna-canary&purpose=billing",
            Value::Null,
        )
        .await;
    assert_eq!(
        one["purposes"].as_object().map(serde_json::Map::len),
        Some(1)
    );
    let listed = site.manage("/consent/list", Value::Null).await;
    assert_eq!(listed["total"], 1);
    site.say("hello", of("anna-canary", json!({}))).await;
    let body = prompt(
        "echo",
        "hello",
        of("anna-canary", json!({ "purpose": "billing" })),
    );
    let (status, _, _) = site
        .send(MASTER, "POST", "/v1/chat/completions", body)
        .await;
    assert_eq!(status, 403);
    site.stop().await;
    assert!(site.holding(b"anna-canary").is_empty());
    site.verify();
}

/// A deployment in a region.
fn placed(config: &Value, name: &str, info: Value) -> Value {
    let mut model = config["model_list"][0].clone();
    model["model_name"] = json!(name);
    model["litellm_params"]["model"] = json!("openai/echo");
    model["model_info"] = info;
    model
}

async fn preset(name: &'static str, notices: Value) -> TestApp {
    TestApp::with(move |config| {
        let models = [
            placed(config, "here", json!({})),
            placed(config, "ireland", json!({ "region": "eu-west-1" })),
            placed(config, "mumbai", json!({ "region": "ap-south-1" })),
            placed(config, "agreed", json!({ "baa": true })),
        ];
        config["model_list"] = json!(models);
        config["sealgate"]["compliance"] = json!(name);
        config["sealgate"]["notices"] = notices;
    })
    .await
}

async fn rule_of(app: &TestApp, key: &str, model: &str, more: Value) -> Option<String> {
    let answer = app.chat_as(key, model, more).await;
    let record = app.record_of(&answer).await;
    if answer.status == 200 {
        return None;
    }
    answer.refused(403, "rule_refused");
    let reference = &record.document["authority"]["policy_reference"];
    reference.as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preset_gdpr_stops_withdrawn_purposes_and_transfers() {
    let app = preset("gdpr", Value::Null).await;
    let key = app.key(json!({})).await;
    let at = |model: &'static str, more: Value| rule_of(&app, &key, model, more);
    let transfer = Some("rule:gdpr transfer".to_owned());
    assert_eq!(
        at("here", json!({})).await,
        None,
        "no person, no personal data"
    );
    assert_eq!(at("here", json!({ "user": "anna" })).await, transfer);
    assert_eq!(at("ireland", json!({ "user": "anna" })).await, None);
    let mail = json!({ "messages": [{ "role": "user", "content": "write to anna@example.org" }] });
    assert_eq!(at("here", mail.clone()).await, transfer);
    assert_eq!(at("ireland", mail).await, None);
    let agreed = json!({ "user": "anna", "metadata": { "user_consent": "transfer:true" } });
    assert_eq!(at("here", agreed).await, None);
    app.manage(
        "/consent/withdraw",
        json!({ "subject": "anna", "purpose": "support" }),
    )
    .await;
    let withdrawn = Some("rule:gdpr withdrawal".to_owned());
    assert_eq!(at("ireland", of("anna", json!({}))).await, withdrawn);
    // The guide's own call, to a deployment in the union.
    let guide = json!({ "metadata": { "user_consent": "analytics:true,storage:true", "consent_date": "2024-01-01" } });
    assert_eq!(at("ireland", guide).await, None);
    // The master key calls no models.
    app.say("ireland", "x")
        .await
        .refused(403, "master_key_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preset_dpdp_asks_for_purpose_consent_notice_and_residency() {
    let notices =
        json!([{ "purpose": "support", "version": "1", "language": "en", "text": "A notice." }]);
    let app = preset("dpdp", notices).await;
    let key = app
        .key(json!({ "metadata": { "allowed_purposes": ["support", "billing"] } }))
        .await;
    let at = |model: &'static str, more: Value| rule_of(&app, &key, model, more);
    let by = |rule: &str| Some(format!("rule:dpdp {rule}"));
    assert_eq!(
        at("ireland", json!({})).await,
        None,
        "no person, no personal data"
    );
    assert_eq!(at("mumbai", json!({ "user": "anna" })).await, by("purpose"));
    assert_eq!(
        at("mumbai", of("anna", json!({ "purpose": "health" }))).await,
        by("purpose")
    );
    // The word of the caller is no consent.
    let claim = of("anna", json!({ "user_consent": "support:true" }));
    assert_eq!(at("mumbai", claim).await, by("consent"));
    app.manage(
        "/consent/grant",
        json!({ "subject": "anna", "purpose": "billing" }),
    )
    .await;
    let billing = of("anna", json!({ "purpose": "billing" }));
    assert_eq!(at("mumbai", billing).await, by("notice"));
    let body = json!({ "subject": "anna", "purpose": "support", "notice_version": "1" });
    app.manage("/consent/grant", body).await;
    assert_eq!(at("mumbai", of("anna", json!({}))).await, None);
    assert_eq!(at("ireland", of("anna", json!({}))).await, by("residency"));
    app.manage(
        "/consent/grant",
        json!({ "subject": "anna", "purpose": "cross_border" }),
    )
    .await;
    assert_eq!(at("ireland", of("anna", json!({}))).await, None);
    app.manage(
        "/consent/withdraw",
        json!({ "subject": "anna", "purpose": "support" }),
    )
    .await;
    assert_eq!(at("mumbai", of("anna", json!({}))).await, by("consent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preset_hipaa_sends_health_data_to_agreed_deployments_only_and_keeps_nothing() {
    let app = preset("hipaa", Value::Null).await;
    let key = app.key(json!({})).await;
    let baa = Some("rule:hipaa baa".to_owned());
    assert_eq!(rule_of(&app, &key, "ireland", json!({})).await, baa);
    assert_eq!(rule_of(&app, &key, "agreed", json!({})).await, None);
    let free = app.key(json!({ "tags": ["no-phi"] })).await;
    assert_eq!(rule_of(&app, &free, "ireland", json!({})).await, None);
    let ssn = json!({ "messages": [{ "role": "user", "content": "my ssn is 536-90-4399" }] });
    assert_eq!(rule_of(&app, &free, "ireland", ssn.clone()).await, baa);
    // A tag that a caller names frees nothing.
    let claimed = json!({ "metadata": { "tags": ["no-phi"] } });
    assert_eq!(rule_of(&app, &key, "ireland", claimed).await, baa);
    let answer = app.chat_as(&key, "agreed", ssn).await;
    let record = app.record_of(&answer).await;
    assert!(record.environment("content").is_null(), "nothing is kept");
    assert!(
        answer.text().contains("536-90-4399"),
        "it came back to the caller"
    );
}
