//! The ledger's promises on a real server: crashes, lost connections, other instances, tampering, servers that are not durable.

use std::sync::Arc;
use std::time::Duration;

use ledger::journal::{Chain, Journal};
use ledger::{Damage, GapKind, Ledger, LedgerError, Options, Recovery, Signers};
use store::keys::DataDir;
use store::postgres::{OpenError, PostgresJournal, Settings, Target};
use store::reader::Reader;

use crate::pg_server::{self, Server, programs};
use crate::pg_shared::{database, server};
use crate::support::{GRACE, check, id, intent, open, options, record, settle, until};

/// A created ledger in a database of its own.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) target: Target,
    pub(crate) data: DataDir,
    pub(crate) signers: Signers,
    _root: tempfile::TempDir,
}

pub(crate) fn alone() -> Settings {
    Settings {
        lease: Duration::from_millis(900),
        ..Settings::default()
    }
}

pub(crate) fn shared() -> Settings {
    Settings {
        shared: true,
        ..alone()
    }
}

impl World {
    pub(crate) fn new() -> Option<World> {
        database().map(World::at)
    }

    pub(crate) fn at(url: String) -> World {
        // Leases are honoured for their length after the server's start.
        let old = "SELECT clock_timestamp() > pg_postmaster_start_time() + interval '950 ms'";
        until("the server is old enough", || {
            pg_server::sql(&programs().unwrap(), &url, old) == ["t"]
        });
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::create(root.path().join("data")).unwrap();
        let signers = Signers {
            records: Arc::new(data.signer().unwrap()),
            checkpoints: Arc::new(data.checkpoint_signer().unwrap()),
        };
        let target = Target::parse(&url).unwrap();
        let journal = PostgresJournal::create(&target, alone()).unwrap();
        let mut anchor = data.anchor();
        ledger::create(Box::new(journal), &signers, &mut anchor, &options()).unwrap();
        World {
            url,
            target,
            data,
            signers,
            _root: root,
        }
    }

    pub(crate) fn try_start(&self, settings: Settings) -> Result<(Ledger, Recovery), LedgerError> {
        let journal = PostgresJournal::open(&self.target, settings).unwrap();
        let anchor = Box::new(self.data.anchor());
        Ledger::start(Box::new(journal), &self.signers, anchor, options())
    }

    pub(crate) fn start(&self, settings: Settings) -> Ledger {
        self.try_start(settings).unwrap().0
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::connect(&self.target, &Chain::default()).unwrap()
    }

    pub(crate) fn check(&self) -> u64 {
        check(self.reader(), &self.signers)
    }

    /// As after SIGKILL: no shutdown, no more renewals, and the lease has passed.
    pub(crate) fn kill(&self, ledger: &Ledger) {
        let boot = ledger.identity().boot;
        self.sql(&format!(
            "UPDATE sealgate_boots SET lease_until = 'epoch', claimed_by = 'test', claimed_until = 'epoch' WHERE id = '{boot}'"
        ));
    }

    pub(crate) fn sql(&self, statement: &str) -> Vec<String> {
        pg_server::sql(&programs().unwrap(), &self.url, statement)
    }
}

#[test]
fn calls_are_sealed_and_read_back_and_the_chain_verifies() {
    let Some(world) = World::new() else { return };
    let ledger = world.start(alone());
    let calls: Vec<_> = (0..40).map(|_| open(&ledger)).collect();
    let receipts: Vec<_> = calls
        .into_iter()
        .map(|call| settle(&ledger, call))
        .collect();
    for receipt in receipts {
        receipt.wait().unwrap();
    }
    ledger.shutdown_blocking(GRACE).unwrap();
    // genesis, boot, 40 calls, shutdown
    assert_eq!(world.check(), 43);
    assert_eq!(world.reader().spend().unwrap().len(), 40);
    assert_eq!(world.sql("SELECT count(*) FROM sealgate_intents"), ["0"]);
    assert_eq!(
        world.sql("SELECT DISTINCT domain FROM quantumpipes_capsules ORDER BY 1"),
        ["agents", "gateway"]
    );
    assert!(world.reader().adopted().unwrap().is_empty());
}

#[test]
fn a_killed_instance_is_recovered_by_the_next_start() {
    let Some(world) = World::new() else { return };
    let ledger = world.start(alone());
    settle(&ledger, open(&ledger)).wait().unwrap();
    let calls: Vec<_> = (0..3).map(|_| open(&ledger)).collect();
    world.kill(&ledger);
    let (next, recovery) = world.try_start(shared()).unwrap();
    assert_eq!(recovery.boots.len(), 1);
    assert_eq!(recovery.boots[0].boot, ledger.identity().boot);
    assert_eq!(recovery.boots[0].recovered.len(), 3);
    // The one that was taken for dead finds out before it writes anything.
    for call in calls {
        assert!(settle(&ledger, call).wait().is_err());
    }
    until("it stopped", || !ledger.admitting());
    assert!(
        ledger
            .open(ledger.slot().unwrap(), intent())
            .wait()
            .is_err()
    );
    next.shutdown_blocking(GRACE).unwrap();
    world.check();
    assert_eq!(world.sql("SELECT count(*) FROM sealgate_quarantine"), ["0"]);
}

#[test]
fn a_living_instance_recovers_a_dead_one() {
    let Some(world) = World::new() else { return };
    let one = world.start(shared());
    let two = world.start(shared());
    settle(&one, open(&one)).wait().unwrap();
    settle(&two, open(&two)).wait().unwrap();
    let lost: Vec<_> = (0..4).map(|_| open(&one)).collect();
    let ids: Vec<String> = lost.iter().map(|call| call.id().to_string()).collect();
    std::mem::forget(lost);
    let boot = one.identity().boot.to_string();
    world.kill(&one);
    until("the open calls of the dead one are sealed", || {
        let sealed = format!(
            "SELECT count(*) FROM quantumpipes_capsules WHERE id IN ('{}')",
            ids.join("','")
        );
        world.sql(&sealed) == ["4"]
    });
    until("its boot is closed", || {
        world.sql(&format!(
            "SELECT closed_at IS NOT NULL FROM sealgate_boots WHERE id = '{boot}'"
        )) == ["t"]
    });
    settle(&two, open(&two)).wait().unwrap();
    two.shutdown_blocking(GRACE).unwrap();
    drop(one);
    world.check();
    assert_eq!(world.sql("SELECT count(*) FROM sealgate_intents"), ["0"]);
}

#[test]
fn two_instances_share_one_chain() {
    let Some(world) = World::new() else { return };
    let both = [world.start(shared()), world.start(shared())];
    let threads: Vec<_> = both
        .iter()
        .cloned()
        .map(|ledger| {
            std::thread::spawn(move || {
                for _ in 0..60 {
                    settle(&ledger, open(&ledger)).wait().unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    for ledger in both {
        ledger.shutdown_blocking(GRACE).unwrap();
    }
    // genesis, and of each a boot, 60 calls and a shutdown
    assert_eq!(world.check(), 1 + 2 * 62);
    assert!(
        world.reader().adopted().unwrap().is_empty(),
        "a sibling's records are no foreign ones"
    );
    world.start(alone()).shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn without_shared_limits_a_second_instance_does_not_start() {
    let Some(world) = World::new() else { return };
    let ledger = world.start(alone());
    let error = PostgresJournal::open(&world.target, alone()).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("Redis"), "{error}");
    // Two that look at the same time: the second finds the first in its own transaction.
    let late = PostgresJournal::open(&world.target, shared()).unwrap();
    drop(late);
    settle(&ledger, open(&ledger)).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    world.start(alone()).shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn lost_connections_lose_no_record() {
    let Some(world) = World::new() else { return };
    let ledger = world.start(alone());
    for round in 0..15 {
        let calls: Vec<_> = (0..4).map(|_| open(&ledger)).collect();
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE application_name = 'sealgate' AND datname = current_database()";
        let receipts: Vec<_> = calls
            .into_iter()
            .map(|call| settle(&ledger, call))
            .collect();
        world.sql(cut);
        for receipt in receipts {
            receipt
                .wait()
                .unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
        until("it admits again", || ledger.admitting());
    }
    ledger.shutdown_blocking(GRACE).unwrap();
    assert_eq!(world.check(), 3 + 60);
    assert_eq!(world.sql("SELECT count(*) FROM sealgate_quarantine"), ["0"]);
}

#[test]
fn a_server_that_goes_and_comes_back() {
    let Some(server) = Server::start(&[]) else {
        return;
    };
    let world = World::at(server.database());
    let ledger = world.start(alone());
    let calls: Vec<_> = (0..5).map(|_| open(&ledger)).collect();
    server.stop("immediate");
    let refused = ledger.open(ledger.slot().unwrap(), intent()).wait();
    assert!(refused.is_err(), "no call goes out without its intent");
    let receipts: Vec<_> = calls
        .into_iter()
        .map(|call| settle(&ledger, call))
        .collect();
    until("no new calls", || !ledger.admitting());
    server.start_again();
    for receipt in receipts {
        receipt.wait().unwrap();
    }
    until("it admits again", || ledger.admitting());
    settle(&ledger, open(&ledger)).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    assert_eq!(world.check(), 3 + 6);
}

#[test]
fn a_server_that_takes_no_writes_refuses_calls_until_it_does() {
    let Some(world) = World::new() else { return };
    let ledger = world.start(alone());
    let call = open(&ledger);
    let name = world.url.rsplit('/').next().unwrap().to_owned();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'sealgate' \
               AND datname = current_database()";
    world.sql(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on; {cut}"
    ));
    let receipt = settle(&ledger, call);
    until("no new calls", || !ledger.admitting());
    let error = PostgresJournal::open(&world.target, shared())
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
    world.sql(&format!(
        "SET transaction_read_only = off; ALTER DATABASE {name} SET default_transaction_read_only = off"
    ));
    receipt.wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn an_older_copy_stops_a_running_instance_and_the_next_start() {
    let Some(world) = World::new() else { return };
    let ledger = world.start(alone());
    settle(&ledger, open(&ledger)).wait().unwrap();
    until("the checkpoint covers the call", || {
        ledger
            .checkpoint()
            .is_some_and(|checkpoint| checkpoint.size >= 3)
    });
    // What a replica that lags would show after a failover.
    world.sql(
        "DELETE FROM quantumpipes_capsules WHERE sequence >= 2; DELETE FROM sealgate_spend WHERE sequence >= 2; \
         UPDATE sealgate_head SET sequence = 1, hash = (SELECT hash FROM quantumpipes_capsules WHERE sequence = 1); \
         DELETE FROM sealgate_tiles; DELETE FROM sealgate_checkpoint",
    );
    let refused = ledger.open(ledger.slot().unwrap(), intent()).wait();
    assert!(refused.is_err());
    until("it stopped", || !ledger.admitting());
    let said = ledger.status().last_error.unwrap();
    assert!(said.contains("truncated"), "{said}");
    world.kill(&ledger);
    drop(ledger);
    assert!(matches!(
        world.try_start(shared()),
        Err(LedgerError::Damage(Damage::BehindCheckpoint { .. }))
    ));
    let journal = PostgresJournal::open(&world.target, alone()).unwrap();
    let mut anchor = world.data.anchor();
    let gap = ledger::adopt(
        Box::new(journal),
        &world.signers,
        &mut anchor,
        &Options::default(),
        "failed over",
    )
    .unwrap();
    assert_eq!(gap.kind, GapKind::Behind);
    world.start(alone()).shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn cut_and_edited_tables_are_refused_by_name() {
    for (statement, expected) in [
        (
            "DELETE FROM quantumpipes_capsules WHERE sequence = 3",
            "truncated",
        ),
        (
            "UPDATE quantumpipes_capsules SET data = replace(data, 'stopped', 'stoppeD') WHERE sequence = 3",
            "record 3",
        ),
        (
            "UPDATE quantumpipes_capsules SET data = replace(data, 'genesis', 'genesiz') WHERE sequence = 0",
            "record 0",
        ),
        ("UPDATE sealgate_head SET sequence = 2", "record 2"),
        (
            "UPDATE sealgate_tiles SET hashes = decode(repeat('00', length(hashes)), 'hex')",
            "forked",
        ),
        ("DELETE FROM sealgate_tiles", "tile"),
    ] {
        let Some(world) = World::new() else { return };
        let ledger = world.start(alone());
        settle(&ledger, open(&ledger)).wait().unwrap();
        ledger.shutdown_blocking(GRACE).unwrap();
        drop(ledger);
        world.sql(statement);
        let error = world.try_start(alone()).err().unwrap().to_string();
        assert!(error.contains(expected), "{statement}: {error}");
    }
}

#[test]
fn an_attachment_that_is_no_spend_and_a_text_that_is_none_harm_no_neighbour() {
    let Some(world) = World::new() else { return };
    let ledger = world.start(alone());
    let calls: Vec<_> = (0..6).map(|_| open(&ledger)).collect();
    let mut receipts = Vec::new();
    for (at, call) in calls.into_iter().enumerate() {
        let mut spend = crate::support::spend();
        let draft = record(call.id(), None);
        receipts.push(match at {
            1 => call.settle(draft, Some(b"nonsense".to_vec())),
            // PostgreSQL holds no zero byte in a text; only the server finds it.
            3 => {
                spend.model = "a\0b".to_owned();
                call.settle(draft, Some(spend.encode()))
            }
            _ => call.settle(draft, Some(spend.encode())),
        });
    }
    let done: Vec<bool> = receipts
        .into_iter()
        .map(|receipt| receipt.wait().unwrap().quarantined)
        .collect();
    assert_eq!(done, [false, true, false, true, false, false]);
    ledger.shutdown_blocking(GRACE).unwrap();
    assert_eq!(world.reader().quarantine().unwrap().len(), 2);
    assert_eq!(world.check(), 3 + 6);
}

#[test]
fn an_id_that_is_taken_is_quarantined() {
    let Some(world) = World::new() else { return };
    let ledger = world.start(alone());
    let taken = id();
    ledger.append(record(taken, None), None).wait().unwrap();
    let again = ledger.append(record(taken, None), None);
    let neighbour = ledger.append(record(id(), None), None);
    assert!(again.wait().unwrap().quarantined);
    assert!(!neighbour.wait().unwrap().quarantined);
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
}

#[test]
fn servers_that_are_not_durable_are_refused() {
    for setting in ["fsync=off", "full_page_writes=off", "data_sync_retry=on"] {
        let Some(server) = Server::start(&[setting]) else {
            return;
        };
        let target = Target::parse(&server.database()).unwrap();
        let error = PostgresJournal::create(&target, alone()).err().unwrap();
        let name = setting.split('=').next().unwrap();
        assert!(
            matches!(error, OpenError::NotDurable { setting, .. } if setting == name),
            "{setting}: {error}"
        );
    }
    // This one a session may ask for itself.
    let Some(server) = Server::start(&["synchronous_commit=off"]) else {
        return;
    };
    let target = Target::parse(&server.database()).unwrap();
    let mut journal = PostgresJournal::create(&target, alone()).unwrap();
    journal.close().unwrap();
}

#[test]
fn layouts_of_neighbouring_versions_work_and_others_refuse() {
    let Some(world) = World::new() else { return };
    let newest: i32 = world.sql("SELECT max(layout) FROM sealgate_layout")[0]
        .parse()
        .unwrap();
    // The next version has added to the tables and still works with this program.
    world.sql(&format!(
        "INSERT INTO sealgate_layout (layout, least) VALUES ({}, {newest}); \
         ALTER TABLE sealgate_spend ADD COLUMN novelty TEXT NOT NULL DEFAULT ''; \
         ALTER TABLE sealgate_boots ADD COLUMN novelty TEXT; ALTER TABLE sealgate_intents ADD COLUMN novelty TEXT; \
         ALTER TABLE quantumpipes_capsules ADD COLUMN novelty TEXT",
        newest + 1
    ));
    let ledger = world.start(alone());
    settle(&ledger, open(&ledger)).wait().unwrap();
    ledger.shutdown_blocking(GRACE).unwrap();
    world.check();
    // The one after it has taken away what this program needs.
    world.sql(&format!(
        "INSERT INTO sealgate_layout (layout, least) VALUES ({}, {})",
        newest + 2,
        newest + 1
    ));
    let error = PostgresJournal::open(&world.target, alone()).err().unwrap();
    assert!(error.to_string().contains("newer version"), "{error}");
    assert!(matches!(error, OpenError::Newer { .. }));
}

#[test]
fn nothing_is_there_until_it_is_made() {
    let Some(server) = server() else { return };
    let url = server.database();
    let target = Target::parse(&url).unwrap();
    assert!(!PostgresJournal::exists(&target).unwrap());
    assert!(matches!(
        PostgresJournal::open(&target, alone()),
        Err(OpenError::Missing(_))
    ));
    let world = World::at(url);
    assert!(PostgresJournal::exists(&target).unwrap());
    let error = PostgresJournal::create(&world.target, alone())
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::Exists(_)), "{error}");
    let nowhere = Target::parse("postgresql://u:canary-51d0@127.0.0.1:1/db").unwrap();
    let error = PostgresJournal::open(&nowhere, alone()).err().unwrap();
    assert!(
        !format!("{error} {error:?}").contains("canary"),
        "{error:?}"
    );
}

#[test]
fn records_of_the_python_package_are_adopted_and_others_stop_the_ledger() {
    use capsule::{Draft, SigningKey, Timestamp};
    use store::postgres::SharedTable;
    use store::shared::SharedChain;
    let Some(world) = World::new() else { return };
    let ledger = world.start(alone());
    settle(&ledger, open(&ledger)).wait().unwrap();
    let seed = std::fs::read(world.data.root().join("key")).unwrap();
    let own = SigningKey::from_seed(seed.try_into().unwrap());
    let mut table = SharedTable::new(&world.url).unwrap();
    table.check(&own).unwrap();
    let drafts: Vec<Draft> = (0..2).map(|_| record(id(), None)).collect();
    table
        .append(drafts, &own, Timestamp::new(0), false)
        .unwrap();
    settle(&ledger, open(&ledger)).wait().unwrap();
    assert_eq!(world.reader().adopted().unwrap(), [(3, 4)]);
    let stranger = SigningKey::from_seed([66; 32]);
    table
        .append(
            vec![record(id(), None)],
            &stranger,
            Timestamp::new(0),
            false,
        )
        .unwrap();
    assert!(
        ledger
            .open(ledger.slot().unwrap(), intent())
            .wait()
            .is_err()
    );
    until("it stopped", || !ledger.admitting());
}
