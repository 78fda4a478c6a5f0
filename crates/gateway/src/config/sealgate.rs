//! `sealgate:`, the section that is ours. An unknown key in it stops the start.

use std::path::{Path, PathBuf};

use super::content::{self, ContentMode, ContentSettings};
use super::egress::Egress;
use super::env::Variables;
use super::problems::{Report, Severity};
use super::reader::Section;
use super::states::Table;

/// What happens to calls that select a check that is not built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InactiveChecks {
    /// They answer 503 `check_not_available`.
    Refuse,
    /// They pass; each is counted and its record says `not_run`.
    Pass,
}

/// How `prompt_hash` is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PromptHash {
    /// With the ledger's digest key.
    Keyed,
    /// Without a key, as the reference logger does.
    Reference,
}

/// What happens to parts of a request that no check can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpaqueParts {
    /// A call with such a part is refused when checks are selected.
    Block,
    /// As `Block`, but what a provider has signed or encrypted itself goes back to it: signatures of thoughts, encrypted
    /// reasoning and search results. Agents send these with every turn.
    PassReasoning,
    /// The part passes and is recorded as not inspected.
    Pass,
}

/// What providers are asked to keep of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProviderRetention {
    /// What the request says.
    Default,
    /// Nothing: `store: false` and the like are forced.
    None,
}

/// Whether the master key may call models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MasterKeyUse {
    /// Yes.
    Allow,
    /// Yes; each use is counted and said once.
    Warn,
    /// No.
    Deny,
}

/// The section, without limits.
pub(super) struct Sealgate {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) content_mode: ContentMode,
    pub(super) content: ContentSettings,
    pub(super) rules: Vec<policy::rules::Source>,
    pub(super) domain: String,
    pub(super) seal_before_answer: bool,
    pub(super) strict_fields: bool,
    pub(super) inactive_checks: InactiveChecks,
    pub(super) prompt_hash: PromptHash,
    pub(super) opaque_parts: OpaqueParts,
    pub(super) provider_retention: ProviderRetention,
    pub(super) master_key_on_llm_routes: MasterKeyUse,
    pub(super) egress: Egress,
    pub(super) post_quantum: bool,
    pub(super) watch_config: bool,
}

/// The longest domain that a record takes, in characters.
const MAX_DOMAIN: usize = 50;

/// Reads the section. `folder` is where relative paths start.
pub(super) fn read(
    root: &Section<'_>,
    folder: &Path,
    variables: &Variables<'_>,
    table: &Table,
    report: &mut Report,
) -> Sealgate {
    let section = root.section("sealgate", report);
    section.judge_strictly(table, "sealgate", report);
    let egress = section.section("egress", report);
    egress.judge_strictly(table, "sealgate.egress", report);
    let inactive = [
        ("refuse", InactiveChecks::Refuse),
        ("pass", InactiveChecks::Pass),
    ];
    let inactive_checks = section.choice("inactive_checks", &inactive, report);
    if inactive_checks == Some(InactiveChecks::Pass) {
        let message =
            "calls pass although checks they select are not built; each record says not_run";
        opens(&section, "inactive_checks", message, report);
    }
    let opaque = [
        ("block", OpaqueParts::Block),
        ("pass_reasoning", OpaqueParts::PassReasoning),
        ("pass", OpaqueParts::Pass),
    ];
    let opaque_parts = section.choice("opaque_parts", &opaque, report);
    let opened = match opaque_parts {
        Some(OpaqueParts::Pass) => {
            Some("parts that no check can read pass; each record says not inspected")
        }
        Some(OpaqueParts::PassReasoning) => {
            Some("reasoning that a provider has encrypted passes; each record says not inspected")
        }
        Some(OpaqueParts::Block) | None => None,
    };
    if let Some(message) = opened {
        opens(&section, "opaque_parts", message, report);
    }
    let hashes = [
        ("keyed", PromptHash::Keyed),
        ("reference", PromptHash::Reference),
    ];
    let retention = [
        ("default", ProviderRetention::Default),
        ("none", ProviderRetention::None),
    ];
    let master = [
        ("allow", MasterKeyUse::Allow),
        ("warn", MasterKeyUse::Warn),
        ("deny", MasterKeyUse::Deny),
    ];
    Sealgate {
        data_dir: data_dir(&section, folder, variables, report),
        content_mode: content::mode(root, &section, report),
        content: content::read(&section, &root.section("general_settings", report), report),
        rules: super::rules::read(&section, table, report),
        domain: domain(&section, report),
        seal_before_answer: section.flag("seal_before_answer", report).unwrap_or(false),
        strict_fields: section.flag("strict_fields", report).unwrap_or(false),
        inactive_checks: inactive_checks.unwrap_or(InactiveChecks::Refuse),
        prompt_hash: section
            .choice("prompt_hash", &hashes, report)
            .unwrap_or(PromptHash::Keyed),
        opaque_parts: opaque_parts.unwrap_or(OpaqueParts::Block),
        provider_retention: section
            .choice("provider_retention", &retention, report)
            .unwrap_or(ProviderRetention::Default),
        master_key_on_llm_routes: section
            .choice("master_key_on_llm_routes", &master, report)
            .unwrap_or(MasterKeyUse::Warn),
        egress: Egress::read(&egress, report),
        post_quantum: section.flag("post_quantum", report).unwrap_or(false),
        watch_config: section.flag("watch_config", report).unwrap_or(false),
    }
}

/// Names a switch that opens something.
fn opens(section: &Section<'_>, key: &str, message: &str, report: &mut Report) {
    let (place, path) = (section.place_of(key), section.path_of(key));
    report.note(Severity::Warning, &place, &path, message);
}

fn data_dir(
    section: &Section<'_>,
    folder: &Path,
    variables: &Variables<'_>,
    report: &mut Report,
) -> Option<PathBuf> {
    if let Some(dir) = section.text("data_dir", report) {
        return Some(folder.join(dir));
    }
    ["SEALGATE_DATA_DIR", "QUANTUMPIPES_DATA_DIR"]
        .into_iter()
        .find_map(|name| variables.get(name))
        .map(PathBuf::from)
}

fn domain(section: &Section<'_>, report: &mut Report) -> String {
    let domain = section.text("domain", report).unwrap_or("chat");
    let count = domain.chars().count();
    if count == 0 || count > MAX_DOMAIN || domain.chars().any(char::is_control) {
        let (place, path) = (section.place_of("domain"), section.path_of("domain"));
        report.problem(&place, &path, "expected 1 to 50 characters");
        return "chat".to_owned();
    }
    domain.to_owned()
}
