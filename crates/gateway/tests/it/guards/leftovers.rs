//! Parts that no check can read, names of tools in streams, and checks that a fallback, a team or an agent brings.

use serde_json::{Value, json};

use super::{entries, guard, guarded};
use crate::support::{Stub, TestApp};

/// A gateway whose provider answers with `choice`, whole or as the one chunk of a stream.
async fn answering(
    guardrails: Value,
    opaque: &str,
    choice: Value,
    stream: bool,
) -> (TestApp, Stub) {
    let (object, name) = match stream {
        true => ("chat.completion.chunk", "delta"),
        false => ("chat.completion", "message"),
    };
    let usage = json!({ "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 });
    let choice = json!({ "index": 0, name: choice, "finish_reason": "stop" });
    let body = json!({ "id": "x", "object": object, "created": 1, "model": "m", "choices": [choice], "usage": usage }).to_string();
    streaming(guardrails, opaque, &[body], stream).await
}

async fn streaming(
    guardrails: Value,
    opaque: &str,
    bodies: &[String],
    stream: bool,
) -> (TestApp, Stub) {
    let (kind, body) = match stream {
        true => {
            let events = bodies.iter().map(|body| format!("data: {body}\n\n"));
            (
                "text/event-stream",
                events.collect::<String>() + "data: [DONE]\n\n",
            )
        }
        false => ("application/json", bodies.concat()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    let stub = Stub::answering(head + &body).await;
    let opaque = opaque.to_owned();
    let app = TestApp::with(|config| {
        config["guardrails"] = guardrails;
        config["sealgate"]["opaque_parts"] = json!(opaque);
        config["model_list"][0]["litellm_params"]["api_base"] = json!(stub.base_url());
    })
    .await;
    app.provided_by(&stub);
    (app, stub)
}

#[tokio::test(flavor = "multi_thread")]
async fn grd_05_what_a_model_returns_and_no_check_reads_is_blocked_or_passes_by_the_setting() {
    const PIXELS: &str = "iVBORw0KGgoAAAANSUhEUg";
    let image = json!({ "role": "assistant", "content": "here", "images": [
        { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{PIXELS}") } }] });
    let audio = json!({ "role": "assistant", "content": "here", "audio": { "id": "a", "data": PIXELS, "expires_at": 1, "transcript": "here" } });
    let secrets = || {
        json!([guard(
            "secrets",
            "hide-secrets",
            json!("post_call"),
            json!({})
        )])
    };
    for (part, kind) in [(&image, "answer:image"), (&audio, "answer:audio")] {
        for stream in [false, true] {
            let (app, _stub) = answering(secrets(), "block", part.clone(), stream).await;
            let answer = app.chat("echo", json!({ "stream": stream })).await;
            assert!(!answer.text().contains(PIXELS), "{}", answer.text());
            assert!(
                answer.text().contains("not_inspectable"),
                "{}",
                answer.text()
            );
            let record = app.record_of(&answer).await;
            assert_eq!(record.outcome(), "blocked");
            assert_eq!(record.environment("not_inspected"), &json!([kind]));
            let (app, _stub) = answering(secrets(), "pass", part.clone(), stream).await;
            let answer = app.chat("echo", json!({ "stream": stream })).await;
            assert!(answer.text().contains(PIXELS), "{}", answer.text());
            let record = app.record_of(&answer).await;
            assert_eq!(record.outcome(), "success");
            assert_eq!(record.environment("not_inspected"), &json!([kind]));
            let opened = record.document.to_string();
            assert!(
                opened.contains("opaque_parts"),
                "the switch is written down: {opened}"
            );
            // Without a check nothing claims to have looked, and nothing is refused.
            let (app, _stub) = answering(json!([]), "block", part.clone(), stream).await;
            let answer = app.chat("echo", json!({ "stream": stream })).await;
            assert!(answer.text().contains(PIXELS), "{}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grd_09_a_tool_begins_with_its_name_and_not_before() {
    let chunk = |delta: Value, reason: Value| {
        json!({ "id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": reason }] })
        .to_string()
    };
    let call = |index: u32, more: Value| {
        let mut call = json!({ "index": index });
        call.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        chunk(json!({ "tool_calls": [call] }), Value::Null)
    };
    let begin = |index: u32, name: &str| {
        let id = format!("call_{index}");
        call(
            index,
            json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "" } }),
        )
    };
    let more = |index: u32, text: &str| call(index, json!({ "function": { "arguments": text } }));
    let named = |index: u32, text: &str| call(index, json!({ "function": { "name": text } }));
    let end = chunk(json!({}), json!("tool_calls"));
    let tools = || {
        json!([guard(
            "tools",
            "tool_permission",
            json!("post_call"),
            json!({ "denied_tools": ["drop_.*"] })
        )])
    };
    let whole = vec![
        begin(0, "get_weather"),
        more(0, "{\"city\":"),
        more(0, "\"Pune\"}"),
        begin(1, "get_time"),
        more(1, "{}"),
        end.clone(),
    ];
    // A name in single characters.
    let mut letters = vec![begin(0, "g")];
    letters.extend(
        "et_weather"
            .chars()
            .map(|letter| named(0, &letter.to_string())),
    );
    letters.extend([
        more(0, "{\"city\":\"Pune\"}"),
        begin(1, "get_time"),
        more(1, "{}"),
        end.clone(),
    ]);
    for events in [whole, letters] {
        let (app, _stub) = streaming(tools(), "block", &events, true).await;
        let answer = app.chat("echo", json!({ "stream": true })).await;
        let mut calls: Vec<(String, String, String)> = Vec::new();
        for chunk in answer.chunks() {
            for call in chunk["choices"][0]["delta"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                let index = call["index"].as_u64().expect("an index") as usize;
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                if calls.len() <= index {
                    // What a client reads first of a call has its id and its whole name.
                    assert_eq!(calls.len(), index, "{}", answer.text());
                    calls.push((
                        text(&call["id"]),
                        text(&call["function"]["name"]),
                        String::new(),
                    ));
                    assert!(calls[index].1.starts_with("get_"), "{}", answer.text());
                }
                calls[index]
                    .2
                    .push_str(&text(&call["function"]["arguments"]));
            }
        }
        let expected = [
            ("call_0", "get_weather", "{\"city\":\"Pune\"}"),
            ("call_1", "get_time", "{}"),
        ];
        let calls: Vec<(&str, &str, &str)> = calls
            .iter()
            .map(|(id, name, arguments)| (id.as_str(), name.as_str(), arguments.as_str()))
            .collect();
        assert_eq!(calls, expected, "{}", answer.text());
        assert_eq!(app.record_of(&answer).await.outcome(), "success");
    }
    let bad = [begin(0, "drop_table"), more(0, "{\"name\":\"users\"}"), end];
    let (app, _stub) = streaming(tools(), "block", &bad, true).await;
    let answer = app.chat("echo", json!({ "stream": true })).await;
    for part in ["call_0", "drop_table", "users"] {
        assert!(!answer.text().contains(part), "{}", answer.text());
    }
    assert_eq!(app.record_of(&answer).await.outcome(), "blocked");
}

#[tokio::test(flavor = "multi_thread")]
async fn grd_13_masking_leaves_arguments_that_are_json() {
    let operators =
        json!({ "EMAIL_ADDRESS": { "type": "mask", "chars_to_mask": 4 }, "DEFAULT": "hash" });
    for (more, left) in [
        (
            json!({ "pii_entities_config": { "EMAIL_ADDRESS": "MASK" } }),
            "<EMAIL_ADDRESS>",
        ),
        (
            json!({ "pii_operators": operators, "pii_operator_key": "7f3c9a51d0e84b26a1c5f7e2938d4b60" }),
            "****@example.org",
        ),
    ] {
        let app = guarded(vec![guard("pii", "presidio", json!("pre_call"), more)]).await;
        let arguments = r#"{"to":"\"anna@example.org\"","n":1}"#;
        let call = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": arguments } });
        let messages = json!([{ "role": "user", "content": "x" }, { "role": "assistant", "content": null, "tool_calls": [call] }]);
        let answer = app.chat("echo", json!({ "messages": messages })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let sent = app.sandbox.requests().pop().expect("a request").body;
        let sent: Value = serde_json::from_slice(&sent).expect("JSON");
        let text = sent["messages"][1]["tool_calls"][0]["function"]["arguments"].as_str();
        let inner: Value = serde_json::from_str(text.expect("a text")).expect("JSON within");
        assert_eq!(inner["to"], format!("\"{left}\"").as_str());
        assert_eq!(inner["n"], 1);
    }
}

/// Groups `first` and `second`; calls of the first fall back to the second.
fn two_groups(config: &mut Value, broken: &Stub) {
    let model = |name: &str| {
        let mut model = config["model_list"][0].clone();
        model["model_name"] = json!(name);
        model["litellm_params"]["model"] = json!("openai/echo");
        model
    };
    let (mut first, second) = (model("first"), model("second"));
    first["litellm_params"]["api_base"] = json!(broken.base_url());
    let list = config["model_list"].as_array_mut().expect("models");
    list.extend([first, second]);
    config["router_settings"] = json!({ "num_retries": 0, "fallbacks": [{ "first": ["second"] }] });
}

async fn broken() -> Stub {
    Stub::answering("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\n{}").await
}

#[tokio::test(flavor = "multi_thread")]
async fn grd_17_a_fallback_gets_the_text_that_the_checks_left() {
    let stub = broken().await;
    let app = TestApp::with(|config| {
        two_groups(config, &stub);
        config["guardrails"] = json!([guard("pii", "presidio", json!("pre_call"), json!({}))]);
    })
    .await;
    app.provided_by(&stub);
    let answer = app.say("first", "write to anna@example.org").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = app
        .sandbox
        .requests()
        .pop()
        .expect("the second attempt")
        .body;
    let all: Vec<Vec<u8>> = stub.requests().into_iter().chain([sent.to_vec()]).collect();
    assert_eq!(all.len(), 2);
    for sent in all {
        let sent = String::from_utf8_lossy(&sent).into_owned();
        assert!(
            !sent.contains("anna@") && sent.contains("<EMAIL_ADDRESS>"),
            "{sent}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_the_group_that_a_fallback_leads_to_runs_before_anything_is_sent() {
    let stub = broken().await;
    let bound = |name: &str| {
        let mut one = guard(
            name,
            "presidio",
            json!("pre_call"),
            json!({ "apply_to": { "models": ["second"] } }),
        );
        one["litellm_params"]["default_on"] = json!(false);
        one
    };
    let app = TestApp::with(|config| {
        two_groups(config, &stub);
        config["guardrails"] = json!([bound("of-the-second")]);
    })
    .await;
    app.provided_by(&stub);
    for model in ["first", "second"] {
        let answer = app.say(model, "write to anna@example.org").await;
        let ran = answer.header("x-litellm-applied-guardrails");
        assert_eq!(ran, Some("of-the-second"), "{model}");
        let sent = app.sandbox.requests().pop().expect("a request").body;
        assert!(!String::from_utf8_lossy(&sent).contains("anna@"));
    }
    for sent in stub.requests() {
        assert!(!String::from_utf8_lossy(&sent).contains("anna@"));
    }
    let other = app.say("echo", "write to anna@example.org").await;
    assert_eq!(other.header("x-litellm-applied-guardrails"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn teams_and_bound_agents_select() {
    let by = |name: &str, to: Value| {
        let mut one = guard(
            name,
            "presidio",
            json!("pre_call"),
            json!({ "apply_to": to }),
        );
        one["litellm_params"]["default_on"] = json!(false);
        one
    };
    let guardrails = vec![
        by("of-the-team", json!({ "teams": ["finance"] })),
        by("of-the-agent", json!({ "agents": ["billing-bot"] })),
    ];
    let app = guarded(guardrails).await;
    app.manage(
        "/team/new",
        json!({ "team_id": "t-1", "team_alias": "finance" }),
    )
    .await;
    let of_team = app.key(json!({ "team_id": "t-1" })).await;
    let of_agent = app.key(json!({ "agents": ["billing-bot"] })).await;
    let neither = app.key(json!({})).await;
    for (key, expected) in [
        (&of_team, Some("of-the-team")),
        (&of_agent, Some("of-the-agent")),
        (&neither, None),
    ] {
        let answer = app.chat_as(key, "echo", json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("x-litellm-applied-guardrails"), expected);
        let record = app.record_of(&answer).await;
        let ran = expected.map_or(0, |name| entries(&record, name, "request").len());
        assert_eq!(ran, usize::from(expected.is_some()));
    }
    // An agent that only the request names selects nothing: it is a claim.
    let claimed = json!({ "metadata": { "agent_name": "billing-bot" } });
    let answer = app.chat_as(&neither, "echo", claimed).await;
    assert_eq!(answer.header("x-litellm-applied-guardrails"), None);
}
