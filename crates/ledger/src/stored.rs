//! The tree's hashes as a journal holds them.

use crate::{
    error::{Damage, LedgerError},
    journal::{Chain, Journal},
    tree::{NodeHash, TileSource, tile_prefix},
};

/// Reads tiles of one chain from a journal.
pub(crate) struct Stored<'a> {
    pub(crate) journal: &'a mut dyn Journal,
    pub(crate) chain: &'a Chain,
}

impl TileSource for Stored<'_> {
    type Error = LedgerError;

    fn tile(&mut self, level: u8, index: u64, width: usize) -> Result<Vec<NodeHash>, LedgerError> {
        let bytes = self
            .journal
            .tile(self.chain, level, index)?
            .unwrap_or_default();
        tile_prefix(&bytes, width).ok_or_else(|| {
            let first = index.saturating_mul(256_u64.saturating_pow(u32::from(level) + 1));
            Damage::Record {
                sequence: first,
                message: "the tree's tile over it is missing or short".to_owned(),
            }
            .into()
        })
    }
}
