//! What a check gets to see. Attack family GRD.

use crate::json::request;
use llm::openai::chat::Request;
use llm::transcript::{OpaqueKind, Part, Role};

/// (role, part, path, text) of every entry.
fn entries(request: &Request) -> Vec<(Role, Part, String, String)> {
    let doc = request.doc();
    let texts = request.transcript().decoded(doc);
    texts
        .map(|(text, decoded)| {
            let origin = text.origin;
            (
                origin.role,
                origin.part,
                text.path(doc),
                decoded.into_owned(),
            )
        })
        .collect()
}

fn seen(body: &str) -> Vec<(Role, Part, String, String)> {
    entries(&request(body).expect(body))
}

fn entry(role: Role, part: Part, path: &str, text: &str) -> (Role, Part, String, String) {
    (role, part, path.to_owned(), text.to_owned())
}

#[test]
fn grd_03_every_role_and_part_is_seen() {
    let body = r#"{"model":"m","messages":[
        {"role":"system","content":"s1","name":"n1"},
        {"role":"developer","content":[{"type":"text","text":"d1"}]},
        {"role":"user","content":"u1"},
        {"role":"assistant","content":"a1","refusal":"r1","reasoning_content":"t1","tool_calls":[
            {"id":"call_1","type":"function","function":{"name":"f1","arguments":"{\"q\":1}"}}]},
        {"role":"tool","tool_call_id":"call_1","content":"o1"},
        {"role":"function","name":"f2","content":"o2"},
        {"role":"wizard","content":"w1"},
        {"role":"assistant","content":"pre","prefix":true}]}"#;
    use {Part as P, Role as R};
    let expected = [
        entry(R::System, P::Text, "messages[0].content", "s1"),
        entry(R::System, P::Name, "messages[0].name", "n1"),
        entry(R::Developer, P::Text, "messages[1].content[0].text", "d1"),
        entry(R::User, P::Text, "messages[2].content", "u1"),
        entry(R::Assistant, P::Text, "messages[3].content", "a1"),
        entry(R::Assistant, P::Refusal, "messages[3].refusal", "r1"),
        entry(
            R::Assistant,
            P::Reasoning,
            "messages[3].reasoning_content",
            "t1",
        ),
        entry(
            R::Assistant,
            P::ToolName,
            "messages[3].tool_calls[0].function.name",
            "f1",
        ),
        entry(
            R::Assistant,
            P::ToolArguments,
            "messages[3].tool_calls[0].function.arguments",
            "{\"q\":1}",
        ),
        entry(R::Tool, P::Text, "messages[4].content", "o1"),
        entry(R::Function, P::Name, "messages[5].name", "f2"),
        entry(R::Function, P::Text, "messages[5].content", "o2"),
        entry(R::Unknown, P::Unknown, "messages[6].role", "wizard"),
        entry(R::Unknown, P::Text, "messages[6].content", "w1"),
        entry(R::Assistant, P::Text, "messages[7].content", "pre"),
    ];
    assert_eq!(seen(body), expected);
}

#[test]
fn tools_schemas_and_formats_are_seen() {
    let body = r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f","description":
        "d","strict":true,"parameters":{"type":"object","properties":{"city":{"type":"string",
        "description":"where","enum":["x"]}},"required":["city"]}}}],
        "functions":[{"name":"g","description":"e"}],
        "tool_choice":{"type":"function","function":{"name":"f"}},
        "response_format":{"type":"json_schema","json_schema":{"name":"r","schema":{"title":"t"}}},
        "prediction":{"type":"content","content":[{"type":"text","text":"p"}]},
        "stop":["END","\n"],"parallel_tool_calls":true,"reasoning_effort":"low"}"#;
    let parts: Vec<(Part, String)> = seen(body).into_iter().map(|(_, p, _, t)| (p, t)).collect();
    let expected = [
        (Part::ToolName, "f"),
        (Part::ToolDescription, "d"),
        (Part::Key, "city"),
        (Part::Schema, "where"),
        (Part::Schema, "x"),
        (Part::Schema, "city"),
        (Part::ToolName, "g"),
        (Part::ToolDescription, "e"),
        (Part::ToolName, "f"),
        (Part::Name, "r"),
        (Part::Schema, "t"),
        (Part::Prediction, "p"),
        (Part::Stop, "END"),
        (Part::Stop, "\n"),
    ];
    let expected = expected.map(|(part, text)| (part, text.to_owned()));
    assert_eq!(parts, expected);
}

#[test]
fn grd_05_opaque_and_unknown_parts_are_listed() {
    let body = r#"{"messages":[{"role":"user","content":[
        {"type":"image_url","image_url":{"url":"https://x.example/i.png","detail":"high"}},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
        {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},
        {"type":"file","file":{"file_id":"file-1","filename":"a b.pdf"}},
        {"type":"file","file":{"file_data":"data:x;base64,AA"}},
        {"type":"hologram","data":"boo"},
        {"type":"image_url","image_url":"not a url, but words"}]}]}"#;
    let request = request(body).expect("accepted");
    let kinds: Vec<_> = request
        .transcript()
        .opaque
        .iter()
        .map(|part| part.kind)
        .collect();
    use OpaqueKind as K;
    assert_eq!(
        kinds,
        [
            K::Image,
            K::Image,
            K::Audio,
            K::File,
            K::File,
            K::Unknown,
            K::Image
        ]
    );
    let texts: Vec<String> = entries(&request)
        .into_iter()
        .map(|(.., text)| text)
        .collect();
    assert_eq!(
        texts,
        ["a b.pdf", "hologram", "boo", "not a url, but words"]
    );
}

#[test]
fn structure_is_structure_only_with_known_values() {
    let hidden = [
        r#"{"messages":[{"role":"say the word","content":""}]}"#,
        r#"{"messages":[{"role":["say the word"],"content":""}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"say the word"}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":["say the word"]}]}]}"#,
        r#"{"messages":[{"role":"user","content":["say the word"]}]}"#,
        r#"{"messages":[{"role":"user","content":{"a":"say the word"}}]}"#,
        r#"{"messages":[{"role":"tool","tool_call_id":"say the word"}]}"#,
        r#"{"messages":[{"role":"tool","tool_call_id":{"x":"say the word"}}]}"#,
        r#"{"messages":[{"tool_calls":[{"type":"say the word"}]}]}"#,
        r#"{"messages":[{"tool_calls":{"a":"say the word"}}]}"#,
        r#"{"messages":[{"say the word":1}]}"#,
        r#"{"messages":[],"tools":["say the word"]}"#,
        r#"{"messages":[],"tools":[{"type":"function","function":"say the word"}]}"#,
        r#"{"messages":[],"tools":[{"function":{"strict":"say the word"}}]}"#,
        r#"{"messages":[],"tools":[{"function":{"parameters":{"type":"say the word"}}}]}"#,
        r#"{"messages":[],"tool_choice":"say the word"}"#,
        r#"{"messages":[],"reasoning_effort":"say the word"}"#,
        r#"{"messages":[],"user":"say the word"}"#,
        r#"{"messages":[],"service_tier":["say the word"]}"#,
        r#"{"messages":[],"audio":{"voice":"say the word"}}"#,
        r#"{"messages":[],"audio":"say the word"}"#,
        r#"{"messages":[],"response_format":{"type":"say the word"}}"#,
        r#"{"messages":[],"prediction":"say the word"}"#,
        r#"{"messages":[],"logit_bias":{"say the word":1}}"#,
        r#"{"messages":[],"stream_options":{"x":"say the word"}}"#,
        r#"{"messages":[],"input":"say the word"}"#,
    ];
    for body in hidden {
        let texts: Vec<String> = seen(body).into_iter().map(|(.., text)| text).collect();
        assert!(
            texts.contains(&"say the word".to_owned()),
            "{body}: {texts:?}"
        );
    }
}

#[test]
fn what_is_removed_is_not_in_the_transcript() {
    let body = r#"{"messages":[],"metadata":{"tags":["a"]},"guardrails":["g"],"mock_response":"m",
        "litellm_session_id":"s","user":"id-1","model":"anything at all"}"#;
    assert_eq!(seen(body), []);
}

#[test]
fn messages_that_are_no_messages_are_refused_with_their_place() {
    let table = [
        (r#"{"messages":["x"]}"#, "messages[0]"),
        (r#"{"messages":[{"content":5}]}"#, "messages[0].content"),
        (
            r#"{"messages":[{"content":[null]}]}"#,
            "messages[0].content[0]",
        ),
        (r#"{"messages":{}}"#, "messages"),
    ];
    for (body, param) in table {
        let error = request(body).expect_err(body);
        assert_eq!(
            (error.status(), error.param.as_deref()),
            (422, Some(param)),
            "{body}"
        );
    }
}

#[test]
fn the_last_user_text_is_found() {
    let body = r#"{"messages":[{"role":"user","content":"one"},{"role":"assistant","content":"x"},
        {"role":"user","content":[{"type":"text","text":"tw\u006f"}]},{"role":"tool","content":"y"}]}"#;
    assert_eq!(
        request(body).expect("accepted").last_user_text().as_deref(),
        Some("two")
    );
}
