//! A slow model of budgets that keeps every event and sums anew for each question, compared on random histories.

use proptest::prelude::*;

use super::{
    Ask, Book, Caps, Demand, Hold, Measure, Object, ObjectKind, Period, Rules, Shelf, Used,
    WindowCap,
};
use crate::money::MicroUsd;

const SECOND: i64 = 1_000_000;
const BEGIN: i64 = 1_795_172_400 * SECOND;

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Reserve {
        object: usize,
        money: i64,
        tokens: u64,
    },
    Settle {
        which: usize,
        money: i64,
        tokens: u64,
    },
    Release {
        which: usize,
    },
}

/// One call, as the model remembers it.
#[derive(Clone, Debug)]
struct Call {
    at: i64,
    /// Index of the inner object; every call counts for object 0 too.
    object: usize,
    held: i64,
    held_tokens: u64,
    ended: Option<(i64, u64)>,
}

struct Model {
    caps: Vec<Caps>,
    calls: Vec<Call>,
}

impl Model {
    fn of(&self, object: usize) -> impl Iterator<Item = &Call> {
        self.calls
            .iter()
            .filter(move |call| object == 0 || call.object == object)
    }

    fn money(&self, object: usize, from: i64) -> (i64, i64) {
        let calls = || self.of(object).filter(move |call| call.at >= from);
        let settled = calls().filter_map(|call| call.ended).map(|end| end.0).sum();
        let reserved = calls()
            .filter(|call| call.ended.is_none())
            .map(|call| call.held)
            .sum();
        (settled, reserved)
    }

    /// Calls and tokens of the window that began with the first call after the last one ended.
    fn minute(&self, object: usize, now: i64) -> (u64, u64) {
        let mut start = None;
        let (mut requests, mut tokens) = (0, 0);
        for call in self.of(object) {
            if start.is_none_or(|start| call.at >= start + 60 * SECOND) {
                (start, requests, tokens) = (Some(call.at), 0, 0);
            }
            requests += 1;
            tokens += call.ended.map_or(call.held_tokens, |end| end.1);
        }
        match start {
            Some(start) if now < start + 60 * SECOND => (requests, tokens),
            _ => (0, 0),
        }
    }

    fn fits(&self, object: usize, now: i64, money: i64, tokens: u64) -> bool {
        let caps = &self.caps[object];
        for (period, limit) in caps.budgets(now) {
            let from = match period {
                None => i64::MIN,
                Some(Period::Seconds(seconds)) => {
                    let length = i64::from(seconds) * SECOND;
                    now.div_euclid(length) * length
                }
                Some(_) => now.div_euclid(86_400 * SECOND) * 86_400 * SECOND,
            };
            let (settled, reserved) = self.money(object, from);
            if settled + reserved + money > limit.micro() || settled >= limit.micro() {
                return false;
            }
        }
        let (requests, used) = self.minute(object, now);
        let open = self.of(object).filter(|call| call.ended.is_none()).count();
        caps.rpm_limit.is_none_or(|limit| requests < limit)
            && caps
                .tpm_limit
                .is_none_or(|limit| used + tokens <= limit && used < limit)
            && caps
                .max_parallel_requests
                .is_none_or(|limit| open < limit as usize)
    }
}

fn caps() -> impl Strategy<Value = Caps> {
    let budget = proptest::option::of((1..400_i64).prop_map(MicroUsd::new));
    let duration = prop_oneof![
        Just(None),
        Just(Some(Period::Seconds(90))),
        Just(Some(Period::Days(1))),
    ];
    let minute = proptest::option::of((1..150_i64).prop_map(MicroUsd::new));
    let window = proptest::option::of((1..300_i64).prop_map(MicroUsd::new));
    let rates = (
        proptest::option::of(1..8_u64),
        proptest::option::of(1..300_u64),
        proptest::option::of(1..4_u32),
    );
    (budget, duration, minute, window, rates).prop_map(
        |(max_budget, budget_duration, velocity, window, rates)| Caps {
            max_budget,
            budget_duration,
            max_spend_per_minute: velocity,
            budget_limits: window
                .map(|max_budget| WindowCap {
                    budget_duration: Period::Seconds(300),
                    max_budget,
                })
                .into_iter()
                .collect(),
            rpm_limit: rates.0,
            tpm_limit: rates.1,
            max_parallel_requests: rates.2,
            ..Caps::default()
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..120_i64).prop_map(Step::Wait),
        1 => (0..200_000_i64).prop_map(Step::Wait),
        6 => (1..3_usize, 0..120_i64, 0..80_u64).prop_map(|(object, money, tokens)| Step::Reserve { object, money, tokens }),
        4 => (0..8_usize, 0..120_i64, 0..80_u64).prop_map(|(which, money, tokens)| Step::Settle { which, money, tokens }),
        1 => (0..8_usize).prop_map(|which| Step::Release { which }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The book admits exactly what the model admits, and its sums are those of the events.
    #[test]
    fn the_book_is_the_sum_of_its_events(
        caps in proptest::collection::vec(caps(), 3),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let shelf = Shelf::new(Book::new(Rules::default()));
        let kinds = [ObjectKind::Team, ObjectKind::Key, ObjectKind::Key];
        let names = ["team", "a", "b"];
        let object = |index: usize| Object::new(kinds[index], names[index]);
        let mut model = Model { caps: caps.clone(), calls: Vec::new() };
        let mut open: Vec<(usize, Hold)> = Vec::new();
        let mut now = BEGIN;
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds * SECOND,
                Step::Reserve { object: inner, money, tokens } => {
                    let demands = [0, inner].map(|index| Demand {
                        object: object(index), shown: names[index], caps: Some(&caps[index]), anchor: BEGIN, measure: Measure::Ruled,
                    });
                    let ask = Ask { money: MicroUsd::new(money), input: tokens, output: 0 };
                    let expected = model.fits(0, now, money, tokens) && model.fits(inner, now, money, tokens);
                    let got = shelf.reserve(now, &demands, &ask);
                    prop_assert_eq!(got.is_ok(), expected, "{:?}", got);
                    if let Ok(hold) = got {
                        open.push((model.calls.len(), hold));
                        model.calls.push(Call { at: now, object: inner, held: money, held_tokens: tokens, ended: None });
                    }
                }
                Step::Settle { which, money, tokens } if !open.is_empty() => {
                    let (call, hold) = open.remove(which % open.len());
                    // Never more than was held: what a strict ceiling promises.
                    let money = money.min(model.calls[call].held);
                    hold.settle(&Used { money: MicroUsd::new(money), input: tokens, output: 0 });
                    model.calls[call].ended = Some((money, tokens));
                }
                Step::Release { which } if !open.is_empty() => {
                    let (call, hold) = open.remove(which % open.len());
                    drop(hold);
                    model.calls[call].ended = Some((0, 0));
                }
                Step::Settle { .. } | Step::Release { .. } => {}
            }
            for (index, caps) in caps.iter().enumerate() {
                let usage = shelf.book().usage(&object(index), now);
                prop_assert_eq!(usage.total.micro(), model.money(index, i64::MIN).0);
                prop_assert_eq!(usage.parallel as usize, model.of(index).filter(|call| call.ended.is_none()).count());
                for (period, span, settled, reserved) in usage.windows {
                    let expected = model.money(index, span.start);
                    prop_assert_eq!((settled.micro(), reserved.micro()), expected, "{:?}", period);
                    let limit = caps.budgets(now).find(|cap| cap.0 == period).unwrap().1;
                    prop_assert!(settled.micro() + reserved.micro() <= limit.micro());
                }
            }
        }
        open.clear();
        for index in 0..3 {
            let usage = shelf.book().usage(&object(index), now);
            prop_assert!(usage.windows.iter().all(|window| window.3 == MicroUsd::ZERO));
            prop_assert_eq!(usage.parallel, 0);
        }
    }
}
