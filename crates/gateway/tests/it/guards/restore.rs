//! Masking with a way back: the provider reads placeholders, the client its own words.

use serde_json::json;

use super::{entries, guard, guarded};

fn restoring(more: serde_json::Value) -> serde_json::Value {
    let mut all = json!({ "output_parse_pii": true });
    if let (Some(all), serde_json::Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    guard("pii", "presidio", json!(["pre_call", "post_call"]), all)
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_values_come_back_in_answers_and_streams() {
    let app = guarded(vec![restoring(json!({}))]).await;
    let text = "write to zora@example.org and to bo@example.org, é then zora@example.org again";
    let mut sent_texts = Vec::new();
    for (model, stream) in [("echo", false), ("echo", true), ("letters", true)] {
        let messages = json!([{ "role": "user", "content": text }]);
        let answer = app
            .chat(model, json!({ "stream": stream, "messages": messages }))
            .await;
        assert_eq!(
            answer.content(0),
            text,
            "{model} {stream}: {}",
            answer.text()
        );
        let record = app.record_of(&answer).await;
        assert!(!record.document.to_string().contains("zora"));
        let request = entries(&record, "pii", "request");
        assert_eq!(request[0]["step"], "escape");
        assert_eq!(request[1]["outcome"], "edited");
        let answer_side = entries(&record, "pii", "answer");
        let restored = answer_side.iter().find(|entry| entry["step"] == "restore");
        assert_eq!(
            restored.map(|entry| &entry["outcome"]),
            Some(&json!("edited"))
        );
        let sent = app.sandbox.requests().pop().expect("a request").json();
        let content = sent["messages"][0]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        assert!(
            !content.contains('@') && content.contains("<EMAIL_ADDRESS_"),
            "{content}"
        );
        sent_texts.push(content);
    }
    // The same names in every call of a key: prompt caches survive.
    assert_eq!(sent_texts[0], sent_texts[1]);
    assert_eq!(sent_texts[0], sent_texts[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_others_and_lookalikes_give_nothing_away() {
    let app = guarded(vec![restoring(json!({}))]).await;
    app.say("echo", "write to zora@example.org").await;
    let sent = app.sandbox.requests().pop().expect("a request").json();
    let content = sent["messages"][0]["content"].as_str().unwrap_or_default();
    let name = content.trim_start_matches("write to ").to_owned();
    // Another request that writes the name gets the name back, not the value behind it.
    let text = format!("what is {name}? also bo@example.org");
    let answer = app.say("echo", &text).await;
    assert_eq!(answer.content(0), text);
    let sent = app.sandbox.requests().pop().expect("a request").json();
    assert!(
        !sent["messages"][0]["content"]
            .as_str()
            .unwrap_or_default()
            .contains(&name)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_tools_get_values_only_where_it_is_switched_on() {
    for (on, expected) in [(false, false), (true, true)] {
        let app = guarded(vec![restoring(json!({ "restore_tool_arguments": on }))]).await;
        let tools = json!([{ "type": "function", "function": { "name": "send", "parameters": { "type": "object", "properties": { "to": { "type": "string" } } } } }]);
        for stream in [false, true] {
            let messages = json!([{ "role": "user", "content": "zora@example.org" }]);
            let answer = app
                .chat(
                    "tools",
                    json!({ "stream": stream, "messages": messages, "tools": tools }),
                )
                .await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let sent =
                String::from_utf8_lossy(&app.sandbox.requests().pop().expect("a request").body)
                    .into_owned();
            assert!(!sent.contains("zora"), "{sent}");
            assert!(
                !answer.text().contains("zora") || expected,
                "{}",
                answer.text()
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_streams_at_once_never_mix() {
    let app = std::sync::Arc::new(guarded(vec![restoring(json!({}))]).await);
    let calls = (0..200).map(|number| {
        let app = app.clone();
        tokio::spawn(async move {
            let text = format!(
                "mark{number:03} writes from person{number:03}@example.org about é{number:03}"
            );
            let messages = json!([{ "role": "user", "content": text }]);
            let model = if number % 2 == 0 { "echo" } else { "letters" };
            let answer = app
                .chat(model, json!({ "stream": true, "messages": messages }))
                .await;
            assert_eq!(answer.content(0), text, "{}", answer.text());
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("a stream with its own text");
    }
    for sent in app.sandbox.requests() {
        let text = String::from_utf8_lossy(&sent.body).into_owned();
        assert!(!text.contains("@example.org"), "{text}");
    }
}
