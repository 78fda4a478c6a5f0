//! Tests of deployments and model groups.

use super::{Deployment, UpstreamModel};
use crate::config::tests::support::{environment, load_in, load_text, noted, where_of};
use crate::config::{Config, MapEnv, Rejected};

fn one(params: &str) -> Result<Config, Rejected> {
    one_in(params, &environment(&[("OPENAI_API_KEY", "house")]))
}

fn one_in(params: &str, env: &MapEnv) -> Result<Config, Rejected> {
    load_in(
        &format!("model_list:\n- model_name: a\n  litellm_params: {{{params}}}\n"),
        env,
    )
}

fn first(config: &Config) -> &Deployment {
    config.models.deployments().next().unwrap().1
}

fn key(deployment: &Deployment) -> Option<&str> {
    deployment.api_key.as_ref().map(policy::Secret::expose)
}

#[test]
fn names_with_and_without_a_provider_are_resolved() {
    for (model, provider, upstream, built) in [
        ("openai/gpt-4o", "openai", "gpt-4o", true),
        ("gpt-4o", "openai", "gpt-4o", true),
        ("groq/llama-3", "groq", "llama-3", true),
        ("bedrock/mine", "bedrock", "mine", false),
        (
            "anthropic/claude-sonnet-4",
            "anthropic",
            "claude-sonnet-4",
            true,
        ),
        ("claude-sonnet-4", "anthropic", "claude-sonnet-4", true),
        ("gemini/flash", "gemini", "flash", true),
        ("openrouter/meta/llama", "openrouter", "meta/llama", true),
    ] {
        let config = one(&format!("model: '{model}'")).unwrap();
        let deployment = first(&config);
        assert_eq!(deployment.provider, provider, "{model}");
        assert_eq!(
            deployment.upstream_model,
            UpstreamModel::Fixed(upstream.to_owned()),
            "{model}"
        );
        assert_eq!(deployment.built, built, "{model}");
        assert_eq!(deployment.profile.is_some(), built, "{model}");
    }
    let rejected = one("model: unheard-of").unwrap_err();
    assert_eq!(
        where_of(&rejected.problems),
        ["3 model_list[0].litellm_params.model"]
    );
    assert!(one("model: unheard-of, mock_response: hello").is_ok());
    let custom = one("model: unheard-of, custom_llm_provider: openai").unwrap();
    assert_eq!(first(&custom).provider, "openai");
}

#[test]
fn the_address_is_written_customary_or_public() {
    let written = one("model: openai/a, api_base: 'http://127.0.0.1:9/v1', api_key: k").unwrap();
    let base = |config: &Config| first(config).api_base.as_ref().unwrap().to_string();
    assert_eq!(base(&written), "http://127.0.0.1:9/v1");
    let older = one("model: openai/a, base_url: 'http://127.0.0.1:9/v1', api_key: k").unwrap();
    assert_eq!(base(&older), "http://127.0.0.1:9/v1");
    assert_eq!(
        base(&one("model: openai/a").unwrap()),
        "https://api.openai.com/v1"
    );
    let env = environment(&[("OPENAI_BASE_URL", "https://proxy.example/v1")]);
    assert_eq!(
        base(&one_in("model: openai/a", &env).unwrap()),
        "https://proxy.example/v1"
    );
    let ollama = one("model: ollama/llama3, api_base: 'http://127.0.0.1:11434'").unwrap();
    assert_eq!(base(&ollama), "http://127.0.0.1:11434/v1");
    let rejected = one("model: hosted_vllm/a").unwrap_err();
    assert!(rejected.to_string().contains("set api_base"), "{rejected}");
}

#[test]
fn a_customary_key_never_goes_to_another_address() {
    let config = one("model: openai/a").unwrap();
    assert_eq!(key(first(&config)), Some("house"));
    let elsewhere = one("model: openai/a, api_base: 'https://other.example/v1'").unwrap();
    assert_eq!(key(first(&elsewhere)), None);
    let path = "model_list[0].litellm_params.api_key";
    assert!(noted(&elsewhere, path, "OPENAI_API_KEY is not sent"));
    let none = one_in("model: openai/a", &environment(&[])).unwrap();
    assert!(noted(&none, path, "will refuse"));
    assert!(one("model: openai/a, api_key: 'a b'").is_err());
}

#[test]
fn settings_beside_the_parameters_count_less() {
    let text = "model_list:\n- model_name: a\n  rpm: 1\n  tpm: 2\n  api_key: beside\n\
                \x20 litellm_params: {model: openai/a, rpm: 10}\n";
    let config = load_text(text).unwrap();
    let deployment = first(&config);
    assert_eq!(
        (deployment.capacity.rpm, deployment.capacity.tpm),
        (Some(10), Some(2))
    );
    assert_eq!(key(deployment), Some("beside"));
}

#[test]
fn shares_go_by_weight_then_requests_then_tokens() {
    let shares = |entries: &[&str]| {
        let list: String = entries
            .iter()
            .map(|more| format!("- model_name: a\n  litellm_params: {{model: openai/a{more}}}\n"))
            .collect();
        let config = load_text(&format!("model_list:\n{list}")).unwrap();
        config
            .models
            .deployments()
            .map(|(_, d)| d.weight)
            .collect::<Vec<_>>()
    };
    assert_eq!(shares(&["", ""]), [1, 1]);
    assert_eq!(shares(&[", rpm: 3", ", rpm: 1, tpm: 9"]), [3, 1]);
    assert_eq!(shares(&[", tpm: 3", ""]), [3, 0]);
    assert_eq!(
        shares(&[", weight: 0.5, rpm: 9", ", weight: 2"]),
        [500, 2_000]
    );
}

#[test]
fn ids_are_stable_and_differ() {
    let list = "model_list:\n- {model_name: a, litellm_params: {model: openai/a, api_key: k}}\n\
                - {model_name: a, litellm_params: {model: openai/a, api_key: other}}\n\
                - {model_name: a, litellm_params: {model: openai/b, api_key: k}}\n";
    let ids = || {
        let config = load_text(list).unwrap();
        assert!(noted(&config, "model_list", "same settings"));
        config
            .models
            .deployments()
            .map(|(_, d)| d.id.clone())
            .collect::<Vec<_>>()
    };
    let first = ids();
    assert_eq!(first, ids());
    assert_eq!(first[1], format!("{}-2", first[0]));
    assert_ne!(first[0], first[2]);
}

#[test]
fn wildcards_are_filled_in() {
    let pattern = UpstreamModel::Pattern {
        head: String::new(),
        tail: String::new(),
        provider: "openai".to_owned(),
    };
    assert_eq!(pattern.name(Some("gpt-4o")), "gpt-4o");
    assert_eq!(pattern.name(Some("openai/gpt-4o")), "gpt-4o");
    assert_eq!(pattern.name(Some("openaix/gpt-4o")), "openaix/gpt-4o");
    let all = load_text("model_list: [{model_name: '*', litellm_params: {model: '*'}}]").unwrap();
    assert!(noted(
        &all,
        "model_list[0].litellm_params.model",
        "sent to OpenAI"
    ));
    for (name, model) in [("a", "openai/*"), ("*/*", "openai/*"), ("*", "openai/*-*")] {
        let text =
            format!("model_list: [{{model_name: '{name}', litellm_params: {{model: '{model}'}}}}]");
        assert!(load_text(&text).is_err(), "{name} {model}");
    }
}

#[test]
fn aliases_lead_to_groups() {
    let text = "model_list: [{model_name: a, litellm_params: {model: openai/a}}]\n\
                router_settings:\n  model_group_alias: {b: a, c: {model: a, hidden: true}, d: nowhere}\n";
    let config = load_text(text).unwrap();
    assert_eq!(config.models.names(), ["a", "b", "d"]);
    assert!(config.models.knows("c"));
    assert!(noted(
        &config,
        "router_settings.model_group_alias.d",
        "no model group"
    ));
    for broken in ["{b: [a]}", "{b: {hidden: true}}", "[b]"] {
        let text = format!("router_settings:\n  model_group_alias: {broken}\n");
        assert!(load_text(&text).is_err(), "{broken}");
    }
}

#[test]
fn headers_are_checked() {
    let config = one("model: openai/a, extra_headers: {X-Title: gateway}").unwrap();
    assert_eq!(first(&config).extra_headers[0].0, "x-title");
    for header in [
        "Host: a",
        "'Content-Length': '1'",
        "'a b': c",
        "x: \"a\\r\\nb: c\"",
        "x: é",
    ] {
        let result = one(&format!("model: openai/a, extra_headers: {{{header}}}"));
        assert_eq!(result.err().map(|r| r.problems.len()), Some(1), "{header}");
    }
}

#[test]
fn prices_are_exact_or_refused() {
    let text = "model_list: [{model_name: a, litellm_params: {model: openai/a, input_cost_per_token: 1e-06}, \
                model_info: {input_cost_per_token: 5, output_cost_per_token: '0.000002'}}]";
    let config = load_text(text).unwrap();
    let price = first(&config).price;
    assert_eq!(price.input.map(policy::Rate::pico), Some(1_000_000));
    assert_eq!(price.output.map(policy::Rate::pico), Some(2_000_000));
    for bad in ["-1", "free", "1e400", "[1]"] {
        assert!(
            one(&format!("model: openai/a, input_cost_per_token: {bad}")).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn a_named_credential_fills_what_is_missing() {
    let list = "credential_list: [{credential_name: house, credential_values: {api_key: k, api_base: 'https://h.example/v1'}}]\n";
    let with = |name: &str| {
        load_text(&format!(
            "{list}model_list: [{{model_name: a, litellm_params: {{model: openai/a, litellm_credential_name: {name}}}}}]\n"
        ))
    };
    let config = with("house").unwrap();
    assert_eq!(key(first(&config)), Some("k"));
    assert_eq!(
        first(&config).api_base.as_ref().unwrap().to_string(),
        "https://h.example/v1"
    );
    assert!(with("nobody").is_err());
}
