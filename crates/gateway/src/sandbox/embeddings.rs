//! Embeddings: eight numbers per input, derived from its bytes.

use serde_json::{Value, json};

use super::{chat, tokens};

const DIMENSIONS: u64 = 8;

/// The embeddings answer; `None` when `model` or `input` is missing or of a wrong type.
pub(super) fn answer(body: &Value) -> Option<Value> {
    let model = body.get("model")?.as_str()?;
    let inputs: Vec<String> = match body.get("input")? {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().all(Value::is_u64) => {
            vec![body.get("input")?.to_string()]
        }
        Value::Array(items) => items
            .iter()
            .map(|item| {
                item.as_str()
                    .map_or_else(|| item.to_string(), str::to_owned)
            })
            .collect(),
        _ => return None,
    };
    let base64 = body.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let embedded = |text: &String| -> Value {
        if base64 {
            encoded(text).into()
        } else {
            vector(text).into()
        }
    };
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| json!({ "object": "embedding", "index": index, "embedding": embedded(text) }))
        .collect();
    let prompt: u64 = inputs.iter().map(|text| tokens(text)).sum();
    let mut usage = chat::usage(prompt, 0, 0);
    if let Some(map) = usage.as_object_mut() {
        map.retain(|key, _| key == "prompt_tokens" || key == "total_tokens");
    }
    Some(json!({ "object": "list", "model": model, "data": data, "usage": usage }))
}

fn number(text: &str, dimension: u64) -> f32 {
    let hash = super::provider::fnv(text.as_bytes(), dimension);
    // 16 bits fit a float without rounding, so both encodings hold the same numbers.
    let low = u16::try_from(hash & 0xffff).unwrap_or(0);
    f32::from(low) / 65_536.0 - 0.5
}

fn vector(text: &str) -> Vec<f32> {
    (0..DIMENSIONS)
        .map(|dimension| number(text, dimension))
        .collect()
}

/// Little-endian 32-bit floats in base64, as OpenAI sends them when `encoding_format` is `base64`.
fn encoded(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector(text)
        .into_iter()
        .flat_map(f32::to_le_bytes)
        .collect();
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let value = group
            .iter()
            .chain([0, 0].iter())
            .take(3)
            .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        for position in 0..4_u32 {
            let index = (value >> (18 - 6 * position)) & 63;
            let letter = ALPHABET.get(index as usize).copied().unwrap_or(b'=');
            out.push(if (position as usize) > group.len() {
                '='
            } else {
                char::from(letter)
            });
        }
    }
    out
}
