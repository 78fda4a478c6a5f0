//! Chat completions to an Anthropic Messages request.
//!
//! Texts are copied as the string tokens they are; nothing is decoded that is not changed.

use super::anthropic_messages::Turns;
use super::anthropic_model::Generation;
use super::anthropic_tools as tools;
use super::{Job, TranslateError};
use crate::json;
use crate::openai::fields;
use crate::scan::{Doc, Kind, Node};

/// Smallest thinking budget that the API takes.
const LEAST_BUDGET: u64 = 1024;

/// Members of the Messages API that a chat body may carry as they are.
const OWN: &[&str] = &[
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "output_format",
    "speed",
    "stop_sequences",
    "thinking",
    "top_k",
    "top_p",
];

/// Members without effect on the answer: left out and listed, never refused.
const HINTS: &[&str] = &[
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "verbosity",
];

/// The members of a chat body that need more than a copy.
#[derive(Default)]
struct Members<'a> {
    messages: Option<Node<'a>>,
    max_tokens: Option<Node<'a>>,
    max_completion_tokens: Option<Node<'a>>,
    tools: Option<Node<'a>>,
    functions: Option<Node<'a>>,
    tool_choice: Option<Node<'a>>,
    function_call: Option<Node<'a>>,
    parallel_tool_calls: Option<Node<'a>>,
    response_format: Option<Node<'a>>,
    reasoning_effort: Option<Node<'a>>,
    temperature: Option<Node<'a>>,
    thinking: Option<Node<'a>>,
    output_config: Option<Node<'a>>,
    user: Option<Node<'a>>,
    stop: Option<Node<'a>>,
    service_tier: Option<Node<'a>>,
    /// Copied with their names.
    copied: Vec<(Node<'a>, Node<'a>)>,
}

/// The body for `POST /v1/messages`.
pub(super) fn request(chat: &Doc, job: &mut Job<'_>) -> Result<Vec<u8>, TranslateError> {
    let members = collect(chat.root(), job)?;
    let mut out = Vec::with_capacity(chat.bytes().len().saturating_add(256));
    out.extend_from_slice(b"{\"model\":");
    json::write_string(&mut out, job.options.model);
    let mut turns = Turns::new(chat.bytes().len());
    if let Some(messages) = members.messages {
        turns.messages(messages)?;
    }
    turns.write(&mut out);
    let thinking = limits(&members, &turns, job, &mut out)?;
    sampling(&members, thinking, job, &mut out)?;
    let wanted = tools::Wanted {
        tools: members.tools,
        functions: members.functions,
        choice: members.tool_choice.or(members.function_call),
        parallel: members.parallel_tool_calls.and_then(|node| node.as_bool()),
        format: members.response_format,
        effort: effort(&members, job),
        output_config: members.output_config,
        thinking,
    };
    tools::write(&wanted, job, &mut out)?;
    for (key, value) in &members.copied {
        out.push(b',');
        out.extend_from_slice(key.raw());
        out.push(b':');
        out.extend_from_slice(value.raw());
    }
    if job.back.stream {
        out.extend_from_slice(b",\"stream\":true");
    }
    out.push(b'}');
    Ok(out)
}

fn collect<'a>(root: Node<'a>, job: &mut Job<'_>) -> Result<Members<'a>, TranslateError> {
    let mut members = Members::default();
    for (key, value) in root.entries() {
        let name = key.as_str().unwrap_or_default();
        if value.is_null() || matches!(&*name, "model" | "stream" | "stream_options") {
            continue;
        }
        if name != "messages" && job.left_out(&name) {
            continue;
        }
        let slot = match &*name {
            "messages" => &mut members.messages,
            "max_tokens" => &mut members.max_tokens,
            "max_completion_tokens" => &mut members.max_completion_tokens,
            "tools" => &mut members.tools,
            "functions" => &mut members.functions,
            "tool_choice" => &mut members.tool_choice,
            "function_call" => &mut members.function_call,
            "parallel_tool_calls" => &mut members.parallel_tool_calls,
            "response_format" => &mut members.response_format,
            "reasoning_effort" => &mut members.reasoning_effort,
            "temperature" => &mut members.temperature,
            "output_config" => &mut members.output_config,
            "user" => &mut members.user,
            "stop" => &mut members.stop,
            "service_tier" => &mut members.service_tier,
            name => {
                if name == "thinking" {
                    members.thinking = Some(value);
                }
                if OWN.contains(&name) {
                    members.copied.push((key, value));
                } else {
                    other(name, value, job)?;
                }
                continue;
            }
        };
        *slot = Some(value);
    }
    Ok(members)
}

/// A member that the Messages API has no equivalent of.
fn other(name: &str, value: Node<'_>, job: &mut Job<'_>) -> Result<(), TranslateError> {
    let without_effect = match name {
        "n" => value.as_u64() == Some(1),
        "logprobs" | "store" => value.as_bool() == Some(false),
        "top_logprobs" => value.as_u64() == Some(0),
        "presence_penalty" | "frequency_penalty" => value.as_f64() == Some(0.0),
        "logit_bias" => value.entries().next().is_none() && value.kind() == Kind::Object,
        "modalities" => value.items().all(|mode| mode.is_str("text")),
        name => fields::gateway_extra(name),
    };
    if without_effect {
        return Ok(());
    }
    if HINTS.contains(&name) {
        job.dropped.push(name.to_owned());
        return Ok(());
    }
    job.cannot(name)
}

/// How much a model is to think, in the words of `reasoning_effort`.
fn effort<'a>(members: &Members<'a>, job: &Job<'_>) -> Option<Node<'a>> {
    let adaptive = Generation::of(job.options.model).adaptive_thinking();
    let effort = members.reasoning_effort.filter(|_| adaptive)?;
    (!effort.is_str("none")).then_some(effort)
}

/// Writes `max_tokens` and `thinking`; gives whether the model will think.
fn limits(
    members: &Members<'_>,
    turns: &Turns,
    job: &mut Job<'_>,
    out: &mut Vec<u8>,
) -> Result<bool, TranslateError> {
    let given = members.max_completion_tokens.or(members.max_tokens);
    let given = given.and_then(|node| node.as_u64());
    let mut most = given.unwrap_or(job.options.default_max_tokens);
    let mut thinks = members
        .thinking
        .and_then(|thinking| thinking.get("type"))
        .is_some_and(|kind| !kind.is_str("disabled"));
    let asked = members
        .thinking
        .and_then(|thinking| thinking.get("budget_tokens"))
        .and_then(|budget| budget.as_u64());
    if let (None, Some(budget)) = (given, asked) {
        most = most.saturating_add(budget);
    }
    let effort = members
        .reasoning_effort
        .filter(|_| members.thinking.is_none());
    if let Some(effort) = effort.filter(|effort| !effort.is_str("none")) {
        if Generation::of(job.options.model).adaptive_thinking() {
            out.extend_from_slice(b",\"thinking\":{\"type\":\"adaptive\"}");
            thinks = true;
        } else if let Some(budget) = budget(effort, given, turns, job)? {
            if given.is_none() {
                most = most.saturating_add(budget);
            }
            out.extend_from_slice(b",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":");
            json::write_u64(out, budget);
            out.push(b'}');
            thinks = true;
        }
    }
    out.extend_from_slice(b",\"max_tokens\":");
    json::write_u64(out, most);
    Ok(thinks)
}

/// The thinking budget of an effort; `None` if the model cannot think in this call.
fn budget(
    effort: Node<'_>,
    given: Option<u64>,
    turns: &Turns,
    job: &mut Job<'_>,
) -> Result<Option<u64>, TranslateError> {
    let wanted = match effort.as_str().as_deref() {
        Some("minimal" | "low") => LEAST_BUDGET,
        Some("medium") => 2048,
        Some("high") => 4096,
        Some("xhigh" | "max") => 8192,
        _ => {
            job.cannot("reasoning_effort")?;
            return Ok(None);
        }
    };
    // A turn of tool results continues the thinking of the turn before, which must be
    // there with its signature; and the budget is part of the output.
    let most = given.map_or(wanted, |given| given.saturating_sub(1).min(wanted));
    let can = Generation::of(job.options.model).thinks();
    if !can || turns.lacks_thinking || most < LEAST_BUDGET {
        job.dropped.push("reasoning_effort".to_owned());
        return Ok(None);
    }
    Ok(Some(most))
}

fn sampling(
    members: &Members<'_>,
    thinking: bool,
    job: &mut Job<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TranslateError> {
    if let Some(temperature) = members.temperature {
        let value = temperature.as_f64().unwrap_or(f64::NAN);
        // The API takes up to 1, and 1 alone from a model that thinks.
        if !(0.0..=1.0).contains(&value) || (thinking && value < 1.0) {
            job.cannot("temperature")?;
        } else {
            out.extend_from_slice(b",\"temperature\":");
            out.extend_from_slice(temperature.raw());
        }
    }
    if let Some(user) = members.user.filter(|user| user.kind() == Kind::String) {
        out.extend_from_slice(b",\"metadata\":{\"user_id\":");
        out.extend_from_slice(user.raw());
        out.push(b'}');
    }
    match members.service_tier {
        Some(tier) if tier.is_str("auto") || tier.is_str("standard_only") => {
            out.extend_from_slice(b",\"service_tier\":");
            out.extend_from_slice(tier.raw());
        }
        Some(tier) if tier.is_str("default") => {
            out.extend_from_slice(b",\"service_tier\":\"standard_only\"");
        }
        Some(_) => job.cannot("service_tier")?,
        None => {}
    }
    let said = members
        .copied
        .iter()
        .any(|(key, _)| key.is_str("stop_sequences"));
    match members.stop {
        Some(_) if said => job.cannot("stop"),
        Some(stop) => stops(stop, job, out),
        None => Ok(()),
    }
}

/// `stop`: a text or texts. The API refuses those that are white space.
fn stops(stop: Node<'_>, job: &mut Job<'_>, out: &mut Vec<u8>) -> Result<(), TranslateError> {
    let mut written = false;
    let single = Some(stop).filter(|stop| stop.kind() == Kind::String);
    for text in single.into_iter().chain(stop.items()) {
        let blank = text.as_str().is_none_or(|text| text.trim().is_empty());
        if blank {
            job.cannot("stop")?;
            continue;
        }
        let lead: &[u8] = if written {
            b","
        } else {
            b",\"stop_sequences\":["
        };
        out.extend_from_slice(lead);
        out.extend_from_slice(text.raw());
        written = true;
    }
    if written {
        out.push(b']');
    }
    Ok(())
}
