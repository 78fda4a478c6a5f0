//! Keeps the committer and the WAL checkpointer of one process out of each other's way, by sleeping
//! on a condition instead of SQLite's polling.

use std::sync::{Condvar, Mutex, PoisonError};

/// Held by whoever needs the write lock.
#[derive(Debug, Default)]
pub(super) struct Gate {
    taken: Mutex<bool>,
    free: Condvar,
}

impl Gate {
    pub(super) fn enter(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            taken = self
                .free
                .wait(taken)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *taken = true;
    }

    pub(super) fn leave(&self) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.free.notify_one();
    }
}
