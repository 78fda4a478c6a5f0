//! Tests of routing.

use super::{Rejection, RouteError, Router, RouterBuilder, Target};

fn target(deployment: &'static str, weight: u64, order: u32) -> Target<&'static str> {
    Target {
        deployment,
        weight,
        order,
    }
}

fn router(entries: &[(&str, Target<&'static str>)]) -> Router<&'static str> {
    let mut builder = RouterBuilder::default();
    for (group, target) in entries {
        builder.deployment(group, target.clone());
    }
    builder.alias("fast", "gpt", false);
    builder.alias("secret-name", "gpt", true);
    builder.alias("gpt", "nowhere", false);
    builder.alias("dangling", "nowhere", false);
    builder.build()
}

#[test]
fn a_group_an_alias_and_a_wildcard_lead_to_deployments() {
    let router = router(&[
        ("gpt", target("a", 1, 0)),
        ("openai/*", target("w", 1, 0)),
        ("openai/gpt-*", target("x", 1, 0)),
        ("*", target("all", 1, 0)),
    ]);
    for (model, deployment, group, wildcard) in [
        ("gpt", "a", "gpt", None),
        ("fast", "a", "gpt", None),
        ("secret-name", "a", "gpt", None),
        ("openai/o3", "w", "openai/*", Some("o3")),
        ("openai/gpt-4o", "x", "openai/gpt-*", Some("4o")),
        ("anything/else", "all", "*", Some("anything/else")),
        ("dangling", "all", "*", Some("nowhere")),
    ] {
        let choice = router.choose(model, 7, |_| None).unwrap();
        assert_eq!(*choice.deployment, deployment, "{model}");
        assert_eq!(choice.group, group, "{model}");
        assert_eq!(choice.wildcard.as_deref(), wildcard, "{model}");
    }
    assert_eq!(
        router.names(),
        ["*", "dangling", "fast", "gpt", "openai/*", "openai/gpt-*"]
    );
}

#[test]
fn unknown_names_are_unknown() {
    let router = router(&[("gpt", target("a", 1, 0)), ("openai/*", target("w", 1, 0))]);
    for model in ["", "GPT", "gpt ", "openai/", "openai", "dangling"] {
        let choice = router.choose(model, 0, |_| None);
        assert_eq!(choice.err(), Some(RouteError::UnknownModel), "{model}");
    }
}

#[test]
fn the_draw_follows_the_weights() {
    let router = router(&[
        ("gpt", target("one", 1, 0)),
        ("gpt", target("three", 3, 0)),
        ("gpt", target("none", 0, 0)),
    ]);
    let mut counts = std::collections::BTreeMap::new();
    for draw in 0..400 {
        let choice = router.choose("gpt", draw, |_| None).unwrap();
        *counts.entry(*choice.deployment).or_insert(0) += 1;
    }
    assert_eq!(
        counts.into_iter().collect::<Vec<_>>(),
        [("one", 100), ("three", 300)]
    );
}

#[test]
fn reasons_are_given_for_every_deployment() {
    let router = router(&[
        ("gpt", target("azure", 1, 0)),
        ("gpt", target("second", 1, 2)),
        ("gpt", target("first", 1, 1)),
    ]);
    let judge = |d: &&str| (*d == "azure").then_some(Rejection::ProviderNotBuilt);
    let choice = router.choose("gpt", 5, judge).unwrap();
    let considered: Vec<_> = choice
        .considered
        .iter()
        .map(|c| (*c.deployment, c.rejected))
        .collect();
    assert_eq!(
        considered,
        [
            ("azure", Some(Rejection::ProviderNotBuilt)),
            ("second", Some(Rejection::HigherTier)),
            ("first", None),
        ]
    );
    assert_eq!(*choice.deployment, "first");
}

#[test]
fn a_group_without_a_usable_deployment_says_why() {
    let router = router(&[("gpt", target("azure", 1, 0))]);
    let choice = router.choose("gpt", 0, |_| Some(Rejection::ProviderNotBuilt));
    assert_eq!(
        choice.err(),
        Some(RouteError::NoneUsable(Rejection::ProviderNotBuilt))
    );
}

#[test]
fn zero_weights_alone_are_drawn_evenly() {
    let router = router(&[("gpt", target("a", 0, 0)), ("gpt", target("b", 0, 0))]);
    let first = *router.choose("gpt", 0, |_| None).unwrap().deployment;
    let second = *router.choose("gpt", 1, |_| None).unwrap().deployment;
    assert_ne!(first, second);
}
