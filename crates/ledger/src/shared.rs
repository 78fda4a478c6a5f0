//! What the callers' side and the ledger's threads share.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use crate::{checkpoint::Checkpoint, courier::Dispatch, queue::Queue};

/// Counters and flags, each readable without waiting for a commit.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) settle_slots: usize,
    pub(crate) append_slots: usize,
    /// Slots held by callers, open calls and uncommitted settlements.
    pub(crate) slots_used: AtomicUsize,
    pub(crate) appends_used: AtomicUsize,
    /// Calls with a durable intent whose record is not committed.
    pub(crate) open_calls: AtomicUsize,
    /// Written by the committer only.
    pub(crate) admitting: AtomicBool,
    pub(crate) counters: Counters,
    /// Where answers to callers go.
    pub(crate) dispatch: Dispatch,
    last_error: Mutex<Option<String>>,
    checkpoint: RwLock<Option<Arc<Checkpoint>>>,
}

/// Totals since the start of the process.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) intents: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) failed_commits: AtomicU64,
    pub(crate) adopted: AtomicU64,
    pub(crate) quarantined: AtomicU64,
    pub(crate) anchor_failures: AtomicU64,
}

impl Shared {
    pub(crate) fn new(settle_slots: usize, append_slots: usize) -> Shared {
        Shared {
            queue: Queue::new(),
            settle_slots,
            append_slots,
            slots_used: AtomicUsize::new(0),
            appends_used: AtomicUsize::new(0),
            open_calls: AtomicUsize::new(0),
            admitting: AtomicBool::new(true),
            counters: Counters::default(),
            dispatch: Dispatch::default(),
            last_error: Mutex::new(None),
            checkpoint: RwLock::new(None),
        }
    }

    pub(crate) fn fail(&self, message: String) {
        *lock(&self.last_error) = Some(message);
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }

    pub(crate) fn publish(&self, checkpoint: Checkpoint) {
        *self
            .checkpoint
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(checkpoint));
    }

    pub(crate) fn checkpoint(&self) -> Option<Arc<Checkpoint>> {
        self.checkpoint
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Shared")
            .field("slots_used", &self.slots_used)
            .finish_non_exhaustive()
    }
}

/// A place among the appends that wait to be committed.
#[derive(Debug)]
pub(crate) struct AppendPermit(Arc<Shared>);

impl AppendPermit {
    pub(crate) fn take(shared: &Arc<Shared>) -> Option<AppendPermit> {
        let limit = shared.append_slots;
        let more = |used: usize| (used < limit).then_some(used + 1);
        shared
            .appends_used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .ok()?;
        Some(AppendPermit(Arc::clone(shared)))
    }
}

impl Drop for AppendPermit {
    fn drop(&mut self) {
        self.0.appends_used.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A poisoned lock only says that a thread panicked; what these locks guard is always whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
