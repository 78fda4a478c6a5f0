//! The estimate of tokens against what a tokenizer gave.

use llm::protocol::Protocol::{Chat, Responses};
use llm::tokens::{estimate, of_request};
use serde_json::{Value, json};

/// Most percent that the estimate may be off, by kind of text.
fn bound(kind: &str) -> i64 {
    match kind {
        "english" | "code" | "json" | "log" => 10,
        _ => 30,
    }
}

#[test]
fn the_error_is_what_the_documentation_says() {
    let samples: Value = serde_json::from_str(include_str!("tokens.json")).expect("JSON");
    let mut report = String::new();
    let mut within = true;
    for sample in samples.as_array().expect("samples") {
        let kind = sample["kind"].as_str().expect("kind");
        let counted = sample["o200k"].as_i64().expect("count");
        let estimated =
            i64::try_from(estimate(sample["text"].as_str().expect("text"))).expect("small");
        let error = (estimated - counted) * 100 / counted;
        within &= error.abs() <= bound(kind);
        report.push_str(&format!("{kind:10} {counted:5} {estimated:5} {error:+}%\n"));
    }
    assert!(within, "\n{report}");
}

#[test]
fn estimates_grow_with_the_text() {
    assert_eq!(estimate(""), 0);
    for text in ["a", " ", "\n", "\u{0}", "\u{200b}", "𝔘", "é", "字"] {
        let one = estimate(text);
        let many = estimate(&format!("{text}x ").repeat(1000));
        assert!(many >= 500 && one <= 3, "{text:?} {one} {many}");
    }
    // Nothing that a sender can write makes it slow or overflow.
    for text in [
        "a",
        "A",
        "1",
        " ",
        "\n",
        "=",
        "字",
        "ж",
        "aB1",
        "aaaaaaaaB",
        "\n ",
    ] {
        let long = text.repeat(200_000);
        assert!(estimate(&long) > 1000, "{text}");
    }
}

#[test]
fn requests_count_what_the_model_sees() {
    let parse = |protocol, body: &Value| {
        let body = bytes::Bytes::from(serde_json::to_vec(body).expect("JSON"));
        llm::protocol::request(protocol, body, &crate::translated::limits()).expect("a request")
    };
    let plain = json!({"model": "m", "messages": [{"role": "user", "content": "hello there"}]});
    assert_eq!(of_request(parse(Chat, &plain).as_ref()), 8);
    let tools = json!({"model": "m", "input": "hello there", "tools": [{"type": "function", "name": "look", "description": "looks at things"}]});
    assert!(of_request(parse(Responses, &tools).as_ref()) > 14);
    let image = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}]}]});
    assert!(of_request(parse(Chat, &image).as_ref()) > 500);
    let extras =
        json!({"model": "m", "messages": [], "metadata": {"x": "long text that nobody sends"}});
    assert_eq!(of_request(parse(Chat, &extras).as_ref()), 3);
}
