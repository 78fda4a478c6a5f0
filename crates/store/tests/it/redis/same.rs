//! The shared book and the book of one process do the same on random histories. The latter is compared with a slow model of
//! its own, in `policy`.

use std::sync::Arc;
use std::time::Duration;

use policy::MicroUsd;
use policy::budget::{
    Ask, Book, Caps, Demand, Hold, Measure, Object, ObjectKind, Period, Rules, Shelf, Usage, Used,
    WindowCap,
};
use proptest::prelude::*;
use store::redis::{Clock, Command, Place, ReserveError, SharedBook, Ticket};

use super::server::Server;

const SECOND: i64 = 1_000_000;
const BEGIN: i64 = 1_795_172_400 * SECOND;
const NAMES: [&str; 3] = ["team", "a", "b"];

#[derive(Clone, Debug)]
enum Step {
    Wait(i64),
    Reserve(usize, i64, u64),
    Exchange(usize, usize, i64),
    Settle(usize, i64, u64),
    Release(usize),
    Spend(usize, i64),
    Forget(usize),
}

fn caps() -> impl Strategy<Value = Option<Caps>> {
    let maybe = |most: i64| proptest::option::of((0..most).prop_map(MicroUsd::new));
    let duration = prop_oneof![
        Just(None),
        Just(Some(Period::Seconds(60))),
        Just(Some(Period::Days(1))),
        Just(Some(Period::Days(3))),
        Just(Some(Period::Months(1))),
    ];
    let rates = (
        proptest::option::of(0..8_u64),
        proptest::option::of(0..300_u64),
        proptest::option::of(0..600_u64),
        proptest::option::of(0..4_u32),
    );
    let caps = (
        maybe(400),
        duration,
        maybe(150),
        maybe(300),
        maybe(200),
        rates,
    );
    let caps = caps.prop_map(
        |(max_budget, budget_duration, velocity, window, soft, rates)| Caps {
            max_budget,
            budget_duration,
            soft_budget: soft,
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
            tpd_limit: rates.2,
            max_parallel_requests: rates.3,
            ..Caps::default()
        },
    );
    prop_oneof![1 => Just(None), 5 => caps.prop_map(Some)]
}

fn measure() -> impl Strategy<Value = Measure> {
    prop_oneof![
        2 => Just(Measure::Ruled),
        1 => Just(Measure::Total),
        1 => Just(Measure::Input),
        1 => Just(Measure::Output),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..120_i64).prop_map(Step::Wait),
        1 => (0..200_000_i64).prop_map(Step::Wait),
        1 => (-90_000..0_i64).prop_map(Step::Wait),
        12 => (1..3_usize, 0..120_i64, 0..80_u64).prop_map(|(o, m, t)| Step::Reserve(o, m, t)),
        4 => (0..8_usize, 1..3_usize, 0..200_i64).prop_map(|(w, o, m)| Step::Exchange(w, o, m)),
        8 => (0..8_usize, 0..120_i64, 0..80_u64).prop_map(|(w, m, t)| Step::Settle(w, m, t)),
        2 => (0..8_usize).prop_map(Step::Release),
        1 => (0..3_usize, 0..50_i64).prop_map(|(o, m)| Step::Spend(o, m)),
        1 => (0..3_usize).prop_map(Step::Forget),
    ]
}

fn object(index: usize) -> Object {
    let kinds = [ObjectKind::Team, ObjectKind::Key, ObjectKind::Key];
    Object::new(kinds[index], NAMES[index])
}

fn sorted(mut usage: Usage) -> Usage {
    usage.windows.sort_by_key(|window| window.0);
    usage
}

struct Both {
    shelf: Arc<Shelf>,
    shared: SharedBook,
    caps: Vec<Option<Caps>>,
    measures: Vec<Measure>,
    open: Vec<(Hold, Ticket)>,
    now: i64,
    calls: u64,
}

impl Both {
    fn demands(&self, inner: usize) -> [Demand<'_>; 2] {
        [0, inner].map(|index| Demand {
            object: object(index),
            shown: NAMES[index],
            caps: self.caps[index].as_ref(),
            anchor: BEGIN,
            measure: self.measures[index],
        })
    }

    async fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let now = self.now;
        match step {
            Step::Wait(seconds) => self.now += seconds * SECOND,
            Step::Reserve(inner, money, tokens) => {
                self.calls += 1;
                let demands = self.demands(inner);
                let ask = Ask {
                    money: MicroUsd::new(money),
                    input: tokens,
                    output: 3,
                };
                let local = self.shelf.reserve(now, &demands, &ask);
                let shared = self
                    .shared
                    .reserve(&self.calls.to_string(), now, &demands, &ask)
                    .await;
                match (local, shared) {
                    (Ok(local), Ok(shared)) => self.open.push((local, shared)),
                    (Err(local), Err(ReserveError::Exceeded(shared))) => {
                        prop_assert_eq!(local, *shared)
                    }
                    (local, shared) => prop_assert!(false, "{local:?} but {shared:?}"),
                }
            }
            Step::Exchange(which, inner, money) if !self.open.is_empty() => {
                let which = which % self.open.len();
                let (mut local, mut shared) = self.open.swap_remove(which);
                let (demands, money) = (self.demands(inner), MicroUsd::new(money));
                let done = (
                    local.exchange(now, &demands, money),
                    self.shared
                        .exchange(&mut shared, now, &demands, money)
                        .await,
                );
                self.open.push((local, shared));
                match done {
                    (Ok(()), Ok(())) => {}
                    (Err(local), Err(ReserveError::Exceeded(shared))) => {
                        prop_assert_eq!(local, *shared)
                    }
                    (local, shared) => prop_assert!(false, "{local:?} but {shared:?}"),
                }
            }
            Step::Settle(which, money, tokens) if !self.open.is_empty() => {
                let (local, shared) = self.open.remove(which % self.open.len());
                let used = Used {
                    money: MicroUsd::new(money),
                    input: tokens,
                    output: 1,
                };
                let crossed = self.shared.settle(&shared, now, &used).await.unwrap();
                prop_assert_eq!(local.settle(&used), crossed);
            }
            Step::Release(which) if !self.open.is_empty() => {
                let (local, shared) = self.open.remove(which % self.open.len());
                self.shared
                    .settle(&shared, now, &Used::default())
                    .await
                    .unwrap();
                drop(local);
            }
            Step::Spend(which, money) => {
                let (object, money) = (object(which), MicroUsd::new(money));
                self.shelf.book().set_spend(&object, money, now);
                self.shared
                    .set_spend(&object, money, now, now)
                    .await
                    .unwrap();
            }
            Step::Forget(which) => {
                self.shelf.book().forget(&object(which));
                self.shared.forget(&object(which), now).await.unwrap();
            }
            Step::Exchange(..) | Step::Settle(..) | Step::Release(_) => {}
        }
        let shared = self
            .shared
            .usage(&[0, 1, 2].map(object), self.now)
            .await
            .unwrap();
        for (index, shared) in shared.into_iter().enumerate() {
            let local = self.shelf.book().usage(&object(index), self.now);
            prop_assert_eq!(sorted(local), sorted(shared), "{}", NAMES[index]);
        }
        Ok(())
    }
}

#[test]
fn both_books_do_the_same() {
    let server = Server::start(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let link = runtime.block_on(async { server.link() });
    runtime
        .block_on(link.connected(Duration::from_secs(5)))
        .unwrap();
    let config = ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let cases = std::cell::Cell::new(0_u32);
    let strategy = (
        proptest::collection::vec(caps(), 3),
        proptest::collection::vec(measure(), 3),
        proptest::collection::vec(step(), 1..80),
    );
    runner
        .run(&strategy, |(caps, measures, steps)| {
            let count = cases.get();
            cases.set(count + 1);
            let place = Place {
                ledger: format!("case{count}"),
                instance: "i".to_owned(),
                names: [1; 32],
            };
            let shared = SharedBook::new(link.clone(), place, Rules::default(), Clock::Callers);
            runtime.block_on(async {
                let set = Command::new("SET").arg(shared.key("epoch")).arg("e");
                shared.link().one(set).await.unwrap();
                shared.enter("e", "e");
                let mut both = Both {
                    shelf: Shelf::new(Book::new(Rules::default())),
                    shared,
                    caps,
                    measures,
                    open: Vec::new(),
                    now: BEGIN,
                    calls: 0,
                };
                for step in steps {
                    both.step(step).await?;
                }
                Ok(())
            })
        })
        .unwrap();
}
