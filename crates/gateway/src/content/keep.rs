//! From the facts of a call to its content row.

use std::sync::LazyLock;

use guard::{Check as _, Form, PatternCheck, PiiSettings, SecretSettings};
use serde_json::{Map, Value};
use store::content::Content;

use crate::config::ContentMode;
use crate::proxy::facts::Facts;

/// Longest text kept of a request, an answer or arguments, in characters.
const LONGEST: usize = 2000;

/// Characters after the cut that are still looked at, so that nothing is half recognised because it was cut.
const MARGIN: usize = 400;

/// Most tool calls kept.
const MOST_TOOLS: usize = 16;

/// Where a private key begins; one that is cut has no end to be recognised by.
const PRIVATE_KEY: &str = "-----BEGIN";

/// The row of content, and what the record says about it.
pub(crate) struct Kept {
    pub(crate) content: Content,
    pub(crate) mode: ContentMode,
}

/// Masks personal data and secrets in what is kept.
pub(crate) struct Masker {
    pii: PatternCheck,
    secrets: PatternCheck,
}

impl Default for Masker {
    fn default() -> Self {
        Self {
            pii: PatternCheck::pii("content", PiiSettings::default()),
            secrets: PatternCheck::secrets("content", SecretSettings::default()),
        }
    }
}

impl Masker {
    /// The text as it is kept: masked, then cut.
    fn mask(&self, form: Form, text: &str) -> String {
        let end = place(text, LONGEST + MARGIN);
        let mut text = text.get(..end).unwrap_or_default().to_owned();
        for check in [&self.secrets, &self.pii] {
            if let Some(masked) = check.scan_as(form, &text).masked {
                text = masked;
            }
        }
        if let Some(begin) = text.find(PRIVATE_KEY) {
            text.truncate(begin);
            text.push_str("[REDACTED]");
        }
        cut(&text).to_owned()
    }
}

/// Byte offset of a character, at most the end.
fn place(text: &str, characters: usize) -> usize {
    text.char_indices()
        .nth(characters)
        .map_or(text.len(), |(at, _)| at)
}

fn cut(text: &str) -> &str {
    text.get(..place(text, LONGEST)).unwrap_or_default()
}

/// Encrypts what is kept of a call; `None` when nothing is. What cannot be encrypted is not kept, and said.
pub(crate) fn keep(masker: &LazyLock<Masker>, facts: &Facts) -> Option<Kept> {
    let keys = facts.keys.as_ref().filter(|_| facts.mode.is_sealed())?;
    let masked = facts.mode == ContentMode::Masked;
    let shown = |form: Form, text: &str| match masked {
        true => masker.mask(form, text),
        false => cut(text).to_owned(),
    };
    let mut out = Map::new();
    let mut put = |name: &str, form: Form, text: &str| {
        if !text.is_empty() {
            out.insert(name.to_owned(), Value::from(shown(form, text)));
        }
    };
    put("request", Form::Plain, &facts.content.request);
    put("answer", Form::Plain, &facts.content.answer);
    if facts.destination.wildcard {
        put("model", Form::Plain, &facts.destination.requested);
    }
    // Names that the client gave stand here as they are: whose call it was is what an authorised reader asks.
    for (name, label) in ["user", "session", "trace"]
        .into_iter()
        .zip(&facts.content.labels)
    {
        if let Some(label) = label {
            out.insert(name.to_owned(), Value::from(cut(label)));
        }
    }
    let tools: Vec<Value> = facts
        .asked_tools
        .iter()
        .take(MOST_TOOLS)
        .map(|tool| {
            let arguments = shown(Form::JsonText, &tool.arguments);
            serde_json::json!({ "name": shown(Form::Plain, &tool.name), "arguments": arguments })
        })
        .collect();
    if !tools.is_empty() {
        out.insert("tools".to_owned(), Value::Array(tools));
    }
    if out.is_empty() {
        return None;
    }
    let plain = zeroize::Zeroizing::new(Value::Object(out).to_string().into_bytes());
    match store::content::seal(&keys.pair, &facts.id, &plain) {
        Ok(content) => Some(Kept {
            content,
            mode: facts.mode,
        }),
        Err(error) => {
            tracing::error!(%error, id = %facts.id, "the content of a call could not be encrypted and is not kept");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        Masker::default().mask(Form::Plain, text)
    }

    #[test]
    fn personal_data_and_secrets_do_not_stay() {
        let text =
            masked("mail anna@example.com, card 4111 1111 1111 1111, key AKIAIOSFODNN7EXAMPLQ");
        for secret in ["anna@example.com", "4111 1111", "AKIAIOSFODNN7EXAMPLQ"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.starts_with("mail <EMAIL_ADDRESS>"), "{text}");
    }

    #[test]
    fn a_text_is_cut_after_it_was_masked() {
        let at_the_edge = format!("{} anna@example.com and more", "x ".repeat(995));
        let text = masked(&at_the_edge);
        assert_eq!(text.chars().count(), LONGEST);
        assert!(!text.contains("anna"), "{}", &text[1980..]);
        let wide = "\u{1f600}".repeat(3000);
        assert_eq!(masked(&wide).chars().count(), LONGEST);
    }

    #[test]
    fn a_private_key_that_is_cut_is_gone() {
        let pem = format!(
            "key: -----BEGIN RSA PRIVATE KEY-----\n{}",
            "MIIB".repeat(2000)
        );
        let text = masked(&pem);
        assert!(
            !text.contains("MIIBMIIB") && text.contains("[REDACTED]"),
            "{text}"
        );
    }
}
