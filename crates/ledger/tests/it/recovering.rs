//! What a start does about what a crash left, and what it refuses.

use std::time::Duration;

use capsule::{Capsule, SigningKey};
use ledger::{Damage, LedgerError, OpenIntent, Options, Signers};

use crate::support::{World, open, settle};

const GRACE: Duration = Duration::from_secs(10);

fn crashed_with_open_calls(open_calls: usize) -> World {
    let mut world = World::new();
    let ledger = world.start();
    settle(&ledger, open(&ledger)).wait().unwrap();
    let calls: Vec<_> = (0..open_calls).map(|_| open(&ledger)).collect();
    world.memory = world.memory.crash();
    drop(calls);
    drop(ledger);
    world
}

#[test]
fn open_calls_are_sealed_as_unknown_and_the_boot_is_closed() {
    let world = crashed_with_open_calls(3);
    assert_eq!(world.memory.contents().intents.len(), 3);
    let (ledger, recovery) = world.try_start_with(world.options()).unwrap();
    assert_eq!(recovery.boots.len(), 1);
    assert_eq!(recovery.boots[0].last_intent, 4);
    let numbers = recovery.boots[0]
        .recovered
        .iter()
        .map(|intent| intent.number);
    assert_eq!(numbers.collect::<Vec<_>>(), [2, 3, 4]);
    let facts = world.check();
    assert_eq!(
        facts.events,
        [
            "genesis",
            "boot",
            "recovered",
            "recovered",
            "recovered",
            "recovery",
            "boot"
        ]
    );
    assert!(world.memory.contents().intents.is_empty());
    ledger.shutdown_blocking(GRACE).unwrap();
    // Nothing is left to recover.
    let (ledger, recovery) = world.try_start_with(world.options()).unwrap();
    assert!(recovery.boots.is_empty());
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn a_boot_without_open_calls_is_closed_too() {
    let world = crashed_with_open_calls(0);
    let (ledger, recovery) = world.try_start_with(world.options()).unwrap();
    assert!(recovery.boots[0].recovered.is_empty());
    ledger.shutdown_blocking(GRACE).unwrap();
    assert!(world.check().events.contains(&"recovery".to_owned()));
}

#[test]
fn the_caller_builds_the_record_and_the_ledger_ties_it_to_the_intent() {
    let world = crashed_with_open_calls(2);
    let build = |intent: &OpenIntent| {
        assert_eq!(intent.payload, b"reservation");
        let mut capsule = Capsule::default();
        capsule.outcome.status = "unknown".into();
        capsule.outcome.summary = "lost in a crash".to_owned();
        if intent.number == 2 {
            // Cannot be sealed: the ledger falls back to its own.
            capsule.domain = "x".repeat(51);
        }
        (capsule, Some(b"estimate".to_vec()))
    };
    let options = Options {
        recover: Some(Box::new(build)),
        ..world.options()
    };
    let (ledger, _) = world.try_start_with(options).unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
    let contents = world.memory.contents();
    assert_eq!(
        contents.attachments.len(),
        2,
        "the settled call and one recovered"
    );
    let texts: Vec<_> = contents
        .rows
        .values()
        .map(|row| String::from_utf8(row.data.clone()).unwrap())
        .collect();
    let recovered = texts
        .iter()
        .filter(|text| text.contains("\"event\":\"recovered\""));
    assert_eq!(recovered.count(), 2);
    assert!(texts.iter().any(|text| text.contains("lost in a crash")));
}

fn refused(world: &World) -> LedgerError {
    world.try_start_with(world.options()).err().unwrap()
}

fn shut_down(calls: usize) -> World {
    let world = World::new();
    let ledger = world.start();
    for _ in 0..calls {
        settle(&ledger, open(&ledger)).wait().unwrap();
    }
    ledger.shutdown_blocking(GRACE).unwrap();
    world
}

#[test]
fn a_cut_tail_is_refused() {
    let world = shut_down(5);
    world.memory.tamper(|contents| {
        contents.rows.pop_last();
    });
    assert!(matches!(
        refused(&world),
        LedgerError::Damage(Damage::Truncated { expected: 7, .. })
    ));
}

#[test]
fn an_older_copy_is_behind_the_checkpoint() {
    let world = shut_down(2);
    let old = world.memory.contents();
    let ledger = world.start();
    settle(&ledger, open(&ledger)).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    world.memory.tamper(|contents| *contents = old);
    let error = refused(&world);
    assert!(
        matches!(
            error,
            LedgerError::Damage(Damage::BehindCheckpoint {
                checkpoint: 8,
                records: 5
            })
        ),
        "{error}"
    );
}

#[test]
fn another_history_of_the_same_length_is_forked() {
    let world = shut_down(2);
    let old = world.memory.contents();
    let old_anchor = world.anchor.get();
    let ledger = world.start();
    ledger.shutdown_blocking(GRACE).unwrap();
    let first = world.anchor.get();
    world.memory.tamper(|contents| *contents = old);
    world.anchor.set(old_anchor);
    let ledger = world.start();
    ledger.shutdown_blocking(GRACE).unwrap();
    world.anchor.set(first);
    assert!(matches!(
        refused(&world),
        LedgerError::Damage(Damage::Forked { size: 7 })
    ));
}

#[test]
fn an_edited_last_record_is_refused() {
    let world = shut_down(1);
    world.memory.tamper(|contents| {
        let mut last = contents.rows.last_entry().unwrap();
        let text = String::from_utf8(last.get().data.clone()).unwrap();
        last.get_mut().data = text.replace("stopped", "stoppeD").into_bytes();
    });
    assert!(matches!(
        refused(&world),
        LedgerError::Damage(Damage::Record { sequence: 3, .. })
    ));
}

#[test]
fn a_missing_or_forged_checkpoint_is_refused() {
    let world = shut_down(1);
    let note = world.anchor.get().unwrap();
    world.anchor.set(None);
    assert!(matches!(
        refused(&world),
        LedgerError::Damage(Damage::CheckpointMissing)
    ));
    world.anchor.set(Some(note.replacen("\n4\n", "\n3\n", 1)));
    assert!(matches!(refused(&world), LedgerError::Checkpoint { .. }));
    world.anchor.set(Some(note));
    world.start().shutdown_blocking(GRACE).unwrap();
}

#[test]
fn another_key_does_not_start_this_ledger() {
    let mut world = shut_down(1);
    world.signers = Signers {
        records: std::sync::Arc::new(SigningKey::from_seed([9; 32])),
        ..world.signers.clone()
    };
    assert!(matches!(
        refused(&world),
        LedgerError::Damage(Damage::UnknownKey { sequence: 0, .. })
    ));
}

#[test]
fn a_tree_that_is_not_that_of_the_records_is_refused() {
    let world = shut_down(3);
    world.memory.tamper(|contents| {
        for tile in contents.tiles.values_mut() {
            tile[0] ^= 1;
        }
    });
    assert!(matches!(
        refused(&world),
        LedgerError::Damage(Damage::Forked { .. })
    ));
    world.memory.tamper(|contents| contents.tiles.clear());
    assert!(matches!(refused(&world), LedgerError::Damage(_)));
}

#[test]
fn the_tree_catches_up_from_the_rows() {
    let mut world = World::new();
    let options = Options {
        checkpoint_interval: Duration::from_secs(3600),
        ..world.options()
    };
    let (ledger, _) = world.try_start_with(options).unwrap();
    for _ in 0..700 {
        drop(settle(&ledger, open(&ledger)));
    }
    crate::support::until("all are committed", || ledger.status().open_calls == 0);
    world.crash(ledger);
    let contents = world.memory.contents();
    assert!(contents.checkpoint.unwrap().0 < contents.rows.len() as u64);
    world.start().shutdown_blocking(GRACE).unwrap();
    let facts = world.check();
    assert_eq!(
        world.memory.contents().checkpoint.unwrap().0,
        facts.records as u64
    );
}
