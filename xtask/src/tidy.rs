//! Rules of the repository that no compiler checks: direction of dependencies, purity of crates, shape of files, words
//! that must not appear, documents that must be true.
//!
//! Each rule is a function from plain data to problems, so that a test can hand it a project that breaks the rule.

pub mod docs;
pub mod graph;
pub mod text;

use std::fmt;
use std::path::Path;

use anyhow::Result;

/// The rules by name, in the order in which [`check`] runs them. Every name has a test that proves that it fires.
pub const RULES: &[&str] = &[
    "edges",
    "reach",
    "owners",
    "licences",
    "locked-packages",
    "std-purity",
    "module-head",
    "file-length",
    "words",
    "image-tags",
    "null-journal",
    "adr-numbers",
    "required-files",
    "links",
    "map",
    "cases",
];

/// A broken rule: which one, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// One of [`RULES`].
    pub rule: &'static str,
    /// A path relative to the root, with a line where there is one, or a crate name.
    pub place: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A problem of `rule` at `place`.
    pub fn new(rule: &'static str, place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            rule,
            place: place.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: [{}] {}", self.place, self.rule, self.message)
    }
}

/// Runs every rule over the checkout at `root` and returns all problems, sorted by rule and place.
///
/// # Errors
/// When the tree or `cargo metadata` cannot be read: then nothing was checked.
pub fn check(root: &Path) -> Result<Vec<Problem>> {
    let workspace = graph::Workspace::read(root)?;
    let tree = text::Tree::read(root)?;
    let mut problems = Vec::new();
    problems.extend(graph::edges(&workspace));
    problems.extend(graph::reach(&workspace));
    problems.extend(graph::owners(&workspace));
    problems.extend(graph::licences(&workspace, &graph::allowed_licences(&tree)));
    problems.extend(graph::locked_packages(&tree));
    problems.extend(text::std_purity(&tree));
    problems.extend(text::module_head(&tree));
    problems.extend(text::file_length(&tree));
    problems.extend(text::words(&tree));
    problems.extend(text::image_tags(&tree));
    problems.extend(text::null_journal(&tree));
    problems.extend(docs::adr_numbers(&tree));
    problems.extend(docs::required_files(&tree));
    problems.extend(docs::links(&tree));
    problems.extend(docs::map(&tree));
    problems.extend(docs::cases(&tree));
    problems.sort();
    Ok(problems)
}
