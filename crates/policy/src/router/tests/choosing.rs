//! One choice: names, weights, tiers, strategies, limits, tags, context windows.

use std::collections::BTreeMap;

use super::*;
use crate::router::{Strategy, TargetLimits};

fn named(name: &'static str) -> Target<&'static str> {
    Target::new(name)
}

fn weighted(name: &'static str, weight: u64) -> Target<&'static str> {
    Target {
        weight,
        ..Target::new(name)
    }
}

fn tier(name: &'static str, order: u32) -> Target<&'static str> {
    Target {
        order,
        ..Target::new(name)
    }
}

fn with(strategy: Strategy) -> Settings {
    Settings {
        strategy,
        ..Settings::default()
    }
}

#[test]
fn a_group_an_alias_and_a_wildcard_lead_to_deployments() {
    let mut builder = RouterBuilder::default();
    for (group, name) in [
        ("gpt", "a"),
        ("openai/*", "w"),
        ("openai/gpt-*", "x"),
        ("*", "all"),
    ] {
        builder.deployment(group, named(name));
    }
    builder.alias("fast", "gpt", false);
    builder.alias("secret-name", "gpt", true);
    builder.alias("gpt", "nowhere", false);
    builder.alias("dangling", "nowhere", false);
    let router = builder.build();
    for (model, deployment, group, wildcard) in [
        ("gpt", "a", "gpt", None),
        ("fast", "a", "gpt", None),
        ("secret-name", "a", "gpt", None),
        ("openai/o3", "w", "openai/*", Some("o3")),
        ("openai/gpt-4o", "x", "openai/gpt-*", Some("4o")),
        ("anything/else", "all", "*", Some("anything/else")),
        ("dangling", "all", "*", Some("nowhere")),
    ] {
        let (course, pick) = router.begin(&ask(model, 0, 7)).unwrap();
        assert_eq!(*pick.deployment, deployment, "{model}");
        assert_eq!(pick.group, group, "{model}");
        assert_eq!(course.wildcard(), wildcard, "{model}");
    }
    assert_eq!(
        router.names(),
        ["*", "dangling", "fast", "gpt", "openai/*", "openai/gpt-*"]
    );
}

#[test]
fn unknown_names_are_unknown() {
    let mut builder = RouterBuilder::default();
    builder.deployment("gpt", named("a"));
    builder.deployment("openai/*", named("w"));
    builder.alias("dangling", "nowhere", false);
    let router = builder.build();
    for model in ["", "GPT", "gpt ", "openai/", "openai", "dangling"] {
        let found = router.begin(&ask(model, 0, 0));
        assert_eq!(error(found), RouteError::UnknownModel, "{model}");
        assert!(!router.knows(model));
    }
}

#[test]
fn the_draw_follows_the_weights() {
    let router = router(
        Settings::default(),
        vec![
            ("gpt", weighted("one", 1)),
            ("gpt", weighted("three", 3)),
            ("gpt", weighted("none", 0)),
        ],
    );
    let mut counts = BTreeMap::new();
    for draw in 0..400 {
        *counts.entry(serve(&router, "gpt", 0, draw)).or_insert(0) += 1;
    }
    assert_eq!(
        counts.into_iter().collect::<Vec<_>>(),
        [("one", 100), ("three", 300)]
    );
    let zeros = self::router(
        Settings::default(),
        vec![("gpt", weighted("a", 0)), ("gpt", weighted("b", 0))],
    );
    assert_ne!(serve(&zeros, "gpt", 0, 0), serve(&zeros, "gpt", 0, 1));
}

#[test]
fn reasons_are_given_for_every_deployment() {
    let router = router(
        Settings::default(),
        vec![
            ("gpt", tier("azure", 0)),
            ("gpt", tier("second", 2)),
            ("gpt", tier("first", 1)),
        ],
    );
    let judge = |d: &&str| (*d == "azure").then_some(Rejection::ProviderNotBuilt);
    let ask = Ask {
        judge: &judge,
        ..ask("gpt", 0, 5)
    };
    let (course, pick) = router.begin(&ask).unwrap();
    assert_eq!(*pick.deployment, "first");
    assert_eq!(
        considered(&router, &course),
        [
            ("azure", Some(Rejection::ProviderNotBuilt)),
            ("second", Some(Rejection::HigherTier)),
            ("first", None),
        ]
    );
    let nobody = Ask {
        judge: &|_| Some(Rejection::ProviderNotBuilt),
        ..self::ask("gpt", 0, 5)
    };
    assert_eq!(
        error(router.begin(&nobody)),
        RouteError::NoneUsable {
            reason: Rejection::ProviderNotBuilt,
            retry_at: None
        }
    );
}

#[test]
fn least_busy_counts_calls_in_flight() {
    let router = router(
        with(Strategy::LeastBusy),
        vec![("g", named("a")), ("g", named("b")), ("g", named("c"))],
    );
    let held: Vec<_> = (0..6)
        .map(|draw| router.begin(&ask("g", 0, draw)).unwrap().1)
        .collect();
    let mut counts = BTreeMap::new();
    for pick in &held {
        *counts.entry(*pick.deployment).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count == 2), "{counts:?}");
    let b = held.into_iter().find(|pick| *pick.deployment == "b");
    assert!(b.is_some());
}

#[test]
fn the_fastest_serves_and_the_unmeasured_is_tried() {
    let mut settings = with(Strategy::Latency);
    let entries = || {
        vec![
            ("g", named("slow")),
            ("g", named("fast")),
            ("g", named("new")),
        ]
    };
    let router = router(settings.clone(), entries());
    let measure = |router: &Router<&'static str>, name: &str, latency: u64| {
        let judge = |d: &&str| (*d != name).then_some(Rejection::OtherMode);
        let ask = Ask {
            judge: &judge,
            ..ask("g", 0, 0)
        };
        let (_, pick) = router.begin(&ask).unwrap();
        let sample = Sample { latency, ..GOOD };
        pick.lease.answered(0, router.settings(), &sample);
    };
    measure(&router, "slow", 900);
    measure(&router, "fast", 600);
    assert_eq!(serve(&router, "g", 1, 3), "new");
    measure(&router, "new", 2_000_000);
    for draw in 0..5 {
        let (course, pick) = router.begin(&ask("g", 2, draw)).unwrap();
        assert_eq!(*pick.deployment, "fast");
        let reasons = considered(&router, &course);
        assert_eq!(reasons[0], ("slow", Some(Rejection::Slower)));
    }
    // Measured latencies are forgotten after a while.
    let later = 3_601 * S;
    let served: Vec<_> = (0..3)
        .map(|draw| *router.begin(&ask("g", later, draw)).unwrap().1.deployment)
        .collect();
    assert_eq!(served, ["slow", "fast", "new"]);
    settings.latency_buffer = 500;
    let lenient = self::router(settings, entries());
    for (name, latency) in [("slow", 900), ("fast", 600), ("new", 901)] {
        measure(&lenient, name, latency);
    }
    let served: Vec<_> = (0..2)
        .map(|draw| *lenient.begin(&ask("g", 1, draw)).unwrap().1.deployment)
        .collect();
    assert_eq!(
        served,
        ["slow", "fast"],
        "900 is within half of 600, 901 is not"
    );
}

#[test]
fn the_cheapest_serves_and_an_unknown_price_is_the_highest() {
    let priced = |name, price| Target {
        price,
        ..Target::new(name)
    };
    let router = router(
        with(Strategy::Cost),
        vec![
            ("g", priced("unknown", None)),
            ("g", priced("dear", Some(9))),
            ("g", priced("cheap", Some(3))),
        ],
    );
    for draw in 0..5 {
        assert_eq!(serve(&router, "g", 0, draw), "cheap");
    }
}

#[test]
fn the_least_used_serves() {
    let router = router(
        with(Strategy::Usage),
        vec![("g", named("a")), ("g", named("b"))],
    );
    let first = serve(&router, "g", 0, 0);
    let second = serve(&router, "g", 1, 0);
    assert_ne!(first, second);
    assert_eq!(
        serve(&router, "g", 60 * S, 0),
        "a",
        "a minute later nothing is counted"
    );
}

#[test]
fn limits_hold_exactly_for_every_minute() {
    let limited = |name, rpm, tpm, parallel| Target {
        limits: TargetLimits {
            parallel,
            rpm,
            tpm,
            ..TargetLimits::default()
        },
        ..Target::new(name)
    };
    let router = router(
        Settings::default(),
        vec![
            ("rpm", limited("r", Some(2), None, None)),
            ("tpm", limited("t", None, Some(25), None)),
            ("parallel", limited("p", None, None, Some(1))),
        ],
    );
    serve(&router, "rpm", 0, 0);
    serve(&router, "rpm", 59 * S, 0);
    let none = |reason, retry_at| RouteError::NoneUsable { reason, retry_at };
    assert_eq!(
        error(router.begin(&ask("rpm", 60 * S - 1, 0))),
        none(Rejection::RequestLimit, Some(60 * S))
    );
    serve(&router, "rpm", 60 * S, 0);
    assert_eq!(
        error(router.begin(&ask("rpm", 60 * S, 0))),
        none(Rejection::RequestLimit, Some(119 * S))
    );
    // A place that was never used counts for nothing.
    drop(router.begin(&ask("rpm", 119 * S, 0)).unwrap());
    serve(&router, "rpm", 119 * S, 0);

    let tokens = |now| Ask {
        tokens: 8,
        ..ask("tpm", now, 0)
    };
    serve(&router, "tpm", 0, 0);
    let held = router.begin(&tokens(1)).unwrap();
    assert_eq!(
        error(router.begin(&tokens(2))),
        none(Rejection::TokenLimit, Some(60 * S))
    );
    held.1.lease.ended(0, 0);
    assert!(
        router.begin(&tokens(3)).is_ok(),
        "the real number replaces the estimate"
    );

    let held = router.begin(&ask("parallel", 0, 0)).unwrap();
    assert_eq!(
        error(router.begin(&ask("parallel", 0, 0))),
        none(Rejection::ParallelLimit, Some(0))
    );
    drop(held);
    assert!(router.begin(&ask("parallel", 0, 0)).is_ok());
}

#[test]
fn tokens_of_prompts_and_of_answers_have_limits_of_their_own() {
    let limited = |name, itpm, otpm| Target {
        limits: TargetLimits {
            itpm,
            otpm,
            ..TargetLimits::default()
        },
        ..Target::new(name)
    };
    let router = router(
        Settings::default(),
        vec![
            ("in", limited("i", Some(20), None)),
            ("out", limited("o", None, Some(5))),
        ],
    );
    let tokens = |model, now| Ask {
        tokens: 12,
        ..ask(model, now, 0)
    };
    let none = RouteError::NoneUsable {
        reason: Rejection::TokenLimit,
        retry_at: Some(60 * S),
    };
    // Held by the estimate, then by what was used: six tokens of the prompt, whatever the answer had.
    let held = router.begin(&tokens("in", 0)).unwrap();
    assert_eq!(error(router.begin(&tokens("in", 1))), none);
    held.1.lease.answered(2, router.settings(), &GOOD);
    serve(&router, "in", 3, 0);
    assert_eq!(error(router.begin(&tokens("in", 4))), none);
    // An answer counts when it has come: four tokens, and four more, and the minute is full.
    serve(&router, "out", 0, 0);
    serve(&router, "out", 1, 0);
    assert_eq!(error(router.begin(&tokens("out", 2))), none);
    serve(&router, "out", 60 * S, 0);
    assert!(router.counts_tokens());
}

#[test]
fn many_threads_never_take_more_than_the_limits() {
    let limits = TargetLimits {
        parallel: Some(3),
        rpm: Some(100),
        tpm: None,
        ..TargetLimits::default()
    };
    let target = Target {
        limits,
        ..Target::new("a")
    };
    let router = router(Settings::default(), vec![("g", target)]);
    let (most, taken) = (
        std::sync::atomic::AtomicU32::new(0),
        std::sync::atomic::AtomicU32::new(0),
    );
    let inside = std::sync::atomic::AtomicU32::new(0);
    use std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (router, most, taken, inside) = (&router, &most, &taken, &inside);
            scope.spawn(move || {
                for draw in 0..500 {
                    let Ok((_, mut pick)) = router.begin(&ask("g", thread, draw)) else {
                        std::thread::yield_now();
                        continue;
                    };
                    pick.lease.begin();
                    most.fetch_max(inside.fetch_add(1, SeqCst) + 1, SeqCst);
                    taken.fetch_add(1, SeqCst);
                    inside.fetch_sub(1, SeqCst);
                }
            });
        }
    });
    assert!(most.load(SeqCst) <= 3);
    assert_eq!(taken.load(SeqCst), 100);
}

#[test]
fn tags_choose_and_the_default_catches() {
    let tagged = |name, tags: &[&str]| Target {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..Target::new(name)
    };
    let entries = || {
        vec![
            ("g", tagged("free", &["free"])),
            ("g", tagged("paid", &["paid", "eu"])),
            ("g", tagged("rest", &["default"])),
            ("g", tagged("plain", &[])),
        ]
    };
    let settings = Settings {
        tag_filtering: true,
        ..Settings::default()
    };
    let lenient = router(settings.clone(), entries());
    let strict = router(
        Settings {
            match_any_tag: false,
            ..settings.clone()
        },
        entries(),
    );
    let served = |router: &Router<&'static str>, tags: &[&str]| {
        let names = (0..12).map(|draw| {
            let ask = Ask {
                tags,
                ..ask("g", 0, draw)
            };
            router.begin(&ask).map(|(_, pick)| *pick.deployment).ok()
        });
        names.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(served(&lenient, &["free"]), [Some("free")].into());
    assert_eq!(served(&lenient, &["eu", "other"]), [Some("paid")].into());
    assert_eq!(served(&strict, &["eu", "other"]), [Some("rest")].into());
    assert_eq!(served(&strict, &["eu", "paid"]), [Some("paid")].into());
    assert_eq!(served(&lenient, &["nobody"]), [Some("rest")].into());
    assert_eq!(served(&lenient, &[]), [Some("rest")].into());
    let without_default = || {
        entries()
            .into_iter()
            .filter(|(_, t)| t.deployment != "rest")
    };
    let bare = router(settings, without_default().collect());
    assert_eq!(
        served(&bare, &[]),
        [Some("free"), Some("paid"), Some("plain")].into()
    );
    assert_eq!(
        error(bare.begin(&Ask {
            tags: &["nobody"],
            ..ask("g", 0, 0)
        })),
        RouteError::NoneUsable {
            reason: Rejection::TagMismatch,
            retry_at: None
        }
    );
    let off = router(Settings::default(), entries());
    assert_eq!(served(&off, &["free"]).len(), 4, "off, tags mean nothing");
}

#[test]
fn a_prompt_goes_where_it_fits() {
    let window = |name, max_input| Target {
        max_input: Some(max_input),
        ..Target::new(name)
    };
    let settings = Settings {
        context_check: true,
        ..Settings::default()
    };
    let router = router(
        settings,
        vec![("g", window("small", 10)), ("g", window("large", 100))],
    );
    let asked = |prompt_tokens| Ask {
        prompt_tokens,
        ..ask("g", 0, 0)
    };
    let (course, pick) = router.begin(&asked(50)).unwrap();
    assert_eq!(*pick.deployment, "large");
    assert_eq!(
        considered(&router, &course)[0],
        ("small", Some(Rejection::ContextWindow))
    );
    assert_eq!(
        error(router.begin(&asked(101))),
        RouteError::NoneUsable {
            reason: Rejection::ContextWindow,
            retry_at: None
        }
    );
}

#[test]
fn what_was_learned_survives_a_reload() {
    let build = || {
        router(
            Settings {
                allowed_fails: Some(0),
                ..Settings::default()
            },
            vec![("g", named("a")), ("h", named("a"))],
        )
    };
    let old = build();
    assert!(fail(&old, "g", 0, FailureClass::InternalServer));
    let mut new = build();
    new.inherit(&old, |d| d);
    assert!(new.begin(&ask("g", 1, 0)).is_err());
    assert!(
        new.begin(&ask("h", 1, 0)).is_ok(),
        "another group is another deployment"
    );
    assert!(new.begin(&ask("g", 5 * S, 0)).is_ok());
}

/// Prints what a choice costs; run by hand with `--ignored --nocapture` in release mode.
#[test]
#[ignore = "a measurement, not a check"]
fn cost_of_a_choice() {
    for (strategy, count) in [
        (Strategy::SimpleShuffle, 1),
        (Strategy::SimpleShuffle, 16),
        (Strategy::LeastBusy, 16),
        (Strategy::Latency, 16),
        (Strategy::Usage, 16),
    ] {
        let entries = (0..count).map(|_| ("g", named("a"))).collect();
        let router = router(with(strategy), entries);
        for draw in 0..50_000 {
            serve(&router, "g", draw, draw);
        }
        let began = std::time::Instant::now();
        for draw in 0..200_000 {
            std::hint::black_box(router.begin(&ask("g", draw, draw))).ok();
        }
        eprintln!(
            "{} of {count}: {:?}",
            strategy.as_str(),
            began.elapsed() / 200_000
        );
    }
}
