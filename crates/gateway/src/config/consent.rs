//! `sealgate.consent` and `sealgate.notices`: what counts as a consent, and what people are shown before they give one.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::files::Files;
use super::problems::Report;
use super::reader::Section;
use super::states::Table;

/// Most notices.
const MOST: usize = 1_000;

/// Longest purpose, version or language, in characters.
const LONGEST: usize = 60;

/// Longest text of a notice, in bytes.
const LONGEST_TEXT: usize = 64 * 1024;

/// What counts as a consent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConsentSettings {
    /// The word of a caller alone is no consent; it can still say no.
    pub registry_required: bool,
    /// An older consent does not count, and one without a date neither.
    pub max_age_days: Option<u64>,
    /// The notices, in the order of the file: the last version of a purpose is the one in force.
    pub notices: Vec<Notice>,
}

/// A text that people are shown before they agree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// What for.
    pub purpose: String,
    /// Its version, as the operator counts.
    pub version: String,
    /// Its language, such as `en`.
    pub language: String,
    /// The text.
    pub text: String,
    /// SHA-256 of the text, in hexadecimal.
    pub digest: String,
}

impl ConsentSettings {
    /// The version in force for a purpose.
    #[must_use]
    pub fn current(&self, purpose: &str) -> Option<&str> {
        let of = self
            .notices
            .iter()
            .rev()
            .find(|notice| notice.purpose == purpose);
        of.map(|notice| notice.version.as_str())
    }

    /// Whether there is a notice of a purpose in this version, and in this language where one is named.
    #[must_use]
    pub fn knows(&self, purpose: &str, version: &str, language: Option<&str>) -> bool {
        self.notices.iter().any(|notice| {
            notice.purpose == purpose
                && notice.version == version
                && language.is_none_or(|language| notice.language == language)
        })
    }
}

/// Reads both.
pub(super) fn read(
    root: &Section<'_>,
    table: &Table,
    source: (&Path, &dyn Files),
    report: &mut Report,
) -> ConsentSettings {
    let sealgate = root.section("sealgate", report);
    let section = sealgate.section("consent", report);
    section.judge_strictly(table, "sealgate.consent", report);
    let words = [("optional", false), ("required", true)];
    let registry_required = section.choice("registry", &words, report);
    let max_age_days = section.whole("max_age_days", 1, report);
    let mut notices: Vec<Notice> = Vec::new();
    let items = sealgate.list("notices", report);
    if items.len() > MOST {
        let (place, path) = (sealgate.place_of("notices"), sealgate.path_of("notices"));
        report.problem(&place, &path, format!("at most {MOST} notices"));
    }
    for (index, node) in items.iter().take(MOST).enumerate() {
        let path = format!("{}[{index}]", sealgate.path_of("notices"));
        let entry = Section::of(Some(node), path, &sealgate.place, report);
        entry.judge_strictly(table, "sealgate.notices", report);
        let Some(notice) = one(&entry, source, report) else {
            continue;
        };
        let same = |other: &Notice| {
            (&other.purpose, &other.version, &other.language)
                == (&notice.purpose, &notice.version, &notice.language)
        };
        if notices.iter().any(same) {
            let message = "another notice has this purpose, version and language";
            report.problem(&entry.place, &entry.path, message);
            continue;
        }
        notices.push(notice);
    }
    ConsentSettings {
        registry_required: registry_required.unwrap_or(false),
        max_age_days,
        notices,
    }
}

fn one(
    entry: &Section<'_>,
    (folder, files): (&Path, &dyn Files),
    report: &mut Report,
) -> Option<Notice> {
    let [purpose, version, language] =
        ["purpose", "version", "language"].map(|key| named(entry, key, report));
    let written = entry.text("text", report).map(str::to_owned);
    let file = entry.text("file", report);
    let text = match (written, file) {
        (Some(text), None) => Some(text),
        (None, Some(name)) => match files.read(&folder.join(name)) {
            Ok(bytes) => String::from_utf8(bytes).ok().or_else(|| {
                let (place, path) = (entry.place_of("file"), entry.path_of("file"));
                report.problem(&place, &path, "the file is not UTF-8");
                None
            }),
            Err(error) => {
                let message = format!("cannot read `{name}`: {}", error.kind());
                report.problem(&entry.place_of("file"), &entry.path_of("file"), message);
                None
            }
        },
        _ => {
            let message = "a notice has either text or file";
            report.problem(&entry.place, &entry.path, message);
            None
        }
    };
    let text = text?;
    if text.trim().is_empty() || text.len() > LONGEST_TEXT {
        let message = "expected a text of at most 64 KiB";
        report.problem(&entry.place, &entry.path, message);
        return None;
    }
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    Some(Notice {
        purpose: purpose?,
        version: version?,
        language: language?,
        digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        text,
    })
}

/// Whether a text can name a purpose, a version or a language.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !text.is_empty() && text.len() <= LONGEST && text.chars().all(plain)
}

fn named(entry: &Section<'_>, key: &str, report: &mut Report) -> Option<String> {
    let text = entry.text(key, report).unwrap_or_default();
    if !is_name(text) {
        let message = "expected 1 to 60 letters, digits and - _ .";
        report.problem(&entry.place_of(key), &entry.path_of(key), message);
        return None;
    }
    Some(text.to_owned())
}
