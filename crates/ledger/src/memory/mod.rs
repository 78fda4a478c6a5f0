//! A journal in memory, for tests: transactions are all or nothing, and every call can be told to
//! fail, with or without effect. Clones share the store, so that a test can look while a ledger runs
//! and start another ledger over what a crash left.

mod faults;
mod tables;

use std::sync::{Arc, Mutex, MutexGuard};

use capsule::{Id, Sealed, Timestamp};

pub use faults::{Fault, Mode, Op};
use tables::{Change, Refused};
pub use tables::{Contents, StoredBoot};

use crate::{
    intent::OpenIntent,
    journal::{
        Chain, Class, Head, Journal, JournalError, LockedHead, Quarantined, Result, Row, TreeWrite,
        UnclosedBoot,
    },
    shared::lock,
};

/// A shared store. It holds one chain; the chain argument is ignored.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    /// Which connection this is; a crash makes older ones useless.
    connection: u64,
}

#[derive(Debug, Default)]
struct State {
    contents: Contents,
    staged: Vec<Change>,
    open: bool,
    /// After a fatal error nothing works until `reopen`.
    lost: bool,
    room: bool,
    full: bool,
    faults: Vec<Fault>,
    poisoned: Vec<Id>,
    poisoned_at_commit: Vec<Id>,
    commits: u64,
    connection: u64,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Memory {
        let memory = Memory::default();
        lock(&memory.state).room = true;
        memory
    }

    /// A copy of what is committed.
    #[must_use]
    pub fn contents(&self) -> Contents {
        lock(&self.state).contents.clone()
    }

    /// Changes what is committed behind the ledger's back, as an attacker or another writer would.
    pub fn tamper(&self, change: impl FnOnce(&mut Contents)) {
        change(&mut lock(&self.state).contents);
    }

    /// Plans a fault.
    pub fn fault(&self, fault: Fault) {
        lock(&self.state).faults.push(fault);
    }

    /// Forgets planned faults.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        state.faults.clear();
        state.full = false;
        state.room = true;
    }

    /// From now on every insertion fails as on a full disk.
    pub fn fill_disk(&self) {
        lock(&self.state).full = true;
    }

    /// Whether the disk reserve is untouched.
    pub fn set_room(&self, room: bool) {
        lock(&self.state).room = room;
    }

    /// The record with this id is refused, when it is inserted or only at commit, without a hint at it.
    pub fn poison(&self, id: Id, at_commit: bool) {
        let mut state = lock(&self.state);
        let list = if at_commit {
            &mut state.poisoned_at_commit
        } else {
            &mut state.poisoned
        };
        list.push(id);
    }

    /// Transactions that were committed.
    #[must_use]
    pub fn commits(&self) -> u64 {
        lock(&self.state).commits
    }

    /// The process dies: what is not committed is gone, and every journal handed out so far fails for
    /// good. Returns a new connection to what is left.
    #[must_use]
    pub fn crash(&self) -> Memory {
        let mut state = lock(&self.state);
        state.connection += 1;
        state.staged.clear();
        state.open = false;
        state.lost = false;
        Memory {
            state: Arc::clone(&self.state),
            connection: state.connection,
        }
    }

    fn call(&self, op: Option<Op>) -> Result<(MutexGuard<'_, State>, Option<JournalError>)> {
        let mut state = lock(&self.state);
        if state.connection != self.connection {
            return Err(error(Class::Fatal, "the process died"));
        }
        if state.lost && op != Some(Op::Reopen) {
            return Err(error(Class::Fatal, "the connection is lost"));
        }
        let fault = op.and_then(|op| state.due(op));
        if let Some((fault, persists)) = fault {
            state.lost |= fault.class == Class::Fatal;
            if !persists {
                return Err(fault);
            }
            return Ok((state, Some(fault)));
        }
        Ok((state, None))
    }

    fn write(&self, op: Op, change: Change) -> Result<()> {
        let (mut state, fault) = self.call(Some(op))?;
        if !state.open {
            return Err(error(Class::Fatal, "no transaction"));
        }
        if state.full {
            return Err(error(Class::Batch, "database or disk is full"));
        }
        if let Change::Record(row) = &change
            && state.poisoned.iter().any(|id| id.to_string() == row.id)
        {
            return Err(error(Class::Item, "this record is poison"));
        }
        state.check(&change)?;
        state.staged.push(change);
        fault.map_or(Ok(()), Err)
    }
}

impl State {
    fn due(&mut self, op: Op) -> Option<(JournalError, bool)> {
        let fault = self
            .faults
            .iter_mut()
            .find(|fault| fault.op == op && fault.times > 0)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.times = fault
            .times
            .saturating_sub(u64::from(fault.times != u64::MAX));
        Some((fault.error(), fault.mode == Mode::FailsButPersists))
    }

    fn check(&self, change: &Change) -> Result<()> {
        match self.contents.refuses(&self.staged, change) {
            None => Ok(()),
            Some(Refused::Item(message)) => Err(error(Class::Item, message)),
            Some(Refused::Fatal(message)) => Err(error(Class::Fatal, message)),
        }
    }

    fn apply(&mut self) {
        for change in std::mem::take(&mut self.staged) {
            self.contents.apply(change);
        }
        self.open = false;
        self.commits += 1;
    }
}

fn error(class: Class, message: &str) -> JournalError {
    JournalError {
        class,
        operation: "memory",
        message: message.to_owned(),
    }
}

impl Journal for Memory {
    fn begin(&mut self) -> Result<()> {
        let (mut state, fault) = self.call(Some(Op::Begin))?;
        if state.open {
            return Err(error(Class::Fatal, "a transaction is open already"));
        }
        state.open = true;
        state.staged.clear();
        fault.map_or(Ok(()), Err)
    }

    fn commit(&mut self) -> Result<()> {
        let (mut state, fault) = self.call(Some(Op::Commit))?;
        let poisoned = state.staged.iter().any(|change| match change {
            Change::Record(row) => state
                .poisoned_at_commit
                .iter()
                .any(|id| id.to_string() == row.id),
            _ => false,
        });
        if poisoned {
            return Err(error(
                Class::Item,
                "something in this transaction is poison",
            ));
        }
        if state.full {
            return Err(error(Class::Batch, "database or disk is full"));
        }
        state.apply();
        fault.map_or(Ok(()), Err)
    }

    fn rollback(&mut self) -> Result<()> {
        let (mut state, fault) = self.call(Some(Op::Rollback))?;
        state.staged.clear();
        state.open = false;
        fault.map_or(Ok(()), Err)
    }

    fn reopen(&mut self) -> Result<()> {
        let (mut state, fault) = self.call(Some(Op::Reopen))?;
        state.staged.clear();
        state.open = false;
        state.lost = fault.is_some();
        fault.map_or(Ok(()), Err)
    }

    fn close(&mut self) -> Result<()> {
        self.call(None).map(drop)
    }

    fn has_room(&mut self) -> Result<bool> {
        Ok(lock(&self.state).room)
    }

    fn ledger_id(&mut self, _chain: &Chain) -> Result<Option<Id>> {
        Ok(self.call(None)?.0.contents.ledger)
    }

    fn set_ledger_id(&mut self, _chain: &Chain, id: &Id) -> Result<()> {
        self.call(None)?.0.staged.push(Change::Ledger(*id));
        Ok(())
    }

    fn lock_head(&mut self, _chain: &Chain) -> Result<LockedHead> {
        let (state, fault) = self.call(Some(Op::LockHead))?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        Ok(LockedHead {
            last: state.contents.last(),
            recorded: state.contents.head,
        })
    }

    fn move_head(&mut self, _chain: &Chain, from: Option<&Head>, to: &Head) -> Result<bool> {
        if lock(&self.state).contents.head.as_ref() != from {
            return Ok(false);
        }
        self.write(Op::MoveHead, Change::Head(*to)).map(|()| true)
    }

    fn insert_record(&mut self, _chain: &Chain, record: &Sealed) -> Result<()> {
        self.write(
            Op::InsertRecord,
            Change::Record(Box::new(tables::row(record))),
        )
    }

    fn attach(&mut self, _chain: &Chain, record: &Sealed, attachment: &[u8]) -> Result<()> {
        self.write(
            Op::Attach,
            Change::Attachment(record.sequence(), attachment.to_vec()),
        )
    }

    fn quarantine(&mut self, _chain: &Chain, entry: &Quarantined) -> Result<()> {
        self.write(Op::Quarantine, Change::Quarantine(Box::new(entry.clone())))
    }

    fn note_adopted(
        &mut self,
        _chain: &Chain,
        first: u64,
        last: u64,
        _at: Timestamp,
    ) -> Result<()> {
        self.call(None)?.0.staged.push(Change::Adopted(first, last));
        Ok(())
    }

    fn begin_boot(&mut self, _chain: &Chain, boot: &Id, _at: Timestamp) -> Result<()> {
        self.call(None)?.0.staged.push(Change::Boot(*boot));
        Ok(())
    }

    fn close_boot(&mut self, _chain: &Chain, boot: &Id, _at: Timestamp) -> Result<()> {
        self.write(Op::CloseBoot, Change::CloseBoot(*boot))
    }

    fn advance_boot(&mut self, _chain: &Chain, boot: &Id, from: u64, to: u64) -> Result<bool> {
        if lock(&self.state).contents.last_intent(boot) != Some(from) {
            return Ok(false);
        }
        self.write(Op::AdvanceBoot, Change::AdvanceBoot(*boot, to))
            .map(|()| true)
    }

    fn unclosed_boots(&mut self, _chain: &Chain, _now: Timestamp) -> Result<Vec<UnclosedBoot>> {
        Ok(self.call(None)?.0.contents.unclosed())
    }

    fn insert_intent(&mut self, _chain: &Chain, intent: &OpenIntent) -> Result<()> {
        self.write(Op::InsertIntent, Change::Intent(Box::new(intent.clone())))
    }

    fn take_intent(&mut self, _chain: &Chain, boot: &Id, number: u64) -> Result<bool> {
        let there = {
            let state = lock(&self.state);
            let taken = Change::TakeIntent(*boot, number);
            state.contents.intents.contains_key(&(*boot, number)) && !state.staged.contains(&taken)
        };
        self.write(Op::TakeIntent, Change::TakeIntent(*boot, number))
            .map(|()| there)
    }

    fn has_intent(&mut self, _chain: &Chain, boot: &Id, number: u64) -> Result<bool> {
        let (state, fault) = self.call(Some(Op::HasIntent))?;
        fault.map_or_else(
            || Ok(state.contents.intents.contains_key(&(*boot, number))),
            Err,
        )
    }

    fn open_intents(&mut self, _chain: &Chain, boot: &Id) -> Result<Vec<OpenIntent>> {
        let (state, _) = self.call(None)?;
        Ok(state
            .contents
            .intents
            .values()
            .filter(|intent| intent.boot == *boot)
            .cloned()
            .collect())
    }

    fn rows(&mut self, _chain: &Chain, from: u64, limit: usize) -> Result<Vec<Row>> {
        let (state, fault) = self.call(Some(Op::Rows))?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        Ok(state
            .contents
            .rows
            .range(from..)
            .take(limit)
            .map(|(_, row)| row.clone())
            .collect())
    }

    fn find_record(&mut self, _chain: &Chain, id: &Id) -> Result<Option<Head>> {
        let (state, fault) = self.call(Some(Op::FindRecord))?;
        fault.map_or_else(|| Ok(state.contents.find(id)), Err)
    }

    fn put_tree(&mut self, _chain: &Chain, write: &TreeWrite) -> Result<()> {
        self.write(Op::PutTree, Change::Tree(Box::new(write.clone())))
    }

    fn tree(&mut self, _chain: &Chain) -> Result<Option<(u64, String)>> {
        Ok(self.call(None)?.0.contents.checkpoint.clone())
    }

    fn tile(&mut self, _chain: &Chain, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
        Ok(self
            .call(None)?
            .0
            .contents
            .tiles
            .get(&(level, index))
            .cloned())
    }

    fn reset_to(&mut self, _chain: &Chain, to: &Head) -> Result<()> {
        self.call(None)?.0.staged.push(Change::Reset(*to));
        Ok(())
    }
}
