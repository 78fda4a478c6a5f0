//! A disk without room, as SQLite reports it.

use ledger::journal::{Class, Journal};
use ledger::{Ledger, OpenError};
use store::sqlite::{PageLimit, Settings, SqliteJournal};

use crate::support::{GRACE, World, id, intent, open, options, record, settings, settle, until};

#[test]
fn a_full_database_refuses_opens_keeps_settlements_and_recovers_without_a_restart() {
    let world = World::new();
    let limit = PageLimit::new(u32::MAX);
    let settings = Settings {
        page_limit: Some(limit.clone()),
        ..settings()
    };
    let journal = SqliteJournal::open(world.data.database(), settings).unwrap();
    let anchor = Box::new(world.data.anchor());
    let (ledger, _) = Ledger::start(Box::new(journal), &world.signers, anchor, options()).unwrap();
    let calls: Vec<_> = (0..20).map(|_| open(&ledger)).collect();
    limit.set(1);
    // Whatever still fits into pages that exist is taken; at some point a page more is needed.
    let mut refused = 0;
    until("an open is refused", || {
        drop(ledger.append(record(id(), None), None));
        let opening = ledger.slot().map(|slot| ledger.open(slot, intent()).wait());
        refused += usize::from(matches!(
            opening,
            Some(Err(OpenError::AuditUnavailable { .. }))
        ));
        refused > 0
    });
    let receipts: Vec<_> = calls
        .into_iter()
        .map(|call| settle(&ledger, call))
        .collect();
    until("admission stops", || !ledger.admitting());
    assert!(ledger.status().last_error.unwrap().contains("full"));
    limit.set(u32::MAX);
    for receipt in receipts {
        receipt.wait().unwrap();
    }
    until("admission resumes", || ledger.admitting());
    settle(&ledger, open(&ledger)).wait().unwrap();
    until("every call is settled", || ledger.status().open_calls == 0);
    ledger.shutdown_blocking(GRACE).unwrap();
    assert!(world.reader().intents().unwrap().is_empty());
    world.check();
}

#[test]
fn a_reserve_larger_than_the_disk_admits_nothing() {
    let world = World::new();
    let settings = Settings {
        disk_reserve: u64::MAX,
        ..Settings::default()
    };
    let path = world.data.database();
    let mut journal = SqliteJournal::open(path, settings).unwrap();
    assert!(!journal.has_room().unwrap());
}

#[test]
fn another_writer_that_keeps_the_lock_is_a_reason_to_try_later() {
    let world = World::new();
    let mut journal = world.journal();
    let other = rusqlite::Connection::open(world.data.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = journal.begin().err().unwrap();
    assert_eq!(error.class, Class::Batch, "{error}");
    journal.rollback().unwrap();
    other.execute_batch("ROLLBACK").unwrap();
    journal.begin().unwrap();
    journal.rollback().unwrap();
}
