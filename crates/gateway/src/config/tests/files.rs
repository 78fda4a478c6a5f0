//! Tests of includes and environment files.

use policy::Secret;

use crate::config::tests::support::{MASTER_KEY, environment, load_files, noted, where_of};
use crate::config::{Config, MapEnv, Overrides, Rejected};

fn load(files: &[(&str, &str)]) -> Result<Config, Rejected> {
    load_files(files, &Overrides::default(), &environment(&[]))
}

const MODEL: &str =
    "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: k}}]\n";

#[test]
fn included_files_add_lists_and_keys() {
    let main = format!(
        "include: [more.yaml, settings.yaml]\n{MODEL}general_settings: {{max_request_size_mb: 3}}\n"
    );
    let more = MODEL.replace("name: a", "name: b");
    let settings = "general_settings: {global_max_parallel_requests: 5}\nsealgate: {domain: d}\n";
    let config = load(&[
        ("config.yaml", &main),
        ("more.yaml", &more),
        ("settings.yaml", settings),
    ])
    .unwrap();
    assert_eq!(config.models.names(), ["a", "b"]);
    assert_eq!(
        (config.limits.max_parallel, config.domain.as_str()),
        (5, "d")
    );
    assert_eq!(config.limits.max_request_bytes, 3 << 20);
}

#[test]
fn what_an_include_cannot_do_is_a_problem_with_its_place() {
    let main = "include: other.yaml\nsealgate: {domain: a}\n";
    let twice = load(&[
        ("config.yaml", main),
        ("other.yaml", "sealgate:\n  domain: b\n"),
    ])
    .unwrap_err();
    assert_eq!(where_of(&twice.problems), ["2 sealgate.domain"]);
    assert_eq!(&*twice.problems[0].place.file, "other.yaml");
    let missing = load(&[("config.yaml", main)]).unwrap_err();
    assert_eq!(missing.problems[0].place.line, 1);
    let nested = load(&[
        ("config.yaml", main),
        ("other.yaml", "include: config.yaml\n"),
    ])
    .unwrap_err();
    assert!(nested.to_string().contains("includes nothing"), "{nested}");
    let kind = load(&[("config.yaml", main), ("other.yaml", "sealgate: [1]\n")]).unwrap_err();
    assert!(kind.to_string().contains("another kind"), "{kind}");
    assert!(load(&[("config.yaml", "include: [{}]\n")]).is_err());
}

#[test]
fn environment_files_fill_gaps_and_never_override() {
    let text = "model_list: [{model_name: a, litellm_params: {model: openai/a, api_key: os.environ/A_KEY}}]\n";
    let key = |config: &Config| {
        let (_, deployment) = config.models.deployments().next().unwrap();
        deployment
            .api_key
            .as_ref()
            .map(|key| key.expose().to_owned())
            .unwrap()
    };
    let files = [
        ("config.yaml", text),
        (".env", "A_KEY=beside\n"),
        ("my.env", "A_KEY='named'\n"),
    ];
    assert_eq!(key(&load(&files).unwrap()), "beside");
    let named = Overrides {
        env_file: Some("my.env".into()),
        ..Overrides::default()
    };
    assert_eq!(
        key(&load_files(&files, &named, &environment(&[])).unwrap()),
        "named"
    );
    let real = environment(&[("A_KEY", "real")]);
    assert_eq!(key(&load_files(&files, &named, &real).unwrap()), "real");
    let section = format!("environment_variables: {{A_KEY: os.environ/OTHER}}\n{text}");
    let files = [
        ("config.yaml", section.as_str()),
        (".env", "OTHER=exported\n"),
    ];
    assert_eq!(
        key(&load_files(&files, &Overrides::default(), &real).unwrap()),
        "exported"
    );
}

#[test]
fn a_master_key_may_come_from_any_source() {
    let env_line = format!("LITELLM_MASTER_KEY={MASTER_KEY}\n");
    let none = MapEnv::default();
    let defaults = Overrides::default();
    assert!(
        load_files(
            &[("config.yaml", ""), (".env", &env_line)],
            &defaults,
            &none
        )
        .is_ok()
    );
    let section = format!("environment_variables: {{LITELLM_MASTER_KEY: {MASTER_KEY}}}\n");
    assert!(load_files(&[("config.yaml", &section)], &defaults, &none).is_ok());
    let literal = format!("general_settings: {{master_key: {MASTER_KEY}}}\n");
    let config = load_files(&[("config.yaml", &literal)], &defaults, &none).unwrap();
    assert!(noted(
        &config,
        "general_settings.master_key",
        "a literal master key"
    ));
    let argument = Overrides {
        master_key: Some(Secret::new(MASTER_KEY)),
        ..Overrides::default()
    };
    assert!(load_files(&[("config.yaml", "")], &argument, &none).is_ok());
    assert!(load_files(&[("config.yaml", "")], &defaults, &none).is_err());
}

#[test]
fn unreadable_files_are_named() {
    assert!(
        load(&[])
            .unwrap_err()
            .to_string()
            .contains("cannot read `config.yaml`")
    );
    assert!(
        load(&[("config.yaml", "- a\n")])
            .unwrap_err()
            .to_string()
            .contains("mapping")
    );
    assert!(load(&[("config.yaml", "just text")]).is_err());
    let broken = [("config.yaml", ""), (".env", "no pair\n")];
    let config = load(&broken).unwrap();
    assert!(noted(&config, "", "line 1 is no NAME=value"));
    let named = Overrides {
        env_file: Some(".env".into()),
        ..Overrides::default()
    };
    assert!(load_files(&broken, &named, &environment(&[])).is_err());
    let missing = Overrides {
        env_file: Some("nowhere".into()),
        ..Overrides::default()
    };
    assert!(load_files(&[("config.yaml", "")], &missing, &environment(&[])).is_err());
}
