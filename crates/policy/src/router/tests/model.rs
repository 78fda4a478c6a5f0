//! The slow model: every rule of the router once more, over plain lists of all that ever happened.

use crate::router::{FailureClass, Rejection, Settings, Step, Strategy, TargetLimits};

const S: u64 = 1_000_000;

/// What is known about one deployment.
#[derive(Clone, Default)]
pub(super) struct One {
    pub(super) weight: u64,
    pub(super) order: u32,
    pub(super) limits: TargetLimits,
    pub(super) price: Option<u64>,
    pub(super) max_input: Option<u64>,
    pub(super) retries: Option<u32>,
    pub(super) allowed_fails: Option<u32>,
    pub(super) in_flight: u32,
    /// (time, failure or answer).
    pub(super) events: Vec<(u64, Option<FailureClass>)>,
    pub(super) latencies: Vec<(u64, u64)>,
    /// (time, call, tokens).
    pub(super) uses: Vec<(u64, u64, u64)>,
    pub(super) cooled_until: u64,
    pub(super) suspect: bool,
}

impl One {
    fn lately(&self, now: u64, which: impl Fn(Option<FailureClass>) -> bool) -> u64 {
        let part = |time: u64| time / (10 * S);
        let events = self.events.iter();
        events
            .filter(|(at, event)| part(*at) + 6 > part(now) && which(*event))
            .count() as u64
    }

    fn used(&self, now: u64) -> (u64, u64) {
        let recent = self.uses.iter().filter(|(at, ..)| at + 60 * S > now);
        recent.fold((0, 0), |(requests, tokens), (_, _, more)| {
            (requests + 1, tokens + more)
        })
    }

    fn latency(&self, now: u64, settings: &Settings) -> u64 {
        // Latencies older than the gap that forgets them do not count, nor do those before such a gap.
        let mut recent: Vec<u64> = Vec::new();
        let mut last = 0;
        for (at, value) in &self.latencies {
            if last + settings.latency_ttl <= *at {
                recent.clear();
            }
            recent.push(*value);
            last = *at;
        }
        if recent.is_empty() || last + settings.latency_ttl <= now {
            return 0;
        }
        let last: Vec<u64> = recent.iter().rev().take(10).copied().collect();
        (last.iter().sum::<u64>() / last.len() as u64).max(1)
    }

    fn verdict(
        &self,
        settings: &Settings,
        now: u64,
        prompt: u64,
        tokens: u64,
    ) -> Option<Rejection> {
        if now < self.cooled_until {
            return Some(Rejection::CoolingDown);
        }
        if settings.context_check && self.max_input.is_some_and(|most| prompt > most) {
            return Some(Rejection::ContextWindow);
        }
        if self
            .limits
            .parallel
            .is_some_and(|most| self.in_flight >= most)
        {
            return Some(Rejection::ParallelLimit);
        }
        let (requests, used) = self.used(now);
        if self.limits.rpm.is_some_and(|most| requests >= most.max(1)) {
            return Some(Rejection::RequestLimit);
        }
        if self
            .limits
            .tpm
            .is_some_and(|most| used > 0 && used + tokens > most)
        {
            return Some(Rejection::TokenLimit);
        }
        None
    }

    pub(super) fn take(&mut self, now: u64, call: u64, tokens: u64) {
        self.in_flight += 1;
        self.uses.push((now, call, tokens));
    }

    fn settle(&mut self, call: u64, tokens: u64) {
        self.in_flight -= 1;
        for (_, other, amount) in &mut self.uses {
            if *other == call {
                *amount = tokens;
            }
        }
    }

    /// The call ended without a verdict about the deployment.
    pub(super) fn ended(&mut self, call: u64, tokens: u64) {
        self.settle(call, tokens);
    }

    pub(super) fn answered(&mut self, now: u64, call: u64, latency: u64, tokens: u64) {
        self.settle(call, tokens);
        if self.suspect && now >= self.cooled_until {
            self.events.clear();
            self.suspect = false;
        }
        self.events.push((now, None));
        self.latencies.push((now, latency));
    }

    pub(super) fn failed(
        &mut self,
        settings: &Settings,
        alone: bool,
        now: u64,
        call: u64,
        class: FailureClass,
    ) -> bool {
        self.settle(call, 0);
        self.events.push((now, Some(class)));
        if settings.no_cooldowns || !class.counts() {
            return false;
        }
        let bad = self.lately(now, |event| event.is_some_and(FailureClass::counts));
        let good = self.lately(now, |event| event.is_none());
        let of_class = self.lately(now, |event| event == Some(class));
        let at_once = matches!(
            class,
            FailureClass::Authentication | FailureClass::NotFound | FailureClass::RateLimit
        );
        let cools = match (
            settings.allowed_fails_policy.get(class),
            self.allowed_fails.or(settings.allowed_fails),
        ) {
            (Some(allowed), _) => of_class > u64::from(allowed),
            (None, Some(allowed)) => bad > u64::from(allowed),
            (None, None) if alone => good == 0 && bad >= 1_000,
            (None, None) => at_once || (bad + good >= 5 && bad > good),
        };
        if cools {
            self.cooled_until = self.cooled_until.max(now + settings.cooldown);
            self.suspect = true;
        }
        cools
    }
}

/// Groups of deployments and their traffic.
pub(super) struct Fleet {
    pub(super) settings: Settings,
    pub(super) groups: Vec<(String, Vec<One>)>,
    /// (time, group, whether it is a repetition).
    traffic: Vec<(u64, usize, bool)>,
}

/// One call in the model.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) group: usize,
    pub(super) target: usize,
    failed: Vec<(usize, FailureClass)>,
    retries_here: u32,
    pub(super) retries: u32,
    pub(super) fallbacks: u32,
    reached: Vec<usize>,
    waiting: Vec<usize>,
}

/// What the model expects: who may be chosen, and the shortest and longest wait.
pub(super) struct Expected {
    pub(super) step: Step,
    pub(super) group: usize,
    pub(super) candidates: Vec<usize>,
    pub(super) waits: (u64, u64),
}

/// Facts of one request.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) prompt: u64,
    pub(super) tokens: u64,
    pub(super) draw: u64,
}

impl Fleet {
    pub(super) fn new(settings: Settings, groups: Vec<(String, Vec<One>)>) -> Self {
        Self {
            settings,
            groups,
            traffic: Vec::new(),
        }
    }

    /// Who may serve in a group; an error is the reason of the group.
    fn candidates(
        &self,
        group: usize,
        out: &[usize],
        now: u64,
        request: Request,
    ) -> Result<Vec<usize>, Vec<Rejection>> {
        let boxes = &self.groups[group].1;
        let mut open = Vec::new();
        let mut reasons = Vec::new();
        for (index, one) in boxes.iter().enumerate() {
            match one.verdict(&self.settings, now, request.prompt, request.tokens) {
                _ if out.contains(&index) => {}
                None => open.push(index),
                Some(reason) => reasons.push(reason),
            }
        }
        let Some(tier) = open.iter().map(|index| boxes[*index].order).min() else {
            return Err(reasons);
        };
        open.retain(|index| boxes[*index].order == tier);
        let value = |index: &usize| -> u64 {
            let one = &boxes[*index];
            match self.settings.strategy {
                Strategy::SimpleShuffle => 0,
                Strategy::LeastBusy => u64::from(one.in_flight),
                Strategy::Latency => one.latency(now, &self.settings),
                Strategy::Cost => one.price.unwrap_or(u64::MAX),
                Strategy::Usage => one.used(now).1,
            }
        };
        let least = open.iter().map(value).min().unwrap_or(0);
        let slack = match self.settings.strategy {
            Strategy::Latency => least * u64::from(self.settings.latency_buffer) / 1_000,
            _ => 0,
        };
        open.retain(|index| value(index) <= least.saturating_add(slack));
        if self.settings.strategy == Strategy::SimpleShuffle {
            // One ticket for each unit of weight, then one is drawn.
            let ticket = |index: &usize| {
                let count = usize::try_from(boxes[*index].weight).unwrap_or(0);
                std::iter::repeat_n(*index, count)
            };
            let mut tickets: Vec<usize> = open.iter().flat_map(ticket).collect();
            if tickets.is_empty() {
                tickets.clone_from(&open);
            }
            let drawn = usize::try_from(request.draw % tickets.len() as u64).unwrap_or(0);
            return Ok(vec![tickets[drawn]]);
        }
        let drawn = usize::try_from(request.draw % open.len() as u64).unwrap_or(0);
        Ok(vec![open[drawn]])
    }

    fn lists(&self, group: usize, class: FailureClass) -> Vec<usize> {
        let name = self.groups[group].0.as_str();
        let settings = &self.settings;
        let special = match class {
            FailureClass::ContextWindow => settings.context_window_fallbacks.of(&[name]),
            FailureClass::ContentPolicy => settings.content_policy_fallbacks.of(&[name]),
            _ => None,
        };
        let list = special
            .or(settings.fallbacks.of(&[name]))
            .unwrap_or(&settings.default_fallbacks);
        let index = |name: &String| self.groups.iter().position(|(other, _)| other == name);
        list.iter().filter_map(index).collect()
    }

    pub(super) fn begin(
        &mut self,
        group: usize,
        now: u64,
        request: Request,
    ) -> Option<(Way, Expected)> {
        let mut way = Way {
            group,
            target: 0,
            failed: Vec::new(),
            retries_here: 0,
            retries: 0,
            fallbacks: 0,
            reached: Vec::new(),
            waiting: Vec::new(),
        };
        self.traffic.push((now, group, false));
        let reasons = match self.candidates(group, &[], now, request) {
            Ok(candidates) => {
                let expected = Expected {
                    step: Step::First,
                    group,
                    candidates,
                    waits: (0, 0),
                };
                return Some((way, expected));
            }
            Err(reasons) => reasons,
        };
        let expected = self.fall_back(&mut way, class_of(&reasons), now, request)?;
        Some((way, expected))
    }

    pub(super) fn next(
        &mut self,
        way: &mut Way,
        class: FailureClass,
        retry_after: Option<u64>,
        now: u64,
        request: Request,
        remaining: u64,
    ) -> Option<Expected> {
        way.failed.retain(|(index, _)| *index != way.target);
        way.failed.push((way.target, class));
        if let Some(expected) = self.repeat(way, class, retry_after, now, request, remaining) {
            return Some(expected);
        }
        self.fall_back(way, class, now, request)
    }

    fn repeat(
        &mut self,
        way: &mut Way,
        class: FailureClass,
        retry_after: Option<u64>,
        now: u64,
        request: Request,
        remaining: u64,
    ) -> Option<Expected> {
        let settings = self.settings.clone();
        let named = settings.retry_policy.get(class);
        let own = self.groups[way.group].1[way.target].retries;
        let allowed = named.or(own).unwrap_or(settings.retries);
        let never = matches!(
            class,
            FailureClass::BadRequest | FailureClass::ContextWindow | FailureClass::ContentPolicy
        );
        let elsewhere = matches!(
            class,
            FailureClass::Authentication | FailureClass::Permission | FailureClass::NotFound
        );
        if way.retries_here >= allowed || (never && named.is_none()) {
            return None;
        }
        let out: Vec<usize> = way.failed.iter().map(|(index, _)| *index).collect();
        let (candidates, waits) = match self.candidates(way.group, &out, now, request) {
            Ok(candidates) => (candidates, (settings.least_wait, settings.least_wait)),
            Err(_) => {
                if elsewhere && named.is_none() {
                    return None;
                }
                let others = self.lists(way.group, class);
                let somewhere = way.fallbacks < settings.max_fallbacks
                    && (way.waiting.iter().any(|other| *other != way.group)
                        || others
                            .iter()
                            .any(|other| !way.reached.contains(other) && *other != way.group));
                if class == FailureClass::RateLimit && somewhere {
                    return None;
                }
                let candidates = self.candidates(way.group, &[], now, request).ok()?;
                let doubled = (S / 2 * (1 << way.retries_here)).min(8 * S);
                let (least, most) = match retry_after {
                    Some(asked) => (asked, asked),
                    None => (doubled * 3 / 4, doubled),
                };
                let bound = |wait: u64| wait.min(settings.longest_wait).max(settings.least_wait);
                (candidates, (bound(least), bound(most)))
            }
        };
        // The test gives either plenty of time or none.
        if waits.0 >= remaining {
            return None;
        }
        let part = |time: u64| time / (10 * S);
        let count = |repetition: bool| {
            let recent = self.traffic.iter().filter(|(at, group, kind)| {
                *group == way.group && *kind == repetition && part(*at) + 6 > part(now)
            });
            recent.count() as u64
        };
        let share = count(false) * u64::from(settings.budget_percent) / 100;
        if count(true) >= share.max(u64::from(settings.budget_floor)) {
            return None;
        }
        self.traffic.push((now, way.group, true));
        way.retries_here += 1;
        way.retries += 1;
        Some(Expected {
            step: Step::Retry,
            group: way.group,
            candidates,
            waits,
        })
    }

    fn fall_back(
        &mut self,
        way: &mut Way,
        class: FailureClass,
        now: u64,
        request: Request,
    ) -> Option<Expected> {
        let mut class = class;
        loop {
            let mut list = self.lists(way.group, class);
            way.reached.push(way.group);
            list.extend(std::mem::take(&mut way.waiting));
            list.retain(|group| !way.reached.contains(group));
            if way.fallbacks >= self.settings.max_fallbacks || list.is_empty() {
                return None;
            }
            way.group = list.remove(0);
            way.waiting = list;
            way.fallbacks += 1;
            way.failed.clear();
            way.retries_here = 0;
            self.traffic.push((now, way.group, false));
            match self.candidates(way.group, &[], now, request) {
                Ok(candidates) => {
                    return Some(Expected {
                        step: Step::Fallback,
                        group: way.group,
                        candidates,
                        waits: (0, 0),
                    });
                }
                Err(reasons) => class = class_of(&reasons),
            }
        }
    }
}

fn class_of(reasons: &[Rejection]) -> FailureClass {
    match reasons
        .iter()
        .all(|reason| *reason == Rejection::ContextWindow)
    {
        true => FailureClass::ContextWindow,
        false => FailureClass::RateLimit,
    }
}
