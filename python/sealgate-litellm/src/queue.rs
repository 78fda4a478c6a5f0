//! Calls on their way to the store: bounded, in order, counted.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{call::Call, record::Settings};

/// One call and the logger that it came through.
pub(crate) struct Item {
    pub(crate) call: Call,
    pub(crate) settings: Arc<Settings>,
    pub(crate) bytes: usize,
}

/// Bounds of what waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) records: u64,
    pub(crate) bytes: usize,
}

/// What happened so far. A record is either written or waiting; there is no third state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) submitted: u64,
    pub(crate) written: u64,
    pub(crate) commits: u64,
    /// Transactions that failed; their records stay and are tried again.
    pub(crate) failed_commits: u64,
    /// Records whose full form the protocol does not allow, written in a minimal one.
    pub(crate) minimal: u64,
    /// Times that a caller had to wait for room.
    pub(crate) waits: u64,
}

/// Everything behind the lock.
pub(crate) struct State {
    pub(crate) waiting: VecDeque<Item>,
    /// Bytes of all records that are not written, those of a running transaction included.
    pub(crate) bytes: usize,
    pub(crate) counts: Counts,
    /// The newest failure, until a commit succeeds.
    pub(crate) failing: Option<String>,
    /// The newest failure of all.
    pub(crate) last_error: Option<String>,
    /// The writer sleeps and must be woken by the next record.
    pub(crate) idle: bool,
    /// Somebody waits for records to be written: no gathering.
    pub(crate) hurried: usize,
    /// How many want the writer to let go of the store and wait.
    pub(crate) park: usize,
    /// It has done so.
    pub(crate) parked: bool,
    pub(crate) thread: Option<JoinHandle<()>>,
    /// The process that the thread belongs to.
    pub(crate) process: u32,
}

/// The queue of one store in this process. A fork leaves the parent's queue behind and goes on with the
/// next: other threads may have held the copied lock, and what waits belongs to the parent.
pub(crate) struct Queues {
    first: Queue,
    /// Forks between the process that made this and this one.
    forks: AtomicUsize,
}

impl Queues {
    pub(crate) fn new(bounds: Bounds) -> Queues {
        Queues {
            first: Queue::new(bounds),
            forks: AtomicUsize::new(0),
        }
    }

    pub(crate) fn current(&self) -> &Queue {
        let mut queue = &self.first;
        for _ in 0..self.forks.load(Ordering::Acquire) {
            queue = queue
                .next
                .get_or_init(|| Box::new(Queue::new(queue.bounds)));
        }
        queue
    }

    /// In a forked process, before it has a second thread.
    pub(crate) fn after_fork(&self) {
        self.forks.fetch_add(1, Ordering::AcqRel);
    }
}

/// Calls that wait, and where they stand.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// For the writer.
    pub(crate) work: Condvar,
    /// For everybody else: room, written records, a parked writer.
    pub(crate) progress: Condvar,
    bounds: Bounds,
    /// That of a forked process.
    next: OnceLock<Box<Queue>>,
}

/// Why a record was not taken.
pub(crate) enum Refused {
    /// There is no room now.
    Full,
    /// The writer could not be started.
    NoThread(std::io::Error),
    /// The process was forked behind Python's back while the store was open.
    Forked,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Queue {
        Queue {
            state: Mutex::new(State::new()),
            work: Condvar::new(),
            progress: Condvar::new(),
            bounds,
            next: OnceLock::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a call and gives its ticket, the number of calls taken so far. `force` ignores the bounds.
    pub(crate) fn push(
        &self,
        item: Item,
        force: bool,
        start: impl FnOnce() -> std::io::Result<JoinHandle<()>>,
    ) -> Result<u64, Refused> {
        let mut state = self.lock();
        if state.process != std::process::id() {
            if state.thread.is_some() {
                return Err(Refused::Forked);
            }
            state.process = std::process::id();
        }
        if !force && !self.has_room(&state) {
            return Err(Refused::Full);
        }
        if state.thread.is_none() {
            match start() {
                Ok(thread) => state.thread = Some(thread),
                Err(error) => return Err(Refused::NoThread(error)),
            }
        }
        state.bytes += item.bytes;
        state.waiting.push_back(item);
        state.counts.submitted += 1;
        let ticket = state.counts.submitted;
        // A writer that gathers wakes by itself; waking it costs the caller a system call.
        let wake = state.idle;
        state.idle = false;
        drop(state);
        if wake {
            self.work.notify_one();
        }
        Ok(ticket)
    }

    /// One record always has room, however large it is.
    fn has_room(&self, state: &State) -> bool {
        let open = state.counts.submitted - state.counts.written;
        open == 0 || (open < self.bounds.records && state.bytes < self.bounds.bytes)
    }

    /// Waits until there is room or the time is over.
    pub(crate) fn wait_for_room(&self, limit: Duration) {
        let mut state = self.lock();
        state.counts.waits += 1;
        let until = Instant::now() + limit;
        while !self.has_room(&state) {
            let Some(rest) = until.checked_duration_since(Instant::now()) else {
                return;
            };
            state = wait(&self.progress, state, rest);
        }
    }

    /// Waits until the first `ticket` calls are written. `Ok(false)`: the time is over. With
    /// `until_failure` the next failed transaction ends it too.
    pub(crate) fn wait_for(
        &self,
        ticket: u64,
        limit: Duration,
        until_failure: bool,
    ) -> Result<bool, String> {
        let until = Instant::now().checked_add(limit);
        let mut state = self.lock();
        let failed_before = state.counts.failed_commits;
        state.hurried += 1;
        self.work.notify_one();
        let outcome = loop {
            if state.counts.written >= ticket {
                break Ok(true);
            }
            if until_failure && state.counts.failed_commits > failed_before {
                break Err(state.last_error.clone().unwrap_or_default());
            }
            let rest = match until {
                Some(until) => match until.checked_duration_since(Instant::now()) {
                    Some(rest) => rest,
                    None => break Ok(false),
                },
                None => Duration::from_secs(3600),
            };
            state = wait(&self.progress, state, rest);
        };
        state.hurried -= 1;
        outcome
    }

    /// Makes the writer let go of the store, and returns once it has.
    pub(crate) fn park(&self) {
        let mut state = self.lock();
        state.park += 1;
        if state.process != std::process::id() {
            return;
        }
        self.work.notify_one();
        while state.thread.is_some() && !state.parked {
            state = wait(&self.progress, state, Duration::from_secs(3600));
        }
    }

    /// Lets the writer go on.
    pub(crate) fn unpark(&self) {
        let mut state = self.lock();
        state.park = state.park.saturating_sub(1);
        drop(state);
        self.work.notify_all();
    }
}

impl State {
    /// Nothing is waiting and no writer runs.
    pub(crate) fn new() -> State {
        State {
            waiting: VecDeque::new(),
            bytes: 0,
            counts: Counts::default(),
            failing: None,
            last_error: None,
            idle: false,
            hurried: 0,
            park: 0,
            parked: false,
            thread: None,
            process: std::process::id(),
        }
    }
}

pub(crate) fn wait<'a>(
    condition: &Condvar,
    state: MutexGuard<'a, State>,
    limit: Duration,
) -> MutexGuard<'a, State> {
    let (state, _) = condition
        .wait_timeout(state, limit)
        .unwrap_or_else(PoisonError::into_inner);
    state
}
