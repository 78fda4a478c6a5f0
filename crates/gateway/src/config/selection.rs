//! Which calls a guardrail runs for, beside those that name it: by tag, team, model group and bound agent.

use super::guardrails::{Modes, mode};
use super::problems::Report;
use super::reader::Section;
use super::yaml::Value;

/// Calls that select a guardrail without naming it. Each list alone selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Tags of the request, its key or its team.
    pub tags: Vec<String>,
    /// Ids or aliases of teams.
    pub teams: Vec<String>,
    /// Model groups, as clients name them.
    pub models: Vec<String>,
    /// Agents that a key is bound to.
    pub agents: Vec<String>,
    /// Modes by tag of the request, its key or its team, instead of the guardrail's own; a tag selects, too.
    pub modes: Vec<(String, Modes)>,
}

impl Selection {
    /// Whether the tags of a call have to be known.
    #[must_use]
    pub fn by_tag(&self) -> bool {
        !self.tags.is_empty() || !self.modes.is_empty()
    }
}

/// Reads `apply_to` and the tags of `mode`.
pub(super) fn read(params: &Section<'_>, report: &mut Report) -> Selection {
    let mut selection = Selection::default();
    let section = params.section("apply_to", report);
    for entry in section.entries() {
        let list = match entry.key.as_str() {
            "tags" => &mut selection.tags,
            "teams" => &mut selection.teams,
            "models" => &mut selection.models,
            "agents" => &mut selection.agents,
            _ => {
                let path = section.path_of(&entry.key);
                report.problem(
                    &entry.place,
                    &path,
                    "unknown key; write tags, teams, models or agents",
                );
                continue;
            }
        };
        let names = section.texts(&entry.key, report);
        list.extend(names.into_iter().map(|(name, _)| name.to_owned()));
    }
    selection
}

/// `mode: {tags: {tag: mode}, default: mode}`: the default, and the modes by tag.
pub(super) fn modes_by_tag(
    params: &Section<'_>,
    report: &mut Report,
) -> Option<(Modes, Vec<(String, Modes)>)> {
    let node = params.get("mode")?;
    let Value::Map(_) = &node.value else {
        return None;
    };
    let section = params.section("mode", report);
    for entry in section.entries() {
        if !["tags", "default"].contains(&entry.key.as_str()) {
            let path = section.path_of(&entry.key);
            report.problem(&entry.place, &path, "unknown key; write tags or default");
        }
    }
    let of = |section: &Section<'_>, key: &str, report: &mut Report| {
        let mut modes = Modes::default();
        let path = section.path_of(key);
        for (word, place) in section.texts(key, report) {
            mode(word, &mut modes, &place, &path, report);
        }
        modes
    };
    let default = of(&section, "default", report);
    let tags = section.section("tags", report);
    let by_tag = tags
        .entries()
        .iter()
        .map(|entry| (entry.key.clone(), of(&tags, &entry.key, report)));
    Some((default, by_tag.collect()))
}
