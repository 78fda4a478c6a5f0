//! The effective configuration: what all the settings came to, without secrets.

use std::fmt::Debug;

use policy::router::Settings;
use policy::{Price, Rate};
use sha2::{Digest, Sha256};

use super::callbacks::CallbackKind;
use super::models::{Deployment, UpstreamModel};
use super::{Config, Guardrail};

/// One setting: its path and its value in words.
pub(super) type Line = (String, String);

/// Every setting that has an effect, in a fixed order. Secrets appear as
/// `(set)`, so the list can be shown, and hashed.
pub(super) fn lines(config: &Config) -> Vec<Line> {
    let mut out = Lines(Vec::new());
    out.add("listen", config.listen);
    out.add("health_listen", optional(config.health_listen));
    let tls = config.tls.as_ref();
    let certificate = tls.map(|tls| tls.certificate.display());
    out.add("tls.cert_file", optional(certificate));
    out.add("tls.key_file", optional(tls.map(|tls| tls.key.display())));
    out.add("tls.http2", optional(tls.map(|tls| tls.http2)));
    out.add("post_quantum", config.post_quantum);
    out.add("watch_config", config.watch_config);
    out.add("master_key", "(set)");
    out.add("key_header", optional(config.key_header.as_deref()));
    out.word("master_key_on_llm_routes", config.master_key_on_llm_routes);
    out.add("metrics_need_key", config.metrics_need_key);
    let dir = config.data_dir.as_ref().map(|dir| dir.display());
    out.add("data_dir", optional(dir));
    out.add("database", optional(config.database.as_ref()));
    out.word("content_mode", config.content_mode);
    let subject = format!("{:?}", config.content.subject);
    out.add("content_subject", subject);
    for rule in &config.rules {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let parts = [text(&rule.when), text(&rule.require), text(&rule.deny)];
        out.add(&format!("rules.{}", rule.name), format!("{parts:?}"));
    }
    let presets: Vec<&str> = config.presets.iter().map(|preset| preset.name).collect();
    out.add("compliance", presets.join(", "));
    let required = config.consent.registry_required;
    out.add("consent.registry_required", required);
    let age = config.consent.max_age_days;
    out.add("consent.max_age_days", optional(age));
    for notice in &config.consent.notices {
        let path = format!(
            "notices.{}.{}.{}",
            notice.purpose, notice.version, notice.language
        );
        out.add(&path, &notice.digest);
    }
    let retention = config.content.retention.as_ref();
    let keep = retention.map(|run| format!("{:?} every {:?}", run.keep, run.interval));
    out.add("retention", optional(keep));
    out.add("domain", &config.domain);
    out.add("seal_before_answer", config.seal_before_answer);
    out.add("strict_fields", config.strict_fields);
    out.word("inactive_checks", config.inactive_checks);
    out.word("prompt_hash", config.prompt_hash);
    out.word("opaque_parts", config.opaque_parts);
    out.word("provider_retention", config.provider_retention);
    let redis = config.redis.as_ref();
    let address = redis.map(|redis| redis.settings.address());
    out.add("redis.address", optional(address));
    let when = redis.map(|redis| format!("{:?}", redis.when_lost).to_lowercase());
    out.add("redis.when_lost", optional(when));
    let lease = redis.map(|redis| redis.lease.as_secs());
    out.add("redis.lease", optional(lease));
    out.add("egress.allow", config.egress.lines().join(", "));
    out.word("log.level", config.log.level);
    out.add("log.debug_fields", config.log.debug_fields);
    limits(config, &mut out);
    routing(config.models.settings(), &mut out);
    out.add("budgets", format!("{:?}", config.budgets));
    for (group, deployment) in config.models.deployments() {
        self::deployment(group, deployment, &mut out);
        if !config.budgets.strict {
            let path = format!("models.{group}.{}.budget_bound_usd", deployment.id);
            out.add(&path, optional(bound(config, deployment)));
        }
    }
    for judge in &config.judges {
        self::deployment(&judge.group, judge, &mut out);
    }
    out.add("models", config.models.names().join(", "));
    for guardrail in &config.guardrails {
        self::guardrail(guardrail, &mut out);
    }
    for callback in &config.callbacks {
        let kind = match &callback.kind {
            CallbackKind::Policy => "policy, not built".to_owned(),
            CallbackKind::Sink => "sink, not built".to_owned(),
            CallbackKind::Native => "native".to_owned(),
            CallbackKind::Disabled(reason) => format!("disabled: {reason}"),
        };
        let on = callback.on.join(", ");
        let path = format!("callbacks.{}", callback.name);
        out.add(&path, format!("{kind} ({on}) {}", callback.mode).trim_end());
    }
    out.0
}

/// SHA-256 over the effective configuration.
pub(super) fn digest(config: &Config) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"sealgate configuration 1\n");
    for (path, value) in lines(config) {
        // Lengths keep two different lists from reading the same.
        hash.update(format!("{} {path} {} {value}\n", path.len(), value.len()).as_bytes());
    }
    hash.finalize().into()
}

struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, path: &str, value: impl ToString) {
        self.0.push((path.to_owned(), value.to_string()));
    }

    /// A choice by its name in lower case, words joined by `_`.
    fn word(&mut self, path: &str, value: impl Debug) {
        let mut name = String::new();
        for letter in format!("{value:?}").chars() {
            if letter.is_uppercase() && name.ends_with(char::is_alphabetic) {
                name.push('_');
            }
            name.extend(letter.to_lowercase());
        }
        self.add(path, name);
    }
}

fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "(none)".to_owned(), |value| value.to_string())
}

/// By how much one call to a deployment can pass a budget where calls reserve an estimate: the price of its longest answer,
/// which is the model's where that is known, else what `max_tokens` says, so there is no number.
fn bound(config: &Config, deployment: &Deployment) -> Option<policy::MicroUsd> {
    let name = deployment.upstream_model.name(None);
    let listed = policy::price_table::find(&deployment.provider, &name);
    let price = match deployment.price.is_known() {
        true => deployment.price,
        false => listed.map_or(
            Price {
                output: config.budgets.unpriced,
                ..Price::default()
            },
            |row| row.price,
        ),
    };
    let output = deployment
        .max_output
        .or_else(|| listed.map(|row| row.most_output))?;
    let rate = price.output.into_iter().chain(price.reasoning).max()?;
    let billed = policy::Billed {
        output,
        ..policy::Billed::default()
    };
    let dearest = Price {
        input: Some(rate),
        output: Some(rate),
        ..Price::default()
    };
    dearest.cost(&billed).ok()?.amount
}

fn limits(config: &Config, out: &mut Lines) {
    let limits = &config.limits;
    let numbers = [
        ("max_request_bytes", limits.max_request_bytes),
        ("max_response_bytes", limits.max_response_bytes),
        ("max_header_bytes", limits.max_header_bytes),
        ("max_event_bytes", limits.max_event_bytes),
        ("max_json_depth", limits.max_json_depth),
    ];
    for (name, number) in numbers {
        out.add(&format!("limits.{name}"), number);
    }
    let counts = [
        ("max_connections", limits.max_connections),
        ("burst_per_address", limits.burst_per_address),
        ("wrong_keys_per_address", limits.wrong_keys_per_address),
        ("max_parallel", limits.max_parallel),
        ("settle_slots", limits.settle_slots),
        (
            "sealed_refusals_per_minute",
            limits.sealed_refusals_per_minute,
        ),
    ];
    for (name, count) in counts {
        out.add(&format!("limits.{name}"), count);
    }
    for (name, count) in [
        ("connections_per_address", limits.connections_per_address),
        ("requests_per_address", limits.requests_per_address),
    ] {
        out.add(&format!("limits.{name}"), optional(count));
    }
    out.add("limits.min_free_disk_bytes", limits.min_free_disk_bytes);
    let times = [
        ("header_timeout", limits.header_timeout),
        ("body_timeout", limits.body_idle_timeout),
        ("connect_timeout", limits.connect_timeout),
        ("first_byte_timeout", limits.first_byte_timeout),
        ("idle_timeout", limits.idle_timeout),
        ("total_timeout", limits.total_timeout),
        ("keep_alive_interval", limits.keep_alive_interval),
        ("drain_timeout", limits.drain_timeout),
    ];
    for (name, time) in times {
        out.word(&format!("limits.{name}"), time);
    }
}

/// What differs from the router's defaults, and the strategy.
fn routing(settings: &Settings, out: &mut Lines) {
    out.add("routing.strategy", settings.strategy.as_str());
    out.add("routing.retries", settings.retries);
    out.add("routing.max_fallbacks", settings.max_fallbacks);
    out.add("routing.cooldown_micros", settings.cooldown);
    out.add("routing.longest_wait_micros", settings.longest_wait);
    out.add(
        "routing.deployment_limits_enforced",
        settings.enforce_limits,
    );
    // Everything else, so that no change of it goes unseen: the digest of the configuration is made of these lines.
    let debug = format!("{settings:?}");
    let hash: [u8; 32] = Sha256::digest(debug.as_bytes()).into();
    let short: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
    out.add("routing.all", short);
    let lists = [
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
    for (key, lists) in lists {
        for (group, names) in lists.iter() {
            out.add(&format!("routing.{key}.{group}"), names.join(", "));
        }
    }
    if !settings.default_fallbacks.is_empty() {
        out.add(
            "routing.default_fallbacks",
            settings.default_fallbacks.join(", "),
        );
    }
}

fn deployment(group: &str, deployment: &Deployment, out: &mut Lines) {
    let path = format!("models.{group}.{}", deployment.id);
    let model = match &deployment.upstream_model {
        UpstreamModel::Fixed(name) => name.clone(),
        UpstreamModel::Pattern { head, tail, .. } => format!("{head}*{tail}"),
    };
    let built = if deployment.built {
        ""
    } else {
        " (not built: 501)"
    };
    out.add(
        &format!("{path}.provider"),
        format!("{}{built}", deployment.provider),
    );
    out.add(&format!("{path}.model"), model);
    out.add(
        &format!("{path}.api_base"),
        optional(deployment.api_base.as_ref()),
    );
    let secret = deployment.api_key.as_ref().map(|_| "(set)");
    out.add(&format!("{path}.api_key"), optional(secret));
    if let Some(organization) = &deployment.organization {
        out.add(&format!("{path}.organization"), organization);
    }
    for (name, _) in &deployment.extra_headers {
        out.add(&format!("{path}.extra_headers.{name}"), "(set)");
    }
    if deployment.mock_response.is_some() {
        out.add(&format!("{path}.mock_response"), "(set)");
    }
    out.word(&format!("{path}.timeout"), deployment.timeout);
    out.word(&format!("{path}.stream_timeout"), deployment.stream_timeout);
    out.word(&format!("{path}.mode"), deployment.mode);
    out.add(&format!("{path}.weight"), deployment.weight);
    out.add(&format!("{path}.order"), deployment.order);
    out.add(
        &format!("{path}.max_parallel"),
        optional(deployment.max_parallel),
    );
    out.add(&format!("{path}.tags"), deployment.tags.join(", "));
    if !deployment.access_groups.is_empty() {
        let names = deployment.access_groups.join(", ");
        out.add(&format!("{path}.access_groups"), names);
    }
    out.add(
        &format!("{path}.place"),
        format!("{:?}, baa {}", deployment.region, deployment.baa),
    );
    out.add(
        &format!("{path}.max_input_tokens"),
        optional(deployment.max_input_tokens),
    );
    out.add(&format!("{path}.retries"), optional(deployment.retries));
    out.add(
        &format!("{path}.allowed_fails"),
        optional(deployment.allowed_fails),
    );
    let cooldown = deployment.cooldown.map(|time| format!("{time:?}"));
    out.add(&format!("{path}.cooldown"), optional(cooldown));
    for default in &deployment.defaults {
        let json = String::from_utf8_lossy(&default.json).into_owned();
        out.add(&format!("{path}.{}", default.name), json);
    }
    if !deployment.allowed_params.is_empty() {
        let allowed = deployment.allowed_params.join(", ");
        out.add(&format!("{path}.allowed_openai_params"), allowed);
    }
    if let Some(base) = &deployment.base_model {
        out.add(&format!("{path}.base_model"), base.clone());
    }
    out.add(&format!("{path}.rpm"), optional(deployment.capacity.rpm));
    out.add(&format!("{path}.tpm"), optional(deployment.capacity.tpm));
    out.add(&format!("{path}.itpm"), optional(deployment.capacity.itpm));
    out.add(&format!("{path}.otpm"), optional(deployment.capacity.otpm));
    out.add(
        &format!("{path}.forward_metadata"),
        deployment.forward_metadata,
    );
    prices(&path, &deployment.price, out);
}

fn prices(path: &str, price: &Price, out: &mut Lines) {
    let rates = [
        ("input", price.input),
        ("output", price.output),
        ("cached_input", price.cached_input),
        ("cache_write", price.cache_write),
        ("reasoning", price.reasoning),
    ];
    for (name, rate) in rates {
        if let Some(rate) = rate.map(Rate::pico) {
            out.add(
                &format!("{path}.price.{name}"),
                format!("{rate} pico-USD a token"),
            );
        }
    }
}

fn guardrail(guardrail: &Guardrail, out: &mut Lines) {
    let path = format!("guardrails.{}", guardrail.name);
    out.add(&format!("{path}.integration"), &guardrail.integration);
    out.add(&format!("{path}.modes"), guardrail.modes.names().join(", "));
    out.add(&format!("{path}.default_on"), guardrail.default_on);
    out.add(&format!("{path}.not_built"), guardrail.missing.join(", "));
    for (key, value) in &guardrail.settings {
        out.add(&format!("{path}.{key}"), value);
    }
    if let Some(words) = &guardrail.words {
        out.add(&format!("{path}.tag"), &words.tag);
        for (index, word) in words.entries.iter().enumerate() {
            let action = format!("{:?}", word.action).to_lowercase();
            out.add(
                &format!("{path}.words[{index}]"),
                format!("{action} {}", word.keyword),
            );
        }
    }
}
