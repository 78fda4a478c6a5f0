//! Ways of calls: cooldowns, repetitions, fallbacks, the retry budget.

use super::*;
use crate::router::{FallbackLists, Step};

fn lists(entries: &[(&str, &[&str])]) -> FallbackLists {
    let mut lists = FallbackLists::default();
    for (group, names) in entries {
        lists.add(group, names.iter().map(|name| (*name).to_owned()).collect());
    }
    lists
}

fn two() -> Vec<(&'static str, Target<&'static str>)> {
    vec![("g", Target::new("a")), ("g", Target::new("b"))]
}

/// Runs a call whose attempts all fail with `class`: the deployments that were called, with step and wait in seconds.
fn way(
    router: &Router<&'static str>,
    model: &str,
    now: u64,
    class: FailureClass,
) -> Vec<(&'static str, Step, u64)> {
    let Ok((mut course, mut pick)) = router.begin(&ask(model, now, 0)) else {
        return Vec::new();
    };
    let mut way = Vec::new();
    let mut clock = now;
    loop {
        clock += pick.wait;
        way.push((*pick.deployment, pick.step, pick.wait));
        pick.lease.begin();
        router.failed(&course, pick.lease, clock, &failure(class));
        let next = router.next(&mut course, &failure(class), &ask(model, clock, 0), 600 * S);
        match next {
            Some(next) => pick = next,
            None => return way,
        }
    }
}

fn names(way: &[(&'static str, Step, u64)]) -> Vec<&'static str> {
    way.iter().map(|(name, ..)| *name).collect()
}

#[test]
fn a_failure_is_repeated_elsewhere_first_and_then_with_patience() {
    let settings = Settings {
        retries: 3,
        no_cooldowns: true,
        ..Settings::default()
    };
    let router = router(settings, two());
    let way = way(&router, "g", 0, FailureClass::InternalServer);
    assert_eq!(names(&way).len(), 4);
    assert_ne!(way[0].0, way[1].0);
    assert_eq!(
        (way[1].1, way[1].2),
        (Step::Retry, 0),
        "another one: at once"
    );
    assert!((S * 3 / 4..=S).contains(&way[2].2), "{way:?}");
    assert!((S * 3 / 2..=2 * S).contains(&way[3].2), "{way:?}");
}

#[test]
fn what_no_deployment_could_answer_is_not_repeated() {
    let router = router(Settings::default(), two());
    for class in [
        FailureClass::BadRequest,
        FailureClass::ContextWindow,
        FailureClass::ContentPolicy,
    ] {
        assert_eq!(way(&router, "g", 0, class).len(), 1, "{class:?}");
    }
    for class in [FailureClass::Permission, FailureClass::NotFound] {
        assert_eq!(
            way(&router, "g", 0, class).len(),
            2,
            "{class:?}: once elsewhere"
        );
    }
}

#[test]
fn a_policy_per_class_wins_over_the_number() {
    let mut settings = Settings {
        no_cooldowns: true,
        ..Settings::default()
    };
    settings.retry_policy.set(FailureClass::BadRequest, 1);
    settings.retry_policy.set(FailureClass::Timeout, 0);
    let mut of_group = crate::router::PerClass::default();
    of_group.set(FailureClass::Timeout, 4);
    settings.group_retry_policy.insert("h".to_owned(), of_group);
    let mut entries = two();
    entries.push(("h", Target::new("c")));
    entries.push((
        "own",
        Target {
            retries: Some(1),
            ..Target::new("d")
        },
    ));
    let router = router(settings, entries);
    assert_eq!(way(&router, "g", 0, FailureClass::BadRequest).len(), 2);
    assert_eq!(way(&router, "g", 0, FailureClass::Timeout).len(), 1);
    assert_eq!(way(&router, "h", 0, FailureClass::Timeout).len(), 5);
    assert_eq!(way(&router, "g", 0, FailureClass::InternalServer).len(), 3);
    assert_eq!(
        way(&router, "own", 0, FailureClass::InternalServer).len(),
        2
    );
}

#[test]
fn retry_after_is_honoured_and_capped() {
    let settings = Settings {
        no_cooldowns: true,
        longest_wait: 10 * S,
        ..Settings::default()
    };
    let router = router(settings, vec![("g", Target::new("a"))]);
    let wait = |asked: u64, remaining: u64| {
        let (mut course, pick) = router.begin(&ask("g", 0, 0)).unwrap();
        let failure = Failure {
            retry_after: Some(asked),
            ..failure(FailureClass::RateLimit)
        };
        router.failed(&course, pick.lease, 0, &failure);
        router
            .next(&mut course, &failure, &ask("g", 0, 0), remaining)
            .map(|pick| pick.wait)
    };
    assert_eq!(wait(7 * S, 600 * S), Some(7 * S));
    assert_eq!(wait(u64::MAX, 600 * S), Some(10 * S));
    assert_eq!(wait(0, 600 * S), Some(0));
    assert_eq!(wait(7 * S, 7 * S), None, "no time is left for it");
}

#[test]
fn a_rate_of_failures_cools_down_and_an_answer_forgives() {
    let router = router(Settings::default(), two());
    let only = |name: &'static str, now: u64| {
        let judge = move |d: &&str| (*d != name).then_some(Rejection::OtherMode);
        let ask = Ask {
            judge: &judge,
            ..ask("g", now, 0)
        };
        router
            .begin(&ask)
            .map(|(course, pick)| (course, pick.lease))
    };
    let fail = |now| {
        let (course, lease) = only("a", now).unwrap();
        router.failed(&course, lease, now, &failure(FailureClass::InternalServer))
    };
    let serve = |now| {
        let (_, lease) = only("a", now).unwrap();
        lease.answered(now, router.settings(), &GOOD);
    };
    serve(0);
    serve(0);
    assert!(!fail(0) && !fail(0), "2 of 4 is too little traffic");
    assert!(fail(0), "3 of 5");
    assert!(only("a", 5 * S - 1).is_err());
    assert!(fail(5 * S), "the first failure after a cooldown is enough");
    serve(10 * S);
    assert!(!fail(10 * S) && !fail(10 * S), "an answer made it good");
}

#[test]
fn rate_limits_and_bad_credentials_cool_down_at_once_when_others_serve() {
    for class in [
        FailureClass::RateLimit,
        FailureClass::Authentication,
        FailureClass::NotFound,
    ] {
        let pair = router(Settings::default(), two());
        assert!(fail(&pair, "g", 0, class), "{class:?}");
        let alone = router(Settings::default(), vec![("g", Target::new("a"))]);
        assert!(!fail(&alone, "g", 0, class), "{class:?}: the only one");
    }
    let pair = router(Settings::default(), two());
    let (course, pick) = pair.begin(&ask("g", 0, 0)).unwrap();
    let asked = Failure {
        retry_after: Some(u64::MAX),
        ..failure(FailureClass::RateLimit)
    };
    assert!(pair.failed(&course, pick.lease, 0, &asked));
    let first = |now| considered(&pair, &pair.begin(&ask("g", now, 0)).unwrap().0)[0].1;
    assert_eq!(first(60 * S - 1), Some(Rejection::CoolingDown));
    assert_eq!(first(60 * S), None, "a minute at most");
}

#[test]
fn allowed_fails_count_for_the_only_deployment_too() {
    let mut settings = Settings {
        allowed_fails: Some(2),
        ..Settings::default()
    };
    settings.allowed_fails_policy.set(FailureClass::Timeout, 0);
    let router = router(settings, vec![("g", Target::new("a"))]);
    assert!(!fail(&router, "g", 0, FailureClass::InternalServer));
    assert!(!fail(&router, "g", 0, FailureClass::BadRequest));
    assert!(!fail(&router, "g", 0, FailureClass::InternalServer));
    assert!(fail(&router, "g", 0, FailureClass::InternalServer));
    assert_eq!(
        error(router.begin(&ask("g", 1, 0))),
        RouteError::NoneUsable {
            reason: Rejection::CoolingDown,
            retry_at: Some(5 * S)
        }
    );
    assert!(fail(&router, "g", 5 * S, FailureClass::Timeout));
}

#[test]
fn fallbacks_go_deep_but_never_in_circles() {
    let settings = Settings {
        retries: 0,
        fallbacks: lists(&[
            ("a", &["b", "c"]),
            ("b", &["a", "d"]),
            ("d", &["b", "a", "d"]),
        ]),
        default_fallbacks: vec!["z".to_owned(), "a".to_owned()],
        max_fallbacks: 10,
        ..Settings::default()
    };
    let entries = || {
        ["a", "b", "c", "d", "z"]
            .map(|name| (name, Target::new(name)))
            .to_vec()
    };
    let endless = router(settings.clone(), entries());
    let taken = way(&endless, "a", 0, FailureClass::InternalServer);
    assert_eq!(names(&taken), ["a", "b", "d", "c", "z"]);
    assert!(
        taken
            .iter()
            .skip(1)
            .all(|(_, step, _)| *step == Step::Fallback)
    );
    let short = router(
        Settings {
            max_fallbacks: 2,
            ..settings
        },
        entries(),
    );
    assert_eq!(
        names(&way(&short, "a", 0, FailureClass::InternalServer)),
        ["a", "b", "d"]
    );
}

#[test]
fn fallbacks_fit_the_failure() {
    let settings = Settings {
        retries: 0,
        fallbacks: lists(&[("g", &["general"]), ("*", &["star"])]),
        context_window_fallbacks: lists(&[("g", &["long"])]),
        content_policy_fallbacks: lists(&[("g", &["other"])]),
        context_check: true,
        ..Settings::default()
    };
    let small = Target {
        max_input: Some(10),
        ..Target::new("g")
    };
    let mut entries = vec![("g", small), ("h", Target::new("h"))];
    entries.extend(["general", "long", "other", "star"].map(|name| (name, Target::new(name))));
    let router = router(settings, entries);
    for (class, served) in [
        (FailureClass::InternalServer, "general"),
        (FailureClass::BadRequest, "general"),
        (FailureClass::ContextWindow, "long"),
        (FailureClass::ContentPolicy, "other"),
    ] {
        assert_eq!(names(&way(&router, "g", 0, class))[1], served, "{class:?}");
    }
    assert_eq!(
        names(&way(&router, "h", 0, FailureClass::ContextWindow))[1],
        "star"
    );
    let long = Ask {
        prompt_tokens: 11,
        ..ask("g", 0, 0)
    };
    let (course, pick) = router.begin(&long).unwrap();
    assert_eq!((*pick.deployment, pick.step), ("long", Step::Fallback));
    assert_eq!((course.fallbacks(), course.retries()), (1, 0));
}

#[test]
fn a_group_that_the_caller_may_not_use_is_passed_over() {
    let settings = Settings {
        retries: 0,
        fallbacks: lists(&[("a", &["secret", "open"])]),
        ..Settings::default()
    };
    let entries = ["a", "secret", "open"].map(|name| (name, Target::new(name)));
    let router = router(settings, entries.to_vec());
    let ask = Ask {
        permits: &|name| name != "secret",
        ..ask("a", 0, 0)
    };
    let (mut course, pick) = router.begin(&ask).unwrap();
    let failure = failure(FailureClass::InternalServer);
    router.failed(&course, pick.lease, 0, &failure);
    let pick = router.next(&mut course, &failure, &ask, 60 * S).unwrap();
    assert_eq!(*pick.deployment, "open");
    assert_eq!(
        considered(&router, &course),
        [
            ("a", Some(Rejection::Failed(FailureClass::InternalServer))),
            ("secret", Some(Rejection::NotPermitted)),
            ("open", None),
        ]
    );
}

#[test]
fn a_limited_group_with_a_fallback_does_not_wait() {
    let settings = Settings {
        fallbacks: lists(&[("a", &["b"])]),
        ..Settings::default()
    };
    let router = router(
        settings,
        vec![("a", Target::new("a")), ("b", Target::new("b"))],
    );
    let way = way(&router, "a", 0, FailureClass::RateLimit);
    assert_eq!(way[1], ("b", Step::Fallback, 0));
}

#[test]
fn repetitions_are_a_share_of_the_traffic() {
    let settings = Settings {
        retries: 2,
        no_cooldowns: true,
        budget_percent: 20,
        budget_floor: 5,
        ..Settings::default()
    };
    let router = router(settings, two());
    let calls = 1_000;
    let attempts: usize = (0..calls)
        .map(|_| way(&router, "g", 0, FailureClass::InternalServer).len())
        .sum();
    assert!(
        attempts <= calls + calls / 5,
        "{attempts} attempts for {calls} calls"
    );
    assert!(attempts >= calls + calls / 5 - 2, "{attempts}");
    let later = way(&router, "g", 600 * S, FailureClass::InternalServer);
    assert_eq!(later.len(), 3, "the floor is always there");
}
