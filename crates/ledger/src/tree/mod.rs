//! The Merkle tree over sealed records (RFC 6962 section 2.1, SHA-256), kept as tiles of 256 hashes.
//!
//! Leaf `n` is the sealed record with sequence `n`, as its canonical JSON with all 18 keys. The tree is
//! held as the right edge only: per tile level the hashes of the tile that is not yet full. Full tiles
//! are handed out once and never change.

mod hash;
mod proof;
mod source;

pub use hash::{NodeHash, empty_root, leaf_hash, node_hash};
pub use proof::{
    ProofError, consistency, inclusion, root_at, verify_consistency, verify_inclusion,
};
pub(crate) use source::tile_prefix;
pub use source::{Layers, Leaves, NodeSource, TileSource};

/// Hashes in a full tile, and the number of nodes of one tile level below a node of the next.
pub const TILE_WIDTH: usize = 256;

/// Bytes of one hash in a tile.
pub const HASH_BYTES: usize = 32;

/// One tile: up to 256 hashes of one tile level, left to right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tile {
    /// 0 holds leaf hashes; level `l` holds roots of full tiles of level `l - 1`.
    pub level: u8,
    /// Position of the tile in its level: the first hash is node `index * 256`.
    pub index: u64,
    /// The hashes, 32 bytes each, 1 to 256 of them.
    pub hashes: Vec<u8>,
}

/// The growing right edge of a tree.
#[derive(Clone, Default, Debug)]
pub struct Edge {
    size: u64,
    /// Per tile level: the hashes after the last full tile, always fewer than 256.
    levels: Vec<Vec<NodeHash>>,
    full: Vec<Tile>,
}

impl Edge {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Edge {
        Edge::default()
    }

    /// The tree of `size` leaves whose right edge is read from stored tiles.
    ///
    /// # Errors
    /// When a tile of the edge is missing or shorter than the size asks for.
    pub fn load<S: TileSource>(size: u64, source: &mut S) -> Result<Edge, S::Error> {
        let mut levels = Vec::new();
        let mut nodes = size;
        let mut level = 0_u8;
        while nodes > 0 {
            let index = nodes / 256;
            let width = usize::try_from(nodes % 256).unwrap_or(0);
            let hashes = if width == 0 {
                Vec::new()
            } else {
                source.tile(level, index, width)?
            };
            levels.push(hashes);
            nodes = index;
            level = level.saturating_add(1);
        }
        Ok(Edge {
            size,
            levels,
            full: Vec::new(),
        })
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next leaf by its leaf hash.
    pub fn push(&mut self, leaf: NodeHash) {
        self.size += 1;
        let mut carry = leaf;
        for level in 0..=u8::MAX {
            let at = usize::from(level);
            if self.levels.len() <= at {
                self.levels.push(Vec::with_capacity(TILE_WIDTH));
            }
            let Some(hashes) = self.levels.get_mut(at) else {
                return;
            };
            hashes.push(carry);
            if hashes.len() < TILE_WIDTH {
                return;
            }
            let index = (self.size >> (8 * u32::from(level) + 8)).saturating_sub(1);
            self.full.push(Tile {
                level,
                index,
                hashes: hash::concat(hashes),
            });
            carry = hash::fold(hashes);
            hashes.clear();
        }
    }

    /// The Merkle tree head of all leaves (SHA-256 of nothing when there are none).
    #[must_use]
    pub fn root(&self) -> NodeHash {
        let mut right: Option<NodeHash> = None;
        for hashes in &self.levels {
            right = hash::fold_onto(hashes, right);
        }
        right.unwrap_or_else(empty_root)
    }

    /// Takes the tiles to store since the last call: every tile that became full, and the partial
    /// tiles of the right edge as they are now.
    pub fn take_tiles(&mut self) -> Vec<Tile> {
        let mut tiles = std::mem::take(&mut self.full);
        for (level, hashes) in (0_u8..).zip(&self.levels) {
            if hashes.is_empty() {
                continue;
            }
            let index = self.size >> (8 * u32::from(level) + 8);
            tiles.push(Tile {
                level,
                index,
                hashes: hash::concat(hashes),
            });
        }
        tiles
    }
}

#[cfg(test)]
mod tests;
