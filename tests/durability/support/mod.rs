//! The gateway as a process, its provider, its clients, and its ledger as an auditor reads it.

pub(crate) mod audit;
pub(crate) mod binaries;
pub(crate) mod client;
pub(crate) mod disk;
pub(crate) mod lossy;
pub(crate) mod random;
pub(crate) mod record;
pub(crate) mod server;
pub(crate) mod site;
pub(crate) mod strace;
pub(crate) mod stub;

use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Polls until `what` gives something.
pub(crate) fn eventually<T>(name: &str, mut what: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{name}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
