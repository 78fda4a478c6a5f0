//! What is shown of the state of deployments: answers' headers, `/health`, `/metrics`.

use std::fmt::Write as _;
use std::sync::Arc;

use policy::Target;
use policy::router::HealthView;
use serde_json::{Value, json};

use crate::app::Snapshot;
use crate::config::Deployment;
use crate::observe::metrics::{FallbackLabels, Metrics};
use crate::proxy::facts::Facts;

/// Most attempts that a header names.
const MOST_SHOWN: usize = 16;

/// The attempts of a call in order, `deployment=status` or `deployment=code`; nothing for a call with one attempt.
pub(crate) fn attempts(facts: &Facts) -> Option<String> {
    if facts.attempts.len() < 2 {
        return None;
    }
    let mut out = String::new();
    for attempt in facts.attempts.iter().take(MOST_SHOWN) {
        let comma = if out.is_empty() { "" } else { ", " };
        let said = match attempt.error {
            Some(code) if attempt.status == 0 => code.to_owned(),
            _ => attempt.status.to_string(),
        };
        // Writing into a String cannot fail.
        let _ = write!(out, "{comma}{}={said}", attempt.deployment);
    }
    Some(out)
}

/// The deployments that were looked at, `deployment` for the one that serves and `deployment="reason"` for each other; nothing
/// where there was no choice. Model groups that the caller may not use are not named.
pub(crate) fn considered(facts: &Facts) -> Option<String> {
    let hidden = policy::Rejection::NotPermitted.as_str();
    let considered = &facts.destination.considered;
    if considered.len() < 2 {
        return None;
    }
    let shown = considered
        .iter()
        .filter(|seen| seen.rejected != Some(hidden));
    let mut out = String::new();
    for seen in shown.take(MOST_SHOWN) {
        let comma = if out.is_empty() { "" } else { ", " };
        // Writing into a String cannot fail.
        let _ = match seen.rejected {
            None => write!(out, "{comma}{}", seen.id),
            Some(reason) => write!(out, "{comma}{}=\"{reason}\"", seen.id),
        };
    }
    Some(out)
}

/// Counts what a finished call took beyond its first attempt.
pub(crate) fn count(metrics: &Metrics, facts: &Facts, answered: bool) {
    let Some(way) = facts.destination.way.as_deref() else {
        return;
    };
    metrics.retries.inc_by(u64::from(way.retries()));
    if way.fallbacks() > 0 {
        let labels = FallbackLabels {
            requested_model: way.first_group(),
            fallback_model: facts.destination.group.clone(),
        };
        let family = match answered {
            true => &metrics.good_fallbacks,
            false => &metrics.failed_fallbacks,
        };
        family.get_or_create(&labels).inc();
    }
}

/// What traffic taught about a deployment, for `/health`.
pub(crate) fn health(snapshot: &Snapshot, target: &Target<Arc<Deployment>>) -> Value {
    let view = view(snapshot, target);
    let millis = |micros: Option<u64>| micros.map(|micros| micros as f64 / 1e3);
    json!({
        "state": word(&view),
        "cooldown_seconds": view.cooling.div_ceil(1_000_000),
        "in_flight": view.in_flight,
        "answers_last_minute": view.answers_lately,
        "failures_last_minute": view.failures_lately,
        "ms_per_token": millis(view.plain_latency),
        "ms_to_first_byte": millis(view.stream_latency),
    })
}

/// Whether a deployment is left alone after failures.
pub(crate) fn is_cooling(snapshot: &Snapshot, target: &Target<Arc<Deployment>>) -> bool {
    view(snapshot, target).cooling > 0
}

fn view(snapshot: &Snapshot, target: &Target<Arc<Deployment>>) -> HealthView {
    target
        .health
        .view(snapshot.micros(), snapshot.config.models.settings())
}

fn word(view: &HealthView) -> &'static str {
    match state(view) {
        0 => "healthy",
        1 => "partial",
        _ => "cooling_down",
    }
}

/// LiteLLM's numbers: 0 healthy, 1 some failures, 2 out.
fn state(view: &HealthView) -> u64 {
    match (view.cooling, view.failures_lately) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => 2,
    }
}

/// One family of metrics: name, kind, help, and the value of a deployment.
type Family = (
    &'static str,
    &'static str,
    &'static str,
    fn(&HealthView) -> f64,
);

const FAMILIES: [Family; 7] = [
    (
        "litellm_deployment_state",
        "gauge",
        "0 healthy, 1 failures in the last minute, 2 cooling down",
        |view| state(view) as f64,
    ),
    (
        "litellm_deployment_cooled_down",
        "counter",
        "Times the deployment was cooled down",
        |view| view.cooldowns as f64,
    ),
    (
        "litellm_deployment_success_responses",
        "counter",
        "Answered attempts",
        |view| view.answers as f64,
    ),
    (
        "litellm_deployment_failure_responses",
        "counter",
        "Failed attempts",
        |view| view.failures as f64,
    ),
    (
        "sealgate_deployment_in_flight",
        "gauge",
        "Calls that hold a place at the deployment",
        |view| f64::from(view.in_flight),
    ),
    (
        "sealgate_deployment_latency_per_output_token_seconds",
        "gauge",
        "Mean of the last plain answers",
        |view| seconds(view.plain_latency),
    ),
    (
        "sealgate_deployment_time_to_first_byte_seconds",
        "gauge",
        "Mean of the last streams",
        |view| seconds(view.stream_latency),
    ),
];

fn seconds(micros: Option<u64>) -> f64 {
    micros.map_or(0.0, |micros| micros as f64 / 1e6)
}

/// The metrics of every deployment, as text.
pub(crate) fn metrics(snapshot: &Snapshot) -> String {
    let targets: Vec<(String, HealthView)> = snapshot
        .config
        .models
        .targets()
        .map(|(group, target)| {
            let labels = format!(
                "{{model_group=\"{}\",model_id=\"{}\"}}",
                escaped(group),
                escaped(&target.deployment.id)
            );
            (labels, view(snapshot, target))
        })
        .collect();
    let mut out = String::with_capacity(FAMILIES.len() * (120 + targets.len() * 100));
    for (name, kind, help, value) in FAMILIES {
        let suffix = if kind == "counter" { "_total" } else { "" };
        // Writing into a String cannot fail.
        let _ = write!(out, "# HELP {name} {help}.\n# TYPE {name} {kind}\n");
        for (labels, view) in &targets {
            let _ = writeln!(out, "{name}{suffix}{labels} {}", value(view));
        }
    }
    out
}

/// A configured name as the value of a label.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '"' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}
