//! Typed reading of a mapping: text becomes a type here, once.

use std::time::Duration;

use policy::Secret;

use super::env::boolean;
use super::problems::{KeyState, Place, Report};
use super::states::{Answer, State, Table};
use super::yaml::{Entry, Node, Origin, Value};

/// A mapping of the file with the path that leads to it.
#[derive(Clone)]
pub(crate) struct Section<'n> {
    entries: &'n [Entry],
    pub(crate) path: String,
    pub(crate) place: Place,
}

impl<'n> Section<'n> {
    /// A section of the file; null and absent ones are empty, anything but a
    /// mapping is a problem.
    pub(crate) fn of(
        node: Option<&'n Node>,
        path: String,
        parent: &Place,
        report: &mut Report,
    ) -> Self {
        let place = node.map_or(parent, |node| &node.place).clone();
        let entries: &'n [Entry] = match node.map(|node| &node.value) {
            None | Some(Value::Null) => &[],
            Some(Value::Map(entries)) => entries,
            Some(_) => {
                let kind = node.map_or("nothing", Node::kind);
                report.problem(&place, &path, format!("expected a mapping, found {kind}"));
                &[]
            }
        };
        Self {
            entries,
            path,
            place,
        }
    }

    /// The section under a key.
    pub(crate) fn section(&self, key: &str, report: &mut Report) -> Section<'n> {
        Section::of(self.get(key), self.path_of(key), &self.place, report)
    }

    pub(crate) fn entries(&self) -> &'n [Entry] {
        self.entries
    }

    /// The value of a key; null counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
            .filter(|node| !node.is_null())
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Where a key stands; the section itself when it does not.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map_or_else(|| self.place.clone(), |entry| entry.place.clone())
    }

    /// Compares every key with the table and says what it does.
    pub(crate) fn judge(&self, table: &Table, name: &str, report: &mut Report) {
        for entry in self.entries {
            let path = self.path_of(&entry.key);
            match table.ask(name, &entry.key) {
                Answer::Known(known) => {
                    let off = is_off(&entry.value);
                    match known.state {
                        State::Honoured => {
                            report.state(&entry.place, &path, KeyState::Honoured, known.message);
                        }
                        State::Inactive if !off => {
                            let state = KeyState::AcceptedInactive;
                            report.state(&entry.place, &path, state, known.message);
                        }
                        State::Stops if !off => {
                            report.problem(&entry.place, &path, known.message);
                        }
                        State::StopsOff if off && !entry.value.is_null() => {
                            report.problem(&entry.place, &path, known.message);
                        }
                        State::Inactive | State::Stops | State::StopsOff => {
                            report.state(&entry.place, &path, KeyState::Honoured, "");
                        }
                    }
                }
                // A misspelt key that would have had an effect stops the start.
                Answer::Unknown(Some(near)) if near.matters => {
                    report.misspelt(&entry.place, &path, "unknown key", near.key);
                }
                Answer::Unknown(Some(near)) => {
                    let message = format!("did you mean `{}`?", near.key);
                    report.state(&entry.place, &path, KeyState::Unknown, message);
                }
                Answer::Unknown(None) => {
                    let message = table.home(&entry.key).map_or_else(String::new, |home| {
                        format!("this key belongs into `{home}`")
                    });
                    report.state(&entry.place, &path, KeyState::Unknown, message);
                }
            }
        }
    }

    /// Like [`Section::judge`] for a section of our own, where an unknown key is
    /// always a problem.
    pub(crate) fn judge_strictly(&self, table: &Table, name: &str, report: &mut Report) {
        let before = report.notes.len();
        self.judge(table, name, report);
        let unknown: Vec<_> = report
            .notes
            .iter()
            .skip(before)
            .filter(|note| note.state == Some(KeyState::Unknown))
            .map(|note| (note.place.clone(), note.path.clone()))
            .collect();
        for (place, path) in unknown {
            report.problem(&place, &path, "unknown key");
        }
    }

    /// A text. A plain boolean where a text is wanted is a problem, as its word
    /// is lost to other readers of the file.
    pub(crate) fn text(&self, key: &str, report: &mut Report) -> Option<&'n str> {
        let node = self.get(key)?;
        match &node.value {
            Value::Text(text) => Some(text),
            Value::Bool(..) => {
                let message = "expected a text, found a boolean; write it in quotes";
                report.problem(&node.place, &self.path_of(key), message);
                None
            }
            _ => self.expected("a text", node, key, report),
        }
    }

    /// A secret text. Whether it stands in the file itself is said elsewhere.
    pub(crate) fn secret(&self, key: &str, report: &mut Report) -> Option<Secret> {
        self.text(key, report).map(Secret::new)
    }

    /// A boolean: plain, or a text by the environment's rule.
    pub(crate) fn flag(&self, key: &str, report: &mut Report) -> Option<bool> {
        let node = self.get(key)?;
        match &node.value {
            Value::Bool(flag, _) => Some(*flag),
            Value::Text(text) => match boolean(text.trim()) {
                Some(flag) => Some(flag),
                None => self.expected("true or false", node, key, report),
            },
            _ => self.expected("true or false", node, key, report),
        }
    }

    /// A whole number from `least` on.
    pub(crate) fn whole(&self, key: &str, least: u64, report: &mut Report) -> Option<u64> {
        let node = self.get(key)?;
        let number = match &node.value {
            Value::Text(text) => text.trim().replace('_', "").parse::<u64>().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= least => Some(number),
            _ => {
                let wanted = format!("a whole number of at least {least}");
                self.expected(&wanted, node, key, report)
            }
        }
    }

    /// Like [`Section::whole`], for numbers that must fit 32 bits.
    pub(crate) fn count(&self, key: &str, least: u32, report: &mut Report) -> Option<u32> {
        let number = self.whole(key, u64::from(least), report)?;
        if let Ok(number) = u32::try_from(number) {
            return Some(number);
        }
        report.problem(&self.place_of(key), &self.path_of(key), "number too large");
        None
    }

    /// A time in seconds, above zero and at most a week.
    pub(crate) fn seconds(&self, key: &str, report: &mut Report) -> Option<Duration> {
        let node = self.get(key)?;
        let seconds = match &node.value {
            Value::Text(text) => text.trim().parse::<f64>().ok(),
            _ => None,
        };
        let most = 7.0 * 24.0 * 3_600.0;
        match seconds {
            Some(seconds) if seconds > 0.0 && seconds <= most => {
                Some(Duration::from_secs_f64(seconds))
            }
            _ => self.expected("seconds above 0, at most a week", node, key, report),
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
        report: &mut Report,
    ) -> Option<T> {
        let node = self.get(key)?;
        let found = match &node.value {
            Value::Text(text) | Value::Bool(_, text) => words
                .iter()
                .find(|(word, _)| word.eq_ignore_ascii_case(text.trim()))
                .map(|(_, choice)| *choice),
            _ => None,
        };
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let wanted = format!("one of {}", names.join(", "));
            return self.expected(&wanted, node, key, report);
        }
        found
    }

    /// The items of a list; a null is an empty list.
    pub(crate) fn list(&self, key: &str, report: &mut Report) -> &'n [Node] {
        let Some(node) = self.get(key) else {
            return &[];
        };
        if let Value::List(items) = &node.value {
            return items;
        }
        self.expected::<()>("a list", node, key, report);
        &[]
    }

    /// Texts of a list, or one text alone.
    pub(crate) fn texts(&self, key: &str, report: &mut Report) -> Vec<(&'n str, Place)> {
        let Some(node) = self.get(key) else {
            return Vec::new();
        };
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut texts = Vec::new();
        for item in items {
            match &item.value {
                Value::Text(text) => texts.push((text.as_str(), item.place.clone())),
                Value::Null => {}
                _ => {
                    self.expected::<()>("a text", item, key, report);
                }
            }
        }
        texts
    }

    /// Says that the value is of another kind. The value itself is not shown.
    fn expected<T>(&self, what: &str, node: &Node, key: &str, report: &mut Report) -> Option<T> {
        let path = self.path_of(key);
        let message = match (&node.origin, &node.value) {
            (Origin::Environment(name), _) => {
                format!("expected {what}; the environment variable {name} holds something else")
            }
            (Origin::File, Value::Text(_)) => format!("expected {what}"),
            (Origin::File, _) => format!("expected {what}, found {}", node.kind()),
        };
        report.problem(&node.place, &path, message);
        None
    }
}

/// A path with one more key. A key that is no plain name could be a value by
/// mistake and is not shown.
pub(crate) fn join(path: &str, key: &str) -> String {
    let plain = key.len() <= 64
        && !key.starts_with("sk-")
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./* ".contains(c));
    let key = if plain { key } else { "<key>" };
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Whether a value switches its key off.
fn is_off(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false, _) => true,
        Value::Text(text) => text.is_empty() || text.eq_ignore_ascii_case("false"),
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Bool(true, _) => false,
    }
}

#[cfg(test)]
#[path = "tests/reader.rs"]
mod tests;
