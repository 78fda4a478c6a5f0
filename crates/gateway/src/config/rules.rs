//! `sealgate.rules`: what must or must not hold for a call, in CEL.

use policy::rules::{Rule, Source};

use super::problems::Report;
use super::reader::Section;
use super::states::Table;

/// Most rules.
const MOST: usize = 100;

/// Reads the rules; one that cannot be compiled stops the start.
pub(super) fn read(section: &Section<'_>, table: &Table, report: &mut Report) -> Vec<Source> {
    let mut found: Vec<Source> = Vec::new();
    let items = section.list("rules", report);
    if items.len() > MOST {
        let (place, path) = (section.place_of("rules"), section.path_of("rules"));
        report.problem(&place, &path, format!("at most {MOST} rules"));
    }
    for (index, node) in items.iter().take(MOST).enumerate() {
        let path = format!("{}[{index}]", section.path_of("rules"));
        let entry = Section::of(Some(node), path, &section.place, report);
        entry.judge_strictly(table, "sealgate.rules", report);
        let mut text = |key: &str| entry.text(key, report).map(str::to_owned);
        let (name, when) = (text("name"), text("when"));
        let (require, deny) = (text("require"), text("deny"));
        let name = name.unwrap_or_default();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
        if name.is_empty() || name.len() > 60 || !name.chars().all(plain) {
            let message = "expected a name of 1 to 60 letters, digits, spaces and - _ .";
            report.problem(&entry.place_of("name"), &entry.path_of("name"), message);
            continue;
        }
        if found.iter().any(|other| other.name == name) {
            let message = "another rule has this name";
            report.problem(&entry.place_of("name"), &entry.path_of("name"), message);
            continue;
        }
        let source = Source {
            name,
            when,
            require,
            deny,
        };
        match Rule::compile(&source) {
            Ok(_) => found.push(source),
            Err(error) => {
                let (place, path) = (entry.place_of(error.field), entry.path_of(error.field));
                report.problem(&place, &path, error.reason);
            }
        }
    }
    found
}
