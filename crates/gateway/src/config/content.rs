//! What is kept of calls' texts, whose they are, and how long.

use std::time::Duration;

use policy::budget::Period;

use super::problems::{KeyState, Report, Severity};
use super::reader::Section;

/// What a record keeps of a call's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentMode {
    /// Keyed digests only.
    Hash,
    /// The text as the checks left it, personal data and secrets masked, encrypted for its subject.
    Masked,
    /// The text as it came, encrypted for its subject.
    Encrypted,
    /// Everything, in clear.
    Full,
}

impl ContentMode {
    /// The name in configurations and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Masked => "masked",
            Self::Encrypted => "encrypted",
            Self::Full => "full",
        }
    }

    /// Whether text is kept, encrypted.
    #[must_use]
    pub fn is_sealed(self) -> bool {
        matches!(self, Self::Masked | Self::Encrypted)
    }
}

/// Whose content a call's is. What a call has not is replaced by the next of end user, user, key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum SubjectOf {
    /// The end user whom the request names (`user`), else the key's user, else the key.
    #[default]
    EndUser,
    /// The key's user, else the key.
    User,
    /// The key.
    Key,
    /// A member of the request's `metadata`.
    Metadata(String),
}

/// How long content lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RetentionSettings {
    /// From the call's arrival on.
    pub keep: Duration,
    /// Between two runs.
    pub interval: Duration,
}

/// The settings beside the mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContentSettings {
    /// Whose it is.
    pub subject: SubjectOf,
    /// How long it lives; for ever without.
    pub retention: Option<RetentionSettings>,
}

const DAY: u64 = 86_400;

/// Most days of retention: ten years.
const MOST_DAYS: u64 = 3_660;

/// `sealgate.content_mode`, unless a LiteLLM setting asks for less: what hides content wins.
pub(super) fn mode(root: &Section<'_>, section: &Section<'_>, report: &mut Report) -> ContentMode {
    let (place, path) = (
        section.place_of("content_mode"),
        section.path_of("content_mode"),
    );
    let given = section.text("content_mode", report);
    let mode = match given {
        None | Some("masked") => ContentMode::Masked,
        Some("hash") => ContentMode::Hash,
        Some("encrypted") => ContentMode::Encrypted,
        Some("full") => {
            let message = "records hold prompts and answers in clear";
            report.note(Severity::Warning, &place, &path, message);
            ContentMode::Full
        }
        Some(_) => {
            let message = "expected one of hash, masked, encrypted, full";
            report.problem(&place, &path, message);
            ContentMode::Hash
        }
    };
    for name in ["general_settings", "litellm_settings"] {
        let settings = root.section(name, report);
        for key in ["redact_messages_in_logs", "turn_off_message_logging"] {
            let on = settings.get(key).is_some() && settings.flag(key, report) == Some(true);
            if on && mode != ContentMode::Hash {
                if given.is_some() {
                    let message = format!("`{}` wins: content mode hash", settings.path_of(key));
                    report.state(&place, &path, KeyState::AcceptedInactive, message);
                }
                return ContentMode::Hash;
            }
        }
    }
    mode
}

/// `sealgate.content_subject` and LiteLLM's keys of retention.
pub(super) fn read(
    section: &Section<'_>,
    general: &Section<'_>,
    report: &mut Report,
) -> ContentSettings {
    ContentSettings {
        subject: subject(section, report),
        retention: retention(general, report),
    }
}

fn subject(section: &Section<'_>, report: &mut Report) -> SubjectOf {
    const KEY: &str = "content_subject";
    match section.text(KEY, report) {
        None | Some("end_user") => SubjectOf::EndUser,
        Some("user") => SubjectOf::User,
        Some("key") => SubjectOf::Key,
        Some(other) => match other.strip_prefix("metadata.") {
            Some(name) if !name.is_empty() && name.len() <= 100 => {
                SubjectOf::Metadata(name.to_owned())
            }
            _ => {
                let message = "expected end_user, user, key or metadata.NAME";
                report.problem(&section.place_of(KEY), &section.path_of(KEY), message);
                SubjectOf::EndUser
            }
        },
    }
}

fn retention(general: &Section<'_>, report: &mut Report) -> Option<RetentionSettings> {
    let interval = span(general, "maximum_spend_logs_retention_interval", report)
        .unwrap_or(Duration::from_secs(DAY));
    let real = span(general, "maximum_spend_logs_retention_period", report);
    let alias = general.whole("log_retention_days", 1, report);
    if alias.is_some_and(|days| days > MOST_DAYS) {
        let (place, path) = (
            general.place_of("log_retention_days"),
            general.path_of("log_retention_days"),
        );
        report.problem(&place, &path, "at most 3660 days");
    }
    let alias = alias.map(|days| Duration::from_secs(days.min(MOST_DAYS) * DAY));
    // The shorter one is what the operator promised to somebody.
    let keep = match (real, alias) {
        (Some(real), Some(alias)) => real.min(alias),
        (real, alias) => real.or(alias)?,
    };
    Some(RetentionSettings { keep, interval })
}

/// A time such as `90d` or `12h`.
fn span(section: &Section<'_>, key: &str, report: &mut Report) -> Option<Duration> {
    section.get(key)?;
    let text = section.text(key, report)?;
    let seconds = match Period::parse(text) {
        Ok(Period::Seconds(seconds)) => u64::from(seconds),
        Ok(Period::Days(days)) => u64::from(days) * DAY,
        Ok(Period::Months(months)) => u64::from(months) * 30 * DAY,
        Err(error) => {
            let (place, path) = (section.place_of(key), section.path_of(key));
            report.problem(&place, &path, error.to_string());
            return None;
        }
    };
    Some(Duration::from_secs(seconds))
}
