//! Tests of references.

use crate::config::tests::support::{environment, load_files, load_in, load_text, noted, where_of};
use crate::config::{Config, MapEnv, Overrides, Rejected};

fn with_key(key: &str, env: &MapEnv) -> Result<Config, Rejected> {
    let text = format!(
        "model_list:\n- model_name: a\n  litellm_params:\n    model: openai/a\n    api_key: {key}\n"
    );
    load_in(&text, env)
}

fn key_of(config: &Config) -> Option<String> {
    let (_, deployment) = config.models.deployments().next()?;
    deployment
        .api_key
        .as_ref()
        .map(|key| key.expose().to_owned())
}

#[test]
fn a_reference_is_the_value_after_the_rule() {
    let env = environment(&[("A_KEY", "  value   # comment "), ("EMPTY", " ")]);
    assert_eq!(
        key_of(&with_key("os.environ/A_KEY", &env).unwrap()).as_deref(),
        Some("value")
    );
    assert_eq!(
        key_of(&with_key("' os.environ/A_KEY'", &env).unwrap()).as_deref(),
        Some("value")
    );
    for name in ["EMPTY", "NOWHERE"] {
        let config = with_key(&format!("os.environ/{name}"), &env).unwrap();
        assert_eq!(key_of(&config), None);
        let path = "model_list[0].litellm_params.api_key";
        assert!(noted(&config, path, &format!("{name} is not set")));
    }
}

#[test]
fn references_are_followed_everywhere_and_typed_by_their_field() {
    let text = "general_settings:\n  global_max_parallel_requests: os.environ/MOST\n\
                litellm_settings:\n  turn_off_message_logging: os.environ/OFF\n\
                sealgate:\n  egress:\n    allow: [os.environ/HOST_NAME]\n";
    let env = environment(&[
        ("MOST", "12 # calls"),
        ("OFF", "yes"),
        ("HOST_NAME", "inner.example"),
    ]);
    let config = load_in(text, &env).unwrap();
    assert_eq!(config.limits.max_parallel, 12);
    assert_eq!(config.egress.lines(), ["inner.example"]);
    let wrong = environment(&[("MOST", "twelve"), ("OFF", "maybe"), ("HOST_NAME", "a b")]);
    let rejected = load_in(text, &wrong).unwrap_err();
    let paths = where_of(&rejected.problems);
    assert!(
        paths.contains(&"2 general_settings.global_max_parallel_requests".to_owned()),
        "{paths:?}"
    );
    assert!(
        paths.iter().any(|path| path.ends_with("egress.allow")),
        "{paths:?}"
    );
}

#[test]
fn references_that_nothing_resolves_stop_the_start() {
    for key in [
        "vault/openai/api_key",
        "op://vault/item/field",
        "oidc/google/https://example.com",
        "arn:aws:secretsmanager:eu-west-1:1:secret:x",
        "os.environ/",
        "os.environ/A B",
        "'Bearer os.environ/A_KEY'",
    ] {
        let rejected = with_key(key, &environment(&[("A_KEY", "x")])).unwrap_err();
        let expected = ["5 model_list[0].litellm_params.api_key"];
        assert_eq!(where_of(&rejected.problems), expected, "{key}");
    }
    let env = environment(&[("A_KEY", "op://vault/item")]);
    let rejected = with_key("os.environ/A_KEY", &env).unwrap_err();
    assert!(
        rejected
            .to_string()
            .contains("A_KEY holds a secret reference"),
        "{rejected}"
    );
}

#[test]
fn a_vault_path_is_a_reference_only_where_a_secret_belongs() {
    let text = "model_list:\n- model_name: vault/openai\n  litellm_params: {model: openai/a, api_key: k}\n";
    assert!(load_text(text).is_ok());
}

#[test]
fn with_a_secret_manager_a_missing_name_stops_the_start() {
    let text = "general_settings:\n  key_management_system: aws_secret_manager\n\
                model_list:\n- model_name: a\n  litellm_params:\n    model: openai/a\n    api_key: os.environ/A_KEY\n";
    let rejected = load_text(text).unwrap_err();
    assert_eq!(
        where_of(&rejected.problems),
        ["7 model_list[0].litellm_params.api_key"]
    );
    let config = load_in(text, &environment(&[("A_KEY", "found")])).unwrap();
    assert_eq!(key_of(&config).as_deref(), Some("found"));
    let local = text.replace("aws_secret_manager", "local");
    assert!(load_text(&local).is_ok());
}

#[test]
fn literal_secrets_are_named_by_line_and_kind() {
    let text = "model_list:\n- model_name: a\n  litellm_params:\n    model: openai/a\n    api_key: abcdef\n\
                environment_variables:\n  SOME_TOKEN: abcdef\n";
    let config = load_text(text).unwrap();
    assert!(noted(
        &config,
        "model_list[0].litellm_params.api_key",
        "a literal provider key"
    ));
    assert!(noted(
        &config,
        "environment_variables.SOME_TOKEN",
        "a literal token"
    ));
    let result = load_files(
        &[("config.yaml", text)],
        &Overrides::default(),
        &environment(&[]),
    );
    assert!(!crate::config::check_passes(&result));
}
