//! The fuzz bodies over a corpus: known bodies, and each of them damaged in many places.

use llm::fuzz;

const CORPUS: &[&str] = &[
    r#"{"model":"g","messages":[{"role":"user","content":"hi \u00e9 \ud83d\ude00"}],"stream":true}"#,
    r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:x"}}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"p":{"enum":["e"]}}}}}],"metadata":{"tags":["t"]},"max_completion_tokens":5,"seed":1,"user":"u"}"#,
    r#"{"model":"g","input":["a",[1,2]],"dimensions":3,"user":"u","metadata":{}}"#,
    r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"a\nb","tool_calls":[{"index":0,"function":{"arguments":"{\"k\":"}}]},"logprobs":{"content":[]},"finish_reason":null}],"usage":null}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
    r#"{"error":{"message":"no"}}"#,
    "data: {\"a\":1}\r\n\r\n: c\n\nevent: x\rdata: y\r\rdata: [DONE]\n\n",
    r#"{"a":{"b":[1,2.5,-3e2,true,null,""]},"\u0061\n":{}}"#,
];

/// One way to break or bend an input at `at`.
pub(crate) fn damage(input: &[u8], at: usize, way: usize) -> Vec<u8> {
    const BYTES: &[u8] = b"\"\\{}[],:0-eE.\n\r\xff\xc3u ";
    let mut out = input.to_vec();
    match way {
        0 => out.truncate(at),
        1 => drop(out.remove(at)),
        2 => out.insert(at, out[at]),
        3 => out.swap(at, input.len() - 1 - at),
        other => out[at] = BYTES[other % BYTES.len()],
    }
    out
}

fn run(input: &[u8]) {
    type Body = fn(&[u8]) -> Result<(), String>;
    let bodies: [(&str, Body); 5] = [
        ("scan", fuzz::scan),
        ("chat_request", fuzz::chat_request),
        ("embeddings_request", fuzz::embeddings_request),
        ("chunk", fuzz::chunk),
        ("sse", fuzz::sse),
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
pub(crate) fn damaged_corpus_keeps_every_promise() {
    for (number, input) in CORPUS.iter().enumerate() {
        for at in 0..input.len() {
            // Two ways a place keep the run short; over all places every way is taken.
            for way in [(at + number) % 23, (at * 7 + number) % 23] {
                run(&damage(input.as_bytes(), at, way));
            }
        }
    }
}
