//! The fuzz bodies of Messages and the translations over a corpus, whole and damaged.

use llm::fuzz::translate;

const CORPUS: &[&str] = &[
    r#"{"model":"g","max_tokens":5,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"metadata":{"user_id":"u","tags":["t"]},"tags":["x"],"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"r"}]},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"h","signature":"c"},{"type":"tool_use","id":"t","name":"n","input":{"a":[1,"b"]}}]}],"tools":[{"name":"n","input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"n"}}"#,
    r#"{"model":"g","stop":["a"],"user":"u","reasoning_effort":"low","response_format":{"type":"json_object"},"tools":[{"type":"function","function":{"name":"f","parameters":{}}}],"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"t"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]},{"role":"assistant","content":"","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c","content":"r"}]}"#,
    r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"a"},{"type":"thinking","thinking":"h","signature":"s"},{"type":"tool_use","id":"t","name":"json_tool_call","input":{"a":"b"}},{"type":"redacted_thinking","data":"d"}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}"#,
    r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a","reasoning_content":"r","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":1}}}"#,
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"model\":\"c\",\"content\":[],\"usage\":{\"input_tokens\":1}}}\n\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\"}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"a\"}}\n\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_delta\",\"signature\":\"s\"}}\n\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\ndata: {\"type\":\"message_stop\"}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n",
];

fn run(input: &[u8]) {
    type Body = fn(&[u8]) -> Result<(), String>;
    let bodies: [(&str, Body); 6] = [
        ("messages_request", translate::messages_request),
        ("messages_answer", translate::messages_answer),
        ("messages_stream", translate::messages_stream),
        ("translated_request", translate::translated_request),
        ("translated_answer", translate::translated_answer),
        ("translated_stream", translate::translated_stream),
    ];
    for (name, body) in bodies {
        if let Err(broken) = body(input) {
            panic!("{name}: {broken}: {:?}", String::from_utf8_lossy(input));
        }
    }
}

#[test]
fn corpus_keeps_every_promise() {
    for input in CORPUS {
        run(input.as_bytes());
    }
}

#[test]
fn damaged_corpus_keeps_every_promise() {
    for (number, input) in CORPUS.iter().enumerate() {
        for at in 0..input.len() {
            for way in [(at + number) % 23, (at * 7 + number) % 23] {
                run(&crate::fuzz::damage(input.as_bytes(), at, way));
            }
        }
    }
}

/// Values of members swapped for those of others: what is right somewhere, elsewhere.
#[test]
fn wrong_types_keep_every_promise() {
    let values = [
        "null",
        "true",
        "7",
        "-1",
        "\"x\"",
        "[]",
        "{}",
        "[\"x\"]",
        "{\"type\":\"text\"}",
        "{\"a\":{\"b\":\"c\"}}",
    ];
    for input in CORPUS.iter().take(4) {
        let doc = llm::scan::Doc::parse(input.to_string().into(), &llm::scan::Limits::default());
        let doc = doc.expect("JSON");
        let mut keys = Vec::new();
        llm::fuzz::strings(doc.root(), &mut keys);
        for node in keys {
            for value in values {
                let span = node.span();
                // A key keeps its place: its value is replaced.
                let rest = &input[span.end..];
                let changed = match rest.strip_prefix(':') {
                    Some(_) => continue,
                    None => format!("{}{value}{rest}", &input[..span.start]),
                };
                run(changed.as_bytes());
            }
        }
    }
}
