//! Inclusion and consistency proofs (RFC 6962 sections 2.1.1 and 2.1.2) and their verification.

use super::{NodeHash, NodeSource, empty_root, node_hash};

/// Why a proof could not be made or does not hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProofError {
    /// The leaf or the older size does not lie within the tree.
    #[error("position {position} is outside a tree of {size} leaves")]
    Range {
        /// Leaf index or older size that was asked for.
        position: u64,
        /// Leaves in the tree.
        size: u64,
    },
    /// The proof has the wrong number of hashes for these sizes.
    #[error("the proof has the wrong number of hashes for these sizes")]
    Length,
    /// The hashes do not lead to the given root.
    #[error("the proof does not lead to the given root")]
    Root,
}

/// Root of the first `size` leaves.
///
/// # Errors
/// When the source cannot be read.
pub fn root_at<S: NodeSource>(size: u64, source: &mut S) -> Result<NodeHash, S::Error> {
    if size == 0 {
        return Ok(empty_root());
    }
    range_root(0, size, source)
}

/// Hashes that lead from leaf `index` to the root of the first `size` leaves, lowest first; `None`
/// when the leaf lies outside.
///
/// # Errors
/// When the source cannot be read.
pub fn inclusion<S: NodeSource>(
    index: u64,
    size: u64,
    source: &mut S,
) -> Result<Option<Vec<NodeHash>>, S::Error> {
    if index >= size {
        return Ok(None);
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range_root(middle, end, source)?);
            end = middle;
        } else {
            path.push(range_root(start, middle, source)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// Hashes that show that the first `old` leaves are a prefix of the first `new`; `None` when `old` is
/// larger. Empty when the sizes are equal or `old` is 0.
///
/// # Errors
/// When the source cannot be read.
pub fn consistency<S: NodeSource>(
    old: u64,
    new: u64,
    source: &mut S,
) -> Result<Option<Vec<NodeHash>>, S::Error> {
    if old > new {
        return Ok(None);
    }
    if old == 0 || old == new {
        return Ok(Some(Vec::new()));
    }
    let mut path = Vec::new();
    let (mut start, mut end) = (0, new);
    // SUBPROOF of RFC 6962: `whole` while the old tree is still a left prefix from leaf 0.
    let mut whole = true;
    while end > old {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range_root(middle, end, source)?);
            end = middle;
        } else {
            path.push(range_root(start, middle, source)?);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        path.push(range_root(start, end, source)?);
    }
    path.reverse();
    Ok(Some(path))
}

/// Checks an inclusion proof.
///
/// # Errors
/// When the leaf lies outside the tree or the proof does not lead from it to `root`.
pub fn verify_inclusion(
    leaf: NodeHash,
    index: u64,
    size: u64,
    proof: &[NodeHash],
    root: &NodeHash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range {
            position: index,
            size,
        });
    }
    let (mut node, mut last, mut hash) = (index, size - 1, leaf);
    for step in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node % 2 == 1 || node == last {
            hash = node_hash(step, &hash);
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Checks a consistency proof between two roots.
///
/// # Errors
/// When `old` is larger than `new`, or the proof does not lead to both roots.
pub fn verify_consistency(
    old: u64,
    old_root: &NodeHash,
    new: u64,
    new_root: &NodeHash,
    proof: &[NodeHash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Range {
            position: old,
            size: new,
        });
    }
    if old == new || old == 0 {
        return match (proof.is_empty(), old == 0 || old_root == new_root) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node % 2 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let mut steps = proof.iter();
    // An old tree that is one perfect subtree is its own starting point and is not in the proof.
    let seed = if old.is_power_of_two() {
        *old_root
    } else {
        *steps.next().ok_or(ProofError::Length)?
    };
    let (mut older, mut newer) = (seed, seed);
    for step in steps {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node % 2 == 1 || node == last {
            older = node_hash(step, &older);
            newer = node_hash(step, &newer);
            while node % 2 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            newer = node_hash(&newer, step);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if older == *old_root && newer == *new_root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// Largest power of two below `size` (which is at least 2).
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Root of leaves `start..end`, where `start` is a multiple of the largest power of two in the range.
fn range_root<S: NodeSource>(start: u64, end: u64, source: &mut S) -> Result<NodeHash, S::Error> {
    let size = end - start;
    if size.is_power_of_two() {
        let height = u8::try_from(size.trailing_zeros()).unwrap_or(u8::MAX);
        return source.node(height, start >> height);
    }
    let middle = start + split(size);
    let left = range_root(start, middle, source)?;
    let right = range_root(middle, end, source)?;
    Ok(node_hash(&left, &right))
}
