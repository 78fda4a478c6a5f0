//! A record that the store refuses hurts only itself.

use std::time::Duration;

use capsule::{Capsule, Draft, Id};
use ledger::{Ledger, Options, SettleError};

use crate::support::{World, id, open, plain, record_of, settle};

const GRACE: Duration = Duration::from_secs(10);

/// Holds the committer back while a batch gathers, so that all of it is one transaction.
fn batch(ledger: &Ledger, drafts: Vec<Draft>) -> Vec<Result<ledger::Committed, SettleError>> {
    let receipts: Vec<_> = drafts
        .into_iter()
        .map(|draft| ledger.append(draft, None))
        .collect();
    receipts.into_iter().map(ledger::Receipt::wait).collect()
}

#[test]
fn a_refused_record_becomes_a_minimal_one_and_its_neighbours_are_untouched() {
    for at_commit in [false, true] {
        let world = World::new();
        let ledger = world.start();
        let opened = open(&ledger);
        let poisoned = opened.id();
        // The store refuses the id itself, so that the minimal record needs another one.
        world.memory.poison(poisoned, at_commit);
        let ids: Vec<Id> = (0..20).map(|_| id()).collect();
        let draft = record_of(&ledger, &opened);
        let receipt = opened.settle(draft, Some(b"spend".to_vec()));
        let neighbours = batch(&ledger, ids.iter().map(|id| plain(*id)).collect());
        let committed = receipt.wait().unwrap();
        assert!(committed.quarantined);
        assert_ne!(committed.id, poisoned);
        for (neighbour, id) in neighbours.into_iter().zip(ids) {
            let neighbour = neighbour.unwrap();
            assert_eq!((neighbour.id, neighbour.quarantined), (id, false));
        }
        assert_eq!(ledger.status().quarantined, 1);
        ledger.shutdown_blocking(GRACE).unwrap();
        let facts = world.check();
        assert_eq!(
            facts.events.iter().filter(|e| *e == "quarantined").count(),
            1
        );
        let contents = world.memory.contents();
        assert_eq!(contents.quarantine.len(), 1);
        let entry = &contents.quarantine[0];
        assert_eq!(entry.record, Some(committed.id));
        assert!(entry.bytes.ends_with(b"spend"));
        assert_eq!(capsule::Hash::of(&entry.bytes), entry.digest);
        let minimal = String::from_utf8(contents.rows[&committed.sequence].data.clone()).unwrap();
        assert!(minimal.contains(&entry.digest.hex()) && minimal.contains(&poisoned.to_string()));
    }
}

#[test]
fn an_id_that_is_taken_is_quarantined() {
    let world = World::new();
    let ledger = world.start();
    let twice = id();
    let results = batch(
        &ledger,
        vec![plain(id()), plain(twice), plain(twice), plain(id())],
    );
    let quarantined: Vec<bool> = results
        .iter()
        .map(|result| result.as_ref().unwrap().quarantined)
        .collect();
    assert_eq!(quarantined, [false, false, true, false]);
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn a_record_of_another_call_or_without_measure_is_stopped_before_the_queue() {
    let world = World::new();
    let options = Options {
        max_record_bytes: 20_000,
        ..world.options()
    };
    let (ledger, _) = world.try_start_with(options).unwrap();
    let opened = open(&ledger);
    let call = opened.id();
    let committed = opened.settle(plain(id()), None).wait().unwrap();
    assert_eq!((committed.id, committed.quarantined), (call, true));
    let mut capsule = Capsule::default();
    let opened = open(&ledger);
    capsule.id = opened.id();
    capsule.outcome.summary = "x".repeat(30_000);
    let committed = opened
        .settle(Draft::new(&capsule).unwrap(), None)
        .wait()
        .unwrap();
    assert!(committed.quarantined);
    settle(&ledger, open(&ledger)).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
    assert_eq!(world.memory.contents().quarantine.len(), 2);
}

#[test]
fn a_call_that_somebody_settled_gets_no_second_record() {
    let world = World::new();
    let ledger = world.start();
    let opened = open(&ledger);
    let key = (opened.boot(), opened.number());
    let taken = world.memory.contents().intents[&key].clone();
    world.memory.tamper(|contents| {
        contents.intents.clear();
    });
    let result = settle(&ledger, opened).wait();
    assert_eq!(result, Err(SettleError::AlreadySettled));
    assert_eq!(world.memory.contents().rows.len(), 2);
    assert_eq!(world.memory.contents().quarantine.len(), 1);
    world.memory.tamper(|contents| {
        contents.intents.insert(key, taken);
    });
    drop(ledger);
    world.start().shutdown_blocking(GRACE).unwrap();
    world.check();
}
