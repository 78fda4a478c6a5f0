//! `guardrails`: which checks there are, when they run, and what is not built of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::egress::Egress;
use super::env::Variables;
use super::files::Files;
use super::legacy::{self, Older};
use super::models::Deployment;
use super::problems::{KeyState, Place, Report};
use super::reader::{Section, join};
use super::selection::{self, Selection};
use super::states::Table;
use super::suggest;
use super::words::Words;
use super::yaml::{Entry, Node, Value};
use crate::guardrails::Engine;
use crate::guardrails::content_filter::is_on;
use crate::guardrails::registry::{self, Reading};

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
    /// What it became; absent when nothing of it is built.
    pub engine: Option<Engine>,
    /// Its parameters in words, without secrets, and digests of the files it reads: they make up what it does.
    pub settings: Vec<(String, String)>,
    /// Calls that select it without naming it.
    pub selection: Selection,
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

/// Integrations of LiteLLM, for suggestions.
const INTEGRATIONS: &str = include_str!("integrations.txt");

/// What guardrails are read with.
pub(super) struct Surroundings<'s> {
    pub(super) table: &'s Table,
    /// The folder that relative paths count from.
    pub(super) folder: &'s Path,
    pub(super) files: &'s dyn Files,
    pub(super) variables: &'s Variables<'s>,
    pub(super) models: &'s policy::Router<Arc<Deployment>>,
    /// Longest time of a call.
    pub(super) timeout: Duration,
}

/// Guardrails as they are read, with the deployments that only they use.
#[derive(Default)]
struct Found {
    guardrails: Vec<Guardrail>,
    judges: Vec<Arc<Deployment>>,
}

/// Reads the top-level `guardrails` and the forms that older files use.
pub(super) fn read(
    root: &Section<'_>,
    with: &Surroundings<'_>,
    egress: &mut Egress,
    report: &mut Report,
) -> (Vec<Guardrail>, Vec<Arc<Deployment>>) {
    let mut all = Found::default();
    for (index, node) in root.list("guardrails", report).iter().enumerate() {
        let path = format!("guardrails[{index}]");
        let entry = Section::of(Some(node), path, &root.place, report);
        entry.judge(with.table, "guardrails", report);
        one(&entry, with, egress, &mut all, report);
    }
    let litellm = root.section("litellm_settings", report);
    callbacks(&litellm, with, egress, &mut all, report);
    legacy(&litellm, with, egress, &mut all, report);
    for section in [&litellm, &root.section("general_settings", report)] {
        moderation(section, with, egress, &mut all, report);
    }
    let Found {
        guardrails: mut found,
        judges,
    } = all;
    for key in ["policies", "policy_attachments"] {
        found.extend(policies(root, key, report));
    }
    refuse_equal_names(&found, root, report);
    (found, judges)
}

fn one(
    entry: &Section<'_>,
    with: &Surroundings<'_>,
    egress: &mut Egress,
    all: &mut Found,
    report: &mut Report,
) {
    let params = entry.section("litellm_params", report);
    let name = needed(entry, "guardrail_name", report);
    let integration = needed(&params, "guardrail", report);
    let (mut modes, by_tag) = modes(&params, report);
    let default_on = params.flag("default_on", report).unwrap_or(false);
    let (Some(name), Some(integration)) = (name, integration) else {
        return;
    };
    let mut settings = Vec::new();
    if let Some(kind) = registry::kind(integration) {
        params.judge(with.table, kind.keys, report);
        filter_scope(&params, &mut modes, report);
        let before = report.problems.len();
        let mut reading = Reading {
            name,
            params: &params,
            modes,
            folder: with.folder,
            files: with.files,
            variables: with.variables,
            egress,
            models: with.models,
            table: with.table,
            timeout: with.timeout,
            report,
            missing: Vec::new(),
            words: None,
            read: Vec::new(),
            own: Vec::new(),
        };
        let engine = (kind.build)(&mut reading);
        let (missing, words, read) = (reading.missing, reading.words, reading.read);
        all.judges.extend(reading.own);
        let mut selection = selection::read(&params, report);
        selection.modes = by_tag;
        flatten(&params, "", &mut settings);
        settings.extend(read.into_iter().map(|(key, digest)| {
            let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            (format!("{key}.content"), digest)
        }));
        if engine.is_none() && missing.is_empty() && report.problems.len() == before {
            let message = "this guardrail cannot be built from its parameters";
            report.problem(&entry.place, &entry.path, message);
        }
        all.guardrails.push(Guardrail {
            name: name.to_owned(),
            integration: integration.to_owned(),
            modes,
            default_on,
            words,
            engine,
            settings,
            selection,
            missing,
        });
        return;
    }
    let known = || INTEGRATIONS.split_whitespace();
    let (place, path) = (params.place_of("guardrail"), params.path_of("guardrail"));
    if !known().any(|known| known == integration) {
        let near = suggest::nearest(
            integration,
            known().chain(registry::KINDS.iter().map(|kind| kind.integration)),
        );
        if let Some(meant) = near {
            report.misspelt(&place, &path, "unknown guardrail integration", meant);
            return;
        }
    }
    not_built(&place, &path, default_on, report);
    all.guardrails.push(Guardrail {
        name: name.to_owned(),
        integration: integration.to_owned(),
        modes,
        default_on,
        words: None,
        engine: None,
        settings: Vec::new(),
        selection: Selection::default(),
        missing: vec![integration.to_owned()],
    });
}

/// `presidio_filter_scope`: which sides are read, where the mode says less or more.
fn filter_scope(params: &Section<'_>, modes: &mut Modes, report: &mut Report) {
    const KEY: &str = "presidio_filter_scope";
    let words = [
        ("input", (true, false)),
        ("output", (false, true)),
        ("both", (true, true)),
    ];
    let Some((input, output)) = params.choice(KEY, &words, report) else {
        return;
    };
    let asked = modes.pre_call || modes.during_call || modes.post_call;
    modes.post_call = asked && output;
    modes.pre_call = asked && input && !modes.during_call;
    modes.during_call &= input;
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

/// `mode`: a word, a list of words, or words by tag.
fn modes(params: &Section<'_>, report: &mut Report) -> (Modes, Vec<(String, Modes)>) {
    let mut modes = Modes::default();
    let (place, path) = (params.place_of("mode"), params.path_of("mode"));
    if let Some(by_tag) = selection::modes_by_tag(params, report) {
        return by_tag;
    }
    if params.get("mode").is_none() {
        let message = "missing; say when the check runs, such as pre_call";
        report.problem(&place, &path, message);
    }
    for (word, place) in params.texts("mode", report) {
        mode(word, &mut modes, &place, &path, report);
    }
    (modes, Vec::new())
}

pub(super) fn mode(word: &str, modes: &mut Modes, place: &Place, path: &str, report: &mut Report) {
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

/// Every parameter by its path. Keys of services are left out; words stand beside.
fn flatten(params: &Section<'_>, path: &str, out: &mut Vec<(String, String)>) {
    const LEFT_OUT: [&str; 5] = [
        "pii_operator_key",
        "api_key",
        "headers",
        "blocked_words",
        "optional_params",
    ];
    for entry in params.entries() {
        if !LEFT_OUT.contains(&entry.key.as_str()) {
            flat(&entry.value, join(path, &entry.key), out);
        }
    }
}

fn flat(node: &Node, path: String, out: &mut Vec<(String, String)>) {
    match &node.value {
        Value::Null => {}
        Value::Bool(value, _) => out.push((path, value.to_string())),
        Value::Text(text) => out.push((path, text.clone())),
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                flat(item, format!("{path}[{index}]"), out);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                flat(&entry.value, join(&path, &entry.key), out);
            }
        }
    }
}

/// `litellm_settings.guardrails`: the older form `{name: {callbacks, default_on}}`
/// and the form of a judge model `{name, guardrail_model, ...}`.
fn legacy(
    litellm: &Section<'_>,
    with: &Surroundings<'_>,
    egress: &mut Egress,
    all: &mut Found,
    report: &mut Report,
) {
    for (index, node) in litellm.list("guardrails", report).iter().enumerate() {
        let path = format!("{}[{index}]", litellm.path_of("guardrails"));
        let entry = Section::of(Some(node), path, &litellm.place, report);
        if entry.get("guardrail_model").is_some() {
            let Some(name) = needed(&entry, "name", report) else {
                continue;
            };
            let params = entry.entries().iter().filter(|pair| pair.key != "name");
            let params = params.cloned().collect();
            written(
                name,
                "llm_as_a_judge",
                (&entry, params),
                with,
                egress,
                all,
                report,
            );
            continue;
        }
        for named in entry.entries() {
            let settings = entry.section(&named.key, report);
            let default_on = settings.flag("default_on", report).unwrap_or(false);
            let path = entry.path_of(&named.key);
            let callbacks = settings.texts("callbacks", report);
            // Several checks under one name are one guardrail each; a request could only name the first.
            let local = |(name, _): &(&str, Place)| legacy::is_local(name);
            if !callbacks.is_empty()
                && callbacks.iter().all(local)
                && (default_on || callbacks.len() == 1)
            {
                let logging_only = settings.flag("logging_only", report).unwrap_or(false);
                for (index, (callback, _)) in callbacks.iter().enumerate() {
                    let name = match index {
                        0 => named.key.clone(),
                        _ => format!("{} {callback}", named.key),
                    };
                    let older = Older {
                        callback,
                        name: &name,
                        default_on,
                        logging_only,
                        place: &named.place,
                    };
                    older_one(litellm, &older, with, egress, all, report);
                }
                continue;
            }
            not_built(&named.place, &path, default_on, report);
            let missing: Vec<String> = callbacks
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect();
            all.guardrails.push(Guardrail {
                name: named.key.clone(),
                integration: "callbacks".to_owned(),
                modes: Modes::default(),
                default_on,
                words: None,
                engine: None,
                settings: Vec::new(),
                selection: Selection::default(),
                missing: if missing.is_empty() {
                    vec!["callbacks".to_owned()]
                } else {
                    missing
                },
            });
        }
    }
}

/// A guardrail in the words of an older form: it runs on every request.
fn written(
    name: &str,
    kind: &str,
    (section, mut params): (&Section<'_>, Vec<Entry>),
    with: &Surroundings<'_>,
    egress: &mut Egress,
    all: &mut Found,
    report: &mut Report,
) {
    let place = &section.place;
    let text = |text: &str| Node::text(place.clone(), text);
    for (key, value) in [
        ("guardrail", kind),
        ("mode", "pre_call"),
        ("default_on", "true"),
    ] {
        if !params.iter().any(|pair| pair.key == key) {
            params.push(Entry::new(key, text(value)));
        }
    }
    let node = Node::map(
        place.clone(),
        vec![
            Entry::new("guardrail_name", text(name)),
            Entry::new("litellm_params", Node::map(place.clone(), params)),
        ],
    );
    let entry = Section::of(Some(&node), section.path.clone(), place, report);
    one(&entry, with, egress, all, report);
}

/// Local checks among the callbacks: each runs for every call.
fn callbacks(
    litellm: &Section<'_>,
    with: &Surroundings<'_>,
    egress: &mut Egress,
    all: &mut Found,
    report: &mut Report,
) {
    let mut seen: Vec<&str> = Vec::new();
    for list in ["callbacks", "success_callback", "failure_callback"] {
        for (callback, place) in litellm.texts(list, report) {
            let older = Older {
                callback,
                name: callback,
                default_on: true,
                logging_only: false,
                place: &place,
            };
            if !seen.contains(&callback) {
                seen.push(callback);
                older_one(litellm, &older, with, egress, all, report);
            }
        }
    }
}

fn older_one(
    litellm: &Section<'_>,
    older: &Older<'_>,
    with: &Surroundings<'_>,
    egress: &mut Egress,
    all: &mut Found,
    report: &mut Report,
) {
    if let Some(node) = legacy::entry(litellm, older) {
        let path = litellm.path_of(older.callback);
        let entry = Section::of(Some(&node), path, older.place, report);
        one(&entry, with, egress, all, report);
    }
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
        engine: None,
        settings: Vec::new(),
        selection: Selection::default(),
        missing: vec![integration.to_owned()],
    }
}

/// `moderation: true`: a moderation check for every call.
fn moderation(
    section: &Section<'_>,
    with: &Surroundings<'_>,
    egress: &mut Egress,
    all: &mut Found,
    report: &mut Report,
) {
    const KEY: &str = "moderation";
    if section.flag(KEY, report) != Some(true) {
        return;
    }
    let at = Section::of(None, section.path_of(KEY), &section.place_of(KEY), report);
    written(
        KEY,
        "openai_moderation",
        (&at, Vec::new()),
        with,
        egress,
        all,
        report,
    );
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
