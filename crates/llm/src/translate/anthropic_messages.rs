//! Chat messages as the turns of a Messages request.

use super::{TranslateError, anthropic_parts as parts};
use crate::json;
use crate::scan::{Doc, Kind, Limits, Node};
use bytes::Bytes;

/// What stands for a user turn where the API wants one first.
const PLACEHOLDER: &[u8] = b"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\".\"}]}";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    User,
    Assistant,
}

/// System text and turns as they are written.
pub(super) struct Turns {
    system: Vec<u8>,
    turns: Vec<u8>,
    side: Option<Side>,
    /// The last assistant turn with tool calls has no thinking before them.
    pub(super) lacks_thinking: bool,
    /// Legacy function calls seen: they have no ids of their own.
    functions: u64,
}

impl Turns {
    pub(super) fn new(capacity: usize) -> Turns {
        Turns {
            system: Vec::new(),
            turns: Vec::with_capacity(capacity),
            side: None,
            lacks_thinking: false,
            functions: 0,
        }
    }

    /// Appends `,"system":[..],"messages":[..]`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if !self.system.is_empty() {
            out.extend_from_slice(b",\"system\":[");
            out.extend_from_slice(&self.system);
            out.push(b']');
        }
        out.extend_from_slice(b",\"messages\":[");
        out.extend_from_slice(&self.turns);
        match self.side {
            Some(_) => out.extend_from_slice(b"]}"),
            None => out.extend_from_slice(PLACEHOLDER),
        }
        out.push(b']');
    }

    pub(super) fn messages(&mut self, messages: Node<'_>) -> Result<(), TranslateError> {
        let mut rest = messages.items().peekable();
        while let Some(message) = rest.next() {
            let role = message.get("role").and_then(|role| role.as_str());
            match role.as_deref() {
                Some("system" | "developer") => self.system(message)?,
                Some("user") => {
                    self.content(message, Side::User, false)?;
                }
                Some("assistant") => self.assistant(message, rest.peek().is_none())?,
                Some("tool") => self.tool(message, None)?,
                Some("function") => self.tool(message, Some(self.functions))?,
                _ => {
                    let place = message.doc().path(message.id());
                    let field = format!("{place}.role");
                    let text =
                        format!("'{field}' must be system, developer, user, assistant or tool.");
                    return Err(TranslateError::new(field, text));
                }
            }
        }
        Ok(())
    }

    /// Where the next block of a turn is written: consecutive messages of one side are
    /// one turn.
    fn block(&mut self, side: Side) -> &mut Vec<u8> {
        if self.side == Some(side) {
            self.turns.push(b',');
            return &mut self.turns;
        }
        match self.side {
            Some(_) => self.turns.extend_from_slice(b"]},"),
            None if side == Side::Assistant => {
                self.turns.extend_from_slice(PLACEHOLDER);
                self.turns.push(b',');
            }
            None => {}
        }
        let role: &[u8] = match side {
            Side::User => b"{\"role\":\"user\",\"content\":[",
            Side::Assistant => b"{\"role\":\"assistant\",\"content\":[",
        };
        self.turns.extend_from_slice(role);
        self.side = Some(side);
        &mut self.turns
    }

    fn system(&mut self, message: Node<'_>) -> Result<(), TranslateError> {
        let Some(content) = message.get("content") else {
            return Ok(());
        };
        let whole = Some(content).filter(|content| content.kind() == Kind::String);
        for part in whole.into_iter().chain(content.items()) {
            let text = match part.kind() {
                Kind::String => part,
                _ => match part.get("text") {
                    Some(text) => text,
                    None => return Err(parts::unsupported(part)),
                },
            };
            if parts::is_blank(text) {
                continue;
            }
            if !self.system.is_empty() {
                self.system.push(b',');
            }
            let mark = parts::cache_mark(part).or_else(|| parts::cache_mark(message));
            parts::text(&mut self.system, text, mark);
        }
        Ok(())
    }

    /// The content of a message as blocks; with `last` a text at the end loses its
    /// trailing white space, which the API refuses in a turn to be continued.
    fn content(&mut self, message: Node<'_>, side: Side, last: bool) -> Result<(), TranslateError> {
        let Some(content) = message.get("content") else {
            return Ok(());
        };
        let outer = parts::cache_mark(message);
        match content.kind() {
            Kind::String => {
                if !parts::is_blank(content) {
                    let out = self.block(side);
                    match last {
                        true => parts::trimmed(out, content, outer),
                        false => parts::text(out, content, outer),
                    }
                }
            }
            Kind::Array => {
                let mut rest = content.items().peekable();
                while let Some(part) = rest.next() {
                    let ends = rest.peek().is_none();
                    let mark = parts::cache_mark(part).or(outer.filter(|_| ends));
                    let text = match part.kind() {
                        Kind::String => Some(part),
                        _ => part.get("text").or_else(|| part.get("refusal")),
                    };
                    match text.filter(|text| text.kind() == Kind::String) {
                        Some(text) if parts::is_blank(text) => {}
                        Some(text) if last && ends => parts::trimmed(self.block(side), text, mark),
                        Some(text) => parts::text(self.block(side), text, mark),
                        None => {
                            let block = parts::media(part, mark)?;
                            self.block(side).extend_from_slice(&block);
                        }
                    }
                }
            }
            Kind::Null => {}
            _ => return Err(parts::unsupported(content)),
        }
        Ok(())
    }

    fn assistant(&mut self, message: Node<'_>, last: bool) -> Result<(), TranslateError> {
        let thought = self.thinking(message);
        let calls = message
            .get("tool_calls")
            .filter(|calls| calls.items().next().is_some());
        let legacy = message.get("function_call").filter(|call| !call.is_null());
        let continued = last && calls.is_none() && legacy.is_none();
        self.content(message, Side::Assistant, continued)?;
        let refusal = message
            .get("refusal")
            .filter(|text| text.kind() == Kind::String);
        if let Some(refusal) = refusal.filter(|refusal| !parts::is_blank(*refusal)) {
            parts::text(self.block(Side::Assistant), refusal, None);
        }
        if calls.is_some() || legacy.is_some() {
            self.lacks_thinking = !thought;
        }
        for call in calls.into_iter().flat_map(|calls| calls.items()) {
            self.call(call)?;
        }
        if let Some(call) = legacy {
            self.functions = self.functions.saturating_add(1);
            let id = function_id(self.functions);
            self.tool_use(call, id.as_bytes(), None)?;
        }
        Ok(())
    }

    /// Thinking with its signature, as it came from this API.
    fn thinking(&mut self, message: Node<'_>) -> bool {
        let mut found = false;
        let blocks = message.get("thinking_blocks");
        for block in blocks.into_iter().flat_map(|blocks| blocks.items()) {
            let member = |name: &str| block.get(name).filter(|node| node.kind() == Kind::String);
            let kind = member("type").and_then(|kind| kind.as_str());
            match (
                kind.as_deref(),
                member("thinking"),
                member("signature"),
                member("data"),
            ) {
                // Thinking of another provider has no signature and is not taken back.
                (Some("thinking"), Some(text), Some(signature), _) if signature.raw().len() > 2 => {
                    let out = self.block(Side::Assistant);
                    out.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":");
                    out.extend_from_slice(text.raw());
                    out.extend_from_slice(b",\"signature\":");
                    out.extend_from_slice(signature.raw());
                    out.push(b'}');
                    found = true;
                }
                (Some("redacted_thinking"), _, _, Some(data)) => {
                    let out = self.block(Side::Assistant);
                    out.extend_from_slice(b"{\"type\":\"redacted_thinking\",\"data\":");
                    out.extend_from_slice(data.raw());
                    out.push(b'}');
                    found = true;
                }
                _ => {}
            }
        }
        found
    }

    fn call(&mut self, call: Node<'_>) -> Result<(), TranslateError> {
        let function = call
            .get("function")
            .filter(|function| function.kind() == Kind::Object);
        let Some(function) = function else {
            return Err(parts::unsupported(call));
        };
        let id = tool_id(call.get("id"), call)?;
        self.tool_use(function, &id, parts::cache_mark(call))
    }

    fn tool_use(
        &mut self,
        function: Node<'_>,
        id: &[u8],
        mark: Option<Node<'_>>,
    ) -> Result<(), TranslateError> {
        let Some(name) = function
            .get("name")
            .filter(|name| name.kind() == Kind::String)
        else {
            return Err(parts::unsupported(function));
        };
        let out = self.block(Side::Assistant);
        out.extend_from_slice(b"{\"type\":\"tool_use\",\"id\":\"");
        out.extend_from_slice(id);
        out.extend_from_slice(b"\",\"name\":");
        out.extend_from_slice(name.raw());
        out.extend_from_slice(b",\"input\":");
        arguments(out, function.get("arguments"));
        parts::end(out, mark);
        Ok(())
    }

    fn tool(&mut self, message: Node<'_>, legacy: Option<u64>) -> Result<(), TranslateError> {
        let id = match legacy {
            Some(number) => function_id(number).into_bytes(),
            None => tool_id(message.get("tool_call_id"), message)?,
        };
        let mut content = Vec::new();
        let given = message.get("content");
        match given.map_or(Kind::Null, |content| content.kind()) {
            Kind::String => content.extend_from_slice(given.map_or(b"", |given| given.raw())),
            Kind::Array => {
                content.push(b'[');
                for part in given.into_iter().flat_map(|parts| parts.items()) {
                    let text = match part.kind() {
                        Kind::String => Some(part),
                        _ => part.get("text").filter(|text| text.kind() == Kind::String),
                    };
                    if text.is_some_and(parts::is_blank) {
                        continue;
                    }
                    if content.len() > 1 {
                        content.push(b',');
                    }
                    match text {
                        Some(text) => parts::text(&mut content, text, parts::cache_mark(part)),
                        None => content.extend(parts::media(part, parts::cache_mark(part))?),
                    }
                }
                content.push(b']');
            }
            _ => content.extend_from_slice(b"\"\""),
        }
        let out = self.block(Side::User);
        out.extend_from_slice(b"{\"type\":\"tool_result\",\"tool_use_id\":\"");
        out.extend_from_slice(&id);
        out.extend_from_slice(b"\",\"content\":");
        out.extend_from_slice(&content);
        parts::end(out, parts::cache_mark(message));
        Ok(())
    }
}

fn function_id(number: u64) -> String {
    format!("function_call_{number}")
}

/// An id in the letters that the API allows.
fn tool_id(id: Option<Node<'_>>, owner: Node<'_>) -> Result<Vec<u8>, TranslateError> {
    let text = id.and_then(|id| id.as_str()).filter(|id| !id.is_empty());
    let Some(text) = text else {
        let place = owner.doc().path(owner.id());
        let message = format!("'{place}' has no id of a tool call.");
        return Err(TranslateError::new(place, message));
    };
    let letter = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => b,
        _ => b'_',
    };
    Ok(text.bytes().map(letter).collect())
}

/// The arguments of a call, which are JSON as text, as the object that they stand for.
/// What is no object goes as one that holds the text.
pub(super) fn arguments(out: &mut Vec<u8>, arguments: Option<Node<'_>>) {
    let text = arguments
        .and_then(|arguments| arguments.as_str())
        .unwrap_or_default();
    object_of(out, &text);
}

/// Appends the JSON object that `text` is, else one that holds the text.
pub(super) fn object_of(out: &mut Vec<u8>, text: &str) {
    if text.trim().is_empty() {
        out.extend_from_slice(b"{}");
        return;
    }
    let doc = Doc::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default());
    match doc {
        Ok(doc) if doc.root().kind() == Kind::Object => out.extend_from_slice(doc.root().raw()),
        _ => {
            out.extend_from_slice(b"{\"arguments\":");
            json::write_string(out, text);
            out.push(b'}');
        }
    }
}
