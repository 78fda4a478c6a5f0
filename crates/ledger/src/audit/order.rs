//! The order of records: which are missing, out of place, there twice, or of another history. Constant memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::damage::{Damage, Kind, span};
use super::intervals::Intervals;

/// How many of the newest records are remembered with hash and link.
const REMEMBERED: usize = 4_096;
/// How many separate gaps are followed before the rest is only counted as missing.
const GAPS: usize = 65_536;

/// What a record says about its predecessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// There is none: the record is a genesis.
    None,
    /// The predecessor's hash.
    To([u8; 32]),
    /// Something that is not a hash.
    Unreadable,
}

/// How far a record's own hash and signature were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Neither was.
    Unchecked,
    /// The hash is that of the content; the signature was not checked.
    Content,
    /// Hash and signature are good.
    Signed,
    /// One of them is wrong. That finding is reported elsewhere, and a broken link beside it says nothing new.
    Bad,
}

/// The place of a record in its chain, as the record says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) sequence: u64,
    pub(super) id: &'a str,
    pub(super) previous: Link,
    pub(super) hash: Option<[u8; 32]>,
    pub(super) trust: Trust,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    hash: Option<[u8; 32]>,
    previous: Link,
    trust: Trust,
}

/// Follows one chain.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// One more than the highest sequence number so far.
    next: u64,
    recent: BTreeMap<u64, Remembered>,
    /// Sequence numbers below `next` that have not been seen.
    gaps: Intervals,
    /// Numbers in gaps that are no longer followed.
    unfollowed: u64,
}

impl Order {
    /// One more than the highest sequence number seen.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Takes the next record in the order of the input.
    pub(super) fn push(&mut self, place: Place<'_>, found: &mut Vec<Damage>) {
        let damage = |kind, message| Damage {
            kind,
            sequence: Some(place.sequence),
            capsule_id: Some(place.id.to_owned()),
            message,
        };
        if place.sequence < self.next {
            if self.gaps.remove(place.sequence) {
                let message = format!("record {} stands after a later one", place.sequence);
                found.push(damage(Kind::Reordered, message));
            } else {
                found.push(self.again(&place, damage));
                return;
            }
        } else {
            if place.sequence > self.next {
                self.gap(self.next, place.sequence - 1);
            }
            self.next = place.sequence.saturating_add(1);
        }
        if let Some((kind, message)) = self.link(&place) {
            found.push(damage(kind, message));
        }
        self.remember(&place);
    }

    /// Reports what never came. Call once, at the end of the input.
    pub(super) fn finish(&mut self, found: &mut Vec<Damage>) {
        for range in self.gaps.iter() {
            found.push(Damage {
                kind: Kind::Missing,
                sequence: Some(*range.start()),
                capsule_id: None,
                message: match range.start() == range.end() {
                    true => format!("record {} is missing", span(&range)),
                    false => format!("records {} are missing", span(&range)),
                },
            });
        }
        if self.unfollowed > 0 {
            found.push(Damage {
                kind: Kind::Missing,
                sequence: None,
                capsule_id: None,
                message: format!(
                    "{} further sequence numbers were skipped or out of order; they are not followed one by one",
                    self.unfollowed
                ),
            });
        }
    }

    fn gap(&mut self, first: u64, last: u64) {
        if self.gaps.ranges() < GAPS {
            self.gaps.insert_range(first..=last);
        } else {
            self.unfollowed = self
                .unfollowed
                .saturating_add(last - first)
                .saturating_add(1);
        }
    }

    /// The sequence number was there before.
    fn again(&self, place: &Place<'_>, damage: impl Fn(Kind, String) -> Damage) -> Damage {
        let number = place.sequence;
        match self.recent.get(&number) {
            Some(earlier) if earlier.hash == place.hash => damage(
                Kind::Duplicate,
                format!("record {number} appears twice, with the same hash"),
            ),
            Some(_) => damage(
                Kind::Forked,
                format!("two different records have sequence number {number}"),
            ),
            None => damage(
                Kind::Duplicate,
                format!("sequence number {number} appears again"),
            ),
        }
    }

    /// Does the record link to the record before it, and the record after it, if that came first, to this one?
    fn link(&self, place: &Place<'_>) -> Option<(Kind, String)> {
        let number = place.sequence;
        let Some(before) = number.checked_sub(1) else {
            let message = "the first record names a predecessor".to_owned();
            return (place.previous != Link::None && place.trust != Trust::Bad)
                .then_some((Kind::Edited, message));
        };
        if let Some(earlier) = self.recent.get(&before)
            && !joined(place.previous, earlier.hash)
        {
            return broken(before, earlier.trust, number, place.trust);
        }
        let later = number.checked_add(1)?;
        let after = self.recent.get(&later)?;
        if joined(after.previous, place.hash) {
            return None;
        }
        broken(number, place.trust, later, after.trust)
    }

    fn remember(&mut self, place: &Place<'_>) {
        let remembered = Remembered {
            hash: place.hash,
            previous: place.previous,
            trust: place.trust,
        };
        if let Entry::Vacant(entry) = self.recent.entry(place.sequence) {
            entry.insert(remembered);
        }
        if self.recent.len() > REMEMBERED {
            self.recent.pop_first();
        }
    }
}

fn joined(link: Link, hash: Option<[u8; 32]>) -> bool {
    match (link, hash) {
        (Link::To(named), Some(hash)) => named == hash,
        _ => false,
    }
}

/// Names a broken link between two neighbours, or nothing where one of them is already reported.
fn broken(
    first: u64,
    first_trust: Trust,
    second: u64,
    second_trust: Trust,
) -> Option<(Kind, String)> {
    match (first_trust, second_trust) {
        (Trust::Bad, _) | (_, Trust::Bad) => None,
        (Trust::Signed, Trust::Signed) => Some((
            Kind::Forked,
            format!(
                "record {second} continues another record {first} than the one here; both are signed"
            ),
        )),
        (_, Trust::Content | Trust::Signed) => Some((
            Kind::Edited,
            format!("record {first} was changed after record {second} was linked to it"),
        )),
        _ => Some((
            Kind::Edited,
            format!("record {second} does not link to record {first}: one of the two was changed"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of `count` records whose hash is their number.
    fn chain(count: u64) -> Vec<(u64, Link, [u8; 32])> {
        let hash = |number: u64| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        (0..count)
            .map(|number| {
                let previous = number
                    .checked_sub(1)
                    .map_or(Link::None, |before| Link::To(hash(before)));
                (number, previous, hash(number))
            })
            .collect()
    }

    fn run(records: &[(u64, Link, [u8; 32])], trust: Trust) -> Vec<(Kind, Option<u64>)> {
        let mut order = Order::default();
        let mut found = Vec::new();
        for &(sequence, previous, hash) in records {
            let place = Place {
                sequence,
                id: "id",
                previous,
                hash: Some(hash),
                trust,
            };
            order.push(place, &mut found);
        }
        order.finish(&mut found);
        found
            .into_iter()
            .map(|damage| (damage.kind, damage.sequence))
            .collect()
    }

    #[test]
    fn a_whole_chain_has_no_findings() {
        assert_eq!(run(&chain(10_000), Trust::Signed), []);
        assert_eq!(run(&[], Trust::Signed), []);
    }

    #[test]
    fn deleted_moved_doubled_and_forked_records_are_told_apart() {
        let mut missing = chain(9);
        missing.drain(3..5);
        assert_eq!(run(&missing, Trust::Signed), [(Kind::Missing, Some(3))]);

        let mut swapped = chain(9);
        swapped.swap(3, 4);
        assert_eq!(run(&swapped, Trust::Signed), [(Kind::Reordered, Some(3))]);

        let mut twice = chain(9);
        twice.insert(5, twice[4]);
        assert_eq!(run(&twice, Trust::Signed), [(Kind::Duplicate, Some(4))]);

        let mut other = chain(9);
        other.insert(5, (4, other[4].1, [1; 32]));
        assert_eq!(run(&other, Trust::Signed), [(Kind::Forked, Some(4))]);

        let mut forked = chain(9);
        forked[4].1 = Link::To([1; 32]);
        assert_eq!(run(&forked, Trust::Signed), [(Kind::Forked, Some(4))]);
        assert_eq!(run(&forked, Trust::Content), [(Kind::Edited, Some(4))]);
        assert_eq!(run(&forked, Trust::Bad), []);

        let mut front = chain(9);
        front.remove(0);
        assert_eq!(run(&front, Trust::Signed), [(Kind::Missing, Some(0))]);
    }

    #[test]
    fn a_forged_record_in_another_place_does_not_pass_as_moved() {
        let mut moved = chain(9);
        let (number, previous, _) = moved.remove(3);
        moved.insert(5, (number, previous, [1; 32]));
        assert_eq!(
            run(&moved, Trust::Signed),
            [(Kind::Reordered, Some(3)), (Kind::Forked, Some(3))]
        );
    }

    #[test]
    fn a_reversed_chain_is_reordered_and_sparse_numbers_stay_bounded() {
        let mut reversed = chain(50);
        reversed.reverse();
        let found = run(&reversed, Trust::Signed);
        assert_eq!(found.len(), 49);
        assert!(found.iter().all(|(kind, _)| *kind == Kind::Reordered));

        let mut order = Order::default();
        let mut found = Vec::new();
        for number in 1..200_000_u64 {
            let place = Place {
                sequence: number * 2,
                id: "id",
                previous: Link::Unreadable,
                hash: None,
                trust: Trust::Bad,
            };
            order.push(place, &mut found);
        }
        assert!(order.gaps.ranges() <= GAPS && order.recent.len() <= REMEMBERED);
        order.finish(&mut found);
        assert!(
            found
                .iter()
                .any(|damage| damage.message.contains("further sequence numbers"))
        );
    }
}
