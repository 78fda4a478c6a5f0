//! The tidy rules: the project keeps them, and each fires on a project that breaks it.

mod checkout;
mod command;
mod docs;
mod documented;
mod graph;
mod text;

use std::collections::BTreeSet;

use xtask::tidy::{Problem, RULES};

/// The rules that fired, for comparing with what a broken project should trip.
fn fired(problems: &[Problem]) -> BTreeSet<&'static str> {
    problems.iter().map(|problem| problem.rule).collect()
}

/// Asserts that exactly `rule` fired, and at exactly these places.
fn fires(problems: &[Problem], rule: &'static str, places: &[&str]) {
    assert_eq!(fired(problems), BTreeSet::from([rule]), "{problems:?}");
    let found: Vec<&str> = problems
        .iter()
        .map(|problem| problem.place.as_str())
        .collect();
    assert_eq!(found, places);
    assert!(RULES.contains(&rule));
}
