//! The test command itself: what it counts, and that nothing makes it green by accident. Cargo is a script here that
//! plays a role; the real one never runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::{fs, io};

/// What the command takes from a machine; everything else is missing in [`bare`].
const BASICS: &[&str] = &[
    "bash", "sh", "env", "dirname", "mkdir", "awk", "tail", "tee", "timeout", "sed",
];

/// Runs `scripts/test --quick` on a machine that has the basics and the programs of `own` (name and script), no more.
fn bare(own: &[(&str, &str)]) -> io::Result<Output> {
    let folder = tempfile::tempdir()?;
    let bin = folder.path().join("bin");
    fs::create_dir(&bin)?;
    for name in BASICS {
        let places = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(name));
        if let Some(found) = places.iter().find(|path| path.exists()) {
            std::os::unix::fs::symlink(found, bin.join(name))?;
        }
    }
    for (name, script) in own {
        fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n"))?;
        fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755))?;
    }
    fs::create_dir(folder.path().join("scripts"))?;
    let command = folder.path().join("scripts/test");
    fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test"),
        &command,
    )?;
    Command::new(command)
        .arg("--quick")
        .env("PATH", &bin)
        .env_remove("CARGO_TARGET_DIR")
        .output()
}

/// Runs `scripts/test --quick` in a folder of its own, where cargo does what `script` says for the matching arguments.
fn quick(script: &str) -> io::Result<Output> {
    let folder = tempfile::tempdir()?;
    let place = |name: &str| folder.path().join(name);
    fs::create_dir(place("scripts"))?;
    fs::create_dir(place("bin"))?;
    fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test"),
        place("scripts/test"),
    )?;
    let cargo = format!("#!/bin/sh\ncase \"$*\" in\n{script}\n*) exit 0 ;;\nesac\n");
    fs::write(place("bin/cargo"), cargo)?;
    fs::set_permissions(place("bin/cargo"), fs::Permissions::from_mode(0o755))?;
    let path = format!(
        "{}:{}",
        place("bin").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    Command::new(place("scripts/test"))
        .arg("--quick")
        .env("PATH", path)
        .env_remove("CARGO_TARGET_DIR")
        .output()
}

fn closes_with(script: &str, code: i32, line: &str) -> io::Result<()> {
    let output = quick(script)?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().last(), Some(line), "{text}");
    assert_eq!(output.status.code(), Some(code), "{text}");
    let closing = text
        .lines()
        .filter(|l| l.ends_with(" failed") && l.starts_with(|c: char| c.is_ascii_digit()));
    assert_eq!(closing.count(), 1, "{text}");
    Ok(())
}

const PASSES: &str =
    "echo 'test result: ok. 40 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out'";

#[test]
fn counts_are_summed_over_all_test_binaries_with_format_and_clippy() -> io::Result<()> {
    closes_with(
        &format!("*--no-fail-fast*) {PASSES}; {PASSES} ;;"),
        0,
        "82 passed, 0 failed",
    )
}

#[test]
fn a_failed_test_is_counted_and_named() -> io::Result<()> {
    let one = "echo 'test result: FAILED. 5 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out'; exit 101";
    closes_with(
        &format!("*--no-fail-fast*) {PASSES}; {one} ;;"),
        1,
        "47 passed, 3 failed",
    )
}

#[test]
fn a_build_failure_is_a_failure() -> io::Result<()> {
    closes_with(
        "*--no-run*) echo 'error: could not compile'; exit 101 ;;",
        1,
        "2 passed, 1 failed",
    )
}

#[test]
fn a_runner_that_crashes_after_good_tests_is_a_failure() -> io::Result<()> {
    closes_with(
        &format!("*--no-fail-fast*) {PASSES}; exit 134 ;;"),
        1,
        "42 passed, 1 failed",
    )
}

#[test]
fn a_run_without_a_test_is_a_failure() -> io::Result<()> {
    closes_with("*--no-fail-fast*) exit 0 ;;", 1, "2 passed, 1 failed")
}

#[test]
fn an_unformatted_file_and_a_lint_are_failures() -> io::Result<()> {
    let script = format!(
        "'fmt --version'|'clippy --version') ;; fmt*|clippy*) exit 1 ;; *--no-fail-fast*) {PASSES} ;;"
    );
    closes_with(&script, 1, "40 passed, 2 failed")
}

#[test]
fn without_root_it_names_what_is_missing_and_stops() -> io::Result<()> {
    let output = bare(&[
        ("id", "echo 1000"),
        ("apt-get", "echo called"),
        ("cargo", "exit 0"),
    ])?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("missing: build-essential"), "{text}");
    assert!(!text.contains("called"), "{text}");
    assert_eq!(text.lines().last(), Some("0 passed, 1 failed"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    Ok(())
}

#[test]
fn as_root_it_installs_what_is_missing_and_says_so() -> io::Result<()> {
    let apt = "[ \"$1\" = update ] || echo \"$*\" >apt-was-asked";
    let cargo = format!("case \"$*\" in *--no-fail-fast*) cat apt-was-asked; {PASSES} ;; esac");
    let cat = "while read -r line; do echo \"$line\"; done <\"$1\"";
    let output = bare(&[
        ("id", "echo 0"),
        ("apt-get", apt),
        ("cargo", &cargo),
        ("cat", cat),
    ])?;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("installing Debian packages: build-essential"),
        "{text}"
    );
    assert!(
        text.contains("install -y -qq --no-install-recommends build-essential"),
        "{text}"
    );
    assert_eq!(text.lines().last(), Some("42 passed, 0 failed"), "{text}");
    Ok(())
}
