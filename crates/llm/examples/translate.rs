//! What translations cost: CPU time per small call and per stream event.
//!
//! `cargo run --release -p sealgate-llm --example translate`

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a measurement prints, and stops where its own input is wrong"
)]

use bytes::Bytes;
use llm::openai::stream::Head;
use llm::protocol::Protocol;
use llm::scan::{Doc, Limits};
use llm::sse::{Frame, Framer, SseLimits};
use llm::translate::{self, Back, Options, StreamTranslator, Wire};

const CHAT: &str = r#"{"model":"group","temperature":0.5,"max_tokens":200,"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"What is the capital of France, and how many people live there?"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"look_up","arguments":"{\"city\": \"Paris\"}"}}]},{"role":"tool","tool_call_id":"call_1","content":"2.1 million"},{"role":"user","content":"Thanks; say it in one sentence."}],"tools":[{"type":"function","function":{"name":"look_up","description":"Looks a city up","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]}"#;
const MESSAGES: &str = r#"{"model":"group","max_tokens":200,"temperature":0.5,"system":"You are a helpful assistant.","messages":[{"role":"user","content":"What is the capital of France, and how many people live there?"},{"role":"assistant","content":[{"type":"tool_use","id":"toolu_1","name":"look_up","input":{"city":"Paris"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"2.1 million"},{"type":"text","text":"Thanks; say it in one sentence."}]}],"tools":[{"name":"look_up","description":"Looks a city up","input_schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}]}"#;
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"Paris, the capital of France, has 2.1 million inhabitants."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":90,"output_tokens":20}}"#;
const COMPLETION: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"gpt","choices":[{"index":0,"message":{"role":"assistant","content":"Paris, the capital of France, has 2.1 million inhabitants."},"finish_reason":"stop"}],"usage":{"prompt_tokens":90,"completion_tokens":20,"total_tokens":110}}"#;

const RESPONSES: &str = r#"{"model":"group","temperature":0.5,"max_output_tokens":200,"instructions":"You are a helpful assistant.","input":[{"role":"user","content":[{"type":"input_text","text":"What is the capital of France, and how many people live there?"}]},{"type":"function_call","call_id":"call_1","name":"look_up","arguments":"{\"city\": \"Paris\"}"},{"type":"function_call_output","call_id":"call_1","output":"2.1 million"},{"role":"user","content":"Thanks; say it in one sentence."}],"tools":[{"type":"function","name":"look_up","description":"Looks a city up","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}]}"#;
const GENERATED: &str = r#"{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"Paris, the capital of France, has 2.1 million inhabitants."}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":90,"candidatesTokenCount":20,"totalTokenCount":110},"modelVersion":"gemini"}"#;
const CHUNK: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-5\",\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" inhabitants\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n";
const GENERATED_CHUNK: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\" inhabitants\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":90,\"totalTokenCount\":95},\"modelVersion\":\"gemini\"}\n\n";

const RUNS: u32 = 100_000;
const ROUNDS: u32 = 5;

fn head() -> Head {
    Head {
        id: "call-1".to_owned(),
        created: 1_700_000_000,
        model: "group".to_owned(),
    }
}

/// Microseconds that this thread has run: what else the machine does is not counted.
fn used() -> f64 {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = times
        .split(' ')
        .next()
        .and_then(|text| text.parse::<f64>().ok());
    nanos.expect("a number") / 1e3
}

/// CPU microseconds of one run of `body`, the best of several rounds.
fn micros(mut body: impl FnMut()) -> f64 {
    let round = |body: &mut dyn FnMut()| {
        let began = used();
        for _ in 0..RUNS {
            body();
        }
        (used() - began) / f64::from(RUNS)
    };
    (0..ROUNDS)
        .map(|_| round(&mut body))
        .fold(f64::MAX, f64::min)
}

fn call(name: &str, from: Protocol, to: Wire, request: &str, answer: &str) -> Back {
    let limits = Limits::default();
    let doc = Doc::parse(Bytes::copy_from_slice(request.as_bytes()), &limits).expect("JSON");
    let options = Options {
        model: "claude-sonnet-4-5",
        drop_params: false,
        additional_drop_params: &[],
        allowed_params: &[],
        optional_params: &[],
        default_max_tokens: 4096,
    };
    let there = micros(|| {
        let rendered = translate::request(from, to, &doc, &options).expect("a request");
        std::hint::black_box(rendered);
    });
    let back = translate::request(from, to, &doc, &options)
        .expect("a request")
        .back;
    let body = Bytes::copy_from_slice(answer.as_bytes());
    let home = micros(|| {
        let answer = translate::answer(&back, body.clone(), &head(), &limits).expect("an answer");
        std::hint::black_box(answer);
    });
    println!(
        "{name}: request {there:.2} us, answer {home:.2} us, together {:.2} us (25 allowed)",
        there + home
    );
    back
}

fn frames(text: &str) -> Vec<Frame> {
    let mut framer = Framer::new(SseLimits::default());
    framer
        .push(Bytes::copy_from_slice(text.as_bytes()))
        .expect("frames");
    std::iter::from_fn(|| framer.next_frame()).collect()
}

fn chunk(name: &str, back: &Back, begin: &str, delta: &str) {
    let limits = Limits::default();
    let mut translator = StreamTranslator::new(back, &head(), &limits);
    let mut out = Vec::new();
    for frame in frames(begin) {
        translator.push(&frame, &mut out).expect("an event");
    }
    let delta = frames(delta);
    let event = micros(|| {
        out.clear();
        for frame in &delta {
            translator.push(frame, &mut out).expect("an event");
        }
        std::hint::black_box(&out);
    });
    println!("{name}: {event:.2} us an event (2 allowed)");
}

fn main() {
    let claude = call(
        "chat to Anthropic",
        Protocol::Chat,
        Wire::Anthropic,
        CHAT,
        MESSAGE,
    );
    let gpt = call(
        "messages to OpenAI",
        Protocol::Messages,
        Wire::OpenAi,
        MESSAGES,
        COMPLETION,
    );
    chunk(
        "stream of Anthropic to chat",
        &claude,
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" inhabitants\"}}\n\n",
    );
    chunk("stream of OpenAI to messages", &gpt, "", CHUNK);
    let responses = call(
        "responses to OpenAI",
        Protocol::Responses,
        Wire::OpenAi,
        RESPONSES,
        COMPLETION,
    );
    chunk("stream of OpenAI to responses", &responses, "", CHUNK);
    let gemini = call(
        "chat to Gemini",
        Protocol::Chat,
        Wire::Gemini,
        CHAT,
        GENERATED,
    );
    chunk("stream of Gemini to chat", &gemini, "", GENERATED_CHUNK);
    let both = call(
        "responses to Gemini",
        Protocol::Responses,
        Wire::Gemini,
        RESPONSES,
        GENERATED,
    );
    chunk("stream of Gemini to responses", &both, "", GENERATED_CHUNK);
    let agent = call(
        "responses to Anthropic",
        Protocol::Responses,
        Wire::Anthropic,
        RESPONSES,
        MESSAGE,
    );
    chunk(
        "stream of Anthropic to responses",
        &agent,
        "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" inhabitants\"}}\n\n",
    );
    let claude_code = call(
        "messages to Gemini",
        Protocol::Messages,
        Wire::Gemini,
        MESSAGES,
        GENERATED,
    );
    chunk(
        "stream of Gemini to messages",
        &claude_code,
        "",
        GENERATED_CHUNK,
    );
}
