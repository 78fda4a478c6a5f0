//! Translations between chat completions and Messages: golden files for each direction, plain and stream, and what must
//! hold for all of them.

use bytes::Bytes;
use llm::fuzz;
use llm::openai::stream::Head;
use llm::protocol::Protocol;
use llm::scan::{Doc, Limits};
use llm::translate::{self, Back, Options, Rendered, StreamTranslator, TranslateError, Wire};
use serde_json::Value;

pub(crate) fn head() -> Head {
    Head {
        id: "call-1".to_owned(),
        created: 1_700_000_000,
        model: "group".to_owned(),
    }
}

pub(crate) fn doc(body: &str) -> Doc {
    Doc::parse(Bytes::copy_from_slice(body.as_bytes()), &Limits::default()).expect(body)
}

pub(crate) fn options(model: &str, drop_params: bool) -> Options<'_> {
    Options {
        model,
        drop_params,
        additional_drop_params: &[],
        allowed_params: &[],
        optional_params: &[],
        default_max_tokens: 4096,
    }
}

fn try_request(
    from: Protocol,
    to: Wire,
    model: &str,
    drop: bool,
    body: &str,
) -> Result<Rendered, TranslateError> {
    translate::request(from, to, &doc(body), &options(model, drop))
}

/// The request as readable JSON, with what was dropped.
fn shown(result: Result<Rendered, TranslateError>) -> String {
    match result {
        Ok(rendered) => {
            let body: Value = serde_json::from_slice(&rendered.body).expect("JSON");
            let body = serde_json::to_string_pretty(&body).expect("JSON");
            format!("{body}\ndropped: {:?}", rendered.dropped)
        }
        Err(error) => format!("refused: {}: {}", error.field, error.message),
    }
}

/// A `Back` for answers, from the smallest request.
pub(crate) fn back(from: Protocol, to: Wire, extra: &str) -> Back {
    let body = match from {
        Protocol::Messages => format!(
            r#"{{"model":"g","max_tokens":9,"messages":[{{"role":"user","content":"hi"}}]{extra}}}"#
        ),
        _ => format!(r#"{{"model":"g","messages":[{{"role":"user","content":"hi"}}]{extra}}}"#),
    };
    try_request(from, to, "m", false, &body)
        .expect("a request")
        .back
}

const CHAT: &str = r#"{"model":"group","temperature":0.5,"top_p":0.9,"max_completion_tokens":99,"stop":["END","\n"],"user":"u-1","stream":true,
"stream_options":{"include_usage":true},"n":1,"presence_penalty":0,"metadata":{"tags":["t"]},"guardrails":["x"],
"tools":[{"type":"function","function":{"name":"look","description":"looks","parameters":{"type":"object","properties":{"where":{"type":"string"}}}},"cache_control":{"type":"ephemeral"}},{"type":"function","function":{"name":"bare"}},{"type":"web_search_20250305","name":"web_search","max_uses":1}],
"tool_choice":{"type":"function","function":{"name":"look"}},"parallel_tool_calls":false,
"messages":[
{"role":"system","content":"be kind"},{"role":"developer","content":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral"}},{"type":"text","text":""}]},
{"role":"user","content":"first"},{"role":"user","content":[{"type":"text","text":"see \u00e9"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}},{"type":"image_url","image_url":{"url":"https://example.org/i.png"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBE"}}]},
{"role":"assistant","content":null,"reasoning_content":"unsigned","tool_calls":[{"id":"call.1","type":"function","function":{"name":"look","arguments":"{\"where\": \"here\"}"}},{"id":"call_2","type":"function","function":{"name":"bare","arguments":""}},{"id":"call_3","type":"function","function":{"name":"bare","arguments":"not json"}}]},
{"role":"tool","tool_call_id":"call.1","content":"seen"},{"role":"tool","tool_call_id":"call_2","content":[{"type":"text","text":"part"},{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,BBBB"}}]},{"role":"tool","tool_call_id":"call_3","content":""},
{"role":"user","content":"and now?"},
{"role":"assistant","content":"so","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"thinking","thinking":"other","signature":""},{"type":"redacted_thinking","data":"ZGF0"}]},
{"role":"user","content":"go on","cache_control":{"type":"ephemeral"}},
{"role":"assistant","content":"The answer is  \n"}]}"#;

#[test]
fn chat_becomes_messages() {
    insta::assert_snapshot!(
        "chat_to_messages",
        shown(try_request(
            Protocol::Chat,
            Wire::Anthropic,
            "claude-sonnet-4-5",
            true,
            CHAT
        ))
    );
}

/// A chat body with one user message and other members.
fn chat(extra: &str) -> String {
    format!(r#"{{"model":"g","messages":[{{"role":"user","content":"hi"}}]{extra}}}"#)
}

#[test]
fn chat_members_one_by_one() {
    let schema = r#""response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{"a":{"type":"integer"}}}}}"#;
    let cases: &[(&str, &str, String)] = &[
        ("adaptive effort", "claude-opus-4-6", chat(r#","reasoning_effort":"high""#)),
        ("budget", "claude-3-7-sonnet-latest", chat(r#","reasoning_effort":"medium""#)),
        ("budget within the limit", "claude-sonnet-4-5", chat(r#","reasoning_effort":"high","max_tokens":2000"#)),
        ("no room to think", "claude-sonnet-4-5", chat(r#","reasoning_effort":"low","max_tokens":100"#)),
        ("cannot think", "claude-3-5-haiku-latest", chat(r#","reasoning_effort":"low""#)),
        ("own thinking", "claude-sonnet-4-5", chat(r#","thinking":{"type":"enabled","budget_tokens":5000},"reasoning_effort":"low""#)),
        ("native schema", "claude-sonnet-4-5", chat(&format!(",{schema}"))),
        ("schema as a tool", "claude-3-5-sonnet-latest", chat(&format!(",{schema}"))),
        ("schema and tools", "claude-3-5-sonnet-latest", chat(&format!(r#",{schema},"tools":[{{"type":"function","function":{{"name":"f","parameters":{{}}}}}}]"#))),
        ("json object", "claude-sonnet-4-5", chat(r#","response_format":{"type":"json_object"}"#)),
        ("one call at a time", "claude-sonnet-4-5", chat(r#","tools":[{"type":"function","function":{"name":"f","strict":true}}],"parallel_tool_calls":false"#)),
        ("tools forbidden", "claude-sonnet-4-5", chat(r#","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"none""#)),
        ("tools required", "claude-sonnet-4-5", chat(r#","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required""#)),
        ("legacy functions", "claude-sonnet-4-5", r#"{"functions":[{"name":"f","parameters":{"type":"object"}}],"function_call":{"name":"f"},"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"r"}]}"#.to_owned()),
        ("only a system message", "claude-sonnet-4-5", r#"{"messages":[{"role":"system","content":"s"}]}"#.to_owned()),
        ("assistant first", "claude-sonnet-4-5", r#"{"messages":[{"role":"assistant","content":"a"},{"role":"user","content":"u"}]}"#.to_owned()),
        ("own members", "claude-sonnet-4-5", chat(r#","top_k":3,"cache_control":{"type":"ephemeral"},"service_tier":"default","output_config":{"effort":"low"}"#)),
        ("tool loop without thinking", "claude-sonnet-4-5", r#"{"reasoning_effort":"low","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"r"}]}"#.to_owned()),
    ];
    let mut all = String::new();
    for (name, model, body) in cases {
        let result = try_request(Protocol::Chat, Wire::Anthropic, model, false, body);
        all.push_str(&format!("# {name}\n{}\n", shown(result)));
    }
    insta::assert_snapshot!("chat_members", all);
}

#[test]
fn what_messages_cannot_say_is_refused_by_name_or_dropped_and_listed() {
    let cases = [
        (r#","n":2"#, "n"),
        (r#","logprobs":true"#, "logprobs"),
        (r#","top_logprobs":3"#, "top_logprobs"),
        (r#","seed":1"#, "seed"),
        (r#","logit_bias":{"1":1}"#, "logit_bias"),
        (r#","presence_penalty":1"#, "presence_penalty"),
        (r#","frequency_penalty":-1"#, "frequency_penalty"),
        (r#","temperature":1.5"#, "temperature"),
        (
            r#","prediction":{"type":"content","content":"x"}"#,
            "prediction",
        ),
        (r#","modalities":["audio"]"#, "modalities"),
        (r#","stop":" ""#, "stop"),
        (r#","service_tier":"flex""#, "service_tier"),
        (
            r#","response_format":{"type":"grammar"}"#,
            "response_format",
        ),
        (r#","brand_new":1"#, "brand_new"),
        (r#","store":true"#, "store"),
        (r#","web_search_options":{}"#, "web_search_options"),
    ];
    for (extra, field) in cases {
        let body = chat(extra);
        let refused = try_request(
            Protocol::Chat,
            Wire::Anthropic,
            "claude-sonnet-4-5",
            false,
            &body,
        );
        let error = refused.expect_err(extra);
        assert_eq!(error.field, field);
        assert!(error.message.contains(field), "{}", error.message);
        let dropped = try_request(
            Protocol::Chat,
            Wire::Anthropic,
            "claude-sonnet-4-5",
            true,
            &body,
        );
        assert_eq!(dropped.expect(extra).dropped, [field]);
    }
    // Content is never dropped.
    let content = [
        (
            r#"[{"type":"input_audio","input_audio":{"data":"x","format":"wav"}}]"#,
            "messages[0].content[0]",
        ),
        (
            r#"[{"type":"text","text":"a"},{"type":"video_url","video_url":{"url":"https://v"}}]"#,
            "messages[0].content[1]",
        ),
        (
            r#"[{"type":"image_url","image_url":{"url":"data:image/png,plain"}}]"#,
            "messages[0].content[0]",
        ),
        (
            r#"[{"type":"file","file":{"filename":"a.docx","file_data":"data:application/msword;base64,AA"}}]"#,
            "messages[0].content[0]",
        ),
    ];
    for (content, field) in content {
        let body = format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
        let refused = try_request(
            Protocol::Chat,
            Wire::Anthropic,
            "claude-sonnet-4-5",
            true,
            &body,
        );
        assert_eq!(refused.expect_err(content).field, field);
    }
    let named = vec!["user".to_owned()];
    let options = Options {
        additional_drop_params: &named,
        allowed_params: &[],
        ..options("m", false)
    };
    let body = doc(&chat(r#","user":"u""#));
    let rendered =
        translate::request(Protocol::Chat, Wire::Anthropic, &body, &options).expect("a request");
    assert_eq!(rendered.dropped, ["user"]);
    assert!(!String::from_utf8_lossy(&rendered.body).contains("metadata"));
}

#[test]
fn members_that_are_allowed_are_sent_as_they_are() {
    let allowed = ["seed", "brand_new", "max_tokens"].map(str::to_owned);
    let options = Options {
        allowed_params: &allowed,
        ..options("claude-sonnet-4-5", false)
    };
    let body = doc(&chat(
        r#","seed":7,"brand_new":{"a": [1, 2.50]},"max_tokens":9"#,
    ));
    for (wire, own) in [
        (Wire::Anthropic, "max_tokens"),
        (Wire::Gemini, "generationConfig"),
    ] {
        let rendered =
            translate::request(Protocol::Chat, wire, &body, &options).expect("a request");
        assert!(rendered.dropped.is_empty());
        let text = String::from_utf8(rendered.body).expect("UTF-8");
        let sent: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(text.contains(r#""brand_new":{"a": [1, 2.50]}"#), "{text}");
        assert!(sent.get(own).is_some(), "{text}");
        assert!(text.matches("\"max_tokens\"").count() <= 1);
    }
    // What is not named stays refused.
    let body = doc(&chat(r#","seed":7,"logprobs":true"#));
    let refused = translate::request(Protocol::Chat, Wire::Anthropic, &body, &options);
    assert_eq!(refused.expect_err("a refusal").field, "logprobs");
}

const MESSAGES: &str = r#"{"model":"group","max_tokens":50,"temperature":0.2,"top_p":0.9,"stop_sequences":["END"],"stream":true,
"system":[{"type":"text","text":"be kind","cache_control":{"type":"ephemeral"}},{"type":"text","text":"be brief"}],
"metadata":{"user_id":"u-1"},"thinking":{"type":"enabled","budget_tokens":4000},"context_management":{"edits":[]},"service_tier":"standard_only",
"tools":[{"name":"look","description":"looks","input_schema":{"type":"object","properties":{"where":{"type":"string"}}},"cache_control":{"type":"ephemeral"}},
{"type":"custom","name":"mcp__a_server_with_a_very_long_name__a_tool_with_a_very_long_name_too","input_schema":{"type":"object"}}],
"tool_choice":{"type":"auto","disable_parallel_tool_use":true},
"messages":[
{"role":"user","content":[{"type":"text","text":"see","cache_control":{"type":"ephemeral"}},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"image","source":{"type":"url","url":"https://example.org/i.png"}},{"type":"document","title":"T","context":"C","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"plain"}},{"type":"search_result","source":"https://s","title":"S","content":[{"type":"text","text":"found"}]}]},
{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"let me look"},{"type":"tool_use","id":"toolu_1","name":"look","input":{"where": "here"}},{"type":"tool_use","id":"toolu_2","name":"mcp__a_server_with_a_very_long_name__a_tool_with_a_very_long_name_too","input":{}}]},
{"role":"user","content":[{"type":"text","text":"note"},{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"seen"},{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"BBBB"}}]},{"type":"tool_result","tool_use_id":"toolu_2","is_error":true,"content":"failed"}]},
{"role":"assistant","content":"so"}]}"#;

#[test]
fn messages_become_chat() {
    insta::assert_snapshot!(
        "messages_to_chat",
        shown(try_request(
            Protocol::Messages,
            Wire::OpenAi,
            "gpt-5",
            false,
            MESSAGES
        ))
    );
}

fn messages(extra: &str) -> String {
    format!(
        r#"{{"model":"g","max_tokens":5,"messages":[{{"role":"user","content":"hi"}}]{extra}}}"#
    )
}

#[test]
fn messages_members_one_by_one() {
    let cases: &[(&str, &str, String)] = &[
        ("no effort for a model that takes none", "gpt-4o", messages(r#","thinking":{"type":"enabled","budget_tokens":9000}"#)),
        ("effort", "gpt-5", messages(r#","thinking":{"type":"adaptive"},"output_config":{"effort":"max"}"#)),
        ("schema", "gpt-4o", messages(r#","output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}"#)),
        ("choice of a tool", "gpt-4o", messages(r#","tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"f"}"#)),
        ("any tool", "gpt-4o", messages(r#","tools":[{"name":"f","input_schema":{"type":"object"}}],"tool_choice":{"type":"any"}"#)),
        ("a long user id", "gpt-4o", messages(&format!(r#","metadata":{{"user_id":"{}"}}"#, "u".repeat(80)))),
        ("only an image in a result", "gpt-4o", r#"{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"url","url":"https://i"}}]}]}]}"#.to_owned()),
        ("a server tool", "gpt-4o", messages(r#","tools":[{"type":"web_search_20250305","name":"web_search"}]"#)),
        ("a server tool's block", "gpt-4o", r#"{"max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{}}]}]}"#.to_owned()),
        ("top_k", "gpt-4o", messages(r#","top_k":5"#)),
        ("an unknown member", "gpt-4o", messages(r#","brand_new":5"#)),
        ("an MCP server", "gpt-4o", messages(r#","mcp_servers":[{"type":"url","url":"https://m","name":"m"}]"#)),
        ("a document by address", "gpt-4o", r#"{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://d"}}]}]}"#.to_owned()),
    ];
    let mut all = String::new();
    for (name, model, body) in cases {
        let result = try_request(Protocol::Messages, Wire::OpenAi, model, false, body);
        all.push_str(&format!("# {name}\n{}\n", shown(result)));
    }
    insta::assert_snapshot!("messages_members", all);
}

#[test]
fn nothing_is_null_in_a_translated_request() {
    for (from, to, body) in [
        (Protocol::Chat, Wire::Anthropic, CHAT.to_owned()),
        (Protocol::Messages, Wire::OpenAi, MESSAGES.to_owned()),
        (
            Protocol::Chat,
            Wire::Anthropic,
            chat(
                r#","stop":null,"tools":null,"tool_choice":null,"temperature":null,"user":null,"response_format":null"#,
            ),
        ),
        (
            Protocol::Messages,
            Wire::OpenAi,
            messages(
                r#","system":null,"tools":null,"temperature":null,"metadata":null,"stop_sequences":null"#,
            ),
        ),
    ] {
        let sent = try_request(from, to, "claude-sonnet-4-5", true, &body)
            .expect("a request")
            .body;
        let sent = String::from_utf8(sent).expect("text");
        assert!(!sent.contains("null"), "{sent}");
    }
}

/// The whole answer, as readable JSON.
fn answered(back: &Back, body: &str) -> String {
    match translate::answer(
        back,
        Bytes::copy_from_slice(body.as_bytes()),
        &head(),
        &Limits::default(),
    ) {
        Ok(answer) => {
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            serde_json::to_string_pretty(&answer).expect("JSON")
        }
        Err(error) => format!("refused: {error}"),
    }
}

#[test]
fn messages_answers_become_chat() {
    let plain = back(Protocol::Chat, Wire::Anthropic, "");
    let format = back(
        Protocol::Chat,
        Wire::Anthropic,
        r#","response_format":{"type":"json_object"}"#,
    );
    let usage = r#""usage":{"input_tokens":3,"cache_creation_input_tokens":4,"cache_read_input_tokens":5,"output_tokens":7}"#;
    let message = |content: &str, stop: &str| {
        format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":{content},"stop_reason":"{stop}","stop_sequence":null,{usage}}}"#
        )
    };
    let cases = [
        (
            "text",
            &plain,
            message(
                r#"[{"type":"text","text":"a \"b\""},{"type":"text","text":"\u00e9","citations":[{"type":"char_location","cited_text":"q"}]}]"#,
                "end_turn",
            ),
        ),
        (
            "tools",
            &plain,
            message(
                r#"[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"redacted_thinking","data":"ZGF0"},{"type":"text","text":"I look"},{"type":"tool_use","id":"toolu_1","name":"look","input":{"where":"h\"ere"}},{"type":"tool_use","id":"toolu_2","name":"bare","input":{}}]"#,
                "tool_use",
            ),
        ),
        (
            "cut",
            &plain,
            message(r#"[{"type":"text","text":"a"}]"#, "max_tokens"),
        ),
        ("refusal", &plain, message(r#"[]"#, "refusal")),
        (
            "server tools",
            &plain,
            message(
                r#"[{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}},{"type":"web_search_tool_result","tool_use_id":"s","content":[{"type":"web_search_result","url":"https://u","title":"t","encrypted_content":"xx"}]}]"#,
                "pause_turn",
            ),
        ),
        (
            "format",
            &format,
            message(
                r#"[{"type":"tool_use","id":"toolu_1","name":"json_tool_call","input":{"a": 1}}]"#,
                "tool_use",
            ),
        ),
        (
            "no message",
            &plain,
            r#"{"type":"error","error":{}}"#.to_owned(),
        ),
        (
            "half a call",
            &plain,
            message(r#"[{"type":"tool_use","name":"x"}]"#, "tool_use"),
        ),
        (
            "impossible usage",
            &plain,
            r#"{"type":"message","content":[],"usage":{"input_tokens":-1}}"#.to_owned(),
        ),
        (
            "two readings",
            &plain,
            r#"{"type":"message","type":"message","content":[]}"#.to_owned(),
        ),
    ];
    let mut all = String::new();
    for (name, back, body) in cases {
        all.push_str(&format!("# {name}\n{}\n", answered(back, &body)));
    }
    insta::assert_snapshot!("messages_answers", all);
}

#[test]
fn chat_answers_become_messages() {
    let long = r#","tools":[{"name":"mcp__a_server_with_a_very_long_name__a_tool_with_a_very_long_name_too","input_schema":{}}]"#;
    let back = back(Protocol::Messages, Wire::OpenAi, long);
    let short = try_request(
        Protocol::Messages,
        Wire::OpenAi,
        "m",
        false,
        &messages(long),
    )
    .expect("a request")
    .body;
    let short: Value = serde_json::from_slice(&short).expect("JSON");
    let short = short["tools"][0]["function"]["name"]
        .as_str()
        .expect("a name")
        .to_owned();
    assert!(short.len() <= 64);
    let usage = r#""usage":{"prompt_tokens":12,"completion_tokens":7,"total_tokens":19,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":2}}"#;
    let completion = |message: &str, finish: &str| {
        format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"gpt","choices":[{{"index":0,"message":{message},"finish_reason":"{finish}"}}],{usage}}}"#
        )
    };
    let calls = format!(
        r#"{{"role":"assistant","content":"I look","tool_calls":[{{"id":"call_1","type":"function","function":{{"name":"look","arguments":"{{\"a\": 1}}"}}}},{{"id":"call_2","type":"function","function":{{"name":"{short}","arguments":""}}}},{{"id":"call_3","type":"function","function":{{"name":"look","arguments":"not json"}}}}]}}"#
    );
    let cases = [
        (
            "text",
            completion(r#"{"role":"assistant","content":"a \"b\""}"#, "stop"),
        ),
        (
            "reasoning",
            completion(
                r#"{"role":"assistant","reasoning_content":"hm","content":"a"}"#,
                "stop",
            ),
        ),
        ("tools", completion(&calls, "tool_calls")),
        ("tools that end with stop", completion(&calls, "stop")),
        (
            "cut",
            completion(r#"{"role":"assistant","content":"a"}"#, "length"),
        ),
        (
            "refusal",
            completion(
                r#"{"role":"assistant","content":null,"refusal":"I will not"}"#,
                "stop",
            ),
        ),
        (
            "filtered",
            completion(r#"{"role":"assistant","content":""}"#, "content_filter"),
        ),
        (
            "no usage",
            r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#.to_owned(),
        ),
        ("no choice", r#"{"choices":[]}"#.to_owned()),
    ];
    let mut all = String::new();
    for (name, body) in cases {
        all.push_str(&format!("# {name}\n{}\n", answered(&back, &body)));
    }
    insta::assert_snapshot!("chat_answers", all);
}

#[test]
fn error_bodies_give_their_facts() {
    let anthropic = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#;
    let error = translate::error(Wire::Anthropic, Bytes::from(anthropic));
    assert_eq!(
        (error.message.as_deref(), error.kind.as_deref()),
        (Some("Overloaded"), Some("overloaded_error"))
    );
    let openai =
        r#"{"error":{"message":"m","type":"invalid_request_error","param":"n","code":"c"}}"#;
    let error = translate::error(Wire::OpenAi, Bytes::from(openai));
    assert_eq!(
        (error.param.as_deref(), error.code.as_deref()),
        (Some("n"), Some("c"))
    );
    for other in [
        "",
        "<html>",
        "[]",
        r#"{"error":null}"#,
        r#"{"error":{"code":7}}"#,
    ] {
        let error = translate::error(Wire::OpenAi, Bytes::from(other));
        assert_eq!(error.message, None, "{other}");
    }
}

/// Runs a stream cut at the given places; the output and the error that stopped it.
pub(crate) fn stream(back: &Back, input: &str, cuts: &[usize]) -> String {
    let mut translator = StreamTranslator::new(back, &head(), &Limits::default());
    let mut out = Vec::new();
    let mut failed = None;
    for frame in fuzz::frames(input.as_bytes(), cuts).expect("frames") {
        if let Err(error) = translator.push(&frame, &mut out) {
            failed = Some(error);
            break;
        }
    }
    translator.finish(&mut out).expect("an end");
    let mut text = String::from_utf8(out).expect("text");
    if let Some(error) = failed {
        text.push_str(&format!("stopped: {error}\n"));
    }
    text
}
