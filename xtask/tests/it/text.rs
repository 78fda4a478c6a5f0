//! Rules over the text of files, fed with files that break them.

use xtask::tidy::text::{self, Tree};

use crate::fires;

#[test]
fn a_file_without_a_head_fires() {
    let tree = Tree::of(&[
        ("a.rs", "//! What it is.\n"),
        ("b.rs", "use std::fmt;\n"),
        ("c.rs", "// Not it.\n"),
        ("d.md", "x"),
    ]);
    fires(&text::module_head(&tree), "module-head", &["b.rs", "c.rs"]);
}

#[test]
fn a_long_file_fires() {
    let (long, longest) = (
        "x\n".repeat(text::MOST_LINES + 1),
        "x\n".repeat(text::MOST_LINES),
    );
    let tree = Tree::of(&[
        ("a.rs", &long),
        ("b.rs", &longest),
        ("table.json", &long),
        ("tests/c.py", &long),
    ]);
    fires(
        &text::file_length(&tree),
        "file-length",
        &["a.rs", "tests/c.py"],
    );
}

#[test]
fn a_path_of_a_machine_and_a_registry_fire() {
    let files = [
        ("a.md", ["see ", "/wor", "k/shared/page.md"].concat()),
        ("b.sh", ["\ncurl https://", "pypi", ".org/simple"].concat()),
        ("c.py", ["# pip ", "install capsule", "-litellm"].concat()),
        (
            "Cargo.lock",
            ["registry+https://x/", "crates", ".io-index"].concat(),
        ),
        (
            "fine.rs",
            "fn work() {} // a network, a /workshop, https://example.org/work/a".to_owned(),
        ),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (*path, text.as_str()))
        .collect();
    fires(
        &text::words(&Tree::of(&files)),
        "words",
        &["a.md:1", "b.sh:2", "c.py:1"],
    );
}

#[test]
fn a_tag_that_moves_fires() {
    let tree = Tree::of(&[
        (
            "compose.yaml",
            "services:\n  a:\n    image: example/a:latest\n",
        ),
        (
            "Dockerfile",
            "FROM debian:12@sha256:00\nFROM example/b:main-latest AS build\n",
        ),
        ("README.md", "docker run -p 4000:4000 example/c:stable"),
        ("models.yaml", "model: gpt-4o-latest\n"),
    ]);
    fires(
        &text::image_tags(&tree),
        "image-tags",
        &["Dockerfile:2", "README.md:1", "compose.yaml:3"],
    );
}

#[test]
fn a_pure_crate_with_files_or_a_clock_fires() {
    let tree = Tree::of(&[
        ("libs/capsule/src/a.rs", "//! A.\nuse std::fs::File;\n"),
        (
            "crates/policy/src/b.rs",
            "//! B.\n// std::fs is not used\nlet now = Instant::now();\n",
        ),
        (
            "crates/guard/src/c.rs",
            "//! C.\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n",
        ),
        ("crates/guard/src/tests.rs", "//! D.\nuse std::fs;\n"),
        ("crates/store/src/d.rs", "//! D.\nuse std::fs;\n"),
    ]);
    fires(
        &text::std_purity(&tree),
        "std-purity",
        &["crates/policy/src/b.rs:3", "libs/capsule/src/a.rs:2"],
    );
}

#[test]
fn a_build_that_records_nothing_outside_the_bench_fires() {
    let feature = ["bench-null-", "journal"].concat();
    let files = [
        ("Cargo.toml", format!("default = [\"{feature}\"]\n")),
        (
            "bench/setup.sh",
            format!("cargo build --features {feature}\n"),
        ),
        (
            "crates/a/Cargo.toml",
            format!("[features]\n# For the bench.\n{feature} = [\"b/{feature}\"]\n"),
        ),
        (
            "crates/c/Cargo.toml",
            format!("a = {{ path = \"../a\", features = [\"{feature}\"] }}\n"),
        ),
        ("docs/a.md", feature.clone()),
        (
            "scripts/release",
            format!("cargo build --features {feature}\n"),
        ),
    ];
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (*path, text.as_str()))
        .collect();
    let places = ["Cargo.toml:1", "crates/c/Cargo.toml:1", "scripts/release:1"];
    fires(
        &text::null_journal(&Tree::of(&files)),
        "null-journal",
        &places,
    );
}
