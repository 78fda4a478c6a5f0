//! The Messages format as a client protocol: what is text, what is forwarded, what a stream holds.

use bytes::Bytes;
use llm::anthropic::MessagesRequest;
use llm::fuzz;
use llm::openai::stream::Head;
use llm::openai::{Channel, RequestErrorKind, Target};
use llm::protocol::{self, Event, Failure, Protocol, Request as _, Stream, StreamOptions};
use llm::provider::Provider;
use llm::scan::Limits;
use llm::transcript::{OpaqueKind, Part, Role};

fn parse(body: &str) -> MessagesRequest {
    let body = Bytes::copy_from_slice(body.as_bytes());
    MessagesRequest::parse(body, &Limits::default()).expect("a request")
}

fn target(forward_metadata: bool) -> Target<'static> {
    Target {
        model: "claude-up",
        provider: Provider::named("anthropic").expect("a provider"),
        forward_metadata,
        allowed: &[],
    }
}

fn sent(body: &str) -> String {
    let request = parse(body);
    let edits = request.upstream_edits(&target(false));
    let sent = edits.apply(request.doc()).expect("own edits");
    String::from_utf8(sent.to_vec()).expect("text")
}

/// Origin and text of every entry of the transcript.
fn texts(request: &MessagesRequest) -> Vec<(Role, Part, String)> {
    let entries = request.transcript().decoded(request.doc());
    entries
        .map(|(text, decoded)| (text.origin.role, text.origin.part, decoded.into_owned()))
        .collect()
}

#[test]
fn only_the_model_changes_on_the_way_to_a_native_upstream() {
    // Spaces, order, unknown members, betas, signatures, cache marks: everything as it came.
    let body = r#"{ "max_tokens" : 5, "model":"group", "system":[{"type":"text","text":"  You\u00e9 ","cache_control":{"type":"ephemeral","ttl":"1h"}}],
      "messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"sig=="}]},{"role":"user","content":"hi"}],
      "brand_new":{"deep":[1,"x"]}, "metadata":{"user_id":"u-1"}, "context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]} }"#;
    assert_eq!(sent(body), body.replace("\"group\"", "\"claude-up\""));
}

#[test]
fn members_for_the_gateway_do_not_leave_it() {
    let body = r#"{"model":"g","max_tokens":1,"messages":[{"role":"user","content":"x"}],"litellm_metadata":{"a":"b"},"guardrails":["pii"],"tags":["t"],"num_retries":2,"metadata":{"user_id":"u","tags":["t"],"session_id":"s"}}"#;
    let expected = r#"{"model":"claude-up","max_tokens":1,"messages":[{"role":"user","content":"x"}],"metadata":{"user_id":"u"}}"#;
    assert_eq!(sent(body), expected);
    let request = parse(body);
    assert_eq!(request.user().as_deref(), Some("u"));
    let kept = request.upstream_edits(&target(true));
    let kept = kept.apply(request.doc()).expect("own edits");
    assert!(String::from_utf8_lossy(&kept).contains("session_id"));
}

#[test]
fn thinking_of_another_provider_does_not_go_back_to_this_one() {
    let body = |content: &str| {
        format!(
            r#"{{"model":"claude-up","max_tokens":1,"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":{content}}}]}}"#
        )
    };
    let unsigned = r#"{"type":"thinking","thinking":"t","signature":""}"#;
    let signed = r#"{"type":"thinking","thinking":"t","signature":"s"}"#;
    let text = r#"{"type":"text","text":"a"}"#;
    let cases = [
        (format!("[{unsigned}, {text}]"), format!("[{text}]")),
        (format!("[{text}, {unsigned}]"), format!("[{text}]")),
        (
            format!("[{unsigned},{unsigned},{text} , {unsigned},{unsigned}]"),
            format!("[{text}]"),
        ),
        (
            format!("[{text},{unsigned},{signed}]"),
            format!("[{text},{signed}]"),
        ),
        (format!("[{unsigned}]"), "\"(no answer)\"".to_owned()),
        (format!("[{signed},{text}]"), format!("[{signed},{text}]")),
    ];
    for (content, expected) in cases {
        assert_eq!(sent(&body(&content)), body(&expected));
    }
    // What a check has changed beside it stays changed.
    let request = parse(&body(&format!("[{unsigned},{text}]")));
    let mut edits = request.upstream_edits(&target(false));
    let masked = request.transcript().texts.last().expect("a text");
    let node = request.doc().node(masked.node);
    edits.replace_text(node, "***").expect("a text");
    let sent = edits.apply(request.doc()).expect("own edits");
    assert!(String::from_utf8_lossy(&sent).contains(r#"[{"type":"text","text":"***"}]"#));
}

#[test]
fn destinations_and_wrong_values_are_refused_by_name() {
    let cases = [
        (
            r#"{"model":"g","max_tokens":1}"#,
            "messages",
            RequestErrorKind::Missing,
        ),
        (
            r#"{"model":"g","max_tokens":1,"messages":[]}"#,
            "messages",
            RequestErrorKind::Missing,
        ),
        (
            r#"{"model":"g","messages":[{"role":"user","content":"x"}]}"#,
            "max_tokens",
            RequestErrorKind::Missing,
        ),
        (
            r#"{"model":"g","max_tokens":1.5,"messages":[{"role":"user","content":"x"}]}"#,
            "max_tokens",
            RequestErrorKind::OutOfRange,
        ),
        (
            r#"{"model":7,"max_tokens":1,"messages":[{"role":"user","content":"x"}]}"#,
            "model",
            RequestErrorKind::WrongType,
        ),
        (
            r#"{"model":"g","max_tokens":1,"messages":[{"role":"user","content":7}]}"#,
            "messages.0.content",
            RequestErrorKind::WrongType,
        ),
        (
            r#"{"model":"g","max_tokens":1,"messages":[{"role":"user","content":["x"]}]}"#,
            "messages.0.content.0",
            RequestErrorKind::WrongType,
        ),
        (
            r#"{"model":"g","max_tokens":1,"messages":[{"content":"x"}]}"#,
            "messages.0",
            RequestErrorKind::WrongType,
        ),
        (
            r#"{"model":"g","max_tokens":1,"messages":[{"role":"user","content":"x"}],"api_base":"http://evil"}"#,
            "api_base",
            RequestErrorKind::Refused,
        ),
        (
            r#"{"model":"g","max_tokens":1,"messages":[{"role":"user","content":"x"}],"metadata":{"api_key":"k"}}"#,
            "metadata.api_key",
            RequestErrorKind::Refused,
        ),
        (
            r#"{"model":"g","max_tokens":1,"messages":[{"role":"user","content":"x"}],"stream":"yes"}"#,
            "stream",
            RequestErrorKind::WrongType,
        ),
    ];
    for (body, param, kind) in cases {
        let result = MessagesRequest::parse(Bytes::from(body), &Limits::default());
        let error = result.expect_err(body);
        assert_eq!(
            (error.param.as_deref(), error.kind),
            (Some(param), kind),
            "{body}"
        );
    }
    let count = r#"{"model":"g","messages":[{"role":"user","content":"x"}]}"#;
    let count = protocol::request(
        Protocol::CountTokens,
        Bytes::from(count),
        &Limits::default(),
    );
    assert_eq!(count.expect("no limit is needed").max_output_tokens(), None);
}

#[test]
fn every_text_is_in_the_transcript_with_its_origin() {
    let request = parse(
        r#"{"model":"g","max_tokens":1,"system":"be kind","stop_sequences":["END"],
        "tools":[{"name":"look","description":"looks","input_schema":{"type":"object","properties":{"where":{"type":"string","description":"place"}}},"cache_control":{"type":"ephemeral"}},{"type":"web_search_20250305","name":"web_search","allowed_domains":["example.org"]}],
        "tool_choice":{"type":"tool","name":"look"},
        "messages":[
          {"role":"user","content":[{"type":"text","text":"see"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},
             {"type":"document","title":"T","context":"C","source":{"type":"text","media_type":"text/plain","data":"plain"}},
             {"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}},
             {"type":"search_result","source":"https://s","title":"S","content":[{"type":"text","text":"found"}],"citations":{"enabled":true}}]},
          {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"redacted_thinking","data":"ZGF0"},
             {"type":"tool_use","id":"toolu_1","name":"look","input":{"where":"here","n":[1,{"k":"v"}]}}]},
          {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"seen"},{"type":"image","source":{"type":"url","url":"https://i"}}]},{"type":"tool_result","tool_use_id":"toolu_2","content":"plain result","is_error":true}]}]}"#,
    );
    let expected = [
        (Role::System, Part::Text, "be kind"),
        (Role::None, Part::Stop, "END"),
        (Role::None, Part::ToolName, "look"),
        (Role::None, Part::ToolDescription, "looks"),
        (Role::None, Part::Key, "where"),
        (Role::None, Part::Schema, "place"),
        (Role::None, Part::ToolName, "web_search"),
        (Role::None, Part::Unknown, "example.org"),
        (Role::None, Part::ToolName, "look"),
        (Role::User, Part::Text, "see"),
        (Role::User, Part::Filename, "T"),
        (Role::User, Part::Text, "C"),
        (Role::User, Part::Text, "plain"),
        (Role::User, Part::Text, "https://s"),
        (Role::User, Part::Filename, "S"),
        (Role::User, Part::Text, "found"),
        (Role::Assistant, Part::Reasoning, "hm"),
        (Role::Assistant, Part::ToolName, "look"),
        (Role::Assistant, Part::Key, "where"),
        (Role::Assistant, Part::ToolInput, "here"),
        (Role::Assistant, Part::Key, "n"),
        (Role::Assistant, Part::Key, "k"),
        (Role::Assistant, Part::ToolInput, "v"),
        (Role::Tool, Part::Text, "seen"),
        (Role::Tool, Part::Text, "plain result"),
    ];
    let found = texts(&request);
    let found: Vec<(Role, Part, &str)> =
        found.iter().map(|(r, p, t)| (*r, *p, t.as_str())).collect();
    assert_eq!(found, expected);
    let opaque: Vec<OpaqueKind> = request
        .transcript()
        .opaque
        .iter()
        .map(|part| part.kind)
        .collect();
    use OpaqueKind::{File, Image, Reasoning};
    assert_eq!(opaque, [Image, File, Reasoning, Reasoning, Image]);
    assert_eq!(request.last_user_text().as_deref(), Some("found"));
}

#[test]
fn what_nobody_knows_is_scanned_and_called_opaque() {
    let request = parse(
        r#"{"model":"g","max_tokens":1,"new":{"word":"a"},"metadata":{"user_id":"some one <x@y.z>"},"messages":[{"role":"oracle","content":[{"type":"hologram","beam":"b"}],"mood":"c"}]}"#,
    );
    let found: Vec<String> = texts(&request).into_iter().map(|(.., text)| text).collect();
    let expected = [
        "new",
        "word",
        "a",
        "some one <x@y.z>",
        "oracle",
        "hologram",
        "beam",
        "b",
        "mood",
        "c",
    ];
    assert_eq!(found, expected);
    assert_eq!(request.transcript().opaque.len(), 1);
    assert_eq!(request.unknown_members(), ["new"]);
}

#[test]
fn a_whole_answer_gives_its_texts_calls_and_counts() {
    let body = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"hi","citations":[{"type":"char_location","cited_text":"quote","document_index":0}]},{"type":"tool_use","id":"toolu_1","name":"look","input":{"where":"here"}}],"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":4,"cache_read_input_tokens":5,"output_tokens":7}}"#;
    let answer = protocol::answer(Protocol::Messages, Bytes::from(body), &Limits::default());
    let answer = answer.expect("an answer");
    assert!(answer.is_answer());
    let found: Vec<(u32, Channel, String)> = answer
        .outputs()
        .iter()
        .map(|output| {
            (
                output.choice,
                output.channel,
                output.decode(answer.doc()).into_owned(),
            )
        })
        .collect();
    let expected = [
        (0, "reasoning", "hm"),
        (1, "text", "hi"),
        (1, "other", "quote"),
        (2, "tool_name", "look"),
        (2, "tool_input", "where"),
        (2, "tool_input", "here"),
    ];
    let found: Vec<(u32, &str, &str)> = found
        .iter()
        .map(|(at, c, t)| (*at, c.as_str(), t.as_str()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(answer.opaque().len(), 1);
    let usage = answer.usage().expect("true").expect("given");
    assert_eq!(
        (
            usage.input,
            usage.cached_input,
            usage.cache_write,
            usage.output,
            usage.total
        ),
        (12, 5, 4, 7, 19)
    );
    assert_eq!(answer.finish_reasons(), [(0, Some("tool_use".into()))]);
    let calls = answer.tool_calls();
    assert_eq!(
        (calls[0].name.as_ref(), calls[0].arguments.as_ref()),
        ("look", r#"{"where":"here"}"#)
    );
    // Edits reach each text, and nothing else moves.
    let mut edits = answer.rename_model("group");
    let outputs = answer.outputs().to_vec();
    answer.replace_output(&mut edits, &outputs[5], "***");
    let edited = edits.apply(answer.doc()).expect("own edits");
    let expected = body
        .replace("claude-x", "group")
        .replace("\"here\"", "\"***\"");
    assert_eq!(String::from_utf8_lossy(&edited), expected);
    for broken in [
        r#"{"type":"message","content":{}}"#,
        r#"{"type":"message","content":["x"]}"#,
        r#"{"content":[]}"#,
        "[]",
    ] {
        let answer = protocol::answer(Protocol::Messages, Bytes::from(broken), &Limits::default());
        assert!(!answer.expect("JSON").is_answer(), "{broken}");
    }
}

fn options() -> StreamOptions<'static> {
    StreamOptions {
        model: "group",
        include_usage: true,
        edits: true,
        limits: Limits::default(),
        ids: None,
    }
}

const STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":3,"cache_read_input_tokens":5,"output_tokens":1}}}

event: ping
data: {"type":"ping"}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" \"you\"\n"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"look","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"where\""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":":\"here\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9}}

event: message_stop
data: {"type":"message_stop"}

"#;

/// What a gateway without checks makes of a stream: one line for each event, and the bytes.
fn relay(stream: &mut dyn Stream, input: &str) -> (Vec<String>, String) {
    let (mut seen, mut out) = (Vec::new(), Vec::new());
    for frame in fuzz::frames(input.as_bytes(), &[]).expect("frames") {
        match stream.read(frame).expect("JSON") {
            Event::Ignored => seen.push("ignored".to_owned()),
            Event::Done => seen.push("done".to_owned()),
            Event::Error(error) => seen.push(format!("error {error:?}")),
            Event::Piece(piece) => {
                seen.push(format!(
                    "piece {} {} {}",
                    piece.choice,
                    piece.channel.as_str(),
                    piece.text()
                ));
                stream.write_piece(&piece, None, &mut out);
            }
            Event::Change(mut change) => {
                let texts: Vec<String> = change
                    .outputs
                    .iter()
                    .map(|o| {
                        format!(
                            "{} {} {}",
                            o.choice,
                            o.channel.as_str(),
                            o.decode(&change.doc)
                        )
                    })
                    .collect();
                let usage = change.usage.expect("true").map(|u| (u.input, u.output));
                let name = change.name.clone().expect("named");
                seen.push(format!(
                    "{} {texts:?} ends {:?} {:?} usage {usage:?} ok {} last {}",
                    String::from_utf8_lossy(&name),
                    change.finished,
                    change.reasons,
                    change.well_formed,
                    change.last
                ));
                stream.write(&mut change, &[], &mut out).expect("own edits");
            }
        }
    }
    (seen, String::from_utf8(out).expect("text"))
}

#[test]
fn a_stream_is_read_event_by_event_and_relayed_as_it_came() {
    let mut stream = protocol::stream(Protocol::Messages, options());
    let (seen, out) = relay(stream.as_mut(), STREAM);
    insta::assert_snapshot!("messages_stream_events", seen.join("\n"));
    let expected = STREAM
        .replace("claude-x", "group")
        .replace("event: ping\ndata: {\"type\":\"ping\"}\n\n", "");
    assert_eq!(out, expected);
    assert!(stream.is_complete());
    let mut end = Vec::new();
    stream.write_end(&mut end);
    assert!(end.is_empty(), "message_stop was sent by the upstream");
}

#[test]
fn held_back_text_and_failures_have_events_of_their_own() {
    let mut stream = protocol::stream(Protocol::Messages, options());
    let cut = STREAM
        .split("event: content_block_stop")
        .next()
        .expect("a part");
    relay(stream.as_mut(), cut);
    assert!(!stream.is_complete());
    let mut out = Vec::new();
    assert!(stream.write_tail(0, Channel::Text, "\"held\"", &mut out));
    assert!(stream.write_tail(1, Channel::ToolArguments(1), "{}", &mut out));
    assert!(stream.write_tail(2, Channel::Reasoning, "r", &mut out));
    assert!(!stream.write_tail(1, Channel::CalledName(1), "n", &mut out));
    stream.write_ping(&mut out);
    let failure = Failure {
        envelope: br#"{"type":"error","error":{"type":"api_error","message":"no"}}"#,
        message: "no",
        code: "upstream_cut",
    };
    stream.write_failure(&failure, &mut out);
    insta::assert_snapshot!(
        "messages_stream_frames",
        String::from_utf8(out).expect("text")
    );
}

#[test]
fn events_that_two_clients_could_read_differently_are_not_well_formed() {
    let begin = STREAM
        .split("event: content_block_stop")
        .next()
        .expect("a part");
    let cases = [
        // The name of the event and its type differ.
        "event: ping\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
        // A block that never began, and one that began before.
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":7,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"x\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":3}\n\n",
        "data: {\"index\":0}\n\n",
        "data: []\n\n",
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"x\"}]}}\n\n",
    ];
    for case in cases {
        let mut stream = protocol::stream(Protocol::Messages, options());
        let (seen, _) = relay(stream.as_mut(), &format!("{begin}{case}"));
        let last = seen.last().expect("an event");
        assert!(last.contains("ok false"), "{case}: {last}");
    }
    // A template fits no block that has ended.
    let after = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n";
    let mut stream = protocol::stream(Protocol::Messages, options());
    let (seen, _) = relay(stream.as_mut(), &format!("{begin}{after}"));
    assert!(
        seen.last().expect("an event").contains("ok false"),
        "{seen:?}"
    );
}

#[test]
fn an_error_inside_the_stream_is_told() {
    let mut stream = protocol::stream(Protocol::Messages, options());
    let (seen, _) = relay(
        stream.as_mut(),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
    );
    assert!(
        seen[0].contains("overloaded_error") && seen[0].contains("Overloaded"),
        "{seen:?}"
    );
}

#[test]
fn mock_answers_and_lists_have_the_form_of_the_api() {
    use llm::anthropic::{count, error, mock, models};
    let head = Head {
        id: "msg_1".to_owned(),
        created: 1,
        model: "group".to_owned(),
    };
    let usage = llm::openai::mock::USAGE;
    let whole = mock::message(&head, "mock \"text\"", &usage);
    let answer = protocol::answer(Protocol::Messages, whole, &Limits::default()).expect("JSON");
    assert!(answer.is_answer());
    assert_eq!(answer.outputs()[0].decode(answer.doc()), "mock \"text\"");
    assert_eq!(answer.usage().expect("true").map(|u| u.total), Some(30));
    let input: Vec<u8> = mock::stream(&head, "mock text, long", &usage).concat();
    let input = String::from_utf8(input).expect("text");
    let mut stream = protocol::stream(Protocol::Messages, options());
    let (seen, out) = relay(stream.as_mut(), &input);
    assert_eq!(out, input);
    assert!(
        seen.iter().all(|line| !line.contains("ok false")),
        "{seen:?}"
    );
    assert!(stream.is_complete());
    let list = models::list(["a", "b"]);
    let list: serde_json::Value = serde_json::from_slice(&list).expect("JSON");
    assert_eq!(list["data"][1]["id"], "b");
    assert_eq!(
        (&list["first_id"], &list["last_id"], &list["has_more"]),
        (&"a".into(), &"b".into(), &false.into())
    );
    let envelope = error::Envelope {
        kind: error::kind(529),
        message: "m",
        request_id: Some("r"),
        provider_specific_fields: None,
    };
    assert_eq!(
        String::from_utf8_lossy(&envelope.render()),
        r#"{"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":"r"}"#
    );
    assert_eq!(
        count::estimate(7),
        br#"{"input_tokens":7,"litellm_count_source":"local_estimate"}"#
    );
}
