//! A Messages request to chat completions.

use super::messages_content::Writer;
use super::{Job, TranslateError, messages_tools as tools};
use crate::json;
use crate::openai::fields;
use crate::provider::Wire;
use crate::scan::{Doc, Kind, Node};

/// Members without effect on what the answer says: left out and listed, never refused.
const HINTS: &[&str] = &[
    "cache_control",
    "context_management",
    "inference_geo",
    "speed",
];

/// Longest `user` that the other APIs take.
const MAX_USER: usize = 64;

/// The `chat.completion` request.
pub(super) fn request(doc: &Doc, job: &mut Job<'_>) -> Result<Vec<u8>, TranslateError> {
    let root = doc.root();
    let mut out = Vec::with_capacity(doc.bytes().len().saturating_add(256));
    out.extend_from_slice(b"{\"model\":");
    json::write_string(&mut out, job.options.model);
    // Names first: the calls in the messages use them.
    let mut tools = Vec::new();
    if let Some(list) = root.get("tools").filter(|_| !job.left_out("tools")) {
        tools::names(list, job);
        tools::list(list, job, &mut tools)?;
    }
    out.extend_from_slice(b",\"messages\":[");
    let from = out.len();
    let mut writer = Writer::new(&mut out, job);
    if let Some(system) = root.get("system") {
        writer.system(system)?;
    }
    let messages = root.get("messages");
    for message in messages.into_iter().flat_map(|list| list.items()) {
        writer.message(message)?;
    }
    let text = out.len().saturating_sub(from).saturating_add(tools.len());
    // About four letters a token; told at the start of a stream, where no count is known.
    job.back.input_estimate = u64::try_from(text / 4).unwrap_or(0).max(1);
    out.push(b']');
    out.extend_from_slice(&tools);
    for (key, value) in root.entries() {
        let name = key.as_str().unwrap_or_default();
        let done = matches!(&*name, "model" | "messages" | "system" | "tools" | "stream");
        if !done && !value.is_null() && !job.left_out(&name) {
            member(&name, value, job, &mut out)?;
        }
    }
    if job.back.stream {
        out.extend_from_slice(b",\"stream\":true");
    }
    out.push(b'}');
    Ok(out)
}

fn member(
    name: &str,
    value: Node<'_>,
    job: &mut Job<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TranslateError> {
    let copy = |out: &mut Vec<u8>, name: &[u8]| {
        out.extend_from_slice(name);
        out.extend_from_slice(value.raw());
    };
    match name {
        "max_tokens" => copy(out, b",\"max_completion_tokens\":"),
        "temperature" => copy(out, b",\"temperature\":"),
        "top_p" => copy(out, b",\"top_p\":"),
        "stop_sequences" if value.items().next().is_some() => copy(out, b",\"stop\":"),
        "stop_sequences" => {}
        "tool_choice" => tools::choice(value, job, out)?,
        "metadata" => user(value, job, out),
        "thinking" => thinking(value, job, out),
        "output_config" => {
            for (key, value) in value.entries() {
                match key.as_str().as_deref() {
                    Some("format") => format(value, job, out)?,
                    // Said together with `thinking`.
                    Some("effort") => effort(value, job, out),
                    _ => job.cannot(format!(
                        "output_config.{}",
                        key.as_str().unwrap_or_default()
                    ))?,
                }
            }
        }
        "output_format" => format(value, job, out)?,
        "service_tier" => match value.is_str("standard_only") {
            true => out.extend_from_slice(b",\"service_tier\":\"default\""),
            false => copy(out, b",\"service_tier\":"),
        },
        hint if HINTS.contains(&hint) => job.dropped.push(hint.to_owned()),
        extra if fields::gateway_extra(extra) => {}
        other => job.cannot(other)?,
    }
    Ok(())
}

fn user(metadata: Node<'_>, job: &mut Job<'_>, out: &mut Vec<u8>) {
    let id = metadata
        .get("user_id")
        .filter(|id| id.kind() == Kind::String);
    match id.map(|id| (id, id.raw().len())) {
        Some((id, length)) if length <= MAX_USER.saturating_add(2) => {
            out.extend_from_slice(b",\"user\":");
            out.extend_from_slice(id.raw());
        }
        Some(_) => job.dropped.push("metadata.user_id".to_owned()),
        None => {}
    }
}

/// Whether a model takes `reasoning_effort`, by its name: others refuse it.
fn reasons(job: &Job<'_>) -> bool {
    if job.back.wire != Wire::OpenAi {
        return true;
    }
    let name = job.options.model;
    let name = name.rsplit('/').next().unwrap_or(name);
    let families = [
        "o1",
        "o3",
        "o4",
        "gpt-5",
        "gpt-6",
        "gpt-oss",
        "grok-3-mini",
        "grok-4",
        "deepseek-v",
    ];
    families.iter().any(|family| name.starts_with(family)) && !name.contains("chat")
}

fn thinking(thinking: Node<'_>, job: &mut Job<'_>, out: &mut Vec<u8>) {
    let kind = thinking.get("type").and_then(|kind| kind.as_str());
    let budget = thinking
        .get("budget_tokens")
        .and_then(|budget| budget.as_u64());
    let root = thinking.doc().root();
    let said = root
        .get("output_config")
        .and_then(|config| config.get("effort"));
    let word: &[u8] = match (kind.as_deref(), budget) {
        (Some("disabled"), _) => return,
        // The effort says it.
        _ if said.is_some_and(|effort| !effort.is_null()) => return,
        (Some("enabled"), Some(..=2047)) => b"\"low\"",
        (Some("enabled"), Some(..=8191)) => b"\"medium\"",
        (Some("enabled"), _) => b"\"high\"",
        // The model decides itself.
        _ => return,
    };
    write_effort(word, "thinking", job, out);
}

fn effort(effort: Node<'_>, job: &mut Job<'_>, out: &mut Vec<u8>) {
    let word: &[u8] = match effort.as_str().as_deref() {
        Some("low") => b"\"low\"",
        Some("medium") => b"\"medium\"",
        Some("high") => b"\"high\"",
        Some("xhigh" | "max") => b"\"high\"",
        _ => return job.dropped.push("output_config.effort".to_owned()),
    };
    write_effort(word, "output_config.effort", job, out);
}

fn write_effort(word: &[u8], field: &str, job: &mut Job<'_>, out: &mut Vec<u8>) {
    if reasons(job) {
        out.extend_from_slice(b",\"reasoning_effort\":");
        out.extend_from_slice(word);
    } else {
        job.dropped.push(field.to_owned());
    }
}

fn format(format: Node<'_>, job: &mut Job<'_>, out: &mut Vec<u8>) -> Result<(), TranslateError> {
    let schema = format
        .get("schema")
        .filter(|schema| schema.kind() == Kind::Object);
    let Some(schema) = schema.filter(|_| {
        format
            .get("type")
            .is_some_and(|kind| kind.is_str("json_schema"))
    }) else {
        return job.cannot(format.doc().path(format.id()));
    };
    out.extend_from_slice(
        b",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"strict\":true,\"schema\":",
    );
    out.extend_from_slice(schema.raw());
    out.extend_from_slice(b"}}");
    Ok(())
}
