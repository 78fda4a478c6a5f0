//! What goes into a record: one call becomes one capsule.
//!
//! Nothing here is text of a client, a provider or a user: ids, numbers, configured names and keyed digests only. The modes
//! `masked` and `encrypted` add a commitment to what is kept beside the record. Only mode `full` adds the last user message
//! and the answer's text in clear.

use capsule::json::{Object, Value};
use capsule::{
    Authority, Capsule, CapsuleType, Context, DecisionOption, Execution, Outcome, Reasoning,
    ToolCall, Trigger,
};

use super::facts::{AskedTool, End, Facts, UsageSource};
use crate::app::LedgerInfo;
use crate::config::ContentMode;
use crate::content::Kept;
use crate::digest::{DigestKey, Purpose};
use policy::Cost;

/// Longest text of a request or answer kept in mode `full`, in characters: what the reference's readers expect.
const LONGEST_TEXT: usize = 2000;

/// Builds the capsule of a finished call. `boot` and `number` name its intent.
pub(crate) fn build(
    facts: &Facts,
    end: &End,
    cost: &Cost,
    ledger: &LedgerInfo,
    kept: Option<&Kept>,
    number: u64,
) -> Capsule {
    let duration_micros = facts.elapsed();
    Capsule {
        id: facts.id,
        capsule_type: CapsuleType::Chat,
        domain: facts.snapshot.config.domain.clone(),
        parent_id: facts.parent,
        trigger: trigger(facts),
        context: context(facts, cost, ledger, kept, number),
        reasoning: reasoning(facts),
        authority: authority(facts, end),
        execution: execution(facts, end, cost, &facts.digests, duration_micros),
        outcome: outcome(facts, end, cost, duration_micros),
    }
}

fn is_full(facts: &Facts) -> bool {
    facts.mode == ContentMode::Full
}

/// A model name for the record: under a wildcard group the name is partly the client's own words, so the group stands for
/// it unless content is kept in clear.
fn shown<'f>(facts: &'f Facts, name: &'f str) -> &'f str {
    if facts.destination.wildcard && !is_full(facts) {
        &facts.destination.group
    } else {
        name
    }
}

fn trigger(facts: &Facts) -> Trigger {
    Trigger {
        trigger_type: "user_request".into(),
        source: facts.route.to_owned(),
        timestamp: facts.arrival,
        request: if is_full(facts) {
            cut(&facts.content.request)
        } else {
            String::new()
        },
        correlation_id: facts.labels.trace.clone(),
        user_id: facts.labels.user.clone(),
    }
}

fn context(
    facts: &Facts,
    cost: &Cost,
    ledger: &LedgerInfo,
    kept: Option<&Kept>,
    number: u64,
) -> Context {
    let mut env = Object::with_capacity(24);
    // Inserted in sorted order: the object appends without searching.
    if facts.agent_claimed {
        env.insert("agent_claimed", true);
    }
    if let Some(analytics) = facts.analytics {
        env.insert("analytics", analytics);
    }
    env.insert("boot", ledger.boot.as_ref());
    env.insert("call_type", facts.call_type);
    env.insert("config_digest", facts.snapshot.digest_hex.as_ref());
    if let Some(row) = &facts.consent {
        env.insert("consent_version", row.version);
    }
    if let Some(kept) = kept {
        let mut content = Object::with_capacity(2);
        content.insert("digest", kept.content.commitment().hex());
        content.insert("mode", kept.mode.as_str());
        env.insert("content", content);
    }
    env.insert("cost_source", super::settle::source(cost).as_str());
    let mut delivered = Object::new();
    for (choice, channel, digest) in &facts.delivered {
        delivered.insert(format!("{choice}/{channel}"), digest.hex());
    }
    env.insert("delivered_text_digest", delivered);
    env.insert("deployment", facts.destination.deployment.id.as_str());
    env.insert("digest_key", facts.digests.id());
    env.insert("intent", number);
    env.insert("key_id", facts.key_id.as_ref());
    env.insert("ledger", ledger.id.as_ref());
    env.insert("model_group", facts.destination.group.as_ref());
    if !facts.not_inspected.is_empty() {
        env.insert(
            "not_inspected",
            list(facts.not_inspected.iter().map(String::as_str)),
        );
    }
    env.insert("observed", true);
    if !facts.opened_switches.is_empty() {
        env.insert("opened", list(facts.opened_switches.iter().copied()));
    }
    env.insert("policy_digest", Value::Null);
    env.insert("price_digest", Value::Null);
    env.insert("provider", facts.destination.deployment.provider.as_str());
    env.insert("request_digest", facts.request_digest.hex());
    for (key, digest) in [
        ("response_digest", facts.response_digest),
        ("sent_digest", facts.sent_digest),
        ("sent_text_digest", facts.sent_text_digest),
    ] {
        env.insert(
            key,
            digest.map_or(Value::Null, |digest| digest.hex().into()),
        );
    }
    if !facts.rules.is_empty() {
        env.insert("rules", list(facts.rules.iter().map(|rule| &**rule)));
    }
    env.insert("stream", facts.stream);
    env.insert(
        "team",
        match facts.billing.team.as_str() {
            "" => Value::Null,
            team => team.into(),
        },
    );
    env.insert("tenant", facts.tenant.as_str());
    env.insert("version", env!("CARGO_PKG_VERSION"));
    Context {
        agent_id: facts.agent.as_deref().unwrap_or(&ledger.host).to_owned(),
        session_id: facts.labels.session.clone(),
        environment: env,
    }
}

fn reasoning(facts: &Facts) -> Reasoning {
    let destination = &facts.destination;
    let options = destination.considered.iter().map(|seen| DecisionOption {
        id: seen.id.clone(),
        description: format!("{} of model group {}", seen.id, seen.group),
        selected: seen.rejected.is_none(),
        rejection_reason: seen.rejected.unwrap_or_default().to_owned(),
        ..DecisionOption::default()
    });
    Reasoning {
        analysis: "chosen by the router".to_owned(),
        options: options.collect(),
        selected_option: destination.deployment.id.clone(),
        reasoning: format!("model group {}", destination.group),
        model: Some(shown(facts, &destination.requested).to_owned()),
        prompt_hash: facts.prompt_hash.clone(),
        ..Reasoning::default()
    }
}

fn authority(facts: &Facts, end: &End) -> Authority {
    let chain: Vec<Object> = facts
        .coverage
        .iter()
        .map(super::coverage::Entry::to_object)
        .collect();
    let policy_reference = match end {
        End::Blocked(check) => Some(check.to_string()),
        // The last rule that applied let the call go on.
        _ => facts
            .rules
            .last()
            .map(|rule| crate::rules::named(rule).to_string())
            .or_else(|| facts.coverage.first().map(|entry| entry.check.to_string())),
    };
    Authority {
        authority_type: if policy_reference.is_some() {
            "policy".into()
        } else {
            "autonomous".into()
        },
        policy_reference,
        chain,
        ..Authority::default()
    }
}

fn execution(facts: &Facts, end: &End, cost: &Cost, digests: &DigestKey, micros: u64) -> Execution {
    let mut arguments = Object::new();
    arguments.insert("model", shown(facts, &facts.destination.upstream_model));
    let several = facts.attempts.len() > 1;
    let attempts = facts.attempts.iter().map(|attempt| {
        let mut object = Object::new();
        object.insert("deployment", attempt.deployment.as_str());
        if let Some(error) = attempt.error {
            object.insert("error", error);
        }
        object.insert("group", attempt.group.as_ref());
        object.insert("micros", attempt.micros);
        if several {
            object.insert("sent_digest", attempt.sent.hex());
        }
        object.insert("status", u64::from(attempt.status));
        if attempt.waited > 0 {
            object.insert("waited_micros", attempt.waited);
        }
        if let Some(wasted) = attempt.wasted {
            if let Some(cost) = wasted.micro_usd {
                object.insert("wasted_cost_micro_usd", cost);
            }
            object.insert("wasted_tokens", wasted.tokens);
        }
        Value::Object(object)
    });
    let mut result = Object::new();
    result.insert("attempts", Value::Array(attempts.collect()));
    result.insert(
        "finish_reasons",
        list(facts.finish_reasons.iter().map(String::as_str)),
    );
    let provider_call = ToolCall {
        tool: format!("llm.{}", facts.call_type),
        arguments,
        result: Value::Object(result),
        success: *end == End::Answered,
        duration_ms: micros / 1000,
        error: end.code().map(str::to_owned),
    };
    let mut tool_calls = Vec::with_capacity(1 + facts.asked_tools.len());
    tool_calls.push(provider_call);
    tool_calls.extend(
        facts
            .asked_tools
            .iter()
            .map(|tool| asked_tool(tool, digests, is_full(facts))),
    );
    let mut resources = usage(facts, cost, micros);
    let mut timings = Object::new();
    timings.insert("checked", facts.timings.checked);
    if facts.stream {
        timings.insert("first_byte", facts.timings.first_byte);
    }
    timings.insert("head", facts.timings.head);
    timings.insert("inspected", facts.timings.inspected);
    timings.insert("opened", facts.timings.opened);
    timings.insert("total", micros);
    resources.insert("stage_micros", timings);
    Execution {
        tool_calls,
        duration_ms: micros / 1000,
        resources_used: resources,
    }
}

/// A tool that the model asked for. Its name and arguments are model output, so digests except in mode `full`.
fn asked_tool(tool: &AskedTool, digests: &DigestKey, full: bool) -> ToolCall {
    let mut arguments = Object::new();
    if full {
        arguments.insert("arguments", tool.arguments.as_str());
    }
    arguments.insert(
        "arguments_digest",
        digests
            .digest("", Purpose::Tool, tool.arguments.as_bytes())
            .hex(),
    );
    arguments.insert(
        "name_digest",
        digests
            .digest("", Purpose::Tool, tool.name.as_bytes())
            .hex(),
    );
    ToolCall {
        tool: if full {
            tool.name.clone()
        } else {
            "asked_by_model".to_owned()
        },
        arguments,
        result: Value::Null,
        ..ToolCall::default()
    }
}

/// Tokens, latency and cost; a cost without a known price is absent, never 0.
fn usage(facts: &Facts, cost: &Cost, micros: u64) -> Object {
    let mut out = Object::with_capacity(8);
    if let Some(amount) = cost.amount {
        out.insert("cost_micro_usd", amount.micro());
    }
    out.insert("latency_ms", micros / 1000);
    out.insert("tokens_in", facts.usage.input);
    out.insert("tokens_out", facts.usage.output);
    if facts.usage_source == UsageSource::Estimated {
        out.insert("usage_estimated", true);
    }
    out
}

fn outcome(facts: &Facts, end: &End, cost: &Cost, micros: u64) -> Outcome {
    let group = facts.destination.group.as_ref();
    let result = if is_full(facts) && !facts.content.answer.is_empty() {
        Value::from(cut(&facts.content.answer))
    } else {
        Value::Null
    };
    Outcome {
        status: end.status().into(),
        result,
        summary: match end {
            End::Answered => format!("Completed: {group}"),
            End::Blocked(check) => format!("Blocked by {check}: {group}"),
            End::Failed(_) => format!("Failed: {group}"),
            End::Cut(_) => format!("Cut: {group}"),
        },
        error: end.code().map(str::to_owned),
        metrics: usage(facts, cost, micros),
        ..Outcome::default()
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(items.map(Value::from).collect())
}
