//! What each kind of service is asked and how its answers are read.

use serde_json::{Value, json};

use super::service::{Act, Service};
use super::{app, entries};

fn result(flagged: bool, violence: f64) -> Value {
    json!({ "flagged": flagged, "categories": { "violence": flagged, "hate": false },
        "category_scores": { "violence": violence, "hate": 0.01 } })
}

fn moderation(service: &Service, more: Value) -> Value {
    let mut params = json!({ "guardrail": "openai_moderation", "mode": "pre_call", "default_on": true,
        "api_base": format!("{}/v1", service.base()), "api_key": "moderation-key-1", "timeout": 20 });
    if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
        params.extend(more);
    }
    json!([{ "guardrail_name": "mod", "litellm_params": params }])
}

#[tokio::test(flavor = "multi_thread")]
async fn moderation_judges_every_text_by_flag_or_by_score() {
    let service = Service::start(|asked| {
        let inputs = asked["input"].as_array().cloned().unwrap_or_default();
        let one = |text: &Value| match text.as_str().unwrap_or_default() {
            text if text.contains("fight") => result(true, 0.9),
            text if text.contains("shove") => result(false, 0.3),
            _ => result(false, 0.0),
        };
        Act::json(json!({ "id": "m", "model": "m", "results": inputs.iter().map(one).collect::<Vec<_>>() }))
    })
    .await;
    let by_flag = app(moderation(&service, json!({}))).await;
    assert_eq!(by_flag.say("echo", "a shove").await.status, 200);
    let answer = by_flag.say("echo", "a fight").await;
    answer.refused(400, "blocked");
    assert_eq!(answer.error("message"), "Violated OpenAI moderation policy");
    let record = by_flag.record_of(&answer).await;
    let entry = entries(&record, "mod")[0].clone();
    assert_eq!(entry["findings"][0]["type"], "violence", "{entry}");
    let asked = &service.requests()[0];
    assert_eq!(asked.path, "/v1/moderations");
    assert_eq!(
        asked.header("authorization"),
        Some("Bearer moderation-key-1")
    );
    assert_eq!(asked.body["model"], "omni-moderation-latest");

    let by_score = app(moderation(
        &service,
        json!({ "category_thresholds": { "violence": 0.2 }, "model": "own" }),
    ))
    .await;
    by_score
        .say("echo", "a shove")
        .await
        .refused(400, "blocked");
    assert_eq!(by_score.say("echo", "a hug").await.status, 200);
    let high = app(moderation(
        &service,
        json!({ "category_thresholds": { "violence": 0.95 } }),
    ))
    .await;
    assert_eq!(high.say("echo", "a fight").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judgement_of_another_shape_is_none() {
    for answer in [
        json!({ "results": [] }),
        json!({ "results": [{ "flagged": false }] }),
        json!({ "results": [result(false, 0.0), result(false, 0.0), result(false, 0.0)] }),
        json!({ "results": [{ "flagged": "no", "categories": {}, "category_scores": {} }] }),
    ] {
        let service = Service::start(move |_| Act::json(answer.clone())).await;
        let app = app(moderation(&service, json!({}))).await;
        app.say("echo", "x").await.refused(503, "check_failed");
    }
    // A category that is judged by its score and has none.
    let service = Service::start(|_| Act::json(json!({ "results": [result(false, 0.0)] }))).await;
    let app = app(moderation(
        &service,
        json!({ "category_thresholds": { "sexual": 0.5 } }),
    ))
    .await;
    app.say("echo", "x").await.refused(503, "check_failed");
}
