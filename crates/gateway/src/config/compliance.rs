//! `sealgate.compliance`: presets that set what the usual guides ask for, where the file says nothing else.
//!
//! A preset is a piece of configuration that is merged into the file before anything is read, so each of its keys is judged,
//! checked and shown like a written one. What the file says wins, and is said.

use std::sync::Arc;

use super::problems::{Place, Report, Severity};
use super::reader::{Section, join};
use super::yaml::{self, Node, Value};

/// The presets by name.
const PRESETS: [(&str, &str); 4] = [
    ("hipaa", include_str!("presets/hipaa.yaml")),
    ("gdpr", include_str!("presets/gdpr.yaml")),
    ("dpdp", include_str!("presets/dpdp.yaml")),
    ("soc2", include_str!("presets/soc2.yaml")),
];

/// How the places of preset values begin.
const MARK: &str = "preset ";

/// LiteLLM's names of the period after which content ends; `log_retention_days` is the other one.
const PERIOD: &str = "maximum_spend_logs_retention_period";

/// A preset that the file asks for, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preset {
    /// `hipaa`, `gdpr`, `dpdp` or `soc2`.
    pub name: &'static str,
    /// What it set: `path = value`, in order.
    pub set: Vec<String>,
    /// Paths where the file says something else, which wins.
    pub kept: Vec<String>,
    /// What no setting can do: it stays open for the operator.
    pub open: Vec<String>,
}

impl Preset {
    /// What the start and `config check` say of it, line by line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let name = self.name;
        let set = self.set.iter().map(|line| format!("{name} sets {line}"));
        let kept = self
            .kept
            .iter()
            .map(|path| format!("{name} does not set {path}: the file says otherwise and wins"));
        let open = self
            .open
            .iter()
            .map(|line| format!("{name} leaves open: {line}"));
        set.chain(kept).chain(open).collect()
    }
}

/// Merges the presets that the file asks for into it.
pub(super) fn apply(root: &mut Node, report: &mut Report) -> Vec<Preset> {
    let names = asked(root, report);
    let mut done = Vec::with_capacity(names.len());
    for (name, place) in names {
        let Some((name, text)) = PRESETS.into_iter().find(|(known, _)| *known == name) else {
            let message = "expected one of hipaa, gdpr, dpdp, soc2, or a list of them";
            report.problem(&place, "sealgate.compliance", message);
            continue;
        };
        let file = Arc::from(format!("{MARK}{name}"));
        let Ok(preset) = yaml::parse(text.as_bytes(), &file) else {
            // A test reads each of them.
            report.problem(&place, "sealgate.compliance", "the preset cannot be read");
            continue;
        };
        let mut merging = Merging {
            preset: name,
            set: Vec::new(),
            kept: Vec::new(),
            report,
        };
        if let Some(settings) = preset.get("settings") {
            merging.node(root, settings, String::new());
        }
        let (set, kept) = (merging.set, merging.kept);
        let open = match preset.get("open").map(|node| &node.value) {
            Some(Value::List(items)) => items.iter().filter_map(text_of).collect(),
            _ => Vec::new(),
        };
        done.push(Preset {
            name,
            set,
            kept,
            open,
        });
    }
    done
}

/// The names, each once, with their places.
fn asked(root: &Node, report: &mut Report) -> Vec<(String, Place)> {
    let section = root.get("sealgate");
    if section.and_then(|node| node.get("compliance")).is_none() {
        return Vec::new();
    }
    let place = root.place.clone();
    let sealgate = Section::of(section, "sealgate".to_owned(), &place, report);
    let mut names: Vec<(String, Place)> = Vec::new();
    for (name, place) in sealgate.texts("compliance", report) {
        if names.iter().all(|(known, _)| known != name) {
            names.push((name.to_owned(), place));
        }
    }
    names
}

fn text_of(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Bool(value, _) => Some(value.to_string()),
        _ => None,
    }
}

struct Merging<'r> {
    preset: &'static str,
    set: Vec<String>,
    kept: Vec<String>,
    report: &'r mut Report,
}

impl Merging<'_> {
    fn node(&mut self, into: &mut Node, from: &Node, path: String) {
        if into.is_null() {
            self.noted(from, &path);
            *into = from.clone();
            return;
        }
        match (&mut into.value, &from.value) {
            (Value::Map(entries), Value::Map(wanted)) => {
                for entry in wanted {
                    let path = join(&path, &entry.key);
                    // The same setting under its other name.
                    if entry.key == "log_retention_days"
                        && let Some(other) = entries.iter().find(|other| other.key == PERIOD)
                        && !other.value.is_null()
                    {
                        self.keep(&other.value.place.clone(), path);
                        continue;
                    }
                    match entries.iter_mut().find(|known| known.key == entry.key) {
                        Some(known) => self.node(&mut known.value, &entry.value, path),
                        None => {
                            self.noted(&entry.value, &path);
                            entries.push(entry.clone());
                        }
                    }
                }
            }
            (Value::List(items), Value::List(wanted)) => {
                for item in wanted {
                    self.item(items, item, &path);
                }
            }
            _ => self.scalar(into, from, path),
        }
    }

    /// An entry of a list: one of the same name in the file stands for it.
    fn item(&mut self, items: &mut Vec<Node>, item: &Node, path: &str) {
        let name = named(item);
        let same = |known: &&Node| name.is_some() && named(known) == name;
        match items.iter().find(same).map(|known| known.place.clone()) {
            // The same word twice is no conflict.
            Some(_) if matches!(item.value, Value::Text(_)) => {}
            Some(place) if is_preset(&place) => {}
            Some(place) => self.keep(&place, format!("{path}.{}", name.unwrap_or_default())),
            None => {
                self.set
                    .push(format!("{path} + {}", name.unwrap_or_default()));
                items.push(item.clone());
            }
        }
    }

    fn scalar(&mut self, into: &mut Node, from: &Node, path: String) {
        let (has, wants) = (text_of(into), text_of(from));
        if has.is_some() && has == wants {
            return;
        }
        if !is_preset(&into.place) {
            let place = into.place.clone();
            return self.keep(&place, path);
        }
        // Two presets: what keeps less wins.
        if let (Some(has), Some(wants)) = (has, wants)
            && keeps(&wants) < keeps(&has)
        {
            self.set.push(format!("{path} = {wants}"));
            *into = from.clone();
        }
    }

    fn keep(&mut self, place: &Place, path: String) {
        let message = format!(
            "the preset {} would set this; what the file says wins",
            self.preset
        );
        self.report
            .note(Severity::Warning, place, &path, message.as_str());
        self.kept.push(path);
    }

    /// Notes everything that a new node sets.
    fn noted(&mut self, node: &Node, path: &str) {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    self.noted(&entry.value, &join(path, &entry.key));
                }
            }
            Value::List(items) if items.iter().any(|item| named(item).is_some()) => {
                for item in items {
                    let name = named(item).unwrap_or_default();
                    self.set.push(format!("{path} + {name}"));
                }
            }
            Value::List(_) => self.set.push(format!("{path} = []")),
            _ => {
                let value = text_of(node).unwrap_or_default();
                self.set.push(format!("{path} = {value}"));
            }
        }
    }
}

fn is_preset(place: &Place) -> bool {
    place.file.starts_with(MARK)
}

/// How much a value keeps, for the two settings in which presets differ: the mode of content, and days.
fn keeps(value: &str) -> u64 {
    match value {
        "hash" => 0,
        "masked" => 1,
        "encrypted" => 2,
        "full" => 3,
        other => other.parse().unwrap_or(u64::MAX),
    }
}

/// What an entry of a list is called: a guardrail, a rule, or a word.
fn named(node: &Node) -> Option<String> {
    let member = node.get("guardrail_name").or_else(|| node.get("name"));
    member.map_or_else(|| text_of(node), text_of)
}

#[cfg(test)]
#[path = "tests/compliance.rs"]
mod tests;
