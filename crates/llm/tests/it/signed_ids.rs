//! Ids of tool calls in which Gemini's answers carry a signature, when another provider serves the next turn.

use bytes::Bytes;
use llm::openai::Target;
use llm::protocol::{self, Protocol};
use llm::provider::{Provider, Wire};
use serde_json::json;

use crate::translated::{limits, request};

/// Longest id of a tool call that OpenAI takes.
const LONGEST: usize = 64;

#[test]
fn another_provider_gets_the_id_alone() {
    let id = format!("call_01_0_0__thought__{}", "Ab-_".repeat(500));
    let chat = json!({ "model": "g", "messages": [
        { "role": "user", "content": "weather?" },
        { "role": "assistant", "content": null, "tool_calls": [
            { "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } },
            { "id": "call_plain", "type": "function", "function": { "name": "f", "arguments": "{}" } }] },
        { "role": "tool", "tool_call_id": id, "content": "sunny, says __thought__ itself" },
        { "role": "tool", "tool_call_id": "call_plain", "content": "r" }] });
    let responses = json!({ "model": "g", "input": [
        { "role": "user", "content": "sunny, says __thought__ itself" },
        { "type": "function_call", "call_id": id, "name": "f", "arguments": "{}" },
        { "type": "function_call_output", "call_id": id, "output": "r" }] });
    for (protocol, body) in [(Protocol::Chat, &chat), (Protocol::Responses, &responses)] {
        let body = Bytes::from(body.to_string());
        let client = protocol::request(protocol, body, &limits()).expect("a request");
        let edits = client.upstream_edits(&Target {
            model: "m",
            provider: Provider::named("openai").expect("a provider"),
            forward_metadata: false,
            allowed: &[],
        });
        let sent = edits.apply(client.doc()).expect("edits");
        let sent = String::from_utf8_lossy(&sent).into_owned();
        assert_eq!(sent.matches("\"call_01_0_0\"").count(), 2, "{sent}");
        assert!(
            sent.contains("says __thought__ itself"),
            "a text stays: {sent}"
        );
        assert!("call_01_0_0".len() < LONGEST && !sent.contains("Ab-_Ab-_"));
    }
    // To Gemini it goes back as the signature that it is.
    let back = request(Protocol::Chat, Wire::Gemini, &chat, true).expect("a translation");
    let back = String::from_utf8_lossy(&back.body).into_owned();
    assert!(
        back.contains(&format!("\"thoughtSignature\":\"{}", "Ab+/".repeat(10))),
        "{back}"
    );
    // A client's turn that was answered by Gemini and is now for a provider of chat completions.
    let over = request(Protocol::Responses, Wire::OpenAi, &responses, true).expect("a translation");
    let chat = protocol::request(Protocol::Chat, over.body.into(), &limits()).expect("a request");
    let edits = chat.upstream_edits(&Target {
        model: "m",
        provider: Provider::named("groq").expect("a provider"),
        forward_metadata: false,
        allowed: &[],
    });
    let sent = edits.apply(chat.doc()).expect("edits");
    assert_eq!(
        String::from_utf8_lossy(&sent)
            .matches("\"call_01_0_0\"")
            .count(),
        2
    );
}
