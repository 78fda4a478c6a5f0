//! The fuzz bodies of Responses, and the translations, over a corpus, whole and damaged.

use llm::fuzz::{responses, translate};

const CORPUS: &[&str] = &[
    r##"{"model":"g","instructions":"i","input":[{"role":"user","content":[{"type":"input_text","text":"t"},{"type":"input_image","image_url":"data:image/png;base64,AA"}]},{"type":"reasoning","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"sealgate-signature:AA"},{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"},{"type":"custom_tool_call","call_id":"d","name":"p","input":"i"},{"type":"function_call_output","call_id":"c","output":"o"},{"type":"custom_tool_call_output","call_id":"d","output":[{"type":"input_text","text":"o"}]}],"tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{"type":["string","null"],"nullable":true,"oneOf":[{"type":"null"}],"anyOf":[],"const":"x","enum":["y"]}}}},{"type":"custom","name":"p","format":{"type":"grammar","syntax":"lark","definition":"d"}}],"tool_choice":{"type":"function","name":"f"},"text":{"format":{"type":"json_schema","name":"n","schema":{"$ref":"#"}},"verbosity":"low"},"reasoning":{"effort":"low"},"metadata":{"a":"b"},"guardrails":["g"],"max_output_tokens":5,"stream":true}"##,
    r##"{"model":"g","messages":[{"role":"user","content":[{"type":"text","text":"t"},{"type":"input_audio","input_audio":{"data":"AA","format":"wav"}}]},{"role":"assistant","content":null,"tool_calls":[{"id":"c__thought__AA","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c__thought__AA","content":"r"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"string","format":"date-time"}}}}}],"stop":["a"],"n":2,"reasoning_effort":"low","thinking":{"type":"enabled","budget_tokens":5},"response_format":{"type":"json_object"},"tool_choice":"auto","function_call":"none","safety_settings":[],"safetySettings":[],"max_tokens":4,"max_completion_tokens":5}"##,
    r#"{"model":"g","prompt":"p","max_tokens":4,"messages":[],"max_completion_tokens":3,"stop":"x","n":1,"suffix":null}"#,
    r#"{"model":"g","input":["a","b"],"dimensions":2,"encoding_format":"base64"}"#,
    r#"{"candidates":[{"index":0,"finishReason":"STOP","content":{"role":"model","parts":[{"text":"a","thought":true},{"text":"b"},{"functionCall":{"name":"f","args":{"a":1}},"thoughtSignature":"AA=="},{"inlineData":{"mimeType":"image/png","data":"AA"}}]}}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2,"thoughtsTokenCount":1,"cachedContentTokenCount":1}}"#,
    r#"{"embeddings":[{"values":[0.5,-1e3]},{"values":[]}]}"#,
    r#"{"id":"r","object":"response","status":"completed","model":"m","output":[{"type":"reasoning","id":"a","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"e"},{"type":"message","id":"b","role":"assistant","content":[{"type":"output_text","text":"t","annotations":[],"logprobs":[{"token":"t"}]},{"type":"refusal","refusal":"n"}]},{"type":"function_call","id":"c","call_id":"c","name":"f","arguments":"{}"}],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}"#,
    "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r\",\"model\":\"m\",\"output\":[]}}\n\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":1,\"output_index\":0,\"item\":{\"type\":\"function_call\",\"id\":\"i\",\"name\":\"f\",\"arguments\":\"\"}}\n\ndata: {\"type\":\"response.function_call_arguments.delta\",\"sequence_number\":2,\"item_id\":\"i\",\"output_index\":0,\"delta\":\"{\"}\n\ndata: {\"type\":\"response.function_call_arguments.done\",\"sequence_number\":3,\"item_id\":\"i\",\"output_index\":0,\"arguments\":\"{}\"}\n\ndata: {\"type\":\"response.completed\",\"sequence_number\":4,\"response\":{\"id\":\"r\",\"status\":\"completed\",\"output\":[{\"type\":\"function_call\",\"id\":\"i\",\"name\":\"f\",\"arguments\":\"{}\"}]}}\n\n",
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\n\ndata: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\"}}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1}}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"r\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\",\"refusal\":\"b\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\"}},{\"index\":1,\"function\":{\"name\":\"patch\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n",
];

fn run(input: &[u8]) {
    type Body = fn(&[u8]) -> Result<(), String>;
    let bodies: [(&str, Body); 6] = [
        ("request", responses::request),
        ("answer", responses::answer),
        ("stream", responses::stream),
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
        for at in (0..input.len()).step_by(2) {
            run(&crate::fuzz::damage(
                input.as_bytes(),
                at,
                (at * 7 + number) % 23,
            ));
        }
    }
}

#[test]
fn wrong_types_keep_every_promise() {
    let values = [
        "null",
        "7",
        "\"x\"",
        "[]",
        "{}",
        "[\"x\"]",
        "{\"type\":\"text\"}",
        "{\"a\":{\"b\":\"c\"}}",
    ];
    for input in CORPUS.iter().filter(|input| input.starts_with('{')) {
        let doc = llm::scan::Doc::parse(input.to_string().into(), &llm::scan::Limits::default());
        let doc = doc.expect("JSON");
        let mut nodes = Vec::new();
        llm::fuzz::strings(doc.root(), &mut nodes);
        for node in nodes {
            let span = node.span();
            let rest = &input[span.end..];
            // A key keeps its place.
            if rest.starts_with(':') {
                continue;
            }
            for value in values {
                run(format!("{}{value}{rest}", &input[..span.start]).as_bytes());
            }
        }
    }
}
