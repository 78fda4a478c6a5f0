//! Tests of callbacks.

use crate::config::CallbackKind;
use crate::config::tests::support::{load_text, where_of};

#[test]
fn known_names_have_their_kind() {
    let text = "litellm_settings:\n  callbacks: [langsmith, detect_prompt_injection, prometheus, dynamic_rate_limiter]\n\
                \x20 success_callback: s3\n  failure_callback: [langsmith, ~]\n";
    let config = load_text(text).unwrap();
    let kinds: Vec<_> = config
        .callbacks
        .iter()
        .map(|c| (c.name.as_str(), &c.kind, c.on.join(",")))
        .collect();
    assert_eq!(
        kinds,
        [
            (
                "langsmith",
                &CallbackKind::Sink,
                "callbacks,failure_callback".to_owned()
            ),
            (
                "detect_prompt_injection",
                &CallbackKind::Native,
                "callbacks".to_owned()
            ),
            ("prometheus", &CallbackKind::Native, "callbacks".to_owned()),
            (
                "dynamic_rate_limiter",
                &CallbackKind::Sink,
                "callbacks".to_owned()
            ),
            ("s3", &CallbackKind::Sink, "success_callback".to_owned()),
        ]
    );
}

#[test]
fn unknown_ones_stop_the_start_at_their_line() {
    let text = "litellm_settings:\n  callbacks:\n  - langfuse\n  - my_hooks.handler\n  - langfus\n  - nobody_knows_this\n";
    let rejected = load_text(text).unwrap_err();
    assert_eq!(
        where_of(&rejected.problems),
        [
            "4 litellm_settings.callbacks",
            "5 litellm_settings.callbacks",
            "6 litellm_settings.callbacks"
        ]
    );
    assert_eq!(rejected.problems[1].suggestion.as_deref(), Some("langfuse"));
    assert!(load_text("litellm_settings: {callbacks: {a: b}}").is_err());
}
