//! Which strings of an answer, an item or a part are output, and of which unit.

use super::unit::Unit;
use crate::openai::Channel;
use crate::openai::output::{Found, opaque, other, push};
use crate::scan::{Kind, Node};
use crate::transcript::OpaqueKind;

/// Members of a response that describe it or repeat the request, which was checked on its
/// way in.
const ECHO: &[&str] = &[
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "model",
    "instructions",
    "tools",
    "tool_choice",
    "text",
    "reasoning",
    "metadata",
    "prompt",
    "previous_response_id",
    "conversation",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "prompt_cache_diagnostics",
    "service_tier",
    "truncation",
    "usage",
    "tool_usage",
    "billing",
    "context_management",
    "input_transformations",
    "access_programs",
];

/// The outputs of a whole response.
pub(super) fn response(root: Node<'_>, found: &mut Found) {
    found.expect(root, Kind::Object);
    for (key, value) in root.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "output" => {
                found.expect(value, Kind::Array);
                for (place, one) in value.items().enumerate() {
                    item(one, u32::try_from(place).unwrap_or(u32::MAX), found);
                }
            }
            "incomplete_details" if is_reason(value) => {}
            echo if ECHO.contains(&echo) => {}
            _ => other(key, value, 0, found),
        }
    }
}

fn is_reason(details: Node<'_>) -> bool {
    let mut entries = details.entries();
    entries.all(|(key, value)| key.is_str("reason") && value.raw().len() < 64)
}

/// The outputs of one item.
pub(super) fn item(item: Node<'_>, place: u32, found: &mut Found) {
    found.expect(item, Kind::Object);
    let choice = Unit::item(place).choice();
    for (key, value) in item.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "id" | "type" | "status" | "call_id" | "role" | "phase" if is_scalar(value) => {}
            "content" => parts(value, place, item.get("role").is_none(), found),
            "summary" => parts(value, place, false, found),
            "encrypted_content" => opaque(OpaqueKind::Reasoning, value, found),
            "name" => push(choice, Channel::ToolName(0), value, found),
            "arguments" => push(choice, Channel::ToolArguments(0), value, found),
            "input" | "code" => push(choice, Channel::ToolInput(0), value, found),
            "result" if item.get("type").is_some_and(is_image) => {
                opaque(OpaqueKind::Image, value, found);
            }
            _ => other(key, value, choice, found),
        }
    }
}

fn is_scalar(value: Node<'_>) -> bool {
    !matches!(value.kind(), Kind::Array | Kind::Object)
}

fn is_image(kind: Node<'_>) -> bool {
    kind.is_str("image_generation_call")
}

/// Parts of `content` or `summary`; `reasoning`: of the content of a reasoning item.
fn parts(list: Node<'_>, item: u32, reasoning: bool, found: &mut Found) {
    found.expect(list, Kind::Array);
    for (place, one) in list.items().enumerate() {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let unit = match reasoning {
            true => Unit::reasoning(item, place),
            false => Unit { item, part: place },
        };
        part(one, unit, found);
    }
}

/// The outputs of one part.
pub(super) fn part(part: Node<'_>, unit: Unit, found: &mut Found) {
    found.expect(part, Kind::Object);
    let choice = unit.choice();
    let kind = part.get("type");
    let is = |name: &str| kind.is_some_and(|kind| kind.is_str(name));
    let text = match is("summary_text") || is("reasoning_text") {
        true => Channel::Reasoning,
        false => Channel::Text,
    };
    for (key, value) in part.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "type" if value.kind() == Kind::String => {}
            "text" => push(choice, text, value, found),
            "refusal" => push(choice, Channel::Refusal, value, found),
            // Repeats the text token by token; goes when the text is changed.
            "logprobs" => {}
            _ => other(key, value, choice, found),
        }
    }
}
