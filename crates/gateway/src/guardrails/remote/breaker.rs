//! A breaker: a service that failed several times in a row is not asked for a while, then by one question.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Breaker {
    /// So many open it.
    failures: u32,
    /// For so long.
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failed: u32,
    open_until: Option<Instant>,
    /// The one question that is asked after the pause is under way.
    probing: bool,
}

/// One question. Dropped without a word it counts as none.
pub(super) struct Trial<'b> {
    breaker: &'b Breaker,
    probe: bool,
}

impl Breaker {
    pub(super) fn new(failures: u32, pause: Duration) -> Self {
        Self {
            failures: failures.max(1),
            pause,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `None` while nothing is asked.
    pub(super) fn enter(&self, now: Instant) -> Option<Trial<'_>> {
        let mut state = self.state();
        let probe = match state.open_until {
            None => false,
            Some(until) if until > now || state.probing => return None,
            Some(_) => true,
        };
        state.probing |= probe;
        Some(Trial {
            breaker: self,
            probe,
        })
    }
}

impl Trial<'_> {
    /// The service answered.
    pub(super) fn answered(self) {
        let mut state = self.breaker.state();
        // An answer that was asked for before the breaker opened closes nothing: the probe does.
        if self.probe || state.open_until.is_none() {
            state.failed = 0;
            state.open_until = None;
        }
    }

    /// It did not.
    pub(super) fn failed(self, now: Instant) {
        let mut state = self.breaker.state();
        state.failed = state.failed.saturating_add(1);
        if self.probe || state.failed >= self.breaker.failures {
            state.open_until = Some(now + self.breaker.pause);
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.state().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_and_closes_by_one_question() {
        let breaker = Breaker::new(2, Duration::from_secs(10));
        let mut now = Instant::now();
        let ask = |now| breaker.enter(now).expect("asked");
        ask(now).failed(now);
        ask(now).answered();
        ask(now).failed(now);
        // A client that left says nothing about the service.
        drop(ask(now));
        let late = ask(now);
        ask(now).failed(now);
        assert!(breaker.enter(now).is_none(), "open");
        late.answered();
        assert!(breaker.enter(now).is_none(), "a late answer closes nothing");
        now += Duration::from_secs(11);
        let probe = ask(now);
        assert!(breaker.enter(now).is_none(), "one question at a time");
        probe.failed(now);
        assert!(breaker.enter(now).is_none());
        now += Duration::from_secs(11);
        drop(ask(now));
        ask(now).answered();
        ask(now).failed(now);
        ask(now).answered();
        assert!(breaker.enter(now).is_some());
    }
}
