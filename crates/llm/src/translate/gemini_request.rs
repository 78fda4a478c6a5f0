//! A chat request as Gemini's `generateContent`.

use super::gemini_contents::Contents;
use super::gemini_schema as schema;
use super::types::{Job, TranslateError};
use crate::json;
use crate::openai::fields;
use crate::scan::{Doc, Kind, Node};

/// Members without effect on what the model answers: left out and listed, never refused.
const HINTS: &[&str] = &[
    "user",
    "store",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prediction",
    "verbosity",
];

/// Tools of Google's own that a chat body may carry as they are.
const OWN_TOOLS: &[&str] = &[
    "googleSearch",
    "google_search",
    "googleSearchRetrieval",
    "codeExecution",
    "code_execution",
    "urlContext",
    "url_context",
    "googleMaps",
    "computerUse",
];

/// The parts of the body as they are collected; each rendered, with commas between.
#[derive(Default)]
struct Body {
    tools: Vec<u8>,
    declarations: Vec<u8>,
    generation: Vec<u8>,
    thinking: Vec<u8>,
    /// Whole top-level members.
    members: Vec<u8>,
}

fn comma(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
}

fn path(node: Node<'_>) -> String {
    node.doc().path(node.id())
}

/// Appends `"name":raw`, after a comma where something stands before.
fn put(out: &mut Vec<u8>, name: &str, raw: &[u8]) {
    comma(out);
    json::write_string(out, name);
    out.push(b':');
    out.extend_from_slice(raw);
}

/// Renders the request. Its model is part of the URL.
pub(super) fn from_chat(chat: &Doc, job: &mut Job<'_>) -> Result<Vec<u8>, TranslateError> {
    let root = chat.root();
    let mut body = Body::default();
    let mut contents = Contents::new(job.options.model);
    for (key, value) in root.entries().filter(|(_, value)| !value.is_null()) {
        let name = key.as_str().unwrap_or_default();
        if name == "messages" {
            contents.messages(value, job)?;
        } else if !job.left_out(&name) {
            member(&mut body, &name, value, job)?;
        }
    }
    if contents.contents.is_empty() {
        let message = "'messages' needs at least one message that is not a system message.";
        return Err(TranslateError::new("messages", message));
    }
    let mut out = Vec::with_capacity(chat.bytes().len().saturating_add(256));
    out.extend_from_slice(b"{\"contents\":[");
    out.extend_from_slice(&contents.contents);
    out.push(b']');
    if !contents.system.is_empty() {
        out.extend_from_slice(b",\"systemInstruction\":{\"parts\":[");
        out.extend_from_slice(&contents.system);
        out.extend_from_slice(b"]}");
    }
    if !body.declarations.is_empty() {
        comma(&mut body.tools);
        body.tools.extend_from_slice(b"{\"functionDeclarations\":[");
        body.tools.extend_from_slice(&body.declarations);
        body.tools.extend_from_slice(b"]}");
    }
    if !body.thinking.is_empty() {
        let thinking = [b"{", body.thinking.as_slice(), b"}"].concat();
        put(&mut body.generation, "thinkingConfig", &thinking);
    }
    let wrapped: [(&[u8], &[u8], &[u8]); 3] = [
        (b",\"tools\":[", &body.tools, b"]"),
        (b",\"generationConfig\":{", &body.generation, b"}"),
        (b",", &body.members, b""),
    ];
    for (before, inner, after) in wrapped
        .into_iter()
        .filter(|(_, inner, _)| !inner.is_empty())
    {
        out.extend_from_slice(before);
        out.extend_from_slice(inner);
        out.extend_from_slice(after);
    }
    out.push(b'}');
    Ok(out)
}

fn member(
    body: &mut Body,
    name: &str,
    value: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    let other = |name: &str| {
        let other = value.doc().root().get(name);
        other.is_some_and(|other| !other.is_null())
    };
    let generation = &mut body.generation;
    match name {
        "model" | "stream" | "stream_options" => {}
        "temperature" => put(generation, "temperature", value.raw()),
        "top_p" => put(generation, "topP", value.raw()),
        "top_k" => put(generation, "topK", value.raw()),
        "n" => put(generation, "candidateCount", value.raw()),
        "max_completion_tokens" => put(generation, "maxOutputTokens", value.raw()),
        "max_tokens" if !other("max_completion_tokens") => {
            put(generation, "maxOutputTokens", value.raw());
        }
        "max_tokens" => {}
        "seed" => put(generation, "seed", value.raw()),
        "presence_penalty" => put(generation, "presencePenalty", value.raw()),
        "frequency_penalty" => put(generation, "frequencyPenalty", value.raw()),
        "logprobs" => put(generation, "responseLogprobs", value.raw()),
        "top_logprobs" => put(generation, "logprobs", value.raw()),
        "stop" if value.kind() == Kind::Array => put(generation, "stopSequences", value.raw()),
        "stop" => {
            let one = [b"[", value.raw(), b"]"].concat();
            put(generation, "stopSequences", &one);
        }
        "response_format" => return response_format(generation, value, job),
        "modalities" => return modalities(generation, value, job),
        // The exact setting counts.
        "reasoning_effort" if other("thinking") => job.dropped.push(name.to_owned()),
        "reasoning_effort" => return effort(&mut body.thinking, value, job),
        "thinking" => return thinking(&mut body.thinking, value, job),
        "tools" => return value.items().try_for_each(|one| tool(body, one, job)),
        "functions" => value.items().for_each(|one| declaration(body, one)),
        "function_call" if other("tool_choice") => job.dropped.push(name.to_owned()),
        "tool_choice" | "function_call" => return tool_choice(&mut body.members, value, job),
        "parallel_tool_calls" if value.as_bool() == Some(true) => {}
        "web_search_options" => {
            comma(&mut body.tools);
            body.tools.extend_from_slice(b"{\"googleSearch\":{}}");
        }
        "safetySettings" if other("safety_settings") => return job.cannot(name),
        "cachedContent" if other("cached_content") => return job.cannot(name),
        "safety_settings" | "safetySettings" => {
            put(&mut body.members, "safetySettings", value.raw());
        }
        "cached_content" | "cachedContent" => {
            put(&mut body.members, "cachedContent", value.raw());
        }
        hint if HINTS.contains(&hint) => job.dropped.push(hint.to_owned()),
        extra if fields::gateway_extra(extra) => {}
        other => return job.cannot(other),
    }
    Ok(())
}

fn response_format(
    generation: &mut Vec<u8>,
    format: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    let kind = format.get("type").and_then(|kind| kind.as_str());
    match kind.as_deref().unwrap_or_default() {
        "text" => Ok(()),
        "json_object" => {
            put(generation, "responseMimeType", b"\"application/json\"");
            Ok(())
        }
        "json_schema" => {
            put(generation, "responseMimeType", b"\"application/json\"");
            let wanted = format.get("json_schema").and_then(|s| s.get("schema"));
            if let Some(wanted) = wanted {
                let mut cleaned = Vec::with_capacity(wanted.raw().len());
                schema::write(&mut cleaned, wanted);
                put(generation, "responseSchema", &cleaned);
            }
            Ok(())
        }
        _ => job.cannot(path(format)),
    }
}

fn modalities(
    generation: &mut Vec<u8>,
    list: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    let mut named = Vec::new();
    for one in list.items() {
        let word: &[u8] = match () {
            () if one.is_str("text") => b"\"TEXT\"",
            () if one.is_str("image") => b"\"IMAGE\"",
            () => return job.cannot(path(one)),
        };
        comma(&mut named);
        named.extend_from_slice(word);
    }
    let list = [b"[", named.as_slice(), b"]"].concat();
    put(generation, "responseModalities", &list);
    Ok(())
}

/// Effort as a level for the models that know levels, as a number of tokens for others.
fn effort(
    thinking: &mut Vec<u8>,
    value: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    let word = value.as_str();
    let row = match word.as_deref().unwrap_or_default() {
        "none" | "disable" => ("minimal", "0"),
        "minimal" => ("minimal", "128"),
        "low" => ("low", "1024"),
        "medium" => ("medium", "8192"),
        "high" | "xhigh" | "max" => ("high", "24576"),
        _ => return job.cannot("reasoning_effort"),
    };
    match job.options.model.contains("gemini-3") {
        true => put(thinking, "thinkingLevel", &json::string(row.0)),
        false => put(thinking, "thinkingBudget", row.1.as_bytes()),
    }
    let shown: &[u8] = if row.1 == "0" { b"false" } else { b"true" };
    put(thinking, "includeThoughts", shown);
    Ok(())
}

/// `thinking` in the words of Messages, which LiteLLM's clients send in chat bodies.
fn thinking(
    thinking: &mut Vec<u8>,
    value: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    let is = |word: &str| value.get("type").is_some_and(|kind| kind.is_str(word));
    let budget = value
        .get("budget_tokens")
        .filter(|node| node.as_u64().is_some());
    match () {
        () if is("disabled") => put(thinking, "thinkingBudget", b"0"),
        () if is("enabled") || is("adaptive") => {
            if let Some(budget) = budget {
                put(thinking, "thinkingBudget", budget.raw());
            }
            put(thinking, "includeThoughts", b"true");
        }
        () => return job.cannot("thinking"),
    }
    Ok(())
}

fn tool(body: &mut Body, tool: Node<'_>, job: &mut Job<'_>) -> Result<(), TranslateError> {
    if let Some(function) = tool.get("function") {
        declaration(body, function);
        return Ok(());
    }
    let own = tool
        .entries()
        .any(|(key, _)| OWN_TOOLS.iter().any(|name| key.is_str(name)));
    if own && tool.get("type").is_none() {
        comma(&mut body.tools);
        body.tools.extend_from_slice(tool.raw());
        return Ok(());
    }
    job.cannot(path(tool))
}

fn declaration(body: &mut Body, function: Node<'_>) {
    let out = &mut body.declarations;
    comma(out);
    let mut members = Vec::new();
    for name in ["name", "description"] {
        if let Some(value) = function.get(name).filter(|value| !value.is_null()) {
            put(&mut members, name, value.raw());
        }
    }
    let parameters = function.get("parameters").filter(|value| !value.is_null());
    // An object without properties is refused.
    let given = parameters.filter(|parameters| {
        let properties = parameters.get("properties");
        properties.is_some_and(|properties| properties.entries().next().is_some())
            || parameters.get("$ref").is_some()
    });
    if let Some(parameters) = given {
        let mut cleaned = Vec::with_capacity(parameters.raw().len());
        schema::write(&mut cleaned, parameters);
        put(&mut members, "parameters", &cleaned);
    }
    out.push(b'{');
    out.extend_from_slice(&members);
    out.push(b'}');
}

fn tool_choice(
    members: &mut Vec<u8>,
    choice: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    let word = choice.as_str();
    let mut config = match word.as_deref() {
        Some("auto") => b"{\"mode\":\"AUTO\"".to_vec(),
        Some("none") => b"{\"mode\":\"NONE\"".to_vec(),
        Some("required" | "any") => b"{\"mode\":\"ANY\"".to_vec(),
        Some(_) => return job.cannot("tool_choice"),
        None => {
            let function = choice.get("function").unwrap_or(choice);
            let Some(name) = function.get("name") else {
                return job.cannot("tool_choice");
            };
            let head = b"{\"mode\":\"ANY\",\"allowedFunctionNames\":[";
            [head.as_slice(), name.raw(), b"]"].concat()
        }
    };
    config.push(b'}');
    let whole = [b"{\"functionCallingConfig\":", config.as_slice(), b"}"].concat();
    put(members, "toolConfig", &whole);
    Ok(())
}
