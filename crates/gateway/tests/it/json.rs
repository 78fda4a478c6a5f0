//! JSON family: one strict reading of every request body.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{TestApp, prompt};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = r#"[{"role":"user","content":"hello"}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn json_01_a_key_twice_is_refused() {
    let app = TestApp::start().await;
    for body in [
        format!(r#"{{"model":"echo","model":"letters","messages":{MESSAGES}}}"#),
        format!(r#"{{"model":"echo","messages":{MESSAGES},"messages":[]}}"#),
        format!(r#"{{"model":"echo","messages":{MESSAGES},"stream":false,"stream":true}}"#),
        format!(r#"{{"model":"echo","messages":{MESSAGES},"max_tokens":1,"max_tokens":100}}"#),
        r#"{"model":"echo","messages":[{"role":"user","content":"seen","content":"sent"}]}"#
            .to_owned(),
        format!(r#"{{"model":"echo","mo\u0064el":"letters","messages":{MESSAGES}}}"#),
        format!(r#"{{"model":"echo","messages":{MESSAGES},"metadata":{{"a":1,"a":2}}}}"#),
    ] {
        let answer = app.post(CHAT, &body).await;
        answer.refused(400, "invalid_json");
        assert!(
            answer
                .error("message")
                .as_str()
                .is_some_and(|text| text.contains("duplicate")),
            "{}",
            answer.text()
        );
        assert_eq!(answer.error("param"), "request_body");
    }
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_03_only_utf_8() {
    let app = TestApp::start().await;
    let with = |content: &[u8]| {
        [
            br#"{"model":"echo","messages":[{"role":"user","content":""#,
            content,
            br#""}]}"#,
        ]
        .concat()
    };
    let utf16 = |marks: &[u8]| {
        let units = prompt("echo", "hello", json!({})).to_string();
        [
            marks.to_vec(),
            units.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ]
        .concat()
    };
    let bom = [
        b"\xef\xbb\xbf".as_slice(),
        prompt("echo", "hello", json!({})).to_string().as_bytes(),
    ]
    .concat();
    for body in [
        with(b"\xff\xfe"),
        with(b"\xc0\xaf"),
        with(b"\xed\xa0\x80"),
        with(br"\ud800"),
        with(br"\udc00\ud800"),
        with(b"\x00"),
        with(b"\n"),
        utf16(b"\xff\xfe"),
        utf16(b""),
        bom,
    ] {
        let answer = app.post_bytes(CHAT, body.clone()).await;
        answer.refused(400, "invalid_json");
    }
    assert_eq!(app.sandbox.requests().len(), 0);
    let pair = app.post_bytes(CHAT, with(br"\ud83d\ude00 caf\u00e9")).await;
    assert_eq!(pair.content(0), "😀 café");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_05_numbers_stay_in_range() {
    let app = TestApp::start().await;
    for (field, value) in [
        ("max_tokens", "9223372036854775808"),
        ("max_tokens", "-1"),
        ("max_tokens", "1.5"),
        ("max_tokens", "\"5\""),
        ("max_completion_tokens", "-9223372036854775808"),
        ("n", "1000000"),
        ("n", "-1"),
        ("n", "0"),
        ("n", "1.5"),
    ] {
        let body = format!(r#"{{"model":"echo","messages":{MESSAGES},"{field}":{value}}}"#);
        let answer = app.post(CHAT, &body).await;
        answer.refused(422, "invalid_field");
        assert_eq!(answer.error("param"), field, "{body}");
    }
    for value in [
        "1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "+1",
        ".5",
        "1.",
        "0x10",
        "--1",
    ] {
        let body = format!(r#"{{"model":"echo","messages":{MESSAGES},"temperature":{value}}}"#);
        app.post(CHAT, &body).await.refused(400, "invalid_json");
    }
    assert_eq!(app.sandbox.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_07_keys_are_compared_exactly() {
    let app = TestApp::start().await;
    for key in ["Model", "MODEL", "model ", r"model\u0000", "__proto__"] {
        let body = format!(r#"{{"{key}":"echo","messages":{MESSAGES}}}"#);
        app.post(CHAT, &body).await.refused(400, "unknown_model");
    }
    let escaped = app
        .post(
            CHAT,
            &format!(r#"{{"mo\u0064el":"echo","messages":{MESSAGES}}}"#),
        )
        .await;
    assert_eq!(
        escaped.content(0),
        "hello",
        "an escaped key is the same key: {}",
        escaped.text()
    );
    assert_eq!(app.sandbox.requests().len(), 1);

    let strict = TestApp::with(|config| config["sealgate"]["strict_fields"] = json!(true)).await;
    for key in ["Model", "__proto__", "no_such_parameter"] {
        let body = format!(r#"{{"model":"echo","{key}":"x","messages":{MESSAGES}}}"#);
        let answer = strict.post(CHAT, &body).await;
        assert!(
            (400..=422).contains(&answer.status),
            "unknown fields are refused: {}",
            answer.text()
        );
    }
    assert_eq!(strict.sandbox.requests().len(), 0);
}

/// JSON values as a hostile client might send them, without the keys that a gateway reads.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[\u{0}-\u{1f}\"\\\\\u{7f}-\u{2030}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("x_[a-z]{1,6}", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn body() -> impl Strategy<Value = Value> {
    let extras = prop::collection::btree_map("x_[a-z]{1,8}", value(), 0..4);
    let texts = prop::collection::vec("\\PC{0,40}", 1..4);
    (texts, extras).prop_map(|(texts, extras)| {
        let messages: Vec<Value> = texts
            .iter()
            .map(|text| json!({ "role": "user", "content": text }))
            .collect();
        let mut body = json!({ "model": "echo", "messages": messages });
        body.as_object_mut().expect("object").extend(extras);
        body
    })
}

/// All strings of a value, in order.
fn strings<'v>(value: &'v Value, out: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => out.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(map) => map.values().for_each(|item| strings(item, out)),
        _ => {}
    }
}

/// Bodies of the fuzzed run. The whole 10,000 run with `SEALGATE_LONG_TESTS`.
fn cases() -> u32 {
    if std::env::var_os("SEALGATE_LONG_TESTS").is_some() {
        10_000
    } else {
        300
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_09_what_was_scanned_is_what_was_sent() {
    let app = TestApp::with(|config| {
        config["guardrails"] = json!([{ "guardrail_name": "words", "litellm_params": {
            "guardrail": "litellm_content_filter", "mode": "pre_call", "default_on": true,
            "blocked_words": [{ "keyword": "zzz-masked", "action": "MASK" }], "keyword_redaction_tag": "[GONE]",
        } }]);
    })
    .await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for case in 0..cases() {
        use proptest::strategy::ValueTree as _;
        let mut sent = body().new_tree(&mut runner).expect("a body").current();
        let masked = case % 3 == 0;
        if masked {
            sent["messages"][0]["content"] = format!(
                "{} zzz-masked end",
                sent["messages"][0]["content"].as_str().expect("text")
            )
            .into();
        }
        let answer = app.post(CHAT, &sent.to_string()).await;
        assert_eq!(answer.status, 200, "{sent} gave {}", answer.text());
        assert_eq!(app.sandbox.journal().count(), case as usize + 1);
        let received = app
            .sandbox
            .journal()
            .get(case as usize)
            .expect("a request")
            .json();
        let (mut want, mut have) = (Vec::new(), Vec::new());
        let masked_sent: Value =
            serde_json::from_str(&sent.to_string().replace("zzz-masked", "[GONE]")).expect("JSON");
        strings(&masked_sent, &mut want);
        strings(&received, &mut have);
        want.sort_unstable();
        have.sort_unstable();
        assert_eq!(have, want, "case {case}");
        assert_eq!(received["messages"], masked_sent["messages"], "case {case}");
    }
}
