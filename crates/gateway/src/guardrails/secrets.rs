//! `hide-secrets`: keys, tokens, private keys and connection strings.

use guard::{PatternCheck, SecretSettings, Tags};

use super::plain::Plain;
use super::registry::Reading;
use super::{Engine, Refused};

/// Reads the parameters.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    if crate::guardrails::content_filter::is_on(reading.params.get("detect_secrets_config")) {
        reading.inactive(
            "detect_secrets_config",
            "the detectors are our own and all of them run, which is more",
        );
    }
    let mut settings = SecretSettings::default();
    let actions = [
        ("MASK", guard::Action::Mask),
        ("BLOCK", guard::Action::Block),
        ("ALERT", guard::Action::Alert),
    ];
    if let Some(action) = reading.params.choice("action", &actions, reading.report) {
        settings.action = action;
    }
    if let Some(entropy) = reading.params.flag("entropy", reading.report) {
        settings.entropy = entropy;
    }
    let allow = reading.params.texts("allow_list", reading.report);
    settings
        .allow
        .extend(allow.into_iter().map(|(text, _)| text.to_owned()));
    let mut check = PatternCheck::secrets(reading.name, settings);
    if let Some(tag) = reading.params.text("redaction_tag", reading.report) {
        if tag.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
            reading.problem(
                "redaction_tag",
                "quotes, backslashes and control characters are not possible",
            );
        }
        check = check.with_replacer(std::sync::Arc::new(Tags::Fixed(tag.to_owned())));
    }
    Some(Engine::local(Plain::new(check, |refused: &Refused<'_>| {
        refused.plain("a secret was found")
    })))
}
