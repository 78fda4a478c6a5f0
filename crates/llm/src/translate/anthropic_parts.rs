//! Content parts of chat messages as content blocks.

use super::TranslateError;
use crate::json;
use crate::scan::{Kind, Node};

/// Block types of the Messages API that a chat message may carry as they are.
const OWN: &[&str] = &[
    "container_upload",
    "document",
    "image",
    "redacted_thinking",
    "search_result",
    "thinking",
];

pub(super) fn unsupported(part: Node<'_>) -> TranslateError {
    let place = part.doc().path(part.id());
    let kind = part.get("type").and_then(|kind| kind.as_str());
    let message = match kind {
        Some(kind) => {
            format!("'{place}': a part of type {kind} cannot be sent to an Anthropic deployment.")
        }
        None => format!("'{place}' cannot be sent to an Anthropic deployment."),
    };
    TranslateError::new(place, message)
}

/// Whether a text is empty or white space: the API refuses such blocks.
pub(super) fn is_blank(text: Node<'_>) -> bool {
    let raw = text.raw();
    // Most texts show it by their first letter.
    match raw.get(1) {
        Some(b) if b.is_ascii_alphanumeric() => false,
        _ => text.as_str().is_none_or(|text| text.trim().is_empty()),
    }
}

/// `cache_control` of a part, message, call or tool.
pub(super) fn cache_mark(owner: Node<'_>) -> Option<Node<'_>> {
    let mark = owner.get("cache_control")?;
    (mark.kind() == Kind::Object).then_some(mark)
}

/// Ends a block, with its cache mark if it has one.
pub(super) fn end(out: &mut Vec<u8>, mark: Option<Node<'_>>) {
    if let Some(mark) = mark {
        out.extend_from_slice(b",\"cache_control\":");
        out.extend_from_slice(mark.raw());
    }
    out.push(b'}');
}

pub(super) fn text(out: &mut Vec<u8>, text: Node<'_>, mark: Option<Node<'_>>) {
    out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
    out.extend_from_slice(text.raw());
    end(out, mark);
}

/// A text without white space at its end.
pub(super) fn trimmed(out: &mut Vec<u8>, text: Node<'_>, mark: Option<Node<'_>>) {
    out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
    let decoded = text.as_str().unwrap_or_default();
    json::write_string(out, decoded.trim_end());
    end(out, mark);
}

/// An image or document.
pub(super) fn media(part: Node<'_>, mark: Option<Node<'_>>) -> Result<Vec<u8>, TranslateError> {
    let kind = part.get("type").and_then(|kind| kind.as_str());
    let mut out = Vec::new();
    match kind.as_deref() {
        Some("image_url") => {
            let image = part.get("image_url").unwrap_or(part);
            let url = image.get("url").unwrap_or(image);
            let Some(url) = url.as_str() else {
                return Err(unsupported(part));
            };
            source(&mut out, &url, None).ok_or_else(|| unsupported(part))?;
        }
        Some("file") => file(&mut out, part)?,
        Some(own) if OWN.contains(&own) => {
            out.extend_from_slice(part.raw());
            return Ok(out);
        }
        _ => return Err(unsupported(part)),
    }
    end(&mut out, mark);
    Ok(out)
}

fn file(out: &mut Vec<u8>, part: Node<'_>) -> Result<(), TranslateError> {
    let file = part.get("file").unwrap_or(part);
    let title = file
        .get("filename")
        .filter(|name| name.kind() == Kind::String);
    let data = file.get("file_data").and_then(|data| data.as_str());
    let id = file.get("file_id").filter(|id| id.kind() == Kind::String);
    match (data, id) {
        (Some(data), _) => source(out, &data, title).ok_or_else(|| unsupported(part)),
        (None, Some(id)) => {
            let address = id.as_str().unwrap_or_default();
            match address.starts_with("https://") {
                true => source(out, &address, title).ok_or_else(|| unsupported(part)),
                false => {
                    out.extend_from_slice(
                        b"{\"type\":\"document\",\"source\":{\"type\":\"file\",\"file_id\":",
                    );
                    out.extend_from_slice(id.raw());
                    out.push(b'}');
                    named(out, title);
                    Ok(())
                }
            }
        }
        (None, None) => Err(unsupported(part)),
    }
}

fn named(out: &mut Vec<u8>, title: Option<Node<'_>>) {
    if let Some(title) = title {
        out.extend_from_slice(b",\"title\":");
        out.extend_from_slice(title.raw());
    }
}

/// Begins an image or document block from a data URL or an address; leaves it open.
fn source(out: &mut Vec<u8>, url: &str, title: Option<Node<'_>>) -> Option<()> {
    let lead = |document: bool| match document {
        true => b"{\"type\":\"document\",\"source\":{\"type\":".as_slice(),
        false => b"{\"type\":\"image\",\"source\":{\"type\":",
    };
    let document = if let Some(inline) = url.strip_prefix("data:") {
        let (kind, data) = inline.split_once(',')?;
        let media = kind.strip_suffix(";base64")?;
        let media = media.split(';').next().unwrap_or(media);
        let document = match media {
            "application/pdf" => true,
            media if media.starts_with("image/") && title.is_none() => false,
            _ => return None,
        };
        out.extend_from_slice(lead(document));
        out.extend_from_slice(b"\"base64\",\"media_type\":");
        json::write_string(out, media);
        out.extend_from_slice(b",\"data\":");
        json::write_string(out, data);
        document
    } else if url.starts_with("https://") || url.starts_with("http://") {
        let path = url.split(['?', '#']).next().unwrap_or(url);
        let document = title.is_some() || path.ends_with(".pdf");
        out.extend_from_slice(lead(document));
        out.extend_from_slice(b"\"url\",\"url\":");
        json::write_string(out, url);
        document
    } else {
        return None;
    };
    out.push(b'}');
    if document {
        named(out, title);
    }
    Some(())
}
