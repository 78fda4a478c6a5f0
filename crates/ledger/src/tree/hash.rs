//! The three hashes of RFC 6962 section 2.1 and their folds.

use std::fmt;

use sha2::{Digest, Sha256};

/// SHA-256 of a leaf or of an interior node.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeHash(pub [u8; 32]);

impl NodeHash {
    /// 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for NodeHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The root of the tree without leaves: SHA-256 of the empty string.
#[must_use]
pub fn empty_root() -> NodeHash {
    NodeHash(Sha256::digest([]).into())
}

/// `SHA-256(0x00 || leaf)`.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> NodeHash {
    let mut sha = Sha256::new();
    sha.update([0]);
    sha.update(leaf);
    NodeHash(sha.finalize().into())
}

/// `SHA-256(0x01 || left || right)`.
#[must_use]
pub fn node_hash(left: &NodeHash, right: &NodeHash) -> NodeHash {
    let mut sha = Sha256::new();
    sha.update([1]);
    sha.update(left.0);
    sha.update(right.0);
    NodeHash(sha.finalize().into())
}

/// Root of a perfect subtree: the number of hashes is a power of two. Empty input gives the empty root.
pub(super) fn fold(hashes: &[NodeHash]) -> NodeHash {
    fold_onto(hashes, None).unwrap_or_else(empty_root)
}

/// Root of `hashes` followed by an optional `right` tree that is smaller than the subtrees of `hashes`.
///
/// RFC 6962 splits at the largest power of two below the size, so the hashes fall into perfect
/// subtrees of falling size, which are joined from the right.
pub(super) fn fold_onto(hashes: &[NodeHash], right: Option<NodeHash>) -> Option<NodeHash> {
    let mut right = right;
    let mut rest = hashes;
    while !rest.is_empty() {
        // The lowest set bit of the length is the size of the rightmost perfect subtree.
        let width = 1_usize << rest.len().trailing_zeros();
        let (left, perfect) = rest.split_at_checked(rest.len() - width)?;
        let root = perfect_root(perfect)?;
        right = Some(match right {
            Some(right) => node_hash(&root, &right),
            None => root,
        });
        rest = left;
    }
    right
}

/// Root of exactly `2^k` hashes.
pub(super) fn perfect_root(hashes: &[NodeHash]) -> Option<NodeHash> {
    let mut layer = hashes.to_vec();
    while layer.len() > 1 {
        layer = layer
            .chunks_exact(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            })
            .collect();
    }
    layer.first().copied()
}

/// The bytes of a tile.
pub(super) fn concat(hashes: &[NodeHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// The hashes of a tile's bytes; an incomplete last hash is dropped.
pub(super) fn split(bytes: &[u8]) -> Vec<NodeHash> {
    bytes
        .as_chunks::<32>()
        .0
        .iter()
        .copied()
        .map(NodeHash)
        .collect()
}
