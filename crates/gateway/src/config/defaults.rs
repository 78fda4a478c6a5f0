//! Members of requests that `litellm_params` sets for calls that do not say them.

use llm::protocol::Protocol;

use super::models::Reading;
use super::reader::Section;
use super::yaml::{Node, Value};

/// A member with its value.
#[derive(Clone, Debug)]
pub struct DefaultMember {
    /// How it is called in `litellm_params`.
    pub(super) name: &'static str,
    /// Its value as JSON.
    pub json: Vec<u8>,
}

/// Names by which requests bound the length of an answer.
const LENGTH: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// Name, the kind of its value, and in which formats it is a member: chat completions, text completions, messages, responses,
/// embeddings.
const NAMES: [(&str, Kind, [bool; 5]); 17] = [
    ("temperature", Kind::Number, [true, true, true, true, false]),
    ("top_p", Kind::Number, [true, true, true, true, false]),
    ("top_k", Kind::Number, [true, false, true, false, false]),
    ("min_p", Kind::Number, [true, false, false, false, false]),
    ("seed", Kind::Number, [true, true, false, false, false]),
    (
        "presence_penalty",
        Kind::Number,
        [true, true, false, false, false],
    ),
    (
        "frequency_penalty",
        Kind::Number,
        [true, true, false, false, false],
    ),
    ("max_tokens", Kind::Number, [true, true, true, true, false]),
    (
        "max_completion_tokens",
        Kind::Number,
        [true, true, true, true, false],
    ),
    (
        "dimensions",
        Kind::Number,
        [false, false, false, false, true],
    ),
    (
        "top_logprobs",
        Kind::Number,
        [true, false, false, false, false],
    ),
    ("logprobs", Kind::Flag, [true, false, false, false, false]),
    (
        "parallel_tool_calls",
        Kind::Flag,
        [true, false, false, true, false],
    ),
    (
        "reasoning_effort",
        Kind::Word,
        [true, false, false, false, false],
    ),
    ("verbosity", Kind::Word, [true, false, false, false, false]),
    (
        "service_tier",
        Kind::Word,
        [true, false, false, true, false],
    ),
    ("thinking", Kind::Map, [true, false, true, false, false]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Flag,
    Word,
    Map,
}

impl DefaultMember {
    /// What the member is called in requests of a format; nothing where the format has none.
    #[must_use]
    pub fn member(&self, protocol: Protocol) -> Option<&'static str> {
        let column = match protocol {
            Protocol::Chat => 0,
            Protocol::Completions => 1,
            Protocol::Messages => 2,
            Protocol::Responses => 3,
            Protocol::Embeddings => 4,
            _ => return None,
        };
        let (_, _, formats) = NAMES.iter().find(|(name, _, _)| *name == self.name)?;
        if !*formats.get(column)? {
            return None;
        }
        Some(match (self.is_length(), protocol) {
            (true, Protocol::Responses) => "max_output_tokens",
            (true, Protocol::Messages | Protocol::Completions) => "max_tokens",
            _ => self.name,
        })
    }

    /// Other members that say the same.
    #[must_use]
    pub fn synonyms(&self) -> &'static [&'static str] {
        match self.is_length() {
            true => &LENGTH,
            false => &[],
        }
    }

    fn is_length(&self) -> bool {
        LENGTH.contains(&self.name)
    }

    /// The length of an answer that it bounds.
    pub(super) fn length(&self) -> Option<u64> {
        let text = std::str::from_utf8(&self.json).ok();
        text.filter(|_| self.is_length())?.parse().ok()
    }
}

/// Reads them.
pub(super) fn read(params: &Section<'_>, reading: &mut Reading<'_>) -> Vec<DefaultMember> {
    let mut found: Vec<DefaultMember> = Vec::new();
    for (name, kind, _) in NAMES {
        let Some(node) = params.get(name) else {
            continue;
        };
        let Some(json) = json(node).filter(|json| fits(kind, json)) else {
            let wanted = match kind {
                Kind::Number => "expected a number",
                Kind::Flag => "expected true or false",
                Kind::Word => "expected a word",
                Kind::Map => "expected a mapping",
            };
            let path = params.path_of(name);
            reading.report.problem(&node.place, &path, wanted);
            continue;
        };
        if name == "max_completion_tokens" {
            // Both say the same; the newer name wins.
            found.retain(|other| other.name != "max_tokens");
        }
        found.push(DefaultMember {
            name,
            json: json.to_string().into_bytes(),
        });
    }
    found
}

fn fits(kind: Kind, json: &serde_json::Value) -> bool {
    match kind {
        Kind::Number => json.is_number(),
        Kind::Flag => json.is_boolean(),
        Kind::Word => json.is_string(),
        Kind::Map => json.is_object(),
    }
}

/// A value of the file as JSON: what reads as a number is one.
fn json(node: &Node) -> Option<serde_json::Value> {
    Some(match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag, _) => (*flag).into(),
        Value::Text(text) => match serde_json::from_str::<serde_json::Number>(text.trim()) {
            Ok(number) => number.into(),
            Err(_) => text.trim().into(),
        },
        Value::List(items) => items.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        Value::Map(entries) => {
            let pairs = entries
                .iter()
                .map(|entry| Some((entry.key.clone(), json(&entry.value)?)));
            serde_json::Value::Object(pairs.collect::<Option<_>>()?)
        }
    })
}
