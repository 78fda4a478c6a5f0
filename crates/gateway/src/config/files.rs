//! The files of a configuration: the main one, its includes, environment files.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::env::{self, Variables};
use super::problems::{Place, Report, Severity};
use super::references;
use super::yaml::{self, Entry, Node, Value};

/// Where files come from.
pub trait Files {
    /// The bytes of a file.
    ///
    /// # Errors
    /// Whatever reading it says.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
}

/// The file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }
}

/// A fixed set of files.
#[derive(Clone, Default)]
pub struct MapFiles(pub BTreeMap<PathBuf, String>);

impl Files for MapFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let found = self.0.get(path).map(|text| text.clone().into_bytes());
        found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// Files that one configuration may include.
const MAX_INCLUDES: usize = 64;

/// Reads the main file and merges what it includes. Nothing when there is no
/// mapping to go on with.
pub(super) fn read_all(path: &Path, files: &dyn Files, report: &mut Report) -> Option<Node> {
    let mut root = read_yaml(path, None, files, report)?;
    let includes = included(&root, report);
    for (name, place) in includes {
        let target = path.parent().unwrap_or(Path::new("")).join(&name);
        let Some(mut other) = read_yaml(&target, Some(&place), files, report) else {
            continue;
        };
        if let Some(nested) = other.get("include") {
            report.problem(
                &nested.place,
                "include",
                "an included file includes nothing",
            );
        }
        merge(&mut root, &mut other, report);
    }
    Some(root)
}

fn read_yaml(
    path: &Path,
    named_at: Option<&Place>,
    files: &dyn Files,
    report: &mut Report,
) -> Option<Node> {
    let name: Arc<str> = Arc::from(path.to_string_lossy().as_ref());
    let outside = Place::outside(&name);
    let bytes = match files.read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("cannot read `{name}`: {}", error.kind());
            report.problem(named_at.unwrap_or(&outside), "", message);
            return None;
        }
    };
    match yaml::parse(&bytes, &name) {
        Ok(mut node) => match node.value {
            Value::Map(_) => Some(node),
            Value::Null => {
                node.value = Value::Map(Vec::new());
                Some(node)
            }
            _ => {
                let message = format!("expected a mapping of sections, found {}", node.kind());
                report.problem(&node.place, "", message);
                None
            }
        },
        Err(problems) => {
            report.problems.extend(problems);
            None
        }
    }
}

/// The names under `include`, a text or a list of texts.
fn included(root: &Node, report: &mut Report) -> Vec<(String, Place)> {
    let Some(node) = root.get("include") else {
        return Vec::new();
    };
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        Value::Null => &[],
        _ => std::slice::from_ref(node),
    };
    let mut names = Vec::new();
    for item in items {
        match &item.value {
            Value::Text(name) if names.len() < MAX_INCLUDES => {
                names.push((name.clone(), item.place.clone()));
            }
            Value::Text(_) => report.problem(&item.place, "include", "more than 64 files"),
            _ => report.problem(&item.place, "include", "expected the name of a file"),
        }
    }
    names
}

/// Adds an included file: lists grow, sections gain keys, nothing is overwritten.
fn merge(root: &mut Node, other: &mut Node, report: &mut Report) {
    let (Value::Map(into), Value::Map(from)) = (&mut root.value, &mut other.value) else {
        return;
    };
    for entry in std::mem::take(from) {
        let Some(known) = into.iter_mut().find(|known| known.key == entry.key) else {
            into.push(entry);
            continue;
        };
        merge_section(known, entry, report);
    }
}

fn merge_section(known: &mut Entry, added: Entry, report: &mut Report) {
    if known.key == "include" {
        return;
    }
    match (&mut known.value.value, added.value.value) {
        (_, Value::Null) => {}
        (empty @ Value::Null, value) => *empty = value,
        (Value::List(items), Value::List(more)) => items.extend(more),
        (Value::Map(entries), Value::Map(more)) => {
            for entry in more {
                let path = format!("{}.{}", added.key, entry.key);
                match entries.iter().find(|other| other.key == entry.key) {
                    None => entries.push(entry),
                    Some(first) => {
                        let message = format!("the same key twice, first at {}", first.place);
                        report.problem(&entry.place, &path, message);
                    }
                }
            }
        }
        _ => {
            let message = format!("another kind of value than at {}", known.place);
            report.problem(&added.place, &added.key, message);
        }
    }
}

/// Collects named values: `--env-file`, then `.env` beside the configuration,
/// then the section `environment_variables`.
pub(super) fn variables(
    root: &mut Node,
    path: &Path,
    env_file: Option<&Path>,
    files: &dyn Files,
    variables: &mut Variables<'_>,
    report: &mut Report,
) {
    if let Some(file) = env_file {
        let place = Place::outside(&file.to_string_lossy());
        match files.read(file) {
            Ok(bytes) => match pairs(&bytes) {
                Ok(pairs) => variables.files.extend(pairs),
                Err(message) => report.problem(&place, "", message),
            },
            Err(error) => {
                report.problem(
                    &place,
                    "",
                    format!("cannot read the file: {}", error.kind()),
                );
            }
        }
    }
    let beside = path.parent().unwrap_or(Path::new("")).join(".env");
    if let Ok(bytes) = files.read(&beside) {
        let place = Place::outside(&beside.to_string_lossy());
        match pairs(&bytes) {
            Ok(pairs) => {
                for (name, value) in pairs {
                    variables.files.entry(name).or_insert(value);
                }
            }
            Err(message) => {
                let message = format!("{message}; the file is not used");
                report.note(Severity::Warning, &place, "", message);
            }
        }
    }
    section(root, variables, report);
}

fn pairs(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?;
    env::parse_file(text).map_err(|line| format!("line {line} is no NAME=value"))
}

/// `environment_variables`: exported before the rest is read; may itself refer
/// to the environment.
fn section(root: &mut Node, variables: &mut Variables<'_>, report: &mut Report) {
    const SECTION: &str = "environment_variables";
    let Value::Map(sections) = &mut root.value else {
        return;
    };
    let Some(entry) = sections.iter_mut().find(|entry| entry.key == SECTION) else {
        return;
    };
    references::resolve(&mut entry.value, SECTION, variables, false, report);
    let Value::Map(pairs) = &entry.value.value else {
        if !entry.value.is_null() {
            report.problem(
                &entry.value.place,
                SECTION,
                "expected a mapping of names and values",
            );
        }
        return;
    };
    for pair in pairs {
        let value = match &pair.value.value {
            Value::Text(text) | Value::Bool(_, text) => env::meaning(text),
            Value::Null => None,
            Value::List(_) | Value::Map(_) => {
                let path = super::reader::join(SECTION, &pair.key);
                report.problem(&pair.value.place, &path, "expected a text");
                None
            }
        };
        let Some(value) = value else { continue };
        if variables.in_process(&pair.key) {
            let path = super::reader::join(SECTION, &pair.key);
            let message = "wins over the variable of the same name in the environment";
            report.note(Severity::Info, &pair.place, &path, message);
        }
        variables.section.insert(pair.key.clone(), value);
    }
}

#[cfg(test)]
#[path = "tests/files.rs"]
mod tests;
