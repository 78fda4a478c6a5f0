//! Streams translated event by event, and what holds for every stream and request.

use crate::translate::{back, doc, options, stream};
use llm::protocol::{self, Protocol};
use llm::scan::{Kind, Limits, Node};
use llm::translate::{self, Wire};
use proptest::prelude::*;
use std::collections::HashSet;

/// A Messages stream of the given blocks.
fn messages_stream(blocks: &[&str], stop: &str) -> String {
    let mut out = String::from(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
    );
    for (index, block) in blocks.iter().enumerate() {
        let mut lines = block.lines();
        let start = lines.next().expect("a start");
        out.push_str(&format!("event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{index},\"content_block\":{start}}}\n\n"));
        for delta in lines {
            out.push_str(&format!("event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{index},\"delta\":{delta}}}\n\n"));
        }
        out.push_str(&format!("event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":{index}}}\n\n"));
    }
    out.push_str(&format!("event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"{stop}\",\"stop_sequence\":null}},\"usage\":{{\"output_tokens\":9}}}}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"));
    out
}

const THINK: &str = "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}\n{\"type\":\"thinking_delta\",\"thinking\":\"h\"}\n{\"type\":\"thinking_delta\",\"thinking\":\"m\"}\n{\"type\":\"signature_delta\",\"signature\":\"c2ln\"}";
const REDACTED: &str = "{\"type\":\"redacted_thinking\",\"data\":\"ZGF0\"}";
const TEXT: &str = "{\"type\":\"text\",\"text\":\"\"}\n{\"type\":\"text_delta\",\"text\":\"Hel\"}\n{\"type\":\"text_delta\",\"text\":\"lo\\n\\u00e9\"}\n{\"type\":\"citations_delta\",\"citation\":{\"type\":\"char_location\",\"cited_text\":\"q\"}}";
const TOOL: &str = "{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"look\",\"input\":{}}\n{\"type\":\"input_json_delta\",\"partial_json\":\"\"}\n{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"}\n{\"type\":\"input_json_delta\",\"partial_json\":\":1}\"}";
const BARE: &str = "{\"type\":\"tool_use\",\"id\":\"toolu_2\",\"name\":\"bare\",\"input\":{}}";
const FORMAT: &str = "{\"type\":\"tool_use\",\"id\":\"toolu_3\",\"name\":\"json_tool_call\",\"input\":{}}\n{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\":1}\"}";
const SERVER: &str = "{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"web_search\",\"input\":{}}\n{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}";

#[test]
fn messages_streams_become_chat_streams() {
    let plain = back(Protocol::Chat, Wire::Anthropic, r#","stream":true"#);
    let format = back(
        Protocol::Chat,
        Wire::Anthropic,
        r#","stream":true,"response_format":{"type":"json_object"}"#,
    );
    let all = messages_stream(&[THINK, REDACTED, TEXT, SERVER, TOOL, BARE], "tool_use");
    let cut = all
        .split("event: content_block_stop")
        .next()
        .expect("a part");
    let error = format!(
        "{cut}event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}}}\n\n"
    );
    let no_end = all.split("event: message_stop").next().expect("a part");
    let cases = [
        ("everything", &plain, all.as_str()),
        ("format", &format, &messages_stream(&[FORMAT], "tool_use")),
        ("refusal", &plain, &messages_stream(&[], "refusal")),
        ("cut", &plain, cut),
        ("error", &plain, &error),
        ("without message_stop", &plain, no_end),
        (
            "a delta of no block",
            &plain,
            "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
        ),
    ];
    let mut out = String::new();
    for (name, back, input) in cases {
        out.push_str(&format!("# {name}\n{}", stream(back, input, &[])));
    }
    insta::assert_snapshot!("messages_streams", out);
}

/// A chat stream of the given deltas; the last is the finish reason.
fn chat_stream(deltas: &[&str], finish: &str) -> String {
    let chunk = |choices: &str, rest: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt\",\"choices\":{choices}{rest}}}\n\n"
        )
    };
    let mut out = String::new();
    for delta in deltas {
        out.push_str(&chunk(
            &format!("[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]"),
            "",
        ));
    }
    out.push_str(&chunk(
        &format!("[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{finish}\"}}]"),
        "",
    ));
    out.push_str(&chunk("[]", ",\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":7,\"total_tokens\":19,\"prompt_tokens_details\":{\"cached_tokens\":5}}"));
    out.push_str("data: [DONE]\n\n");
    out
}

const ROLE: &str = r#"{"role":"assistant","content":""}"#;
const CALLS: &[&str] = &[
    ROLE,
    r#"{"reasoning_content":"h"}"#,
    r#"{"reasoning_content":"m"}"#,
    r#"{"content":"I "}"#,
    r#"{"content":"look\n"}"#,
    r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":""}}]}"#,
    r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}"#,
    r#"{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}"#,
    r#"{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"bare","arguments":"{}"}}]}"#,
];

#[test]
fn chat_streams_become_messages_streams() {
    let plain = back(Protocol::Messages, Wire::OpenAi, r#","stream":true"#);
    let all = chat_stream(CALLS, "tool_calls");
    let cut: String = all.split_inclusive("\n\n").take(5).collect();
    let error = format!(
        "{cut}data: {{\"error\":{{\"message\":\"no more\",\"type\":\"server_error\",\"code\":500}}}}\n\n"
    );
    let no_done = all.replace("data: [DONE]\n\n", "");
    let mixed = [
        CALLS,
        &[r#"{"tool_calls":[{"index":0,"function":{"arguments":" "}}]}"#],
    ]
    .concat();
    let signed = [
        ROLE,
        r#"{"reasoning_content":"hm"}"#,
        r#"{"thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"c2ln"}]}"#,
        r#"{"content":"a"}"#,
    ];
    let cases = [
        ("everything", all.as_str()),
        ("cut", &cut),
        ("error", &error),
        ("without [DONE]", &no_done),
        (
            "refusal",
            &chat_stream(&[ROLE, r#"{"refusal":"I will not"}"#], "stop"),
        ),
        (
            "length",
            &chat_stream(&[ROLE, r#"{"content":"a"}"#], "length"),
        ),
        ("nothing", &chat_stream(&[ROLE], "stop")),
        ("mixed calls", &chat_stream(&mixed, "tool_calls")),
        ("signed thinking", &chat_stream(&signed, "stop")),
        (
            "no usage",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abcdefgh\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
        ),
        (
            "not JSON",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\n\n",
        ),
    ];
    let mut out = String::new();
    for (name, input) in cases {
        out.push_str(&format!("# {name}\n{}", stream(&plain, input, &[])));
    }
    insta::assert_snapshot!("chat_streams", out);
}

/// What every translated Messages stream is: well formed for our own reader, blocks counted up one by one and closed.
fn check_messages(out: &str) {
    let options = protocol::StreamOptions {
        model: "group",
        include_usage: true,
        edits: true,
        ids: None,
        limits: Limits::default(),
    };
    let mut reader = protocol::stream(Protocol::Messages, options);
    let (mut next, mut open) = (0_u64, None);
    for frame in llm::fuzz::frames(out.as_bytes(), &[]).expect("frames") {
        let data: serde_json::Value =
            serde_json::from_slice(frame.data.as_deref().expect("data")).expect("JSON");
        assert_eq!(
            frame.event.as_deref(),
            data["type"].as_str().map(str::as_bytes)
        );
        let index = data["index"].as_u64();
        match data["type"].as_str().expect("a type") {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(next)));
                open = index;
                next += 1;
            }
            "content_block_delta" => assert_eq!(open, index),
            "content_block_stop" => {
                assert_eq!(open, index);
                open = None;
            }
            _ => assert_eq!(open, None, "{out}"),
        }
        if let protocol::Event::Change(change) = reader.read(frame).expect("JSON") {
            assert!(change.well_formed, "{out}");
        }
    }
    assert_eq!(open, None, "a block is left open: {out}");
}

proptest! {
    #[test]
    fn where_a_stream_is_cut_makes_no_difference(cuts in prop::collection::vec(0_usize..4000, 0..12)) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        for (from, to, input) in [
            (Protocol::Chat, Wire::Anthropic, messages_stream(&[THINK, REDACTED, TEXT, TOOL, BARE], "tool_use")),
            (Protocol::Messages, Wire::OpenAi, chat_stream(CALLS, "tool_calls")),
        ] {
            let back = back(from, to, r#","stream":true"#);
            prop_assert_eq!(stream(&back, &input, &cuts), stream(&back, &input, &[]));
        }
    }

    #[test]
    fn a_stream_that_ends_anywhere_leaves_no_block_open(events in prop::collection::vec(0_usize..CALLS.len(), 0..14), keep in 0_usize..16) {
        let deltas: Vec<&str> = events.iter().filter_map(|at| CALLS.get(*at).copied()).collect();
        let whole = chat_stream(&deltas, "stop");
        let cut: String = whole.split_inclusive("\n\n").take(keep).collect();
        let back = back(Protocol::Messages, Wire::OpenAi, r#","stream":true"#);
        let out = stream(&back, &cut, &[]);
        let out = out.split("stopped: ").next().expect("a part");
        check_messages(out);
    }
}

/// Every string of a document, arguments that are JSON opened up.
fn strings(node: Node<'_>, out: &mut Vec<String>) {
    let mut nodes = Vec::new();
    llm::fuzz::strings(node, &mut nodes);
    for node in nodes {
        let text = node.as_str().expect("a string").into_owned();
        let inner = text
            .trim_start()
            .starts_with('{')
            .then(|| llm::scan::Doc::parse(text.clone().into(), &Limits::default()));
        match inner {
            Some(Ok(inner)) if inner.root().kind() == Kind::Object => strings(inner.root(), out),
            _ => out.push(text),
        }
    }
}

/// Words of the two formats and of the translation.
const WORDS: &str = "model messages role content type text user assistant system tool tools function functions name description parameters input_schema
object properties input id tool_use tool_use_id tool_result tool_calls tool_call_id arguments image image_url url source base64 media_type data detail
document file filename file_data title cache_control ephemeral thinking signature thinking_blocks redacted_thinking max_tokens max_completion_tokens
stop stop_sequences temperature top_p top_k stream metadata user_id tool_choice auto none any required parallel_tool_calls disable_parallel_tool_use
response_format json_schema json_object schema strict answer output_config format effort low medium high max reasoning_effort enabled adaptive budget_tokens
json_tool_call function_call_1 function_call_0 additionalProperties service_tier default standard_only . document.pdf system (the_result_is_attached_below)";

/// Each string sent is structural, constant, or in the transcript of the request; inline data is in its opaque parts.
fn check_sent(from: Protocol, to: Wire, body: &str) {
    let limits = Limits::default();
    let Ok(request) = protocol::request(from, body.to_owned().into(), &limits) else {
        return;
    };
    let Ok(rendered) =
        translate::request(from, to, request.doc(), &options("claude-sonnet-4-5", true))
    else {
        return;
    };
    let sent = doc(std::str::from_utf8(&rendered.body).expect("text"));
    let mut known: HashSet<String> = WORDS.split_whitespace().map(str::to_owned).collect();
    known.insert("(the result is attached below)".to_owned());
    known.insert("claude-sonnet-4-5".to_owned());
    let mut texts = Vec::new();
    for (_, text) in request.transcript().decoded(request.doc()) {
        let inner = doc(&format!(
            "[{}]",
            serde_json::to_string(&text).expect("JSON")
        ));
        strings(inner.root(), &mut texts);
        texts.push(text.trim_end().to_owned());
        // An id of a call in the letters that the other format allows.
        let letter = |b: u8| {
            if b.is_ascii_alphanumeric() || b == b'-' {
                char::from(b)
            } else {
                '_'
            }
        };
        texts.push(text.bytes().map(letter).collect());
        texts.push(text.into_owned());
    }
    known.extend(texts);
    let mut opaque = String::new();
    for part in &request.transcript().opaque {
        opaque.push_str(&String::from_utf8_lossy(
            request.doc().node(part.node).raw(),
        ));
    }
    let mut all = Vec::new();
    strings(sent.root(), &mut all);
    for text in all {
        let identifier = text.len() <= 128
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.:@+|/=".contains(&b));
        let data = text
            .strip_prefix("data:")
            .and_then(|rest| rest.split_once(','))
            .map_or(text.as_str(), |(_, data)| data);
        let fine = known.contains(&text)
            || (identifier && body.contains(&text))
            || opaque.contains(data)
            || shortened(&text, &known);
        assert!(fine, "{text:?} was sent and never checked: {body}");
    }
}

/// A tool name that was too long: its beginning and a digest.
fn shortened(text: &str, known: &HashSet<String>) -> bool {
    let Some((begin, digest)) = text.rsplit_once('_') else {
        return false;
    };
    digest.len() == 16
        && known
            .iter()
            .any(|name| name.len() > 64 && name.starts_with(begin))
}

/// A text that gives away where it came from, with letters that need escapes.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "secret [a-z]{6}",
        "q\"[a-z]{3}\\\\ \u{e9}\n",
        Just(String::new()),
        "[a-z]{70,90}"
    ]
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("JSON")
}

proptest! {
    #[test]
    fn chat_sends_nothing_unchecked(a in word(), b in word(), c in word(), shape in 0_usize..9) {
        let (a, b, c) = (quoted(&a), quoted(&b), quoted(&c));
        let arguments = quoted(&format!("{{{a}: [{b}]}}"));
        let message = match shape {
            0 => format!(r#"{{"role":"user","content":{a}}}"#),
            1 => format!(r#"{{"role":"system","content":[{{"type":"text","text":{a},"extra":{b}}}]}}"#),
            2 => format!(r#"{{"role":"assistant","content":{a},"name":{b},"tool_calls":[{{"id":"c1","type":"function","function":{{"name":{c},"arguments":{arguments}}}}}]}}"#),
            3 => format!(r#"{{"role":"assistant","tool_calls":[{{"id":{b},"type":"function","function":{{"name":{c},"arguments":{a}}}}}]}}"#),
            4 => format!(r#"{{"role":"tool","tool_call_id":"c1","content":[{{"type":"text","text":{a}}},{{"type":"image_url","image_url":{{"url":"data:image/png;base64,AAAA"}}}}]}}"#),
            5 => format!(r#"{{"role":"user","content":[{{"type":"file","file":{{"filename":{a},"file_data":"data:application/pdf;base64,JVBE"}}}},{{"type":"document","title":{b},"source":{{"type":"text","media_type":"text/plain","data":{c}}}}}]}}"#),
            6 => format!(r#"{{"role":"assistant","content":{a},"thinking_blocks":[{{"type":"thinking","thinking":{b},"signature":{c}}},{{"type":"redacted_thinking","data":{a}}}]}}"#),
            7 => format!(r#"{{"role":"assistant","refusal":{a},"function_call":{{"name":{b},"arguments":{c}}}}}"#),
            _ => format!(r#"{{"role":"user","content":[{{"type":"text","text":{a},"cache_control":{{"type":{b}}}}},{{"type":"image_url","image_url":{{"url":{c}}}}}]}}"#),
        };
        let body = format!(r#"{{"model":"g","user":{a},"stop":[{b}],"thinking":{{"type":{c}}},"tools":[{{"type":"function","function":{{"name":{a},"description":{b},"parameters":{{"type":"object","properties":{{{c}:{{"enum":[{a}]}}}}}}}}}}],"tool_choice":{{"type":"function","function":{{"name":{c}}}}},"messages":[{message}]}}"#);
        check_sent(Protocol::Chat, Wire::Anthropic, &body);
    }

    #[test]
    fn messages_send_nothing_unchecked(a in word(), b in word(), c in word(), shape in 0_usize..6) {
        let (a, b, c) = (quoted(&a), quoted(&b), quoted(&c));
        let message = match shape {
            0 => format!(r#"{{"role":"user","content":{a}}}"#),
            1 => format!(r#"{{"role":"user","content":[{{"type":"document","title":{a},"context":{b},"source":{{"type":"text","media_type":"text/plain","data":{c}}}}},{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"AAAA"}}}}]}}"#),
            2 => format!(r#"{{"role":"assistant","content":[{{"type":"thinking","thinking":{a},"signature":"s"}},{{"type":"tool_use","id":"t1","name":{b},"input":{{{c}:[{a},{{"k":{b}}}]}}}}]}}"#),
            3 => format!(r#"{{"role":"user","content":[{{"type":"tool_result","tool_use_id":{a},"content":[{{"type":"text","text":{b}}},{{"type":"image","source":{{"type":"url","url":{c}}}}}]}}]}}"#),
            4 => format!(r#"{{"role":"user","content":[{{"type":"search_result","source":{a},"title":{b},"content":[{{"type":"text","text":{c}}}]}}]}}"#),
            _ => format!(r#"{{"role":"user","content":[{{"type":"image","source":{{"type":"base64","media_type":{a},"data":{b}}}}}]}}"#),
        };
        let body = format!(r#"{{"model":"g","max_tokens":5,"system":[{{"type":"text","text":{a}}}],"metadata":{{"user_id":{b}}},"stop_sequences":[{c}],"service_tier":{a},"tools":[{{"name":{a},"description":{b},"input_schema":{{"type":"object","properties":{{{c}:{{"enum":[{a}]}}}}}}}}],"tool_choice":{{"type":"tool","name":{c}}},"messages":[{message}]}}"#);
        check_sent(Protocol::Messages, Wire::OpenAi, &body);
    }
}
