//! The documents: decision records are numbered, files that a reader expects exist, links and maps lead somewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;
use super::text::Tree;

/// Files that a reader of the repository expects, each with a text that it must hold.
const REQUIRED: &[(&str, &str)] = &[
    ("README.md", "cargo run --release -- demo"),
    ("README.md", "./scripts/test"),
    ("ARCHITECTURE.md", "## 1. Promises"),
    ("CONTRIBUTING.md", "scripts/test --quick"),
    ("SECURITY.md", "Report"),
    ("CHANGELOG.md", "## [Unreleased]"),
    ("LICENSE", "Apache License"),
    ("NOTICE", "PATENTS.md"),
    ("deny.toml", "[licenses]"),
    ("Cargo.toml", "rust-version"),
    (".ci/run", "./scripts/test"),
    ("docs/threat-model.md", "## "),
    ("docs/logging.md", "## "),
    ("docs/operating.md", "## "),
];

/// The document that holds the map of the code, and the heading of the map.
const MAP: (&str, &str) = ("ARCHITECTURE.md", "## 10.");

/// Marks a line of the map whose file does not exist yet.
const PLANNED: &str = "(planned)";

/// Decision records are `docs/adr/NNNN-slug.md`, numbered from 0001 without gaps, each with a title of that number.
pub fn adr_numbers(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut numbers: BTreeMap<usize, String> = BTreeMap::new();
    for (path, text) in tree.files() {
        let Some(name) = path.strip_prefix("docs/adr/") else {
            continue;
        };
        if name == "README.md" {
            continue;
        }
        let number = name
            .split_once('-')
            .filter(|(digits, slug)| digits.len() == 4 && slug.ends_with(".md"));
        let Some(number) = number.and_then(|(digits, _)| digits.parse::<usize>().ok()) else {
            problems.push(Problem::new(
                "adr-numbers",
                path,
                "is not named NNNN-slug.md",
            ));
            continue;
        };
        if !text.starts_with(&format!("# {number}. ")) {
            problems.push(Problem::new(
                "adr-numbers",
                path,
                format!("its first line is not `# {number}. Title`"),
            ));
        }
        if let Some(other) = numbers.insert(number, path.to_owned()) {
            problems.push(Problem::new(
                "adr-numbers",
                path,
                format!("has the number of {other}"),
            ));
        }
    }
    for (expected, (number, path)) in (1..).zip(&numbers) {
        if expected != *number {
            problems.push(Problem::new(
                "adr-numbers",
                path,
                format!("number {expected} is missing before it"),
            ));
            break;
        }
    }
    problems
}

/// The files of [`REQUIRED`] exist and hold what a reader looks for.
pub fn required_files(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in REQUIRED {
        match tree.text(path) {
            None => problems.push(Problem::new("required-files", *path, "does not exist")),
            Some(found) if !found.contains(text) => {
                problems.push(Problem::new(
                    "required-files",
                    *path,
                    format!("does not hold `{text}`"),
                ));
            }
            Some(_) => {}
        }
    }
    problems
}

/// A relative link in a Markdown file leads to a file or folder of the checkout.
pub fn links(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        for (number, line) in text.lines().enumerate() {
            for target in line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
            {
                let target = target.split('#').next().unwrap_or_default();
                if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                if !tree.exists(&resolved(path, target)) {
                    let message = format!("links to {target}, which does not exist");
                    problems.push(Problem::new(
                        "links",
                        format!("{path}:{}", number + 1),
                        message,
                    ));
                }
            }
        }
    }
    problems
}

/// `target` as seen from the folder of `from`, relative to the root.
fn resolved(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The document that names attack cases as proof.
const CASES: &str = "docs/threat-model.md";

/// Every attack case that the threat model names (`SSRF-03`) is the beginning of a test's name (`ssrf_03_`).
pub fn cases(tree: &Tree) -> Vec<Problem> {
    let named: BTreeSet<String> = tree
        .files()
        .filter(|(path, _)| !path.starts_with("xtask/tests/it/docs"))
        .flat_map(|(path, text)| {
            text.split(if path.ends_with(".py") {
                "def test_"
            } else {
                "fn "
            })
            .skip(1)
        })
        .filter_map(|name| case_of(name, '_'))
        .collect();
    let mut problems = Vec::new();
    for (number, line) in tree.text(CASES).unwrap_or_default().lines().enumerate() {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let known = |word: &&str| word.starts_with(|c: char| c.is_ascii_uppercase());
        for case in words.filter(known).filter_map(|word| case_of(word, '-')) {
            if !named.contains(&case) {
                let message =
                    format!("no test is named after {case}: write it, or do not name it as proof");
                problems.push(Problem::new(
                    "cases",
                    format!("{CASES}:{}", number + 1),
                    message,
                ));
            }
        }
    }
    problems
}

/// `SSRF-03` from `ssrf_03_and_more` or `SSRF-03`: letters, the separator, two digits, and then no letter or digit.
fn case_of(text: &str, separator: char) -> Option<String> {
    let (family, rest) = text.split_once(separator)?;
    let letters =
        (2..=5).contains(&family.len()) && family.chars().all(|c| c.is_ascii_alphabetic());
    let digits = rest
        .get(..2)
        .filter(|digits| digits.chars().all(|c| c.is_ascii_digit()))?;
    let ends = !rest
        .chars()
        .nth(2)
        .is_some_and(|c| c.is_ascii_alphanumeric());
    (letters && ends).then(|| format!("{}-{digits}", family.to_ascii_uppercase()))
}

/// Every path in the map of ARCHITECTURE.md exists, or its row says that it is planned; and what exists is not called
/// planned any more.
pub fn map(tree: &Tree) -> Vec<Problem> {
    let (path, heading) = MAP;
    let text = tree.text(path).unwrap_or_default();
    let rows = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| !line.starts_with(heading));
    let mut problems = Vec::new();
    let mut found = 0;
    for (number, line) in rows.filter(|(_, line)| line.starts_with('|')) {
        let planned = line.contains(PLANNED);
        for target in line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| code.contains('/'))
        {
            found += 1;
            let message = match (tree.exists(target), planned) {
                (false, false) => format!(
                    "{target} does not exist: name the right file, or write {PLANNED} in the row"
                ),
                (true, true) => format!("{target} exists: take {PLANNED} out of the row"),
                _ => continue,
            };
            problems.push(Problem::new(
                "map",
                format!("{path}:{}", number + 1),
                message,
            ));
        }
    }
    if found == 0 {
        problems.push(Problem::new(
            "map",
            path,
            format!("has no map under `{heading}`"),
        ));
    }
    problems
}
