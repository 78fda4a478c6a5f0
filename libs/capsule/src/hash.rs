//! SHA3-256.

use std::fmt;

use sha3::{Digest, Sha3_256};

use crate::hex;

/// A SHA3-256 digest (FIPS 202), which the protocol writes as 64 lower-case hex digits
/// (Capsule Protocol 1.0, sealing).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

/// A text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 lower-case hex digits")]
pub struct HashError;

impl Hash {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha3_256::digest(bytes).into())
    }

    /// From the 32 bytes of a digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }

    /// From 64 lower-case hex digits.
    ///
    /// # Errors
    /// [`HashError`] for any other text.
    pub fn from_hex(text: &str) -> Result<Hash, HashError> {
        hex::decode_lower(text).map(Hash).ok_or(HashError)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 lower-case hex digits.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(&self.0)
    }

    /// The 64 ASCII digits: the message that is signed.
    #[must_use]
    pub fn to_ascii(&self) -> [u8; 64] {
        let mut digits = [0; 64];
        hex::write(&self.0, &mut digits);
        digits
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.hex())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}
