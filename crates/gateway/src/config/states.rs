//! Every key we know and what it does here: the table in `keys.txt`.

use std::collections::BTreeMap;

use super::suggest;

/// What a known key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has its effect.
    Honoured,
    /// It has no effect yet, and that is said.
    Inactive,
    /// It stops the start: accepting it would promise what is not done.
    Stops,
    /// It stops the start when it is switched off: the protection stays on here.
    StopsOff,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) state: State,
    /// Why, or what is done instead; may be empty.
    pub(super) message: &'static str,
}

/// What the table says about a key.
pub(super) enum Answer {
    Known(Known),
    /// Not in the table; the known key it looks like, if any, and whether that
    /// key has an effect.
    Unknown(Option<Near>),
}

/// The known key that an unknown one looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Near {
    pub(super) key: &'static str,
    /// Whether the key does something: missing it then changes what happens.
    pub(super) matters: bool,
}

/// The table, by section.
pub(crate) struct Table(BTreeMap<&'static str, BTreeMap<&'static str, Known>>);

const KEYS: &str = include_str!("keys.txt");

impl Table {
    /// Reads the table. Lines: `[section]`, `key = state` or `key = state: message`.
    /// A key that ends in `*` stands for all that begin so. `[name < other]` begins with the keys of `other`, which stands
    /// before it.
    pub(super) fn new() -> Self {
        let mut sections: BTreeMap<&str, BTreeMap<&str, Known>> = BTreeMap::new();
        let mut current = "";
        for line in KEYS.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                let (name, parent) = name.split_once(" < ").unwrap_or((name, ""));
                current = name;
                if let Some(keys) = sections.get(parent).cloned() {
                    sections.entry(name).or_default().extend(keys);
                }
                continue;
            }
            let Some((keys, rest)) = line.split_once('=') else {
                continue;
            };
            let (state, message) = rest.split_once(':').unwrap_or((rest, ""));
            let Some(state) = state_of(state.trim()) else {
                continue;
            };
            let message = message.trim();
            let section = sections.entry(current).or_default();
            for key in keys.split_whitespace() {
                section.insert(key, Known { state, message });
            }
        }
        Self(sections)
    }

    /// What a key of a section does.
    pub(super) fn ask(&self, section: &str, key: &str) -> Answer {
        let Some(keys) = self.0.get(section) else {
            return Answer::Unknown(None);
        };
        let starred = || {
            keys.iter().find_map(|(name, known)| {
                let start = name.strip_suffix('*')?;
                key.starts_with(start).then_some(known)
            })
        };
        match keys.get(key).or_else(starred) {
            Some(known) => Answer::Known(*known),
            None => {
                let plain = keys.keys().copied().filter(|name| !name.ends_with('*'));
                Answer::Unknown(suggest::nearest(key, plain).map(|key| {
                    Near {
                        key,
                        matters: keys
                            .get(key)
                            .is_some_and(|known| known.state != State::Inactive),
                    }
                }))
            }
        }
    }

    /// The keys of a section.
    #[cfg(test)]
    pub(super) fn keys(&self, section: &str) -> impl Iterator<Item = &'static str> {
        self.0
            .get(section)
            .into_iter()
            .flat_map(|keys| keys.keys().copied())
    }

    /// The section in which a key is known, for a key that stands in the wrong one.
    pub(super) fn home(&self, key: &str) -> Option<&'static str> {
        const SETTINGS: [&str; 3] = ["general_settings", "litellm_settings", "router_settings"];
        SETTINGS.into_iter().find(|section| {
            self.0
                .get(section)
                .is_some_and(|keys| keys.contains_key(key))
        })
    }
}

fn state_of(word: &str) -> Option<State> {
    match word {
        "honoured" => Some(State::Honoured),
        "inactive" => Some(State::Inactive),
        "stops" => Some(State::Stops),
        "stops-off" => Some(State::StopsOff),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, KEYS, State, Table, state_of};

    #[test]
    fn every_line_of_the_table_is_readable() {
        let mut seen = std::collections::BTreeSet::new();
        let mut section = String::new();
        for line in KEYS.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.starts_with('[') {
                section = line.to_owned();
                continue;
            }
            let (keys, rest) = line.split_once('=').expect(line);
            let (state, message) = rest.split_once(':').unwrap_or((rest, ""));
            assert!(state_of(state.trim()).is_some(), "{line}");
            let silent = state_of(state.trim()) == Some(State::Honoured);
            assert!(silent || !message.trim().is_empty(), "no reason: {line}");
            for key in keys.split_whitespace() {
                assert!(
                    seen.insert((section.clone(), key.to_owned())),
                    "twice: {section} {key}"
                );
            }
        }
        assert!(seen.len() > 300);
    }

    #[test]
    fn keys_are_known_exactly_by_star_and_by_likeness() {
        let table = Table::new();
        let known = |section, key| matches!(table.ask(section, key), Answer::Known(_));
        assert!(known("general_settings", "master_key"));
        assert!(known("litellm_params", "aws_region_name"));
        assert!(!known("general_settings", "nonsense"));
        let near = |section, key| match table.ask(section, key) {
            Answer::Unknown(near) => near.map(|near| (near.key, near.matters)),
            Answer::Known(_) => None,
        };
        assert_eq!(
            near("general_settings", "mastre_key"),
            Some(("master_key", true))
        );
        assert_eq!(
            near("general_settings", "alertting"),
            Some(("alerting", false))
        );
        assert_eq!(table.home("drop_params"), Some("litellm_settings"));
        assert_eq!(table.home("nonsense"), None);
    }
}
