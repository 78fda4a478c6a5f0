//! What is left of a limit of rates once a call is admitted: what clients read in headers to slow down by themselves.

use super::caps::Caps;
use super::exceeded::{Dimension, Object, ObjectKind};

/// One limit of one object, after the call was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose limit.
    pub kind: ObjectKind,
    /// What is limited: requests or tokens of a minute, or parallel requests.
    pub dimension: Dimension,
    /// The limit.
    pub limit: u64,
    /// What is left of it in this window.
    pub remaining: u64,
}

impl Standing {
    /// Adds the limits of one object that has used so many calls and tokens in its minute, and has so many calls in flight. Of several objects of a kind (tags) the one with the least left stands.
    pub fn add(out: &mut Vec<Standing>, object: &Object, caps: &Caps, used: (u64, u64, u32)) {
        let (requests, tokens, parallel) = used;
        for (dimension, limit, used) in [
            (Dimension::Requests, caps.rpm_limit, requests),
            (Dimension::Tokens, caps.tpm_limit, tokens),
            (
                Dimension::Parallel,
                caps.max_parallel_requests.map(u64::from),
                u64::from(parallel),
            ),
        ] {
            let Some(limit) = limit else { continue };
            let standing = Standing {
                kind: object.kind,
                dimension,
                limit,
                remaining: limit.saturating_sub(used),
            };
            let same = |other: &&mut Standing| {
                other.kind == standing.kind && other.dimension == standing.dimension
            };
            match out.iter_mut().find(same) {
                Some(other) if other.remaining <= standing.remaining => {}
                Some(other) => *other = standing,
                None => out.push(standing),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Standing;
    use crate::budget::{Caps, Dimension, Object, ObjectKind};

    #[test]
    fn of_two_tags_the_tighter_one_stands() {
        let caps = |rpm| Caps {
            rpm_limit: Some(rpm),
            ..Caps::default()
        };
        let mut out = Vec::new();
        for (id, limit) in [("a", 10), ("b", 3), ("c", 5)] {
            let object = Object::new(ObjectKind::Tag, id);
            Standing::add(&mut out, &object, &caps(limit), (2, 0, 1));
        }
        let expected = Standing {
            kind: ObjectKind::Tag,
            dimension: Dimension::Requests,
            limit: 3,
            remaining: 1,
        };
        assert_eq!(out, [expected]);
    }
}
