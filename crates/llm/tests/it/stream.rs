//! Chunks of a stream: read, edited, made.

use bytes::Bytes;
use llm::openai::stream::{Chunk, Event, Head};
use llm::openai::{Channel, Output};
use llm::scan::Limits;

fn event(data: &str) -> Event {
    Event::parse(Bytes::copy_from_slice(data.as_bytes()), &Limits::default()).expect(data)
}

fn chunk(data: &str) -> Chunk {
    match event(data) {
        Event::Chunk(chunk) => chunk,
        other => panic!("{other:?}"),
    }
}

fn outputs(chunk: &Chunk) -> Vec<(u32, Channel, String)> {
    let outputs = chunk.outputs().iter();
    outputs
        .map(|o| (o.choice, o.channel, o.decode(chunk.doc()).into_owned()))
        .collect()
}

#[test]
fn deltas_of_every_kind_are_found() {
    let two = chunk(
        r#"{"id":"c","choices":[{"index":1,"delta":{"role":"assistant","content":"a"}},
        {"index":0,"delta":{"reasoning_content":"r","refusal":"n"}}]}"#,
    );
    let expected = [
        (1, Channel::Text, "a".to_owned()),
        (0, Channel::Reasoning, "r".to_owned()),
        (0, Channel::Refusal, "n".to_owned()),
    ];
    assert_eq!(outputs(&two), expected);
    let tool = chunk(
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":2,"id":"t","type":"function",
        "function":{"name":"f","arguments":""}},{"index":3,"function":{"arguments":"{"}}]}}]}"#,
    );
    let expected = [
        (0, Channel::ToolName(2), "f".to_owned()),
        (0, Channel::ToolArguments(2), String::new()),
        (0, Channel::ToolArguments(3), "{".to_owned()),
    ];
    assert_eq!(outputs(&tool), expected);
    // A member that nobody knows is output too, on the same channel in every chunk.
    let other = |text: &str| {
        let data = format!(r#"{{"choices":[{{"index":0,"delta":{{"musing":"{text}"}}}}]}}"#);
        outputs(&chunk(&data))
    };
    assert_eq!(other("a")[0].1, other("b")[0].1);
    assert_eq!(other("a")[0].1.as_str(), "other");
}

#[test]
fn ends_usage_and_errors_are_told() {
    assert!(matches!(event("[DONE]"), Event::Done));
    assert!(matches!(event(" [DONE] "), Event::Done));
    let end = chunk(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#);
    assert_eq!(end.finished().collect::<Vec<_>>(), [(0, "stop".into())]);
    assert!(!end.is_usage_only());
    let counts = r#""usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#;
    for choices in [
        "[]",
        r#"[{"index":0,"delta":{}}]"#,
        r#"[{"index":0,"delta":{"content":""}}]"#,
    ] {
        let usage = chunk(&format!(r#"{{"choices":{choices},{counts}}}"#));
        assert!(usage.is_usage_only(), "{choices}");
        assert_eq!(usage.usage().expect("true").map(|u| u.total), Some(3));
    }
    // Some providers count along from the first chunk on.
    let first = r#"[{"index":0,"delta":{"role":"assistant","content":""}}]"#;
    assert!(!chunk(&format!(r#"{{"choices":{first},{counts}}}"#)).is_usage_only());
    let last = chunk(&format!(
        r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],{counts}}}"#
    ));
    assert!(!last.is_usage_only());
    let Event::Error(error) = event(r#"{"error":{"message":"no","type":"t","code":429}}"#) else {
        panic!("an error");
    };
    assert_eq!(error.message().as_deref(), Some("no"));
    assert_eq!(
        (error.kind().as_deref(), error.code().as_deref()),
        (Some("t"), Some("429"))
    );
    let Event::Error(error) = event(r#"{"error":"down"}"#) else {
        panic!("an error");
    };
    assert_eq!(error.message().as_deref(), Some("down"));
    // Half an event is an error, not a chunk.
    assert!(Event::parse(Bytes::from_static(b"{\"choices\":["), &Limits::default()).is_err());
}

#[test]
fn frames_for_the_client() {
    let upstream = chunk(
        "{\"id\":\"c\",\n\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\\nb\"},\
         \"logprobs\":{\"content\":[]}}],\"usage\":null}",
    );
    let mut edits = upstream.client_edits("group", false);
    let first: Output = upstream.outputs()[0];
    upstream.replace_output(&mut edits, &first, "x");
    upstream.drop_logprobs(&mut edits, 0);
    assert_eq!(
        upstream.render(&edits).expect("rendered"),
        "data: {\"id\":\"c\", \"model\":\"group\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\
         \"logprobs\":null}]}\n\n"
    );
    // A client that asked for usage keeps it; nothing to change, nothing edited.
    assert!(upstream.client_edits("gpt-x", true).is_empty());
}

#[test]
fn chunks_made_here_read_back() {
    let template = chunk(r#"{"id":"c\"1","created":7,"model":"x","choices":[]}"#);
    let head = Head::of(&template, "group");
    let channels = [
        Channel::Text,
        Channel::Reasoning,
        Channel::Refusal,
        Channel::AudioTranscript,
        Channel::ToolName(4),
        Channel::ToolArguments(5),
        Channel::ToolInput(6),
    ];
    for channel in channels {
        let frame = head.text_frame(3, channel, "h\"é\n").expect("a frame");
        let data = frame
            .strip_prefix(b"data: ")
            .expect("data")
            .trim_ascii_end();
        let made = chunk(std::str::from_utf8(data).expect("UTF-8"));
        assert_eq!(outputs(&made), [(3, channel, "h\"é\n".to_owned())]);
        assert_eq!(
            (made.id().as_deref(), made.model().as_deref()),
            (Some("c\"1"), Some("group"))
        );
        assert_eq!(made.created(), Some(7));
    }
    assert_eq!(head.text_frame(0, Channel::Other(1), "x"), None);
    let end = head.finish_frame(2, "content_filter");
    let data = end.strip_prefix(b"data: ").expect("data").trim_ascii_end();
    let made = chunk(std::str::from_utf8(data).expect("UTF-8"));
    assert_eq!(
        made.finished().collect::<Vec<_>>(),
        [(2, "content_filter".into())]
    );
}
