//! What a healthy ledger does.

use std::time::Duration;

use ledger::checkpoint::{Checkpoint, verifier_key};
use ledger::{Ledger, LedgerError, OpenError, Options, SettleError};

use crate::support::{World, id, intent, open, plain, record_of, settle, until};

const GRACE: Duration = Duration::from_secs(10);

#[test]
fn one_call_from_genesis_to_shutdown() {
    let world = World::new();
    let ledger = world.start();
    let opened = open(&ledger);
    assert_eq!(opened.number(), 1);
    assert_eq!(
        world.memory.contents().intents.len(),
        1,
        "durable before `open` resolves"
    );
    let draft = record_of(&ledger, &opened);
    let committed = opened
        .settle(draft, Some(b"spend".to_vec()))
        .wait()
        .unwrap();
    assert_eq!(committed.sequence, 2);
    assert!(world.memory.contents().intents.is_empty());
    assert_eq!(world.memory.contents().attachments[&2], b"spend");
    ledger.shutdown_blocking(GRACE).unwrap();
    let facts = world.check();
    assert_eq!(facts.events, ["genesis", "boot", "shutdown"]);
    assert_eq!(facts.records, 4);
    assert!(world.memory.contents().boots.iter().all(|boot| boot.closed));
    assert_eq!(world.memory.contents().checkpoint.unwrap().0, 4);
}

#[test]
fn a_second_start_continues_the_chain_and_the_tree() {
    let world = World::new();
    for round in 0..3 {
        let ledger = world.start();
        for _ in 0..100 {
            drop(settle(&ledger, open(&ledger)));
        }
        ledger.shutdown_blocking(GRACE).unwrap();
        let facts = world.check();
        assert_eq!(facts.records, 1 + (round + 1) * 102);
    }
    let note = world.anchor.get().unwrap();
    assert_eq!(Checkpoint::parse(&note).unwrap().size, 307);
}

#[test]
fn concurrent_callers_share_commits_and_never_numbers() {
    let world = World::new();
    let ledger = world.start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    settle(&ledger, open(&ledger)).wait().unwrap();
                }
            });
        }
    });
    assert_eq!(ledger.status().intents, 400);
    assert_eq!(ledger.status().records, 400);
    assert_eq!(ledger.status().open_calls, 0);
    ledger.shutdown_blocking(GRACE).unwrap();
    let facts = world.check();
    let boot = ledger.identity().boot.to_string();
    assert_eq!(facts.settled[&boot], (1..=400).collect());
}

#[test]
fn a_dropped_call_is_sealed_as_unknown() {
    let world = World::new();
    let ledger = world.start();
    drop(open(&ledger));
    drop(ledger.open(ledger.slot().unwrap(), intent()));
    until("both are sealed", || ledger.status().records == 2);
    ledger.shutdown_blocking(GRACE).unwrap();
    let facts = world.check();
    assert_eq!(
        facts
            .events
            .iter()
            .filter(|event| *event == "abandoned")
            .count(),
        2
    );
    assert_eq!(facts.statuses.iter().filter(|s| *s == "unknown").count(), 2);
}

#[test]
fn slots_bound_what_is_under_way_and_settling_is_never_refused() {
    let world = World::new();
    let options = Options {
        settle_slots: 2,
        ..world.options()
    };
    let (ledger, _) = world.try_start_with(options).unwrap();
    let first = open(&ledger);
    let second = ledger.slot().unwrap();
    assert!(ledger.slot().is_none());
    drop(second);
    let second = open(&ledger);
    assert!(ledger.slot().is_none());
    let receipts = [settle(&ledger, first), settle(&ledger, second)];
    for receipt in receipts {
        receipt.wait().unwrap();
    }
    until("the slots are free again", || ledger.status().slots.0 == 0);
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn appends_have_a_bound_and_say_so() {
    let world = World::new();
    let options = Options {
        append_slots: 0,
        ..world.options()
    };
    let (ledger, _) = world.try_start_with(options).unwrap();
    assert_eq!(
        ledger.append(plain(id()), None).wait(),
        Err(SettleError::Overloaded)
    );
    ledger.shutdown_blocking(GRACE).unwrap();
}

#[test]
fn shutdown_waits_for_open_calls_and_leaves_late_ones_to_recovery() {
    let world = World::new();
    let ledger = world.start();
    let opened = open(&ledger);
    let late = open(&ledger);
    std::thread::scope(|scope| {
        scope.spawn(|| settle(&ledger, opened).wait().unwrap());
        let result = ledger.shutdown_blocking(Duration::from_millis(50));
        assert!(matches!(result, Err(LedgerError::OpenCalls(1..))));
    });
    let slot = ledger.slot().unwrap();
    let refused = ledger.open(slot, intent()).wait();
    assert!(matches!(refused, Err(OpenError::AuditUnavailable { .. })));
    assert_eq!(settle(&ledger, late).wait(), Err(SettleError::Stopped));
    world.check();
    let (ledger, recovery) = world.try_start_with(world.options()).unwrap();
    assert_eq!(recovery.boots.len(), 1);
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn a_store_without_ledger_or_with_one_is_refused() {
    let world = World::new();
    let mut anchor = world.anchor.clone();
    let again = ledger::create(
        Box::new(world.memory.clone()),
        &world.signers,
        &mut anchor,
        &world.options(),
    );
    assert!(matches!(again, Err(LedgerError::Exists(_))));
    let empty = ledger::memory::Memory::new();
    let started = Ledger::start(
        Box::new(empty),
        &world.signers,
        Box::new(anchor),
        world.options(),
    );
    assert!(matches!(started, Err(LedgerError::NotCreated)));
}

#[test]
fn checkpoints_are_published_and_signed() {
    let world = World::new();
    let ledger = world.start();
    drop(settle(&ledger, open(&ledger)).wait());
    until("a checkpoint covers the call", || {
        ledger.checkpoint().is_some_and(|found| found.size >= 3)
    });
    let checkpoint = ledger.checkpoint().unwrap();
    let key = world.signers.checkpoints.public_key();
    let verified = Checkpoint::verify(&checkpoint.note, ledger.origin(), &key).unwrap();
    assert_eq!(verified, *checkpoint);
    assert!(
        checkpoint
            .header()
            .starts_with(&format!("{}:", checkpoint.size))
    );
    assert!(verifier_key(ledger.origin(), &key).starts_with(ledger.origin()));
    ledger.shutdown_blocking(GRACE).unwrap();
    let newest = Checkpoint::parse(&world.anchor.get().unwrap()).unwrap();
    assert_eq!(newest.size, world.check().records as u64);
}

#[test]
fn a_handle_that_is_only_dropped_still_commits_what_it_was_given() {
    let world = World::new();
    let ledger = world.start();
    let opened = open(&ledger);
    drop(settle(&ledger, opened));
    drop(ledger);
    let facts = world.check();
    assert_eq!(facts.events, ["genesis", "boot"]);
    assert_eq!(facts.records, 3);
}
