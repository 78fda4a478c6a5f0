//! The way of one call from deployment to deployment: first choice, repetitions, fallbacks.

use super::choose::{Tried, choose, mix};
use super::class::{FailureClass, Repeat};
use super::health::{Failure, Lease};
use super::settings::{FIRST_WAIT, LONGEST_BACKOFF};
use super::{Found, Rejection, RouteError, Router, Target};

/// What a choice depends on besides the router.
pub struct Ask<'a, D> {
    /// The model as the client named it.
    pub model: &'a str,
    /// Now, in microseconds of the caller's monotonic clock.
    pub now: u64,
    /// A uniformly random number.
    pub draw: u64,
    /// Tags of the request; read when tag filtering is on.
    pub tags: &'a [&'a str],
    /// Estimated tokens of the prompt, compared with context windows.
    pub prompt_tokens: u64,
    /// Estimated tokens of the call, held in the window of a deployment with a token limit until the real number is known.
    pub tokens: u64,
    /// Whether the answer is a stream.
    pub stream: bool,
    /// Why a deployment cannot serve this kind of call, if so.
    pub judge: &'a dyn Fn(&D) -> Option<Rejection>,
    /// Whether the caller may use a model, named as in a fallback list. Asked for every group after the first one.
    pub permits: &'a dyn Fn(&str) -> bool,
    /// Fallbacks that the request itself names; in place of the configured ones of the group that was asked for, where
    /// those fit any failure.
    pub fallbacks: &'a [String],
}

/// What kind of attempt follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first attempt in the group that was asked for.
    First,
    /// One more attempt in the same group.
    Retry,
    /// The first attempt in another group.
    Fallback,
}

/// An attempt to make.
#[derive(Debug)]
pub struct Pick<'r, D> {
    /// The deployment to call.
    pub deployment: &'r D,
    /// The model group that serves, after aliases.
    pub group: &'r str,
    /// The call's place at the deployment.
    pub lease: Lease,
    /// Microseconds to wait first.
    pub wait: u64,
    /// What kind of attempt this is.
    pub step: Step,
}

/// One deployment that was looked at.
#[derive(Debug, Clone, Copy)]
pub struct Considered<'r, D> {
    /// Its model group.
    pub group: &'r str,
    /// The deployment.
    pub deployment: &'r D,
    /// Why it does not serve; nothing for the one that does.
    pub rejected: Option<Rejection>,
}

/// State of one call's way. Belongs to the router that began it.
#[derive(Debug)]
pub struct Course {
    /// Index of the present group.
    group: usize,
    /// Index of the deployment of the present attempt in it.
    target: usize,
    /// What the `*` of the present group stands for.
    wildcard: Option<String>,
    /// Name under which the present group was reached, when it is not the first one.
    name: Option<String>,
    /// Deployments of the present group that failed in this call, with the last reason.
    failed: Vec<(usize, FailureClass)>,
    retries_here: u32,
    retries: u32,
    fallbacks: u32,
    /// Names of groups that were reached; none is reached twice.
    visited: Vec<String>,
    /// Names of groups still to be tried, next one last.
    queue: Vec<String>,
    /// (group, target, verdict) of all that were looked at.
    seen: Vec<(usize, usize, Option<Rejection>)>,
}

impl Course {
    fn new(found: &Found<'_, impl Sized>) -> Self {
        Self {
            group: found.index,
            target: 0,
            wildcard: found.wildcard.clone(),
            name: None,
            failed: Vec::new(),
            retries_here: 0,
            retries: 0,
            fallbacks: 0,
            visited: Vec::new(),
            queue: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// What the `*` of the serving group stands for.
    #[must_use]
    pub fn wildcard(&self) -> Option<&str> {
        self.wildcard.as_deref()
    }

    /// Repetitions so far, over all groups.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Groups after the first one that were turned to.
    #[must_use]
    pub fn fallbacks(&self) -> u32 {
        self.fallbacks
    }

    /// The failure of a deployment of the present group in this call.
    pub(super) fn failed_here(&self, target: usize) -> Option<Rejection> {
        self.failed
            .iter()
            .find(|(index, _)| *index == target)
            .map(|(_, class)| Rejection::Failed(*class))
    }

    /// Remembers the verdicts over a group; a failure stays the reason of a deployment that does not serve in the end.
    pub(super) fn note(&mut self, group: usize, verdicts: &[Option<Rejection>]) {
        for (target, verdict) in verdicts.iter().enumerate() {
            let known = self
                .seen
                .iter_mut()
                .find(|(g, t, _)| (*g, *t) == (group, target));
            match known {
                Some((_, _, old)) => {
                    let keeps = matches!(old, Some(Rejection::Failed(_))) && verdict.is_some();
                    if !keeps {
                        *old = *verdict;
                    }
                }
                None => self.seen.push((group, target, *verdict)),
            }
        }
    }

    fn fail(&mut self, class: FailureClass) {
        match self.failed.iter_mut().find(|(t, _)| *t == self.target) {
            Some((_, old)) => *old = class,
            None => self.failed.push((self.target, class)),
        }
        let here = (self.group, self.target);
        let seen = self.seen.iter_mut().find(|(g, t, _)| (*g, *t) == here);
        if let Some((_, _, verdict)) = seen {
            *verdict = Some(Rejection::Failed(class));
        }
    }

    fn enter(&mut self, found: &Found<'_, impl Sized>, name: String) {
        self.group = found.index;
        self.wildcard.clone_from(&found.wildcard);
        self.name = Some(name);
        self.failed.clear();
        self.retries_here = 0;
    }
}

impl<D> Router<D> {
    /// Chooses the first deployment of a call; when the group cannot serve, one of its fallbacks.
    ///
    /// # Errors
    /// [`RouteError`] of the group that was asked for, when neither it nor a fallback can serve.
    pub fn begin(&self, ask: &Ask<'_, D>) -> Result<(Course, Pick<'_, D>), RouteError> {
        let found = self.find(ask.model).ok_or(RouteError::UnknownModel)?;
        let mut course = Course::new(&found);
        found.group.budget.call(ask.now);
        let error = match choose(&found, &self.settings, Tried::Out, &mut course, ask) {
            Ok((target, lease)) => {
                course.target = target;
                let pick = self.pick(&course, lease, 0, Step::First);
                return pick
                    .map(|pick| (course, pick))
                    .ok_or(RouteError::UnknownModel);
            }
            Err(error) => error,
        };
        let class = match error {
            RouteError::UnknownModel
            | RouteError::NoneUsable {
                reason: Rejection::OtherMode,
                ..
            } => return Err(error),
            RouteError::NoneUsable { reason, .. } => class_of(reason),
        };
        match self.fall_back(&mut course, class, ask) {
            Some(lease) => self
                .pick(&course, lease, 0, Step::Fallback)
                .map(|pick| (course, pick))
                .ok_or(error),
            None => Err(error),
        }
    }

    /// What comes after a failed attempt: a repetition, a fallback, or nothing. `remaining` is the time that the call has
    /// left, in microseconds. The failure itself must have been reported before, by [`Router::failed`].
    pub fn next(
        &self,
        course: &mut Course,
        failure: &Failure,
        ask: &Ask<'_, D>,
        remaining: u64,
    ) -> Option<Pick<'_, D>> {
        course.fail(failure.class);
        if let Some((lease, wait)) = self.repeat(course, failure, ask, remaining) {
            return self.pick(course, lease, wait, Step::Retry);
        }
        let lease = self.fall_back(course, failure.class, ask)?;
        self.pick(course, lease, 0, Step::Fallback)
    }

    /// Another deployment in place of the chosen one, which turned out to have no room before anything was sent to it:
    /// [`Ask::judge`] must say so from now on.
    ///
    /// # Errors
    /// [`RouteError`] of the present group, when neither it nor a fallback can serve.
    pub fn instead(
        &self,
        course: &mut Course,
        ask: &Ask<'_, D>,
    ) -> Result<Pick<'_, D>, RouteError> {
        let found = self.here(course).ok_or(RouteError::UnknownModel)?;
        let chosen = choose(&found, &self.settings, Tried::Out, course, ask);
        let (lease, step) = match chosen {
            Ok((target, lease)) => {
                course.target = target;
                let step = match course.fallbacks {
                    0 => Step::First,
                    _ => Step::Fallback,
                };
                (lease, step)
            }
            Err(error) => {
                let RouteError::NoneUsable { reason, .. } = error else {
                    return Err(error);
                };
                let lease = self.fall_back(course, class_of(reason), ask);
                (lease.ok_or(error)?, Step::Fallback)
            }
        };
        self.pick(course, lease, 0, step)
            .ok_or(RouteError::UnknownModel)
    }

    /// Reports a failed attempt. True when the deployment is cooled down because of it.
    pub fn failed(&self, course: &Course, lease: Lease, now: u64, failure: &Failure) -> bool {
        let group = self.groups.get(course.group);
        let target = group.and_then(|group| group.targets.get(course.target));
        match (group, target) {
            (Some(group), Some(target)) => lease.failed(now, failure, &self.rule(group, target)),
            _ => false,
        }
    }

    /// Every deployment that was looked at, in the order in which it first was.
    pub fn considered<'r>(
        &'r self,
        course: &'r Course,
    ) -> impl Iterator<Item = Considered<'r, D>> + 'r {
        course.seen.iter().filter_map(|(group, target, rejected)| {
            let group = self.groups.get(*group)?;
            Some(Considered {
                group: &group.name,
                deployment: &group.targets.get(*target)?.deployment,
                rejected: *rejected,
            })
        })
    }

    fn target(&self, course: &Course) -> Option<&Target<D>> {
        self.groups.get(course.group)?.targets.get(course.target)
    }

    fn pick(&self, course: &Course, lease: Lease, wait: u64, step: Step) -> Option<Pick<'_, D>> {
        Some(Pick {
            deployment: &self.target(course)?.deployment,
            group: &self.groups.get(course.group)?.name,
            lease,
            wait,
            step,
        })
    }

    fn here(&self, course: &Course) -> Option<Found<'_, D>> {
        Some(Found {
            index: course.group,
            group: self.groups.get(course.group)?,
            wildcard: None,
        })
    }

    /// One more attempt in the same group, if the settings, the retry budget and the time allow it.
    fn repeat(
        &self,
        course: &mut Course,
        failure: &Failure,
        ask: &Ask<'_, D>,
        remaining: u64,
    ) -> Option<(Lease, u64)> {
        let found = self.here(course)?;
        let settings = &self.settings;
        let own = self.target(course)?.retries;
        let (allowed, named) = settings.retries_after(&found.group.name, failure.class, own);
        let repeat = match failure.class.repeat() {
            // Whoever names a number for this class wants it repeated.
            Repeat::Never | Repeat::Elsewhere if named => Repeat::Anywhere,
            repeat => repeat,
        };
        if course.retries_here >= allowed || repeat == Repeat::Never {
            return None;
        }
        let before = course.target;
        let (target, lease, wait) = match choose(&found, settings, Tried::Out, course, ask) {
            Ok((target, lease)) => (target, lease, settings.least_wait),
            Err(_) if repeat == Repeat::Elsewhere => return None,
            // Waiting for a provider that has no room, while another group could serve at once, helps nobody.
            Err(_)
                if failure.class == FailureClass::RateLimit
                    && self.has_fallback(course, failure.class, ask) =>
            {
                return None;
            }
            Err(_) => {
                let (target, lease) = choose(&found, settings, Tried::In, course, ask).ok()?;
                (target, lease, self.wait(course, failure, ask.draw))
            }
        };
        let late = wait >= remaining;
        let spent = late
            || !found.group.budget.withdraw(
                ask.now,
                settings.budget_percent,
                settings.budget_floor,
            );
        if spent {
            // The place was taken and is given back: the verdict over it is the failure again.
            course.target = before;
            drop(lease);
            course.unchoose(target);
            return None;
        }
        course.target = target;
        course.retries_here += 1;
        course.retries += 1;
        Some((lease, wait))
    }

    /// How long to wait before a deployment that failed is asked again: what it asked for, else longer each time; never
    /// longer than configured.
    fn wait(&self, course: &Course, failure: &Failure, draw: u64) -> u64 {
        let settings = &self.settings;
        let doubled = FIRST_WAIT
            .checked_shl(course.retries_here.min(16))
            .unwrap_or(LONGEST_BACKOFF)
            .min(LONGEST_BACKOFF);
        // Callers that failed together do not come back together.
        let backoff = doubled - mix(draw) % (doubled / 4 + 1);
        failure
            .retry_after
            .unwrap_or(backoff)
            .min(settings.longest_wait)
            .max(settings.least_wait)
    }

    fn reached_as<'n>(&'n self, course: &'n Course, ask: &Ask<'n, D>) -> [&'n str; 2] {
        let reached = course.name.as_deref().unwrap_or(ask.model);
        let group = self
            .groups
            .get(course.group)
            .map_or(reached, |group| group.name.as_str());
        [reached, group]
    }

    /// The fallbacks of the present group.
    fn listed<'n>(
        &'n self,
        course: &Course,
        names: &[&str],
        class: FailureClass,
        ask: &Ask<'n, D>,
    ) -> &'n [String] {
        let asked = course.name.is_none() && !ask.fallbacks.is_empty();
        match asked && !self.settings.has_special(names, class) {
            true => ask.fallbacks,
            false => self.settings.fallbacks_after(names, class),
        }
    }

    fn has_fallback(&self, course: &Course, class: FailureClass, ask: &Ask<'_, D>) -> bool {
        let reached = self.reached_as(course, ask);
        let own = self.listed(course, &reached, class, ask);
        let mut open = own
            .iter()
            .chain(&course.queue)
            .filter(|name| !course.visited.contains(name) && !reached.contains(&name.as_str()));
        course.fallbacks < self.settings.max_fallbacks && open.next().is_some()
    }

    /// Goes to the next group of the fallbacks that can serve. Each group is reached once, and their number is bounded.
    fn fall_back(
        &self,
        course: &mut Course,
        class: FailureClass,
        ask: &Ask<'_, D>,
    ) -> Option<Lease> {
        let mut class = class;
        loop {
            let names = self.reached_as(course, ask);
            let listed = self.listed(course, &names, class, ask).to_vec();
            let reached = names.map(str::to_owned);
            for name in reached {
                if !course.visited.contains(&name) {
                    course.visited.push(name);
                }
            }
            course.queue.extend(listed.into_iter().rev());
            let (name, found) = self.next_group(course, ask)?;
            course.fallbacks += 1;
            course.enter(&found, name);
            found.group.budget.call(ask.now);
            match choose(&found, &self.settings, Tried::Out, course, ask) {
                Ok((target, lease)) => {
                    course.target = target;
                    return Some(lease);
                }
                Err(RouteError::NoneUsable { reason, .. }) => class = class_of(reason),
                Err(RouteError::UnknownModel) => {}
            }
        }
    }

    /// Takes names from the queue until one leads to a group that the caller may use.
    fn next_group(&self, course: &mut Course, ask: &Ask<'_, D>) -> Option<(String, Found<'_, D>)> {
        while course.fallbacks < self.settings.max_fallbacks
            && let Some(name) = course.queue.pop()
        {
            let Some(found) = self.find(&name) else {
                continue;
            };
            let pattern = found.wildcard.is_some();
            if course.visited.contains(&name)
                || (!pattern && course.visited.contains(&found.group.name))
            {
                continue;
            }
            if !(ask.permits)(&name) {
                let denied = vec![Some(Rejection::NotPermitted); found.group.targets.len()];
                course.note(found.index, &denied);
                course.visited.push(name);
                continue;
            }
            return Some((name, found));
        }
        None
    }
}

impl Course {
    fn unchoose(&mut self, target: usize) {
        let group = self.group;
        let verdict = self.failed_here(target).unwrap_or(Rejection::NoRepetition);
        let seen = self
            .seen
            .iter_mut()
            .find(|(g, t, _)| (*g, *t) == (group, target));
        if let Some((_, _, old)) = seen {
            *old = Some(verdict);
        }
    }
}

/// The class of failures that a group without a usable deployment stands for, to choose its fallbacks.
fn class_of(reason: Rejection) -> FailureClass {
    match reason {
        Rejection::ContextWindow => FailureClass::ContextWindow,
        Rejection::Failed(class) => class,
        _ => FailureClass::RateLimit,
    }
}
