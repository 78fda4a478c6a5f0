//! Which of several readings of the same text stands.

/// Something that a detector takes a stretch of text for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Index of the kind within the detector.
    pub(crate) kind: u32,
    /// 0 to 100.
    pub(crate) score: u8,
    pub(crate) rank: Rank,
}

/// How much speaks for a reading besides its score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// A shape without a check.
    Shape,
    /// A shape with rules that few strings satisfy.
    Rule,
    /// A check digit holds, or the prefix is the vendor's own.
    Checked,
}

/// Keeps the readings that stand, without overlaps, by start: higher rank first, then the
/// longer one, then the higher score.
pub(crate) fn resolve(candidates: &mut Vec<Candidate>) {
    if candidates.len() < 2 {
        return;
    }
    candidates.sort_by_key(|c| {
        let length = c.end.saturating_sub(c.start);
        (
            std::cmp::Reverse((c.rank, length, c.score)),
            c.start,
            c.kind,
        )
    });
    // Disjoint, by start.
    let mut kept: Vec<Candidate> = Vec::with_capacity(candidates.len());
    for candidate in candidates.iter() {
        let place = kept.partition_point(|other| other.start < candidate.start);
        let before = place.checked_sub(1).and_then(|place| kept.get(place));
        let free = before.is_none_or(|other| other.end <= candidate.start)
            && kept
                .get(place)
                .is_none_or(|other| candidate.end <= other.start);
        if free {
            kept.insert(place, *candidate);
        }
    }
    *candidates = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(start: usize, end: usize, rank: Rank) -> Candidate {
        Candidate {
            start,
            end,
            kind: 0,
            score: 50,
            rank,
        }
    }

    #[test]
    fn the_longest_checked_reading_stands() {
        let mut all = vec![
            candidate(0, 12, Rank::Checked),
            candidate(0, 16, Rank::Checked),
            candidate(4, 30, Rank::Shape),
            candidate(20, 24, Rank::Rule),
        ];
        resolve(&mut all);
        let ranges: Vec<_> = all.iter().map(|c| (c.start, c.end)).collect();
        assert_eq!(ranges, [(0, 16), (20, 24)]);
    }
}
