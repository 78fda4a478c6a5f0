//! Callbacks: the names LiteLLM knows, the instances the published plug-ins
//! have, and nothing else. Python code is never run.

use super::env::Variables;
use super::legacy;
use super::problems::{KeyState, Place, Report, Severity};
use super::reader::Section;
use super::suggest;
use super::url::{BaseUrl, Host};

/// A callback that the file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Its name as written.
    pub name: String,
    /// What it is here.
    pub kind: CallbackKind,
    /// The lists it stands in: `callbacks`, `success_callback`, `failure_callback`.
    pub on: Vec<&'static str>,
    /// Its mode, for the line said at start; empty when there is nothing to say.
    pub mode: String,
}

/// What a callback is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackKind {
    /// It judges calls and is not built: every call selects it.
    Policy,
    /// It takes events away and is not active yet.
    Sink,
    /// What it does is done by the gateway itself.
    Native,
    /// It judges calls, but its own settings leave it switched off.
    Disabled(String),
}

const SINKS: &str = include_str!("sinks.txt");

/// Checks in the form of callbacks.
const CHECKS: [&str; 9] = [
    "llamaguard_moderations",
    "llmguard_moderations",
    "google_text_moderation",
    "openai_moderations",
    "lakera_prompt_injection",
    "aporia_prompt_injection",
    "blocked_user_check",
    "azure_content_safety",
    "custom_guardrail",
];

/// Done here for every call.
const NATIVE: [(&str, &str); 5] = [
    ("prometheus", "served at /metrics"),
    (
        "capsule_litellm.CapsuleLogger",
        "every call is sealed by the gateway",
    ),
    (
        "capsule_litellm.capsule_logger",
        "every call is sealed by the gateway",
    ),
    (
        "capsule_litellm.logger",
        "every call is sealed by the gateway",
    ),
    (
        "custom_callbacks.capsule_logger",
        "every call is sealed by the gateway",
    ),
];

const POLICY_HOOK: &str = "capsule_litellm_plugin.capsule_callback";
const TRAFFIC_HOOK: &str = "custom_hooks.proxy_handler_instance";

/// Reads the three lists of `litellm_settings`.
pub(super) fn read(
    litellm: &Section<'_>,
    variables: &Variables<'_>,
    report: &mut Report,
) -> Vec<Callback> {
    let mut found: Vec<Callback> = Vec::new();
    for list in ["callbacks", "success_callback", "failure_callback"] {
        let path = litellm.path_of(list);
        for (name, place) in litellm.texts(list, report) {
            if let Some(known) = found.iter_mut().find(|callback| callback.name == name) {
                known.on.push(list);
                continue;
            }
            if let Some((kind, mode)) = kind(name, &place, &path, variables, report) {
                found.push(Callback {
                    name: name.to_owned(),
                    kind,
                    on: vec![list],
                    mode,
                });
            }
        }
    }
    found
}

fn kind(
    name: &str,
    place: &Place,
    path: &str,
    variables: &Variables<'_>,
    report: &mut Report,
) -> Option<(CallbackKind, String)> {
    let sinks = || SINKS.split_whitespace();
    if let Some((_, why)) = NATIVE.into_iter().find(|(native, _)| *native == name) {
        let message = format!("`{name}`: {why}");
        report.state(place, path, KeyState::Honoured, message);
        return Some((CallbackKind::Native, why.to_owned()));
    }
    if legacy::is_local(name) {
        let message = format!("`{name}`: a local check of every call, as a guardrail of this name");
        report.state(place, path, KeyState::Honoured, message);
        return Some((CallbackKind::Native, "a check of every call".to_owned()));
    }
    if sinks().any(|sink| sink == name) {
        let message = format!("`{name}`: the sink is not built, nothing is sent to it");
        report.state(place, path, KeyState::AcceptedInactive, message);
        return Some((CallbackKind::Sink, String::new()));
    }
    if CHECKS.contains(&name) {
        let message = format!(
            "`{name}`: this check is not built; every call answers 503 check_not_available"
        );
        report.state(place, path, KeyState::AcceptedInactive, message);
        return Some((CallbackKind::Policy, String::new()));
    }
    if name == POLICY_HOOK || name == TRAFFIC_HOOK {
        let settings = if name == POLICY_HOOK {
            policy_hook(place, path, variables, report)
        } else {
            traffic_hook(place, path, variables, report)
        };
        return Some(hook(name, settings, place, path, report));
    }
    let native = NATIVE.iter().map(|(name, _)| *name);
    let all = sinks()
        .chain(CHECKS)
        .chain(legacy::names())
        .chain(native)
        .chain([POLICY_HOOK, TRAFFIC_HOOK]);
    match suggest::nearest(name, all) {
        Some(meant) => report.misspelt(place, path, "unknown callback", meant),
        None if name.contains('.') => {
            let message = "unknown callback: Python code is not run here; \
                           see docs/migrating-from-litellm.md for what takes its place";
            report.problem(place, path, message);
        }
        None => report.problem(place, path, "unknown callback"),
    }
    None
}

/// The settings of a policy service: its mode, or why it is switched off.
type Hook = Result<String, String>;

fn hook(
    name: &str,
    settings: Hook,
    place: &Place,
    path: &str,
    report: &mut Report,
) -> (CallbackKind, String) {
    match settings {
        Ok(mode) => {
            let message = format!(
                "`{name}` ({mode}): policy services are not built; every call answers 503 check_not_available"
            );
            report.state(place, path, KeyState::AcceptedInactive, message);
            (CallbackKind::Policy, mode)
        }
        Err(reason) => {
            let message = format!("`{name}`: disabled: {reason}");
            report.note(Severity::Warning, place, path, message);
            (CallbackKind::Disabled(reason), String::new())
        }
    }
}

/// The hook with allow and deny verdicts.
fn policy_hook(place: &Place, path: &str, variables: &Variables<'_>, report: &mut Report) -> Hook {
    const ENDPOINT: &str = "CAPSULE_LITELLM_ENDPOINT";
    let block = flag(
        "CAPSULE_LITELLM_BLOCK_ON_RISK",
        true,
        place,
        path,
        variables,
        report,
    );
    let open = flag(
        "CAPSULE_LITELLM_FAIL_OPEN",
        true,
        place,
        path,
        variables,
        report,
    );
    number("CAPSULE_LITELLM_TIMEOUT_MS", place, path, variables, report);
    for name in [ENDPOINT, "CAPSULE_LITELLM_TOKEN"] {
        if variables.get(name).is_none() {
            return Err(format!("{name} is not set"));
        }
    }
    let endpoint = variables.get(ENDPOINT).unwrap_or_default();
    match BaseUrl::parse(&endpoint) {
        Err(error) => report.problem(place, path, format!("{ENDPOINT}: {error}")),
        Ok(url) if !url.tls && !is_loopback(&url.host) => {
            let message = format!("{ENDPOINT} is plain http; a token travels on every call");
            report.problem(place, path, message);
        }
        Ok(_) => {}
    }
    let verdicts = if block { "blocks" } else { "observes" };
    let failing = if open { "fails open" } else { "fails closed" };
    Ok(format!("{verdicts}, {failing}"))
}

/// The hook that sends traffic to a guardrail service.
fn traffic_hook(place: &Place, path: &str, variables: &Variables<'_>, report: &mut Report) -> Hook {
    const SERVICE: &str = "DATA_INGESTION_SERVICE_URL";
    let sync = flag("SYNC_MODE", true, place, path, variables, report);
    number("TIMEOUT", place, path, variables, report);
    let Some(service) = variables.get(SERVICE) else {
        return Err(format!("{SERVICE} is not set"));
    };
    if let Err(error) = BaseUrl::parse(&service) {
        report.problem(place, path, format!("{SERVICE}: {error}"));
    }
    if variables.get("AKTO_API_TOKEN").is_none() {
        let message = "AKTO_API_TOKEN is not set; the service will refuse";
        report.note(Severity::Warning, place, path, message);
    }
    let mode = if sync {
        "sync_mode=True"
    } else {
        "sync_mode=False"
    };
    Ok(mode.to_owned())
}

fn is_loopback(host: &Host) -> bool {
    match host {
        Host::Name(name) => name == "localhost",
        Host::Ip(address) => address.is_loopback(),
    }
}

fn flag(
    name: &str,
    default: bool,
    place: &Place,
    path: &str,
    variables: &Variables<'_>,
    report: &mut Report,
) -> bool {
    match variables.flag(name) {
        Ok(flag) => flag.unwrap_or(default),
        Err(message) => {
            report.problem(place, path, message);
            default
        }
    }
}

fn number(name: &str, place: &Place, path: &str, variables: &Variables<'_>, report: &mut Report) {
    let readable = |text: String| text.parse::<f64>().is_ok_and(|n| n.is_finite() && n > 0.0);
    if variables.get(name).is_some_and(|text| !readable(text)) {
        report.problem(place, path, format!("{name} is no number above 0"));
    }
}

#[cfg(test)]
#[path = "tests/callbacks.rs"]
mod tests;
