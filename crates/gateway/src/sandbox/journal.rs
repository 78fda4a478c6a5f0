//! What the sandbox was sent, and how each answer ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

/// How an answer ended, seen from the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Still being answered.
    Open,
    /// The whole answer was handed to the connection.
    Finished,
    /// The caller went away first.
    Abandoned,
    /// The sandbox broke the answer on purpose.
    Cut,
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Method.
    pub method: String,
    /// Request target: path and query.
    pub target: String,
    /// Header fields in order of arrival, names in lower case; a value that is not UTF-8 is replaced lossily.
    pub headers: Vec<(String, String)>,
    /// Body bytes.
    pub body: Bytes,
    /// How the answer ended.
    pub outcome: Outcome,
}

impl Recorded {
    /// First value of header `name` (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `Null` when it is not JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// All requests since the start. Cheap to clone; clones see the same entries.
#[derive(Debug, Clone)]
pub struct Journal {
    entries: Arc<Mutex<Vec<Recorded>>>,
    changes: watch::Sender<u64>,
}

impl Journal {
    pub(super) fn new() -> Self {
        Self {
            entries: Arc::default(),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn add(&self, recorded: Recorded) -> Ticket {
        let mut entries = self.lock();
        entries.push(recorded);
        let ticket = Ticket {
            journal: self.clone(),
            index: entries.len() - 1,
            outcome: None,
        };
        drop(entries);
        self.changed();
        ticket
    }

    /// Copies of all requests, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.lock().clone()
    }

    /// A copy of the request number `index`, from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Recorded> {
        self.lock().get(index).cloned()
    }

    /// Number of requests.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Waits until `done` holds of the requests. The caller bounds the time.
    pub async fn until(&self, mut done: impl FnMut(&[Recorded]) -> bool) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if done(&self.lock()) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|version| *version += 1);
    }
}

/// The right to say how one answer ended; without a word it was abandoned.
#[derive(Debug)]
pub(super) struct Ticket {
    journal: Journal,
    index: usize,
    outcome: Option<Outcome>,
}

impl Ticket {
    pub(super) fn end(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or(Outcome::Abandoned);
        if let Some(entry) = self.journal.lock().get_mut(self.index) {
            entry.outcome = outcome;
        }
        self.journal.changed();
    }
}
