//! Tools of a Messages request as functions of chat completions.

use super::{Job, TranslateError};
use crate::json;
use crate::scan::{Kind, Node};

/// Longest name of a function in chat completions; the Messages API takes twice as much.
const MAX_NAME: usize = 64;

/// Finds shorter names for tools whose names are too long.
pub(super) fn names(tools: Node<'_>, job: &mut Job<'_>) {
    for tool in tools.items() {
        let name = tool.get("name").and_then(|name| name.as_str());
        if let Some(name) = name.filter(|name| name.len() > MAX_NAME) {
            let short = shorter(&name);
            job.back.tool_names.push((short, name.into_owned()));
        }
    }
}

/// The beginning of a name and a digest of the whole (FNV-1a, 64 bits): the same in every
/// call, so that the turns of a conversation agree.
fn shorter(name: &str) -> String {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let digest = name.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    let mut end = MAX_NAME.saturating_sub(17);
    while !name.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    format!("{}_{digest:016x}", name.get(..end).unwrap_or_default())
}

/// Appends a tool's name as the provider gets it.
pub(super) fn write_name(name: Node<'_>, job: &Job<'_>, out: &mut Vec<u8>) {
    if name.raw().len() <= MAX_NAME.saturating_add(2) {
        out.extend_from_slice(name.raw());
        return;
    }
    let own = name.as_str().unwrap_or_default();
    let renamed = job.back.tool_names.iter().find(|(_, known)| *known == own);
    match renamed {
        Some((short, _)) => json::write_string(out, short),
        None if own.len() > MAX_NAME => json::write_string(out, &shorter(&own)),
        None => out.extend_from_slice(name.raw()),
    }
}

/// Appends `,"tools":[..]`.
pub(super) fn list(
    tools: Node<'_>,
    job: &mut Job<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TranslateError> {
    let mut count = 0_usize;
    for tool in tools.items() {
        let kind = tool.get("type").filter(|kind| !kind.is_null());
        let own = kind.is_none_or(|kind| kind.is_str("custom"));
        let name = tool
            .get("name")
            .filter(|name| own && name.kind() == Kind::String);
        let Some(name) = name else {
            // The provider's own tools have no equivalent.
            job.cannot(tool.doc().path(tool.id()))?;
            continue;
        };
        let lead: &[u8] = if count == 0 { b",\"tools\":[" } else { b"," };
        out.extend_from_slice(lead);
        count = count.saturating_add(1);
        out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
        write_name(name, job, out);
        let description = tool.get("description");
        if let Some(text) = description.filter(|text| text.kind() == Kind::String) {
            out.extend_from_slice(b",\"description\":");
            out.extend_from_slice(text.raw());
        }
        if let Some(schema) = tool
            .get("input_schema")
            .filter(|schema| schema.kind() == Kind::Object)
        {
            out.extend_from_slice(b",\"parameters\":");
            out.extend_from_slice(schema.raw());
        }
        out.extend_from_slice(b"}}");
    }
    if count > 0 {
        out.push(b']');
    }
    Ok(())
}

/// Appends `tool_choice` and `parallel_tool_calls`.
pub(super) fn choice(
    choice: Node<'_>,
    job: &mut Job<'_>,
    out: &mut Vec<u8>,
) -> Result<(), TranslateError> {
    let kind = choice.get("type").and_then(|kind| kind.as_str());
    match kind.as_deref() {
        Some("auto") => out.extend_from_slice(b",\"tool_choice\":\"auto\""),
        Some("none") => out.extend_from_slice(b",\"tool_choice\":\"none\""),
        Some("any") => out.extend_from_slice(b",\"tool_choice\":\"required\""),
        Some("tool") => {
            let Some(name) = choice
                .get("name")
                .filter(|name| name.kind() == Kind::String)
            else {
                return Err(TranslateError::new(
                    "tool_choice.name",
                    "'tool_choice.name' must be a string.",
                ));
            };
            out.extend_from_slice(
                b",\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":",
            );
            write_name(name, job, out);
            out.extend_from_slice(b"}}");
        }
        _ => return job.cannot("tool_choice"),
    }
    let one = choice
        .get("disable_parallel_tool_use")
        .and_then(|one| one.as_bool());
    if one == Some(true) {
        out.extend_from_slice(b",\"parallel_tool_calls\":false");
    }
    Ok(())
}
