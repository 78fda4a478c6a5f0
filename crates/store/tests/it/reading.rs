//! Reading without changing anything.

use std::fs;

use ledger::tree::{inclusion, leaf_hash, verify_inclusion};
use store::reader::{ReadError, Reader};

use crate::support::{GRACE, World, id, names, open, record, settle, spend};

#[test]
fn everything_comes_back_while_it_is_served_and_after() {
    let world = World::new();
    let ledger = world.start();
    for _ in 0..5 {
        settle(&ledger, open(&ledger)).wait().unwrap();
    }
    let call = open(&ledger);
    let sessioned = record(id(), Some("2f1c9d3e-0000-4000-8000-000000000001"));
    ledger.append(sessioned, None).wait().unwrap();
    let before = names(world.data.root());
    let reader = world.reader();
    assert_eq!(reader.ledger_id().unwrap(), Some(ledger.id()));
    assert_eq!(reader.count().unwrap(), 8);
    let intents = reader.intents().unwrap();
    assert_eq!(intents.len(), 1);
    assert_eq!((intents[0].id, intents[0].number), (call.id(), 6));
    assert_eq!(intents[0].payload, b"reservation");
    let spent = reader.spend().unwrap();
    assert_eq!(
        spent.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        [2, 3, 4, 5, 6]
    );
    assert!(spent.iter().all(|(_, row)| *row == spend()));
    let boots = reader.boots().unwrap();
    assert_eq!(
        (boots.len(), boots[0].last_intent, boots[0].closed_at),
        (1, 6, None)
    );
    drop(reader);
    assert_eq!(names(world.data.root()), before);
    settle(&ledger, call).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    drop(ledger);
    let before = names(world.data.root());
    assert_eq!(world.check(), 10);
    assert!(world.reader().boots().unwrap()[0].closed_at.is_some());
    assert_eq!(names(world.data.root()), before, "reading creates nothing");
}

#[test]
fn rows_are_read_in_pages_and_from_any_place() {
    let world = World::new();
    let ledger = world.start();
    let receipts: Vec<_> = (0..600)
        .map(|_| ledger.append(record(id(), None), None))
        .collect();
    receipts
        .into_iter()
        .for_each(|receipt| assert!(receipt.wait().is_ok()));
    ledger.shutdown_blocking(GRACE).unwrap();
    let reader = world.reader();
    for from in [0, 1, 255, 256, 257, 602, 603] {
        let paged: Vec<u64> = reader.rows(from).map(|row| row.unwrap().sequence).collect();
        let mut streamed = Vec::new();
        reader
            .for_each(from, |row| {
                streamed.push(row.sequence);
                true
            })
            .unwrap();
        assert_eq!(paged, (from..603).collect::<Vec<_>>());
        assert_eq!(streamed, paged);
    }
}

#[test]
fn a_proof_from_stored_tiles_leads_to_the_checkpoint() {
    let world = World::new();
    let ledger = world.start();
    let receipts: Vec<_> = (0..700)
        .map(|_| ledger.append(record(id(), None), None))
        .collect();
    receipts
        .into_iter()
        .for_each(|receipt| assert!(receipt.wait().is_ok()));
    ledger.shutdown_blocking(GRACE).unwrap();
    let mut reader = world.reader();
    let (size, note) = reader.checkpoint().unwrap().unwrap();
    let root = ledger::Checkpoint::parse(&note).unwrap().root;
    for index in [0, 1, 255, 256, 511, 702] {
        let row = reader.row(index).unwrap().unwrap();
        let leaf = leaf_hash(&row.record().unwrap().record_json());
        let proof = inclusion(index, size, &mut reader).unwrap().unwrap();
        verify_inclusion(leaf, index, size, &proof, &root).unwrap();
    }
    assert_eq!(fs::read_to_string(world.data.checkpoint()).unwrap(), note);
}

#[test]
fn what_does_not_exist_is_not_created() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("capsules.db");
    assert!(matches!(Reader::open(&path), Err(ReadError::Missing(_))));
    fs::write(&path, []).unwrap();
    assert!(matches!(Reader::open(&path), Err(ReadError::NoChain(_))));
    assert_eq!(names(root.path()), ["capsules.db"]);
}

#[test]
fn a_read_only_directory_is_enough() {
    let world = World::new();
    world.start().shutdown_blocking(GRACE).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("odd name?#%.db");
    fs::copy(world.data.database(), &path).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.count().unwrap(), 3);
    assert_eq!(names(copy.path()), ["odd name?#%.db"]);
}
