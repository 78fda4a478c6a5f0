//! Checks that LiteLLM's older files name as callbacks: each becomes the guardrail that does the same here.

use super::problems::Place;
use super::reader::Section;
use super::yaml::{Entry, Node, Origin, Value};

/// Callbacks that are local checks here, and what stands for them in `guardrails`.
const LOCAL: [(&str, &str); 4] = [
    ("presidio", "presidio"),
    ("hide_secrets", "hide-secrets"),
    ("detect_prompt_injection", "detect_prompt_injection"),
    ("banned_keywords", "litellm_content_filter"),
];

/// Whether a callback is a local check.
pub(super) fn is_local(callback: &str) -> bool {
    LOCAL.iter().any(|(name, _)| *name == callback)
}

/// The names of the callbacks that are local checks.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    LOCAL.iter().map(|(name, _)| *name)
}

/// What an older file says of one such check.
pub(super) struct Older<'s> {
    /// The callback.
    pub(super) callback: &'s str,
    /// Name of the guardrail.
    pub(super) name: &'s str,
    pub(super) default_on: bool,
    /// It only looks at what is logged.
    pub(super) logging_only: bool,
    pub(super) place: &'s Place,
}

/// The entry of `guardrails` that does the same. Its settings come from `litellm_settings`.
pub(super) fn entry(litellm: &Section<'_>, older: &Older<'_>) -> Option<Node> {
    let (_, integration) = LOCAL.iter().find(|(name, _)| *name == older.callback)?;
    let place = older.place;
    let text = |text: &str| node(place, Value::Text(text.to_owned()));
    let mode = match older.logging_only {
        true => "logging_only",
        false => "pre_call",
    };
    let mut params = vec![
        Entry::new("guardrail", text(integration)),
        Entry::new("mode", text(mode)),
        Entry::new(
            "default_on",
            node(place, Value::Bool(older.default_on, "true".to_owned())),
        ),
    ];
    let mut copy = |from: &str, to: &str| {
        if let Some(found) = litellm.get(from) {
            params.push(Entry::new(to, found.clone()));
        }
    };
    match older.callback {
        "presidio" => {
            for key in [
                "output_parse_pii",
                "presidio_ad_hoc_recognizers",
                "presidio_analyzer_api_base",
                "presidio_anonymizer_api_base",
                "presidio_language",
                "pii_entities_config",
            ] {
                copy(key, key);
            }
        }
        "banned_keywords" => match litellm.get("banned_keywords_list") {
            Some(Node {
                value: Value::List(items),
                ..
            }) => {
                let words = items.iter().map(|item| {
                    let action = text("BLOCK");
                    let entries = vec![
                        Entry::new("keyword", item.clone()),
                        Entry::new("action", action),
                    ];
                    node(&item.place, Value::Map(entries))
                });
                let words = node(place, Value::List(words.collect()));
                params.push(Entry::new("blocked_words", words));
            }
            _ => copy("banned_keywords_list", "blocked_words_file"),
        },
        "detect_prompt_injection" => {
            if let Some(Node {
                value: Value::Map(entries),
                ..
            }) = litellm.get("prompt_injection_params")
            {
                params.extend(entries.iter().cloned());
            }
        }
        _ => {}
    }
    let entries = vec![
        Entry::new("guardrail_name", text(older.name)),
        Entry::new("litellm_params", node(place, Value::Map(params))),
    ];
    Some(node(place, Value::Map(entries)))
}

fn node(place: &Place, value: Value) -> Node {
    Node {
        place: place.clone(),
        value,
        origin: Origin::File,
    }
}
