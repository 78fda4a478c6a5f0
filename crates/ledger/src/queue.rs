//! The committer's inbox: whatever arrived while the last commit ran is the next batch.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{error::LedgerError, journal::TreeWrite, shared::lock, work::Work};

/// Longest wait for a fuller batch. With many calls under way it saves more CPU in commits than it costs in latency (a
/// commit takes about as long); with few calls nothing waits.
const LONGEST_GATHER: Duration = Duration::from_micros(500);

/// Many producers, one consumer. Pushing takes a short lock and never waits for a commit.
pub(crate) struct Queue {
    inbox: Mutex<Inbox>,
    wake: Condvar,
}

#[derive(Default)]
struct Inbox {
    works: Vec<Work>,
    /// The committer gathers and wants to know when there are so many.
    wanted: usize,
    tree: Option<TreeWrite>,
    shutdown: Option<Shutdown>,
    /// No handle is left, or the committer has ended.
    closed: bool,
}

/// A request to end.
pub(crate) struct Shutdown {
    pub(crate) deadline: Instant,
    pub(crate) reply: oneshot::Sender<Result<(), LedgerError>>,
}

/// What the committer took out.
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) works: Vec<Work>,
    pub(crate) tree: Option<TreeWrite>,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) closed: bool,
}

impl Queue {
    pub(crate) fn new() -> Queue {
        Queue {
            inbox: Mutex::new(Inbox::default()),
            wake: Condvar::new(),
        }
    }

    /// Adds an item. Once closed it is dropped, which tells whoever waits for it.
    pub(crate) fn push(&self, work: Work) {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            // An abandoned call in the work must not be dropped under the lock: its Drop pushes too.
            drop(inbox);
            drop(work);
            return;
        }
        inbox.works.push(work);
        let count = inbox.works.len();
        let wake = count == 1 || count == inbox.wanted;
        drop(inbox);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Hands over what the checkpointer wants stored; merged with what still waits.
    pub(crate) fn push_tree(&self, write: TreeWrite) {
        let mut inbox = lock(&self.inbox);
        inbox.tree = Some(merge(inbox.tree.take(), write));
        drop(inbox);
        self.wake.notify_one();
    }

    pub(crate) fn push_shutdown(&self, shutdown: Shutdown) {
        let mut inbox = lock(&self.inbox);
        if inbox.closed {
            return;
        }
        inbox.shutdown = Some(shutdown);
        drop(inbox);
        self.wake.notify_one();
    }

    /// No more items; the committer ends when it has dealt with those that are there.
    pub(crate) fn close(&self) {
        lock(&self.inbox).closed = true;
        self.wake.notify_one();
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.inbox).works.len()
    }

    /// Waits until there is something, or until `deadline`, and takes everything.
    ///
    /// With `gather` it lets more items arrive first: up to that many, for at most [`LONGEST_GATHER`].
    pub(crate) fn take(&self, deadline: Option<Instant>, gather: Option<usize>) -> Taken {
        let mut inbox = lock(&self.inbox);
        while inbox.works.is_empty()
            && inbox.tree.is_none()
            && inbox.shutdown.is_none()
            && !inbox.closed
        {
            inbox = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self
                    .wake
                    .wait(inbox)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    self.wake
                        .wait_timeout(inbox, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        if let Some(wanted) = gather {
            inbox = self.gather(inbox, wanted);
        }
        Taken {
            works: std::mem::take(&mut inbox.works),
            tree: inbox.tree.take(),
            shutdown: inbox.shutdown.take(),
            closed: inbox.closed,
        }
    }
}

impl Queue {
    fn gather<'q>(
        &'q self,
        mut inbox: MutexGuard<'q, Inbox>,
        wanted: usize,
    ) -> MutexGuard<'q, Inbox> {
        let until = Instant::now() + LONGEST_GATHER;
        inbox.wanted = wanted;
        while !inbox.works.is_empty()
            && inbox.works.len() < wanted
            && inbox.shutdown.is_none()
            && !inbox.closed
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inbox = self
                .wake
                .wait_timeout(inbox, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        inbox.wanted = 0;
        inbox
    }
}

/// Puts a newer tree write behind an older one that was not stored.
pub(crate) fn merge(older: Option<TreeWrite>, newer: TreeWrite) -> TreeWrite {
    let Some(mut write) = older else { return newer };
    write.tiles.retain(|old| {
        !newer
            .tiles
            .iter()
            .any(|new| (new.level, new.index) == (old.level, old.index))
    });
    write.tiles.extend(newer.tiles);
    TreeWrite {
        tiles: write.tiles,
        size: newer.size,
        note: newer.note,
    }
}
