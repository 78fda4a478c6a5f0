//! The items of a responses request as messages.

use super::responses_request::is_type;
use super::types::{Job, TranslateError};
use crate::json;
use crate::scan::{Kind, Node};

/// What stands before the signature of reasoning in `encrypted_content`, where the
/// reasoning came from a provider that signs it.
pub(crate) const SIGNED: &str = "sealgate-signature:";

/// The messages as they are written.
pub(super) struct Messages<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
    /// The assistant message that is being put together.
    turn: Turn,
    /// Images of tool results, as parts: no tool message can hold them.
    images: Vec<u8>,
}

/// One assistant message: text, reasoning before it, calls after it.
#[derive(Default)]
struct Turn {
    content: Option<Vec<u8>>,
    reasoning: String,
    /// Rendered thinking blocks, with commas between.
    thinking: Vec<u8>,
    /// Rendered calls, with commas between.
    calls: Vec<u8>,
}

fn path(node: Node<'_>) -> String {
    node.doc().path(node.id())
}

fn missing(item: Node<'_>, name: &str) -> TranslateError {
    let field = format!("{}.{name}", path(item));
    let message = format!("'{field}' is missing.");
    TranslateError::new(field, message)
}

impl<'o> Messages<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Messages<'o> {
        Messages {
            out,
            first: true,
            turn: Turn::default(),
            images: Vec::new(),
        }
    }

    /// Begins a message: `{"role":"..","content":` is written.
    fn begin(&mut self, role: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.extend_from_slice(b"{\"role\":\"");
        self.out.extend_from_slice(role.as_bytes());
        self.out.push(b'"');
    }

    pub(super) fn instructions(
        &mut self,
        value: Node<'_>,
        job: &mut Job<'_>,
    ) -> Result<(), TranslateError> {
        match value.kind() {
            Kind::String => {
                self.message("system", value.raw());
                Ok(())
            }
            _ => self.input(value, job),
        }
    }

    pub(super) fn input(
        &mut self,
        value: Node<'_>,
        job: &mut Job<'_>,
    ) -> Result<(), TranslateError> {
        if value.kind() == Kind::String {
            self.flush();
            self.message("user", value.raw());
            return Ok(());
        }
        value.items().try_for_each(|item| self.item(item, job))
    }

    fn message(&mut self, role: &str, content: &[u8]) {
        self.begin(role);
        self.out.extend_from_slice(b",\"content\":");
        self.out.extend_from_slice(content);
        self.out.push(b'}');
    }

    /// Writes what is pending.
    pub(super) fn finish(mut self) {
        self.flush();
    }

    fn flush(&mut self) {
        self.flush_turn();
        self.flush_images();
    }

    fn flush_images(&mut self) {
        let images = std::mem::take(&mut self.images);
        if !images.is_empty() {
            let content = [b"[", images.as_slice(), b"]"].concat();
            self.message("user", &content);
        }
    }

    fn flush_turn(&mut self) {
        let turn = std::mem::take(&mut self.turn);
        if turn.content.is_none() && turn.calls.is_empty() {
            // Reasoning that no answer followed has no place.
            return;
        }
        self.begin("assistant");
        self.out.extend_from_slice(b",\"content\":");
        self.out
            .extend_from_slice(turn.content.as_deref().unwrap_or(b"null"));
        if !turn.reasoning.is_empty() {
            self.out.extend_from_slice(b",\"reasoning_content\":");
            json::write_string(self.out, &turn.reasoning);
        }
        let lists: [(&[u8], &[u8]); 2] = [
            (b",\"thinking_blocks\":[", &turn.thinking),
            (b",\"tool_calls\":[", &turn.calls),
        ];
        for (name, items) in lists.into_iter().filter(|(_, items)| !items.is_empty()) {
            self.out.extend_from_slice(name);
            self.out.extend_from_slice(items);
            self.out.push(b']');
        }
        self.out.push(b'}');
    }

    fn item(&mut self, item: Node<'_>, job: &mut Job<'_>) -> Result<(), TranslateError> {
        let kind = item.get("type").filter(|kind| !kind.is_null());
        let kind = kind.and_then(|kind| kind.as_str());
        match kind.as_deref().unwrap_or("message") {
            "message" => self.one_message(item, job),
            "function_call" => {
                let arguments = item.get("arguments").map_or(&b"\"{}\""[..], |a| a.raw());
                self.call(item, arguments)
            }
            "custom_tool_call" => {
                let input = item.get("input").map_or(&b"\"\""[..], |input| input.raw());
                let object = [b"{\"input\":", input, b"}"].concat();
                let text = String::from_utf8_lossy(&object);
                self.call(item, &json::string(&text))
            }
            "function_call_output" | "custom_tool_call_output" => self.result(item, job),
            "reasoning" => {
                self.reasoning(item, job);
                Ok(())
            }
            "item_reference" => {
                let field = path(item);
                let message = format!(
                    "'{field}' refers to an item that another provider keeps; send the item itself."
                );
                Err(TranslateError::new(field, message))
            }
            _ => job.cannot(path(item)),
        }
    }

    fn one_message(&mut self, item: Node<'_>, job: &mut Job<'_>) -> Result<(), TranslateError> {
        let role = item.get("role").ok_or_else(|| missing(item, "role"))?;
        let content = item
            .get("content")
            .ok_or_else(|| missing(item, "content"))?;
        let roles = ["user", "assistant", "system", "developer"];
        let Some(role) = roles.into_iter().find(|name| role.is_str(name)) else {
            return job.cannot(path(role));
        };
        let mut rendered = Vec::with_capacity(content.raw().len().saturating_add(32));
        self.content(&mut rendered, content, job)?;
        if role == "assistant" {
            if self.turn.content.is_some() || !self.turn.calls.is_empty() {
                self.flush_turn();
            }
            self.flush_images();
            self.turn.content = Some(rendered);
            return Ok(());
        }
        self.flush();
        self.message(role, &rendered);
        Ok(())
    }

    /// Content as one string where it is one text, else as parts.
    fn content(
        &mut self,
        out: &mut Vec<u8>,
        content: Node<'_>,
        job: &mut Job<'_>,
    ) -> Result<(), TranslateError> {
        if content.kind() != Kind::Array {
            out.extend_from_slice(content.raw());
            return Ok(());
        }
        let mut parts = content.items();
        if let (Some(only), None) = (parts.next(), parts.next())
            && let Some(text) = text_of(only)
        {
            out.extend_from_slice(text.raw());
            return Ok(());
        }
        out.push(b'[');
        let from = out.len();
        for one in content.items() {
            let before = out.len();
            if before > from {
                out.push(b',');
            }
            if !part(out, one, job)? {
                out.truncate(before);
            }
        }
        out.push(b']');
        Ok(())
    }

    fn call(&mut self, item: Node<'_>, arguments: &[u8]) -> Result<(), TranslateError> {
        let id = item
            .get("call_id")
            .ok_or_else(|| missing(item, "call_id"))?;
        let name = item.get("name").ok_or_else(|| missing(item, "name"))?;
        self.flush_images();
        let calls = &mut self.turn.calls;
        if !calls.is_empty() {
            calls.push(b',');
        }
        calls.extend_from_slice(b"{\"id\":");
        calls.extend_from_slice(id.raw());
        calls.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        calls.extend_from_slice(name.raw());
        calls.extend_from_slice(b",\"arguments\":");
        calls.extend_from_slice(arguments);
        calls.extend_from_slice(b"}}");
        Ok(())
    }

    /// What a tool gave. Its images follow in a message of the user.
    fn result(&mut self, item: Node<'_>, job: &mut Job<'_>) -> Result<(), TranslateError> {
        let id = item
            .get("call_id")
            .ok_or_else(|| missing(item, "call_id"))?;
        let output = item.get("output").ok_or_else(|| missing(item, "output"))?;
        self.flush_turn();
        let mut content = Vec::new();
        if output.kind() == Kind::Array {
            for one in output.items() {
                let texts = text_of(one).is_some();
                let to = match texts {
                    true => &mut content,
                    false => &mut self.images,
                };
                let before = to.len();
                if before > 0 {
                    to.push(b',');
                }
                if !part(to, one, job)? {
                    to.truncate(before);
                }
            }
            content = match content.is_empty() {
                true => b"\"\"".to_vec(),
                false => [b"[", content.as_slice(), b"]"].concat(),
            };
        } else {
            content.extend_from_slice(output.raw());
        }
        self.begin("tool");
        self.out.extend_from_slice(b",\"tool_call_id\":");
        self.out.extend_from_slice(id.raw());
        self.out.extend_from_slice(b",\"content\":");
        self.out.extend_from_slice(&content);
        self.out.push(b'}');
        Ok(())
    }

    /// Reasoning goes with the answer that follows it. Only what a provider of the other
    /// format has signed can be proven to it; other ciphertext means nothing there.
    fn reasoning(&mut self, item: Node<'_>, job: &mut Job<'_>) {
        if self.turn.content.is_some() || !self.turn.calls.is_empty() {
            self.flush_turn();
        }
        let mut text = String::new();
        for list in ["content", "summary"] {
            let parts = item.get(list).into_iter().flat_map(|list| list.items());
            for part in parts {
                if !text.is_empty() {
                    // Two texts that were checked must not become a third one.
                    text.push('\n');
                }
                let piece = part.get("text").and_then(|text| text.as_str());
                text.push_str(&piece.unwrap_or_default());
            }
            if !text.is_empty() {
                break;
            }
        }
        let sealed = item.get("encrypted_content").filter(|node| !node.is_null());
        let signature = sealed.and_then(|node| node.as_str());
        match signature
            .as_deref()
            .and_then(|text| text.strip_prefix(SIGNED))
        {
            Some(signature) => {
                let blocks = &mut self.turn.thinking;
                if !blocks.is_empty() {
                    blocks.push(b',');
                }
                blocks.extend_from_slice(b"{\"type\":\"thinking\",\"thinking\":");
                json::write_string(blocks, &text);
                blocks.extend_from_slice(b",\"signature\":");
                json::write_string(blocks, signature);
                blocks.push(b'}');
            }
            None => job.dropped.extend(sealed.map(path)),
        }
        if !self.turn.reasoning.is_empty() {
            self.turn.reasoning.push('\n');
        }
        self.turn.reasoning.push_str(&text);
    }
}

/// The text of a part that is a text.
fn text_of(part: Node<'_>) -> Option<Node<'_>> {
    let kinds = ["input_text", "output_text", "text"];
    let is_text = kinds.iter().any(|kind| is_type(part, kind));
    part.get("text")
        .filter(|text| is_text && text.kind() == Kind::String)
}

/// Appends one part; false if it was left out.
fn part(out: &mut Vec<u8>, part: Node<'_>, job: &mut Job<'_>) -> Result<bool, TranslateError> {
    let member = |name: &str| part.get(name).filter(|node| !node.is_null());
    if let Some(text) = text_of(part) {
        out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
        out.extend_from_slice(text.raw());
        out.push(b'}');
    } else if let (true, Some(refusal)) = (is_type(part, "refusal"), member("refusal")) {
        out.extend_from_slice(b"{\"type\":\"refusal\",\"refusal\":");
        out.extend_from_slice(refusal.raw());
        out.push(b'}');
    } else if let (true, Some(url)) = (is_type(part, "input_image"), member("image_url")) {
        let url = url.get("url").unwrap_or(url);
        out.extend_from_slice(b"{\"type\":\"image_url\",\"image_url\":{\"url\":");
        out.extend_from_slice(url.raw());
        if let Some(detail) = member("detail") {
            out.extend_from_slice(b",\"detail\":");
            out.extend_from_slice(detail.raw());
        }
        out.extend_from_slice(b"}}");
    } else if let (true, None) = (is_type(part, "input_file"), member("file_url")) {
        out.extend_from_slice(b"{\"type\":\"file\",\"file\":{");
        let mut first = true;
        for name in ["filename", "file_data", "file_id"] {
            if let Some(value) = member(name) {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                json::write_string(out, name);
                out.push(b':');
                out.extend_from_slice(value.raw());
            }
        }
        out.extend_from_slice(b"}}");
    } else if let (true, Some(audio)) = (is_type(part, "input_audio"), member("input_audio")) {
        out.extend_from_slice(b"{\"type\":\"input_audio\",\"input_audio\":");
        out.extend_from_slice(audio.raw());
        out.push(b'}');
    } else {
        job.cannot(path(part))?;
        return Ok(false);
    }
    Ok(true)
}
