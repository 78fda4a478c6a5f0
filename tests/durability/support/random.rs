//! Random choices that can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

/// xorshift64*: good enough to choose moments and sectors.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// From `SEALGATE_SEED`, else from the clock. The seed is printed so that a failure can be repeated.
    pub(crate) fn new(name: &str) -> Self {
        let seed = std::env::var("SEALGATE_SEED")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                now.subsec_nanos().into()
            });
        eprintln!("{name}: SEALGATE_SEED={seed}");
        Self::seeded(seed)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    /// From 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }
}
