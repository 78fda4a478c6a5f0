//! Which test stands for which case of the families GRD and POL: each is a test that exists, or waits for what does not.

use std::path::Path;

/// What stands for a case.
enum By {
    /// A test whose name begins so.
    Test(&'static str),
    /// A test whose name begins so, once the settings have this section.
    Section(&'static str, &'static str),
    /// Nothing: services of policies are not called yet.
    PolicyServices,
}
use By::{PolicyServices, Section, Test};

const CASES: &[(&str, By)] = &[
    ("GRD-01", Test("grd_01_")),
    ("GRD-03", Test("grd_03_")),
    ("GRD-05", Test("grd_05_")),
    ("GRD-07", Test("grd_07_")),
    ("GRD-09", Test("grd_09_")),
    ("GRD-11", Test("grd_11_")),
    ("GRD-13", Test("grd_13_")),
    ("GRD-15", Test("grd_15_")),
    ("GRD-17", Test("grd_17_")),
    ("GRD-19", Section("[guardrail.judge", "grd_19_")),
    ("POL-01", PolicyServices),
    ("POL-03", PolicyServices),
    ("POL-05", PolicyServices),
    ("POL-07", PolicyServices),
    ("POL-09", PolicyServices),
    ("POL-11", PolicyServices),
];

const FAMILIES: [(&str, u32); 2] = [("GRD", 19), ("POL", 11)];

const KEYS: &str = include_str!("../../../src/config/keys.txt");
const CALLBACKS: &str = include_str!("../../../src/config/callbacks.rs");

/// Names of all test functions below the crates.
fn names() -> Vec<String> {
    let mut found = Vec::new();
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut open = vec![crates];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let lines = text.lines().map(str::trim_start);
                let functions = lines.filter_map(|line| {
                    let rest = line
                        .strip_prefix("async ")
                        .unwrap_or(line)
                        .strip_prefix("fn ")?;
                    Some(rest.split(['(', '<']).next()?.to_owned())
                });
                found.extend(functions);
            }
        }
    }
    found
}

#[test]
fn every_case_is_a_test_or_waits_for_what_does_not_exist() {
    let names = names();
    // The probe can find what exists.
    assert!(
        names
            .iter()
            .any(|name| name.starts_with("every_case_is_a_test_or_waits"))
    );
    assert!(KEYS.contains("[guardrail.presidio"));
    for (id, by) in CASES {
        match by {
            Test(begin) => {
                assert!(
                    names.iter().any(|name| name.starts_with(begin)),
                    "{id}: no test {begin}..."
                );
            }
            Section(section, begin) => {
                let written = names.iter().any(|name| name.starts_with(begin));
                assert!(
                    written || !KEYS.contains(section),
                    "{id}: {section}] exists, write {begin}..."
                );
            }
            PolicyServices => {
                let begin = format!("{}_", id.to_lowercase().replace('-', "_"));
                let written = names.iter().any(|name| name.starts_with(&begin));
                let waits = CALLBACKS.contains("policy services are not built");
                assert!(
                    written || waits,
                    "{id}: policy services exist, write the case"
                );
            }
        }
    }
}

#[test]
fn the_families_are_complete() {
    for (family, last) in FAMILIES {
        for number in (1..=last).step_by(2) {
            let id = format!("{family}-{number:02}");
            assert!(CASES.iter().any(|(case, _)| *case == id), "{id} is missing");
        }
    }
}
