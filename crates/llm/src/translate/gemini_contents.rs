//! The messages of a chat request as Gemini's contents.

use super::types::{Job, TranslateError};
use crate::json;
use crate::scan::{Doc, Kind, Limits, Node};
use bytes::Bytes;
use std::borrow::Cow;

/// Stands between the id of a tool call and the signature of the thought that led to it:
/// clients send ids back unchanged, and little else.
pub(crate) const THOUGHT: &str = "__thought__";

/// Takes the place of a signature where the history comes from another model, as Google's
/// documentation says.
pub(crate) const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The turns as they are written.
pub(super) struct Contents<'a> {
    /// Rendered contents, with commas between.
    pub(super) contents: Vec<u8>,
    /// Rendered parts of the system instruction.
    pub(super) system: Vec<u8>,
    /// Role of the content that is being written, and its parts.
    open: Option<(Role, Vec<u8>)>,
    /// (id, name) of the tool calls so far.
    calls: Vec<(Cow<'a, str>, Node<'a>)>,
    /// The model checks signatures of function calls.
    signed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    User,
    Model,
    /// What functions gave: sent as the user, but never mixed with what the user said.
    Functions,
}

fn path(node: Node<'_>) -> String {
    node.doc().path(node.id())
}

fn wrong(node: Node<'_>, what: &str) -> TranslateError {
    let field = path(node);
    let message = format!("'{field}' {what}.");
    TranslateError::new(field, message)
}

/// Appends a comma where something stands before.
fn comma(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b',');
    }
}

impl<'a> Contents<'a> {
    pub(super) fn new(model: &str) -> Contents<'a> {
        Contents {
            contents: Vec::new(),
            system: Vec::new(),
            open: None,
            calls: Vec::new(),
            signed: model.contains("gemini-3"),
        }
    }

    pub(super) fn messages(
        &mut self,
        list: Node<'a>,
        job: &mut Job<'_>,
    ) -> Result<(), TranslateError> {
        for message in list.items() {
            let role = message.get("role").and_then(|role| role.as_str());
            match role.as_deref().unwrap_or_default() {
                "system" | "developer" => self.system(message)?,
                "user" => self.user(message, job)?,
                "assistant" => self.assistant(message, job)?,
                "tool" | "function" => self.result(message)?,
                _ => return Err(wrong(message, "has no role that Gemini knows")),
            }
        }
        self.close();
        Ok(())
    }

    /// The parts of the content of this role; ends another one.
    fn parts(&mut self, role: Role) -> &mut Vec<u8> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != role) {
            self.close();
        }
        let (_, parts) = self.open.get_or_insert_with(|| (role, Vec::new()));
        parts
    }

    fn close(&mut self) {
        let Some((role, parts)) = self.open.take() else {
            return;
        };
        if parts.is_empty() {
            return;
        }
        comma(&mut self.contents);
        self.contents.extend_from_slice(match role {
            Role::Model => b"{\"role\":\"model\",\"parts\":[".as_slice(),
            Role::User | Role::Functions => b"{\"role\":\"user\",\"parts\":[",
        });
        self.contents.extend_from_slice(&parts);
        self.contents.extend_from_slice(b"]}");
    }

    fn system(&mut self, message: Node<'a>) -> Result<(), TranslateError> {
        let content = message.get("content");
        for one in texts(content) {
            let one = one.ok_or_else(|| wrong(message, "holds more than text"))?;
            text(&mut self.system, one);
        }
        Ok(())
    }

    fn user(&mut self, message: Node<'a>, job: &mut Job<'_>) -> Result<(), TranslateError> {
        let parts = self.parts(Role::User);
        let Some(content) = message.get("content") else {
            return Ok(());
        };
        match content.kind() {
            Kind::String => text(parts, content),
            _ => content.items().try_for_each(|one| part(parts, one, job))?,
        }
        Ok(())
    }

    fn assistant(&mut self, message: Node<'a>, job: &mut Job<'_>) -> Result<(), TranslateError> {
        let parts = self.parts(Role::Model);
        let content = message.get("content").filter(|content| !content.is_null());
        match content.map(|content| (content, content.kind())) {
            Some((content, Kind::String)) if !content.is_str("") => text(parts, content),
            Some((content, Kind::Array)) => {
                content.items().try_for_each(|one| part(parts, one, job))?;
            }
            _ => {}
        }
        let calls = message.get("tool_calls");
        for (place, call) in calls.into_iter().flat_map(|c| c.items()).enumerate() {
            let function = call.get("function");
            let function = function.ok_or_else(|| wrong(call, "is no function call"))?;
            let id = call.get("id").and_then(|id| id.as_str());
            let signature = signature(call, id.as_deref());
            self.call(function, signature, place == 0)?;
            if let (Some(id), Some(name)) = (id, function.get("name")) {
                self.calls.push((id, name));
            }
        }
        if let Some(function) = message.get("function_call").filter(|call| !call.is_null()) {
            self.call(function, None, true)?;
        }
        Ok(())
    }

    fn call(
        &mut self,
        function: Node<'a>,
        signature: Option<String>,
        first: bool,
    ) -> Result<(), TranslateError> {
        let name = function.get("name");
        let name = name.ok_or_else(|| wrong(function, "has no name"))?;
        let arguments = function.get("arguments");
        let written = arguments.and_then(|arguments| arguments.as_str());
        let written = written.unwrap_or(Cow::Borrowed(""));
        let object = match written.trim().is_empty() {
            true => "{}",
            false => written.as_ref(),
        };
        let bytes = Bytes::copy_from_slice(object.as_bytes());
        let parsed = Doc::parse(bytes, &Limits::default());
        if !parsed.is_ok_and(|doc| doc.root().kind() == Kind::Object) {
            let at = arguments.unwrap_or(function);
            return Err(wrong(at, "is not a JSON object, which Gemini needs"));
        }
        let signed = self.signed;
        let parts = self.parts(Role::Model);
        comma(parts);
        parts.extend_from_slice(b"{\"functionCall\":{\"name\":");
        parts.extend_from_slice(name.raw());
        parts.extend_from_slice(b",\"args\":");
        parts.extend_from_slice(object.as_bytes());
        parts.push(b'}');
        let stand_in = (signed && first).then(|| NO_SIGNATURE.to_owned());
        if let Some(signature) = signature.or(stand_in) {
            parts.extend_from_slice(b",\"thoughtSignature\":");
            json::write_string(parts, &signature);
        }
        parts.push(b'}');
        Ok(())
    }

    /// What a function gave, always as one text: the text that was checked.
    fn result(&mut self, message: Node<'a>) -> Result<(), TranslateError> {
        let id = message.get("tool_call_id").and_then(|id| id.as_str());
        let known = self.calls.iter().rev();
        let mut known = known.filter(|(call, _)| Some(call) == id.as_ref());
        let name = known.next().map(|(_, name)| *name);
        let name = name.or_else(|| message.get("name").filter(|name| !name.is_null()));
        let name = name.ok_or_else(|| {
            let at = message.get("tool_call_id").unwrap_or(message);
            wrong(at, "belongs to no tool call of this conversation")
        })?;
        let mut whole = String::new();
        for one in texts(message.get("content")) {
            let one = one.ok_or_else(|| wrong(message, "holds more than text"))?;
            if !whole.is_empty() {
                // Two texts that were checked must not become a third one.
                whole.push('\n');
            }
            whole.push_str(&one.as_str().unwrap_or_default());
        }
        let parts = self.parts(Role::Functions);
        comma(parts);
        parts.extend_from_slice(b"{\"functionResponse\":{\"name\":");
        parts.extend_from_slice(name.raw());
        parts.extend_from_slice(b",\"response\":{\"output\":");
        json::write_string(parts, &whole);
        parts.extend_from_slice(b"}}}");
        Ok(())
    }
}

/// The signature of the thought behind a call.
fn signature(call: Node<'_>, id: Option<&str>) -> Option<String> {
    let own = call.get("provider_specific_fields");
    let own = own.and_then(|fields| fields.get("thought_signature"));
    let own = own.and_then(|text| text.as_str()).map(Cow::into_owned);
    own.or_else(|| Some(unpack(id?.split_once(THOUGHT)?.1)))
}

/// The id of a call with its signature, in the letters that every provider takes in ids.
/// A signature that is not base64 is left out of it.
pub(super) fn signed_id(id: &str, signature: Option<&str>) -> String {
    let body = signature.map(|text| text.trim_end_matches('='));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    match body.filter(|body| !body.is_empty() && body.bytes().all(plain)) {
        Some(body) => {
            let body = body.replace('+', "-").replace('/', "_");
            format!("{id}{THOUGHT}{body}")
        }
        None => id.to_owned(),
    }
}

/// A signature as it was before [`signed_id`].
fn unpack(body: &str) -> String {
    let mut text = body.replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// The string tokens of a content that is text; `None` for a part that is not.
fn texts<'a>(content: Option<Node<'a>>) -> Vec<Option<Node<'a>>> {
    let Some(content) = content.filter(|content| !content.is_null()) else {
        return Vec::new();
    };
    match content.kind() {
        Kind::Array => content
            .items()
            .map(|part| {
                let text = part.get("text");
                text.filter(|text| text.kind() == Kind::String)
            })
            .collect(),
        Kind::String => vec![Some(content)],
        _ => vec![None],
    }
}

fn text(parts: &mut Vec<u8>, token: Node<'_>) {
    comma(parts);
    parts.extend_from_slice(b"{\"text\":");
    parts.extend_from_slice(token.raw());
    parts.push(b'}');
}

/// One content part of a message.
fn part(parts: &mut Vec<u8>, part: Node<'_>, job: &mut Job<'_>) -> Result<(), TranslateError> {
    let kind = part.get("type").and_then(|kind| kind.as_str());
    let url = |name: &str| {
        let value = part.get(name)?;
        value.get("url").or(Some(value))
    };
    match kind.as_deref().unwrap_or_default() {
        "text" => {
            if let Some(token) = part.get("text") {
                text(parts, token);
            }
            Ok(())
        }
        "refusal" => {
            if let Some(token) = part.get("refusal") {
                text(parts, token);
            }
            Ok(())
        }
        // Thoughts are the provider's own; they are not sent back.
        "thinking" | "reasoning" | "redacted_thinking" => Ok(()),
        "image_url" => media(parts, url("image_url"), part, job),
        "video_url" => media(parts, url("video_url"), part, job),
        "file" => {
            let file = part.get("file");
            let data = file.and_then(|file| file.get("file_data").or_else(|| file.get("file_id")));
            media(parts, data, part, job)
        }
        "input_audio" => {
            let audio = part.get("input_audio");
            let member = |name: &str| audio.and_then(|audio| audio.get(name)?.as_str());
            let (Some(data), Some(format)) = (member("data"), member("format")) else {
                return job.cannot(path(part));
            };
            let kind = match &*format {
                "mp3" => "audio/mp3",
                "wav" => "audio/wav",
                "flac" => "audio/flac",
                "opus" | "ogg" => "audio/ogg",
                "aac" => "audio/aac",
                _ => return job.cannot(path(part)),
            };
            inline(parts, kind, &data);
            Ok(())
        }
        _ => job.cannot(path(part)),
    }
}

fn inline(parts: &mut Vec<u8>, kind: &str, data: &str) {
    comma(parts);
    parts.extend_from_slice(b"{\"inlineData\":{\"mimeType\":");
    json::write_string(parts, kind);
    parts.extend_from_slice(b",\"data\":");
    json::write_string(parts, data);
    parts.extend_from_slice(b"}}");
}

/// Media inline, or files that Google keeps. Other addresses would have to be fetched.
fn media(
    parts: &mut Vec<u8>,
    url: Option<Node<'_>>,
    part: Node<'_>,
    job: &mut Job<'_>,
) -> Result<(), TranslateError> {
    let text = url.and_then(|url| url.as_str());
    let text = text.as_deref().unwrap_or_default();
    let data = text
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(','));
    if let Some((kind, data)) = data
        && let Some(kind) = kind.strip_suffix(";base64")
    {
        let kind = kind.split(';').next().unwrap_or(kind);
        inline(parts, kind, data);
        return Ok(());
    }
    let own = ["gs://", "https://generativelanguage.googleapis.com/"];
    if own.iter().any(|prefix| text.starts_with(prefix)) {
        comma(parts);
        parts.extend_from_slice(b"{\"fileData\":{\"fileUri\":");
        json::write_string(parts, text);
        parts.extend_from_slice(b"}}");
        return Ok(());
    }
    if job.options.drop_params {
        return job.cannot(path(part));
    }
    let field = path(part);
    let message =
        format!("'{field}' must be sent inline, as a base64 data URL: Gemini fetches nothing.");
    Err(TranslateError::new(field, message))
}
