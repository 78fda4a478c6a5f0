//! `config check --checklist`: the twenty points of the usual hardening checklist, judged by what the configuration says.

use super::Config;
use super::content::ContentMode;
use super::problems::Severity;
use super::sealgate::MasterKeyUse;

/// What can be said about a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is so.
    Pass,
    /// It is not, or only in part.
    Warn,
    /// There is nothing to judge, or it is outside of what a gateway can see.
    NotApplicable,
}

impl Verdict {
    /// The verdict in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// One point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The group: authentication, network, data, compliance, monitoring.
    pub group: &'static str,
    /// What should be so.
    pub name: &'static str,
    /// Whether it is.
    pub verdict: Verdict,
    /// Why, and what to do.
    pub detail: String,
}

type Judged = (&'static str, Verdict, String);

/// The twenty points, group by group.
#[must_use]
pub fn checklist(config: &Config) -> Vec<Point> {
    let groups = [
        ("authentication", authentication(config)),
        ("network", network(config)),
        ("data", data(config)),
        ("compliance", compliance(config)),
        ("monitoring", monitoring(config)),
    ];
    let points = groups.into_iter().flat_map(|(group, points)| {
        points
            .into_iter()
            .map(move |(name, verdict, detail)| Point {
                group,
                name,
                verdict,
                detail,
            })
    });
    points.collect()
}

/// The checklist for people.
#[must_use]
pub fn checklist_text(config: &Config) -> String {
    let (points, mut out, mut group) = (checklist(config), String::from("checklist:\n"), "");
    for point in &points {
        if point.group != group {
            group = point.group;
            out.push_str(&format!("  {group}\n"));
        }
        let (verdict, name, detail) = (point.verdict.as_str(), point.name, &point.detail);
        out.push_str(&format!("    {verdict:<14} {name}: {detail}\n"));
    }
    let count = |verdict| {
        points
            .iter()
            .filter(|point| point.verdict == verdict)
            .count()
    };
    out.push_str(&format!(
        "  {} pass, {} warn, {} not applicable\n",
        count(Verdict::Pass),
        count(Verdict::Warn),
        count(Verdict::NotApplicable),
    ));
    out
}

fn pass(name: &'static str, detail: impl Into<String>) -> Judged {
    (name, Verdict::Pass, detail.into())
}

fn warn(name: &'static str, detail: impl Into<String>) -> Judged {
    (name, Verdict::Warn, detail.into())
}

fn outside(name: &'static str, detail: impl Into<String>) -> Judged {
    (name, Verdict::NotApplicable, detail.into())
}

fn authentication(config: &Config) -> [Judged; 4] {
    let keys = "virtual keys with limits";
    [
        pass(
            "strong master key",
            "at least 128 bits by estimate, else there is no start",
        ),
        match config.master_key_on_llm_routes {
            MasterKeyUse::Deny => pass(keys, "the master key may not call models"),
            MasterKeyUse::Allow | MasterKeyUse::Warn => warn(
                keys,
                "the master key has no limits and may call models; give each service a key of its own and set sealgate.master_key_on_llm_routes: deny",
            ),
        },
        outside(
            "single sign-on for the console",
            "this version has no console",
        ),
        outside(
            "second factor for administrators",
            "this version has no console",
        ),
    ]
}

fn network(config: &Config) -> [Judged; 4] {
    let (tls, loopback) = ("TLS", config.listen.ip().is_loopback());
    let bare = config
        .notes
        .iter()
        .any(|note| note.path == "host" && note.severity == Severity::Failing);
    let allowed = config.egress.lines().join(", ");
    [
        match (&config.tls, bare, loopback) {
            (Some(files), _, _) if files.http2 => pass(tls, "HTTP/2 and HTTP/1.1 over TLS"),
            (Some(_), _, _) => pass(tls, "HTTP/1.1 over TLS"),
            (None, true, _) => warn(
                tls,
                "plain HTTP off this machine: set sealgate.tls, or end TLS in a proxy and name it in general_settings.trusted_proxy_ranges",
            ),
            (None, false, true) => pass(tls, "not needed: it listens on this machine alone"),
            (None, false, false) => pass(tls, "ended in the proxy that trusted_proxy_ranges names"),
        },
        match loopback {
            true => pass("firewall rules", "it listens on this machine alone"),
            false => outside("firewall rules", "cannot be seen from here"),
        },
        match allowed.is_empty() {
            true => pass("network policies", "no inner address may be called"),
            false => pass(
                "network policies",
                format!("inner addresses that may be called: {allowed}"),
            ),
        },
        floods(config),
    ]
}

fn floods(config: &Config) -> Judged {
    let limits = &config.limits;
    let says = format!(
        "at most {} connections and {} calls at a time, heads and bodies have deadlines",
        limits.max_connections, limits.max_parallel
    );
    let name = "protection against floods";
    match (limits.requests_per_address, limits.connections_per_address) {
        (Some(rate), Some(open)) => pass(
            name,
            format!("{says}; of one address {open} connections and {rate} requests a second"),
        ),
        _ => warn(
            name,
            format!(
                "{says}; set sealgate.limits.requests_per_address and connections_per_address, or limit addresses in a proxy in front"
            ),
        ),
    }
}

fn data(config: &Config) -> [Judged; 4] {
    let literal: Vec<String> = config
        .notes
        .iter()
        .filter(|note| note.message.contains("literal"))
        .map(|note| format!("{} {}", note.place, note.path))
        .collect();
    let checks: Vec<&str> = config
        .guardrails
        .iter()
        .filter(|check| check.default_on && check.missing.is_empty())
        .map(|check| check.name.as_str())
        .collect();
    [
        match config.content_mode {
            ContentMode::Hash => outside(
                "database encryption",
                "the ledger holds digests, no content; whether its volume is encrypted cannot be seen from here",
            ),
            ContentMode::Masked | ContentMode::Encrypted => pass(
                "database encryption",
                "content is encrypted for its subject; keep `content.key` and `content-keys` apart from the database and its backups",
            ),
            ContentMode::Full => warn(
                "database encryption",
                "records hold prompts and answers in clear: encrypt the volume of the data directory, or use content mode hash",
            ),
        },
        match literal.is_empty() {
            true => pass("secrets outside of the file", "no literal secret in it"),
            false => warn(
                "secrets outside of the file",
                format!("literal secrets: {}", literal.join(", ")),
            ),
        },
        match checks.is_empty() {
            false => pass(
                "checks of content",
                format!("on every call: {}", checks.join(", ")),
            ),
            true => warn(
                "checks of content",
                "no check runs on every call (guardrails with default_on: true)",
            ),
        },
        outside(
            "encrypted backups",
            "cannot be seen from here; back up `key` and `digest.key` apart from the database",
        ),
    ]
}

fn compliance(config: &Config) -> [Judged; 4] {
    [
        pass(
            "audit log",
            "every call is sealed; sealgate verify checks the ledger",
        ),
        match (config.content.retention, config.content_mode.is_sealed()) {
            (Some(run), true) => pass(
                "retention",
                format!(
                    "content lives {} days; records and commitments stay",
                    run.keep.as_secs() / 86_400
                ),
            ),
            (_, false) if config.content_mode == ContentMode::Hash => {
                pass("retention", "no content is kept")
            }
            (Some(_), false) => warn(
                "retention",
                "content in clear stands in the records and stays: use content mode masked or encrypted",
            ),
            (None, _) => warn(
                "retention",
                "content is kept for ever: set general_settings.maximum_spend_logs_retention_period",
            ),
        },
        outside("agreements with providers", "cannot be seen from here"),
        outside("privacy notice", "cannot be seen from here"),
    ]
}

fn monitoring(config: &Config) -> [Judged; 4] {
    let metrics = match config.metrics_need_key {
        true => "scrape /metrics with a key and alert there",
        false => "scrape /metrics and alert there; it is readable without a key",
    };
    [
        warn(
            "alerts",
            format!("none are sent by this version; {metrics}"),
        ),
        outside(
            "watching the audit log",
            "run capsule verify --checkpoint on another machine, on a schedule",
        ),
        outside(
            "plan for incidents",
            "cannot be seen from here; docs/operating.md has the commands",
        ),
        outside(
            "regular audits",
            "cannot be seen from here; capsule export makes evidence bundles",
        ),
    ]
}

#[cfg(test)]
#[path = "tests/checklist.rs"]
mod tests;
