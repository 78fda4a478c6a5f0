//! `guardrails`: which checks there are, when they run, and what is not built of them.

use std::collections::BTreeSet;

use super::problems::{KeyState, Place, Report, Severity};
use super::reader::Section;
use super::states::Table;
use super::suggest;
use super::words::{self, Words};
use super::yaml::{Node, Value};

/// A check that calls can select.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guardrail {
    /// The name that requests select it by.
    pub name: String,
    /// The integration, such as `litellm_content_filter`.
    pub integration: String,
    /// When it runs.
    pub modes: Modes,
    /// Whether every call selects it.
    pub default_on: bool,
    /// The words of a content filter; absent for other integrations.
    pub words: Option<Words>,
    /// The parts that are not built. When there are any, a call that selects
    /// the guardrail answers 503 `check_not_available`, unless
    /// `sealgate.inactive_checks: pass` says otherwise.
    pub missing: Vec<String>,
}

/// When a check runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// On the request, before it is sent; may edit or block.
    pub pre_call: bool,
    /// On the request, beside the call; may block.
    pub during_call: bool,
    /// On the answer; may edit or block.
    pub post_call: bool,
    /// On what is logged only; changes nothing.
    pub logging_only: bool,
}

impl Modes {
    /// The modes that are on, in words.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        [
            (self.pre_call, "pre_call"),
            (self.during_call, "during_call"),
            (self.post_call, "post_call"),
            (self.logging_only, "logging_only"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
        .collect()
    }
}

/// The content filter, the one integration that is built.
const CONTENT_FILTER: &str = "litellm_content_filter";

/// Parts of the content filter that are not built.
const MISSING_PARTS: [&str; 6] = [
    "patterns",
    "categories",
    "blocked_words_file",
    "image_model",
    "on_sensitive_data",
    "end_session_after_n_fails",
];

/// Integrations of LiteLLM, for suggestions.
const INTEGRATIONS: &str = include_str!("integrations.txt");

/// Reads the top-level `guardrails` and the forms that older files use.
pub(super) fn read(root: &Section<'_>, table: &Table, report: &mut Report) -> Vec<Guardrail> {
    let mut found = Vec::new();
    for (index, node) in root.list("guardrails", report).iter().enumerate() {
        let path = format!("guardrails[{index}]");
        let entry = Section::of(Some(node), path, &root.place, report);
        entry.judge(table, "guardrails", report);
        if let Some(guardrail) = one(&entry, table, report) {
            found.push(guardrail);
        }
    }
    let litellm = root.section("litellm_settings", report);
    found.extend(legacy(&litellm, report));
    for section in [&litellm, &root.section("general_settings", report)] {
        found.extend(moderation(section, report));
    }
    for key in ["policies", "policy_attachments"] {
        found.extend(policies(root, key, report));
    }
    refuse_equal_names(&found, root, report);
    found
}

fn one(entry: &Section<'_>, table: &Table, report: &mut Report) -> Option<Guardrail> {
    let params = entry.section("litellm_params", report);
    let name = needed(entry, "guardrail_name", report);
    let integration = needed(&params, "guardrail", report);
    let (modes, other_modes) = modes(&params, report);
    let default_on = params.flag("default_on", report).unwrap_or(false);
    let (name, integration) = (name?, integration?);
    if integration == CONTENT_FILTER {
        params.judge(table, "guardrail_params", report);
        let mut missing: Vec<String> = MISSING_PARTS
            .into_iter()
            .filter(|part| is_on(params.get(part)))
            .map(str::to_owned)
            .collect();
        missing.extend(other_modes);
        let words = words::read(name, &params, report);
        if words.entries.is_empty() && missing.is_empty() {
            let message = "the content filter has no blocked_words and checks nothing";
            report.note(Severity::Failing, &entry.place, &params.path, message);
        }
        return Some(Guardrail {
            name: name.to_owned(),
            integration: integration.to_owned(),
            modes,
            default_on,
            words: Some(words),
            missing,
        });
    }
    let known = || INTEGRATIONS.split_whitespace();
    let (place, path) = (params.place_of("guardrail"), params.path_of("guardrail"));
    if !known().any(|known| known == integration) {
        let near = suggest::nearest(integration, known().chain([CONTENT_FILTER]));
        if let Some(meant) = near {
            report.misspelt(&place, &path, "unknown guardrail integration", meant);
            return None;
        }
    }
    not_built(&place, &path, default_on, report);
    Some(Guardrail {
        name: name.to_owned(),
        integration: integration.to_owned(),
        modes,
        default_on,
        words: None,
        missing: vec![integration.to_owned()],
    })
}

fn not_built(place: &Place, path: &str, default_on: bool, report: &mut Report) {
    let which = if default_on {
        "every call"
    } else {
        "calls that select it"
    };
    let message = format!("this check is not built; {which} answer 503 check_not_available");
    report.state(place, path, KeyState::AcceptedInactive, message);
}

pub(super) fn needed<'n>(section: &Section<'n>, key: &str, report: &mut Report) -> Option<&'n str> {
    let text = section.text(key, report);
    if section.get(key).is_none() || text == Some("") {
        let path = section.path_of(key);
        report.problem(&section.place_of(key), &path, "missing or empty");
        return None;
    }
    text
}

/// `mode`: a word, a list of words, or words by tag. The second value is what
/// is not built of it.
fn modes(params: &Section<'_>, report: &mut Report) -> (Modes, Vec<String>) {
    let mut modes = Modes::default();
    let mut other = Vec::new();
    let (place, path) = (params.place_of("mode"), params.path_of("mode"));
    match params.get("mode").map(|node| &node.value) {
        None => report.problem(
            &place,
            &path,
            "missing; say when the check runs, such as pre_call",
        ),
        Some(Value::Map(_)) => {
            let message =
                "modes by tag are not built; calls that select it answer 503 check_not_available";
            report.state(&place, &path, KeyState::AcceptedInactive, message);
            other.push("mode by tag".to_owned());
        }
        Some(_) => {
            for (word, place) in params.texts("mode", report) {
                mode(word, &mut modes, &place, &path, report);
            }
        }
    }
    (modes, other)
}

fn mode(word: &str, modes: &mut Modes, place: &Place, path: &str, report: &mut Report) {
    const ELSEWHERE: [&str; 4] = [
        "pre_mcp_call",
        "during_mcp_call",
        "post_mcp_call",
        "realtime_input_transcription",
    ];
    match word {
        "pre_call" => modes.pre_call = true,
        "during_call" => modes.during_call = true,
        "post_call" => modes.post_call = true,
        "logging_only" => modes.logging_only = true,
        word if ELSEWHERE.contains(&word) => {
            let message = "the routes of this mode are not built";
            report.state(place, path, KeyState::AcceptedInactive, message);
        }
        word => {
            let known = ["pre_call", "during_call", "post_call", "logging_only"];
            match suggest::nearest(word, known.into_iter().chain(ELSEWHERE)) {
                Some(meant) => report.misspelt(place, path, "unknown mode", meant),
                None => report.problem(place, path, "unknown mode"),
            }
        }
    }
}

fn is_on(node: Option<&Node>) -> bool {
    node.is_some_and(|node| match &node.value {
        Value::Null | Value::Bool(false, _) => false,
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        Value::Bool(true, _) => true,
        // What is sensitive is blocked anyway; another word asks for more.
        Value::Text(text) => !text.is_empty() && text != "block",
    })
}

/// `litellm_settings.guardrails`: the older form `{name: {callbacks, default_on}}`
/// and the form of a judge model `{name, guardrail_model, ...}`.
fn legacy(litellm: &Section<'_>, report: &mut Report) -> Vec<Guardrail> {
    let mut found = Vec::new();
    for (index, node) in litellm.list("guardrails", report).iter().enumerate() {
        let path = format!("{}[{index}]", litellm.path_of("guardrails"));
        let entry = Section::of(Some(node), path, &litellm.place, report);
        if entry.get("guardrail_model").is_some() {
            let Some(name) = needed(&entry, "name", report) else {
                continue;
            };
            found.push(every_call(
                name,
                "judge model",
                &entry.place,
                &entry.path,
                report,
            ));
            continue;
        }
        for named in entry.entries() {
            let settings = entry.section(&named.key, report);
            let default_on = settings.flag("default_on", report).unwrap_or(false);
            let path = entry.path_of(&named.key);
            not_built(&named.place, &path, default_on, report);
            let callbacks = settings.texts("callbacks", report);
            let missing: Vec<String> = callbacks
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect();
            found.push(Guardrail {
                name: named.key.clone(),
                integration: "callbacks".to_owned(),
                modes: Modes::default(),
                default_on,
                words: None,
                missing: if missing.is_empty() {
                    vec!["callbacks".to_owned()]
                } else {
                    missing
                },
            });
        }
    }
    found
}

/// A check that is not built and that every call selects.
fn every_call(
    name: &str,
    integration: &str,
    place: &Place,
    path: &str,
    report: &mut Report,
) -> Guardrail {
    not_built(place, path, true, report);
    Guardrail {
        name: name.to_owned(),
        integration: integration.to_owned(),
        modes: Modes {
            pre_call: true,
            ..Modes::default()
        },
        default_on: true,
        words: None,
        missing: vec![integration.to_owned()],
    }
}

/// `moderation: true`: a moderation check for every call.
fn moderation(section: &Section<'_>, report: &mut Report) -> Option<Guardrail> {
    const KEY: &str = "moderation";
    if !section.flag(KEY, report)? {
        return None;
    }
    let (place, path) = (section.place_of(KEY), section.path_of(KEY));
    Some(every_call(KEY, "openai_moderation", &place, &path, report))
}

/// Policies attach guardrails to calls; which ones cannot be told without them.
fn policies(root: &Section<'_>, key: &str, report: &mut Report) -> Option<Guardrail> {
    if !is_on(root.get(key)) {
        return None;
    }
    let (place, path) = (root.place_of(key), root.path_of(key));
    Some(every_call(key, "policies", &place, &path, report))
}

fn refuse_equal_names(found: &[Guardrail], root: &Section<'_>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for guardrail in found {
        if !seen.insert(guardrail.name.as_str()) {
            let message = format!("two guardrails are named `{}`", guardrail.name);
            report.problem(&root.place_of("guardrails"), "guardrails", message);
        }
    }
}

#[cfg(test)]
#[path = "tests/guardrails.rs"]
mod tests;
