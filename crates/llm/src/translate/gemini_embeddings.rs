//! Embeddings in Gemini's format.

use super::types::{AnswerError, Back, Job, TranslateError};
use crate::json;
use crate::openai::fields;
use crate::openai::stream::Head;
use crate::scan::{Doc, Kind, Node};

/// Renders `batchEmbedContents` of an embeddings request.
pub(super) fn request(doc: &Doc, job: &mut Job<'_>) -> Result<Vec<u8>, TranslateError> {
    let root = doc.root();
    let mut dimensions = None;
    for (key, value) in root.entries().filter(|(_, value)| !value.is_null()) {
        let name = key.as_str().unwrap_or_default();
        match &*name {
            "model" | "input" => {}
            left if job.left_out(left) => {}
            "dimensions" => dimensions = Some(value),
            "encoding_format" => job.back.base64 = value.is_str("base64"),
            "user" => job.dropped.push(name.into_owned()),
            extra if fields::gateway_extra(extra) => {}
            other => job.cannot(other)?,
        }
    }
    let input = root.get("input");
    let texts: Vec<Node<'_>> = match input.map(|input| (input, input.kind())) {
        Some((input, Kind::String)) => vec![input],
        Some((input, Kind::Array)) if !input.has_elided() => input.items().collect(),
        _ => Vec::new(),
    };
    let text = texts.iter().all(|node| node.kind() == Kind::String);
    if texts.is_empty() || !text {
        let message =
            "'input' must be a text or a list of texts: tokens mean nothing to another model.";
        return Err(TranslateError::new("input", message));
    }
    let model = job.options.model;
    let model = json::string(&format!(
        "models/{}",
        model.strip_prefix("models/").unwrap_or(model)
    ));
    let mut out = b"{\"requests\":[".to_vec();
    for (place, text) in texts.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"model\":");
        out.extend_from_slice(&model);
        out.extend_from_slice(b",\"content\":{\"parts\":[{\"text\":");
        out.extend_from_slice(text.raw());
        out.extend_from_slice(b"}]}");
        if let Some(dimensions) = dimensions {
            out.extend_from_slice(b",\"outputDimensionality\":");
            out.extend_from_slice(dimensions.raw());
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
    Ok(out)
}

/// The embeddings answer. Gemini reports no usage, so there is none.
pub(super) fn answer(doc: &Doc, back: &Back, head: &Head) -> Result<Vec<u8>, AnswerError> {
    let list = doc
        .root()
        .get("embeddings")
        .filter(|list| list.kind() == Kind::Array);
    let list = list.ok_or(AnswerError::Shape("it has no embeddings"))?;
    let mut out = b"{\"object\":\"list\",\"data\":[".to_vec();
    for (place, one) in list.items().enumerate() {
        let values = one
            .get("values")
            .filter(|values| values.kind() == Kind::Array);
        let values = values.ok_or(AnswerError::Shape("an embedding has no values"))?;
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"object\":\"embedding\",\"index\":");
        json::write_u64(&mut out, place as u64);
        out.extend_from_slice(b",\"embedding\":");
        match back.base64 {
            false => out.extend_from_slice(values.raw()),
            true => base64(&mut out, values)?,
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"model\":");
    json::write_string(&mut out, &head.model);
    out.push(b'}');
    Ok(out)
}

/// Appends a vector as the base64 of its little-endian 32-bit floats, in quotes.
fn base64(out: &mut Vec<u8>, values: Node<'_>) -> Result<(), AnswerError> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let raw = values.raw();
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(inner.len() / 2);
    for number in inner.split(|byte| *byte == b',') {
        let text = std::str::from_utf8(number.trim_ascii()).unwrap_or_default();
        let value = text.parse::<f32>();
        let value = value.map_err(|_| AnswerError::Shape("an embedding is no list of numbers"))?;
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    out.push(b'"');
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4_usize {
            if place > chunk.len() {
                out.push(b'=');
                continue;
            }
            let shift = 18_usize.saturating_sub(place.saturating_mul(6));
            let letter = (bits >> shift) & 63;
            out.extend(LETTERS.get(letter as usize));
        }
    }
    out.push(b'"');
    Ok(())
}
