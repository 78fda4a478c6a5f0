//! One choice inside one group: who can serve, and who of them does.

use super::course::{Ask, Course};
use super::health::Lease;
use super::settings::{Settings, Strategy};
use super::{Found, Rejection, RouteError, Target};

/// Which of the deployments that were tried in this call may be taken again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// None.
    Out,
    /// Those that can serve; the others were taken already.
    In,
}

/// Verdicts over the targets of a group, in their order.
type Verdicts = Vec<Option<Rejection>>;

/// Chooses a target of the group and takes a place at it; notes in the course why the others were not taken.
pub(super) fn choose<D>(
    found: &Found<'_, D>,
    settings: &Settings,
    tried: Tried,
    course: &mut Course,
    ask: &Ask<'_, D>,
) -> Result<(usize, Lease), RouteError> {
    let targets = &found.group.targets;
    let mut retry_at: Option<u64> = None;
    let mut verdicts: Verdicts = Vec::with_capacity(targets.len());
    for (index, target) in targets.iter().enumerate() {
        let verdict = judge(target, settings, ask).map(|(rejection, until)| {
            earliest(&mut retry_at, until);
            rejection
        });
        let failed = course.failed_here(index).filter(|_| tried == Tried::Out);
        verdicts.push(failed.or(verdict));
    }
    if settings.tag_filtering {
        filter_tags(targets, settings, ask.tags, &mut verdicts);
    }
    let mut draw = ask.draw;
    while let Some((chosen, loser)) = select(targets, &verdicts, settings, ask, draw) {
        let Some(target) = targets.get(chosen) else {
            break;
        };
        let counted = target.limits.by_minute() || settings.strategy == Strategy::Usage;
        match target
            .health
            .acquire(&target.limits, counted, ask.now, ask.tokens)
        {
            Ok(lease) => {
                finish(targets, &mut verdicts, chosen, loser);
                course.note(found.index, &verdicts);
                return Ok((chosen, lease));
            }
            // Another call took the last place since it was looked at.
            Err((rejection, until)) => {
                earliest(&mut retry_at, Some(until));
                if let Some(verdict) = verdicts.get_mut(chosen) {
                    *verdict = Some(rejection);
                }
                draw = mix(draw);
            }
        }
    }
    course.note(found.index, &verdicts);
    let reason = verdicts
        .iter()
        .flatten()
        .min_by_key(|rejection| rejection.rank());
    Err(
        reason.map_or(RouteError::UnknownModel, |reason| RouteError::NoneUsable {
            reason: *reason,
            retry_at: retry_at.filter(|_| reason.rank() <= 3),
        }),
    )
}

fn earliest(so_far: &mut Option<u64>, until: Option<u64>) {
    if let Some(until) = until {
        *so_far = Some(so_far.map_or(until, |other| other.min(until)));
    }
}

/// Why a target cannot serve, and until when, if that passes.
fn judge<D>(
    target: &Target<D>,
    settings: &Settings,
    ask: &Ask<'_, D>,
) -> Option<(Rejection, Option<u64>)> {
    if let Some(rejection) = (ask.judge)(&target.deployment) {
        return Some((rejection, None));
    }
    if let Some(until) = target.health.cooled_until(ask.now) {
        return Some((Rejection::CoolingDown, Some(until)));
    }
    if settings.context_check
        && target
            .max_input
            .is_some_and(|most| ask.prompt_tokens > most)
    {
        return Some((Rejection::ContextWindow, None));
    }
    match target.health.room(&target.limits, ask.now, ask.tokens) {
        Ok(()) => None,
        Err((rejection, until)) => Some((rejection, Some(until))),
    }
}

/// Requests with tags go to deployments that have them, else to those tagged `default`; requests without tags go to the
/// latter, or anywhere when there are none.
fn filter_tags<D>(
    targets: &[Target<D>],
    settings: &Settings,
    tags: &[&str],
    verdicts: &mut Verdicts,
) {
    let has = |target: &Target<D>, tag: &str| target.tags.iter().any(|own| own == tag);
    let matches = |target: &Target<D>| match settings.match_any_tag {
        true => tags.iter().any(|tag| has(target, tag)),
        false => !tags.is_empty() && tags.iter().all(|tag| has(target, tag)),
    };
    let default = |target: &Target<D>| has(target, "default");
    let usable = |fits: &dyn Fn(&Target<D>) -> bool, verdicts: &Verdicts| {
        let mut both = targets.iter().zip(verdicts);
        both.any(|(target, verdict)| verdict.is_none() && fits(target))
    };
    let keep: &dyn Fn(&Target<D>) -> bool = if usable(&matches, verdicts) {
        &matches
    } else if usable(&default, verdicts) {
        &default
    } else if tags.is_empty() {
        return;
    } else {
        // Those that would match keep their own reason.
        &matches
    };
    for (target, verdict) in targets.iter().zip(verdicts.iter_mut()) {
        if !keep(target) {
            verdict.get_or_insert(Rejection::TagMismatch);
        }
    }
}

/// The target that serves, and why the other usable ones do not.
fn select<D>(
    targets: &[Target<D>],
    verdicts: &Verdicts,
    settings: &Settings,
    ask: &Ask<'_, D>,
    draw: u64,
) -> Option<(usize, Rejection)> {
    let usable = || {
        let both = targets.iter().zip(verdicts).enumerate();
        both.filter(|(_, (_, verdict))| verdict.is_none())
            .map(|(index, (target, _))| (index, target))
    };
    let tier = usable().map(|(_, target)| target.order).min()?;
    let in_tier = || usable().filter(|(_, target)| target.order == tier);
    let least = |value: &dyn Fn(&Target<D>) -> u64, slack: u64| {
        let values: Vec<(usize, u64)> = in_tier()
            .map(|(index, target)| (index, value(target)))
            .collect();
        let most = values.iter().map(|(_, value)| *value).min()?;
        let most = most.saturating_add(
            u64::try_from(u128::from(most) * u128::from(slack) / 1_000).unwrap_or(u64::MAX),
        );
        let best = values.iter().filter(|(_, value)| *value <= most);
        evenly(best.map(|(index, _)| *index), draw)
    };
    let (chosen, loser) = match settings.strategy {
        Strategy::SimpleShuffle => {
            let weights = in_tier().map(|(index, target)| (index, target.weight));
            (by_weight(weights, draw), Rejection::NotDrawn)
        }
        Strategy::LeastBusy => {
            let value = |target: &Target<D>| u64::from(target.health.in_flight());
            (least(&value, 0), Rejection::Busier)
        }
        Strategy::Latency => {
            // One that was never measured is tried first.
            let value = |target: &Target<D>| {
                let mean = target
                    .health
                    .latency(ask.now, ask.stream, settings.latency_ttl);
                mean.map_or(0, |mean| mean.max(1))
            };
            let slack = u64::from(settings.latency_buffer);
            (least(&value, slack), Rejection::Slower)
        }
        Strategy::Cost => {
            let value = |target: &Target<D>| target.price.unwrap_or(u64::MAX);
            (least(&value, 0), Rejection::Costlier)
        }
        Strategy::Usage => {
            let value = |target: &Target<D>| target.health.tokens(ask.now);
            (least(&value, 0), Rejection::MoreUsed)
        }
    };
    chosen.map(|chosen| (chosen, loser))
}

/// Fills in why the others were not taken.
fn finish<D>(targets: &[Target<D>], verdicts: &mut Verdicts, chosen: usize, loser: Rejection) {
    let tier = targets.get(chosen).map_or(0, |target| target.order);
    for (index, (target, verdict)) in targets.iter().zip(verdicts.iter_mut()).enumerate() {
        if index != chosen {
            verdict.get_or_insert(if target.order > tier {
                Rejection::HigherTier
            } else {
                loser
            });
        }
    }
}

fn evenly(items: impl Iterator<Item = usize> + Clone, draw: u64) -> Option<usize> {
    let count = u64::try_from(items.clone().count()).ok()?;
    let index = usize::try_from(draw.checked_rem(count)?).ok()?;
    let mut items = items;
    items.nth(index)
}

fn by_weight(items: impl Iterator<Item = (usize, u64)> + Clone, draw: u64) -> Option<usize> {
    let total = items
        .clone()
        .fold(0u64, |sum, (_, weight)| sum.saturating_add(weight));
    if total == 0 {
        return evenly(items.map(|(index, _)| index), draw);
    }
    let mut left = draw % total;
    for (index, weight) in items {
        if left < weight {
            return Some(index);
        }
        left -= weight;
    }
    None
}

/// Another number from the same draw.
pub(super) fn mix(draw: u64) -> u64 {
    let mut z = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
