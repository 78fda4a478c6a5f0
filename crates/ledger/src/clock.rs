//! Time as an argument: the wall clock for stamps, behind a trait that tests replace.

use std::time::{SystemTime, UNIX_EPOCH};

use capsule::Timestamp;

/// Gives the time that records are stamped with.
pub trait Clock: Send + Sync {
    /// Now, UTC, microseconds.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let micros = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp::new(micros)
    }
}
