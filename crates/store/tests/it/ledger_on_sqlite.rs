//! The ledger's promises on a real file: crashes, foreign writers, tampering.

use std::path::Path;

use capsule::{Sealed, SigningKey, Timestamp};
use ledger::{Damage, Ledger, LedgerError, Options};
use rusqlite::{Connection, params};
use store::sqlite::SqliteJournal;

use crate::support::{GRACE, World, id, open, options, record, settings, settle, until};

/// Copies what a killed process would leave: database and log, without shared memory.
fn copy_as_after_a_kill(from: &Path, to: &Path) {
    for name in [
        "capsules.db",
        "capsules.db-wal",
        "key",
        "checkpoint.key",
        "digest.key",
        "checkpoint",
    ] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[test]
fn what_was_committed_survives_a_kill_and_open_calls_are_recovered() {
    let world = World::new();
    let ledger = world.start();
    for _ in 0..50 {
        settle(&ledger, open(&ledger)).wait().unwrap();
    }
    let calls: Vec<_> = (0..3).map(|_| open(&ledger)).collect();
    let after = World::new();
    copy_as_after_a_kill(world.data.root(), after.data.root());
    let signers = world.signers.clone();
    let journal = SqliteJournal::open(after.data.database(), settings()).unwrap();
    let anchor = Box::new(after.data.anchor());
    let (recovered, recovery) =
        Ledger::start(Box::new(journal), &signers, anchor, options()).unwrap();
    assert_eq!(recovery.boots[0].last_intent, 53);
    assert_eq!(recovery.boots[0].recovered.len(), 3);
    recovered.shutdown_blocking(GRACE).unwrap();
    let after = World { signers, ..after };
    // genesis, boot, 50 calls, 3 recovered, recovery, boot, shutdown
    assert_eq!(after.check(), 58);
    drop(calls);
    until("all are settled", || ledger.status().open_calls == 0);
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

fn append(connection: &Connection, key: &SigningKey) {
    let (sequence, hash): (i64, String) = connection
        .query_row(
            "SELECT sequence, hash FROM capsules ORDER BY sequence DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let previous = capsule::Hash::from_hex(&hash).unwrap();
    let linked = record(id(), None).link(sequence as u64 + 1, Some(&previous));
    insert(connection, &linked.seal(key, Timestamp::new(0)).unwrap());
}

fn insert(connection: &Connection, sealed: &Sealed) {
    connection
        .execute(
            "INSERT INTO capsules (id, type, sequence, previous_hash, data, hash, signature, signature_pq, \
             signed_at, signed_by, session_id) VALUES (?1, 'chat', ?2, ?3, ?4, ?5, ?6, '', ?7, ?8, NULL)",
            params![
                sealed.id().to_string(),
                sealed.sequence() as i64,
                sealed.previous_hash().map(|hash| hash.hex()),
                String::from_utf8(sealed.content().to_vec()).unwrap(),
                sealed.hash().hex(),
                sealed.signature_hex(),
                sealed.signed_at().to_string(),
                sealed.signed_by(),
            ],
        )
        .unwrap();
}

fn own_key(world: &World) -> SigningKey {
    let seed = std::fs::read(world.data.root().join("key")).unwrap();
    SigningKey::from_seed(seed.try_into().unwrap())
}

#[test]
fn records_by_the_same_key_are_adopted_and_noted() {
    let world = World::new();
    let ledger = world.start();
    let other = Connection::open(world.data.database()).unwrap();
    append(&other, &own_key(&world));
    append(&other, &own_key(&world));
    settle(&ledger, open(&ledger)).wait().unwrap();
    assert_eq!(ledger.status().adopted, 2);
    ledger.shutdown_blocking(GRACE).unwrap();
    assert_eq!(world.reader().adopted().unwrap(), [(2, 3)]);
    assert_eq!(world.check(), 6);
}

#[test]
fn a_record_by_another_key_stops_serving() {
    let world = World::new();
    let ledger = world.start();
    let other = Connection::open(world.data.database()).unwrap();
    append(&other, &SigningKey::from_seed([66; 32]));
    assert!(
        ledger
            .open(ledger.slot().unwrap(), crate::support::intent())
            .wait()
            .is_err()
    );
    until("it stopped", || !ledger.admitting());
    drop(ledger);
    assert!(matches!(
        world.try_start(),
        Err(LedgerError::Damage(Damage::UnknownKey { sequence: 2, .. }))
    ));
}

#[test]
fn cut_and_edited_files_are_refused_by_name() {
    for (sql, expected) in [
        ("DELETE FROM capsules WHERE sequence = 3", "truncated"),
        (
            "UPDATE capsules SET data = replace(data, 'stopped', 'stoppeD') WHERE sequence = 3",
            "record 3",
        ),
        (
            "UPDATE capsules SET data = replace(data, 'genesis', 'genesiz') WHERE sequence = 0",
            "record 0",
        ),
        ("UPDATE sealgate_head SET sequence = 2", "record 2"),
        (
            "UPDATE sealgate_tiles SET hashes = zeroblob(length(hashes))",
            "forked",
        ),
        ("DELETE FROM sealgate_tiles", "tile"),
    ] {
        let world = World::new();
        let ledger = world.start();
        settle(&ledger, open(&ledger)).wait().unwrap();
        ledger.shutdown_blocking(GRACE).unwrap();
        drop(ledger);
        let other = Connection::open(world.data.database()).unwrap();
        assert!(other.execute(sql, []).unwrap() > 0);
        drop(other);
        let error = world.try_start().err().unwrap().to_string();
        assert!(error.contains(expected), "{sql}: {error}");
    }
}

#[test]
fn an_attachment_that_is_no_spend_is_quarantined_with_its_record() {
    let world = World::new();
    let ledger = world.start();
    let opened = open(&ledger);
    let draft = record(opened.id(), None);
    let receipt = opened.settle(draft, Some(b"nonsense".to_vec()));
    let neighbour = ledger.append(record(id(), None), None);
    assert!(receipt.wait().unwrap().quarantined);
    assert!(!neighbour.wait().unwrap().quarantined);
    ledger.shutdown_blocking(GRACE).unwrap();
    let entries = world.reader().quarantine().unwrap();
    assert_eq!(entries.len(), 1);
    assert!(entries[0].bytes.ends_with(b"nonsense"));
    world.check();
}

#[test]
fn rolling_back_to_a_copy_is_noticed_and_adopted_only_on_demand() {
    let world = World::new();
    let ledger = world.start();
    settle(&ledger, open(&ledger)).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    drop(ledger);
    let backup = std::fs::read(world.data.database()).unwrap();
    let ledger = world.start();
    settle(&ledger, open(&ledger)).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    drop(ledger);
    std::fs::write(world.data.database(), backup).unwrap();
    assert!(matches!(
        world.try_start(),
        Err(LedgerError::Damage(Damage::BehindCheckpoint {
            checkpoint: 7,
            records: 4
        }))
    ));
    let mut anchor = world.data.anchor();
    let journal = Box::new(world.journal());
    let gap = ledger::adopt(
        journal,
        &world.signers,
        &mut anchor,
        &Options::default(),
        "restored",
    )
    .unwrap();
    assert_eq!(gap.kind, ledger::GapKind::Behind);
    world.start().shutdown_blocking(GRACE).unwrap();
    assert_eq!(world.check(), 7);
}

#[test]
fn a_lost_connection_is_opened_again() {
    use ledger::journal::{Chain, Journal};
    let world = World::new();
    let mut journal = world.journal();
    journal.begin().unwrap();
    journal.reopen().unwrap();
    journal.begin().unwrap();
    assert!(journal.lock_head(&Chain::default()).unwrap().last.is_some());
    journal.rollback().unwrap();
    journal.close().unwrap();
}
