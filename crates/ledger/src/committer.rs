//! The one thread that commits. It takes what arrived during the last commit as the next batch; what
//! becomes of the batch is in `outcome`.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use capsule::{Draft, Id};

use crate::{
    checkpointer::{Feed, Leaf},
    clock::Clock,
    error::{Damage, LedgerError, OpenError},
    journal::{Class, TreeWrite},
    options::Recover,
    quarantine,
    queue::{Shutdown, Taken, merge},
    sequencer::{Attempt, Refusal, Sequencer},
    shared::Shared,
    system::{Event, Scribe, draft},
    work::{Hold, Open, Seal, Work},
};

/// How often the disk reserve is looked at while it is exhausted.
const ROOM_POLL: Duration = Duration::from_millis(200);

/// State of the committing thread. Every field is its own.
pub(crate) struct Committer {
    pub(crate) sequencer: Sequencer,
    pub(crate) scribe: Scribe,
    pub(crate) shared: Arc<Shared>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) max_batch: usize,
    pub(crate) max_record_bytes: usize,
    pub(crate) retry: (Duration, Duration),
    /// Items that wait for a try or another one, oldest first.
    pub(crate) held: VecDeque<Work>,
    pub(crate) tree: Option<TreeWrite>,
    /// A transaction whose outcome is unknown. Nothing else is tried before it is resolved.
    pub(crate) unknown: Option<(Vec<Work>, Attempt)>,
    pub(crate) pause: Option<Pause>,
    pub(crate) room: bool,
    pub(crate) shutdown: Option<Shutdown>,
    /// While a refused item is being searched by halving: size of the next tries, items still in doubt.
    pub(crate) bisect: Option<(usize, usize)>,
    /// When the lease must be renewed, for stores whose leases expire.
    pub(crate) renew_at: Option<Instant>,
    /// Builds the records of calls that another instance left open.
    pub(crate) recover: Option<Recover>,
    /// Boots of other instances that were taken over, so that none is twice.
    pub(crate) rescued: BTreeSet<Id>,
    /// Transactions with unknown outcome that turned out not to be persisted, in a row.
    pub(crate) lost_commits: u32,
    /// Items that the last batch took in.
    pub(crate) last_batch: usize,
}

/// After a failure: no try before `until`.
pub(crate) struct Pause {
    until: Instant,
    length: Duration,
}

/// Why the loop ends.
enum End {
    Shutdown(Shutdown),
    HandlesGone,
    Stopped(Damage),
}

/// Calls under way from which on batches are gathered, and their size then.
const BUSY: usize = 16;
/// Items in the last batch from which on the next one is worth waiting for: many calls may be under way without a stir,
/// as streams are.
const BRISK: usize = 6;

impl Committer {
    /// Runs until shutdown, until no handle is left, or until the chain cannot be continued.
    pub(crate) fn run(mut self) {
        let guard = EndGuard(Arc::clone(&self.shared), Arc::clone(&self.feed));
        let end = self.serve();
        self.shared.admitting.store(false, Ordering::Release);
        match end {
            End::Shutdown(shutdown) => {
                let result = self.finish();
                let _gone = shutdown.reply.send(result);
            }
            End::HandlesGone => {}
            End::Stopped(damage) => {
                tracing::error!(target: "sealgate::ledger", %damage, "the ledger stopped");
                self.shared.fail(damage.to_string());
                if let Some(shutdown) = self.shutdown.take() {
                    let _gone = shutdown.reply.send(Err(damage.into()));
                }
            }
        }
        drop(guard);
    }

    fn serve(&mut self) -> End {
        loop {
            let taken = self.shared.queue.take(self.deadline(), self.gather());
            let closed = taken.closed;
            if !taken.works.is_empty() {
                self.last_batch = taken.works.len();
            }
            self.receive(taken);
            if let Err(damage) = self.keep_lease().and_then(|()| self.step()) {
                return End::Stopped(damage);
            }
            let idle = self.held.is_empty() && self.unknown.is_none() && self.tree.is_none();
            if closed && (idle || self.pause.is_some()) {
                return End::HandlesGone;
            }
            let settled = idle && self.shared.open_calls.load(Ordering::Acquire) == 0;
            let due = |shutdown: &mut Shutdown| settled || shutdown.deadline <= Instant::now();
            if let Some(shutdown) = self.shutdown.take_if(due) {
                return End::Shutdown(shutdown);
            }
        }
    }

    /// How many items a batch should have before it is committed: only with many calls under way and much going on.
    fn gather(&self) -> Option<usize> {
        let busy =
            self.last_batch >= BRISK && self.shared.slots_used.load(Ordering::Relaxed) >= BUSY;
        (busy && self.shutdown.is_none() && self.pause.is_none()).then_some(BUSY)
    }

    /// Without its lease this process must not write: another one may have recovered its intents.
    fn keep_lease(&mut self) -> Result<(), Damage> {
        let Some(interval) = self.sequencer.journal.lease_interval() else {
            return Ok(());
        };
        let now = Instant::now();
        if self.renew_at.is_some_and(|at| at > now) {
            return Ok(());
        }
        self.renew_at = Some(now + interval);
        let boot = self.sequencer.boot;
        match self.sequencer.journal.renew_lease(&boot, self.clock.now()) {
            Err(error) if error.class == Class::Fatal => Err(Damage::LeaseLost),
            Err(error) => {
                // An idle process learns here that its store is away, and says so before a call finds out.
                self.fall_back(&error.to_string());
                Ok(())
            }
            Ok(()) => {
                self.rescue();
                Ok(())
            }
        }
    }

    /// Seals what instances left open whose leases have passed. The store gives each of them to one process only.
    fn rescue(&mut self) {
        if self.shutdown.is_some() || self.unknown.is_some() {
            return;
        }
        let (build, now) = (self.recover.as_ref(), self.clock.now());
        match crate::start::close_dead(&mut self.sequencer, &self.scribe, build, now) {
            Ok((_, boots)) if boots.iter().any(|dead| self.rescued.contains(&dead.boot)) => {}
            Ok((works, boots)) => {
                for dead in boots {
                    tracing::warn!(
                        target: "sealgate::ledger",
                        boot = %dead.boot,
                        calls = dead.recovered.len(),
                        "another instance died; its open calls are sealed as unknown"
                    );
                    self.rescued.insert(dead.boot);
                }
                self.held.extend(works);
            }
            Err(error) => {
                tracing::warn!(target: "sealgate::ledger", %error, "dead instances could not be looked for");
            }
        }
    }

    /// When to look again although nothing arrives.
    fn deadline(&self) -> Option<Instant> {
        let now = Instant::now();
        let waiting = !self.held.is_empty() || self.unknown.is_some() || self.tree.is_some();
        let retry = match &self.pause {
            Some(pause) => Some(pause.until),
            None => waiting.then_some(now),
        };
        let room = (!self.room).then(|| now + ROOM_POLL);
        let shutdown = self.shutdown.as_ref().map(|shutdown| shutdown.deadline);
        [retry, room, shutdown, self.renew_at]
            .into_iter()
            .flatten()
            .min()
    }

    fn receive(&mut self, taken: Taken) {
        if let Some(write) = taken.tree {
            self.tree = Some(merge(self.tree.take(), write));
        }
        if let Some(shutdown) = taken.shutdown {
            self.shutdown = Some(shutdown);
            self.shared.admitting.store(false, Ordering::Release);
        }
        let admitting = self.shared.admitting.load(Ordering::Acquire);
        for work in taken.works {
            match self.prepare(work) {
                Ok(Work::Open(open)) if !admitting => refuse(*open, &self.why_not()),
                Ok(work) => self.held.push_back(work),
                Err(error) => {
                    tracing::error!(target: "sealgate::ledger", %error, "record could not be built");
                    self.shared.fail(error.to_string());
                }
            }
        }
    }

    /// Validates an item before it can harm a batch.
    fn prepare(&self, work: Work) -> Result<Work, LedgerError> {
        let at = self.clock.now();
        match work {
            Work::Abandon(call) => {
                let subject = call.subject;
                let unknown =
                    self.scribe
                        .unknown(Event::Abandoned, Some(&subject), subject.id, None, at)?;
                Ok(Work::Seal(Box::new(Seal {
                    subject: Some(subject),
                    hold: Hold::Slot(call.slot),
                    ..Seal::plain(draft(&unknown)?, None)
                })))
            }
            Work::Seal(mut seal) => {
                if let Some(reason) = self.objection(&seal) {
                    self.quarantine(&mut seal, Refusal::Store(reason))?;
                }
                Ok(Work::Seal(seal))
            }
            other => Ok(other),
        }
    }

    fn objection(&self, seal: &Seal) -> Option<String> {
        let draft = seal.draft.as_ref()?;
        let size = draft.len() + seal.attachment.as_ref().map_or(0, Vec::len);
        if size > self.max_record_bytes {
            return Some(format!(
                "{size} bytes are more than the limit of {}",
                self.max_record_bytes
            ));
        }
        match seal.subject {
            Some(subject) if subject.id != draft.id() => Some(format!(
                "the record has the id {}, the call {}",
                draft.id(),
                subject.id
            )),
            _ => None,
        }
    }

    pub(crate) fn quarantine(&self, seal: &mut Seal, refusal: Refusal) -> Result<(), LedgerError> {
        quarantine::replace(seal, refusal, &self.scribe, self.clock.now())?;
        let entry = seal.quarantine.as_ref();
        tracing::error!(
            target: "sealgate::ledger",
            reason = entry.map(|entry| entry.reason.as_str()),
            digest = entry.map(|entry| entry.digest.hex()),
            "a record was quarantined"
        );
        Ok(())
    }

    /// One try of one transaction, if one is due.
    fn step(&mut self) -> Result<(), Damage> {
        if self
            .pause
            .as_ref()
            .is_some_and(|pause| pause.until > Instant::now())
        {
            return Ok(());
        }
        if let Some((works, attempt)) = self.unknown.take() {
            return self.resolve(works, attempt);
        }
        self.look_for_room();
        let batch = self.next_batch();
        // After a failure an empty batch tries whether the store writes again, so that admission
        // resumes although no settlement waits.
        if batch.is_empty() && self.pause.is_none() {
            return Ok(());
        }
        self.commit(batch)
    }

    fn look_for_room(&mut self) {
        let room = self.sequencer.journal.has_room();
        let had = std::mem::replace(&mut self.room, matches!(room, Ok(true)));
        if had && !self.room {
            let message = room
                .err()
                .map_or("the disk reserve is used up".to_owned(), |e| e.to_string());
            tracing::error!(target: "sealgate::ledger", error = message, "no new calls are admitted");
            self.shared.fail(message);
        }
        if !self.room {
            self.refuse_opens();
        }
        self.admit();
    }

    fn next_batch(&mut self) -> Vec<Work> {
        let limit = self.bisect.map_or(self.max_batch, |(size, _)| size);
        let mut batch: Vec<Work> = self.held.drain(..limit.min(self.held.len())).collect();
        if self.bisect.is_none() {
            batch.extend(self.tree.take().map(Work::Tree));
        }
        batch
    }

    /// Storage does not work now: refuse opens, keep the rest, try again after a pause.
    pub(crate) fn fall_back(&mut self, reason: &str) {
        self.shared
            .counters
            .failed_commits
            .fetch_add(1, Ordering::Relaxed);
        self.shared.fail(reason.to_owned());
        let (shortest, longest) = self.retry;
        let length = self
            .pause
            .as_ref()
            .map_or(shortest, |pause| (pause.length * 2).min(longest));
        if self.pause.is_none() {
            tracing::error!(target: "sealgate::ledger", reason, "commits fail; no new calls are admitted");
        }
        self.pause = Some(Pause {
            until: Instant::now() + length,
            length,
        });
        self.admit();
        self.refuse_opens();
    }

    fn refuse_opens(&mut self) {
        if !self.held.iter().any(|work| matches!(work, Work::Open(_))) {
            return;
        }
        let why = self.why_not();
        for work in std::mem::take(&mut self.held) {
            match work {
                Work::Open(open) => refuse(*open, &why),
                work => self.held.push_back(work),
            }
        }
    }

    pub(crate) fn admit(&self) {
        let admitting = self.room && self.pause.is_none() && self.shutdown.is_none();
        self.shared.admitting.store(admitting, Ordering::Release);
    }

    fn why_not(&self) -> String {
        if self.shutdown.is_some() {
            return "shutting down".to_owned();
        }
        self.shared
            .last_error()
            .unwrap_or_else(|| "storage is not available".to_owned())
    }

    /// Seals the shutdown record when every call is settled, publishes and stores the last checkpoint,
    /// and closes the store.
    fn finish(&mut self) -> Result<(), LedgerError> {
        let open = self.shared.open_calls.load(Ordering::Acquire);
        let unsaved = !self.held.is_empty() || self.unknown.is_some();
        let closed = if open == 0 && !unsaved {
            self.seal_shutdown()
        } else {
            Err(LedgerError::OpenCalls(open))
        };
        // In the order in which the checkpointer made them: the one that could not be stored yet, the
        // one that came after the last batch was taken, the last one.
        let last = self.feed.flush();
        let late = self.shared.queue.take(Some(Instant::now()), None).tree;
        let write = [late, last]
            .into_iter()
            .flatten()
            .fold(self.tree.take(), |older, newer| Some(merge(older, newer)));
        let stored = match write {
            Some(write) => self.finally(&mut [Work::Tree(write)]).map(drop),
            None => Ok(()),
        };
        let folded = self.sequencer.journal.close();
        closed?;
        stored?;
        Ok(folded?)
    }

    fn seal_shutdown(&mut self) -> Result<(), LedgerError> {
        let boot = self.sequencer.boot;
        let record: Draft = self
            .scribe
            .shutdown(self.sequencer.last_intent, self.clock.now())?;
        let mut works = [
            Work::Seal(Box::new(Seal::plain(record, None))),
            Work::CloseBoot(boot),
        ];
        let attempt = self.finally(&mut works)?;
        let adopted = attempt.adopted.into_iter().map(Leaf::Hash);
        self.feed
            .push(adopted.chain(attempt.sealed.into_iter().flatten().map(Leaf::Sealed)));
        Ok(())
    }

    /// A last transaction, tried once.
    fn finally(&mut self, works: &mut [Work]) -> Result<Attempt, LedgerError> {
        crate::start::commit_once(&mut self.sequencer, works, self.clock.now())
    }
}

pub(crate) fn refuse(open: Open, why: &str) {
    if let Some(reply) = open.reply {
        let _gone = reply.send(Err(OpenError::because(why)));
    }
}

/// Whatever ends the thread, nobody waits for it afterwards.
struct EndGuard(Arc<Shared>, Arc<Feed>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.admitting.store(false, Ordering::Release);
        self.0.queue.close();
        drop(self.0.queue.take(Some(Instant::now()), None));
        self.1.stop();
    }
}
