//! A sealed record.

use std::fmt;

use super::Linked;
use crate::canonical;
use crate::hash::Hash;
use crate::hex;
use crate::id::Id;
use crate::model::CapsuleType;
use crate::time::Timestamp;

/// A record with its place, its hash and its signature: what is stored.
///
/// Only [`Linked::seal`] makes one.
///
/// ```compile_fail
/// let forged = capsule::Sealed { sequence: 0 };
/// ```
pub struct Sealed {
    id: Id,
    capsule_type: CapsuleType,
    session_id: Option<Box<str>>,
    sequence: u64,
    previous: Option<Hash>,
    hash: Hash,
    signature: String,
    signature_pq: String,
    signed_at: Timestamp,
    signed_by: String,
    text: Vec<u8>,
    id_at: usize,
    seal_at: usize,
}

impl Sealed {
    pub(super) fn new(
        linked: Linked,
        signature: &[u8; 64],
        signature_pq: Option<&[u8]>,
        signed_at: Timestamp,
        signed_by: String,
    ) -> Sealed {
        Sealed {
            id: linked.id,
            capsule_type: linked.capsule_type,
            session_id: linked.session_id,
            sequence: linked.sequence,
            previous: linked.previous,
            hash: linked.hash,
            signature: hex::encode(signature),
            signature_pq: signature_pq.map(hex::encode).unwrap_or_default(),
            signed_at,
            signed_by,
            text: linked.text,
            id_at: linked.id_at,
            seal_at: linked.seal_at,
        }
    }

    /// The record's identifier.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// The kind of record.
    #[must_use]
    pub fn capsule_type(&self) -> CapsuleType {
        self.capsule_type
    }

    /// The session, as the record's context names it.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// Its place in the chain, from 0.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The hash of the predecessor; `None` at the start of a chain.
    #[must_use]
    pub fn previous_hash(&self) -> Option<&Hash> {
        self.previous.as_ref()
    }

    /// The SHA3-256 of the canonical document.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// The Ed25519 signature over the 64 digits of the hash, as 128 lower-case hex digits.
    #[must_use]
    pub fn signature_hex(&self) -> &str {
        &self.signature
    }

    /// The ML-DSA-65 signature over the same digits as lower-case hex digits; empty when the signer makes none.
    #[must_use]
    pub fn signature_pq_hex(&self) -> &str {
        &self.signature_pq
    }

    /// When it was signed, by the signer's clock. Neither hashed nor signed.
    #[must_use]
    pub fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    /// The fingerprint of the key. Neither hashed nor signed.
    #[must_use]
    pub fn signed_by(&self) -> &str {
        &self.signed_by
    }

    /// The canonical document of 13 keys: the bytes that were hashed.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.text
    }

    /// The whole sealed record of 18 keys, canonical.
    #[must_use]
    pub fn record_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.text.len() + self.signature_pq.len() + 400);
        let (before_id, rest) = self
            .text
            .split_at_checked(self.id_at)
            .unwrap_or((&self.text, &[]));
        let (middle, tail) = rest
            .split_at_checked(self.seal_at - self.id_at)
            .unwrap_or((rest, &[]));
        out.extend_from_slice(before_id);
        out.extend_from_slice(b"\"hash\":\"");
        out.extend_from_slice(&self.hash.to_ascii());
        out.extend_from_slice(b"\",");
        out.extend_from_slice(middle);
        out.extend_from_slice(b",\"signature\":\"");
        out.extend_from_slice(self.signature.as_bytes());
        out.extend_from_slice(b"\",\"signature_pq\":\"");
        out.extend_from_slice(self.signature_pq.as_bytes());
        out.extend_from_slice(b"\",\"signed_at\":\"");
        self.signed_at.write(&mut out);
        out.extend_from_slice(b"\",\"signed_by\":");
        canonical::write_string(&self.signed_by, &mut out);
        out.extend_from_slice(tail);
        out
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({}, #{})", self.id, self.sequence)
    }
}
