//! How deployments are chosen and failures treated: `router_settings`, the same keys in `litellm_settings`, and
//! `sealgate.retries`.

use std::time::Duration;

use policy::FailureClass;
use policy::router::{FallbackLists, PerClass, Settings, Strategy};

use super::problems::{KeyState, Report, Severity};
use super::reader::Section;
use super::states::Table;
use super::yaml::{Node, Value};

/// LiteLLM's names of classes in `retry_policy` and `allowed_fails_policy`, before `Retries` and `AllowedFails`.
const CLASSES: [(&str, &[FailureClass]); 6] = [
    (
        "BadRequestError",
        &[FailureClass::BadRequest, FailureClass::ContextWindow],
    ),
    (
        "AuthenticationError",
        &[FailureClass::Authentication, FailureClass::Permission],
    ),
    ("TimeoutError", &[FailureClass::Timeout]),
    ("RateLimitError", &[FailureClass::RateLimit]),
    (
        "ContentPolicyViolationError",
        &[FailureClass::ContentPolicy],
    ),
    (
        "InternalServerError",
        &[
            FailureClass::InternalServer,
            FailureClass::Unreachable,
            FailureClass::Invalid,
        ],
    ),
];

/// Reads the settings of the router; `router_settings` wins over `litellm_settings`.
pub(super) fn read(
    root: &Section<'_>,
    router: &Section<'_>,
    litellm: &Section<'_>,
    table: &Table,
    report: &mut Report,
) -> Settings {
    let mut settings = Settings {
        strategy: strategy(router, report),
        ..Settings::default()
    };
    strategy_args(router, &mut settings, report);
    let home = |key: &str| match router.get(key) {
        Some(_) => router,
        None => litellm,
    };
    if let Some(retries) = home("num_retries").count("num_retries", 0, report) {
        settings.retries = retries;
    }
    if let Some(fallbacks) = router.count("max_fallbacks", 0, report) {
        settings.max_fallbacks = fallbacks;
    }
    if let Some(wait) = from_zero(router, "retry_after", report) {
        settings.least_wait = wait;
    }
    if let Some(time) = from_zero(home("cooldown_time"), "cooldown_time", report) {
        settings.cooldown = time;
    }
    settings.no_cooldowns = router.flag("disable_cooldowns", report).unwrap_or(false);
    settings.allowed_fails = home("allowed_fails").count("allowed_fails", 0, report);
    settings.allowed_fails_policy = per_class(
        &router.section("allowed_fails_policy", report),
        "AllowedFails",
        report,
    );
    settings.retry_policy = per_class(&router.section("retry_policy", report), "Retries", report);
    let groups = router.section("model_group_retry_policy", report);
    for entry in groups.entries() {
        let path = groups.path_of(&entry.key);
        let section = Section::of(Some(&entry.value), path, &entry.place, report);
        let policy = per_class(&section, "Retries", report);
        settings
            .group_retry_policy
            .insert(entry.key.clone(), policy);
    }
    let mut lists = |key: &str| lists(home(key), key, report);
    settings.fallbacks = lists("fallbacks");
    settings.context_window_fallbacks = lists("context_window_fallbacks");
    settings.content_policy_fallbacks = lists("content_policy_fallbacks");
    let defaults = home("default_fallbacks").texts("default_fallbacks", report);
    settings.default_fallbacks = defaults
        .into_iter()
        .map(|(name, _)| name.to_owned())
        .collect();
    settings.context_check = router
        .flag("enable_pre_call_checks", report)
        .unwrap_or(false);
    optional_checks(router, report);
    settings.tag_filtering = router.flag("enable_tag_filtering", report).unwrap_or(false);
    settings.match_any_tag = router
        .flag("tag_filtering_match_any", report)
        .unwrap_or(true);
    own(root, &mut settings, table, report);
    settings
}

/// `routing_strategy`. One that is not built falls back to `simple-shuffle`, and that is said.
fn strategy(router: &Section<'_>, report: &mut Report) -> Strategy {
    const KEY: &str = "routing_strategy";
    const BUILT: [(&str, Strategy); 7] = [
        ("simple-shuffle", Strategy::SimpleShuffle),
        ("least-busy", Strategy::LeastBusy),
        ("latency-based-routing", Strategy::Latency),
        ("cost-based-routing", Strategy::Cost),
        ("usage-based-routing", Strategy::Usage),
        ("usage-based-routing-v2", Strategy::Usage),
        // Budgets of providers hold with every strategy; this one says no more about the choice.
        ("provider-budget-routing", Strategy::SimpleShuffle),
    ];
    const OTHERS: [&str; 1] = ["auto-router"];
    let Some(name) = router.text(KEY, report) else {
        return Strategy::SimpleShuffle;
    };
    let (place, path) = (router.place_of(KEY), router.path_of(KEY));
    if let Some((_, strategy)) = BUILT.iter().find(|(known, _)| *known == name) {
        return *strategy;
    }
    if OTHERS.contains(&name) {
        let message = "this strategy is not built; simple-shuffle is used";
        report.note(Severity::Warning, &place, &path, message);
    } else {
        let known = BUILT.into_iter().map(|(known, _)| known).chain(OTHERS);
        match super::suggest::nearest(name, known) {
            Some(meant) => report.misspelt(&place, &path, "unknown routing strategy", meant),
            None => report.problem(&place, &path, "unknown routing strategy"),
        }
    }
    Strategy::SimpleShuffle
}

/// `routing_strategy_args`: `ttl` in seconds and `lowest_latency_buffer` as a share, both for latencies.
fn strategy_args(router: &Section<'_>, settings: &mut Settings, report: &mut Report) {
    let args = router.section("routing_strategy_args", report);
    for entry in args.entries() {
        if !matches!(entry.key.as_str(), "ttl" | "lowest_latency_buffer") {
            let path = args.path_of(&entry.key);
            let message = "the built strategies read ttl and lowest_latency_buffer";
            report.state(&entry.place, &path, KeyState::AcceptedInactive, message);
        }
    }
    if let Some(ttl) = args.seconds("ttl", report) {
        settings.latency_ttl = micros(ttl);
    }
    const BUFFER: &str = "lowest_latency_buffer";
    if let Some(text) = args.text(BUFFER, report) {
        match text.trim().parse::<f64>() {
            Ok(share) if (0.0..=1_000.0).contains(&share) => {
                settings.latency_buffer = (share * 1e3).round() as u32;
            }
            _ => {
                let (place, path) = (args.place_of(BUFFER), args.path_of(BUFFER));
                report.problem(&place, &path, "expected a number from 0 to 1000");
            }
        }
    }
}

/// Seconds, where 0 is a value.
fn from_zero(section: &Section<'_>, key: &str, report: &mut Report) -> Option<u64> {
    if let Some(Value::Text(text)) = section.get(key).map(|node| &node.value)
        && text.trim().parse::<f64>() == Ok(0.0)
    {
        return Some(0);
    }
    section.seconds(key, report).map(micros)
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// A number for each class of errors, with LiteLLM's names: `TimeoutErrorRetries: 3`.
fn per_class(section: &Section<'_>, suffix: &str, report: &mut Report) -> PerClass {
    let mut policy = PerClass::default();
    for entry in section.entries() {
        let class = entry.key.strip_suffix(suffix);
        let known = CLASSES
            .iter()
            .find(|(name, _)| class.is_some_and(|class| class == *name));
        match known {
            Some((_, classes)) => {
                if let Some(number) = section.count(&entry.key, 0, report) {
                    for class in *classes {
                        policy.set(*class, number);
                    }
                }
            }
            None => {
                let path = section.path_of(&entry.key);
                let names = CLASSES.map(|(name, _)| format!("{name}{suffix}"));
                let message = format!("expected one of {}", names.join(", "));
                report.problem(&entry.place, &path, message);
            }
        }
    }
    policy
}

/// A list of maps from a group to the groups that serve in its place.
fn lists(section: &Section<'_>, key: &str, report: &mut Report) -> FallbackLists {
    let mut lists = FallbackLists::default();
    for (index, item) in section.list(key, report).iter().enumerate() {
        let path = format!("{}[{index}]", section.path_of(key));
        let map = Section::of(Some(item), path, &section.place_of(key), report);
        for entry in map.entries() {
            let path = map.path_of(&entry.key);
            let names = names(&entry.value, &path, report);
            if names.contains(&entry.key) {
                let message = "a group cannot be its own fallback; the entry is passed over";
                report.note(Severity::Warning, &entry.place, &path, message);
            }
            lists.add(&entry.key, names);
        }
    }
    lists
}

fn names(node: &Node, path: &str, report: &mut Report) -> Vec<String> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut names = Vec::new();
    for item in items {
        match &item.value {
            Value::Text(name) => names.push(name.clone()),
            _ => report.problem(&item.place, path, "expected names of model groups"),
        }
    }
    names
}

/// Fallbacks that lead to no group are said before a call needs them.
pub(super) fn check_names(
    settings: &Settings,
    router: &Section<'_>,
    litellm: &Section<'_>,
    known: impl Fn(&str) -> bool,
    report: &mut Report,
) {
    let all = [
        ("fallbacks", &settings.fallbacks),
        (
            "context_window_fallbacks",
            &settings.context_window_fallbacks,
        ),
        (
            "content_policy_fallbacks",
            &settings.content_policy_fallbacks,
        ),
    ];
    let mut check = |key: &str, name: &str, group: &str| {
        if known(name) {
            return;
        }
        let section = match router.get(key) {
            Some(_) => router,
            None => litellm,
        };
        let message = match group {
            "" => "a fallback names no model group, alias or wildcard".to_owned(),
            _ => "a fallback of this list names no model group, alias or wildcard".to_owned(),
        };
        let path = section.path_of(key);
        let path = match group {
            "" => path,
            group => super::reader::join(&path, group),
        };
        report.problem(&section.place_of(key), &path, message);
    };
    for (key, lists) in all {
        for (group, list) in lists.iter() {
            for name in list {
                check(key, name, group);
            }
        }
    }
    for name in &settings.default_fallbacks {
        check("default_fallbacks", name, "");
    }
}

/// `optional_pre_call_checks`: limits of deployments are enforced anyway; the others are not built.
fn optional_checks(router: &Section<'_>, report: &mut Report) {
    const KEY: &str = "optional_pre_call_checks";
    for (name, place) in router.texts(KEY, report) {
        let path = router.path_of(KEY);
        match name {
            "enforce_model_rate_limits" => {
                let message =
                    "limits of deployments are enforced unless sealgate.deployment_limits is hint";
                report.state(&place, &path, KeyState::Honoured, message);
            }
            _ => {
                let message = "of these checks only enforce_model_rate_limits is built";
                report.state(&place, &path, KeyState::AcceptedInactive, message);
            }
        }
    }
}

/// `sealgate.deployment_limits` and `sealgate.retries`.
fn own(root: &Section<'_>, settings: &mut Settings, table: &Table, report: &mut Report) {
    let section = root.section("sealgate", report);
    let words = [("enforce", true), ("hint", false)];
    const LIMITS: &str = "deployment_limits";
    if let Some(enforce) = section.choice(LIMITS, &words, report) {
        settings.enforce_limits = enforce;
        if !enforce {
            let message = "rpm and tpm of deployments are weights only, as in LiteLLM";
            let (place, path) = (section.place_of(LIMITS), section.path_of(LIMITS));
            report.note(Severity::Warning, &place, &path, message);
        }
    }
    let retries = section.section("retries", report);
    retries.judge_strictly(table, "sealgate.retries", report);
    if let Some(percent) = retries.count("budget_percent", 0, report) {
        settings.budget_percent = percent;
    }
    if let Some(floor) = retries.count("floor_per_minute", 0, report) {
        settings.budget_floor = floor;
    }
    if let Some(wait) = retries.seconds("longest_wait", report) {
        settings.longest_wait = micros(wait);
    }
}

#[cfg(test)]
#[path = "tests/routing.rs"]
mod tests;
