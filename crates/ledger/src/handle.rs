//! What callers hold.

use std::{
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use capsule::{Draft, Id};
use tokio::sync::oneshot;

use crate::{
    anchor::Anchor,
    checkpoint::Checkpoint,
    checkpointer::{Checkpointer, Feed},
    committer::Committer,
    courier::Courier,
    error::{LedgerError, OpenError, SettleError},
    intent::{Intent, Opened, Opening, Receipt, SettleSlot},
    journal::{Chain, Journal},
    options::Options,
    queue::Shutdown,
    shared::{AppendPermit, Shared},
    start::{self, Recovery, Signers},
    system::Identity,
    work::{Hold, Open, Seal, Work},
};

/// A running ledger. Clones share it; when the last clone is dropped without
/// [`Ledger::shutdown`], what was handed over is still committed if storage works, and the next start
/// treats this boot as dead.
#[derive(Clone)]
pub struct Ledger {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    identity: Identity,
    chain: Chain,
    origin: String,
    threads: Vec<JoinHandle<()>>,
}

/// A look at a running ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether new calls are admitted. False while storage fails, the disk reserve is used up, or the
    /// ledger shuts down.
    pub admitting: bool,
    /// Items that wait for the next batch.
    pub queued: usize,
    /// Settle slots in use, and how many there are.
    pub slots: (usize, usize),
    /// Calls whose intent is durable and whose record is not.
    pub open_calls: usize,
    /// Records committed since start, without adopted ones.
    pub records: u64,
    /// Intents committed since start.
    pub intents: u64,
    /// Transactions committed since start.
    pub commits: u64,
    /// Transactions that failed since start.
    pub failed_commits: u64,
    /// Records of other writers that were adopted since start.
    pub adopted: u64,
    /// Records that were quarantined since start.
    pub quarantined: u64,
    /// Checkpoints that could not be signed or anchored since start.
    pub anchor_failures: u64,
    /// The newest trouble, if there ever was one.
    pub last_error: Option<String>,
}

impl Ledger {
    /// Checks the store against itself and the anchor, recovers what dead boots left open, seals the
    /// boot record, and starts the committer and the checkpointer. When this returns, calls may be
    /// admitted.
    ///
    /// # Errors
    /// When there is no ledger, when it is damaged, or when storage fails.
    pub fn start(
        journal: Box<dyn Journal>,
        signers: &Signers,
        mut anchor: Box<dyn Anchor>,
        mut options: Options,
    ) -> Result<(Ledger, Recovery), LedgerError> {
        let started = start::start(journal, signers, anchor.as_mut(), &mut options)?;
        let shared = Arc::new(Shared::new(options.settle_slots, options.append_slots));
        let anchored = started
            .checkpoint
            .as_ref()
            .map_or(0, |checkpoint| checkpoint.size);
        if let Some(checkpoint) = started.checkpoint {
            shared.publish(checkpoint);
        }
        let identity = started.scribe.identity;
        let origin = crate::checkpoint::origin(&identity.ledger, &options.chain);
        let feed = Arc::new(Feed::default());
        let checkpointer = Checkpointer {
            edge: started.edge,
            origin: origin.clone(),
            signer: Arc::clone(&signers.checkpoints),
            anchor,
            interval: options.checkpoint_interval,
            shared: Arc::clone(&shared),
            signed: started.signed,
            anchored,
        };
        let renew_at = started
            .sequencer
            .journal
            .lease_interval()
            .map(|_| Instant::now());
        let committer = Committer {
            sequencer: started.sequencer,
            scribe: started.scribe,
            shared: Arc::clone(&shared),
            feed: Arc::clone(&feed),
            clock: Arc::clone(&options.clock),
            max_batch: options.max_batch.max(1),
            max_record_bytes: options.max_record_bytes,
            retry: options.retry,
            held: std::collections::VecDeque::new(),
            tree: None,
            unknown: None,
            pause: None,
            room: true,
            shutdown: None,
            bisect: None,
            renew_at,
            recover: started.recover,
            rescued: std::collections::BTreeSet::new(),
            lost_commits: 0,
            last_batch: 0,
        };
        let threads = vec![
            spawn("sealgate-tree", move || checkpointer.run(&feed))?,
            spawn("sealgate-commit", move || committer.run())?,
        ];
        let handle = Handle {
            shared,
            identity,
            chain: options.chain,
            origin,
            threads,
        };
        Ok((
            Ledger {
                handle: Arc::new(handle),
            },
            started.recovery,
        ))
    }

    /// Brings the answers to [`Ledger::open`] to their callers from within the runtime that runs it: one wake-up a commit
    /// instead of one a caller. Spawn [`Courier::run`] where the callers run; without it all works, at a higher cost.
    pub fn courier(&self) -> Courier {
        self.handle.shared.dispatch.courier()
    }

    /// Reserves a place in the settle queue for a call; `None` when all are taken (answer 503).
    #[must_use]
    pub fn slot(&self) -> Option<SettleSlot> {
        SettleSlot::take(&self.handle.shared)
    }

    /// Hands an intent to the committer at once; the returned future resolves after the commit that
    /// holds it (write and sync). Local work may go on meanwhile.
    pub fn open(&self, slot: SettleSlot, intent: Intent) -> Opening {
        let (reply, receiver) = oneshot::channel();
        #[cfg(feature = "bench-null-journal")]
        {
            let opened = crate::intent::unrecorded(&self.handle.identity, &intent, slot);
            let _gone = reply.send(Ok(opened));
            Opening { receiver }
        }
        #[cfg(not(feature = "bench-null-journal"))]
        self.commit_intent(slot, intent, reply, receiver)
    }

    #[cfg(not(feature = "bench-null-journal"))]
    fn commit_intent(
        &self,
        slot: SettleSlot,
        intent: Intent,
        reply: oneshot::Sender<Result<Opened, OpenError>>,
        receiver: oneshot::Receiver<Result<Opened, OpenError>>,
    ) -> Opening {
        let shared = &self.handle.shared;
        if shared.admitting.load(Ordering::Acquire) {
            shared.queue.push(Work::Open(Box::new(Open {
                intent,
                slot,
                reply: Some(reply),
            })));
        } else {
            let why = shared
                .last_error()
                .unwrap_or_else(|| "not admitting calls".to_owned());
            let _gone = reply.send(Err(OpenError::because(why)));
        }
        Opening { receiver }
    }

    /// Seals a record without intent: a refusal, a change, a summary. Never blocks. When too many are
    /// waiting the receipt resolves to [`SettleError::Overloaded`] and nothing is sealed.
    pub fn append(&self, draft: Draft, attachment: Option<Vec<u8>>) -> Receipt {
        let (reply, receiver) = oneshot::channel();
        let shared = &self.handle.shared;
        match AppendPermit::take(shared) {
            Some(permit) => {
                let seal = Seal {
                    hold: Hold::Append(permit),
                    reply: Some(reply),
                    ..Seal::plain(draft, attachment)
                };
                shared.queue.push(Work::Seal(Box::new(seal)));
            }
            None => {
                let _gone = reply.send(Err(SettleError::Overloaded));
            }
        }
        Receipt { receiver }
    }

    /// Ledger id and boot id, for `context.environment`.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.handle.identity
    }

    /// Ledger id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.handle.identity.ledger
    }

    /// The chain it writes.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.handle.chain
    }

    /// Origin of its checkpoints.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.handle.origin
    }

    /// The newest signed checkpoint. Cheap: never waits for a commit.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Arc<Checkpoint>> {
        self.handle.shared.checkpoint()
    }

    /// Whether a call that is opened now has a chance. Cheap.
    #[must_use]
    pub fn admitting(&self) -> bool {
        self.handle.shared.admitting.load(Ordering::Acquire)
    }

    /// Counters and queue depths.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.handle.shared;
        let counters = &shared.counters;
        Status {
            admitting: self.admitting(),
            queued: shared.queue.len(),
            slots: (
                shared.slots_used.load(Ordering::Acquire),
                shared.settle_slots,
            ),
            open_calls: shared.open_calls.load(Ordering::Acquire),
            records: counters.records.load(Ordering::Relaxed),
            intents: counters.intents.load(Ordering::Relaxed),
            commits: counters.commits.load(Ordering::Relaxed),
            failed_commits: counters.failed_commits.load(Ordering::Relaxed),
            adopted: counters.adopted.load(Ordering::Relaxed),
            quarantined: counters.quarantined.load(Ordering::Relaxed),
            anchor_failures: counters.anchor_failures.load(Ordering::Relaxed),
            last_error: shared.last_error(),
        }
    }

    /// Stops admitting calls, waits at most `grace` until every open call is settled, seals the
    /// shutdown record, publishes the last checkpoint and closes the store.
    ///
    /// # Errors
    /// [`LedgerError::OpenCalls`] when calls were still open at the end: the boot stays unclosed and
    /// the next start recovers them. Others when storage fails.
    pub fn shutdown(
        &self,
        grace: Duration,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + 'static {
        let (reply, receiver) = oneshot::channel();
        let deadline = Instant::now() + grace;
        self.handle
            .shared
            .queue
            .push_shutdown(Shutdown { deadline, reply });
        async move {
            receiver
                .await
                .unwrap_or_else(|_| Err(LedgerError::Stopped("it had ended before".to_owned())))
        }
    }

    /// [`Ledger::shutdown`] on a thread that runs no async tasks.
    ///
    /// # Errors
    /// As [`Ledger::shutdown`].
    pub fn shutdown_blocking(&self, grace: Duration) -> Result<(), LedgerError> {
        let (reply, receiver) = oneshot::channel();
        let deadline = Instant::now() + grace;
        self.handle
            .shared
            .queue
            .push_shutdown(Shutdown { deadline, reply });
        receiver
            .blocking_recv()
            .unwrap_or_else(|_| Err(LedgerError::Stopped("it had ended before".to_owned())))
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Ledger({})", self.handle.origin)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.queue.close();
        for thread in self.threads.drain(..) {
            // A panic of the thread was reported by the panic hook and has ended admission.
            let _panicked = thread.join();
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LedgerError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(LedgerError::Thread)
}
