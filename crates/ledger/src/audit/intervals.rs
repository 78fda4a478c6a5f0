//! Sets of numbers that are mostly gapless, kept as ranges.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// A set of numbers as disjoint ranges that do not touch. Its size is the number of ranges, not of numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Intervals {
    /// First number of a range to its last.
    ranges: BTreeMap<u64, u64>,
}

impl Intervals {
    /// How many ranges there are.
    pub(super) fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// The range that holds `number`.
    fn around(&self, number: u64) -> Option<(u64, u64)> {
        let (&first, &last) = self.ranges.range(..=number).next_back()?;
        (number <= last).then_some((first, last))
    }

    /// Whether `number` is in the set.
    pub(super) fn contains(&self, number: u64) -> bool {
        self.around(number).is_some()
    }

    /// Adds a number; false if it was there.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        let mut first = number;
        let mut last = number;
        if let Some((before, _)) = number
            .checked_sub(1)
            .and_then(|previous| self.around(previous))
        {
            first = before;
        }
        if let Some(next) = number.checked_add(1)
            && let Some(end) = self.ranges.remove(&next)
        {
            last = end;
        }
        self.ranges.insert(first, last);
        true
    }

    /// Adds a range that touches nothing in the set.
    pub(super) fn insert_range(&mut self, range: RangeInclusive<u64>) {
        self.ranges.insert(*range.start(), *range.end());
    }

    /// Takes a number out; false if it was not there.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let Some((first, last)) = self.around(number) else {
            return false;
        };
        self.ranges.remove(&first);
        if first < number {
            self.ranges.insert(first, number - 1);
        }
        if number < last {
            self.ranges.insert(number + 1, last);
        }
        true
    }

    /// The ranges in ascending order.
    pub(super) fn iter(&self) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        self.ranges.iter().map(|(&first, &last)| first..=last)
    }

    /// The ranges of `within` that are not in the set, in ascending order.
    pub(super) fn missing(&self, within: RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let mut found = Vec::new();
        let mut next = Some(*within.start());
        for range in self.iter() {
            let Some(from) = next else { break };
            if range.end() < &from {
                continue;
            }
            if range.start() > within.end() {
                break;
            }
            if range.start() > &from {
                found.push(from..=range.start() - 1);
            }
            next = range.end().checked_add(1);
        }
        if let Some(from) = next.filter(|from| from <= within.end()) {
            found.push(from..=*within.end());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_as_a_set(steps in prop::collection::vec((any::<bool>(), 0_u64..40), 0..120)) {
            let mut ranges = Intervals::default();
            let mut model = BTreeSet::new();
            for (add, number) in steps {
                if add {
                    prop_assert_eq!(ranges.insert(number), model.insert(number));
                } else {
                    prop_assert_eq!(ranges.remove(number), model.remove(&number));
                }
                let listed: Vec<u64> = ranges.iter().flatten().collect();
                prop_assert_eq!(&listed, &model.iter().copied().collect::<Vec<_>>());
                let missing: Vec<u64> = ranges.missing(3..=30).into_iter().flatten().collect();
                let expected: Vec<u64> = (3..=30).filter(|number| !model.contains(number)).collect();
                prop_assert_eq!(missing, expected);
                let touching = ranges.iter().zip(ranges.iter().skip(1)).any(|(a, b)| a.end() + 1 >= *b.start());
                prop_assert!(!touching);
            }
        }
    }

    #[test]
    fn the_ends_of_the_number_space_do_not_overflow() {
        let mut ranges = Intervals::default();
        assert!(ranges.insert(u64::MAX) && ranges.insert(0) && ranges.insert(u64::MAX - 1));
        assert_eq!(ranges.missing(0..=u64::MAX), [1..=u64::MAX - 2]);
        assert!(ranges.remove(u64::MAX) && ranges.ranges() == 2);
    }
}
