//! The configurations that published pages show, each in our own words, with
//! its page's environment and a strong master key: each has a stated end.

use std::collections::BTreeSet;

use policy::Secret;

use super::support::{MASTER_KEY, environment, load_files, load_in, noted, where_of};
use crate::config::{
    CallbackKind, Config, ContentMode, InactiveChecks, KeyState, MapEnv, Overrides, Severity,
    check_passes, start_lines,
};

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/config/", $name, ".yaml"))
    };
}

fn starts(text: &str, env: &MapEnv) -> Config {
    load_in(text, env).unwrap_or_else(|rejected| panic!("{rejected}"))
}

/// The paths of keys that are accepted without effect.
fn inactive(config: &Config) -> BTreeSet<&str> {
    config
        .notes
        .iter()
        .filter(|note| note.state == Some(KeyState::AcceptedInactive))
        .map(|note| note.path.as_str())
        .collect()
}

fn refused_checks(config: &Config) -> Vec<&str> {
    assert_eq!(config.inactive_checks, InactiveChecks::Refuse);
    config
        .always_selected_missing()
        .map(|check| check.name)
        .collect()
}

fn database(config: &Config) -> String {
    config.database.as_ref().unwrap().to_string()
}

#[test]
fn audit_general_starts_with_its_database() {
    let env = environment(&[(
        "DATABASE_URL",
        "postgresql://gateway:notreally@localhost:5432/g",
    )]);
    let config = starts(fixture!("audit-general"), &env);
    assert_eq!(inactive(&config), BTreeSet::new());
    assert_eq!(database(&config), "postgresql://localhost/g");
    assert!(noted(
        &config,
        "general_settings.proxy_batch_write_log",
        "rows commit with the record"
    ));
    assert!(noted(
        &config,
        "general_settings.allow_user_auth",
        "always on"
    ));
}

#[test]
fn audit_command_line_starts_and_warns_about_arguments() {
    let overrides = Overrides {
        master_key: Some(Secret::new("sk-Kd83hVq0sPz7LmXw2TfYb6NcRg5JuEa9")),
        database_url: Some(Secret::new(
            "postgresql://gateway:notreally@localhost:5432/g",
        )),
        ..Overrides::default()
    };
    let files = [("config.yaml", "model_list: []\n")];
    let config = load_files(&files, &overrides, &MapEnv::default()).unwrap();
    assert!(noted(
        &config,
        "general_settings.master_key",
        "arguments are visible"
    ));
    assert!(noted(&config, "database_url", "arguments are visible"));
}

#[test]
fn audit_router_starts_and_knows_its_redis() {
    let env = environment(&[
        ("REDIS_HOST", "localhost"),
        ("REDIS_PORT", "6379"),
        ("REDIS_PASSWORD", "notreally"),
    ]);
    let config = starts(fixture!("audit-router-redis"), &env);
    let redis = config.redis.as_ref().unwrap();
    assert_eq!(redis.settings.address(), "localhost:6379");
    assert!(redis.settings.password.is_some());
    assert!(noted(&config, "REDIS_HOST", "with the SQLite file"));
}

#[test]
fn audit_deployment_on_azure_is_served() {
    let env = environment(&[
        ("AZURE_API_KEY", "notreally"),
        ("AZURE_API_BASE", "https://example.openai.azure.com"),
    ]);
    for text in [
        fixture!("audit-azure-inside"),
        fixture!("audit-azure-beside"),
    ] {
        let config = starts(text, &env);
        let (group, deployment) = config.models.deployments().next().unwrap();
        assert_eq!((group, deployment.provider.as_str()), ("gpt-4", "azure"));
        assert!(deployment.built && deployment.profile.is_some());
        assert_eq!(
            deployment.api_base.as_ref().unwrap().to_string(),
            "https://example.openai.azure.com"
        );
        assert!(deployment.api_key.is_some());
        assert_eq!(
            (deployment.capacity.tpm, deployment.capacity.rpm),
            (Some(100_000), Some(1_000))
        );
    }
}

#[test]
fn audit_judge_model_starts_and_judges_every_call() {
    let env = environment(&[("OPENAI_API_KEY", "notreally")]);
    let config = starts(fixture!("audit-judge-model"), &env);
    assert!(refused_checks(&config).is_empty());
    let check = &config.guardrails[0];
    assert_eq!(check.name, "llama-guard-check");
    assert_eq!(check.modes.names(), ["pre_call"]);
    assert!(check.default_on && check.engine.is_some());
    let base = config.judges[0].api_base.as_ref().map(ToString::to_string);
    assert_eq!(base.as_deref(), Some("http://localhost:11434/v1"));
}

#[test]
fn audit_moderation_starts_and_judges_every_call() {
    let env = environment(&[("OPENAI_API_KEY", "notreally")]);
    let config = starts(fixture!("audit-moderation"), &env);
    assert!(refused_checks(&config).is_empty());
    let check = &config.guardrails[0];
    assert_eq!(
        (check.name.as_str(), check.modes.names()),
        ("moderation", vec!["pre_call"])
    );
    assert!(check.default_on && check.engine.is_some());
    // Without a key nobody could be asked.
    assert!(load_in(fixture!("audit-moderation"), &environment(&[])).is_err());
}

#[test]
fn audit_callbacks_start_and_say_which_sinks_are_not_built() {
    let env = environment(&[("OPENAI_API_KEY", "notreally")]);
    let config = starts(fixture!("audit-callbacks"), &env);
    let kinds: Vec<_> = config
        .callbacks
        .iter()
        .map(|c| (c.name.as_str(), &c.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            ("langfuse", &CallbackKind::Sink),
            ("sentry", &CallbackKind::Sink),
            ("prometheus", &CallbackKind::Native),
        ]
    );
    assert!(refused_checks(&config).is_empty());
    let lines = start_lines(&config).join("\n");
    assert!(
        lines.contains("callback langfuse: not built, nothing is sent"),
        "{lines}"
    );
}

#[test]
fn audit_secret_reference_is_read_from_the_environment() {
    let env = environment(&[("AWS_SECRET_NAME", "notreally")]);
    let config = starts(fixture!("audit-secret-reference"), &env);
    let (_, deployment) = config.models.deployments().next().unwrap();
    assert_eq!(deployment.api_key.as_ref().unwrap().expose(), "notreally");
}

#[test]
fn hardening_master_key_starts_with_a_strong_key_only() {
    let text = fixture!("hardening-master-key");
    assert!(load_in(text, &environment(&[])).is_ok_and(|config| config.notes.len() <= 2));
    for (key, words) in [
        ("", "no master key"),
        ("   # later", "no master key"),
        ("sk-1234", "public pages"),
        ("hunter2", "weak"),
        (
            "sk-a7f9c8e2d1b4f6a8c9e3d2b5f7a9c1e4d3b6f8a2c5e7d9b4f6a8c1e3d5b7f9a2",
            "public pages",
        ),
    ] {
        let rejected = load_in(text, &environment(&[("LITELLM_MASTER_KEY", key)])).unwrap_err();
        assert_eq!(
            where_of(&rejected.problems),
            ["2 general_settings.master_key"],
            "{key}"
        );
        assert!(rejected.to_string().contains(words), "{rejected}");
    }
}

#[test]
fn hardening_sso_starts_and_says_that_there_is_no_console() {
    let env = environment(&[
        ("GOOGLE_CLIENT_ID", "id"),
        ("GOOGLE_CLIENT_SECRET", "notreally"),
    ]);
    let config = starts(fixture!("hardening-sso"), &env);
    let keys = [
        "general_settings.ui_access_mode",
        "general_settings.sso_providers",
    ];
    assert_eq!(inactive(&config), BTreeSet::from(keys));
}

#[test]
fn hardening_environment_starts_with_both_models() {
    let env = environment(&[
        ("OPENAI_API_KEY", "notreally"),
        ("AZURE_API_KEY", "notreally"),
        ("AZURE_API_BASE", "https://example.openai.azure.com"),
        ("DATABASE_URL", "postgresql://gateway:notreally@localhost/g"),
    ]);
    let config = starts(fixture!("hardening-environment"), &env);
    let built: Vec<_> = config
        .models
        .deployments()
        .map(|(group, d)| (group, d.built))
        .collect();
    assert_eq!(built, [("azure-gpt4", true), ("gpt-4o", true)]);
    let (_, openai) = config.models.deployments().last().unwrap();
    assert_eq!(
        openai.api_base.as_ref().unwrap().to_string(),
        "https://api.openai.com/v1"
    );
    assert!(check_passes(&Ok(config)));
}

#[test]
fn hardening_vault_stops_at_the_line_of_the_reference() {
    let env = environment(&[("VAULT_TOKEN", "notreally")]);
    let rejected = load_in(fixture!("hardening-vault"), &env).unwrap_err();
    assert_eq!(
        where_of(&rejected.problems),
        ["13 model_list[0].litellm_params.api_key"]
    );
    assert!(rejected.to_string().contains("`vault/...`"), "{rejected}");
}

#[test]
fn hardening_limits_start_and_the_global_one_holds() {
    let config = starts(fixture!("hardening-limits"), &environment(&[]));
    assert_eq!(config.limits.max_parallel, 1_000);
    assert_eq!(
        inactive(&config),
        BTreeSet::from(["general_settings.max_parallel_requests",])
    );
}

#[test]
fn hardening_database_starts_and_the_check_names_the_literal_password() {
    let result = load_in(fixture!("hardening-database-tls"), &environment(&[]));
    assert!(!check_passes(&result));
    let config = result.unwrap();
    let failing: Vec<_> = config
        .notes
        .iter()
        .filter(|n| n.severity == Severity::Failing)
        .collect();
    assert_eq!(failing.len(), 1);
    assert_eq!(failing[0].place.line, 3);
    assert!(
        failing[0].message.contains("password in a URL"),
        "{}",
        failing[0]
    );
}

#[test]
fn hardening_redaction_starts_in_content_mode_hash() {
    let config = starts(fixture!("hardening-redaction"), &environment(&[]));
    assert_eq!(config.content_mode, ContentMode::Hash);
    assert!(noted(
        &config,
        "general_settings.redact_messages_in_logs",
        "content mode `hash`"
    ));
    assert!(noted(
        &config,
        "litellm_settings.drop_params",
        "not about logs"
    ));
    let asked = format!(
        "{}\nsealgate:\n  content_mode: full\n",
        fixture!("hardening-redaction")
    );
    let config = starts(&asked, &environment(&[]));
    assert_eq!(config.content_mode, ContentMode::Hash);
    assert!(noted(
        &config,
        "sealgate.content_mode",
        "redact_messages_in_logs` wins"
    ));
}

#[test]
fn hardening_retention_starts_and_content_ends_after_ninety_days() {
    let config = starts(fixture!("hardening-retention"), &environment(&[]));
    let run = config.content.retention.unwrap();
    assert_eq!(run.keep.as_secs(), 90 * 86_400);
    assert!(noted(
        &config,
        "general_settings.store_model_in_db",
        "from this file only"
    ));
    assert!(!inactive(&config).contains("general_settings.store_audit_logs"));
}

#[test]
fn hardening_access_logs_start_with_more_fields() {
    let config = starts(fixture!("hardening-access-logs"), &environment(&[]));
    assert!(config.log.debug_fields);
    let lists: Vec<_> = config
        .callbacks
        .iter()
        .map(|c| (c.name.as_str(), c.on.len()))
        .collect();
    assert_eq!(lists, [("langfuse", 2), ("prometheus", 1), ("sentry", 1)]);
}

#[test]
fn hardening_health_data_starts() {
    let url = "postgresql://gateway:notreally@db.example.com/g?sslmode=require";
    let config = starts(
        fixture!("hardening-health-data"),
        &environment(&[("DATABASE_URL", url)]),
    );
    assert_eq!(config.content_mode, ContentMode::Hash);
    assert_eq!(inactive(&config), BTreeSet::new());
    assert_eq!(database(&config), "postgresql://db.example.com/g");
}

const TRAFFIC: [(&str, &str); 5] = [
    ("LITELLM_URL", "http://gateway.example.com"),
    ("DATA_INGESTION_SERVICE_URL", "http://ingest.example.com"),
    ("AKTO_API_TOKEN", "notreally"),
    (
        "SYNC_MODE",
        "true              # true = block, false = log only",
    ),
    ("TIMEOUT", "5                   # seconds"),
];

#[test]
fn traffic_hook_starts_without_models_and_every_call_answers_503() {
    let config = starts(fixture!("traffic-hook"), &environment(&TRAFFIC));
    assert_eq!(config.models.deployments().count(), 0);
    assert_eq!(
        refused_checks(&config),
        ["custom_hooks.proxy_handler_instance"]
    );
    assert_eq!(config.callbacks[0].mode, "sync_mode=True");
    assert_eq!(config.limits.total_timeout.as_secs(), 600);
}

#[test]
fn traffic_hook_keeps_its_defaults_for_empty_values_and_stops_at_unreadable_ones() {
    let with = |name: &str, value: &str| {
        let mut pairs = TRAFFIC.to_vec();
        pairs.push((name, value));
        load_in(fixture!("traffic-hook"), &environment(&pairs))
    };
    assert_eq!(
        with("SYNC_MODE", "").unwrap().callbacks[0].mode,
        "sync_mode=True"
    );
    assert_eq!(
        with("SYNC_MODE", "False").unwrap().callbacks[0].mode,
        "sync_mode=False"
    );
    for (name, value) in [("SYNC_MODE", "maybe"), ("TIMEOUT", "soon")] {
        let rejected = with(name, value).unwrap_err();
        assert_eq!(
            where_of(&rejected.problems),
            ["6 litellm_settings.callbacks"]
        );
        assert!(rejected.to_string().contains(name));
    }
    let inert = with("DATA_INGESTION_SERVICE_URL", "").unwrap();
    assert!(matches!(inert.callbacks[0].kind, CallbackKind::Disabled(_)));
    assert!(refused_checks(&inert).is_empty());
}

const POLICY: [(&str, &str); 3] = [
    ("OPENAI_API_KEY", "notreally"),
    (
        "CAPSULE_LITELLM_ENDPOINT",
        "https://agents.example.com/v1/litellm/hooks",
    ),
    ("CAPSULE_LITELLM_TOKEN", "notreally"),
];

#[test]
fn policy_hook_starts_and_every_call_answers_503() {
    let config = starts(fixture!("policy-hook"), &environment(&POLICY));
    assert_eq!(
        refused_checks(&config),
        ["capsule_litellm_plugin.capsule_callback"]
    );
    assert_eq!(config.callbacks[0].mode, "blocks, fails open");
}

#[test]
fn policy_hook_is_disabled_without_a_token_and_stops_on_plain_http() {
    let with = |name: &str, value: &str| {
        let mut pairs = POLICY.to_vec();
        pairs.push((name, value));
        load_in(fixture!("policy-hook"), &environment(&pairs))
    };
    let inert = with("CAPSULE_LITELLM_TOKEN", "").unwrap();
    assert_eq!(
        inert.callbacks[0].kind,
        CallbackKind::Disabled("CAPSULE_LITELLM_TOKEN is not set".to_owned())
    );
    let plain = "http://agents.example.com/v1/litellm/hooks";
    let rejected = with("CAPSULE_LITELLM_ENDPOINT", plain).unwrap_err();
    assert!(rejected.to_string().contains("plain http"), "{rejected}");
    assert!(
        with(
            "CAPSULE_LITELLM_ENDPOINT",
            "http://127.0.0.1:9/v1/litellm/hooks"
        )
        .is_ok()
    );
    assert!(with("CAPSULE_LITELLM_FAIL_OPEN", "perhaps").is_err());
}

#[test]
fn capsule_logger_starts_and_is_done_by_the_gateway() {
    let config = starts(
        fixture!("capsule-logger"),
        &environment(&[("OPENAI_API_KEY", "x")]),
    );
    assert_eq!(config.callbacks[0].kind, CallbackKind::Native);
    assert!(refused_checks(&config).is_empty());
}

#[test]
fn inactive_checks_pass_only_when_the_file_says_so() {
    let text = format!(
        "{}\nsealgate:\n  inactive_checks: pass\n",
        fixture!("policy-hook")
    );
    let config = starts(&text, &environment(&POLICY));
    assert_eq!(config.inactive_checks, InactiveChecks::Pass);
    assert_eq!(config.always_selected_missing().count(), 1);
    assert!(noted(&config, "sealgate.inactive_checks", "not_run"));
}

#[test]
fn no_published_configuration_is_read_without_a_master_key() {
    for text in [
        fixture!("audit-general"),
        fixture!("hardening-limits"),
        fixture!("traffic-hook"),
        fixture!("policy-hook"),
    ] {
        let rejected = load_in(text, &MapEnv::default()).unwrap_err();
        assert!(rejected.to_string().contains("no master key"), "{rejected}");
        assert!(!rejected.to_string().contains(MASTER_KEY));
    }
}
