//! A configuration with everything in it, and one with many mistakes.

use std::time::Duration;

use policy::Rate;

use super::support::{environment, load_files, load_in, load_text, noted, where_of};
use crate::config::{
    ContentMode, Host, MapEnv, MasterKeyUse, Mode, OpaqueParts, Overrides, PromptHash,
    ProviderRetention, WordAction, check_passes,
};

const WHOLE: &str = include_str!("../../../tests/fixtures/config/whole.yaml");
const MISTAKES: &str = include_str!("../../../tests/fixtures/config/mistakes.yaml");

fn key() -> MapEnv {
    environment(&[("OPENAI_API_KEY", "notreally")])
}

#[test]
fn every_setting_becomes_its_type() {
    let config = load_in(WHOLE, &key()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:4000");
    assert_eq!(config.health_listen.unwrap().to_string(), "127.0.0.1:4001");
    assert_eq!(config.key_header.as_deref(), Some("x-house-key"));
    assert_eq!(config.master_key_on_llm_routes, MasterKeyUse::Allow);
    assert!(config.metrics_need_key && config.seal_before_answer && config.strict_fields);
    assert_eq!(config.content_mode, ContentMode::Hash);
    assert_eq!(config.prompt_hash, PromptHash::Reference);
    assert_eq!(config.opaque_parts, OpaqueParts::Pass);
    assert_eq!(config.provider_retention, ProviderRetention::None);
    assert_eq!(config.domain, "support");
    assert_eq!(
        config.data_dir.as_deref(),
        Some(std::path::Path::new("data"))
    );
    let limits = &config.limits;
    assert_eq!(limits.max_parallel, 200);
    assert_eq!(limits.max_request_bytes, 8 << 20);
    assert_eq!(limits.max_response_bytes, 16 << 20);
    assert_eq!(limits.max_header_bytes, 32 << 10);
    assert_eq!(limits.total_timeout, Duration::from_secs(600));
    assert_eq!(limits.first_byte_timeout, Duration::from_secs(90));
    assert_eq!(limits.min_free_disk_bytes, 128 << 20);
    assert!(check_passes(&Ok(config)));
}

#[test]
fn every_deployment_is_complete() {
    let config = load_in(WHOLE, &key()).unwrap();
    let first = |model: &str| &config.models.behind(model).next().unwrap().deployment;
    assert_eq!(config.models.group_of("quick"), Some("chat"));
    let chat = first("quick");
    assert_eq!(chat.id, "chat-primary");
    assert_eq!(chat.mode, Mode::Chat);
    assert_eq!(
        (chat.timeout.as_secs(), chat.stream_timeout.as_millis()),
        (120, 30_500)
    );
    assert_eq!(chat.price.input, Some(Rate::from_pico(2_500_000)));
    assert_eq!(chat.price.output, Some(Rate::from_pico(10_000_000)));
    assert_eq!(chat.price.cached_input, Some(Rate::from_pico(1_250_000)));
    assert_eq!(chat.organization.as_deref(), Some("org-example"));
    assert_eq!(chat.extra_headers[0].0, "x-team");
    let vectors = first("vectors");
    assert_eq!(
        (vectors.mode, vectors.price.input),
        (Mode::Embedding, Some(Rate::from_pico(20_000)))
    );
    let local = first("local");
    assert_eq!(
        local.api_base.as_ref().unwrap().to_string(),
        "http://10.1.2.3:8000/v1"
    );
    assert!(local.forward_metadata);
    let wild = first("openai/o3-mini");
    assert_eq!(wild.upstream_model.name(Some("o3-mini")), "o3-mini");
    assert_eq!(wild.api_key.as_ref().unwrap().expose(), "notreally");
    let canned = first("canned");
    assert!(canned.api_base.is_none() && canned.api_key.is_none());
    assert_eq!(canned.mock_response.as_deref(), Some("a fixed answer"));
    assert_eq!(
        config.models.names(),
        ["canned", "chat", "local", "openai/*", "quick", "vectors"]
    );
    let id = &vectors.id;
    assert!(
        id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{id}"
    );
}

#[test]
fn the_guardrail_and_the_allow_list_are_there() {
    let config = load_in(WHOLE, &key()).unwrap();
    let guardrail = config.guardrail("words").unwrap();
    let words = guardrail.words.as_ref().unwrap();
    assert_eq!(words.tag, "[HIDDEN]");
    assert_eq!(words.entries[0].action, WordAction::Block);
    assert_eq!(words.entries[1].action, WordAction::Mask);
    assert_eq!(guardrail.modes.names(), ["pre_call", "post_call"]);
    assert!(guardrail.default_on && guardrail.missing.is_empty());
    assert!(config.guardrail("Words").is_none());
    let at = |text: &str| text.parse().unwrap();
    let base = Host::Ip(at("10.1.2.3"));
    assert!(config.egress.allows(&base, 8000, at("10.1.2.3")));
    assert!(!config.egress.allows(&base, 22, at("10.1.2.3")));
    let internal = Host::Name("inference.internal".to_owned());
    assert!(config.egress.allows(&internal, 8443, at("10.20.0.1")));
    assert!(!config.egress.allows(&internal, 80, at("10.20.0.1")));
}

#[test]
fn all_mistakes_are_named_at_once_with_their_lines() {
    let rejected = load_text(MISTAKES).unwrap_err();
    assert_eq!(
        where_of(&rejected.problems),
        [
            "6 model_list[0].litellm_params.api_kye",
            "7 model_list[0].litellm_params.timeout",
            "8 model_list[1].model_name",
            "13 model_list[2].litellm_params.api_base",
            "14 model_list[2].litellm_params.input_cost_per_token",
            "18 guardrails[0].litellm_params.guardrail",
            "19 guardrails[0].litellm_params.mode",
            "21 general_settings.master_key",
            "22 general_settings.allowed_ips",
            "23 general_settings.dangerously_permit_weak_or_unset_master_key",
            "25 litellm_settings.callbacks",
            "26 litellm_settings.set_verbose",
            "28 sealgate.content_mode",
            "29 sealgate.colour",
            "31 sealgate.limits.max_request_mb",
        ]
    );
    let meant: Vec<_> = rejected
        .problems
        .iter()
        .filter_map(|p| p.suggestion.as_deref())
        .collect();
    assert_eq!(meant, ["api_key", "litellm_content_filter", "pre_call"]);
}

#[test]
fn an_empty_file_needs_only_a_master_key() {
    for text in [
        "",
        "\n",
        "# nothing\n",
        "---\n",
        "model_list:\n",
        "model_list: ~\ngeneral_settings:\n",
    ] {
        let config = load_text(text).unwrap();
        assert_eq!(config.models.names().len(), 0);
    }
    assert!(load_in("", &MapEnv::default()).is_err());
}

#[test]
fn the_address_comes_from_the_command_line_then_the_environment() {
    let env = environment(&[("HOST", "0.0.0.0"), ("PORT", "8080")]);
    let config = load_in("", &env).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8080");
    assert!(noted(&config, "host", "plain http off this machine"));
    assert!(!check_passes(&Ok(config)));
    let proxied = "general_settings:\n  trusted_proxy_ranges: [10.0.0.0/8]\n";
    assert!(check_passes(&load_in(proxied, &env)));
    let overrides = Overrides {
        host: Some("::1".to_owned()),
        port: Some(1),
        ..Overrides::default()
    };
    let config = load_files(&[("config.yaml", "")], &overrides, &env).unwrap();
    assert_eq!(config.listen.to_string(), "[::1]:1");
    let odd = environment(&[("PORT", "http"), ("HOST", "gateway.example.com")]);
    assert_eq!(load_in("", &odd).unwrap_err().problems.len(), 2);
}

#[test]
fn the_digest_follows_every_setting_and_no_secret() {
    let first = load_in(WHOLE, &key()).unwrap().digest;
    let other_secret = environment(&[("OPENAI_API_KEY", "somethingelse")]);
    assert_eq!(load_in(WHOLE, &other_secret).unwrap().digest, first);
    for (from, to) in [
        ("domain: support", "domain: sales"),
        ("initech", "initrode"),
        ("action: MASK", "action: BLOCK"),
        ("order: 1", "order: 2"),
        ("1e-05", "2e-05"),
        ("10.9.0.0/16", "10.8.0.0/16"),
        ("idle_timeout: 45", "idle_timeout: 46"),
        ("quick: chat", "quicker: chat"),
        ("X-Team", "X-Group"),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        let config = load_in(&WHOLE.replace(from, to), &key()).unwrap();
        assert_ne!(config.digest, first, "{from}");
    }
}
