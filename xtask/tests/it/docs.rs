//! Rules over the documents, fed with documents that break them.

use xtask::tidy::docs;
use xtask::tidy::text::Tree;

use crate::{fired, fires};

#[test]
fn badly_numbered_decisions_fire() {
    let tree = Tree::of(&[
        ("docs/adr/0001-a.md", "# 1. A\n"),
        ("docs/adr/0003-c.md", "# 3. C\n"),
    ]);
    fires(
        &docs::adr_numbers(&tree),
        "adr-numbers",
        &["docs/adr/0003-c.md"],
    );
    let tree = Tree::of(&[
        ("docs/adr/0001-a.md", "# 1. A\n"),
        ("docs/adr/0001-b.md", "# 1. B\n"),
    ]);
    fires(
        &docs::adr_numbers(&tree),
        "adr-numbers",
        &["docs/adr/0001-b.md"],
    );
    let tree = Tree::of(&[
        ("docs/adr/0001-a.md", "# A\n"),
        ("docs/adr/why.md", "# 2. B\n"),
    ]);
    fires(
        &docs::adr_numbers(&tree),
        "adr-numbers",
        &["docs/adr/0001-a.md", "docs/adr/why.md"],
    );
}

#[test]
fn a_missing_or_hollow_file_fires() {
    let problems = docs::required_files(&Tree::of(&[("LICENSE", "All rights reserved")]));
    assert_eq!(fired(&problems).len(), 1);
    let said = |place: &str, text: &str| {
        problems
            .iter()
            .any(|p| p.place == place && p.message.contains(text))
    };
    assert!(said("LICENSE", "does not hold `Apache License`"));
    assert!(said("NOTICE", "does not exist"));
    assert!(said(".ci/run", "does not exist"));
}

#[test]
fn a_link_to_nowhere_fires() {
    let tree = Tree::of(&[
        (
            "README.md",
            "[a](docs/a.md) [b](docs/b.md#x) [c](https://example.org/c) [d](#here) [e](docs)\n",
        ),
        (
            "docs/a.md",
            "back to [README](../README.md)\n\n[gone](gone.md)\n",
        ),
    ]);
    fires(
        &docs::links(&tree),
        "links",
        &["README.md:1", "docs/a.md:3"],
    );
}

#[test]
fn a_map_that_leads_nowhere_fires() {
    let page = "## 10. Where is it?\n\n| a | `src/a.rs` |\n| b | `src/b.rs` |\n| c | `src/c.rs` (planned) |\n";
    let tree = Tree::of(&[("ARCHITECTURE.md", page), ("src/a.rs", "//! A.\n")]);
    fires(&docs::map(&tree), "map", &["ARCHITECTURE.md:4"]);
    fires(
        &docs::map(&Tree::of(&[("ARCHITECTURE.md", "# Empty\n")])),
        "map",
        &["ARCHITECTURE.md"],
    );
}

#[test]
fn a_map_that_calls_existing_code_planned_fires() {
    let page = "## 10. Where is it?\n\n| a | `src/a.rs` |\n| b | `src/b.rs` (planned) |\n";
    let tree = Tree::of(&[
        ("ARCHITECTURE.md", page),
        ("src/a.rs", "//! A.\n"),
        ("src/b.rs", "//! B.\n"),
    ]);
    fires(&docs::map(&tree), "map", &["ARCHITECTURE.md:4"]);
}

#[test]
fn a_case_without_a_test_fires() {
    let page = "see SSRF-03 and LED-07\n\nHTTP-01, P-1, UTF-8, X-Y-22, 2026-11-20\n";
    let tests = "fn ssrf_03_addresses() {}\nfn http_011() {}\nfn led_07() {}\n";
    let tree = Tree::of(&[("docs/threat-model.md", page), ("a.rs", tests)]);
    fires(&docs::cases(&tree), "cases", &["docs/threat-model.md:3"]);
}
