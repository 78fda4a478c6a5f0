//! Turns of a Messages request as chat messages.

use super::{Job, TranslateError, messages_tools as tools};
use crate::json;
use crate::provider::Wire;
use crate::scan::{Kind, Node};

/// What a tool result says in chat when it has no text.
const NO_TEXT: &[u8] = b"\"(the result is attached below)\"";

/// Writes chat messages into a list.
pub(super) struct Writer<'o, 'j, 'a> {
    out: &'o mut Vec<u8>,
    job: &'j mut Job<'a>,
    first: bool,
}

/// Content parts as they are collected: one text alone is written as a string.
#[derive(Default)]
struct Parts<'a> {
    /// Parts with commas between.
    list: Vec<u8>,
    count: usize,
    /// The text, while it is the only part.
    single: Option<Node<'a>>,
}

impl<'a> Parts<'a> {
    fn part(&mut self) -> &mut Vec<u8> {
        if self.count > 0 {
            self.list.push(b',');
        }
        self.count = self.count.saturating_add(1);
        self.single = None;
        &mut self.list
    }

    fn text(&mut self, text: Node<'a>) {
        let alone = self.count == 0;
        let out = self.part();
        out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
        out.extend_from_slice(text.raw());
        out.push(b'}');
        self.single = alone.then_some(text);
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self.single {
            Some(text) => out.extend_from_slice(text.raw()),
            None => {
                out.push(b'[');
                out.extend_from_slice(&self.list);
                out.push(b']');
            }
        }
    }
}

impl<'o, 'j, 'a> Writer<'o, 'j, 'a> {
    pub(super) fn new(out: &'o mut Vec<u8>, job: &'j mut Job<'a>) -> Writer<'o, 'j, 'a> {
        Writer {
            out,
            job,
            first: true,
        }
    }

    fn open(&mut self, role: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.extend_from_slice(b"{\"role\":\"");
        self.out.extend_from_slice(role.as_bytes());
        self.out.push(b'"');
    }

    /// A message with content only.
    fn plain(&mut self, role: &str, parts: &Parts<'_>) {
        if parts.count == 0 {
            return;
        }
        self.open(role);
        self.out.extend_from_slice(b",\"content\":");
        parts.write(self.out);
        self.out.push(b'}');
    }

    pub(super) fn system(&mut self, system: Node<'_>) -> Result<(), TranslateError> {
        let parts = self.parts(system)?;
        self.plain("system", &parts);
        Ok(())
    }

    pub(super) fn message(&mut self, message: Node<'_>) -> Result<(), TranslateError> {
        let Some(content) = message.get("content") else {
            return Ok(());
        };
        let role = message.get("role").and_then(|role| role.as_str());
        match role.as_deref() {
            Some("user") => self.user(content),
            Some("assistant") => self.assistant(content),
            Some("system") => self.system(content),
            _ => {
                let field = format!("{}.role", message.doc().path(message.id()));
                let text = format!("'{field}' must be user or assistant.");
                Err(TranslateError::new(field, text))
            }
        }
    }

    /// Texts and media of a content; tool calls and results are not among them.
    fn parts<'n>(&mut self, content: Node<'n>) -> Result<Parts<'n>, TranslateError> {
        let mut parts = Parts::default();
        if content.kind() == Kind::String {
            parts.text(content);
        }
        for block in content.items() {
            self.block(block, &mut parts)?;
        }
        Ok(parts)
    }

    fn user(&mut self, content: Node<'_>) -> Result<(), TranslateError> {
        // Results of tools come before everything else of the turn.
        let mut parts = Parts::default();
        for block in content.items().filter(|block| is(*block, "tool_result")) {
            self.tool_result(block, &mut parts)?;
        }
        if content.kind() == Kind::String {
            parts.text(content);
        }
        for block in content.items().filter(|block| !is(*block, "tool_result")) {
            self.block(block, &mut parts)?;
        }
        self.plain("user", &parts);
        Ok(())
    }

    /// A `tool` message. Media in the result go into the user message that follows.
    fn tool_result<'n>(
        &mut self,
        result: Node<'n>,
        media: &mut Parts<'n>,
    ) -> Result<(), TranslateError> {
        let id = result
            .get("tool_use_id")
            .filter(|id| id.kind() == Kind::String);
        let Some(id) = id else {
            let field = format!("{}.tool_use_id", result.doc().path(result.id()));
            let text = format!("'{field}' must be a string.");
            return Err(TranslateError::new(field, text));
        };
        let mut texts = Parts::default();
        let content = result.get("content");
        if let Some(text) = content.filter(|content| content.kind() == Kind::String) {
            texts.text(text);
        }
        for block in content.into_iter().flat_map(|content| content.items()) {
            match is(block, "image") || is_file(block) {
                true => self.block(block, media)?,
                false => self.block(block, &mut texts)?,
            }
        }
        self.open("tool");
        self.out.extend_from_slice(b",\"tool_call_id\":");
        self.out.extend_from_slice(id.raw());
        self.out.extend_from_slice(b",\"content\":");
        match (texts.count, media.count) {
            (0, 0) => self.out.extend_from_slice(b"\"\""),
            (0, _) => self.out.extend_from_slice(NO_TEXT),
            _ => texts.write(self.out),
        }
        self.out.push(b'}');
        Ok(())
    }

    fn assistant(&mut self, content: Node<'_>) -> Result<(), TranslateError> {
        let mut parts = Parts::default();
        let (mut calls, mut thinking) = (Vec::new(), Vec::new());
        if content.kind() == Kind::String {
            parts.text(content);
        }
        for block in content.items() {
            let kind = block.get("type").and_then(|kind| kind.as_str());
            match kind.as_deref() {
                Some("tool_use") => self.call(block, &mut calls)?,
                Some("thinking" | "redacted_thinking") => {
                    if !thinking.is_empty() {
                        thinking.push(b',');
                    }
                    thinking.extend_from_slice(block.raw());
                }
                _ => self.block(block, &mut parts)?,
            }
        }
        // Thinking is signed by the provider that made it: only one that keeps such
        // signatures gets it back.
        let keep = !thinking.is_empty() && self.job.back.wire == Wire::Gemini;
        if parts.count == 0 && calls.is_empty() && !keep {
            return Ok(());
        }
        self.open("assistant");
        if parts.count > 0 {
            self.out.extend_from_slice(b",\"content\":");
            parts.write(self.out);
        }
        if keep {
            self.out.extend_from_slice(b",\"thinking_blocks\":[");
            self.out.extend_from_slice(&thinking);
            self.out.push(b']');
        }
        if !calls.is_empty() {
            self.out.extend_from_slice(b",\"tool_calls\":[");
            self.out.extend_from_slice(&calls);
            self.out.push(b']');
        }
        self.out.push(b'}');
        Ok(())
    }

    fn call(&mut self, block: Node<'_>, calls: &mut Vec<u8>) -> Result<(), TranslateError> {
        let text = |name: &str| block.get(name).filter(|node| node.kind() == Kind::String);
        let (Some(id), Some(name)) = (text("id"), text("name")) else {
            let field = block.doc().path(block.id());
            let text = format!("'{field}' must have an id and a name.");
            return Err(TranslateError::new(field, text));
        };
        if !calls.is_empty() {
            calls.push(b',');
        }
        calls.extend_from_slice(b"{\"id\":");
        calls.extend_from_slice(id.raw());
        calls.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        tools::write_name(name, self.job, calls);
        calls.extend_from_slice(b",\"arguments\":");
        match block.get("input").filter(|input| !input.is_null()) {
            Some(input) => json::write_string(calls, &String::from_utf8_lossy(input.raw())),
            None => calls.extend_from_slice(b"\"{}\""),
        }
        calls.extend_from_slice(b"}}");
        Ok(())
    }

    /// A block as a content part.
    fn block<'n>(&mut self, block: Node<'n>, parts: &mut Parts<'n>) -> Result<(), TranslateError> {
        let kind = block.get("type").and_then(|kind| kind.as_str());
        match kind.as_deref() {
            Some("text") => match block.get("text").filter(|text| text.kind() == Kind::String) {
                Some(text) if text.raw().len() > 2 => parts.text(text),
                _ => {}
            },
            Some("image") => {
                let url = block
                    .get("source")
                    .and_then(|source| address(source, "image/"));
                let Some(url) = url else {
                    return Err(unsupported(block));
                };
                let out = parts.part();
                out.extend_from_slice(b"{\"type\":\"image_url\",\"image_url\":{\"url\":");
                out.extend_from_slice(&url);
                out.extend_from_slice(b"}}");
            }
            Some("document") => self.document(block, parts)?,
            Some("search_result") => {
                for name in ["title", "source"] {
                    if let Some(text) = block.get(name).filter(|text| text.kind() == Kind::String) {
                        parts.text(text);
                    }
                }
                let content = block.get("content");
                for inner in content.into_iter().flat_map(|content| content.items()) {
                    self.block(inner, parts)?;
                }
            }
            _ => return Err(unsupported(block)),
        }
        Ok(())
    }

    fn document<'n>(
        &mut self,
        block: Node<'n>,
        parts: &mut Parts<'n>,
    ) -> Result<(), TranslateError> {
        let Some(source) = block.get("source") else {
            return Err(unsupported(block));
        };
        let text = |owner: Node<'n>, name: &str| {
            owner.get(name).filter(|node| node.kind() == Kind::String)
        };
        let title = text(block, "title");
        let kind = source.get("type").and_then(|kind| kind.as_str());
        match kind.as_deref() {
            Some("base64") => {
                let Some(url) = address(source, "application/pdf") else {
                    return Err(unsupported(block));
                };
                let out = parts.part();
                out.extend_from_slice(b"{\"type\":\"file\",\"file\":{\"filename\":");
                match title {
                    Some(title) => out.extend_from_slice(title.raw()),
                    None => out.extend_from_slice(b"\"document.pdf\""),
                }
                out.extend_from_slice(b",\"file_data\":");
                out.extend_from_slice(&url);
                out.extend_from_slice(b"}}");
            }
            Some("text" | "content") => {
                title.into_iter().for_each(|title| parts.text(title));
                if let Some(data) = text(source, "data").or_else(|| text(source, "content")) {
                    parts.text(data);
                }
                let content = source.get("content");
                for inner in content.into_iter().flat_map(|content| content.items()) {
                    self.block(inner, parts)?;
                }
            }
            _ => return Err(unsupported(block)),
        }
        if let Some(context) = text(block, "context") {
            parts.text(context);
        }
        Ok(())
    }
}

fn is(block: Node<'_>, kind: &str) -> bool {
    block.get("type").is_some_and(|own| own.is_str(kind))
}

/// A document that is no text.
fn is_file(block: Node<'_>) -> bool {
    let source = block.get("source").and_then(|source| source.get("type"));
    is(block, "document") && source.is_some_and(|kind| kind.is_str("base64"))
}

/// A source as the string token of a URL; inline data must be of the media type.
fn address(source: Node<'_>, media_type: &str) -> Option<Vec<u8>> {
    let kind = source.get("type")?.as_str()?;
    let text = |name: &str| source.get(name).filter(|node| node.kind() == Kind::String);
    match &*kind {
        "url" => Some(text("url")?.raw().to_vec()),
        "base64" => {
            let media = text("media_type")?.as_str()?;
            if !media.starts_with(media_type) {
                return None;
            }
            let data = text("data")?.raw();
            let mut out = Vec::with_capacity(data.len().saturating_add(32));
            json::write_string(&mut out, &format!("data:{media};base64,"));
            out.pop();
            out.extend_from_slice(data.get(1..)?);
            Some(out)
        }
        _ => None,
    }
}

fn unsupported(block: Node<'_>) -> TranslateError {
    let place = block.doc().path(block.id());
    let kind = block.get("type").and_then(|kind| kind.as_str());
    let kind = kind.unwrap_or_default();
    let message = format!(
        "'{place}': a block of type '{kind}' in this form cannot be sent to a deployment of this provider."
    );
    TranslateError::new(place, message)
}
