//! Retention: the keys of old hours are destroyed; the records and their commitments stay.
//!
//! A clock that jumps ahead must not erase everything at once. A run believes the wall clock only as far as the time that has
//! really passed in this process since it started, and across a restart at most a week beyond what was believed before. What
//! is held back is said, sealed, and done later, or at once on an administrator's word.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use capsule::json::Object;
use store::content::{Retention, hour_of};

use super::Unrecorded;
use crate::app::App;

/// Most time that a restart may skip, in microseconds.
const MOST_AT_RESTART: i64 = 7 * 86_400_000_000;

/// How far the wall clock may be ahead of the time that passed: adjustments, not jumps. Microseconds.
const TOLERANCE: i64 = 600_000_000;

/// What time it is, as far as it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Belief {
    /// Microseconds since the Unix epoch.
    now: i64,
    /// The wall clock says later.
    held_back: bool,
}

/// `base` was believed `elapsed` microseconds ago.
fn believe(base: i64, elapsed: i64, wall: i64) -> Belief {
    let most = base.saturating_add(elapsed).saturating_add(TOLERANCE);
    Belief {
        now: wall.min(most),
        held_back: wall > most,
    }
}

/// What a start believes.
fn at_start(before: Option<i64>, wall: i64) -> i64 {
    before.map_or(wall, |before| {
        wall.min(before.saturating_add(MOST_AT_RESTART))
    })
}

struct State {
    base: i64,
    since: Instant,
    last_run: Option<Instant>,
}

/// When runs are due, and what time they believe.
pub(crate) struct Clockwork(Mutex<State>);

/// What a run did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Hours whose keys were destroyed.
    pub(crate) hours: u64,
    /// Whether the wall clock was not believed.
    pub(crate) held_back: bool,
    /// The record; absent when there was nothing to do.
    pub(crate) record: Option<String>,
}

impl Clockwork {
    pub(crate) fn new(before: Option<Retention>, wall: i64) -> Self {
        Self(Mutex::new(State {
            base: at_start(before.map(|run| run.believed), wall),
            since: Instant::now(),
            last_run: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a run is due; says so once.
    pub(crate) fn is_due(&self, interval: Duration) -> bool {
        let mut state = self.state();
        let due = state.last_run.is_none_or(|last| last.elapsed() >= interval);
        if due {
            state.last_run = Some(Instant::now());
        }
        due
    }

    fn now(&self, wall: i64, accept: bool) -> Belief {
        let mut state = self.state();
        if accept {
            state.base = wall;
            state.since = Instant::now();
        }
        let elapsed = i64::try_from(state.since.elapsed().as_micros()).unwrap_or(i64::MAX);
        believe(state.base, elapsed, wall)
    }
}

/// One run. `accept`: an administrator says that the clock is right. `None` when content lives for ever.
///
/// # Errors
/// [`Unrecorded`]: nothing is destroyed without its record.
pub(crate) async fn run(app: &App, by: &str, accept: bool) -> Result<Option<Run>, Unrecorded> {
    let Some(settings) = app.snapshot().config.content.retention else {
        return Ok(None);
    };
    let belief = app.contents.clockwork.now(app.clock.now().micros(), accept);
    let keep = i64::try_from(settings.keep.as_micros()).unwrap_or(i64::MAX);
    // An hour ends when its last moment is old enough.
    let floor = hour_of(belief.now.saturating_sub(keep));
    let oldest = app.contents.keeper.run(|keys, _| keys.oldest_hour());
    let oldest = oldest.await.map_err(|_| Unrecorded::Keys)?;
    let oldest = oldest.filter(|oldest| *oldest < floor);
    if belief.held_back {
        tracing::error!(
            "the clock is ahead of the time that has passed: retention goes only as far as that; if the clock is right, \
             POST /content/retention with {{\"accept_clock\": true}}"
        );
    }
    if oldest.is_none() && !belief.held_back {
        return Ok(Some(Run::default()));
    }
    let mut env = Object::new();
    env.insert("accepted_clock", accept);
    env.insert("believed", capsule::Timestamp::new(belief.now).to_string());
    env.insert("floor_hour", floor);
    env.insert("held_back", belief.held_back);
    if let Some(oldest) = oldest {
        env.insert("from_hour", oldest);
    }
    env.insert("keep_seconds", settings.keep.as_secs());
    let note = Retention {
        floor,
        believed: belief.now,
    };
    let attachment = note.encode().map_err(|_| Unrecorded::Ledger)?;
    let summary = match oldest {
        Some(_) => "Content before an hour ends".to_owned(),
        None => "Nothing ends: the clock is not believed".to_owned(),
    };
    let record = super::seal_event(app, "retention", by, env, summary, Some(attachment)).await?;
    let destroyed = app.contents.keeper.run(move |keys, cache| {
        let gone = keys.destroy_hours(floor)?;
        cache.clear();
        keys.scrub()?;
        Ok(gone)
    });
    Ok(Some(Run {
        hours: destroyed.await.map_err(|_| Unrecorded::Keys)?,
        held_back: belief.held_back,
        record: Some(record),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn a_clock_that_jumps_ahead_is_believed_as_far_as_time_has_passed() {
        let jumped = believe(100 * DAY, DAY, 500 * DAY);
        assert_eq!(jumped.now, 101 * DAY + TOLERANCE);
        assert!(jumped.held_back);
        let right = believe(100 * DAY, DAY, 101 * DAY + 1_000_000);
        assert_eq!((right.now, right.held_back), (101 * DAY + 1_000_000, false));
        // A clock that goes back only waits.
        let back = believe(100 * DAY, DAY, 3 * DAY);
        assert_eq!((back.now, back.held_back), (3 * DAY, false));
    }

    #[test]
    fn a_restart_skips_a_week_at_most() {
        assert_eq!(at_start(Some(100 * DAY), 103 * DAY), 103 * DAY);
        assert_eq!(at_start(Some(100 * DAY), 4000 * DAY), 107 * DAY);
        assert_eq!(at_start(None, 4000 * DAY), 4000 * DAY);
        assert_eq!(at_start(Some(100 * DAY), 50 * DAY), 50 * DAY);
    }

    #[test]
    fn runs_are_due_once_an_interval() {
        let clockwork = Clockwork::new(None, 0);
        assert!(clockwork.is_due(Duration::from_secs(3600)));
        assert!(!clockwork.is_due(Duration::from_secs(3600)));
        assert!(clockwork.is_due(Duration::ZERO));
    }
}
