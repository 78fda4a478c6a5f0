//! Which strings of a request are texts, which are structure, which are opaque.

use crate::openai::classify::{Walk, bad};
use crate::openai::fields;
use crate::openai::request::RequestError;
use crate::openai::vocabulary::{WORDS, is_in};
use crate::scan::{Kind, Node};
use crate::transcript::{OpaqueKind, Part, Role, Transcript};

/// The texts of a responses request.
pub(super) fn request(root: Node<'_>) -> Result<Transcript, RequestError> {
    let mut walk = Walk::new();
    walk.out.texts.reserve(8);
    for (key, value) in root.entries() {
        top(&mut walk, key, value)?;
    }
    Ok(walk.out)
}

fn top(walk: &mut Walk, key: Node<'_>, value: Node<'_>) -> Result<(), RequestError> {
    let name = key.as_str().unwrap_or_default();
    match &*name {
        "model" => {}
        "input" => input(walk, value)?,
        // A text, or items as in `input`.
        "instructions" => {
            walk.role = Role::System;
            match value.kind() {
                Kind::Array => items(walk, value)?,
                _ => walk.text(Part::Text, value),
            }
            walk.role = Role::None;
        }
        "tools" => value.items().for_each(|one| tool(walk, one)),
        "tool_choice" => walk.choice(value),
        "text" => text(walk, value),
        "reasoning" => words(walk, value),
        "include" => value.items().for_each(|item| walk.identifier(item)),
        "truncation" | "service_tier" => walk.word(value),
        "user" | "safety_identifier" | "prompt_cache_key" | "prompt_cache_retention" => {
            walk.identifier(value);
        }
        "previous_response_id" | "conversation" => {
            stored(walk, value);
            match value.kind() {
                Kind::Object => value
                    .entries()
                    .for_each(|(key, value)| match key.is_str("id") {
                        true => walk.identifier(value),
                        false => walk.unknown(key, value),
                    }),
                _ => walk.identifier(value),
            }
        }
        "prompt" => prompt(walk, value),
        known if super::Request::is_member(known) => walk.below(value),
        // Removed before the body is sent on: no model sees it.
        extra if fields::gateway_extra(extra) => {}
        _ => walk.unknown(key, value),
    }
    Ok(())
}

fn stored(walk: &mut Walk, value: Node<'_>) {
    if !value.is_null() {
        walk.out.push_opaque(OpaqueKind::Stored, value);
    }
}

/// An object whose strings are words of the format.
fn words(walk: &mut Walk, value: Node<'_>) {
    match value.kind() {
        Kind::Object => value.entries().for_each(|(key, value)| {
            match value.kind() == Kind::String && is_in(WORDS, value) {
                true => {}
                false => walk.unknown(key, value),
            }
        }),
        _ => walk.below(value),
    }
}

/// The format and verbosity of the answer.
fn text(walk: &mut Walk, value: Node<'_>) {
    for (key, value) in value.entries() {
        if key.is_str("verbosity") {
            walk.word(value);
        } else if key.is_str("format") && value.kind() == Kind::Object {
            for (key, value) in value.entries() {
                let name = key.as_str().unwrap_or_default();
                match &*name {
                    "type" => walk.word(value),
                    "name" => walk.text(Part::Name, value),
                    "schema" => walk.schema(value),
                    "description" => walk.text(Part::ToolDescription, value),
                    _ => walk.unknown(key, value),
                }
            }
        } else {
            walk.unknown(key, value);
        }
    }
}

/// A template that the provider keeps, and what is put into it.
fn prompt(walk: &mut Walk, value: Node<'_>) {
    stored(walk, value);
    for (key, value) in value.entries() {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "id" | "version" => walk.identifier(value),
            "variables" if value.kind() == Kind::Object => {
                walk.role = Role::User;
                for (key, value) in value.entries() {
                    walk.push(Part::Key, key);
                    match value.kind() {
                        Kind::Object => walk.part(value, Part::Text),
                        _ => walk.text(Part::Text, value),
                    }
                }
                walk.role = Role::None;
            }
            _ => walk.unknown(key, value),
        }
    }
}

/// Tools; a namespace holds more of them.
fn tool(walk: &mut Walk, value: Node<'_>) {
    let nested = value
        .get("tools")
        .filter(|tools| tools.kind() == Kind::Array);
    match nested {
        None => walk.tool(value),
        Some(_) => {
            for (key, value) in value.entries() {
                let name = key.as_str().unwrap_or_default();
                match &*name {
                    "type" => walk.word(value),
                    "name" => walk.text(Part::ToolName, value),
                    "description" => walk.text(Part::ToolDescription, value),
                    "tools" => value.items().for_each(|one| walk.tool(one)),
                    _ => walk.unknown(key, value),
                }
            }
        }
    }
}

fn input(walk: &mut Walk, value: Node<'_>) -> Result<(), RequestError> {
    match value.kind() {
        Kind::String => {
            walk.role = Role::User;
            walk.push(Part::Text, value);
            walk.role = Role::None;
            Ok(())
        }
        _ => items(walk, value),
    }
}

fn items(walk: &mut Walk, value: Node<'_>) -> Result<(), RequestError> {
    let before = walk.role;
    for one in value.items() {
        if one.kind() != Kind::Object {
            return Err(bad(one, "an object"));
        }
        item(walk, one)?;
        walk.role = before;
    }
    Ok(())
}

fn item(walk: &mut Walk, item: Node<'_>) -> Result<(), RequestError> {
    let kind = item.get("type").filter(|kind| !kind.is_null());
    let known = kind.is_none_or(|kind| is_in(WORDS, kind));
    if !known {
        walk.out.push_opaque(OpaqueKind::Unknown, item);
    }
    let kind = kind.and_then(|kind| kind.as_str());
    let kind = kind.as_deref().unwrap_or("message");
    walk.role = match kind {
        "message" => {
            let role = item.get("role").filter(|role| role.kind() == Kind::String);
            role.map_or(Role::Unknown, Role::of)
        }
        output if output.ends_with("_output") || output.ends_with("_response") => Role::Tool,
        "item_reference" | "compaction" => Role::None,
        _ if !known => Role::Unknown,
        _ => Role::Assistant,
    };
    for (key, value) in item.entries() {
        member(walk, kind, key, value)?;
    }
    if kind == "item_reference" {
        stored(walk, item);
    }
    Ok(())
}

fn member(walk: &mut Walk, kind: &str, key: Node<'_>, value: Node<'_>) -> Result<(), RequestError> {
    let name = key.as_str().unwrap_or_default();
    match (&*name, kind) {
        ("type" | "status" | "phase", _) => walk.word(value),
        ("id" | "call_id" | "item_id" | "approval_request_id", _) => walk.identifier(value),
        ("role", "message") if walk.role != Role::Unknown => {}
        ("role", _) => walk.below(value),
        ("content", "reasoning") | ("summary", _) => reasoning(walk, value),
        ("content", _) => walk.content(value)?,
        ("encrypted_content", _) if value.kind() == Kind::String => {
            walk.out.push_opaque(OpaqueKind::Reasoning, value);
        }
        ("name" | "server_label" | "namespace", _) => walk.text(Part::ToolName, value),
        ("arguments", _) => walk.text(Part::ToolArguments, value),
        ("input" | "code", _) => walk.text(Part::ToolInput, value),
        ("output", _) => output(walk, value)?,
        ("result", "image_generation_call") if value.kind() == Kind::String => {
            walk.out.push_opaque(OpaqueKind::Image, value);
        }
        ("tools", "mcp_list_tools" | "tool_search_output" | "additional_tools") => {
            value.items().for_each(|one| tool(walk, one));
        }
        _ => walk.unknown(key, value),
    }
    Ok(())
}

fn reasoning(walk: &mut Walk, value: Node<'_>) {
    match value.kind() {
        Kind::Array => value.items().for_each(|part| match part.kind() {
            Kind::Object => walk.part(part, Part::Reasoning),
            _ => walk.text(Part::Reasoning, part),
        }),
        _ => walk.text(Part::Reasoning, value),
    }
}

/// What a tool gave: a text, parts, or an object such as a screenshot.
fn output(walk: &mut Walk, value: Node<'_>) -> Result<(), RequestError> {
    match value.kind() {
        Kind::Object => {
            for (key, value) in value.entries() {
                let name = key.as_str().unwrap_or_default();
                match &*name {
                    "image_url" => walk.media(OpaqueKind::Image, value),
                    "file_id" => walk.media_member(OpaqueKind::Image, &name, key, value),
                    "type" => walk.word(value),
                    _ => walk.unknown(key, value),
                }
            }
            Ok(())
        }
        _ => walk.content(value),
    }
}
