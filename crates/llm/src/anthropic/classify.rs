//! Which strings of a Messages request are texts, which are structure, which are opaque.
//!
//! A string is structural only where it is named here **and** has one of the values or
//! the form named here. Every other string is a text.

use super::vocabulary::{BLOCKS, NAMES, WORDS};
use crate::openai::classify::is_identifier;
use crate::openai::fields;
use crate::openai::vocabulary::{SCHEMA_WORDS, is_in};
use crate::openai::{RequestError, RequestErrorKind};
use crate::scan::{Kind, Node};
use crate::transcript::{OpaqueKind, Part, Role, Structure, Transcript};

/// The texts of a Messages request.
pub(super) fn messages(root: Node<'_>) -> Result<Transcript, RequestError> {
    let mut walk = Walk {
        out: Transcript::default(),
        role: Role::None,
    };
    walk.out.texts.reserve(8);
    for (key, value) in root.entries() {
        walk.top(key, value)?;
    }
    Ok(walk.out)
}

pub(super) struct Walk {
    pub(super) out: Transcript,
    pub(super) role: Role,
}

impl Walk {
    /// A place where a string of this part is expected; anything else below is walked.
    pub(super) fn text(&mut self, part: Part, node: Node<'_>) {
        match node.kind() {
            Kind::String => self.out.push(self.role, part, node),
            _ => self.below(node),
        }
    }

    /// A member that no rule knows: its name and everything below.
    pub(super) fn unknown(&mut self, key: Node<'_>, value: Node<'_>) {
        if !is_in(NAMES, key) {
            self.out.push(self.role, Part::Key, key);
        }
        self.below(value);
    }

    /// Everything below a value that no rule knows.
    pub(super) fn below(&mut self, value: Node<'_>) {
        let mut structural = |at: Structure<'_>| match at {
            Structure::Key(key) => is_in(NAMES, key),
            Structure::Value(key, value) => {
                (key.is_str("type") || key.is_str("ttl")) && is_in(WORDS, value)
            }
        };
        self.out
            .walk(self.role, Part::Unknown, value, &mut structural);
    }

    /// A string that is structure if it is one of the known words.
    pub(super) fn word(&mut self, value: Node<'_>) {
        if value.kind() != Kind::String || !(is_in(WORDS, value) || is_in(BLOCKS, value)) {
            self.below(value);
        }
    }

    /// A string that is structure if it looks like an identifier.
    pub(super) fn identifier(&mut self, value: Node<'_>) {
        if value.kind() != Kind::String || !is_identifier(value) {
            self.below(value);
        }
    }

    fn schema(&mut self, value: Node<'_>) {
        let mut structural = |at: Structure<'_>| match at {
            Structure::Key(key) => is_in(SCHEMA_WORDS, key),
            Structure::Value(key, value) => key.is_str("type") && is_in(SCHEMA_WORDS, value),
        };
        self.out
            .walk(self.role, Part::Schema, value, &mut structural);
    }

    fn top(&mut self, key: Node<'_>, value: Node<'_>) -> Result<(), RequestError> {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "messages" => {
                for message in value.items() {
                    self.message(message)?;
                }
            }
            "model" => {}
            "system" => {
                self.role = Role::System;
                self.content(value)?;
                self.role = Role::None;
            }
            "tools" => value.items().for_each(|tool| self.tool(tool)),
            "tool_choice" => self.choice(value),
            "stop_sequences" => value.items().for_each(|stop| self.text(Part::Stop, stop)),
            "metadata" => self.metadata(value),
            "thinking" => self.words(value),
            "service_tier" | "inference_geo" | "speed" => self.word(value),
            "output_config" => self.output_config(value),
            "output_format" => self.format(value),
            "container" => self.container(value),
            "mcp_servers" => value.items().for_each(|server| self.mcp_server(server)),
            "max_tokens" | "temperature" | "top_p" | "top_k" | "stream" => self.below(value),
            "cache_control" | "context_management" => self.below(value),
            // Removed before the body is sent on: no model sees it.
            extra if fields::gateway_extra(extra) => {}
            _ => self.unknown(key, value),
        }
        Ok(())
    }

    fn message(&mut self, message: Node<'_>) -> Result<(), RequestError> {
        if message.kind() != Kind::Object {
            return Err(bad(message, "an object"));
        }
        let role = message.get("role");
        let Some(role) = role.filter(|role| role.kind() == Kind::String) else {
            return Err(bad(message, "an object with a role and content"));
        };
        self.role = Role::of(role);
        for (key, value) in message.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "role" if self.role != Role::Unknown => {}
                "role" => self.below(value),
                "content" => self.content(value)?,
                _ => self.unknown(key, value),
            }
        }
        self.role = Role::None;
        Ok(())
    }

    /// A string or an array of blocks.
    fn content(&mut self, content: Node<'_>) -> Result<(), RequestError> {
        match content.kind() {
            Kind::String => self.text(Part::Text, content),
            Kind::Array => {
                for block in content.items() {
                    if block.kind() != Kind::Object {
                        return Err(bad(block, "an object"));
                    }
                    self.block(block);
                }
            }
            Kind::Null => {}
            _ => return Err(bad(content, "a string or an array of blocks")),
        }
        Ok(())
    }

    fn tool(&mut self, tool: Node<'_>) {
        if tool.kind() != Kind::Object {
            return self.below(tool);
        }
        for (key, value) in tool.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" => self.word(value),
                "name" => self.text(Part::ToolName, value),
                "description" => self.text(Part::ToolDescription, value),
                "input_schema" => self.schema(value),
                "input_examples" => self.values(value),
                _ => self.unknown(key, value),
            }
        }
    }

    /// The input of a tool: JSON of any form, names and texts the sender's own.
    pub(super) fn values(&mut self, input: Node<'_>) {
        self.out.push_all(self.role, Part::ToolInput, input);
    }

    fn choice(&mut self, choice: Node<'_>) {
        for (key, value) in choice.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" => self.word(value),
                "name" => self.text(Part::ToolName, value),
                _ => self.unknown(key, value),
            }
        }
    }

    fn metadata(&mut self, metadata: Node<'_>) {
        for (key, value) in metadata.entries() {
            // The others are removed before the body is sent on.
            if key.is_str("user_id") {
                self.identifier(value);
            }
        }
    }

    /// An object of modes and numbers.
    fn words(&mut self, object: Node<'_>) {
        for (key, value) in object.entries() {
            match is_in(NAMES, key) {
                true => self.word(value),
                false => self.unknown(key, value),
            }
        }
    }

    fn output_config(&mut self, config: Node<'_>) {
        for (key, value) in config.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "effort" => self.word(value),
                "format" => self.format(value),
                _ => self.unknown(key, value),
            }
        }
    }

    fn format(&mut self, format: Node<'_>) {
        if format.kind() != Kind::Object {
            return self.below(format);
        }
        for (key, value) in format.entries() {
            let name = key.as_str().unwrap_or_default();
            match &*name {
                "type" => self.word(value),
                "schema" => self.schema(value),
                _ => self.unknown(key, value),
            }
        }
    }

    fn container(&mut self, container: Node<'_>) {
        match container.kind() {
            Kind::Object => {
                for (key, value) in container.entries() {
                    match key.is_str("id") {
                        true => self.identifier(value),
                        false => self.unknown(key, value),
                    }
                }
            }
            _ => self.identifier(container),
        }
    }

    fn mcp_server(&mut self, server: Node<'_>) {
        if server.kind() != Kind::Object {
            return self.below(server);
        }
        for (key, value) in server.entries() {
            match key.is_str("authorization_token") && value.kind() == Kind::String {
                // A credential for the provider's use, no text of the model.
                true => self.out.push_opaque(OpaqueKind::Unknown, value),
                false => self.unknown(key, value),
            }
        }
    }
}

/// Where a value is, as `messages.0.content.1`.
fn place(node: Node<'_>) -> String {
    let path = node.doc().path(node.id());
    path.replace('[', ".").replace(']', "")
}

fn bad(node: Node<'_>, wanted: &str) -> RequestError {
    let place = place(node);
    let message = format!("{place}: must be {wanted}.");
    RequestError::new(RequestErrorKind::WrongType, &place, message)
}
