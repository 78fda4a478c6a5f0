//! Random calls, appends, faults, foreign records and crashes: exactly one record per intent, numbers
//! without gaps, spend equal to the records.

use std::time::Duration;

use ledger::journal::Class;
use ledger::memory::{Fault, Mode, Op};
use ledger::{Ledger, Opened};
use proptest::prelude::*;

use crate::support::{World, id, intent, plain, settle};

#[derive(Clone, Debug)]
enum Step {
    Open,
    Settle(usize),
    Drop(usize),
    Append,
    Fault(Op, Mode, Class, u64),
    Crash,
    Shutdown,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let op = prop::sample::select(vec![
        Op::Begin,
        Op::LockHead,
        Op::InsertIntent,
        Op::TakeIntent,
        Op::InsertRecord,
        Op::Attach,
        Op::AdvanceBoot,
        Op::MoveHead,
        Op::PutTree,
        Op::Commit,
        Op::Reopen,
        Op::Rollback,
        Op::FindRecord,
        Op::HasIntent,
    ]);
    let fault =
        (op, any::<bool>(), any::<bool>(), 0_u64..4).prop_map(|(op, persists, fatal, after)| {
            let mode = if persists {
                Mode::FailsButPersists
            } else {
                Mode::Fails
            };
            let fatal = fatal || matches!(op, Op::Reopen | Op::Rollback | Op::Commit);
            let class = if fatal { Class::Fatal } else { Class::Batch };
            Step::Fault(op, mode, class, after)
        });
    let step = prop_oneof![
        8 => Just(Step::Open),
        6 => any::<prop::sample::Index>().prop_map(|at| Step::Settle(at.index(64))),
        1 => any::<prop::sample::Index>().prop_map(|at| Step::Drop(at.index(64))),
        2 => Just(Step::Append),
        2 => fault,
        1 => Just(Step::Crash),
        1 => Just(Step::Shutdown),
    ];
    prop::collection::vec(step, 1..60)
}

fn pick(calls: &mut Vec<Opened>, at: usize) -> Option<Opened> {
    let at = at.checked_rem(calls.len())?;
    Some(calls.swap_remove(at))
}

fn restart(world: &World) -> Ledger {
    world.memory.heal();
    world.start()
}

fn run(steps: Vec<Step>) {
    let mut world = World::new();
    let mut ledger = world.start();
    let mut calls = Vec::new();
    // Records whose commit was confirmed must be there for ever.
    let mut confirmed = Vec::new();
    let mut receipts = Vec::new();
    for step in steps {
        let look = matches!(step, Step::Crash | Step::Shutdown | Step::Fault(..));
        match step {
            Step::Open => {
                if let Some(slot) = ledger.slot()
                    && let Ok(opened) = ledger.open(slot, intent()).wait()
                {
                    calls.push(opened);
                }
            }
            Step::Settle(at) => {
                receipts.extend(pick(&mut calls, at).map(|call| settle(&ledger, call)));
            }
            Step::Drop(at) => drop(pick(&mut calls, at)),
            Step::Append => receipts.push(ledger.append(plain(id()), None)),
            Step::Fault(op, mode, class, after) => world.memory.fault(Fault {
                after,
                ..Fault::once(op, mode, class)
            }),
            Step::Crash => {
                world.memory = world.memory.crash();
                calls.clear();
                drop(ledger);
                confirmed.extend(receipts.drain(..).filter_map(|receipt| receipt.wait().ok()));
                ledger = restart(&world);
            }
            Step::Shutdown => {
                world.memory.heal();
                for call in calls.drain(..) {
                    receipts.push(settle(&ledger, call));
                }
                ledger.shutdown_blocking(Duration::from_secs(20)).unwrap();
                drop(ledger);
                ledger = restart(&world);
            }
        }
        if look {
            world.check();
        }
    }
    world.memory.heal();
    drop(calls);
    ledger.shutdown_blocking(Duration::from_secs(20)).unwrap();
    confirmed.extend(
        receipts
            .into_iter()
            .filter_map(|receipt| receipt.wait().ok()),
    );
    world.check();
    let contents = world.memory.contents();
    assert!(contents.intents.is_empty());
    for committed in confirmed {
        assert_eq!(
            contents.rows[&committed.sequence].id,
            committed.id.to_string()
        );
    }
    for sequence in contents.attachments.keys() {
        assert!(contents.rows.contains_key(sequence), "spend without record");
    }
    let spent = contents
        .rows
        .values()
        .filter(|row| String::from_utf8_lossy(&row.data).contains("\"status\":\"success\""))
        .filter(|row| String::from_utf8_lossy(&row.data).contains("\"intent\":"));
    assert_eq!(
        spent.count(),
        contents.attachments.len(),
        "record without spend"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn exactly_one_record_per_intent(steps in steps()) {
        run(steps);
    }
}
