//! Responses as a client protocol: requests, answers, streams.

use crate::flow::{Flow, run, strings};
use bytes::Bytes;
use llm::openai::{Channel, Target, stream::Head};
use llm::protocol::{Answer as _, Failure, Protocol, Request as _, StreamOptions, stream};
use llm::provider::Provider;
use llm::responses::{Answer, Request, Unit, mock};
use llm::scan::Limits;
use llm::transcript::{OpaqueKind, Part, Role};
use serde_json::{Value, json};

fn parse(body: &Value) -> Request {
    let body = Bytes::from(serde_json::to_vec(body).expect("JSON"));
    Request::parse(body, &Limits::default()).expect("a request")
}

fn texts(request: &Request) -> Vec<(Role, Part, String)> {
    let all = request.transcript().decoded(request.doc());
    all.map(|(text, decoded)| (text.origin.role, text.origin.part, decoded.into_owned()))
        .collect()
}

/// A request with every kind of item.
fn rich() -> Value {
    json!({
        "model": "m",
        "instructions": "be kind",
        "input": [
            {"role": "user", "content": "hello"},
            {"type": "message", "role": "developer", "content": [
                {"type": "input_text", "text": "part"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                {"type": "input_file", "filename": "cv.pdf", "file_data": "data:application/pdf;base64,BBBB"},
                {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "wav"}}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "why"}],
             "encrypted_content": "gAAAA-cipher"},
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{\"q\":1}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "found"},
            {"type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": [{"type": "input_text", "text": "done"}]},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "weather"}},
            {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "data:image/png;base64,DDDD"}},
            {"type": "item_reference", "id": "msg_9"},
            {"type": "hologram", "light": "odd"}
        ],
        "tools": [
            {"type": "function", "name": "look", "description": "looks", "parameters": {"type": "object", "properties": {"q": {"type": "number"}}}},
            {"type": "custom", "name": "patch", "description": "patches", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
            {"type": "web_search"}],
        "text": {"format": {"type": "json_schema", "name": "shape", "schema": {"type": "object"}}, "verbosity": "low"},
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "prompt": {"id": "pmpt_1", "variables": {"city": "Ulm"}},
        "previous_response_id": "resp_1",
        "metadata": {"trace": "t"},
        "future_member": {"note": "later"},
        "store": false,
        "stream": true
    })
}

#[test]
fn every_text_is_in_the_transcript() {
    let request = parse(&rich());
    let found = texts(&request);
    let expected = [
        (Role::System, Part::Text, "be kind"),
        (Role::User, Part::Text, "hello"),
        (Role::Developer, Part::Text, "part"),
        (Role::Developer, Part::Filename, "cv.pdf"),
        (Role::Assistant, Part::Reasoning, "why"),
        (Role::Assistant, Part::ToolName, "look"),
        (Role::Assistant, Part::ToolArguments, "{\"q\":1}"),
        (Role::Tool, Part::Text, "found"),
        (Role::Assistant, Part::ToolInput, "*** Begin"),
        (Role::Tool, Part::Text, "done"),
        (Role::Assistant, Part::Unknown, "weather"),
        (Role::Unknown, Part::Unknown, "odd"),
        (Role::None, Part::ToolDescription, "looks"),
        (Role::None, Part::Key, "q"),
        (Role::None, Part::Unknown, "start: x"),
        (Role::None, Part::Name, "shape"),
        (Role::User, Part::Key, "city"),
        (Role::User, Part::Text, "Ulm"),
        (Role::None, Part::Unknown, "later"),
    ];
    for (role, part, text) in expected {
        let row = (role, part, text.to_owned());
        assert!(found.contains(&row), "{row:?} is missing in {found:?}");
    }
    let structure = [
        "low", "call_1", "wav", "search", "pmpt_1", "resp_1", "high", "auto", "t",
    ];
    for word in structure {
        assert!(!found.iter().any(|(_, _, text)| text == word), "{word}");
    }
    let opaque: Vec<OpaqueKind> = request.transcript().opaque.iter().map(|o| o.kind).collect();
    for kind in [
        OpaqueKind::Image,
        OpaqueKind::File,
        OpaqueKind::Audio,
        OpaqueKind::Reasoning,
        OpaqueKind::Stored,
        OpaqueKind::Unknown,
    ] {
        assert!(opaque.contains(&kind), "{kind:?}");
    }
    assert_eq!(request.last_user_text().as_deref(), Some("Ulm"));
    assert_eq!(request.previous_response_id().as_deref(), Some("resp_1"));
    assert!(!request.store() && request.stream() && !request.background());
    assert_eq!(request.unknown_members(), ["future_member"]);
}

#[test]
fn native_edits_touch_nothing_else() {
    let body = r#"{ "model":"group" ,"input":[{"type":"reasoning","summary":[],"encrypted_content":"gA\u0041=="},
  {"role":"user","content":"a\u00e9"}],"metadata":{"x":1},"guardrails":["g"],"odd":{"kept":1.50}}"#;
    let limits = Limits::default();
    let request = Request::parse(Bytes::from(body), &limits).expect("a request");
    let target = Target {
        model: "up",
        provider: Provider::named("openai").expect("known"),
        forward_metadata: false,
        allowed: &[],
    };
    let sent = request.upstream_edits(&target).apply(request.doc());
    let expected = body
        .replace("\"group\"", "\"up\"")
        .replace("\"metadata\":{\"x\":1},\"guardrails\":[\"g\"],", "");
    assert_eq!(sent.expect("edits"), expected.as_bytes());
}

#[test]
fn bad_requests_are_named() {
    let table = [
        (json!({"model": "m"}), "input", 400),
        (json!({"model": "m", "input": 3}), "input", 422),
        (json!({"model": "m", "input": [3]}), "input[0]", 422),
        (
            json!({"model": "m", "input": "x", "api_base": "http://evil"}),
            "api_base",
            400,
        ),
        (
            json!({"model": "m", "input": "x", "max_output_tokens": 0}),
            "max_output_tokens",
            422,
        ),
        (
            json!({"model": "m", "input": "x", "previous_response_id": {}}),
            "previous_response_id",
            422,
        ),
        (
            json!({"model": "m", "input": "x", "later": {"api_key": "k"}}),
            "later.api_key",
            400,
        ),
        (json!({"model": 1, "input": "x"}), "model", 400),
    ];
    for (body, param, status) in table {
        let bytes = Bytes::from(serde_json::to_vec(&body).expect("JSON"));
        let error = Request::parse(bytes, &Limits::default()).expect_err("refused");
        assert_eq!(
            (error.param.as_deref(), error.status()),
            (Some(param), status),
            "{body}"
        );
    }
    // What the provider keeps can stand for the input.
    parse(&json!({"model": "m", "prompt": {"id": "p"}}));
    parse(&json!({"model": "m", "previous_response_id": "resp_1"}));
}

/// A finished response with reasoning, a message, a call and a custom call.
fn finished() -> Value {
    json!({
        "id": "resp_1", "object": "response", "created_at": 7, "status": "completed", "model": "up",
        "error": null, "incomplete_details": null, "instructions": "never say secret",
        "output": [
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "a secret plan"}],
             "content": [{"type": "reasoning_text", "text": "raw secret"}], "encrypted_content": "gAAA"},
            {"type": "message", "id": "msg", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": "the secret is out", "annotations": [], "logprobs": [{"token": "the", "logprob": 0, "bytes": []}]},
                {"type": "refusal", "refusal": "no secret"}]},
            {"type": "function_call", "id": "fc", "call_id": "call", "name": "tell", "arguments": "{\"a\":\"secret\"}", "status": "completed"},
            {"type": "custom_tool_call", "id": "ct", "call_id": "call2", "name": "patch", "input": "secret patch"}],
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4},
                  "output_tokens": 6, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 16}
    })
}

#[test]
fn a_whole_answer_is_read_and_edited() {
    let body = Bytes::from(serde_json::to_vec(&finished()).expect("JSON"));
    let answer = Answer::parse(body, &Limits::default()).expect("JSON");
    assert!(answer.is_answer());
    let usage = answer.usage().expect("possible").expect("given");
    assert_eq!(
        (
            usage.input,
            usage.cached_input,
            usage.output,
            usage.reasoning
        ),
        (10, 4, 6, 2)
    );
    let reasons = answer.finish_reasons();
    assert_eq!(reasons[0].1.as_deref(), Some("completed"));
    let calls = answer.tool_calls();
    let named: Vec<&str> = calls.iter().map(|call| call.name.as_ref()).collect();
    assert_eq!(named, ["tell", "patch"]);
    assert_eq!(answer.stored_id().as_deref(), Some("resp_1"));
    let found: Vec<(u32, Channel)> = answer
        .outputs()
        .iter()
        .map(|o| (o.choice, o.channel))
        .collect();
    let message = |part| Unit { item: 1, part }.choice();
    assert!(found.contains(&(message(0), Channel::Text)));
    assert!(found.contains(&(message(1), Channel::Refusal)));
    assert!(found.contains(&(Unit::reasoning(0, 0).choice(), Channel::Reasoning)));
    assert!(found.contains(&(Unit::item(2).choice(), Channel::ToolArguments(0))));
    let mut edits = answer.rename_model("group");
    for output in answer.outputs() {
        let text = output.decode(answer.doc()).replace("secret", "[x]");
        answer.replace_output(&mut edits, output, &text);
        answer.drop_derived(&mut edits, output.choice);
    }
    let edited = edits.apply(answer.doc()).expect("edits");
    let edited: Value = serde_json::from_slice(&edited).expect("JSON");
    let mut left = Vec::new();
    strings(&edited["output"], &mut left);
    assert!(left.iter().all(|text| !text.contains("secret")), "{left:?}");
    assert_eq!(edited["output"][1]["content"][0]["logprobs"], json!([]));
    assert_eq!(edited["output"][0]["encrypted_content"], "gAAA");
    assert_eq!(edited["model"], "group");
    // The request's own words are not the model's.
    assert_eq!(edited["instructions"], "never say secret");
}

#[test]
fn misshapen_answers_are_no_answers() {
    for output in [
        json!({}),
        json!([3]),
        json!([{"type": "message", "content": {"0": "x"}}]),
    ] {
        let body = json!({"object": "response", "output": output});
        let body = Bytes::from(serde_json::to_vec(&body).expect("JSON"));
        let answer = Answer::parse(body, &Limits::default()).expect("JSON");
        assert!(!answer.is_answer());
    }
}

/// The upstream's events for [`finished`], every text in pieces of `size` bytes.
pub(crate) fn upstream(size: usize) -> Vec<u8> {
    let whole = finished();
    let mut out = Vec::new();
    let mut number = 0;
    let mut push = |kind: &str, mut data: Value| {
        data["type"] = json!(kind);
        data["sequence_number"] = json!(number);
        number += 1;
        out.extend_from_slice(format!("event: {kind}\ndata: {data}\n\n").as_bytes());
    };
    let mut begun = whole.clone();
    begun["status"] = json!("in_progress");
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    push("response.created", json!({"response": begun}));
    push("response.in_progress", json!({"response": begun}));
    for (index, item) in whole["output"]
        .as_array()
        .expect("items")
        .iter()
        .enumerate()
    {
        let id = &item["id"];
        let mut bare = item.clone();
        for member in ["content", "summary"] {
            if bare.get(member).is_some() {
                bare[member] = json!([]);
            }
        }
        for member in ["arguments", "input"] {
            if bare.get(member).is_some() {
                bare[member] = json!("");
            }
        }
        push(
            "response.output_item.added",
            json!({"output_index": index, "item": bare}),
        );
        let mut text = |stem: &str, place: Value, member: &str, text: &str| {
            let with = |name: &str, value: Value| {
                let mut data = json!({"item_id": id, "output_index": index});
                if let Some(place) = place.as_object() {
                    data.as_object_mut().expect("object").extend(place.clone());
                }
                data[name] = value;
                data
            };
            for piece in text.as_bytes().chunks(size) {
                let piece = std::str::from_utf8(piece).expect("ASCII");
                push(
                    &format!("response.{stem}.delta"),
                    with("delta", json!(piece)),
                );
            }
            push(&format!("response.{stem}.done"), with(member, json!(text)));
        };
        let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match item["type"].as_str().expect("type") {
            "reasoning" => {
                text(
                    "reasoning_summary_text",
                    json!({"summary_index": 0}),
                    "text",
                    &string(&item["summary"][0]["text"]),
                );
                text(
                    "reasoning_text",
                    json!({"content_index": 0}),
                    "text",
                    &string(&item["content"][0]["text"]),
                );
            }
            "message" => {
                text(
                    "output_text",
                    json!({"content_index": 0}),
                    "text",
                    &string(&item["content"][0]["text"]),
                );
                push(
                    "response.content_part.done",
                    json!({"item_id": id, "output_index": index, "content_index": 0, "part": item["content"][0]}),
                );
                let mut text = |stem: &str, member: &str, text: &str| {
                    for piece in text.as_bytes().chunks(size) {
                        let piece = std::str::from_utf8(piece).expect("ASCII");
                        push(
                            &format!("response.{stem}.delta"),
                            json!({"item_id": id, "output_index": index, "content_index": 1, "delta": piece}),
                        );
                    }
                    push(
                        &format!("response.{stem}.done"),
                        json!({"item_id": id, "output_index": index, "content_index": 1, member: text}),
                    );
                };
                text(
                    "refusal",
                    "refusal",
                    &string(&item["content"][1]["refusal"]),
                );
            }
            "function_call" => text(
                "function_call_arguments",
                Value::Null,
                "arguments",
                &string(&item["arguments"]),
            ),
            _ => text(
                "custom_tool_call_input",
                Value::Null,
                "input",
                &string(&item["input"]),
            ),
        }
        push(
            "response.output_item.done",
            json!({"output_index": index, "item": item}),
        );
    }
    push("response.completed", json!({"response": whole}));
    out
}

/// The pieces joined, by type, item and part.
fn joined(events: &[Value]) -> Vec<(String, String)> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for event in events {
        let kind = event["type"].as_str().expect("type");
        let Some(stem) = kind.strip_suffix(".delta") else {
            continue;
        };
        let key = format!(
            "{stem} {} {} {}",
            event["output_index"], event["content_index"], event["summary_index"]
        );
        let piece = event["delta"].as_str().expect("delta");
        match texts.iter_mut().find(|(known, _)| *known == key) {
            Some((_, text)) => text.push_str(piece),
            None => texts.push((key, piece.to_owned())),
        }
    }
    texts
}

fn check_order(flow: &Flow) -> Vec<Value> {
    let events = flow.events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], json!(number), "{event}");
    }
    assert_eq!(events[0]["type"], "response.created");
    let last = events.last().expect("events");
    assert_eq!(last["type"], "response.completed");
    assert!(flow.last && flow.complete && flow.error.is_none());
    assert_eq!(flow.malformed, 0);
    assert_eq!(flow.reasons, ["completed"]);
    events
}

#[test]
fn an_untouched_stream_keeps_its_bytes() {
    let upstream = upstream(5);
    let flow = run(Protocol::Responses, &upstream, false);
    let renamed = String::from_utf8(upstream)
        .expect("text")
        .replace("\"model\":\"up\"", "\"model\":\"group\"");
    assert_eq!(String::from_utf8(flow.out.clone()).expect("text"), renamed);
    check_order(&flow);
    assert_eq!(
        flow.usage.map(|usage| (usage.input, usage.reasoning)),
        Some((10, 2))
    );
}

#[test]
fn masked_streams_say_the_same_everywhere() {
    for size in 1..=20 {
        let flow = run(Protocol::Responses, &upstream(size), true);
        let events = check_order(&flow);
        for event in &events {
            let mut event = event.clone();
            if let Some(response) = event.get_mut("response") {
                response["instructions"] = Value::Null;
            }
            assert!(!event.to_string().contains("secret"), "{size}: {event}");
        }
        let texts = joined(&events);
        let of = |stem: &str| {
            let found = texts
                .iter()
                .find(|(key, _)| key.starts_with(&format!("response.{stem} ")));
            found.map(|(_, text)| text.clone()).unwrap_or_default()
        };
        let output = &events.last().expect("events")["response"]["output"];
        let expected = [
            (
                "reasoning_summary_text",
                &output[0]["summary"][0]["text"],
                "a [x] plan",
            ),
            (
                "reasoning_text",
                &output[0]["content"][0]["text"],
                "raw [x]",
            ),
            (
                "output_text",
                &output[1]["content"][0]["text"],
                "the [x] is out",
            ),
            ("refusal", &output[1]["content"][1]["refusal"], "no [x]"),
            (
                "function_call_arguments",
                &output[2]["arguments"],
                "{\"a\":\"[x]\"}",
            ),
            ("custom_tool_call_input", &output[3]["input"], "[x] patch"),
        ];
        for (stem, whole, text) in expected {
            assert_eq!(
                (of(stem).as_str(), whole),
                (text, &json!(text)),
                "{size} {stem}"
            );
            let kind = format!("response.{stem}.done");
            let done = events
                .iter()
                .find(|event| event["type"] == kind.as_str())
                .expect("done");
            let members = ["text", "refusal", "arguments", "input"];
            let repeated = members
                .iter()
                .find_map(|name| done.get(name))
                .expect("text");
            assert_eq!(repeated, text, "{stem}");
        }
        assert_eq!(output[1]["content"][0]["logprobs"], json!([]));
    }
}

#[test]
fn texts_without_pieces_are_checked_where_they_first_stand() {
    let events: Vec<u8> = {
        let all = String::from_utf8(upstream(3)).expect("text");
        let kept = all
            .split_inclusive("\n\n")
            .filter(|frame| !frame.contains(".delta\n"));
        kept.collect::<String>().into_bytes()
    };
    let flow = run(Protocol::Responses, &events, true);
    assert!(
        !joined(&flow.events())
            .iter()
            .any(|(_, text)| !text.is_empty())
    );
    let last = flow.events().pop().expect("events");
    assert_eq!(
        last["response"]["output"][1]["content"][0]["text"],
        "the [x] is out"
    );
    assert_eq!(
        last["response"]["output"][2]["arguments"],
        "{\"a\":\"[x]\"}"
    );
    // Only the end: nothing but the whole response.
    let all = String::from_utf8(events).expect("text");
    let only = all.split_inclusive("\n\n").last().expect("frames");
    let flow = run(Protocol::Responses, only.as_bytes(), true);
    let last = flow.events().pop().expect("events");
    assert_eq!(last["response"]["output"][3]["input"], "[x] patch");
}

#[test]
fn a_lie_at_the_end_is_not_delivered() {
    let all = String::from_utf8(upstream(4)).expect("text");
    let (before, _) = all
        .split_once("event: response.output_text.done")
        .expect("frames");
    let lie = json!({"type": "response.output_text.done", "sequence_number": 99, "item_id": "msg", "output_index": 1, "content_index": 0, "text": "something else"});
    let upstream = format!("{before}event: response.output_text.done\ndata: {lie}\n\n");
    let flow = run(Protocol::Responses, upstream.as_bytes(), false);
    let last = flow.events().pop().expect("events");
    assert_eq!(last["text"], "the secret is out");
    assert!(!flow.complete && !flow.last);
}

#[test]
fn errors_and_other_ends() {
    let failed = "event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":3,\"response\":{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"boom\"}}}\n\n";
    let flow = run(Protocol::Responses, failed.as_bytes(), false);
    let error = flow.error.expect("an error");
    assert_eq!(
        (error.code.as_deref(), error.message.as_deref()),
        (Some("server_error"), Some("boom"))
    );
    let plain = "event: error\ndata: {\"type\":\"error\",\"code\":\"rate\",\"message\":\"slow\",\"param\":null,\"sequence_number\":1}\n\n";
    assert_eq!(
        run(Protocol::Responses, plain.as_bytes(), false)
            .error
            .expect("an error")
            .message
            .as_deref(),
        Some("slow")
    );
    let cut = json!({"type": "response.incomplete", "sequence_number": 0, "response": {"id": "r", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}});
    let flow = run(
        Protocol::Responses,
        format!("data: {cut}\n\ndata: [DONE]\n\n").as_bytes(),
        false,
    );
    assert!(flow.last && flow.complete);
    assert_eq!(flow.reasons, ["max_output_tokens"]);
    // The name on the frame and in the data must agree.
    let odd = "event: response.created\ndata: {\"type\":\"response.queued\",\"sequence_number\":0,\"response\":{\"output\":[]}}\n\n";
    assert_eq!(run(Protocol::Responses, odd.as_bytes(), false).malformed, 1);
    assert_eq!(
        run(Protocol::Responses, b"data: {\"delta\":\"x\"}\n\n", false).malformed,
        1
    );
}

#[test]
fn our_failure_is_an_event_of_the_response() {
    let options = StreamOptions {
        model: "group",
        include_usage: true,
        edits: false,
        limits: Limits::default(),
        ids: None,
    };
    let mut state = stream(Protocol::Responses, options);
    let first = llm::fuzz::frames(&upstream(3), &[])
        .expect("frames")
        .remove(0);
    let llm::protocol::Event::Change(mut change) = state.read(first).expect("JSON") else {
        panic!("a change");
    };
    let mut out = Vec::new();
    state.write(&mut change, &[], &mut out).expect("edits");
    out.clear();
    let failure = Failure {
        envelope: b"{}",
        message: "the provider died",
        code: "upstream_cut",
    };
    state.write_failure(&failure, &mut out);
    state.write_end(&mut out);
    let text = String::from_utf8(out).expect("text");
    assert!(
        text.starts_with("event: response.failed\ndata: {"),
        "{text}"
    );
    let data: Value =
        serde_json::from_str(text.split_once("data: ").expect("data").1.trim()).expect("JSON");
    assert_eq!(data["sequence_number"], 1);
    assert_eq!(data["response"]["id"], "resp_1");
    assert_eq!(data["response"]["status"], "failed");
    assert_eq!(
        data["response"]["error"],
        json!({"code": "upstream_cut", "message": "the provider died"})
    );
}

#[test]
fn mock_answers_are_answers() {
    let head = Head {
        id: "resp_x".to_owned(),
        created: 5,
        model: "group".to_owned(),
    };
    let usage = llm::openai::mock::USAGE;
    let whole = mock::answer(&head, "hello there, friend", &usage);
    let answer = Answer::parse(whole.clone(), &Limits::default()).expect("JSON");
    assert!(answer.is_answer());
    assert_eq!(answer.usage(), Ok(Some(usage)));
    assert_eq!(answer.outputs().len(), 1);
    let frames: Vec<u8> = mock::stream(&head, "hello there, friend", &usage).concat();
    let flow = run(Protocol::Responses, &frames, true);
    let events = check_order(&flow);
    let end = &events.last().expect("events")["response"];
    let whole: Value = serde_json::from_slice(&whole).expect("JSON");
    assert_eq!(end, &whole);
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().expect("type"))
        .collect();
    let mut distinct = kinds.clone();
    distinct.dedup();
    assert_eq!(
        distinct,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
}
