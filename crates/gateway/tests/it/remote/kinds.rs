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
    // By itself it is not applied: whatever is asked belongs to a call with a record.
    let body = json!({ "guardrail_name": "mod", "text": "a hug" }).to_string();
    let answer = by_flag.post("/guardrails/apply_guardrail", &body).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("in calls only"), "{}", answer.text());
    assert_eq!(service.requests().len(), 2);

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

/// An analyzer that finds a name and a place, and an anonymizer with a manner of its own.
fn presidio(path: &str, asked: &Value) -> Act {
    let text = asked["text"].as_str().unwrap_or_default();
    if path.ends_with("/anonymize") {
        let results = asked["analyzer_results"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let mut chars: Vec<char> = text.chars().collect();
        for hit in results.iter().rev() {
            let (start, end) = (
                hit["start"].as_u64().unwrap_or(0),
                hit["end"].as_u64().unwrap_or(0),
            );
            let name = format!("[{}]", hit["entity_type"].as_str().unwrap_or_default());
            chars.splice(start as usize..end as usize, name.chars());
        }
        return Act::json(json!({ "text": chars.into_iter().collect::<String>(), "items": [] }));
    }
    let mut hits = Vec::new();
    for (word, kind, score) in [("Zoë", "PERSON", 0.85), ("Delhi", "LOCATION", 0.4)] {
        if let Some(at) = text.find(word) {
            let start = text[..at].chars().count();
            hits.push(json!({ "entity_type": kind, "start": start, "end": start + word.chars().count(), "score": score, "analysis_explanation": null }));
        }
    }
    Act::json(json!(hits))
}

fn analyzer(service: &Service, more: Value) -> Value {
    let mut params = json!({ "guardrail": "presidio", "mode": "pre_call", "default_on": true,
        "presidio_analyzer_api_base": service.base(), "timeout": 20 });
    if let (Some(params), Value::Object(more)) = (params.as_object_mut(), more) {
        params.extend(more);
    }
    json!([{ "guardrail_name": "pii", "litellm_params": params }])
}

#[tokio::test(flavor = "multi_thread")]
async fn presidio_finds_names_and_masks_them() {
    let service = Service::by_path(presidio).await;
    let plain = app(analyzer(&service, json!({}))).await;
    let answer = plain.say("echo", "für Zoë in Delhi").await;
    assert_eq!(
        answer.content(0),
        "für <PERSON> in <LOCATION>",
        "{}",
        answer.text()
    );
    let record = plain.record_of(&answer).await;
    let entry = entries(&record, "pii")[0].clone();
    assert_eq!(
        (&entry["outcome"], &entry["asserted_by"]),
        (&json!("edited"), &json!(service.host()))
    );
    assert!(!record.document.to_string().contains("Zoë"));
    let asked = service.requests()[0].clone();
    assert_eq!(
        (asked.path.as_str(), &asked.body["language"]),
        ("/analyze", &json!("en"))
    );
    assert!(asked.body.get("entities").is_none());

    let settings = json!({ "presidio_anonymizer_api_base": service.base(), "presidio_language": "de",
        "pii_entities_config": { "PERSON": "MASK", "LOCATION": "MASK" }, "presidio_score_thresholds": { "LOCATION": 0.5 } });
    let with_anonymizer = app(analyzer(&service, settings)).await;
    let answer = with_anonymizer.say("echo", "für Zoë in Delhi").await;
    assert_eq!(
        answer.content(0),
        "für [PERSON] in Delhi",
        "{}",
        answer.text()
    );
    let asked = service
        .requests()
        .into_iter()
        .find(|asked| asked.body["language"] == "de")
        .expect("asked");
    assert_eq!(asked.body["entities"], json!(["LOCATION", "PERSON"]));

    let settings = json!({ "pii_entities_config": { "PERSON": "BLOCK" } });
    let blocking = app(analyzer(&service, settings)).await;
    let answer = blocking.say("echo", "für Zoë").await;
    answer.refused(400, "blocked");
    assert!(
        answer
            .text()
            .contains("Blocked entity detected: PERSON by Guardrail: pii")
    );
    let denied = app(analyzer(
        &service,
        json!({ "presidio_entities_deny_list": ["PERSON"] }),
    ))
    .await;
    assert_eq!(
        denied.say("echo", "Zoë in Delhi").await.content(0),
        "Zoë in <LOCATION>"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_presidio_masked_comes_back_in_the_answer() {
    let service = Service::by_path(presidio).await;
    let app = app(analyzer(&service, json!({ "output_parse_pii": true }))).await;
    for stream in [false, true] {
        let body = json!({ "stream": stream, "messages": [{ "role": "user", "content": "für Zoë in Delhi" }] });
        let answer = app.chat("echo", body).await;
        assert_eq!(answer.content(0), "für Zoë in Delhi", "{}", answer.text());
    }
    for seen in app.sandbox.requests() {
        assert!(!seen.json().to_string().contains("Zoë"), "{}", seen.json());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_outside_of_the_text_are_no_answer() {
    for hit in [
        json!({ "entity_type": "PERSON", "start": 0, "end": 99, "score": 1.0 }),
        json!({ "entity_type": "PERSON", "start": 3, "end": 1, "score": 1.0 }),
        json!({ "entity_type": "PERSON", "start": -1, "end": 1, "score": 1.0 }),
        json!({ "entity_type": "<script>", "start": 0, "end": 1, "score": 1.0 }),
        json!({ "start": 0, "end": 1, "score": 1.0 }),
    ] {
        let service = Service::start(move |_| Act::json(json!([hit.clone()]))).await;
        let app = app(analyzer(&service, json!({}))).await;
        app.say("echo", "short").await.refused(503, "check_failed");
    }
}
