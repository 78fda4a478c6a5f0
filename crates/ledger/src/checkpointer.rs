//! The thread that keeps the tree: it hashes the leaves of committed records, signs a checkpoint at
//! most once per interval, and writes it to the anchor. The committer stores its tiles with the next
//! batch. Being behind is harmless: a start reads the missing leaves from the rows.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use capsule::{Sealed, Signer};

use crate::{
    anchor::Anchor,
    checkpoint::Checkpoint,
    journal::TreeWrite,
    shared::{Shared, lock},
    tree::{Edge, NodeHash, leaf_hash},
};

/// Leaves that wake the checkpointer before its interval is over, so that few records wait in memory.
const WAKE_AT: usize = 256;

/// Waiting leaves beyond which the committer hashes them itself, which bounds memory and slows the
/// faster side down.
const CROWDED: usize = 4096;

/// A committed record on its way into the tree.
pub(crate) enum Leaf {
    Sealed(Sealed),
    Hash(NodeHash),
}

impl Leaf {
    fn hash(&self) -> NodeHash {
        match self {
            Leaf::Sealed(sealed) => leaf_hash(&sealed.record_json()),
            Leaf::Hash(hash) => *hash,
        }
    }
}

/// From the committer to the checkpointer.
#[derive(Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    leaves: Vec<Leaf>,
    flush: Option<mpsc::Sender<Option<TreeWrite>>>,
    stop: bool,
    /// The checkpointer waits without a deadline.
    idle: bool,
}

impl Feed {
    /// Hands over the leaves of a batch, in order.
    pub(crate) fn push(&self, leaves: impl Iterator<Item = Leaf>) {
        let mut state = lock(&self.state);
        for leaf in leaves {
            let leaf = if state.leaves.len() < CROWDED {
                leaf
            } else {
                Leaf::Hash(leaf.hash())
            };
            state.leaves.push(leaf);
        }
        let wake = (state.idle && !state.leaves.is_empty()) || state.leaves.len() >= WAKE_AT;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Publishes everything that was pushed and returns what is to be stored; `None` when nothing is.
    pub(crate) fn flush(&self) -> Option<TreeWrite> {
        let (sender, receiver) = mpsc::channel();
        let mut state = lock(&self.state);
        if state.stop {
            return None;
        }
        state.flush = Some(sender);
        drop(state);
        self.wake.notify_one();
        receiver.recv().unwrap_or(None)
    }

    pub(crate) fn stop(&self) {
        lock(&self.state).stop = true;
        self.wake.notify_one();
    }

    /// Waits for something to do, at most until `deadline`.
    fn wait(&self, deadline: Option<Instant>) -> State {
        let mut state = lock(&self.state);
        loop {
            let enough = if deadline.is_some() { WAKE_AT } else { 1 };
            if state.stop || state.flush.is_some() || state.leaves.len() >= enough {
                break;
            }
            state.idle = deadline.is_none();
            state = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                None => self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) if left.is_zero() => break,
                Some(left) => {
                    self.wake
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        state.idle = false;
        State {
            leaves: std::mem::take(&mut state.leaves),
            flush: state.flush.take(),
            stop: state.stop,
            idle: false,
        }
    }
}

/// Owner of the tree's right edge and of the anchor.
pub(crate) struct Checkpointer {
    pub(crate) edge: Edge,
    pub(crate) origin: String,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) anchor: Box<dyn Anchor>,
    pub(crate) interval: Duration,
    pub(crate) shared: Arc<Shared>,
    /// Leaves that the newest signed checkpoint covers.
    pub(crate) signed: u64,
    /// Leaves that the anchor's checkpoint covers.
    pub(crate) anchored: u64,
}

impl Checkpointer {
    /// Runs until the feed is stopped.
    pub(crate) fn run(mut self, feed: &Feed) {
        let mut last = None::<Instant>;
        loop {
            let due = last.map(|at| at + self.interval);
            let pending = self.edge.size() > self.anchored;
            let state = feed.wait(if pending {
                due.or_else(|| Some(Instant::now()))
            } else {
                None
            });
            for leaf in &state.leaves {
                self.edge.push(leaf.hash());
            }
            let urgent = state.flush.is_some() || state.stop;
            let pending = self.edge.size() > self.anchored;
            if pending && (urgent || due.is_none_or(|at| at <= Instant::now())) {
                let write = self.publish();
                last = Some(Instant::now());
                match state.flush {
                    Some(flush) => {
                        let _gone = flush.send(write);
                    }
                    None => {
                        if let Some(write) = write {
                            self.shared.queue.push_tree(write);
                        }
                    }
                }
            } else if let Some(flush) = state.flush {
                let _gone = flush.send(None);
            }
            if state.stop {
                return;
            }
        }
    }

    /// Signs and publishes the tree as it is. The anchor is written before the store, so that a store
    /// that knows a checkpoint proves that the anchor once held one.
    fn publish(&mut self) -> Option<TreeWrite> {
        let size = self.edge.size();
        let signed = Checkpoint::sign(
            self.origin.clone(),
            size,
            self.edge.root(),
            self.signer.as_ref(),
        );
        let checkpoint = match signed {
            Ok(checkpoint) => checkpoint,
            Err(error) => {
                self.trouble(&error.to_string());
                return None;
            }
        };
        match self.anchor.write(&checkpoint.note) {
            Ok(()) => self.anchored = size,
            Err(error) => self.trouble(&format!("writing the checkpoint: {error}")),
        }
        let note = checkpoint.note.clone();
        self.shared.publish(checkpoint);
        if size == self.signed {
            return None;
        }
        self.signed = size;
        Some(TreeWrite {
            tiles: self.edge.take_tiles(),
            size,
            note,
        })
    }

    fn trouble(&self, message: &str) {
        tracing::error!(target: "sealgate::ledger", error = message, "checkpoint not written");
        self.shared
            .counters
            .anchor_failures
            .fetch_add(1, Ordering::Relaxed);
        self.shared.fail(message.to_owned());
    }
}
