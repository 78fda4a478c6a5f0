//! The dependency graph: which crate may use which, and what each must never reach.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use cargo_metadata::{DependencyKind, MetadataCommand, PackageId};

use super::Problem;
use super::text::Tree;

/// Most packages that Cargo.lock may hold, our own included. A larger number needs an ADR.
pub const MOST_LOCKED_PACKAGES: usize = 450;

/// Every workspace member and the members that it may use, in any dependency kind. No arrow points up.
pub const EDGES: &[(&str, &[&str])] = &[
    ("capsule", &[]),
    ("sealgate-llm", &[]),
    ("sealgate-guard", &[]),
    ("sealgate-policy", &["sealgate-llm"]),
    ("sealgate-ledger", &["capsule"]),
    (
        "sealgate-store",
        &["sealgate-ledger", "sealgate-policy", "capsule"],
    ),
    (
        "sealgate-gateway",
        &[
            "sealgate-store",
            "sealgate-ledger",
            "capsule",
            "sealgate-policy",
            "sealgate-guard",
            "sealgate-llm",
        ],
    ),
    (
        "sealgate",
        &[
            "sealgate-gateway",
            "sealgate-store",
            "sealgate-ledger",
            "capsule",
            "sealgate-policy",
            "sealgate-guard",
            "sealgate-llm",
        ],
    ),
    (
        "sealgate-bench",
        &[
            "sealgate",
            "sealgate-gateway",
            "sealgate-store",
            "sealgate-ledger",
            "capsule",
            "sealgate-policy",
            "sealgate-guard",
            "sealgate-llm",
        ],
    ),
    // A Python extension: it shares the gateway's file, and serves nothing.
    (
        "sealgate-litellm",
        &[
            "sealgate-store",
            "sealgate-ledger",
            "sealgate-guard",
            "capsule",
        ],
    ),
    // Drives the binaries as processes; reads their ledgers as an auditor would.
    (
        "sealgate-durability",
        &["sealgate-store", "sealgate-ledger", "capsule"],
    ),
    // Its tests compare documents with the tables that they describe.
    ("xtask", &["sealgate-policy"]),
];

/// Crates that do no IO of any kind: pure functions over their arguments.
pub const PURE: &[&str] = &[
    "capsule",
    "sealgate-llm",
    "sealgate-guard",
    "sealgate-policy",
];

/// Packages that a pure crate must not reach, however far away.
const IMPURE: &[&str] = &[
    "tokio",
    "mio",
    "async-std",
    "smol",
    "hyper",
    "hyper-util",
    "axum",
    "reqwest",
    "rusqlite",
    "libsqlite3-sys",
    "sqlx",
    "redis",
    "rustix",
    "socket2",
    "clap",
    "anyhow",
    "tracing-subscriber",
];

/// Packages that a pure crate must not name itself: clocks and randomness come in as arguments.
const CLOCKS_AND_DICE: &[&str] = &["getrandom", "rand", "rand_core", "chrono", "time"];

/// What else a crate must never reach.
const NEVER: &[(&str, &[&str])] = &[
    (
        "sealgate-ledger",
        &[
            "rusqlite",
            "libsqlite3-sys",
            "sqlx",
            "redis",
            "hyper",
            "axum",
            "http",
        ],
    ),
    ("sealgate-store", &["hyper", "axum", "http", "reqwest"]),
];

/// Heavy packages and their only owners. The bench and this crate are excepted.
const OWNED: &[(&str, &[&str])] = &[
    ("rusqlite", &["sealgate-store"]),
    ("libsqlite3-sys", &["sealgate-store"]),
    ("hyper", &["sealgate-gateway"]),
    ("hyper-util", &["sealgate-gateway"]),
    ("hyper-rustls", &["sealgate-gateway"]),
    ("axum", &["sealgate-gateway"]),
    ("clap", &["sealgate"]),
    ("anyhow", &["sealgate"]),
    ("pyo3", &["sealgate-litellm"]),
];

/// Crates that the owner rule leaves alone: they ship nothing.
const EXCEPTED: &[&str] = &["sealgate-bench", "xtask"];

/// A workspace member as the rules see it.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// Package name.
    pub name: String,
    /// Names of direct dependencies, normal and build.
    pub direct: BTreeSet<String>,
    /// Names of direct dependencies of tests.
    pub dev: BTreeSet<String>,
    /// Names of everything that is reached through normal and build dependencies.
    pub reached: BTreeSet<String>,
}

/// What `cargo metadata` says, reduced to what the rules need.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    /// The members.
    pub members: Vec<Member>,
    /// Licence expression of each package that is compiled for this platform; `None` where a package names none.
    pub licences: BTreeMap<String, Option<String>>,
}

impl Workspace {
    /// Reads the workspace at `root`, with the lock file as it is.
    ///
    /// # Errors
    /// When cargo fails, for example because the lock file is out of date.
    pub fn read(root: &Path) -> Result<Self> {
        // The platform filter keeps cargo from downloading packages of other systems, which no build needs.
        let mut options = vec!["--locked".to_owned()];
        if let Some(host) = host() {
            options.extend(["--filter-platform".to_owned(), host]);
        }
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .other_options(options)
            .exec()
            .context("cargo metadata failed")?;
        let names: BTreeMap<&PackageId, &str> = metadata
            .packages
            .iter()
            .map(|p| (&p.id, p.name.as_str()))
            .collect();
        let resolve = metadata
            .resolve
            .as_ref()
            .context("cargo metadata gave no resolved graph")?;
        let mut below: BTreeMap<&PackageId, Vec<&PackageId>> = BTreeMap::new();
        for node in &resolve.nodes {
            let kept = node.deps.iter().filter(|dep| {
                dep.dep_kinds
                    .iter()
                    .any(|k| k.kind != DependencyKind::Development)
            });
            below.insert(&node.id, kept.map(|dep| &dep.pkg).collect());
        }
        let mut members = Vec::new();
        for package in metadata.workspace_packages() {
            let named = |dev: bool| {
                let kept = package
                    .dependencies
                    .iter()
                    .filter(move |d| (d.kind == DependencyKind::Development) == dev);
                kept.map(|d| d.name.clone()).collect::<BTreeSet<_>>()
            };
            let reached = reachable(&package.id, &below);
            let reached = reached
                .iter()
                .filter_map(|id| names.get(id))
                .map(|name| (*name).to_owned())
                .collect();
            members.push(Member {
                name: package.name.to_string(),
                direct: named(false),
                dev: named(true),
                reached,
            });
        }
        let used: BTreeSet<&PackageId> = resolve.nodes.iter().map(|node| &node.id).collect();
        let compiled = metadata
            .packages
            .iter()
            .filter(|package| used.contains(&package.id));
        let licences = compiled
            .map(|p| (format!("{} {}", p.name, p.version), p.license.clone()))
            .collect();
        Ok(Self { members, licences })
    }
}

fn host() -> Option<String> {
    let output = std::process::Command::new("rustc")
        .arg("-vV")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
}

fn reachable<'a>(
    from: &'a PackageId,
    below: &BTreeMap<&'a PackageId, Vec<&'a PackageId>>,
) -> BTreeSet<&'a PackageId> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        for next in below.get(id).into_iter().flatten() {
            if seen.insert(*next) {
                open.push(next);
            }
        }
    }
    seen
}

/// No member uses another one than [`EDGES`] allows, and each member stands in that table.
pub fn edges(workspace: &Workspace) -> Vec<Problem> {
    let known: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    let mut problems = Vec::new();
    for member in &workspace.members {
        let Some(allowed) = known.get(member.name.as_str()) else {
            let message = "a new crate needs a line in the edge table and a reason in ARCHITECTURE.md section 2";
            problems.push(Problem::new("edges", &member.name, message));
            continue;
        };
        for used in member.direct.union(&member.dev) {
            let own = known.contains_key(used.as_str());
            if own && *used != member.name && !allowed.contains(&used.as_str()) {
                let message =
                    format!("uses {used}: this arrow is not in ARCHITECTURE.md section 2");
                problems.push(Problem::new("edges", &member.name, message));
            }
        }
    }
    problems
}

/// Pure crates reach no IO; the ledger reaches no SQL and no HTTP; the store reaches no HTTP.
pub fn reach(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for member in &workspace.members {
        let name = member.name.as_str();
        let pure = PURE.contains(&name);
        let mut never: Vec<&str> = if pure { IMPURE.to_vec() } else { Vec::new() };
        never.extend(
            NEVER
                .iter()
                .filter(|(who, _)| *who == name)
                .flat_map(|(_, what)| what.iter()),
        );
        for package in never {
            if member.reached.contains(package) || member.direct.contains(package) {
                problems.push(Problem::new(
                    "reach",
                    name,
                    format!("reaches {package}, which it must never know"),
                ));
            }
        }
        for package in CLOCKS_AND_DICE
            .iter()
            .filter(|p| pure && member.direct.contains(**p))
        {
            problems.push(Problem::new(
                "reach",
                name,
                format!("uses {package}: time and randomness are arguments here"),
            ));
        }
    }
    problems
}

/// A heavy package is named only by its owner.
pub fn owners(workspace: &Workspace) -> Vec<Problem> {
    let mut problems = Vec::new();
    for member in workspace
        .members
        .iter()
        .filter(|m| !EXCEPTED.contains(&m.name.as_str()))
    {
        for (package, who) in OWNED {
            if member.direct.contains(*package) && !who.contains(&member.name.as_str()) {
                let message = format!("uses {package}, which belongs to {}", who.join(", "));
                problems.push(Problem::new("owners", &member.name, message));
            }
        }
    }
    problems
}

/// The names in the `allow` list of deny.toml's licence section, so that there is one list.
pub fn allowed_licences(tree: &Tree) -> BTreeSet<String> {
    let text = tree.text("deny.toml").unwrap_or_default();
    let section = text.split("[licenses]").nth(1).unwrap_or_default();
    let list = section
        .split("allow = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next())
        .unwrap_or_default();
    list.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Every compiled package has a licence that deny.toml allows.
pub fn licences(workspace: &Workspace, allowed: &BTreeSet<String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (package, licence) in &workspace.licences {
        let fine = licence
            .as_deref()
            .is_some_and(|expression| satisfied(expression, allowed));
        if !fine {
            let shown = licence.as_deref().unwrap_or("none");
            problems.push(Problem::new(
                "licences",
                package,
                format!("licence {shown} is not allowed by deny.toml"),
            ));
        }
    }
    problems
}

/// Whether an SPDX expression can be met with `allowed`. Parentheses are read one level deep, `/` means `OR`.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ");
    let mut flat = String::new();
    let mut rest = expression.as_str();
    while let Some((before, after)) = rest.split_once('(') {
        let (inner, tail) = after.split_once(')').unwrap_or((after, ""));
        flat.push_str(before);
        flat.push_str(if either(inner, allowed) {
            "allowed"
        } else {
            "refused"
        });
        rest = tail;
    }
    flat.push_str(rest);
    either(&flat, allowed)
}

fn either(flat: &str, allowed: &BTreeSet<String>) -> bool {
    let met = |name: &str| name == "allowed" || allowed.contains(name);
    flat.split(" OR ")
        .any(|part| part.split(" AND ").all(|name| met(name.trim())))
}

/// Cargo.lock holds at most [`MOST_LOCKED_PACKAGES`] packages.
pub fn locked_packages(tree: &Tree) -> Vec<Problem> {
    let count = tree
        .text("Cargo.lock")
        .unwrap_or_default()
        .lines()
        .filter(|line| *line == "[[package]]")
        .count();
    if count == 0 {
        return vec![Problem::new(
            "locked-packages",
            "Cargo.lock",
            "is missing or empty: it is committed here",
        )];
    }
    if count > MOST_LOCKED_PACKAGES {
        let message =
            format!("{count} packages, at most {MOST_LOCKED_PACKAGES} are allowed without an ADR");
        return vec![Problem::new("locked-packages", "Cargo.lock", message)];
    }
    Vec::new()
}
