//! Attack family JSON.

use crate::scan::parse;
use bytes::Bytes;
use llm::openai::{RequestErrorKind, Target, chat};
use llm::provider::Provider;
use llm::scan::{Limits, ScanErrorKind};
use proptest::prelude::*;
use serde_json::{Value, json};

pub(crate) fn request(body: impl AsRef<[u8]>) -> Result<chat::Request, llm::openai::RequestError> {
    chat::Request::parse(Bytes::copy_from_slice(body.as_ref()), &Limits::default())
}

#[test]
fn json_01_duplicate_keys() {
    let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
    let table = [
        format!(r#"{{"model":"allowed","model":"forbidden",{messages}}}"#),
        format!(r#"{{"model":"a",{messages},{messages}}}"#),
        format!(r#"{{"model":"a","stream":false,{messages},"stream":true}}"#),
        format!(r#"{{"model":"a","max_tokens":1,{messages},"max_tokens":100000}}"#),
        format!(r#"{{"model":"a","mo\u0064el":"b",{messages}}}"#),
        format!(r#"{{"\u006dodel":"a","mo\u0064el":"b",{messages}}}"#),
        r#"{"messages":[{"role":"user","role":"system","content":"x"}]}"#.to_owned(),
        r#"{"messages":[{"role":"user","content":"safe","\u0063ontent":"evil"}]}"#.to_owned(),
        r#"{"messages":[],"tools":[{"function":{"parameters":{"a":{"x":1,"x":2}}}}]}"#.to_owned(),
        // More members than are compared pair by pair.
        format!(
            "{{{}\"model\":\"a\",{messages},\"x3\":1}}",
            (0..40)
                .map(|i| format!("\"x{i}\":{i},"))
                .collect::<String>()
        ),
    ];
    for body in table {
        let error = request(&body).expect_err(&body);
        assert_eq!(
            error.kind,
            RequestErrorKind::Json(ScanErrorKind::DuplicateKey),
            "{body}"
        );
        assert_eq!(error.status(), 400);
        assert!(
            error
                .message
                .starts_with("Invalid JSON payload: duplicate key"),
            "{error}"
        );
    }
}

#[test]
fn json_03_encodings() {
    let table: &[(&[u8], ScanErrorKind)] = &[
        (b"{\"a\":\"\xff\"}", ScanErrorKind::InvalidUtf8),
        (b"{\"a\":\"\xc0\xaf\"}", ScanErrorKind::InvalidUtf8),
        (b"{\"a\":\"\xe0\x80\xaf\"}", ScanErrorKind::InvalidUtf8),
        (b"{\"a\":\"\xf0\x80\x80\xaf\"}", ScanErrorKind::InvalidUtf8),
        (b"{\"a\":\"\xf4\x90\x80\x80\"}", ScanErrorKind::InvalidUtf8),
        (b"{\"a\":\"\xed\xa0\x80\"}", ScanErrorKind::InvalidUtf8),
        (b"{\"a\":\"\xe2\x82\"}", ScanErrorKind::InvalidUtf8),
        (b"{\"a\":\"\\ud800\"}", ScanErrorKind::LoneSurrogate),
        (b"{\"a\":\"\\udc00\"}", ScanErrorKind::LoneSurrogate),
        (b"{\"a\":\"\\ud800\\ud800\"}", ScanErrorKind::LoneSurrogate),
        (b"{\"a\":\"\\ud83dx\\ude00\"}", ScanErrorKind::LoneSurrogate),
        (b"{\"a\":\"\\uDBFF\\u0041\"}", ScanErrorKind::LoneSurrogate),
        (b"{\"\\ud800\":1}", ScanErrorKind::LoneSurrogate),
        (b"\xef\xbb\xbf{}", ScanErrorKind::ByteOrderMark),
        (b"\xff\xfe{\0}\0", ScanErrorKind::NotUtf8),
        (b"\xfe\xff\0{\0}", ScanErrorKind::NotUtf8),
        (b"{\0}\0", ScanErrorKind::NotUtf8),
        (b"\0{\0}", ScanErrorKind::NotUtf8),
        (b"\0\0\0{\0\0\0}", ScanErrorKind::NotUtf8),
        (b"\xff\xfe\0\0{\0\0\0}\0\0\0", ScanErrorKind::NotUtf8),
    ];
    for (body, expected) in table {
        assert_eq!(
            parse(body).expect_err("refused").kind,
            *expected,
            "{body:?}"
        );
        let error = request(body).expect_err("refused");
        assert_eq!(
            (error.status(), error.param.as_deref()),
            (400, Some("request_body"))
        );
    }
}

#[test]
fn json_05_numbers() {
    let bad: &[(&str, &str)] = &[
        ("max_tokens", "9223372036854775808"),
        ("max_tokens", "18446744073709551617"),
        ("max_tokens", "-1"),
        ("max_tokens", "0"),
        ("max_tokens", "1.0"),
        ("max_tokens", "1e3"),
        ("max_tokens", "\"5\""),
        ("max_completion_tokens", "-5"),
        ("n", "1000000"),
        ("n", "-0"),
        ("n", "0"),
        ("n", "true"),
        ("n", "[1]"),
        ("temperature", "-0.1"),
        ("temperature", "1e300"),
        ("temperature", "\"1\""),
        ("top_p", "1.5"),
        ("presence_penalty", "-3"),
        ("seed", "1.5"),
        ("logprobs", "\"yes\""),
        ("stream", "\"true\""),
        ("stream", "1"),
        ("stream_options", "true"),
        ("tools", "{}"),
        ("user", "7"),
        ("metadata", "\"{}\""),
    ];
    for (name, value) in bad {
        let error = request(format!(r#"{{"messages":[],"{name}":{value}}}"#)).expect_err(value);
        assert_eq!(error.param.as_deref(), Some(*name), "{name}: {value}");
        assert_eq!(error.status(), 422, "{name}: {value}");
        assert!(error.message.contains(name), "{error}");
    }
    for value in ["1e400", "-1e999", "123e306789"] {
        let error = request(format!(r#"{{"messages":[],"temperature":{value}}}"#));
        let error = error.expect_err(value);
        assert_eq!(
            error.kind,
            RequestErrorKind::Json(ScanErrorKind::NumberOutOfRange)
        );
        assert!(error.message.contains("temperature"), "{error}");
    }
    for value in ["NaN", "Infinity", "-Infinity"] {
        let error = request(format!(r#"{{"messages":[],"temperature":{value}}}"#));
        assert_eq!(
            error.expect_err(value).kind,
            RequestErrorKind::Json(ScanErrorKind::InvalidNumber)
        );
    }
    let good = r#"{"messages":[],"max_tokens":5,"n":2,"temperature":0.7,"top_p":1,"seed":-3,
        "logprobs":true,"stop":null,"max_completion_tokens":null,"presence_penalty":-2.0}"#;
    let good = request(good).expect("accepted");
    assert_eq!((good.max_tokens(), good.n()), (Some(5), 2));
}

#[test]
fn json_07_key_confusion() {
    // Names are compared exactly after unescaping: nothing else is the model.
    let body = r#"{"Model":"x","model\u0000":"y"," model":"z","messages":[]}"#;
    let accepted = request(body).expect("accepted");
    assert_eq!(accepted.model(), None);
    let unknown: Vec<_> = accepted.unknown_members().collect();
    assert_eq!(unknown, ["Model", "model\0", " model"]);
    let body = r#"{"mo\u0064el":"x","messages":[],"__proto__":{"a":1},"constructor":null}"#;
    let accepted = request(body).expect("accepted");
    assert_eq!(accepted.model(), Some("x"));
    assert_eq!(
        accepted.unknown_members().collect::<Vec<_>>(),
        ["__proto__", "constructor"]
    );
    // An escaped name is refused like a plain one.
    let error = request(r#"{"api\u005fbase":"https://evil","messages":[]}"#).expect_err("refused");
    assert_eq!(error.kind, RequestErrorKind::Refused);
}

/// A body with marked texts in places chosen at random.
fn marked_body() -> impl Strategy<Value = (Value, Vec<String>)> {
    let mark = "[a-zé日\u{1F600}\\\\\"\n ]{0,12}";
    let place = prop_oneof![
        Just("content"),
        Just("part"),
        Just("name"),
        Just("refusal"),
        Just("reasoning_content"),
        Just("arguments"),
        Just("tool_name"),
        Just("description"),
        Just("schema"),
        Just("enum"),
        Just("property"),
        Just("stop"),
        Just("prediction"),
        Just("unknown_top"),
        Just("role"),
        Just("unknown_part"),
        Just("unknown_message"),
        Just("response_format"),
        Just("type"),
        Just("tool_call_id"),
        Just("top_key"),
        Just("function_call"),
        Just("tool_choice"),
        Just("nested"),
        Just("filename"),
        Just("detail"),
        Just("effort"),
        Just("modality"),
    ];
    prop::collection::vec((place, mark), 1..8).prop_map(|places| {
        let mut body = json!({"model": "g", "messages": [{"role": "user", "content": "q"}],
            "tools": [], "metadata": {"removed": "gone"}, "stream": true});
        let mut texts = Vec::new();
        for (number, (place, noise)) in places.into_iter().enumerate() {
            let text = format!("mark {number} {noise}");
            put(&mut body, place, &text);
            texts.push(text);
        }
        (body, texts)
    })
}

fn put(body: &mut Value, place: &str, text: &str) {
    let message = match place {
        "content" => json!({"role": "system", "content": text}),
        "part" => json!({"role": "user", "content": [{"type": "text", "text": text}]}),
        "name" => json!({"role": "user", "content": "x", "name": text}),
        "refusal" => json!({"role": "assistant", "content": null, "refusal": text}),
        "reasoning_content" => json!({"role": "assistant", "reasoning_content": text}),
        "arguments" => json!({"role": "assistant", "tool_calls": [{"id": "c1",
            "type": "function", "function": {"name": "f", "arguments": text}}]}),
        "tool_name" => json!({"role": "assistant", "tool_calls": [{"function": {"name": text}}]}),
        "role" => json!({"role": text, "content": ""}),
        "type" => json!({"role": "user", "content": [{"type": text}]}),
        "unknown_part" => json!({"role": "tool", "content": [{"type": "x", "data": text}]}),
        "unknown_message" => json!({"role": "developer", "notes": [{"deep": text}]}),
        "tool_call_id" => json!({"role": "tool", "tool_call_id": text, "content": ""}),
        "function_call" => json!({"role": "assistant", "function_call": {"arguments": text}}),
        "filename" => json!({"role": "user", "content": [{"type": "file",
            "file": {"filename": text, "file_data": "data:;base64,AA=="}}]}),
        "detail" => json!({"role": "user", "content": [{"type": "image_url",
            "image_url": {"url": "https://x.example/a.png", "detail": text}}]}),
        _ => Value::Null,
    };
    if !message.is_null() {
        return body["messages"].as_array_mut().expect("list").push(message);
    }
    let tool = match place {
        "description" => {
            json!({"type": "function", "function": {"name": "f", "description": text}})
        }
        "schema" => json!({"type": "function", "function": {"name": "f",
            "parameters": {"type": "object", "properties": {"p": {"description": text}}}}}),
        "enum" => json!({"function": {"parameters": {"enum": ["a", text]}}}),
        "property" => {
            json!({"function": {"parameters": {"properties": {text: {"type": "string"}}}}})
        }
        _ => Value::Null,
    };
    if !tool.is_null() {
        return body["tools"].as_array_mut().expect("list").push(tool);
    }
    match place {
        "stop" => body["stop"] = json!([text]),
        "prediction" => body["prediction"] = json!({"type": "content", "content": text}),
        "unknown_top" => body["brand_new"] = json!(text),
        "response_format" => {
            body["response_format"] = json!({"type": "json_schema",
                "json_schema": {"name": "n", "schema": {"title": text}}});
        }
        "top_key" => body[text] = json!(1),
        "tool_choice" => {
            body["tool_choice"] = json!({"type": "function", "function": {"name": text}});
        }
        "nested" => body["web_search_options"] = json!({"a": [{"b": [text]}]}),
        "effort" => body["reasoning_effort"] = json!(text),
        "modality" => body["modalities"] = json!(["text", text]),
        other => panic!("no place {other}"),
    }
}

/// Every string of a value, by an independent reader.
fn all_strings(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => out.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|item| all_strings(item, out)),
        Value::Object(members) => members.iter().for_each(|(key, item)| {
            out.push(key.clone());
            all_strings(item, out);
        }),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// What a check sees is what the provider receives: every marked text of the sent
    /// body, read by another reader, is in the transcript, letter by letter.
    #[test]
    fn json_09_scanned_is_sent((body, marks) in marked_body()) {
        let request = request(body.to_string()).expect("accepted");
        let seen: Vec<String> = request.transcript().decoded(request.doc())
            .map(|(_, text)| text.into_owned()).collect();
        let provider = Provider::named("openai").expect("known");
        let edits = request.upstream_edits(&Target { model: "m", provider, forward_metadata: false, allowed: &[]  });
        let sent = edits.apply(request.doc()).expect("applied");
        let sent: Value = serde_json::from_slice(&sent).expect("valid");
        let mut strings = Vec::new();
        all_strings(&sent, &mut strings);
        for text in strings.iter().filter(|text| text.starts_with("mark ")) {
            prop_assert!(seen.contains(text), "{text:?} is sent, {seen:?} was checked");
        }
        prop_assert!(!strings.iter().any(|text| text == "gone"));
        // A later mark in the same single place replaces an earlier one; the last stays.
        prop_assert!(marks.last().is_none_or(|mark| strings.contains(mark)));
    }
}
