//! How a service is asked: how long, how many questions at a time, when it is left alone, and what its silence means.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::breaker::Breaker;
use super::{Beforehand, Silence};
use crate::config::problems::Severity;
use crate::config::yaml::Value;
use crate::guardrails::registry::Reading;

/// Longest time for an answer, where nothing is said.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Questions at a time.
const PARALLEL: u32 = 64;
/// Failures in a row after which a service is left alone, and for how long.
const FAILURES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(10);

/// Deadline, places and breaker of a service, and its switches.
#[derive(Debug)]
pub(crate) struct Manner {
    deadline: Duration,
    places: Semaphore,
    breaker: Breaker,
    opens: Opens,
    cascade: Option<Cascade>,
}

/// Asked only between two scores of a local check, in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cascade {
    check: String,
    low: u16,
    high: u16,
}

/// The four switches that let a call pass without a verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Opens {
    timeout: bool,
    unreachable: bool,
    malformed: bool,
    denied: bool,
}

impl Manner {
    /// Reads the parameters that every kind has: `timeout`, `max_parallel`, `breaker_failures`, `breaker_pause`, and the
    /// switches `fail_open`, `unreachable_fallback`, `fail_on_error`.
    pub(super) fn read(reading: &mut Reading<'_, '_>) -> Self {
        let params = reading.params;
        let deadline = params.seconds("timeout", reading.report);
        let parallel = params.count("max_parallel", 1, reading.report);
        let failures = params.count("breaker_failures", 1, reading.report);
        let pause = params.seconds("breaker_pause", reading.report);
        Self {
            deadline: deadline.unwrap_or(TIMEOUT),
            places: Semaphore::new(parallel.unwrap_or(PARALLEL) as usize),
            breaker: Breaker::new(failures.unwrap_or(FAILURES), pause.unwrap_or(PAUSE)),
            opens: Opens::read(reading),
            cascade: Cascade::read(reading),
        }
    }

    /// The local check whose score decides whether anything is asked.
    pub(crate) fn cascades_from(&self) -> Option<&str> {
        self.cascade.as_ref().map(|cascade| cascade.check.as_str())
    }

    /// What the local score decides alone; `None` asks, and so does a check that gave no score.
    pub(super) fn beforehand(&self, score: impl Fn(&str) -> Option<u16>) -> Option<Beforehand> {
        let cascade = self.cascade.as_ref()?;
        match score(&cascade.check)? {
            score if score < cascade.low => Some(Beforehand::Below),
            score if score >= cascade.high => Some(Beforehand::Above),
            _ => None,
        }
    }

    /// How long the service has.
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether the call goes on without an answer: one switch per cause.
    pub(crate) fn opens_on(&self, silence: Silence) -> bool {
        let opens = self.opens;
        match silence {
            Silence::Timeout => opens.timeout,
            Silence::Unreachable => opens.unreachable,
            Silence::Malformed => opens.malformed,
            Silence::Denied => opens.denied,
            // Whoever makes it busy must not open it: both causes of being busy are meant.
            Silence::Busy => opens.timeout && opens.unreachable,
        }
    }

    /// Asks, when there is a place and the service is not known to be down.
    pub(super) async fn ask<T>(
        &self,
        until: Instant,
        question: impl Future<Output = Result<T, Silence>>,
    ) -> Result<T, Silence> {
        let Ok(Ok(_place)) = timeout_at(until, self.places.acquire()).await else {
            return Err(Silence::Busy);
        };
        let Some(trial) = self.breaker.enter(Instant::now()) else {
            return Err(Silence::Busy);
        };
        let said = timeout_at(until, question).await;
        let said = said.unwrap_or(Err(Silence::Timeout));
        match &said {
            Err(Silence::Timeout | Silence::Unreachable) => trial.failed(Instant::now()),
            Err(Silence::Busy) => {}
            Ok(_) | Err(Silence::Malformed | Silence::Denied) => trial.answered(),
        }
        said
    }

    #[cfg(test)]
    pub(super) fn for_tests(deadline: Duration, parallel: usize) -> Self {
        Self {
            deadline,
            places: Semaphore::new(parallel),
            breaker: Breaker::new(FAILURES, Duration::from_secs(3600)),
            opens: Opens::default(),
            cascade: None,
        }
    }
}

impl Cascade {
    /// `cascade: {check, low, high}`
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        const KEY: &str = "cascade";
        reading.params.get(KEY)?;
        let section = reading.params.section(KEY, reading.report);
        let mut score = |key: &str| {
            let number = match section.get(key).map(|node| &node.value) {
                Some(Value::Text(text)) => text.trim().parse::<f64>().ok(),
                _ => None,
            };
            let number = number.filter(|number| (0.0..=1.0).contains(number));
            if number.is_none() {
                let (place, path) = (section.place_of(key), section.path_of(key));
                let message = "expected a number from 0 to 1";
                reading.report.problem(&place, &path, message);
            }
            number.map(|number| (number * 1000.0).round() as u16)
        };
        let (low, high) = (score("low"), score("high"));
        let check = section.text("check", reading.report);
        let (Some(check), Some(low), Some(high)) = (check, low, high) else {
            reading.problem(
                KEY,
                "expected `check`, the name of a local guardrail with a score, `low` and `high`",
            );
            return None;
        };
        if low > high {
            reading.problem(KEY, "`low` is above `high`");
        }
        Some(Self {
            check: check.to_owned(),
            low,
            high,
        })
    }
}

impl Opens {
    fn read(reading: &mut Reading<'_, '_>) -> Self {
        let params = reading.params;
        let mut opens = Self::default();
        let words = [("fail_closed", false), ("fail_open", true)];
        if params.choice("unreachable_fallback", &words, reading.report) == Some(true) {
            opens.timeout = true;
            opens.unreachable = true;
            reading.opens("unreachable_fallback", "its service is late or unreachable");
        }
        if params.flag("fail_on_error", reading.report) == Some(false) {
            // A wrong key of our own is a mistake of the configuration, not an outage: it has a switch of its own.
            opens.timeout = true;
            opens.unreachable = true;
            opens.malformed = true;
            reading.opens(
                "fail_on_error",
                "its service is late, unreachable or answers nonsense",
            );
        }
        for (word, _) in params.texts("fail_open", reading.report) {
            let (slot, when) = match word {
                "timeout" => (&mut opens.timeout, "its service is late"),
                "unreachable" | "5xx" => (&mut opens.unreachable, "its service is unreachable"),
                "malformed" => (&mut opens.malformed, "its service answers nonsense"),
                "denied" => (&mut opens.denied, "its service refuses the key"),
                _ => {
                    reading.problem(
                        "fail_open",
                        "expected a list of timeout, unreachable, malformed, denied",
                    );
                    continue;
                }
            };
            *slot = true;
            reading.opens("fail_open", when);
        }
        opens
    }
}

impl Reading<'_, '_> {
    /// Says at every start that a switch lets calls pass.
    fn opens(&mut self, key: &str, when: &str) {
        let (place, path) = (self.params.place_of(key), self.params.path_of(key));
        let message = format!("calls pass without this check when {when}; each record says so");
        self.report.note(Severity::Warning, &place, &path, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn so_many_at_a_time_and_none_for_longer_than_the_deadline() {
        let manner = Manner::for_tests(Duration::from_millis(50), 1);
        let until = || Instant::now() + manner.deadline();
        let hang = manner.ask(until(), std::future::pending::<Result<(), Silence>>());
        let waits = manner.ask(until(), std::future::ready(Ok(())));
        let (hung, waited) = tokio::join!(hang, waits);
        assert_eq!(hung, Err(Silence::Timeout));
        // The place came free at the very deadline.
        assert!(matches!(waited, Ok(()) | Err(Silence::Busy)));
        let manner = Manner::for_tests(Duration::from_secs(600), 1);
        let until = || Instant::now() + manner.deadline();
        for _ in 0..FAILURES {
            let lost = manner.ask(
                until(),
                std::future::ready(Err::<(), _>(Silence::Unreachable)),
            );
            assert_eq!(lost.await, Err(Silence::Unreachable));
        }
        let told = manner.ask(until(), std::future::ready(Ok(())));
        assert_eq!(told.await, Err(Silence::Busy), "it is known to be down");
    }
}
