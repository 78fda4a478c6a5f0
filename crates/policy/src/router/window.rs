//! What happened lately: counts over about a minute, and exact sums over exactly a minute.

use std::collections::VecDeque;

use super::class::FailureClass;

/// One second in the unit of all times here: microseconds of a monotonic clock that the caller reads.
pub(super) const SECOND: u64 = 1_000_000;
/// Length of the windows.
pub(super) const MINUTE: u64 = 60 * SECOND;

/// Parts of a counting window.
const PARTS: u64 = 6;
/// Length of one part.
pub(super) const PART: u64 = MINUTE / PARTS;

/// Answers and failures of the present ten seconds and the fifty before them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    parts: [Part; PARTS as usize],
}

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// Number of the ten seconds since the clock began, plus one; 0 = never used.
    number: u64,
    good: u32,
    bad: [u32; FailureClass::COUNT],
}

impl Counts {
    fn part(&mut self, now: u64) -> Option<&mut Part> {
        let number = now / PART + 1;
        let index = usize::try_from(number % PARTS).ok()?;
        let part = self.parts.get_mut(index)?;
        if part.number != number {
            *part = Part {
                number,
                ..Part::default()
            };
        }
        Some(part)
    }

    pub(super) fn add_good(&mut self, now: u64) {
        if let Some(part) = self.part(now) {
            part.good = part.good.saturating_add(1);
        }
    }

    pub(super) fn add_bad(&mut self, now: u64, class: FailureClass) {
        if let Some(count) = self
            .part(now)
            .and_then(|part| part.bad.get_mut(class.index()))
        {
            *count = count.saturating_add(1);
        }
    }

    fn live(&self, now: u64) -> impl Iterator<Item = &Part> {
        let newest = now / PART + 1;
        self.parts
            .iter()
            .filter(move |part| part.number + PARTS > newest && part.number <= newest)
    }

    /// Answers in the window.
    pub(super) fn good(&self, now: u64) -> u64 {
        self.live(now).map(|part| u64::from(part.good)).sum()
    }

    /// Failures in the window that count against the deployment.
    pub(super) fn bad(&self, now: u64) -> u64 {
        FailureClass::ALL
            .into_iter()
            .filter(|class| class.counts())
            .map(|class| self.bad_of(now, class))
            .sum()
    }

    /// Failures of one class in the window.
    pub(super) fn bad_of(&self, now: u64, class: FailureClass) -> u64 {
        let of_part = |part: &Part| part.bad.get(class.index()).copied().map_or(0, u64::from);
        self.live(now).map(of_part).sum()
    }
}

/// Amounts with their times; a sum counts exactly those of the last minute.
#[derive(Debug, Default)]
pub(super) struct Rolling {
    entries: VecDeque<(u64, u64)>,
    /// Ticket of the first entry.
    first: u64,
    sum: u64,
}

impl Rolling {
    fn expire(&mut self, now: u64) {
        while let Some((at, amount)) = self.entries.front().copied()
            && at.saturating_add(MINUTE) <= now
        {
            self.entries.pop_front();
            self.first += 1;
            self.sum = self.sum.saturating_sub(amount);
        }
    }

    /// Sum of the last minute.
    pub(super) fn sum(&mut self, now: u64) -> u64 {
        self.expire(now);
        self.sum
    }

    /// Whether `amount` fits under `limit`. An amount that no minute could hold fits an empty one, so that an estimate that
    /// is too high delays a call and does not lock it out.
    pub(super) fn fits(&mut self, now: u64, amount: u64, limit: u64) -> bool {
        let sum = self.sum(now);
        sum.saturating_add(amount) <= limit || (sum == 0 && limit > 0)
    }

    /// Adds an amount; the ticket changes it later.
    pub(super) fn add(&mut self, now: u64, amount: u64) -> u64 {
        self.expire(now);
        // A clock that is read by several threads may come a little late; entries stay in order.
        let at = self.entries.back().map_or(now, |(last, _)| now.max(*last));
        self.entries.push_back((at, amount));
        self.sum = self.sum.saturating_add(amount);
        self.first + self.entries.len() as u64 - 1
    }

    /// Replaces the amount of a ticket; nothing happens when it has expired.
    pub(super) fn amend(&mut self, ticket: u64, amount: u64) {
        let index = ticket
            .checked_sub(self.first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some((_, old)) = index.and_then(|index| self.entries.get_mut(index)) {
            self.sum = self.sum.saturating_sub(*old).saturating_add(amount);
            *old = amount;
        }
    }

    /// When the oldest amount leaves the window.
    pub(super) fn relief(&self) -> Option<u64> {
        let counted =
            |(at, amount): &(u64, u64)| (*amount > 0).then_some(at.saturating_add(MINUTE));
        self.entries.iter().find_map(counted)
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, MINUTE, PART, Rolling, SECOND};
    use crate::router::FailureClass;

    #[test]
    fn an_exact_window_holds_what_a_minute_holds() {
        let mut window = Rolling::default();
        assert!(window.fits(0, 1, 2));
        let first = window.add(0, 1);
        window.add(30 * SECOND, 1);
        assert!(!window.fits(MINUTE - 1, 1, 2));
        assert!(window.fits(MINUTE, 1, 2));
        assert_eq!(window.sum(MINUTE), 1);
        window.amend(first, 100);
        assert_eq!(window.sum(MINUTE), 1, "an expired ticket changes nothing");
        assert_eq!(window.relief(), Some(90 * SECOND));
    }

    #[test]
    fn an_amount_that_never_fits_waits_for_an_empty_minute() {
        let mut window = Rolling::default();
        assert!(window.fits(0, 1_000, 10));
        assert!(!window.fits(0, 1, 0), "a limit of nothing admits nothing");
        let ticket = window.add(0, 1_000);
        assert!(!window.fits(1, 1, 10));
        window.amend(ticket, 4);
        assert!(window.fits(1, 6, 10) && !window.fits(1, 7, 10));
    }

    #[test]
    fn counts_forget_after_a_minute() {
        let mut counts = Counts::default();
        counts.add_good(0);
        counts.add_bad(5 * PART, FailureClass::Timeout);
        counts.add_bad(5 * PART, FailureClass::BadRequest);
        assert_eq!((counts.good(5 * PART), counts.bad(5 * PART)), (1, 1));
        assert_eq!((counts.good(6 * PART), counts.bad(6 * PART)), (0, 1));
        assert_eq!(counts.bad(11 * PART), 0);
        assert_eq!(counts.bad_of(6 * PART, FailureClass::BadRequest), 1);
    }
}
