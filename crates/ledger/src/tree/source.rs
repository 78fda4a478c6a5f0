//! Where proofs and the right edge read hashes from.

use std::sync::Arc;

use super::{HASH_BYTES, NodeHash, hash};

/// Reads tiles.
pub trait TileSource {
    /// What reading may fail with.
    type Error;

    /// The first `width` hashes (1 to 256) of tile `index` of tile level `level`; the tile may have
    /// grown since and hold more.
    ///
    /// # Errors
    /// When the tile cannot be read or holds fewer hashes.
    fn tile(&mut self, level: u8, index: u64, width: usize) -> Result<Vec<NodeHash>, Self::Error>;
}

/// Cuts the first `width` hashes out of the bytes of a stored tile; `None` when there are fewer.
pub(crate) fn tile_prefix(bytes: &[u8], width: usize) -> Option<Vec<NodeHash>> {
    bytes.get(..width.checked_mul(HASH_BYTES)?).map(hash::split)
}

/// Gives the roots of perfect subtrees.
pub trait NodeSource {
    /// What reading may fail with.
    type Error;

    /// Root of the perfect subtree of `2^height` leaves that starts at leaf `index * 2^height`.
    ///
    /// # Errors
    /// When its hashes cannot be read.
    fn node(&mut self, height: u8, index: u64) -> Result<NodeHash, Self::Error>;
}

impl<S: TileSource> NodeSource for S {
    type Error = S::Error;

    fn node(&mut self, height: u8, index: u64) -> Result<NodeHash, Self::Error> {
        let (level, within) = (height / 8, height % 8);
        let first = index << within;
        let skip = usize::try_from(first % 256).unwrap_or(0);
        let count = 1_usize << within;
        let hashes = self.tile(level, first / 256, skip + count)?;
        Ok(hash::fold(hashes.get(skip..).unwrap_or_default()))
    }
}

/// All leaf hashes in memory: the slow, obvious source that the stored tiles are compared with.
#[derive(Clone, Default, Debug)]
pub struct Leaves(pub Vec<NodeHash>);

impl TileSource for Leaves {
    type Error = std::convert::Infallible;

    fn tile(&mut self, level: u8, index: u64, width: usize) -> Result<Vec<NodeHash>, Self::Error> {
        let mut layer = self.0.clone();
        for _ in 0..level {
            layer = layer.chunks_exact(256).map(hash::fold).collect();
        }
        let skip = usize::try_from(index)
            .unwrap_or(usize::MAX)
            .saturating_mul(256);
        Ok(layer.into_iter().skip(skip).take(width).collect())
    }
}

/// All leaf hashes in memory with the roots of their tiles, for many proofs over the same leaves.
#[derive(Clone, Default, Debug)]
pub struct Layers(Arc<Vec<Vec<NodeHash>>>);

impl Layers {
    /// The layers over these leaves.
    #[must_use]
    pub fn new(leaves: Vec<NodeHash>) -> Layers {
        let mut layers = vec![leaves];
        while let Some(last) = layers.last().filter(|last| last.len() >= 256) {
            let next = last.chunks_exact(256).map(hash::fold).collect();
            layers.push(next);
        }
        Layers(Arc::new(layers))
    }
}

impl TileSource for Layers {
    type Error = std::convert::Infallible;

    fn tile(&mut self, level: u8, index: u64, width: usize) -> Result<Vec<NodeHash>, Self::Error> {
        let layer = self.0.get(usize::from(level));
        let start = usize::try_from(index)
            .unwrap_or(usize::MAX)
            .saturating_mul(256);
        let end = start.saturating_add(width);
        let hashes = layer.and_then(|layer| layer.get(start..end.min(layer.len())));
        Ok(hashes.unwrap_or_default().to_vec())
    }
}
