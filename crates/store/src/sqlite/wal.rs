//! Folds the write-ahead log into the database on a thread and a connection of its own, so that no
//! commit waits for it longer than its last few pages take.

use std::{
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
    thread::{self, JoinHandle},
};

use rusqlite::Connection;

use super::{
    connection::{OpenError, connect},
    gate::Gate,
};

/// The log is folded in once it has this many pages. Larger means fewer, longer runs.
const FOLD_AT: i32 = 2000;

/// Most runs beside commits before the log is started over.
const PASSES: usize = 4;

/// Pages that came during a run and that commits may wait for.
const FEW: i64 = 100;

/// What the committer tells the folding thread.
#[derive(Debug, Default)]
pub(super) struct Signal {
    pages: AtomicI32,
    asked: Mutex<Asked>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    fold: bool,
    stop: bool,
}

impl Signal {
    /// After a commit: the log has this many pages.
    pub(super) fn grown(&self, pages: i32) {
        self.pages.store(pages, Ordering::Relaxed);
        if pages >= FOLD_AT {
            self.ask(|asked| asked.fold = true);
        }
    }

    fn ask(&self, what: impl FnOnce(&mut Asked)) {
        what(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake.notify_one();
    }

    /// Waits for a request; false means stop.
    fn wait(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        while !asked.fold && !asked.stop {
            asked = self
                .wake
                .wait(asked)
                .unwrap_or_else(PoisonError::into_inner);
        }
        asked.fold = false;
        !asked.stop
    }
}

/// The folding thread. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Folder {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Folder {
    pub(super) fn start(path: PathBuf, gate: Arc<Gate>) -> Result<Folder, OpenError> {
        let signal = Arc::new(Signal::default());
        let heard = Arc::clone(&signal);
        let connection = connect(&path, false)?;
        let run = move || {
            while heard.wait() {
                if let Err(error) = fold(&connection, &gate) {
                    // The log grows until the next try; commits go on.
                    tracing::warn!(target: "sealgate::store", %error, "folding the write-ahead log failed");
                }
            }
        };
        let thread = thread::Builder::new()
            .name("sealgate-wal".to_owned())
            .spawn(run)
            .map_err(|source| OpenError::Io { path, source })?;
        Ok(Folder {
            signal,
            thread: Some(thread),
        })
    }

    pub(super) fn signal(&self) -> Arc<Signal> {
        Arc::clone(&self.signal)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.signal.ask(|asked| asked.stop = true);
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by the panic hook and lost no data.
            let _panicked = thread.join();
        }
    }
}

/// Copies pages while commits go on, again while many came meanwhile, then, with the gate held, the
/// few that are left, so that the log starts over from its beginning instead of growing.
fn fold(connection: &Connection, gate: &Gate) -> rusqlite::Result<()> {
    let mut before = 0;
    for _ in 0..PASSES {
        let pages = checkpoint(connection, "PASSIVE")?;
        if pages - before <= FEW {
            break;
        }
        before = pages;
    }
    gate.enter();
    let restarted = checkpoint(connection, "RESTART");
    gate.leave();
    restarted.map(drop)
}

/// Runs one checkpoint and returns the pages in the log, or -1 when another checkpoint runs. Readers
/// may keep it from being complete, which is no error: the next one is.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        row.get(1)
    })
}
