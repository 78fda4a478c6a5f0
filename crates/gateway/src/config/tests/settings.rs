//! Tests of the smaller concerns: `sealgate:`, limits, logging, the rest.

use std::path::Path;
use std::time::Duration;

use super::support::{environment, load_files, load_in, load_text, noted, where_of};
use crate::config::{
    ContentMode, ContentSettings, InactiveChecks, LogLevel, MasterKeyUse, OpaqueParts, Overrides,
    PromptHash, ProviderRetention, SubjectOf,
};

#[test]
fn defaults_are_closed() {
    let config = load_text("").unwrap();
    assert_eq!(config.content_mode, ContentMode::Masked);
    assert_eq!(config.content, ContentSettings::default());
    assert_eq!(config.inactive_checks, InactiveChecks::Refuse);
    assert_eq!(config.opaque_parts, OpaqueParts::Block);
    assert_eq!(config.prompt_hash, PromptHash::Keyed);
    assert_eq!(config.provider_retention, ProviderRetention::Default);
    assert_eq!(config.master_key_on_llm_routes, MasterKeyUse::Warn);
    assert!(config.metrics_need_key);
    assert!(!config.seal_before_answer && !config.strict_fields);
    assert_eq!(config.listen.to_string(), "127.0.0.1:4000");
    assert_eq!(
        (config.health_listen, config.data_dir.as_deref()),
        (None, None)
    );
    assert_eq!(config.domain, "chat");
    assert_eq!(config.log.level, LogLevel::Info);
}

#[test]
fn an_unknown_key_of_our_own_section_stops_the_start() {
    for (text, path) in [
        ("sealgate:\n  colour: red\n", "2 sealgate.colour"),
        ("sealgate:\n  limits: {hats: 3}\n", "2 sealgate.limits.hats"),
        (
            "sealgate:\n  egress: {deny: []}\n",
            "2 sealgate.egress.deny",
        ),
        ("sealgate:\n  content_mod: full\n", "2 sealgate.content_mod"),
        ("sealgate:\n  tls: {cert: a}\n", "2 sealgate.tls.cert"),
        ("sealgate: on\n", "1 sealgate"),
    ] {
        assert_eq!(
            where_of(&load_text(text).unwrap_err().problems),
            [path],
            "{text}"
        );
    }
    let near = load_text("sealgate:\n  content_mod: full\n").unwrap_err();
    assert_eq!(near.problems[0].suggestion.as_deref(), Some("content_mode"));
}

#[test]
fn content_modes_and_what_hides_content() {
    for mode in ["none", "[hash]"] {
        let text = format!("sealgate:\n  content_mode: {mode}\n");
        let rejected = load_text(&text).unwrap_err();
        assert_eq!(
            where_of(&rejected.problems),
            ["2 sealgate.content_mode"],
            "{mode}"
        );
    }
    for mode in ["hash", "masked", "encrypted", "full"] {
        let text = format!("sealgate:\n  content_mode: {mode}\n");
        assert_eq!(load_text(&text).unwrap().content_mode.as_str(), mode);
        let redacted = format!("{text}litellm_settings:\n  turn_off_message_logging: true\n");
        assert_eq!(
            load_text(&redacted).unwrap().content_mode,
            ContentMode::Hash
        );
    }
    let full = load_text("sealgate: {content_mode: full}").unwrap();
    assert!(noted(&full, "sealgate.content_mode", "in clear"));
}

#[test]
fn retention_under_its_names() {
    let keep = |settings: &str| {
        let config = load_text(&format!("general_settings: {{{settings}}}")).unwrap();
        let run = config.content.retention;
        run.map(|run| (run.keep.as_secs(), run.interval.as_secs()))
    };
    assert_eq!(keep(""), None);
    assert_eq!(keep("log_retention_days: 90"), Some((90 * 86_400, 86_400)));
    let both = "log_retention_days: 90, maximum_spend_logs_retention_period: 30d, maximum_spend_logs_retention_interval: 1h";
    assert_eq!(keep(both), Some((30 * 86_400, 3_600)));
    for wrong in [
        "log_retention_days: 0",
        "log_retention_days: 99999",
        "maximum_spend_logs_retention_period: soon",
    ] {
        assert!(
            load_text(&format!("general_settings: {{{wrong}}}")).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn the_subject_of_content() {
    let subject = |text: &str| {
        load_text(&format!("sealgate: {{content_subject: {text}}}"))
            .map(|config| config.content.subject)
            .ok()
    };
    assert_eq!(subject("key"), Some(SubjectOf::Key));
    assert_eq!(
        subject("metadata.patient"),
        Some(SubjectOf::Metadata("patient".to_owned()))
    );
    for wrong in ["somebody", "metadata.", "[key]"] {
        assert_eq!(subject(wrong), None, "{wrong}");
    }
}

#[test]
fn the_data_directory_has_an_order_of_sources() {
    let env = environment(&[("QUANTUMPIPES_DATA_DIR", "/q"), ("SEALGATE_DATA_DIR", "/s")]);
    let dir = |text: &str, overrides: &Overrides| {
        load_files(&[("config.yaml", text)], overrides, &env)
            .unwrap()
            .data_dir
            .unwrap()
    };
    let none = Overrides::default();
    assert_eq!(dir("", &none), Path::new("/s"));
    assert_eq!(
        dir("sealgate: {data_dir: /file}", &none),
        Path::new("/file")
    );
    let flag = Overrides {
        data_dir: Some("/flag".into()),
        ..Overrides::default()
    };
    assert_eq!(
        dir("sealgate: {data_dir: /file}", &flag),
        Path::new("/flag")
    );
    let only = environment(&[("QUANTUMPIPES_DATA_DIR", "/q")]);
    assert_eq!(
        load_in("", &only).unwrap().data_dir.as_deref(),
        Some(Path::new("/q"))
    );
}

#[test]
fn a_domain_has_at_most_fifty_characters() {
    for (domain, good) in [
        ("d".repeat(50), true),
        ("ü".repeat(50), true),
        ("d".repeat(51), false),
    ] {
        assert_eq!(
            load_text(&format!("sealgate: {{domain: {domain}}}")).is_ok(),
            good
        );
    }
    assert!(load_text("sealgate: {domain: ''}").is_err());
    assert!(load_text("sealgate: {domain: \"a\\nb\"}").is_err());
}

#[test]
fn the_health_listener_takes_a_port_or_an_address() {
    for (text, shown) in [
        ("4001", "127.0.0.1:4001"),
        ("'0.0.0.0:9'", "0.0.0.0:9"),
        ("'[::1]:9'", "[::1]:9"),
    ] {
        let config = load_text(&format!("sealgate: {{health_listen: {text}}}")).unwrap();
        assert_eq!(config.health_listen.unwrap().to_string(), shown);
    }
    assert!(load_text("sealgate: {health_listen: somewhere}").is_err());
}

#[test]
fn limits_of_both_sections_meet() {
    let text = "general_settings: {max_request_size_mb: 1, global_max_parallel_requests: 7}\n\
                sealgate: {limits: {max_request_mb: 2, max_parallel: 8, total_timeout: 9}}\n\
                litellm_settings: {request_timeout: 100}\n";
    let limits = load_text(text).unwrap().limits;
    assert_eq!(limits.max_request_bytes, 2 << 20);
    assert_eq!(limits.max_parallel, 8);
    assert_eq!(limits.total_timeout, Duration::from_secs(9));
    // Nothing inside a call outlasts the call.
    assert_eq!(limits.first_byte_timeout, Duration::from_secs(9));
    assert_eq!(limits.idle_timeout, Duration::from_secs(9));
    for bad in [
        "max_parallel: 0",
        "max_request_mb: 0",
        "max_request_mb: 99999999",
        "idle_timeout: 0",
    ] {
        let rejected = load_text(&format!("sealgate: {{limits: {{{bad}}}}}")).unwrap_err();
        assert_eq!(rejected.problems.len(), 1, "{bad}");
    }
    let few = load_text("sealgate: {limits: {settle_slots: 1}}").unwrap();
    assert!(noted(
        &few,
        "sealgate.limits.settle_slots",
        "fewer settle slots"
    ));
}

#[test]
fn security_settings_that_are_not_enforced_stop_the_start() {
    for setting in [
        "general_settings: {allowed_ips: [10.0.0.1]}",
        "general_settings: {custom_auth: mine.check}",
        "general_settings: {public_routes: [/x]}",
        "general_settings: {allowed_routes: [/x]}",
        "general_settings: {enforce_user_param: true}",
        "general_settings: {allow_requests_on_db_unavailable: true}",
        "general_settings: {disable_spend_logs: true}",
        "general_settings: {user_url_validation: false}",
        "general_settings: {dangerously_permit_weak_or_unset_master_key: true}",
        "litellm_settings: {ssl_verify: false}",
        "litellm_settings: {custom_provider_map: [{provider: x}]}",
        "model_list: [{model_name: a, litellm_params: {model: openai/a, configurable_clientside_auth_params: [api_base]}}]",
    ] {
        assert_eq!(
            load_text(setting).err().map(|r| r.problems.len()),
            Some(1),
            "{setting}"
        );
    }
    for harmless in [
        "general_settings: {allowed_ips: [], custom_auth: ~, public_routes: []}",
        "general_settings: {enforce_user_param: false, user_url_validation: true}",
        "litellm_settings: {ssl_verify: true}",
    ] {
        assert!(load_text(harmless).is_ok(), "{harmless}");
    }
    let env = environment(&[(
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY",
        "true",
    )]);
    assert!(load_in("", &env).is_err());
}

#[test]
fn logging_follows_the_environment_and_the_file() {
    let level =
        |value: &str| load_in("", &environment(&[("LITELLM_LOG", value)])).map(|c| c.log.level);
    assert_eq!(level("debug").unwrap(), LogLevel::Debug);
    assert_eq!(level("WARNING # quiet").unwrap(), LogLevel::Warn);
    assert_eq!(level("").unwrap(), LogLevel::Info);
    assert!(level("loud").is_err());
    let loud = load_in("", &environment(&[("LITELLM_LOG", "DEBUG")])).unwrap();
    assert!(noted(&loud, "LITELLM_LOG", "secrets stay hidden"));
    let open = load_text("litellm_settings: {require_auth_for_metrics_endpoint: false}").unwrap();
    assert!(!open.metrics_need_key);
    assert!(noted(
        &open,
        "litellm_settings.require_auth_for_metrics_endpoint",
        "without a key"
    ));
}

#[test]
fn the_key_header_is_a_header() {
    let header = |name: &str| {
        load_text(&format!(
            "general_settings: {{litellm_key_header_name: {name}}}"
        ))
        .map(|c| c.key_header)
    };
    assert_eq!(header("X-My-Key").unwrap().as_deref(), Some("x-my-key"));
    assert_eq!(header("Authorization").unwrap(), None);
    assert!(header("'a b'").is_err());
}

#[test]
fn routing_strategies_that_are_not_built_are_said() {
    let with = |name: &str| load_text(&format!("router_settings: {{routing_strategy: {name}}}"));
    assert!(noted(
        &with("auto-router").unwrap(),
        "router_settings.routing_strategy",
        "simple-shuffle is used"
    ));
    assert!(!noted(
        &with("provider-budget-routing").unwrap(),
        "router_settings.routing_strategy",
        "simple-shuffle is used"
    ));
    let near = with("simple-shufle").unwrap_err();
    assert_eq!(
        near.problems[0].suggestion.as_deref(),
        Some("simple-shuffle")
    );
}

#[test]
fn a_misspelt_key_stops_the_start_only_when_it_would_have_an_effect() {
    let effect = load_text("general_settings: {global_max_paralel_requests: 3}").unwrap_err();
    assert_eq!(
        effect.problems[0].suggestion.as_deref(),
        Some("global_max_parallel_requests")
    );
    let none = load_text("general_settings: {alertting: [slack]}").unwrap();
    assert!(noted(
        &none,
        "general_settings.alertting",
        "did you mean `alerting`?"
    ));
    let params = "model_list: [{model_name: a, litellm_params: {model: openai/a, extra_bdy: 3, api_bse: x}}]";
    let rejected = load_text(params).unwrap_err();
    assert_eq!(rejected.problems.len(), 1);
    assert_eq!(rejected.problems[0].suggestion.as_deref(), Some("api_base"));
}
