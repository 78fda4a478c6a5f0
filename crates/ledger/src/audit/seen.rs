//! Has this id been seen before? In constant memory.

use std::collections::HashSet;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// How many ids one generation holds. Two generations are kept, so an id is remembered for at least this many records.
pub(super) const GENERATION: usize = 458_752;

/// Takes the fingerprint itself as the hash.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

type Generation = HashSet<u64, BuildHasherDefault<Identity>>;

/// Remembers the ids of the last [`GENERATION`] records at least, by a 64-bit fingerprint under a random key: two ids
/// of one run fall together with a probability of about one in 10^8, and nobody can aim at it.
pub(super) struct Seen {
    key: RandomState,
    current: Generation,
    previous: Generation,
    generation: usize,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.current.len() + self.previous.len();
        f.debug_struct("Seen").field("count", &count).finish()
    }
}

impl Default for Seen {
    fn default() -> Self {
        Self::with_generation(GENERATION)
    }
}

impl Seen {
    fn with_generation(generation: usize) -> Self {
        Seen {
            key: RandomState::new(),
            current: Generation::default(),
            previous: Generation::default(),
            generation,
        }
    }

    /// Remembers an id; false if it was seen before.
    pub(super) fn insert(&mut self, id: &[u8]) -> bool {
        let fingerprint = self.key.hash_one(id);
        if self.previous.contains(&fingerprint) || !self.current.insert(fingerprint) {
            return false;
        }
        if self.current.len() >= self.generation {
            self.previous = std::mem::take(&mut self.current);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_remembered_for_at_least_one_generation_and_memory_is_bounded() {
        let mut seen = Seen::with_generation(100);
        let id = |number: u64| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            bytes
        };
        for number in 0..1_000 {
            assert!(seen.insert(&id(number)));
            assert!(!seen.insert(&id(number)));
            assert!(number < 100 || !seen.insert(&id(number - 99)));
            assert!(seen.current.len() + seen.previous.len() <= 200);
        }
    }
}
