//! A responses request as chat completions.

use super::responses_items::Messages;
use super::types::{Job, TranslateError};
use crate::json;
use crate::openai::fields;
use crate::responses::Request;
use crate::scan::{Doc, Kind, Node};

/// Members that mean that the provider keeps state which no other provider has. They
/// cannot be left out: the call would mean something else.
const STORED: [&str; 4] = [
    "previous_response_id",
    "conversation",
    "prompt",
    "background",
];

/// Members of a chat request that this translation writes itself, or that would say the
/// same again: a body of responses that has one cannot mean it.
const WRITTEN: [&str; 9] = [
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "logprobs",
    "response_format",
    "verbosity",
    "reasoning_effort",
    "functions",
    "function_call",
];

/// Renders the request. The body has every member but the provider's model name.
pub(super) fn to_chat(doc: &Doc, job: &mut Job<'_>) -> Result<Vec<u8>, TranslateError> {
    let root = doc.root();
    let given = |name: &str| root.get(name).filter(|node| !node.is_null());
    for name in STORED {
        if given(name).is_some_and(|node| node.as_bool() != Some(false)) {
            let message = format!(
                "'{name}' needs a provider that keeps responses; this deployment is called \
                 without. Send the whole conversation in 'input'."
            );
            return Err(TranslateError::new(name, message));
        }
    }
    note_tools(root, job);
    let mut out = Vec::with_capacity(doc.bytes().len().saturating_add(256));
    out.extend_from_slice(b"{\"messages\":[");
    let mut messages = Messages::new(&mut out);
    if let Some(instructions) = given("instructions") {
        messages.instructions(instructions, job)?;
    }
    if let Some(input) = given("input") {
        messages.input(input, job)?;
    }
    messages.finish();
    out.push(b']');
    for (key, value) in root.entries().filter(|(_, value)| !value.is_null()) {
        let name = key.as_str().unwrap_or_default();
        if !job.left_out(&name) {
            member(&mut out, &name, key, value, job)?;
        }
    }
    if job.back.stream {
        out.extend_from_slice(b",\"stream_options\":{\"include_usage\":true}");
    }
    out.push(b'}');
    job.back.echo = echo(root);
    Ok(out)
}

fn member(
    out: &mut Vec<u8>,
    name: &str,
    key: Node<'_>,
    value: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    match name {
        "input" | "instructions" | "store" | "stream_options" | "metadata" => Ok(()),
        stored if STORED.contains(&stored) => Ok(()),
        "model"
        | "stream"
        | "parallel_tool_calls"
        | "temperature"
        | "top_p"
        | "user"
        | "safety_identifier"
        | "prompt_cache_key"
        | "prompt_cache_retention"
        | "service_tier" => {
            put(out, name, value.raw());
            Ok(())
        }
        "max_output_tokens" => {
            put(out, "max_completion_tokens", value.raw());
            Ok(())
        }
        "top_logprobs" => {
            put(out, "logprobs", b"true");
            put(out, name, value.raw());
            Ok(())
        }
        "tools" => tools(out, value, job),
        "tool_choice" => tool_choice(out, value, job),
        "text" => text(out, value, job),
        "reasoning" => reasoning(out, value, job),
        "include" => {
            include(out, value, job);
            Ok(())
        }
        "truncation" if value.is_str("disabled") => Ok(()),
        // Limits calls of tools that the provider runs itself.
        "max_tool_calls" => {
            job.dropped.push(name.to_owned());
            Ok(())
        }
        known if Request::is_member(known) || WRITTEN.contains(&known) => job.cannot(known),
        extra if fields::gateway_extra(extra) => Ok(()),
        // Nobody defines it: forwarded, as on every route.
        _ => {
            out.push(b',');
            out.extend_from_slice(key.raw());
            out.push(b':');
            out.extend_from_slice(value.raw());
            Ok(())
        }
    }
}

/// Appends `,"name":raw`.
pub(super) fn put(out: &mut Vec<u8>, name: &str, raw: &[u8]) {
    out.push(b',');
    json::write_string(out, name);
    out.push(b':');
    out.extend_from_slice(raw);
}

fn path(node: Node<'_>) -> String {
    node.doc().path(node.id())
}

/// The free-form tools, whose calls are function calls on the way.
fn note_tools(root: Node<'_>, job: &mut Job<'_>) {
    let tools = root.get("tools").into_iter().flat_map(|list| list.items());
    for tool in tools.filter(|tool| is_type(*tool, "custom")) {
        let name = tool.get("name").and_then(|name| name.as_str());
        job.back
            .custom_tools
            .extend(name.map(|name| name.into_owned()));
    }
}

pub(super) fn is_type(node: Node<'_>, name: &str) -> bool {
    node.get("type").is_some_and(|kind| kind.is_str(name))
}

fn tools(out: &mut Vec<u8>, list: Node<'_>, job: &mut Job<'_>) -> Result<(), TranslateError> {
    let mut rendered = Vec::new();
    for tool in list.items() {
        let from = rendered.len();
        if from > 0 {
            rendered.push(b',');
        }
        if is_type(tool, "function") {
            function(&mut rendered, tool);
        } else if is_type(tool, "custom") {
            custom(&mut rendered, tool);
        } else {
            rendered.truncate(from);
            job.cannot(path(tool))?;
        }
    }
    if !rendered.is_empty() {
        out.extend_from_slice(b",\"tools\":[");
        out.extend_from_slice(&rendered);
        out.push(b']');
    }
    Ok(())
}

fn function(out: &mut Vec<u8>, tool: Node<'_>) {
    out.extend_from_slice(b"{\"type\":\"function\",\"function\":{");
    let mut first = true;
    for name in ["name", "description", "parameters", "strict"] {
        let value = tool.get(name).filter(|value| !value.is_null());
        if let Some(value) = value {
            member_of(out, &mut first, name, value.raw());
        }
    }
    out.extend_from_slice(b"}}");
}

fn member_of(out: &mut Vec<u8>, first: &mut bool, name: &str, raw: &[u8]) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    json::write_string(out, name);
    out.push(b':');
    out.extend_from_slice(raw);
}

/// What stands before a grammar in the description of a free-form input.
pub(crate) const GRAMMAR: &str = "Text that follows this grammar: ";

/// A free-form tool as a function of one text.
fn custom(out: &mut Vec<u8>, tool: Node<'_>) {
    out.extend_from_slice(b"{\"type\":\"function\",\"function\":{");
    let mut first = true;
    for name in ["name", "description"] {
        let value = tool.get(name).filter(|value| !value.is_null());
        if let Some(value) = value {
            member_of(out, &mut first, name, value.raw());
        }
    }
    member_of(
        out,
        &mut first,
        "parameters",
        b"{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"",
    );
    let format = tool.get("format");
    let grammar = format.and_then(|format| format.get("definition"));
    let grammar = grammar.or_else(|| format?.get("grammar")?.get("definition"));
    if let Some(grammar) = grammar.and_then(|grammar| grammar.as_str()) {
        out.extend_from_slice(b",\"description\":");
        json::write_string(out, &format!("{GRAMMAR}{grammar}"));
    }
    out.extend_from_slice(b"}},\"required\":[\"input\"]}}}");
}

fn tool_choice(
    out: &mut Vec<u8>,
    value: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    let name = value.get("name");
    match (value.kind(), name) {
        (Kind::String, _) => put(out, "tool_choice", value.raw()),
        (Kind::Object, Some(name)) if is_type(value, "function") || is_type(value, "custom") => {
            let head = b"{\"type\":\"function\",\"function\":{\"name\":";
            let choice = [head.as_slice(), name.raw(), b"}}"].concat();
            put(out, "tool_choice", &choice);
        }
        _ => return job.cannot("tool_choice"),
    }
    Ok(())
}

fn text(out: &mut Vec<u8>, text: Node<'_>, job: &mut Job<'_>) -> Result<(), TranslateError> {
    for (key, value) in text.entries().filter(|(_, value)| !value.is_null()) {
        if key.is_str("verbosity") {
            put(out, "verbosity", value.raw());
        } else if !key.is_str("format") {
            job.cannot(path(value))?;
        } else if is_type(value, "json_schema") {
            let mut format = b"{\"type\":\"json_schema\",\"json_schema\":{".to_vec();
            let mut first = true;
            for name in ["name", "description", "schema", "strict"] {
                let value = value.get(name).filter(|value| !value.is_null());
                if let Some(value) = value {
                    member_of(&mut format, &mut first, name, value.raw());
                }
            }
            format.extend_from_slice(b"}}");
            put(out, "response_format", &format);
        } else if is_type(value, "json_object") {
            put(out, "response_format", b"{\"type\":\"json_object\"}");
        } else if !is_type(value, "text") {
            job.cannot(path(value))?;
        }
    }
    Ok(())
}

fn reasoning(
    out: &mut Vec<u8>,
    reasoning: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    for (key, value) in reasoning.entries().filter(|(_, value)| !value.is_null()) {
        if key.is_str("effort") {
            put(out, "reasoning_effort", value.raw());
        } else if key.is_str("summary") || key.is_str("generate_summary") {
            // How reasoning is shown; what the model thinks does not depend on it.
            job.dropped.push(path(value));
        } else {
            job.cannot(path(value))?;
        }
    }
    Ok(())
}

/// What the answer is to hold beside its text: nothing of it changes what the model does.
fn include(out: &mut Vec<u8>, list: Node<'_>, job: &mut Job<'_>) {
    for item in list.items() {
        if item.is_str("reasoning.encrypted_content") {
            job.back.encrypted = true;
        } else if item.is_str("message.output_text.logprobs") {
            if item.doc().root().get("top_logprobs").is_none() {
                put(out, "logprobs", b"true");
            }
        } else {
            job.dropped.push(path(item));
        }
    }
}

/// The members of the response that repeat the request.
fn echo(root: Node<'_>) -> Vec<u8> {
    let rows: [(&str, &[u8]); 15] = [
        ("instructions", b"null"),
        ("max_output_tokens", b"null"),
        ("max_tool_calls", b"null"),
        ("parallel_tool_calls", b"true"),
        ("previous_response_id", b"null"),
        ("reasoning", b"{\"effort\":null,\"summary\":null}"),
        ("safety_identifier", b"null"),
        ("temperature", b"null"),
        ("text", b"{\"format\":{\"type\":\"text\"}}"),
        ("tool_choice", b"\"auto\""),
        ("tools", b"[]"),
        ("top_p", b"null"),
        ("truncation", b"\"disabled\""),
        ("user", b"null"),
        ("metadata", b"{}"),
    ];
    // Nothing is kept for later.
    let mut out = b"\"background\":false,\"store\":false".to_vec();
    for (name, absent) in rows {
        let value = root.get(name).filter(|value| !value.is_null());
        let raw = value.map_or(absent, |value| value.raw());
        put(&mut out, name, raw);
    }
    // One line, whatever the client's layout: it becomes part of events.
    out.iter_mut()
        .filter(|byte| matches!(**byte, b'\n' | b'\r'))
        .for_each(|byte| *byte = b' ');
    out
}
