//! `text_limits` and `insecure_code`: sizes, languages and gibberish; programs that do what they should not.

use guard::{Action, Expressions, Language, Limits, ShapeCheck, ShapeSettings};

use super::plain::Plain;
use super::registry::Reading;
use super::{Engine, Refusal, Refused};

/// Reads `text_limits`.
pub(crate) fn limits(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    let mut most = |key: &str| -> Option<usize> {
        let number = reading.params.whole(key, 1, reading.report)?;
        usize::try_from(number).ok()
    };
    let limits = Limits {
        bytes: most("max_bytes"),
        characters: most("max_characters"),
        tokens: most("max_tokens"),
    };
    let mut languages = Vec::new();
    for (name, _) in reading.params.texts("languages", reading.report) {
        match language(name) {
            Some(language) => languages.push(language),
            None => reading.problem(
                "languages",
                "a language that is not told apart here; see docs/guardrails.md",
            ),
        }
    }
    let gibberish = reading
        .params
        .flag("gibberish", reading.report)
        .unwrap_or(false);
    let settings = ShapeSettings {
        limits,
        languages,
        gibberish,
    };
    if settings == ShapeSettings::default() {
        reading.problem(
            "guardrail",
            "it has no limit, no languages and no gibberish, and checks nothing",
        );
    }
    let actions = [("BLOCK", Action::Block), ("ALERT", Action::Alert)];
    let action = reading.params.choice("action", &actions, reading.report);
    let check = ShapeCheck::new(reading.name, settings, action.unwrap_or(Action::Block));
    Some(Engine::local(Plain::new(check, shape)))
}

fn shape(refused: &Refused<'_>) -> Refusal {
    refused.plain(match refused.kind {
        "TOO_LONG" => "a text is longer than allowed",
        "LANGUAGE" => "a text is in a language that is not allowed",
        _ => "a text makes no words",
    })
}

/// Reads `insecure_code`.
pub(crate) fn code(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    let actions = [
        ("BLOCK", Action::Block),
        ("MASK", Action::Mask),
        ("ALERT", Action::Alert),
    ];
    let action = reading.params.choice("action", &actions, reading.report);
    let check = Expressions::insecure_code(reading.name, action.unwrap_or(Action::Alert))?;
    Some(Engine::local(Plain::new(check, |refused: &Refused<'_>| {
        refused.plain("insecure code was found")
    })))
}

/// By ISO 639-1 or the English name; scripts by the language most written in them.
fn language(name: &str) -> Option<Language> {
    Some(match name.to_ascii_lowercase().as_str() {
        "en" | "english" => Language::English,
        "de" | "german" => Language::German,
        "fr" | "french" => Language::French,
        "es" | "spanish" => Language::Spanish,
        "it" | "italian" => Language::Italian,
        "pt" | "portuguese" => Language::Portuguese,
        "cyrillic" => Language::Cyrillic,
        "hi" | "hindi" | "devanagari" => Language::Devanagari,
        "ar" | "arabic" => Language::Arabic,
        "zh" | "chinese" => Language::Chinese,
        "ja" | "japanese" => Language::Japanese,
        "ko" | "korean" => Language::Korean,
        _ => return None,
    })
}
