//! The fault table: each storage call fails, with and without effect, and after every step the whole
//! store is checked from its rows. Then it is mended and must go on.

use std::time::Duration;

use ledger::journal::Class;
use ledger::memory::{Fault, Mode, Op};
use ledger::{Ledger, OpenError};

use crate::support::{World, id, intent, open, plain, settle, until};

const GRACE: Duration = Duration::from_secs(10);

/// What a caller may see while the fault lasts.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Sees {
    /// Nothing: one failure is made good before anybody is told.
    Nothing,
    /// New calls may be refused; settlements never are.
    Refusals,
}

const ROUNDS: usize = 3;

fn faults() -> Vec<(Op, Mode, Class, Sees)> {
    use Class::{Batch, Fatal};
    use Mode::{Fails, FailsButPersists};
    let mut table = Vec::new();
    for op in [
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
    ] {
        for mode in [Fails, FailsButPersists] {
            // A commit that reports "nothing happened" and lies about it breaks the contract.
            if !(op == Op::Commit && mode == FailsButPersists) {
                table.push((op, mode, Batch, Sees::Refusals));
            }
            table.push((op, mode, Fatal, Sees::Nothing));
        }
    }
    table
}

#[test]
fn one_fault_of_every_kind() {
    for (op, mode, class, sees) in faults() {
        let name = format!("{op:?} {mode:?} {class:?}");
        let world = World::new();
        let ledger = world.start();
        for after in 0..ROUNDS as u64 {
            let fault = Fault {
                after,
                ..Fault::once(op, mode, class)
            };
            world.memory.fault(fault);
            let refused = traffic(&world, &ledger, &name);
            assert!(
                sees == Sees::Refusals || refused == 0,
                "{name}: {refused} refused"
            );
            world.check();
            world.memory.heal();
            goes_on(&world, &ledger, &name);
        }
        ledger.shutdown_blocking(GRACE).unwrap();
        world.check();
    }
}

#[test]
fn lasting_faults_stop_admission_and_nothing_else() {
    for (op, mode, class, _) in faults() {
        // The tree is not part of a call.
        if op == Op::PutTree || (op == Op::Commit && mode == Mode::FailsButPersists) {
            continue;
        }
        let name = format!("{op:?} {mode:?} {class:?}");
        let world = World::new();
        let ledger = world.start();
        let calls: Vec<_> = (0..5).map(|_| open(&ledger)).collect();
        until("the tree is stored", || {
            world
                .memory
                .contents()
                .checkpoint
                .is_some_and(|(size, _)| size == 2)
        });
        world.memory.fault(Fault::always(op, mode, class));
        let receipts: Vec<_> = calls
            .into_iter()
            .map(|call| settle(&ledger, call))
            .collect();
        if op == Op::InsertIntent {
            // Settlements do not need it; an open finds it.
            let refused = ledger.open(ledger.slot().unwrap(), intent()).wait();
            assert!(refused.is_err(), "{name}");
        }
        until(&name, || {
            !ledger.admitting() || op == Op::InsertIntent || op == Op::AdvanceBoot
        });
        world.check();
        world.memory.heal();
        for receipt in receipts {
            receipt.wait().unwrap();
        }
        goes_on(&world, &ledger, &name);
        ledger.shutdown_blocking(GRACE).unwrap();
        let facts = world.check();
        assert!(facts.events.contains(&"shutdown".to_owned()), "{name}");
    }
}

#[test]
fn the_store_cannot_be_opened_again_for_a_while() {
    for persists in [Mode::Fails, Mode::FailsButPersists] {
        let world = World::new();
        let ledger = world.start();
        let call = open(&ledger);
        world
            .memory
            .fault(Fault::always(Op::Reopen, Mode::Fails, Class::Fatal));
        world
            .memory
            .fault(Fault::once(Op::Commit, persists, Class::Fatal));
        let receipt = settle(&ledger, call);
        // An intent in the transaction of unknown outcome is refused, and sealed if it was persisted.
        let opening = ledger.open(ledger.slot().unwrap(), intent()).wait();
        assert!(matches!(opening, Err(OpenError::AuditUnavailable { .. })));
        until("admission stops", || !ledger.admitting());
        world.memory.heal();
        receipt.wait().unwrap();
        goes_on(&world, &ledger, "reopen");
        ledger.shutdown_blocking(GRACE).unwrap();
        world.check();
    }
}

#[test]
fn a_full_disk_refuses_opens_keeps_settlements_and_heals_without_a_restart() {
    let world = World::new();
    let ledger = world.start();
    let calls: Vec<_> = (0..10).map(|_| open(&ledger)).collect();
    world.memory.fill_disk();
    let receipts: Vec<_> = calls
        .into_iter()
        .map(|call| settle(&ledger, call))
        .collect();
    until("admission stops", || !ledger.admitting());
    let refused = ledger.open(ledger.slot().unwrap(), intent()).wait();
    assert!(matches!(refused, Err(OpenError::AuditUnavailable { .. })));
    world.check();
    world.memory.heal();
    for receipt in receipts {
        receipt.wait().unwrap();
    }
    goes_on(&world, &ledger, "full disk");
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn admission_resumes_although_no_settlement_waits() {
    let world = World::new();
    let ledger = world.start();
    world.memory.fill_disk();
    let refused = ledger.open(ledger.slot().unwrap(), intent()).wait();
    assert!(refused.is_err());
    assert!(!ledger.admitting());
    world.memory.heal();
    goes_on(&world, &ledger, "idle");
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn a_used_up_reserve_refuses_opens_and_still_settles() {
    let world = World::new();
    let ledger = world.start();
    let call = open(&ledger);
    world.memory.set_room(false);
    let first = ledger.open(ledger.slot().unwrap(), intent()).wait();
    assert!(first.is_err());
    settle(&ledger, call).wait().unwrap();
    assert!(!ledger.admitting());
    world.memory.heal();
    goes_on(&world, &ledger, "reserve");
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_counted_and_tried_again() {
    let world = World::new();
    let ledger = world.start();
    world.anchor.break_writes(true);
    settle(&ledger, open(&ledger)).wait().unwrap();
    until("it is counted", || ledger.status().anchor_failures > 1);
    assert!(ledger.admitting());
    world.anchor.break_writes(false);
    let records = || world.memory.contents().rows.len() as u64;
    until("the anchor has caught up", || {
        let note = world.anchor.get().unwrap();
        ledger::Checkpoint::parse(&note).unwrap().size == records()
    });
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn faults_while_starting_are_errors_and_change_nothing_twice() {
    for op in [
        Op::Begin,
        Op::LockHead,
        Op::Rows,
        Op::InsertRecord,
        Op::CloseBoot,
        Op::MoveHead,
        Op::Commit,
        Op::FindRecord,
    ] {
        for mode in [Mode::Fails, Mode::FailsButPersists] {
            let mut world = World::new();
            let ledger = world.start();
            let _lost = open(&ledger);
            world.memory = world.memory.crash();
            drop(ledger);
            world.memory.fault(Fault::always(op, mode, Class::Fatal));
            let started = world.try_start_with(world.options());
            drop(started);
            world.memory = world.memory.crash();
            world.memory.heal();
            world.check();
            world.start().shutdown_blocking(GRACE).unwrap();
            let facts = world.check();
            let recovered = facts.events.iter().filter(|event| *event == "recovered");
            assert_eq!(recovered.count(), 1, "{op:?} {mode:?}");
        }
    }
}

/// Calls and appends; returns how many opens were refused.
fn traffic(world: &World, ledger: &Ledger, name: &str) -> usize {
    let mut refused = 0;
    for _ in 0..ROUNDS + 2 {
        let Some(slot) = ledger.slot() else { continue };
        match ledger.open(slot, intent()).wait() {
            Ok(opened) => drop(settle(ledger, opened).wait().unwrap_or_else(|error| {
                panic!("{name}: a settlement was refused: {error}");
            })),
            Err(_) => refused += 1,
        }
        ledger.append(plain(id()), None).wait().unwrap();
        world.check();
    }
    refused
}

fn goes_on(world: &World, ledger: &Ledger, name: &str) {
    until(&format!("{name}: admission resumes"), || ledger.admitting());
    let before = world.memory.contents().rows.len();
    settle(ledger, open(ledger)).wait().unwrap();
    assert!(world.memory.contents().rows.len() > before);
    world.check();
}
