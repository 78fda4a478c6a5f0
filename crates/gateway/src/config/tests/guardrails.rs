//! Tests of guardrails.

use crate::config::tests::support::{load_text, noted, where_of};
use crate::config::{Config, Rejected, check_passes};

fn filter(params: &str) -> Result<Config, Rejected> {
    load_text(&format!(
        "guardrails:\n- guardrail_name: g\n  litellm_params: {{guardrail: litellm_content_filter, {params}}}\n"
    ))
}

const WORD: &str = "blocked_words: [{keyword: a, action: block}]";

#[test]
fn every_mode_is_read() {
    for (mode, names) in [
        ("pre_call", vec!["pre_call"]),
        (
            "[post_call, logging_only]",
            vec!["post_call", "logging_only"],
        ),
        ("during_call", vec!["during_call"]),
        ("[pre_call, pre_mcp_call]", vec!["pre_call"]),
    ] {
        let config = filter(&format!("mode: {mode}, {WORD}")).unwrap();
        assert_eq!(config.guardrails[0].modes.names(), names);
        assert!(config.guardrails[0].missing.is_empty());
        assert!(!config.guardrails[0].default_on);
    }
    let tagged = filter(&format!(
        "mode: {{tags: {{x: pre_call}}, default: pre_call}}, {WORD}"
    ));
    assert_eq!(tagged.unwrap().guardrails[0].missing, ["mode by tag"]);
    for mode in ["sometimes", "pre-call", "[pre_call, {}]"] {
        assert!(filter(&format!("mode: {mode}, {WORD}")).is_err(), "{mode}");
    }
    assert!(filter(WORD).is_err());
}

#[test]
fn parts_that_are_not_built_refuse_the_calls_that_select_them() {
    for part in [
        "patterns: [{pattern_type: prebuilt, pattern_name: email, action: MASK}]",
        "categories: [{category: violence, enabled: true, action: BLOCK}]",
        "blocked_words_file: words.yaml",
        "on_sensitive_data: route",
        "image_model: vision",
    ] {
        let config = filter(&format!("mode: pre_call, default_on: true, {WORD}, {part}")).unwrap();
        let key = part.split(':').next().unwrap();
        assert_eq!(config.guardrails[0].missing, [key]);
        assert_eq!(config.always_selected_missing().count(), 1, "{part}");
        let path = format!("guardrails[0].litellm_params.{key}");
        assert!(noted(&config, &path, "503 check_not_available"), "{part}");
    }
    for off in ["patterns: []", "categories: ~", "on_sensitive_data: block"] {
        let config = filter(&format!("mode: pre_call, {WORD}, {off}")).unwrap();
        assert!(config.guardrails[0].missing.is_empty(), "{off}");
    }
}

#[test]
fn words_that_cannot_work_stop_the_start() {
    for words in [
        "[{keyword: '', action: BLOCK}]",
        "[{keyword: a}]",
        "[{action: BLOCK}]",
        "[{keyword: a, action: WARN}]",
        "[{keyword: a, action: BLOCK, colour: red}]",
        "[word]",
        "[{keyword: \"\\u200b\", action: BLOCK}]",
        "word",
    ] {
        let result = filter(&format!("mode: pre_call, blocked_words: {words}"));
        assert!(result.is_err(), "{words}");
    }
    assert!(
        filter(&format!(
            "mode: pre_call, {WORD}, keyword_redaction_tag: 'a\"b'"
        ))
        .is_err()
    );
}

#[test]
fn a_filter_without_words_does_not_pass_the_check() {
    assert!(!check_passes(&filter("mode: pre_call")));
    assert!(filter("mode: pre_call").is_ok());
}

#[test]
fn other_integrations_load_and_refuse_the_calls_that_select_them() {
    let with = |integration: &str, default_on: bool| {
        load_text(&format!(
            "guardrails:\n- guardrail_name: g\n  litellm_params: {{guardrail: {integration}, mode: pre_call, default_on: {default_on}}}\n"
        ))
    };
    for integration in [
        "bedrock",
        "lakera_v2",
        "my_module.MyGuardrail",
        "something_new",
    ] {
        let config = with(integration, false).unwrap();
        assert_eq!(config.always_selected_missing().count(), 0);
        assert_eq!(config.guardrail("g").unwrap().missing, [integration]);
        assert_eq!(
            with(integration, true)
                .unwrap()
                .always_selected_missing()
                .count(),
            1
        );
    }
    let rejected = with("presidoi", true).unwrap_err();
    assert_eq!(rejected.problems[0].suggestion.as_deref(), Some("presidio"));
}

#[test]
fn older_forms_are_read() {
    let text = "litellm_settings:\n  guardrails:\n  - injection: {callbacks: [lakera_prompt_injection], default_on: true}\n\
                \x20 - hidden: {callbacks: [hide_secrets]}\n";
    let config = load_text(text).unwrap();
    assert_eq!(
        config.guardrail("injection").unwrap().missing,
        ["lakera_prompt_injection"]
    );
    let always: Vec<_> = config.always_selected_missing().map(|m| m.name).collect();
    assert_eq!(always, ["injection"]);
    let policies = load_text("policies: {strict: {guardrails: {add: [g]}}}\n").unwrap();
    assert_eq!(policies.always_selected_missing().count(), 1);
    assert_eq!(load_text("policies: {}\n").unwrap().guardrails.len(), 0);
    let off = load_text("litellm_settings: {moderation: false}\n").unwrap();
    assert_eq!(off.guardrails.len(), 0);
}

#[test]
fn names_are_needed_and_differ() {
    let twice = "guardrails:\n- {guardrail_name: g, litellm_params: {guardrail: aporia, mode: pre_call}}\n\
                 - {guardrail_name: g, litellm_params: {guardrail: aim, mode: pre_call}}\n";
    let rejected = load_text(twice).unwrap_err();
    assert_eq!(where_of(&rejected.problems), ["1 guardrails"]);
    assert!(load_text("guardrails: [{litellm_params: {guardrail: aim, mode: pre_call}}]").is_err());
    assert!(load_text("guardrails: [{guardrail_name: g}]").is_err());
    assert!(load_text("guardrails: {g: {}}").is_err());
}
