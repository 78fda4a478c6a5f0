//! Tests of the reports.

use super::{check_json, check_passes, check_text, start_lines, string};
use crate::config::tests::support::{environment, load_in, load_text};

const WHOLE: &str = include_str!("../../../tests/fixtures/config/whole.yaml");

#[test]
fn a_good_configuration_shows_its_effective_form() {
    let result = load_in(WHOLE, &environment(&[("OPENAI_API_KEY", "notreally")]));
    let text = check_text(&result);
    for line in [
        "  listen = 127.0.0.1:4000",
        "  master_key = (set)",
        "  models.chat.chat-primary.provider = openai",
        "  models.chat.chat-primary.price.input = 2500000 pico-USD a token",
        "  guardrails.words.words[0] = block project bluebird",
        "  egress.allow = inference.internal:8443, 192.168.7.7, 10.9.0.0/16",
        "the configuration is good",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&check_json(&result)).unwrap();
    assert_eq!(json["ok"], true);
    assert_eq!(json["starts"], true);
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(0));
    assert_eq!(json["digest"].as_str().map(str::len), Some(64));
    assert!(json["effective"].as_array().unwrap().len() > 60);
}

#[test]
fn a_rejected_configuration_shows_lines_and_suggestions() {
    let result = load_text(
        "general_settings:\n  mastre_key: x\n  unheard_of: 1\nlitellm_settings:\n  routing_strategy: x\n",
    );
    assert!(!check_passes(&result));
    let text = check_text(&result);
    assert!(
        text.contains(
            "config.yaml:2:3: general_settings.mastre_key: unknown key; did you mean `master_key`?"
        ),
        "{text}"
    );
    assert!(
        text.contains("config.yaml:3:3: general_settings.unheard_of: unknown, no effect"),
        "{text}"
    );
    assert!(text.contains("belongs into `router_settings`"), "{text}");
    assert!(text.contains("the configuration does not start"));
    let json: serde_json::Value = serde_json::from_str(&check_json(&result)).unwrap();
    assert_eq!(json["starts"], false);
    assert_eq!(json["problems"][0]["line"], 2);
    assert_eq!(json["problems"][0]["suggestion"], "master_key");
    assert!(json["effective"].is_null());
}

#[test]
fn the_check_prints_every_route_without_a_record() {
    let result = load_text("");
    let (text, json) = (check_text(&result), check_json(&result));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let routes: Vec<_> = policy::route::Route::ungoverned().collect();
    assert!(routes.len() > 5);
    assert_eq!(
        json["ungoverned_routes"].as_array().unwrap().len(),
        routes.len()
    );
    for route in routes {
        let line = format!("{} {}: ", route.method.as_str(), route.paths.join(", "));
        assert!(text.contains(&line), "{line}");
        let listed = json["ungoverned_routes"].as_array().unwrap();
        assert!(
            listed
                .iter()
                .any(|own| own.as_str().unwrap().starts_with(&line))
        );
    }
    for path in ["/v1/chat/completions", "/v1/messages", "/v1/responses"] {
        assert!(!text.contains(path), "{path} has records");
    }
}

#[test]
fn the_start_says_what_is_not_active() {
    let text = "litellm_settings: {cache: true}\nsealgate: {opaque_parts: pass}\n\
                guardrails: [{guardrail_name: g, litellm_params: {guardrail: aim, mode: pre_call, default_on: true}}]\n";
    let config = load_text(text).unwrap();
    let lines = start_lines(&config);
    let has = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(
        has("check g [pre_call] on every call: not built: aim"),
        "{lines:?}"
    );
    assert!(
        has("cache: accepted, not active yet: the cache is not built"),
        "{lines:?}"
    );
    assert!(has("parts that no check can read pass"), "{lines:?}");
    assert!(
        !lines.iter().any(|line| line.contains("honoured")),
        "{lines:?}"
    );
}

#[test]
fn strings_are_json() {
    for text in ["", "plain", "a\"b\\c\n\t\u{1}\u{7f}\u{85}", "é😀"] {
        let back: String = serde_json::from_str(&string(text)).unwrap();
        assert_eq!(back, text);
    }
}
