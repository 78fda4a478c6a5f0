//! The sandbox's own protocol behaviour, over a real connection.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::{Behaviour, NAMES, Options, Outcome, Sandbox, tokens};

struct Got {
    status: u16,
    headers: http::HeaderMap,
    body: Bytes,
    whole: bool,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn events(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.body).into_owned();
        text.split("\n\n")
            .filter_map(|frame| frame.strip_prefix("data: "))
            .map(str::to_owned)
            .collect()
    }
}

async fn call(
    sandbox: &Sandbox,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Got, hyper::Error> {
    let stream = tokio::net::TcpStream::connect(sandbox.address())
        .await
        .expect("connected");
    let (mut send, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(4 << 20)
        .handshake(TokioIo::new(stream))
        .await
        .expect("handshake");
    let driver = tokio::spawn(connection);
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "sandbox")
        .header("authorization", "Bearer sk-key-0123456789")
        .body(Full::new(Bytes::from(body.to_string())))
        .expect("a request");
    let mut response = send.send_request(request).await?;
    let mut whole = true;
    let mut bytes = Vec::new();
    while let Some(frame) = response.body_mut().frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().expect("data")),
            Err(_) => whole = false,
        }
    }
    driver.abort();
    Ok(Got {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: bytes.into(),
        whole,
    })
}

async fn chat(sandbox: &Sandbox, model: &str, more: Value) -> Result<Got, hyper::Error> {
    let mut body = json!({ "model": model, "messages": [
        { "role": "system", "content": "be brief" }, { "role": "user", "content": "hello sealed world" },
    ] });
    body.as_object_mut()
        .expect("object")
        .extend(more.as_object().expect("object").clone());
    call(sandbox, "POST", "/v1/chat/completions", &body).await
}

#[tokio::test]
async fn plain_answers_follow_the_request() {
    let sandbox = Sandbox::start().await.expect("sandbox");
    let got = chat(&sandbox, "echo", json!({ "n": 2 }))
        .await
        .expect("answer");
    let body = got.json();
    assert_eq!(
        (got.status, body["object"].as_str()),
        (200, Some("chat.completion"))
    );
    assert_eq!(
        body["choices"][0]["message"]["content"],
        "hello sealed world"
    );
    assert_eq!(
        body["choices"][1]["message"]["content"],
        "hello sealed world (1)"
    );
    assert_eq!(
        body["usage"]["prompt_tokens"],
        tokens("be briefhello sealed world")
    );
    let again = chat(&sandbox, "echo", json!({ "n": 2 }))
        .await
        .expect("answer");
    assert_eq!(again.body, got.body, "the same request has the same answer");
    let requests = sandbox.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        requests[0].header("authorization"),
        Some("Bearer sk-key-0123456789")
    );
    assert_eq!(
        requests[0].json()["messages"][1]["content"],
        "hello sealed world"
    );
}

#[tokio::test]
async fn streams_have_openai_s_order_of_chunks() {
    let sandbox = Sandbox::start().await.expect("sandbox");
    let got = chat(
        &sandbox,
        "echo",
        json!({ "stream": true, "stream_options": { "include_usage": true } }),
    )
    .await
    .expect("answer");
    let events = got.events();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let chunks: Vec<Value> = events
        .iter()
        .filter_map(|e| serde_json::from_str(e).ok())
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks
        .iter()
        .filter_map(|c| c.pointer("/choices/0/delta/content")?.as_str())
        .collect();
    assert_eq!(text, "hello sealed world");
    let (usage, finish) = (&chunks[chunks.len() - 1], &chunks[chunks.len() - 2]);
    assert_eq!(finish["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(
        usage["usage"]["completion_tokens"],
        tokens("hello sealed world")
    );
    let without = chat(&sandbox, "echo", json!({ "stream": true }))
        .await
        .expect("answer");
    assert!(
        !String::from_utf8_lossy(&without.body).contains("usage"),
        "nobody asked for usage"
    );
}

#[tokio::test]
async fn parallel_tool_calls_are_the_same_streamed_and_whole() {
    let sandbox = Sandbox::start().await.expect("sandbox");
    let tool =
        |name: &str| json!({ "type": "function", "function": { "name": name, "parameters": {} } });
    let tools = json!({ "tools": [tool("weather"), tool("time")] });
    let whole = chat(&sandbox, "tools", tools.clone())
        .await
        .expect("answer")
        .json();
    let calls = whole
        .pointer("/choices/0/message/tool_calls")
        .and_then(Value::as_array)
        .expect("calls")
        .clone();
    assert_eq!(calls.len(), 2);
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
    let mut streamed = tools;
    streamed["stream"] = true.into();
    let events = chat(&sandbox, "tools", streamed)
        .await
        .expect("answer")
        .events();
    let mut arguments = [String::new(), String::new()];
    for chunk in events
        .iter()
        .filter_map(|e| serde_json::from_str::<Value>(e).ok())
    {
        if let Some(call) = chunk.pointer("/choices/0/delta/tool_calls/0") {
            arguments[call["index"].as_u64().expect("index") as usize] +=
                call["function"]["arguments"].as_str().expect("text");
        }
    }
    for (call, streamed) in calls.iter().zip(&arguments) {
        assert_eq!(call["function"]["arguments"], streamed.as_str());
        serde_json::from_str::<Value>(streamed).expect("arguments are JSON");
    }
}

#[tokio::test]
async fn embeddings_agree_in_both_encodings() {
    let sandbox = Sandbox::start().await.expect("sandbox");
    let body = |format: &str| json!({ "model": "embed", "input": ["one", "two"], "encoding_format": format });
    let floats = call(&sandbox, "POST", "/v1/embeddings", &body("float"))
        .await
        .expect("answer")
        .json();
    let base64 = call(&sandbox, "POST", "/v1/embeddings", &body("base64"))
        .await
        .expect("answer")
        .json();
    assert_eq!(floats["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(floats["usage"]["prompt_tokens"], 2);
    let text = base64["data"][1]["embedding"].as_str().expect("base64");
    assert_eq!(text.len(), 44, "32 bytes");
    let first = decoded(text);
    for (dimension, value) in first.chunks(4).enumerate() {
        let value = f32::from_le_bytes(value.try_into().expect("four bytes"));
        assert_eq!(
            floats["data"][1]["embedding"][dimension].as_f64(),
            Some(f64::from(value))
        );
    }
}

fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let bits: Vec<u8> = text.bytes().filter(|b| *b != b'=').map(value).collect();
    let groups = bits.chunks(4).flat_map(|group| {
        let sum = group
            .iter()
            .fold(0_u32, |sum, six| sum << 6 | u32::from(*six))
            << (6 * (4 - group.len()));
        sum.to_be_bytes()[1..group.len()].to_vec()
    });
    groups.collect()
}

#[tokio::test]
async fn failures_have_openai_s_envelope() {
    let sandbox = Sandbox::with(Options {
        api_key: Some("sk-key-0123456789".into()),
        ..Options::default()
    })
    .await
    .expect("sandbox");
    for status in [400, 401, 403, 404, 429, 500, 503, 529] {
        let got = chat(&sandbox, &format!("fail-{status}"), json!({}))
            .await
            .expect("answer");
        assert_eq!(got.status, status);
        assert!(got.json()["error"]["message"].is_string());
        assert_eq!(got.headers.contains_key("retry-after"), status == 429);
    }
    let echoed = chat(&sandbox, "fail-401-echo-key", json!({}))
        .await
        .expect("answer");
    assert!(
        String::from_utf8_lossy(&echoed.body)
            .matches("sk-key-0123456789")
            .count()
            >= 3
    );
    assert_eq!(
        chat(&sandbox, "no-such-model", json!({}))
            .await
            .expect("answer")
            .json()["error"]["code"],
        "model_not_found"
    );
    let other = Sandbox::with(Options {
        api_key: Some("another".into()),
        ..Options::default()
    })
    .await
    .expect("sandbox");
    assert_eq!(
        chat(&other, "echo", json!({}))
            .await
            .expect("answer")
            .status,
        401
    );
}

#[tokio::test]
async fn broken_answers_are_broken_on_the_wire() {
    let sandbox = Sandbox::start().await.expect("sandbox");
    let stream = || json!({ "stream": true });
    let cut = chat(&sandbox, "cut-after-3", stream())
        .await
        .expect("a head");
    assert_eq!(
        (cut.events().len(), cut.whole),
        (4, false),
        "role and three content chunks, then a break"
    );
    assert!(
        !chat(&sandbox, "cut-after-3", json!({}))
            .await
            .expect("a head")
            .whole
    );
    assert!(chat(&sandbox, "cut-before-head", json!({})).await.is_err());
    assert!(
        !chat(&sandbox, "no-done", stream())
            .await
            .expect("answer")
            .events()
            .contains(&"[DONE]".to_owned())
    );
    assert_eq!(
        chat(&sandbox, "two-done", stream())
            .await
            .expect("answer")
            .events()
            .iter()
            .filter(|e| *e == "[DONE]")
            .count(),
        2
    );
    let after = chat(&sandbox, "after-done", stream())
        .await
        .expect("answer")
        .events();
    assert!(
        after
            .last()
            .is_some_and(|event| event.contains("AFTER-DONE"))
    );
    assert!(
        !chat(&sandbox, "cr-only", stream())
            .await
            .expect("answer")
            .body
            .contains(&b'\n')
    );
    assert!(
        serde_json::from_slice::<Value>(
            &chat(&sandbox, "bad-json", json!({}))
                .await
                .expect("answer")
                .body
        )
        .is_err()
    );
    assert_eq!(
        chat(&sandbox, "redirect-307", json!({}))
            .await
            .expect("answer")
            .headers["location"],
        "/sink"
    );
    assert_eq!(
        chat(&sandbox, "gzip", json!({}))
            .await
            .expect("answer")
            .headers["content-encoding"],
        "gzip"
    );
    assert!(
        chat(&sandbox, "huge-event", stream())
            .await
            .expect("answer")
            .body
            .len()
            > 10 << 20
    );
    let outcomes: Vec<Outcome> = sandbox
        .requests()
        .iter()
        .map(|request| request.outcome)
        .collect();
    assert_eq!(outcomes.get(..3), Some([Outcome::Cut; 3].as_slice()));
}

#[tokio::test]
async fn a_caller_that_leaves_is_seen() {
    let sandbox = Sandbox::start().await.expect("sandbox");
    for (model, more) in [
        ("hang", json!({})),
        ("hang-after-1", json!({ "stream": true })),
        ("comment-flood", json!({ "stream": true })),
    ] {
        let before = sandbox.requests().len();
        let left =
            tokio::time::timeout(Duration::from_millis(100), chat(&sandbox, model, more)).await;
        assert!(left.is_err(), "{model} does not end by itself");
        let seen = sandbox.journal();
        let abandoned = seen.until(|all| {
            all.get(before)
                .is_some_and(|r| r.outcome == Outcome::Abandoned)
        });
        tokio::time::timeout(Duration::from_secs(5), abandoned)
            .await
            .expect("the sandbox saw the caller leave");
    }
    let journal = sandbox.journal();
    sandbox.stop().await;
    assert_eq!(journal.count(), 3);
}

#[test]
fn listed_names_have_a_behaviour() {
    for name in NAMES {
        assert!(Behaviour::of(name).is_some(), "{name}");
    }
    assert_eq!(Behaviour::of("fail-200"), None);
    assert_eq!(Behaviour::of("cut-after-x"), None);
}
