//! A record like those of the gateway: one chat call, content mode `hash`, no check, about 2.3 KB.

use capsule::{
    Authority, Capsule, CapsuleType, Context, DecisionOption, Execution, Id, Outcome, Reasoning,
    Timestamp, ToolCall, Trigger,
    json::{Object, Value},
};

const DIGEST: &str = "5f2c7a19e04bd863c1a97f3e52d60b48";

/// A record with this id, made at `at` in this ledger. It has no intent number, since nothing was opened for it.
pub(super) fn record(id: Id, ledger: Id, at: Timestamp) -> Capsule {
    Capsule {
        id,
        capsule_type: CapsuleType::Chat,
        domain: "gateway".to_owned(),
        parent_id: None,
        trigger: Trigger {
            source: "chat/completions".to_owned(),
            timestamp: at,
            correlation_id: Some("0f9d7a52-64c1-4f0e-8a3b-5d2e91c7b604".to_owned()),
            user_id: Some("6b1e0c94-2d7f-4a85-b3c9-80f4e6a1d257".to_owned()),
            ..Trigger::default()
        },
        context: Context {
            agent_id: "gateway-1".to_owned(),
            session_id: Some("c3a8f5e0-9b64-4d12-a7f1-3e6092d8b54c".to_owned()),
            environment: environment(ledger),
        },
        reasoning: reasoning(),
        authority: Authority::default(),
        execution: execution(),
        outcome: Outcome {
            status: "success".into(),
            summary: "Completed: gpt-4o".to_owned(),
            metrics: usage(),
            ..Outcome::default()
        },
    }
}

fn environment(ledger: Id) -> Object {
    let mut map = Object::with_capacity(24);
    map.insert("call_type", "acompletion");
    map.insert("config_digest", DIGEST.repeat(2));
    map.insert("cost_source", "model_info");
    map.insert("delivered_text_digest", object(&[("0/text", DIGEST)]));
    map.insert("deployment", "4c9e2f7b1a6d8035");
    map.insert("digest_key", "a1b2c3d4e5f60718");
    map.insert("key_id", "master");
    map.insert("ledger", ledger.to_string());
    map.insert("model_group", "gpt-4o");
    map.insert("observed", true);
    map.insert("policy_digest", Value::Null);
    map.insert("price_digest", Value::Null);
    map.insert("provider", "openai");
    for name in [
        "request_digest",
        "response_digest",
        "sent_digest",
        "sent_text_digest",
    ] {
        map.insert(name, DIGEST);
    }
    map.insert("stream", false);
    map.insert("team", Value::Null);
    map.insert("tenant", "");
    map.insert("version", "0.1.0");
    map
}

fn reasoning() -> Reasoning {
    Reasoning {
        analysis: "deployment chosen by the router".to_owned(),
        options: vec![DecisionOption {
            id: "4c9e2f7b1a6d8035".to_owned(),
            description: "deployment 4c9e2f7b1a6d8035".to_owned(),
            selected: true,
            ..DecisionOption::default()
        }],
        selected_option: "4c9e2f7b1a6d8035".to_owned(),
        reasoning: "model group gpt-4o".to_owned(),
        model: Some("gpt-4o".to_owned()),
        prompt_hash: Some(DIGEST.repeat(2)),
        ..Reasoning::default()
    }
}

fn execution() -> Execution {
    let mut attempt = object(&[("deployment", "4c9e2f7b1a6d8035")]);
    attempt.insert("micros", 812_345u64);
    attempt.insert("status", 200u64);
    let mut result = Object::new();
    result.insert("attempts", Value::Array(vec![Value::Object(attempt)]));
    result.insert("finish_reasons", Value::Array(vec![Value::from("stop")]));
    let mut arguments = object(&[("model", "gpt-4o")]);
    arguments.insert("stream", false);
    Execution {
        tool_calls: vec![ToolCall {
            tool: "llm.acompletion".to_owned(),
            arguments,
            result: Value::Object(result),
            success: true,
            duration_ms: 812,
            error: None,
        }],
        duration_ms: 813,
        resources_used: usage(),
    }
}

fn usage() -> Object {
    let mut map = Object::new();
    map.insert("cost_micro_usd", 562u64);
    map.insert("latency_ms", 813u64);
    map.insert("tokens_in", 57u64);
    map.insert("tokens_out", 42u64);
    map
}

fn object(members: &[(&'static str, &str)]) -> Object {
    let mut map = Object::new();
    for (name, value) in members {
        map.insert(*name, *value);
    }
    map
}
