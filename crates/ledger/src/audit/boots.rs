//! Every call that was begun has a record: intent numbers per boot, without gaps and without doubles.
//!
//! Memory holds one small entry per boot and the ranges of numbers of boots that are not complete.

use std::collections::BTreeMap;

use super::damage::{Damage, Kind, span};
use super::intervals::Intervals;

/// How many separate ranges of one boot are followed.
const RANGES: usize = 65_536;
/// How many boots are followed.
const BOOTS: usize = 262_144;

#[derive(Debug)]
enum Boot {
    /// Not closed yet, or closed with numbers outstanding.
    Following { seen: Intervals, last: Option<u64> },
    /// Closed, and every number up to the last was there.
    Complete { last: u64 },
}

impl Default for Boot {
    fn default() -> Self {
        Boot::Following {
            seen: Intervals::default(),
            last: None,
        }
    }
}

/// The boots of one ledger.
#[derive(Debug, Default)]
pub(super) struct Boots {
    boots: BTreeMap<Box<str>, Boot>,
    /// Records whose number could not be followed, because there were too many boots or ranges.
    unfollowed: u64,
}

impl Boots {
    /// A record of this intent. False when the number was there before.
    pub(super) fn settled(&mut self, boot: &str, number: u64) -> bool {
        let Some(state) = self.state(boot) else {
            return true;
        };
        if let Boot::Complete { last } = state {
            if number <= *last {
                return false;
            }
            // More came than was closed: follow the boot again, so that the end reports it.
            let mut seen = Intervals::default();
            if *last > 0 {
                seen.insert_range(1..=*last);
            }
            *state = Boot::Following {
                seen,
                last: Some(*last),
            };
        }
        match state {
            Boot::Complete { .. } => false,
            Boot::Following { seen, .. } if seen.ranges() >= RANGES => {
                self.unfollowed += 1;
                true
            }
            Boot::Following { seen, .. } => {
                let new = seen.insert(number);
                self.compact(boot);
                new
            }
        }
    }

    /// A record says that `boot` gave out the numbers 1 to `last` and no more. False when another record said
    /// something else before.
    pub(super) fn closed(&mut self, boot: &str, last: u64) -> bool {
        let agreed = match self.state(boot) {
            None => true,
            Some(Boot::Complete { last: known }) => *known == last,
            Some(Boot::Following { last: known, .. }) => {
                let agreed = known.is_none_or(|known| known == last);
                *known = Some(known.unwrap_or(0).max(last));
                agreed
            }
        };
        self.compact(boot);
        agreed
    }

    /// Reports what is outstanding. Call once, at the end of the input.
    pub(super) fn finish(&self, damage: &mut Vec<Damage>, notes: &mut Vec<String>) {
        for (boot, state) in &self.boots {
            let Boot::Following { seen, last } = state else {
                continue;
            };
            match last {
                Some(last) => judge(boot, seen, *last, damage),
                None => open(boot, seen, notes),
            }
        }
        if self.unfollowed > 0 {
            damage.push(intent_damage(format!(
                "{} intent numbers could not be followed: too many boots or too many gaps",
                self.unfollowed
            )));
        }
    }

    fn state(&mut self, boot: &str) -> Option<&mut Boot> {
        if !self.boots.contains_key(boot) {
            if self.boots.len() >= BOOTS {
                self.unfollowed += 1;
                return None;
            }
            self.boots.insert(boot.into(), Boot::default());
        }
        self.boots.get_mut(boot)
    }

    fn compact(&mut self, boot: &str) {
        let Some(state) = self.boots.get_mut(boot) else {
            return;
        };
        if let Boot::Following {
            seen,
            last: Some(last),
        } = state
            && seen.iter().all(|range| range.end() <= last)
            && missing(seen, *last).is_empty()
        {
            *state = Boot::Complete { last: *last };
        }
    }
}

fn missing(seen: &Intervals, last: u64) -> Vec<std::ops::RangeInclusive<u64>> {
    if last == 0 {
        Vec::new()
    } else {
        seen.missing(1..=last)
    }
}

fn judge(boot: &str, seen: &Intervals, last: u64, damage: &mut Vec<Damage>) {
    for range in missing(seen, last) {
        damage.push(intent_damage(format!(
            "boot {boot} was closed, and there is no record of intent {}",
            span(&range)
        )));
    }
    if seen.iter().any(|range| *range.end() > last) {
        damage.push(intent_damage(format!(
            "boot {boot} was closed after intent {last}, and yet later numbers have records"
        )));
    }
}

fn open(boot: &str, seen: &Intervals, notes: &mut Vec<String>) {
    let last = seen.iter().map(|range| *range.end()).max().unwrap_or(0);
    let spans: Vec<String> = missing(seen, last).iter().map(span).collect();
    let shown = spans
        .iter()
        .take(20)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    let more = spans.len().saturating_sub(20);
    notes.push(match (spans.len(), more) {
        (0, _) => format!("boot {boot} is not closed; its calls up to intent {last} have records"),
        (_, 0) => format!("boot {boot} is not closed; open up to intent {last}: {shown}"),
        _ => format!(
            "boot {boot} is not closed; open up to intent {last}: {shown} and {more} more ranges"
        ),
    });
}

fn intent_damage(message: String) -> Damage {
    Damage {
        kind: Kind::MissingIntent,
        sequence: None,
        capsule_id: None,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(boots: &Boots) -> (Vec<String>, Vec<String>) {
        let (mut damage, mut notes) = (Vec::new(), Vec::new());
        boots.finish(&mut damage, &mut notes);
        (damage.into_iter().map(|one| one.message).collect(), notes)
    }

    #[test]
    fn numbers_of_closed_boots_are_judged_and_those_of_open_boots_listed() {
        let mut boots = Boots::default();
        for number in [2, 1, 3, 6, 7] {
            assert!(boots.settled("a", number));
            assert!(boots.settled("b", number));
        }
        assert!(!boots.settled("a", 3));
        assert!(boots.closed("a", 8));
        let (damage, notes) = end(&boots);
        assert_eq!(damage.len(), 2);
        assert!(damage[0].contains("intent 4 to 5") && damage[1].contains("intent 8"));
        assert_eq!(notes.len(), 1);
        assert!(notes[0].contains("boot b is not closed") && notes[0].contains("4 to 5"));
    }

    #[test]
    fn a_complete_boot_takes_no_memory_for_its_numbers() {
        let mut boots = Boots::default();
        for number in (1..=100_000).rev() {
            assert!(boots.settled("a", number));
        }
        assert!(boots.closed("a", 100_000));
        assert!(matches!(boots.boots["a"], Boot::Complete { last: 100_000 }));
        assert!(!boots.settled("a", 5));
        assert!(boots.closed("a", 100_000) && !boots.closed("a", 99));
        assert_eq!(end(&boots), (vec![], vec![]));
        // Nothing was begun in this one.
        assert!(boots.closed("b", 0));
        assert_eq!(end(&boots), (vec![], vec![]));
    }

    #[test]
    fn records_may_come_after_the_record_that_closes_their_boot() {
        let mut boots = Boots::default();
        assert!(boots.settled("a", 2) && boots.closed("a", 3));
        assert!(boots.settled("a", 1) && boots.settled("a", 3));
        assert_eq!(end(&boots), (vec![], vec![]));
    }

    #[test]
    fn numbers_beyond_the_closing_one_are_reported() {
        let mut boots = Boots::default();
        assert!(boots.settled("a", 1) && boots.settled("a", 2) && boots.closed("a", 1));
        assert!(end(&boots).0[0].contains("later numbers"));
        let mut boots = Boots::default();
        assert!(boots.settled("a", 1) && boots.closed("a", 1) && boots.settled("a", 2));
        assert!(end(&boots).0[0].contains("later numbers"));
        let mut boots = Boots::default();
        for number in 0..100_000 {
            boots.settled("a", number * 2);
        }
        assert!(end(&boots).0[0].contains("could not be followed"));
    }
}
