//! The book with one call after the other.

use std::sync::Arc;

use super::{
    Ask, Book, Calendar, Caps, Demand, Dimension, Measure, Object, ObjectKind, Period, Rules,
    Shelf, Used, WindowCap,
};
use crate::money::MicroUsd;

const SECOND: i64 = 1_000_000;
/// 2026-11-20T11:00:00Z
const NOW: i64 = 1_795_172_400 * SECOND;

fn demand<'a>(kind: ObjectKind, id: &'a str, caps: &'a Caps) -> Demand<'a> {
    Demand {
        object: Object::new(kind, id),
        shown: id,
        caps: Some(caps),
        anchor: NOW,
        measure: Measure::Ruled,
    }
}

fn ask(money: i64) -> Ask {
    Ask {
        money: MicroUsd::new(money),
        input: 10,
        output: 10,
    }
}

fn used(money: i64) -> Used {
    Used {
        money: MicroUsd::new(money),
        input: 10,
        output: 10,
    }
}

fn budget(limit: i64) -> Caps {
    Caps {
        max_budget: Some(MicroUsd::new(limit)),
        ..Caps::default()
    }
}

fn shelf() -> Arc<Shelf> {
    Shelf::new(Book::new(Rules::default()))
}

#[test]
fn reserved_money_is_not_spent_twice() {
    let (shelf, caps) = (shelf(), budget(100));
    let key = [demand(ObjectKind::Key, "k", &caps)];
    let first = shelf.reserve(NOW, &key, &ask(60)).unwrap();
    let refused = shelf.reserve(NOW, &key, &ask(60)).unwrap_err();
    assert_eq!(refused.dimension, Dimension::Budget);
    assert_eq!(
        (refused.limit, refused.current, refused.reserved),
        (100, 0, 60)
    );
    assert_eq!(refused.retry_after(), None);
    drop(first);
    let again = shelf.reserve(NOW, &key, &ask(60)).unwrap();
    again.settle(&used(10));
    let usage = shelf.book().usage(&key[0].object, NOW);
    assert_eq!(usage.total, MicroUsd::new(10));
    assert_eq!(usage.windows[0].3, MicroUsd::ZERO);
}

#[test]
fn a_refused_call_takes_nothing_of_anybody() {
    let shelf = shelf();
    let (team, key) = (budget(1_000), budget(10));
    let demands = [
        demand(ObjectKind::Team, "t", &team),
        demand(ObjectKind::Key, "k", &key),
    ];
    let refused = shelf.reserve(NOW, &demands, &ask(11)).unwrap_err();
    assert_eq!(refused.object.kind, ObjectKind::Key);
    let usage = shelf.book().usage(&demands[0].object, NOW);
    assert_eq!((usage.requests, usage.parallel), (0, 0));
    assert!(
        usage
            .windows
            .iter()
            .all(|window| window.3 == MicroUsd::ZERO)
    );
}

#[test]
fn zero_allows_nothing_and_a_spent_budget_refuses_free_calls() {
    let shelf = shelf();
    let nothing = budget(0);
    let demands = [demand(ObjectKind::Key, "zero", &nothing)];
    assert!(shelf.reserve(NOW, &demands, &ask(0)).is_err());
    let caps = budget(5);
    let demands = [demand(ObjectKind::Key, "k", &caps)];
    shelf
        .reserve(NOW, &demands, &ask(5))
        .unwrap()
        .settle(&used(5));
    assert!(shelf.reserve(NOW, &demands, &ask(0)).is_err());
}

#[test]
fn a_window_ends_when_it_is_read() {
    let shelf = shelf();
    let caps = Caps {
        budget_duration: Some(Period::Days(1)),
        ..budget(100)
    };
    let demands = [demand(ObjectKind::Key, "k", &caps)];
    let open = shelf.reserve(NOW, &demands, &ask(40)).unwrap();
    shelf
        .reserve(NOW, &demands, &ask(60))
        .unwrap()
        .settle(&used(60));
    let refused = shelf.reserve(NOW, &demands, &ask(1)).unwrap_err();
    assert_eq!(refused.reset_text().unwrap(), "2026-11-21 00:00:00 UTC");
    assert_eq!(refused.retry_after(), Some(13 * 3_600));
    let tomorrow = NOW + 13 * 3_600 * SECOND;
    shelf
        .reserve(tomorrow, &demands, &ask(100))
        .unwrap()
        .settle(&used(1));
    // A call of yesterday counts for yesterday.
    open.settle(&used(40));
    let usage = shelf.book().usage(&demands[0].object, tomorrow);
    assert_eq!(usage.windows[0].2, MicroUsd::new(1));
    assert_eq!(usage.total, MicroUsd::new(101));
}

#[test]
fn a_clock_that_jumps_gives_at_most_one_more_window() {
    let shelf = shelf();
    let caps = Caps {
        budget_duration: Some(Period::Days(1)),
        ..budget(100)
    };
    let demands = [demand(ObjectKind::Key, "k", &caps)];
    let mut spent = 0;
    for day in [0, 1, 0, -1, 0, 1, 0] {
        let now = NOW + day * 86_400 * SECOND;
        while let Ok(hold) = shelf.reserve(now, &demands, &ask(50)) {
            hold.settle(&used(50));
            spent += 50;
        }
    }
    assert_eq!(spent, 200, "the day, and the day after it");
}

#[test]
fn velocity_soft_budgets_and_temporary_increases() {
    let shelf = shelf();
    let caps = Caps {
        max_budget: Some(MicroUsd::new(100)),
        soft_budget: Some(MicroUsd::new(50)),
        max_spend_per_minute: Some(MicroUsd::new(30)),
        temp_budget_increase: Some(MicroUsd::new(100)),
        temp_budget_expiry: Some(NOW + 600 * SECOND),
        budget_limits: vec![WindowCap {
            budget_duration: Period::Seconds(300),
            max_budget: MicroUsd::new(120),
        }],
        ..Caps::default()
    };
    let demands = [demand(ObjectKind::Key, "k", &caps)];
    let mut crossed = 0;
    let mut spent = 0;
    for minute in 0..20 {
        let now = NOW + minute * 60 * SECOND;
        while let Ok(hold) = shelf.reserve(now, &demands, &ask(10)) {
            crossed += hold.settle(&used(10)).len();
            spent += 10;
        }
        if minute == 0 {
            assert_eq!(spent, 30, "velocity");
        }
        if minute == 4 {
            assert_eq!(spent, 120, "five minutes");
        }
        if minute == 9 {
            assert_eq!(spent, 200, "with the increase");
        }
    }
    assert_eq!(spent, 200, "the increase has ended");
    assert_eq!(crossed, 1, "said once");
}

#[test]
fn rates_and_slots() {
    let shelf = shelf();
    let caps = Caps {
        rpm_limit: Some(2),
        ..Caps::default()
    };
    let demands = [demand(ObjectKind::Key, "rpm", &caps)];
    for _ in 0..2 {
        shelf
            .reserve(NOW, &demands, &ask(0))
            .unwrap()
            .settle(&used(0));
    }
    let refused = shelf
        .reserve(NOW + 20 * SECOND, &demands, &ask(0))
        .unwrap_err();
    assert_eq!(refused.retry_after(), Some(40));
    assert_eq!(
        refused.to_string(),
        "Rate limit exceeded for api_key: rpm. Limit type: requests. Current limit: 2, Remaining: 0. Limit resets at: 2026-11-20 11:01:00 UTC"
    );
    assert!(shelf.reserve(NOW + 60 * SECOND, &demands, &ask(0)).is_ok());

    let caps = Caps {
        tpm_limit: Some(50),
        ..Caps::default()
    };
    let demands = [demand(ObjectKind::Key, "tpm", &caps)];
    let first = shelf.reserve(NOW, &demands, &ask(0)).unwrap();
    let second = shelf.reserve(NOW, &demands, &ask(0)).unwrap();
    assert!(shelf.reserve(NOW, &demands, &ask(0)).is_err());
    first.settle(&Used {
        input: 1,
        output: 1,
        ..Used::default()
    });
    assert!(shelf.reserve(NOW, &demands, &ask(0)).is_ok());
    drop(second);

    let caps = Caps {
        max_parallel_requests: Some(1),
        ..Caps::default()
    };
    let demands = [demand(ObjectKind::Key, "parallel", &caps)];
    let held = shelf.reserve(NOW, &demands, &ask(0)).unwrap();
    let refused = shelf.reserve(NOW, &demands, &ask(0)).unwrap_err();
    assert_eq!(refused.dimension, Dimension::Parallel);
    drop(held);
    assert!(shelf.reserve(NOW, &demands, &ask(0)).is_ok());
}

#[test]
fn a_lower_limit_holds_at_once_and_a_reset_is_never_negative() {
    let shelf = shelf();
    let (high, low) = (budget(100), budget(20));
    let object = Object::new(ObjectKind::Key, "k");
    let hold = shelf
        .reserve(NOW, &[demand(ObjectKind::Key, "k", &high)], &ask(50))
        .unwrap();
    assert!(
        shelf
            .reserve(NOW, &[demand(ObjectKind::Key, "k", &low)], &ask(1))
            .is_err()
    );
    shelf.book().set_spend(&object, MicroUsd::ZERO, NOW + 1);
    hold.settle(&used(50));
    let usage = shelf.book().usage(&object, NOW + 2);
    assert_eq!((usage.total, usage.parallel), (MicroUsd::ZERO, 0));
    assert!(
        shelf
            .reserve(NOW + 2, &[demand(ObjectKind::Key, "k", &low)], &ask(20))
            .is_ok()
    );
}

#[test]
fn another_target_is_held_or_refused() {
    let (shelf, caps) = (shelf(), budget(100));
    let key = [demand(ObjectKind::Key, "k", &caps)];
    let mut hold = shelf.reserve(NOW, &key, &ask(0)).unwrap();
    assert!(hold.exchange(NOW, &key, MicroUsd::new(101)).is_err());
    assert_eq!(hold.money(), MicroUsd::ZERO);
    hold.exchange(NOW, &key, MicroUsd::new(100)).unwrap();
    assert!(shelf.reserve(NOW, &key, &ask(1)).is_err());
    drop(hold);
    assert!(shelf.reserve(NOW, &key, &ask(100)).is_ok());
}

#[test]
fn a_rebuilt_book_is_the_same() {
    let caps = Caps {
        budget_duration: Some(Period::Days(1)),
        ..budget(100)
    };
    let object = Object::new(ObjectKind::Key, "k");
    let demand = demand(ObjectKind::Key, "k", &caps);
    let mut book = Book::new(Rules {
        calendar: Calendar::default(),
        ..Rules::default()
    });
    book.set_spend(&object, MicroUsd::new(7), NOW - 3 * 86_400 * SECOND);
    for (ago, money) in [(4 * 86_400, 1_000), (86_400, 30), (3_600, 40), (1, 5)] {
        book.replay(&demand, NOW - ago * SECOND, MicroUsd::new(money), NOW);
    }
    let usage = book.usage(&object, NOW);
    assert_eq!(usage.total, MicroUsd::new(7 + 30 + 40 + 5));
    assert_eq!(usage.windows[0].2, MicroUsd::new(45));
}

#[test]
fn another_target_counts_against_its_own_objects() {
    let (shelf, caps, small) = (shelf(), budget(100), budget(40));
    let key = || demand(ObjectKind::Key, "k", &caps);
    let first = demand(ObjectKind::Deployment, "a", &caps);
    let second = || demand(ObjectKind::Deployment, "b", &small);
    let parallel = |name: &str| {
        let object = Object::new(ObjectKind::Deployment, name);
        shelf.book().usage(&object, NOW).parallel
    };
    let mut hold = shelf
        .reserve(NOW, &[key(), first.clone()], &ask(30))
        .unwrap();
    // No room there: everything stays as it was.
    let refused = hold.exchange(NOW, &[key(), second()], MicroUsd::new(41));
    assert_eq!(refused.unwrap_err().object, second().object);
    assert_eq!(
        (hold.money(), parallel("a"), parallel("b")),
        (MicroUsd::new(30), 1, 0)
    );
    hold.exchange(NOW, &[key(), second()], MicroUsd::new(40))
        .unwrap();
    assert_eq!((parallel("a"), parallel("b")), (0, 1));
    assert!(shelf.refuses(NOW, &second(), &ask(1)).is_some());
    assert!(shelf.refuses(NOW, &first, &ask(100)).is_none());
    hold.settle(&used(25));
    let spent = |object: &Object| shelf.book().usage(object, NOW).total;
    assert_eq!(spent(&first.object), MicroUsd::ZERO);
    assert_eq!(spent(&second().object), MicroUsd::new(25));
    assert_eq!(spent(&key().object), MicroUsd::new(25));
    assert_eq!(parallel("b"), 0);
}
