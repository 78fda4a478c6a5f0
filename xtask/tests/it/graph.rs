//! Rules over the dependency graph, fed with graphs that break them.

use std::collections::{BTreeMap, BTreeSet};

use xtask::tidy::graph::{self, Member, Workspace};
use xtask::tidy::text::Tree;

use crate::fires;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn member(name: &str, direct: &[&str]) -> Workspace {
    let member = Member {
        name: name.to_owned(),
        direct: set(direct),
        reached: set(direct),
        dev: BTreeSet::new(),
    };
    Workspace {
        members: vec![member],
        licences: BTreeMap::new(),
    }
}

#[test]
fn an_arrow_that_points_up_fires() {
    fires(
        &graph::edges(&member("capsule", &["sealgate-ledger"])),
        "edges",
        &["capsule"],
    );
    fires(
        &graph::edges(&member("sealgate-guard", &["sealgate-llm"])),
        "edges",
        &["sealgate-guard"],
    );
    fires(
        &graph::edges(&member("sealgate-store", &["sealgate-gateway"])),
        "edges",
        &["sealgate-store"],
    );
}

#[test]
fn an_arrow_of_a_test_counts_too() {
    let mut workspace = member("sealgate-ledger", &[]);
    workspace
        .members
        .iter_mut()
        .for_each(|m| m.dev = set(&["sealgate-store"]));
    fires(&graph::edges(&workspace), "edges", &["sealgate-ledger"]);
}

#[test]
fn a_crate_without_a_line_in_the_table_fires() {
    fires(
        &graph::edges(&member("sealgate-common", &[])),
        "edges",
        &["sealgate-common"],
    );
}

#[test]
fn the_arrows_of_the_design_pass() {
    for (name, allowed) in graph::EDGES {
        assert_eq!(graph::edges(&member(name, allowed)), []);
    }
}

#[test]
fn the_table_of_arrows_has_no_cycle() {
    let order: Vec<&str> = graph::EDGES.iter().map(|(name, _)| *name).collect();
    for (place, (name, allowed)) in graph::EDGES.iter().enumerate() {
        for used in *allowed {
            let other = order.iter().position(|candidate| candidate == used);
            assert!(other.is_some_and(|other| other < place), "{name} -> {used}");
        }
    }
}

#[test]
fn io_in_a_pure_crate_fires_at_any_distance() {
    for package in ["tokio", "hyper", "rusqlite"] {
        for pure in graph::PURE {
            let mut workspace = member(pure, &[]);
            workspace
                .members
                .iter_mut()
                .for_each(|m| m.reached = set(&["bytes", package]));
            fires(&graph::reach(&workspace), "reach", &[pure]);
        }
    }
}

#[test]
fn clocks_and_randomness_in_a_pure_crate_fire() {
    fires(
        &graph::reach(&member("capsule", &["getrandom"])),
        "reach",
        &["capsule"],
    );
    fires(
        &graph::reach(&member("sealgate-policy", &["chrono"])),
        "reach",
        &["sealgate-policy"],
    );
}

#[test]
fn sql_in_the_ledger_and_http_in_the_store_fire() {
    fires(
        &graph::reach(&member("sealgate-ledger", &["rusqlite"])),
        "reach",
        &["sealgate-ledger"],
    );
    fires(
        &graph::reach(&member("sealgate-store", &["hyper"])),
        "reach",
        &["sealgate-store"],
    );
    assert_eq!(graph::reach(&member("sealgate-ledger", &["tokio"])), []);
}

#[test]
fn a_heavy_package_outside_its_owner_fires() {
    fires(
        &graph::owners(&member("sealgate-gateway", &["rusqlite"])),
        "owners",
        &["sealgate-gateway"],
    );
    fires(
        &graph::owners(&member("sealgate-store", &["anyhow"])),
        "owners",
        &["sealgate-store"],
    );
    fires(
        &graph::owners(&member("sealgate", &["hyper"])),
        "owners",
        &["sealgate"],
    );
    assert_eq!(
        graph::owners(&member("sealgate-bench", &["hyper", "clap", "anyhow"])),
        []
    );
}

#[test]
fn a_licence_that_is_not_allowed_fires() {
    let tree = Tree::of(&[(
        "deny.toml",
        "[licenses]\nallow = [\n  \"MIT\",\n  \"Apache-2.0\",\n]\n[bans]\n",
    )]);
    let allowed = graph::allowed_licences(&tree);
    assert_eq!(allowed, set(&["MIT", "Apache-2.0"]));
    let with = |licence: Option<&str>| Workspace {
        members: Vec::new(),
        licences: BTreeMap::from([("some 1.0.0".to_owned(), licence.map(str::to_owned))]),
    };
    for refused in [
        Some("GPL-3.0-only"),
        None,
        Some("MIT AND GPL-3.0-only"),
        Some("MIT AND (ISC OR BSL-1.0)"),
    ] {
        fires(
            &graph::licences(&with(refused), &allowed),
            "licences",
            &["some 1.0.0"],
        );
    }
    for fine in [
        "MIT",
        "MIT/Apache-2.0",
        "GPL-3.0-only OR MIT",
        "(MIT OR ISC) AND Apache-2.0",
    ] {
        assert_eq!(graph::licences(&with(Some(fine)), &allowed), []);
    }
}

#[test]
fn too_many_locked_packages_or_no_lock_file_fire() {
    let lock = |count: usize| "[[package]]\n".repeat(count);
    let tree = |text: &str| Tree::of(&[("Cargo.lock", text)]);
    assert_eq!(
        graph::locked_packages(&tree(&lock(graph::MOST_LOCKED_PACKAGES))),
        []
    );
    fires(
        &graph::locked_packages(&tree(&lock(graph::MOST_LOCKED_PACKAGES + 1))),
        "locked-packages",
        &["Cargo.lock"],
    );
    fires(
        &graph::locked_packages(&Tree::default()),
        "locked-packages",
        &["Cargo.lock"],
    );
}
