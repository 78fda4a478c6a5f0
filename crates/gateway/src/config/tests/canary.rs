//! No text that the loader makes holds a secret.

use super::support::{environment, load_in};
use crate::config::{Config, Rejected, check_json, check_text, start_lines};

const CANARY: &str = "canary7d1f0e";

/// Every text that leaves the loader.
fn everything(result: &Result<Config, Rejected>) -> String {
    let mut all = check_text(result);
    all.push_str(&check_json(result));
    match result {
        Ok(config) => {
            all.push_str(&start_lines(config).join("\n"));
            all.push_str(&format!("{config:?}"));
        }
        Err(rejected) => all.push_str(&format!("{rejected} {rejected:?}")),
    }
    all
}

/// A secret of every kind, well placed and misplaced, well formed and broken.
const PLACES: &[&str] = &[
    "general_settings: {master_key: CANARY}",
    "general_settings: {master_key: [CANARY]}",
    "general_settings: {database_url: 'postgresql://u:CANARY@h/db'}",
    "general_settings: {coordination_redis: {password: CANARY}}",
    "general_settings: {detailed_debug: CANARY}",
    "general_settings: {max_request_size_mb: CANARY}",
    "general_settings: {litellm_key_header_name: 'a b CANARY'}",
    "general_settings: {custom_auth: CANARY.f}",
    "general_settings: CANARY",
    "general_settings: [CANARY]",
    "general_settings: {sk-CANARY: 1}",
    "sk-CANARY: 1",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: CANARY}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: 'CANARY x'}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: {x: CANARY}}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: 'vault/CANARY'}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: 'op://CANARY'}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: 'os.environ/CANARY CANARY'}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: os.environ/LEAK}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_base: 'https://u:CANARY@h/'}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_base: 'https://h/?key=CANARY'}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, timeout: os.environ/LEAK}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, rpm: CANARY, weight: CANARY, order: CANARY}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, input_cost_per_token: CANARY}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, extra_headers: {authorization: 'Bearer CANARY'}}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, extra_headers: {x: \"CANARY\\n\"}}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, mock_response: CANARY}}]",
    "model_list: [{model_name: a, litellm_params: {model: CANARY}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, custom_llm_provider: CANARY}}]",
    "model_list: [{model_name: a, litellm_params: {model: openai/a, litellm_credential_name: CANARY}}]",
    "model_list: [CANARY]",
    "credential_list: [{credential_name: a, credential_values: {api_key: CANARY}}]",
    "credential_list: [{credential_values: {api_key: CANARY}}]",
    "environment_variables: {OPENAI_API_KEY: CANARY}",
    "environment_variables: {LITELLM_MASTER_KEY: CANARY}",
    "environment_variables: CANARY",
    "environment_variables: {A: [CANARY]}",
    "router_settings: {redis_password: CANARY, redis_url: 'redis://:CANARY@h'}",
    "router_settings: {routing_strategy: CANARY}",
    "litellm_settings: {callbacks: [CANARY.instance]}",
    "litellm_settings: {callbacks: [CANARY]}",
    "litellm_settings: {cache_params: {password: CANARY}}",
    "sealgate: {content_mode: CANARY, inactive_checks: CANARY, health_listen: CANARY}",
    "sealgate: {egress: {allow: ['u:CANARY@h']}}",
    "guardrails: [{guardrail_name: g, litellm_params: {guardrail: aporia, mode: CANARY, api_key: CANARY}}]",
    "include: CANARY",
    "a: 'CANARY\n",
    "a: CANARY: b",
    "a: \"\\xCANARY\"",
    "a: !CANARY b",
    "a: *CANARY",
    "%CANARY\n---\na: b",
    "a: &CANARY {b: *CANARY}",
    "<<: CANARY",
    "{a: 1, a: CANARY}",
];

#[test]
fn no_text_of_the_loader_holds_a_secret() {
    let env = environment(&[
        ("LEAK", CANARY),
        ("DATABASE_URL", "postgresql://u:canary7d1f0e@h/db"),
        ("REDIS_URL", "redis://:canary7d1f0e@h"),
        ("CAPSULE_LITELLM_TOKEN", CANARY),
    ]);
    for place in PLACES {
        let text = place.replace("CANARY", CANARY);
        let result = load_in(&text, &env);
        let said = everything(&result);
        // Names are not secrets: a file, a guardrail, a model may be called so.
        if place.starts_with("include") {
            continue;
        }
        assert!(!said.contains(CANARY), "{place}\n{said}");
    }
}

#[test]
fn unreadable_values_of_the_environment_are_not_shown() {
    for name in [
        "HOST",
        "PORT",
        "LITELLM_LOG",
        "LITELLM_MASTER_KEY",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY",
    ] {
        let result = load_in("", &environment(&[(name, CANARY)]));
        assert!(result.is_err(), "{name}");
        assert!(!everything(&result).contains(CANARY), "{name}");
    }
}

#[test]
fn secrets_of_a_good_configuration_appear_as_set() {
    let text = include_str!("../../../tests/fixtures/config/whole.yaml");
    let result = load_in(text, &environment(&[("OPENAI_API_KEY", CANARY)]));
    let said = everything(&result);
    assert!(result.is_ok(), "{said}");
    assert!(said.contains("api_key = (set)"));
    assert!(!said.contains(CANARY) && !said.contains("research"));
}
