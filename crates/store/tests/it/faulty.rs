//! The fault table on real stores: each storage call fails, with and without effect, and nothing is lost, doubled or torn.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule::{Id, Sealed, Timestamp};
use ledger::journal::{
    Chain, Class, Head, Journal, JournalError, LockedHead, Quarantined, Result, Row, TreeWrite,
    UnclosedBoot,
};
use ledger::memory::{Fault, Mode, Op};
use ledger::{Ledger, OpenIntent, Signers};
use store::reader::Reader;

use crate::ledger_on_postgres;
use crate::support::{self, GRACE, check, intent, options, settle, until};

type Plan = Arc<Mutex<Option<Fault>>>;

/// A journal that fails when it is told to.
struct Faulty {
    inner: Box<dyn Journal>,
    plan: Plan,
}

impl Faulty {
    fn around<T>(&mut self, op: Op, call: impl FnOnce(&mut dyn Journal) -> Result<T>) -> Result<T> {
        let struck = {
            let mut plan = self.plan.lock().unwrap();
            let hit = match plan.as_mut() {
                Some(fault) if fault.op == op && fault.after > 0 => {
                    fault.after -= 1;
                    None
                }
                Some(fault) if fault.op == op && fault.times > 0 => {
                    fault.times -= 1;
                    Some((fault.mode, fault.class))
                }
                _ => None,
            };
            if plan.as_ref().is_some_and(|fault| fault.times == 0) {
                *plan = None;
            }
            hit
        };
        let Some((mode, class)) = struck else {
            return call(self.inner.as_mut());
        };
        if mode == Mode::FailsButPersists {
            call(self.inner.as_mut())?;
        }
        Err(JournalError {
            class,
            operation: "fault",
            message: format!("told to fail: {op:?}"),
        })
    }
}

impl Journal for Faulty {
    fn begin(&mut self) -> Result<()> {
        self.around(Op::Begin, |inner| inner.begin())
    }
    fn commit(&mut self) -> Result<()> {
        self.around(Op::Commit, |inner| inner.commit())
    }
    fn rollback(&mut self) -> Result<()> {
        self.inner.rollback()
    }
    fn reopen(&mut self) -> Result<()> {
        self.inner.reopen()
    }
    fn close(&mut self) -> Result<()> {
        self.inner.close()
    }
    fn has_room(&mut self) -> Result<bool> {
        self.inner.has_room()
    }
    fn ledger_id(&mut self, chain: &Chain) -> Result<Option<Id>> {
        self.inner.ledger_id(chain)
    }
    fn set_ledger_id(&mut self, chain: &Chain, id: &Id) -> Result<()> {
        self.inner.set_ledger_id(chain, id)
    }
    fn lock_head(&mut self, chain: &Chain) -> Result<LockedHead> {
        self.around(Op::LockHead, |inner| inner.lock_head(chain))
    }
    fn move_head(&mut self, chain: &Chain, from: Option<&Head>, to: &Head) -> Result<bool> {
        self.around(Op::MoveHead, |inner| inner.move_head(chain, from, to))
    }
    fn insert_record(&mut self, chain: &Chain, record: &Sealed) -> Result<()> {
        self.around(Op::InsertRecord, |inner| inner.insert_record(chain, record))
    }
    fn attach(&mut self, chain: &Chain, record: &Sealed, attachment: &[u8]) -> Result<()> {
        self.around(Op::Attach, |inner| inner.attach(chain, record, attachment))
    }
    fn quarantine(&mut self, chain: &Chain, entry: &Quarantined) -> Result<()> {
        self.inner.quarantine(chain, entry)
    }
    fn note_adopted(&mut self, chain: &Chain, first: u64, last: u64, at: Timestamp) -> Result<()> {
        self.inner.note_adopted(chain, first, last, at)
    }
    fn begin_boot(&mut self, chain: &Chain, boot: &Id, at: Timestamp) -> Result<()> {
        self.inner.begin_boot(chain, boot, at)
    }
    fn close_boot(&mut self, chain: &Chain, boot: &Id, at: Timestamp) -> Result<()> {
        self.inner.close_boot(chain, boot, at)
    }
    fn advance_boot(&mut self, chain: &Chain, boot: &Id, from: u64, to: u64) -> Result<bool> {
        self.around(Op::AdvanceBoot, |inner| {
            inner.advance_boot(chain, boot, from, to)
        })
    }
    fn unclosed_boots(&mut self, chain: &Chain, now: Timestamp) -> Result<Vec<UnclosedBoot>> {
        self.inner.unclosed_boots(chain, now)
    }
    fn lease_interval(&self) -> Option<Duration> {
        self.inner.lease_interval()
    }
    fn renew_lease(&mut self, boot: &Id, now: Timestamp) -> Result<()> {
        self.inner.renew_lease(boot, now)
    }
    fn insert_intent(&mut self, chain: &Chain, intent: &OpenIntent) -> Result<()> {
        self.around(Op::InsertIntent, |inner| inner.insert_intent(chain, intent))
    }
    fn take_intent(&mut self, chain: &Chain, boot: &Id, number: u64) -> Result<bool> {
        self.around(Op::TakeIntent, |inner| {
            inner.take_intent(chain, boot, number)
        })
    }
    fn has_intent(&mut self, chain: &Chain, boot: &Id, number: u64) -> Result<bool> {
        self.inner.has_intent(chain, boot, number)
    }
    fn open_intents(&mut self, chain: &Chain, boot: &Id) -> Result<Vec<OpenIntent>> {
        self.inner.open_intents(chain, boot)
    }
    fn rows(&mut self, chain: &Chain, from: u64, limit: usize) -> Result<Vec<Row>> {
        self.inner.rows(chain, from, limit)
    }
    fn find_record(&mut self, chain: &Chain, id: &Id) -> Result<Option<Head>> {
        self.inner.find_record(chain, id)
    }
    fn put_tree(&mut self, chain: &Chain, write: &TreeWrite) -> Result<()> {
        self.around(Op::PutTree, |inner| inner.put_tree(chain, write))
    }
    fn tree(&mut self, chain: &Chain) -> Result<Option<(u64, String)>> {
        self.inner.tree(chain)
    }
    fn tile(&mut self, chain: &Chain, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
        self.inner.tile(chain, level, index)
    }
    fn reset_to(&mut self, chain: &Chain, to: &Head) -> Result<()> {
        self.inner.reset_to(chain, to)
    }
}

fn table() -> Vec<(Op, Mode, Class)> {
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
        for mode in [Mode::Fails, Mode::FailsButPersists] {
            // A commit that reports "nothing happened" and lies about it breaks the contract.
            if !(op == Op::Commit && mode == Mode::FailsButPersists) {
                table.push((op, mode, Class::Batch));
            }
            table.push((op, mode, Class::Fatal));
        }
    }
    table
}

/// Opens a call, again while it is refused.
fn opened(ledger: &Ledger) -> (ledger::Opened, u32) {
    let mut refused = 0;
    loop {
        match ledger.open(ledger.slot().unwrap(), intent()).wait() {
            Ok(call) => return (call, refused),
            Err(_) => {
                refused += 1;
                until("it admits again", || ledger.admitting());
            }
        }
    }
}

fn run(
    inner: Box<dyn Journal>,
    anchor: Box<dyn ledger::Anchor>,
    signers: &Signers,
    reader: &dyn Fn() -> Reader,
) {
    let plan = Plan::default();
    let journal = Faulty {
        inner,
        plan: plan.clone(),
    };
    let (ledger, _) = Ledger::start(Box::new(journal), signers, anchor, options()).unwrap();
    let mut settled = 0;
    for (op, mode, class) in table() {
        for after in 0..2 {
            let name = format!("{op:?} {mode:?} {class:?} after {after}");
            *plan.lock().unwrap() = Some(Fault {
                after,
                ..Fault::once(op, mode, class)
            });
            let calls: Vec<_> = (0..3).map(|_| opened(&ledger)).collect();
            let refused: u32 = calls.iter().map(|(_, refused)| refused).sum();
            assert!(
                refused == 0 || class == Class::Batch,
                "{name}: {refused} refused"
            );
            let receipts: Vec<_> = calls
                .into_iter()
                .map(|(call, _)| settle(&ledger, call))
                .collect();
            for receipt in receipts {
                let done = receipt
                    .wait()
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                assert!(!done.quarantined, "{name}");
                settled += 1;
            }
            *plan.lock().unwrap() = None;
        }
    }
    ledger.shutdown_blocking(GRACE).unwrap();
    let reader = reader();
    assert_eq!(reader.spend().unwrap().len(), settled);
    assert!(reader.intents().unwrap().is_empty());
    assert!(reader.quarantine().unwrap().is_empty());
    // Refused intents whose commit had happened are sealed as abandoned; everything else is counted.
    assert!(check(reader, signers) >= settled as u64 + 3);
}

#[test]
fn one_fault_of_every_kind_on_sqlite() {
    let world = support::World::new();
    let journal = Box::new(world.journal());
    run(
        journal,
        Box::new(world.data.anchor()),
        &world.signers,
        &|| world.reader(),
    );
}

#[test]
fn one_fault_of_every_kind_on_postgres() {
    let Some(url) = crate::pg_shared::database() else {
        return;
    };
    let world = ledger_on_postgres::World::at(url);
    let journal =
        store::postgres::PostgresJournal::open(&world.target, ledger_on_postgres::alone()).unwrap();
    run(
        Box::new(journal),
        Box::new(world.data.anchor()),
        &world.signers,
        &|| world.reader(),
    );
}
