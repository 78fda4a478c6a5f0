//! The fuzz bodies of the parsers over a corpus of every protocol, whole and damaged.

use llm::fuzz::parsers;

const CORPUS: &[&str] = &[
    r#"{"model":"g","prompt":["a","b"],"suffix":"s","stop":["x"],"n":2,"stream":true,"logit_bias":{"50256":-100},"user":"u","metadata":{"tags":["t"]},"future":{"note":"n"}}"#,
    r#"{"model":"g","prompt":[[1,2,3],[4]],"best_of":3,"max_tokens":4,"guardrails":["g"],"fallbacks":["h"]}"#,
    r#"{"model":"g","input":["a",{"type":"text","text":"t"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}],"tags":["t"]}"#,
    r#"{"model":"g","input":"text","dimensions":2,"encoding_format":"float","user":"u"}"#,
    r#"{"model":"g","max_tokens":4,"system":"s","messages":[{"role":"user","content":[{"type":"text","text":"t"},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AA"},"title":"d"}]},{"role":"assistant","content":[{"type":"redacted_thinking","data":"d"},{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"}}]}],"tools":[{"type":"web_search_20250305","name":"web_search"}],"context_management":{"edits":[]},"metadata":{"user_id":"u"}}"#,
    r##"{"model":"g","instructions":"i","input":[{"role":"user","content":"t"},{"type":"item_of_tomorrow","payload":["p"]}],"previous_response_id":"resp_1","tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"f"}]},{"type":"web_search"}],"store":true,"conversation":{"id":"c"}}"##,
    r#"{"model":"g","messages":[{"role":"developer","content":"d"},{"role":"user","content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,AA","filename":"f"}}]},{"role":"assistant","content":"","thinking_blocks":[{"type":"thinking","thinking":"h","signature":"s"}],"audio":{"id":"a"}},{"role":"tool","tool_call_id":"c__thought__AA","content":"r"}],"functions":[{"name":"f","parameters":{}}],"web_search_options":{},"prediction":{"type":"content","content":"p"}}"#,
    r#"{"id":"cmpl","object":"text_completion","model":"m","choices":[{"index":0,"text":"a","finish_reason":"stop","logprobs":{"tokens":["a"],"text_offset":[0]}}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#,
    r#"{"id":"modr","model":"m","results":[{"flagged":true,"categories":{"hate":true},"category_scores":{"hate":0.5},"category_applied_input_types":{"hate":["text"]}}]}"#,
    r#"{"input_tokens":17,"context_management":{"original_input_tokens":20}}"#,
    r#"{"object":"list","data":[{"type":"message","id":"msg_1","role":"user","content":[{"type":"input_text","text":"t"}]}],"first_id":"msg_1","last_id":"msg_1","has_more":false}"#,
    r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,1e-3]},{"object":"embedding","index":1,"embedding":"AACAPw=="}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}"#,
    r#"{"error":{"message":"prompt is too long: 5 tokens > 4 maximum","type":"invalid_request_error","param":"messages","code":400,"status":"INVALID_ARGUMENT"}}"#,
    r#"[{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":[]}}]"#,
    // A chunk with nothing but signed thinking.
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"h\",\"signature\":\"s\"}]}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"thinking_blocks\":[{\"type\":\"redacted_thinking\",\"data\":\"d\"}]},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
    "data: {\"id\":\"cmpl\",\"object\":\"text_completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\"a\",\"logprobs\":null,\"finish_reason\":null}]}\n\ndata: {\"error\":{\"message\":\"no\"}}\n\ndata: [DONE]\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n",
    "event: response.failed\ndata: {\"type\":\"response.failed\",\"sequence_number\":3,\"response\":{\"id\":\"r\",\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"m\"},\"output\":[]}}\n\n",
];

fn run(input: &[u8]) {
    type Body = fn(&[u8]) -> Result<(), String>;
    let bodies: [(&str, Body); 4] = [
        ("request", parsers::request),
        ("answer", parsers::answer),
        ("stream", parsers::stream),
        ("error", parsers::error),
    ];
    for (name, body) in bodies {
        if let Err(broken) = body(input) {
            panic!("{name}: {broken}: {:?}", String::from_utf8_lossy(input));
        }
    }
}

/// A protocol without a known good body would not be tested at all.
#[test]
fn every_protocol_is_in_the_corpus() {
    use llm::protocol;
    let limits = llm::scan::Limits::default();
    for protocol in parsers::PROTOCOLS {
        let read = |body: &&str| {
            let body = (**body).to_owned().into();
            protocol::request(protocol, body, &limits).is_ok()
        };
        assert!(CORPUS.iter().any(read), "{protocol:?}");
        let answered = |body: &&str| {
            let answer = protocol::answer(protocol, (**body).to_owned().into(), &limits);
            answer.is_ok_and(|answer| answer.is_answer())
        };
        let elsewhere = matches!(
            protocol,
            protocol::Protocol::Messages | protocol::Protocol::Responses
        );
        assert!(elsewhere || CORPUS.iter().any(answered), "{protocol:?}");
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
            let way = (at * 7 + number) % 23;
            run(&crate::fuzz::damage(input.as_bytes(), at, way));
        }
    }
}
