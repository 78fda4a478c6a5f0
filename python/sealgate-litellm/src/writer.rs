//! The one thread of a process that seals and stores.

use std::{
    sync::MutexGuard,
    time::{Duration, Instant},
};

use capsule::{Capsule, Draft, Hash, Id};
use ledger::{Clock, SystemClock, new_id};
use store::shared::{SharedChain, SharedError};

use crate::{
    key::KeyFile,
    queue::{Item, Queue, State, wait},
    record::{DigestKey, Recorder},
};

/// Most records of one transaction.
const MAX_BATCH: usize = 512;
/// Under load a transaction follows the previous one no sooner than this, so that one commit carries many
/// records. A record after a pause is committed at once.
const GATHER: Duration = Duration::from_millis(5);
/// First and longest pause after a failed transaction.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Tells the application's log about trouble: a message, and whether it is an error.
pub(crate) type Report = Box<dyn Fn(&str, bool) + Send + Sync>;

/// What the thread works with.
pub(crate) struct Writer {
    pub(crate) queue: &'static Queue,
    pub(crate) chain: Box<dyn SharedChain>,
    pub(crate) key: KeyFile,
    pub(crate) digest_key: &'static DigestKey,
    pub(crate) report: &'static Report,
}

/// Records that one transaction takes, kept until it succeeded.
#[derive(Default)]
struct Batch {
    capsules: Vec<Capsule>,
    /// Of the first try, which takes them.
    drafts: Vec<Draft>,
    bytes: usize,
    minimal: u64,
    tries: u32,
}

impl Writer {
    /// Runs for as long as the process does.
    pub(crate) fn run(mut self) {
        let mut batch = Batch::default();
        let mut last_commit: Option<Instant> = None;
        loop {
            let mut state = self.queue.lock();
            state = self.next(state, &batch, last_commit);
            if batch.capsules.is_empty() {
                let count = state.waiting.len().min(MAX_BATCH);
                let items: Vec<Item> = state.waiting.drain(..count).collect();
                drop(state);
                batch = self.prepare(&items);
            } else {
                drop(state);
            }
            let done = self.commit(&mut batch);
            last_commit = Some(Instant::now());
            self.settle(&mut batch, done);
        }
    }

    /// Waits until there is something to write now.
    fn next<'a>(
        &mut self,
        mut state: MutexGuard<'a, State>,
        batch: &Batch,
        last_commit: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        let retry_at = last_commit.map(|last| last + pause(batch.tries));
        let gather_until = last_commit.map(|last| last + GATHER);
        loop {
            if state.park > 0 {
                state = self.parked(state);
                continue;
            }
            let now = Instant::now();
            let due = if !batch.capsules.is_empty() {
                retry_at
            } else if state.waiting.is_empty() {
                state.idle = true;
                state = wait(&self.queue.work, state, Duration::from_secs(3600));
                continue;
            } else if state.hurried > 0 || state.waiting.len() >= MAX_BATCH {
                None
            } else {
                gather_until
            };
            match due.and_then(|due| due.checked_duration_since(now)) {
                Some(rest) if !rest.is_zero() => {
                    state = wait(&self.queue.work, state, rest);
                }
                _ => {
                    state.idle = false;
                    return state;
                }
            }
        }
    }

    /// Closes the store and waits until it may be opened again.
    fn parked<'a>(&mut self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.chain.close();
        state.parked = true;
        self.queue.progress.notify_all();
        while state.park > 0 {
            state = wait(&self.queue.work, state, Duration::from_secs(3600));
        }
        state.parked = false;
        state
    }

    fn prepare(&self, items: &[Item]) -> Batch {
        let mut batch = Batch::default();
        for item in items {
            batch.bytes += item.bytes;
            let recorder = Recorder {
                settings: &item.settings,
                key: self.digest_key,
            };
            let id = id(batch.capsules.len());
            let mut capsule = recorder.capsule(id, &item.call);
            let draft = Draft::new(&capsule).or_else(|error| {
                let reason = error.to_string();
                (self.report)(
                    &format!("a record is written in a minimal form: {reason}"),
                    true,
                );
                batch.minimal += 1;
                capsule = recorder.minimal(id, &item.call, &reason);
                Draft::new(&capsule)
            });
            batch.drafts.extend(draft);
            batch.capsules.push(capsule);
        }
        batch
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<(), SharedError> {
        let again = batch.tries > 0;
        let mut drafts = std::mem::take(&mut batch.drafts);
        if again {
            drafts.extend(batch.capsules.iter().flat_map(Draft::new));
        }
        // A settings check at the start keeps the minimal form of a record always possible.
        if drafts.len() != batch.capsules.len() {
            return Err(SharedError::Chain {
                place: "record".to_owned(),
                reason: "its minimal form is not accepted".to_owned(),
            });
        }
        if let Some((message, is_error)) = self.key.refresh() {
            (self.report)(&message, is_error);
        }
        self.chain
            .append(drafts, self.key.signer(), SystemClock.now(), again)
    }

    /// Counts and reports.
    fn settle(&self, batch: &mut Batch, done: Result<(), SharedError>) {
        let mut state = self.queue.lock();
        let message = match done {
            Ok(()) => {
                state.counts.written += batch.capsules.len() as u64;
                state.counts.minimal += batch.minimal;
                state.counts.commits += 1;
                state.bytes = state.bytes.saturating_sub(batch.bytes);
                *batch = Batch::default();
                let failed = state.failing.take().is_some();
                failed.then(|| ("records are written again".to_owned(), false))
            }
            Err(error) => {
                let error = error.to_string();
                batch.tries += 1;
                state.counts.failed_commits += 1;
                let open = state.counts.submitted - state.counts.written;
                let first = state.failing.replace(error.clone()).is_none();
                state.last_error = Some(error.clone());
                // The first one, then about one a minute.
                (first || batch.tries.is_multiple_of(30)).then(|| {
                    let said = format!(
                        "{open} records wait, none is lost: writing failed and is tried again: {error}"
                    );
                    (said, true)
                })
            }
        };
        drop(state);
        self.queue.progress.notify_all();
        if let Some((message, is_error)) = message {
            (self.report)(&message, is_error);
        }
    }
}

/// Made here and not by the caller: a fork copies the random bytes that a thread keeps at hand.
fn id(count: usize) -> Id {
    let now = SystemClock.now();
    new_id(now).unwrap_or_else(|_| {
        // Without randomness: what no other record has.
        let unique = format!("{} {} {count}", std::process::id(), now.micros());
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(Hash::of(unique.as_bytes()).as_bytes()) {
            *to = *from;
        }
        Id::from_bytes(bytes)
    })
}

fn pause(tries: u32) -> Duration {
    if tries == 0 {
        return Duration::ZERO;
    }
    RETRY
        .0
        .saturating_mul(1 << tries.min(10).saturating_sub(1))
        .min(RETRY.1)
}
