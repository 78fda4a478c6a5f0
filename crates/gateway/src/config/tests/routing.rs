//! Tests of the settings of the router.

use policy::FailureClass;
use policy::router::{Settings, Strategy};

use crate::config::tests::support::{load_text, noted, where_of};

/// A model group for each name, and the settings.
fn read(groups: &[&str], more: &str) -> Settings {
    match load_text(&config(groups, more)) {
        Ok(config) => config.models.settings().clone(),
        Err(rejected) => panic!("{rejected}"),
    }
}

fn config(groups: &[&str], more: &str) -> String {
    let entry = |name: &&str| {
        format!(
            "- model_name: {name}\n  litellm_params: {{model: openai/{name}, api_key: k-1234567}}\n"
        )
    };
    let list: String = groups.iter().map(entry).collect();
    format!("model_list:\n{list}{more}")
}

#[test]
fn defaults_are_those_of_litellm() {
    let settings = read(&["a"], "");
    assert_eq!(settings, Settings::default());
    assert_eq!((settings.retries, settings.max_fallbacks), (2, 5));
    assert_eq!(settings.cooldown, 5_000_000);
}

#[test]
fn every_setting_of_the_router_arrives() {
    let settings = read(
        &["a", "b", "c"],
        "router_settings:
  routing_strategy: usage-based-routing-v2
  routing_strategy_args: {ttl: 60, lowest_latency_buffer: 0.5}
  num_retries: 4
  max_fallbacks: 3
  retry_after: 1.5
  cooldown_time: 0
  disable_cooldowns: true
  allowed_fails: 7
  allowed_fails_policy: {RateLimitErrorAllowedFails: 9}
  retry_policy: {TimeoutErrorRetries: 6, InternalServerErrorRetries: 1}
  model_group_retry_policy: {a: {BadRequestErrorRetries: 2}}
  fallbacks: [{a: [b, c]}, {'*': b}]
  context_window_fallbacks: [{a: [c]}]
  content_policy_fallbacks: [{b: [c]}]
  default_fallbacks: [c]
  enable_pre_call_checks: true
  enable_tag_filtering: true
  tag_filtering_match_any: false
  optional_pre_call_checks: [enforce_model_rate_limits, prompt_caching]
sealgate:
  deployment_limits: hint
  retries: {budget_percent: 50, floor_per_minute: 3, longest_wait: 2}
",
    );
    assert_eq!(settings.strategy, Strategy::Usage);
    assert_eq!(
        (settings.latency_ttl, settings.latency_buffer),
        (60_000_000, 500)
    );
    assert_eq!((settings.retries, settings.max_fallbacks), (4, 3));
    assert_eq!(
        (settings.least_wait, settings.longest_wait),
        (1_500_000, 2_000_000)
    );
    assert_eq!((settings.cooldown, settings.no_cooldowns), (0, true));
    assert_eq!(settings.allowed_fails, Some(7));
    let class = FailureClass::RateLimit;
    assert_eq!(settings.allowed_fails_policy.get(class), Some(9));
    assert_eq!(settings.retry_policy.get(FailureClass::Timeout), Some(6));
    assert_eq!(
        settings.retry_policy.get(FailureClass::Unreachable),
        Some(1)
    );
    let group = &settings.group_retry_policy["a"];
    assert_eq!(group.get(FailureClass::BadRequest), Some(2));
    assert_eq!(settings.fallbacks.of(&["a"]).unwrap(), ["b", "c"]);
    assert_eq!(settings.fallbacks.of(&["else"]).unwrap(), ["b"]);
    assert_eq!(settings.context_window_fallbacks.of(&["a"]).unwrap(), ["c"]);
    assert_eq!(settings.content_policy_fallbacks.of(&["b"]).unwrap(), ["c"]);
    assert_eq!(settings.default_fallbacks, ["c"]);
    assert!(settings.context_check && settings.tag_filtering && !settings.match_any_tag);
    assert_eq!((settings.budget_percent, settings.budget_floor), (50, 3));
    assert!(!settings.enforce_limits);
}

#[test]
fn litellm_settings_are_read_where_router_settings_are_silent() {
    let settings = read(
        &["a", "b"],
        "litellm_settings:
  num_retries: 1
  allowed_fails: 2
  cooldown_time: 30
  fallbacks: [{a: [b]}]
  default_fallbacks: [b]
router_settings: {num_retries: 0}
",
    );
    assert_eq!((settings.retries, settings.allowed_fails), (0, Some(2)));
    assert_eq!(settings.cooldown, 30_000_000);
    assert_eq!(settings.fallbacks.of(&["a"]).unwrap(), ["b"]);
}

#[test]
fn what_deployments_say_arrives_at_the_router() {
    let text = "model_list:
- model_name: a
  litellm_params: {model: openai/a, api_key: k-1234567, rpm: 3, tpm: 40, max_parallel_requests: 2, tags: [eu, default], \
                num_retries: 1, cooldown_time: 9, weight: 2, order: 4,
                input_cost_per_token: 1e-6, output_cost_per_token: 2e-6}
  model_info: {max_input_tokens: 100, allowed_fails: 8}
- model_name: a
  litellm_params: {model: openai/b, api_key: k-1234567, max_retries: 5}
";
    let both = |more: &str| {
        let config = load_text(&format!("{text}{more}")).unwrap();
        let targets: Vec<_> = config.models.behind("a").cloned().collect();
        (targets[0].clone(), targets[1].clone())
    };
    let (first, second) = both("router_settings: {default_max_parallel_requests: 6}");
    assert_eq!((first.limits.rpm, first.limits.tpm), (Some(3), Some(40)));
    assert_eq!(first.limits.parallel, Some(2));
    assert_eq!(second.limits.parallel, Some(6));
    assert_eq!(first.tags, ["eu", "default"]);
    assert_eq!((first.retries, second.retries), (Some(1), Some(5)));
    assert_eq!(
        (first.cooldown, first.allowed_fails),
        (Some(9_000_000), Some(8))
    );
    assert_eq!((first.weight, first.order), (2_000, 4));
    assert_eq!(first.price, Some(3_000_000));
    assert_eq!((first.max_input, second.max_input), (Some(100), None));
    let (hinted, _) = both("sealgate: {deployment_limits: hint}");
    assert_eq!((hinted.limits.rpm, hinted.limits.parallel), (None, Some(2)));
}

#[test]
fn what_cannot_be_meant_stops_the_start() {
    for (more, path) in [
        (
            "router_settings: {fallbacks: [{a: [nobody]}]}",
            "router_settings.fallbacks.a",
        ),
        (
            "litellm_settings: {default_fallbacks: [nobody]}",
            "litellm_settings.default_fallbacks",
        ),
        (
            "router_settings: {fallbacks: {a: [b]}}",
            "router_settings.fallbacks",
        ),
        (
            "router_settings: {fallbacks: [{a: [{model: b}]}]}",
            "router_settings.fallbacks[0].a",
        ),
        (
            "router_settings: {retry_policy: {TimeoutRetries: 1}}",
            "router_settings.retry_policy.TimeoutRetries",
        ),
        (
            "router_settings: {retry_policy: {TimeoutErrorRetries: -1}}",
            "router_settings.retry_policy.TimeoutErrorRetries",
        ),
        (
            "router_settings: {num_retries: many}",
            "router_settings.num_retries",
        ),
        (
            "router_settings: {provider_budget_config: {openai: {time_period: 1d}}}",
            "router_settings.provider_budget_config.openai",
        ),
        (
            "router_settings: {provider_budget_config: {openai: {budget_limit: 1, time: 1d}}}",
            "router_settings.provider_budget_config.openai.time",
        ),
        (
            "router_settings: {routing_strategy_args: {lowest_latency_buffer: x}}",
            "router_settings.routing_strategy_args.lowest_latency_buffer",
        ),
        (
            "sealgate: {deployment_limits: maybe}",
            "sealgate.deployment_limits",
        ),
        (
            "sealgate: {retries: {longest: 3}}",
            "sealgate.retries.longest",
        ),
    ] {
        let rejected = load_text(&config(&["a", "b"], more)).expect_err(more);
        let at = where_of(&rejected.problems);
        assert!(at.iter().any(|at| at.ends_with(path)), "{more}: {at:?}");
    }
    let own = config(&["a", "b"], "router_settings: {fallbacks: [{a: [a, b]}]}");
    let path = "router_settings.fallbacks[0].a";
    assert!(noted(&load_text(&own).unwrap(), path, "its own fallback"));
}

#[test]
fn a_change_of_the_settings_changes_the_digest() {
    let digest = |more: &str| load_text(&config(&["a", "b"], more)).unwrap().digest;
    let base = digest("");
    for more in [
        "router_settings: {num_retries: 3}",
        "router_settings: {fallbacks: [{a: [b]}]}",
        "router_settings: {retry_policy: {TimeoutErrorRetries: 1}}",
        "sealgate: {retries: {longest_wait: 3}}",
    ] {
        assert_ne!(base, digest(more), "{more}");
    }
}
