//! What is known about one deployment from the calls it served: no probe ever asks.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::class::FailureClass;
use super::settings::{LEAST_TRAFFIC, LEAST_TRAFFIC_ALONE, LONGEST_COOLDOWN, Settings};
use super::window::{Counts, MINUTE, Rolling};
use super::{Rejection, TargetLimits};

/// Latencies that an average is made of.
const SAMPLES: usize = 10;

/// State of a deployment, shared by all calls and kept across reloads.
#[derive(Debug, Default)]
pub struct Health {
    in_flight: AtomicU32,
    /// When it may be called again; 0 = now.
    cooled_until: AtomicU64,
    answers: AtomicU64,
    failures: AtomicU64,
    cooldowns: AtomicU64,
    observed: Mutex<Observed>,
}

#[derive(Debug, Default)]
struct Observed {
    counts: Counts,
    /// A cooldown was over when this was set; the first answer afterwards forgets the failures.
    suspect: bool,
    plain: Latency,
    stream: Latency,
    requests: Rolling,
    tokens: Rolling,
    input: Rolling,
    output: Rolling,
}

/// The last few latencies of one kind of call.
#[derive(Debug, Default, Clone, Copy)]
struct Latency {
    samples: [u64; SAMPLES],
    taken: usize,
    last: u64,
}

impl Latency {
    fn add(&mut self, now: u64, value: u64, ttl: u64) {
        if self.last.saturating_add(ttl) <= now {
            self.taken = 0;
        }
        if let Some(slot) = self.samples.get_mut(self.taken % SAMPLES) {
            *slot = value;
        }
        self.taken += 1;
        self.last = now;
    }

    fn mean(&self, now: u64, ttl: u64) -> Option<u64> {
        if self.last.saturating_add(ttl) <= now {
            return None;
        }
        let used = self.taken.min(SAMPLES);
        let sum = self
            .samples
            .iter()
            .take(used)
            .fold(0u64, |sum, sample| sum.saturating_add(*sample));
        sum.checked_div(used as u64)
    }
}

/// How an answered attempt went.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// For a stream: microseconds to the first byte. For a plain answer: microseconds to its head, per token of the answer
    /// where the tokens are known.
    pub latency: u64,
    /// Whether it was a stream.
    pub stream: bool,
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
}

/// A snapshot of the state, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthView {
    /// Calls in flight.
    pub in_flight: u32,
    /// Microseconds until the deployment is called again; 0 when it is not cooled down.
    pub cooling: u64,
    /// Answers in about the last minute.
    pub answers_lately: u64,
    /// Failures in about the last minute that count against the deployment.
    pub failures_lately: u64,
    /// Answers since the start.
    pub answers: u64,
    /// Failed attempts since the start.
    pub failures: u64,
    /// Times the deployment was cooled down.
    pub cooldowns: u64,
    /// Mean microseconds per token of the last plain answers.
    pub plain_latency: Option<u64>,
    /// Mean microseconds to the first byte of the last streams.
    pub stream_latency: Option<u64>,
    /// Requests in the last minute; counted where a limit or the strategy needs it.
    pub requests: u64,
    /// Tokens in the last minute; counted where a limit or the strategy needs it.
    pub tokens: u64,
}

impl Health {
    fn observed(&self) -> MutexGuard<'_, Observed> {
        // Counters stay usable whatever thread died while it held them.
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls in flight.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// When the deployment may be called again, if it is cooled down now.
    pub(super) fn cooled_until(&self, now: u64) -> Option<u64> {
        let until = self.cooled_until.load(Ordering::Relaxed);
        (until > now).then_some(until)
    }

    pub(super) fn latency(&self, now: u64, stream: bool, ttl: u64) -> Option<u64> {
        let observed = self.observed();
        let kind = if stream {
            &observed.stream
        } else {
            &observed.plain
        };
        kind.mean(now, ttl)
    }

    pub(super) fn tokens(&self, now: u64) -> u64 {
        self.observed().tokens.sum(now)
    }

    /// Whether a call fits under the limits, without taking anything. The time is when to ask again.
    pub(super) fn room(
        &self,
        limits: &TargetLimits,
        now: u64,
        tokens: u64,
    ) -> Result<(), (Rejection, u64)> {
        if limits
            .parallel
            .is_some_and(|limit| self.in_flight() >= limit)
        {
            return Err((Rejection::ParallelLimit, now));
        }
        if !limits.by_minute() {
            return Ok(());
        }
        self.observed().room(limits, now, tokens)
    }

    /// Takes a place for a call, if there is one. `counted`: requests and tokens are counted.
    pub(super) fn acquire(
        self: &Arc<Self>,
        limits: &TargetLimits,
        counted: bool,
        now: u64,
        tokens: u64,
    ) -> Result<Lease, (Rejection, u64)> {
        let most = limits.parallel.unwrap_or(u32::MAX);
        self.in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| {
                (taken < most).then_some(taken.saturating_add(1))
            })
            .map_err(|_| (Rejection::ParallelLimit, now))?;
        let mut lease = Lease {
            health: Arc::clone(self),
            tickets: None,
            used: false,
        };
        if counted {
            let mut observed = self.observed();
            observed.room(limits, now, tokens)?;
            lease.tickets = Some(Tickets {
                requests: observed.requests.add(now, 1),
                tokens: observed.tokens.add(now, tokens),
                input: limits.itpm.map(|_| observed.input.add(now, tokens)),
                output: limits.otpm.map(|_| observed.output.add(now, 0)),
            });
        }
        Ok(lease)
    }

    fn answered(&self, now: u64, settings: &Settings, sample: &Sample) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        let mut observed = self.observed();
        if observed.suspect && self.cooled_until(now).is_none() {
            observed.counts = Counts::default();
            observed.suspect = false;
        }
        observed.counts.add_good(now);
        let kind = if sample.stream {
            &mut observed.stream
        } else {
            &mut observed.plain
        };
        kind.add(now, sample.latency, settings.latency_ttl);
    }

    fn failed(&self, now: u64, failure: &Failure, rule: &CooldownRule<'_>) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut observed = self.observed();
        observed.counts.add_bad(now, failure.class);
        if !failure.class.counts() || !rule.cools(&observed.counts, now, failure.class) {
            return false;
        }
        let asked = failure.retry_after.unwrap_or(0).min(LONGEST_COOLDOWN);
        let until = now.saturating_add(rule.time.max(asked));
        observed.suspect = true;
        self.cooled_until.fetch_max(until, Ordering::Relaxed);
        self.cooldowns.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// The state at `now`.
    #[must_use]
    pub fn view(&self, now: u64, settings: &Settings) -> HealthView {
        let cooling = self.cooled_until(now).map_or(0, |until| until - now);
        let mut observed = self.observed();
        HealthView {
            in_flight: self.in_flight(),
            cooling,
            answers_lately: observed.counts.good(now),
            failures_lately: observed.counts.bad(now),
            answers: self.answers.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            cooldowns: self.cooldowns.load(Ordering::Relaxed),
            plain_latency: observed.plain.mean(now, settings.latency_ttl),
            stream_latency: observed.stream.mean(now, settings.latency_ttl),
            requests: observed.requests.sum(now),
            tokens: observed.tokens.sum(now),
        }
    }
}

impl Observed {
    fn room(
        &mut self,
        limits: &TargetLimits,
        now: u64,
        tokens: u64,
    ) -> Result<(), (Rejection, u64)> {
        let full = |window: &Rolling, rejection| {
            Err((
                rejection,
                window.relief().unwrap_or(now.saturating_add(MINUTE)),
            ))
        };
        if let Some(limit) = limits.rpm
            && !self.requests.fits(now, 1, limit)
        {
            return full(&self.requests, Rejection::RequestLimit);
        }
        if let Some(limit) = limits.tpm
            && !self.tokens.fits(now, tokens, limit)
        {
            return full(&self.tokens, Rejection::TokenLimit);
        }
        if let Some(limit) = limits.itpm
            && !self.input.fits(now, tokens, limit)
        {
            return full(&self.input, Rejection::TokenLimit);
        }
        // How long an answer becomes is known when it has come: no call is admitted once the minute is full.
        if let Some(limit) = limits.otpm
            && !self.output.fits(now, 1, limit)
        {
            return full(&self.output, Rejection::TokenLimit);
        }
        Ok(())
    }
}

/// A failed attempt.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// What went wrong.
    pub class: FailureClass,
    /// The provider's `Retry-After` in microseconds.
    pub retry_after: Option<u64>,
    /// Tokens of the prompt that the attempt used although it failed, as far as is known.
    pub input: u64,
    /// Tokens of an answer that it cut.
    pub output: u64,
}

/// When a deployment is cooled down.
pub(super) struct CooldownRule<'s> {
    pub(super) settings: &'s Settings,
    /// How long.
    pub(super) time: u64,
    /// The deployment's own number of allowed failures.
    pub(super) allowed: Option<u32>,
    /// It is the only one of its group.
    pub(super) alone: bool,
}

impl CooldownRule<'_> {
    fn cools(&self, counts: &Counts, now: u64, class: FailureClass) -> bool {
        if self.settings.no_cooldowns {
            return false;
        }
        if let Some(allowed) = self.settings.allowed_fails_policy.get(class) {
            return counts.bad_of(now, class) > u64::from(allowed);
        }
        let bad = counts.bad(now);
        if let Some(allowed) = self.allowed.or(self.settings.allowed_fails) {
            return bad > u64::from(allowed);
        }
        let all = bad.saturating_add(counts.good(now));
        if self.alone {
            return bad == all && all >= LEAST_TRAFFIC_ALONE;
        }
        class.cools_at_once() || (all >= LEAST_TRAFFIC && bad.saturating_mul(2) > all)
    }
}

/// A call's place at a deployment. Dropping it gives the place back; one that was never used is not counted either.
///
/// ```compile_fail
/// fn twice(lease: policy::router::Lease) -> policy::router::Lease { lease.clone() }
/// ```
#[derive(Debug)]
#[must_use = "a place that is dropped at once is free for others"]
pub struct Lease {
    health: Arc<Health>,
    tickets: Option<Tickets>,
    used: bool,
}

/// Tickets in the windows of a minute.
#[derive(Clone, Copy, Debug)]
struct Tickets {
    requests: u64,
    tokens: u64,
    input: Option<u64>,
    output: Option<u64>,
}

impl Lease {
    /// The request leaves for the deployment from here on.
    pub fn begin(&mut self) {
        self.used = true;
    }

    /// The call was answered.
    pub fn answered(mut self, now: u64, settings: &Settings, sample: &Sample) {
        self.used = true;
        self.amend(sample.input, sample.output);
        self.health.answered(now, settings, sample);
    }

    /// The call ended for a reason that says nothing about the deployment; so many tokens of prompt and answer were used.
    pub fn ended(self, input: u64, output: u64) {
        self.amend(input, output);
    }

    pub(super) fn failed(mut self, now: u64, failure: &Failure, rule: &CooldownRule<'_>) -> bool {
        self.used = true;
        self.amend(failure.input, failure.output);
        self.health.failed(now, failure, rule)
    }

    fn amend(&self, input: u64, output: u64) {
        if let Some(tickets) = &self.tickets {
            let mut observed = self.health.observed();
            let all = input.saturating_add(output);
            observed.tokens.amend(tickets.tokens, all);
            if let Some(ticket) = tickets.input {
                observed.input.amend(ticket, input);
            }
            if let Some(ticket) = tickets.output {
                observed.output.amend(ticket, output);
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Ordering::AcqRel);
        if let Some(tickets) = &self.tickets
            && !self.used
        {
            self.amend(0, 0);
            self.health.observed().requests.amend(tickets.requests, 0);
        }
    }
}

/// Calls and repetitions of a group in about a minute: repetitions are a share of the traffic, so that a provider that
/// fails is not buried under them.
#[derive(Debug, Default)]
pub struct RetryBudget {
    counts: Mutex<Traffic>,
}

#[derive(Debug, Default)]
struct Traffic {
    calls: Counts,
    retries: Counts,
}

impl RetryBudget {
    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn call(&self, now: u64) {
        self.traffic().calls.add_good(now);
    }

    /// Whether one more repetition is allowed; if so it is counted.
    pub(super) fn withdraw(&self, now: u64, percent: u32, floor: u32) -> bool {
        let mut traffic = self.traffic();
        let share = traffic.calls.good(now).saturating_mul(u64::from(percent)) / 100;
        if traffic.retries.good(now) >= share.max(u64::from(floor)) {
            return false;
        }
        traffic.retries.add_good(now);
        true
    }
}
