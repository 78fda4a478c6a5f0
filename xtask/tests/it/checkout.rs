//! The rules over the real checkout, and over one that is broken on purpose.

use std::path::Path;
use std::process::Command;

use xtask::tidy;

#[test]
fn this_project_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let problems = tidy::check(root).unwrap();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "\n{}\n", text.join("\n"));
}

#[test]
fn the_command_prints_problems_and_exits_1() {
    let broken = tempfile::tempdir().unwrap();
    let manifest = "[package]\nname = \"stranger\"\nversion = \"0.0.0\"\nedition = \"2024\"\n";
    std::fs::write(broken.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::create_dir(broken.path().join("src")).unwrap();
    std::fs::write(broken.path().join("src/lib.rs"), "fn f() {}\n").unwrap();
    let lock = "version = 4\n\n[[package]]\nname = \"stranger\"\nversion = \"0.0.0\"\n";
    std::fs::write(broken.path().join("Cargo.lock"), lock).unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("tidy")
        .arg(broken.path())
        .output()
        .unwrap();

    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("stranger: [edges]"), "{text}");
    assert!(text.contains("src/lib.rs: [module-head]"), "{text}");
    assert!(text.contains("LICENSE: [required-files]"), "{text}");
}

#[test]
fn an_unknown_task_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("tydi")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
