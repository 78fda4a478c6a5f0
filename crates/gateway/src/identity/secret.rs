//! Keyed digests of virtual keys, MACs of stored rows, and the key of their roll: all made from the ledger's digest key under
//! labels of their own, so that none stands in for another.

use sha2::{Digest as _, Sha256};
use store::change::EntityRow;

/// Makes digests and MACs: BLAKE3 with a key.
pub(crate) struct Secrets {
    pepper: [u8; 32],
    rows: [u8; 32],
    roll: [u8; 32],
}

impl Secrets {
    /// From the ledger's digest key.
    pub(crate) fn new(root: &[u8; 32]) -> Self {
        Self {
            pepper: blake3::derive_key("sealgate 2026-11-20 virtual keys", root),
            rows: blake3::derive_key("sealgate 2026-11-20 entity rows", root),
            roll: blake3::derive_key("sealgate 2026-11-20 roll of entities", root),
        }
    }

    /// The keyed digest of a key: over its SHA-256, so that hashes stored by LiteLLM import as they are.
    pub(crate) fn of_key(&self, presented: &str) -> [u8; 32] {
        self.of_hash(&Sha256::digest(presented.as_bytes()))
    }

    /// The keyed digest of a key whose SHA-256 is known.
    pub(crate) fn of_hash(&self, hash: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.pepper, hash).as_bytes()
    }

    /// The key of the roll.
    pub(crate) fn roll_key(&self) -> [u8; 32] {
        self.roll
    }

    /// The MAC of a stored row, 64 hexadecimal characters.
    pub(crate) fn mac(&self, row: &EntityRow) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.rows);
        for text in [&row.kind, &row.tenant, &row.id, &row.doc] {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        hasher.update(&row.version.to_be_bytes());
        hex(hasher.finalize().as_bytes())
    }

    /// Whether a row is as it was when it was sealed.
    pub(crate) fn is_intact(&self, row: &EntityRow) -> bool {
        let expected = self.mac(row);
        bool::from(subtle::ConstantTimeEq::ct_eq(
            expected.as_bytes(),
            row.mac.as_bytes(),
        ))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _infallible = write!(out, "{byte:02x}");
    }
    out
}

/// The public id of a key: the first half of its keyed digest.
pub(crate) fn public_id(digest: &[u8; 32]) -> String {
    hex(digest.get(..16).unwrap_or_default())
}

/// 64 hexadecimal characters as bytes: a SHA-256 that LiteLLM stored.
pub(crate) fn hash_from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (to, pair) in out.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
        *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{Secrets, hash_from_hex, hex};
    use sha2::Digest as _;
    use store::change::EntityRow;

    #[test]
    fn a_stored_hash_leads_to_the_same_digest_and_is_no_key() {
        let secrets = Secrets::new(&[1; 32]);
        let stored = hex(&sha2::Sha256::digest(b"sk-old"));
        let imported = secrets.of_hash(&hash_from_hex(&stored).unwrap());
        assert_eq!(imported, secrets.of_key("sk-old"));
        assert_ne!(imported, secrets.of_key(&stored));
        assert_ne!(imported, Secrets::new(&[2; 32]).of_key("sk-old"));
    }

    #[test]
    fn every_part_of_a_row_is_bound() {
        let secrets = Secrets::new(&[1; 32]);
        let mut row = EntityRow {
            kind: "key".into(),
            tenant: "t".into(),
            id: "i".into(),
            version: 1,
            doc: "{}".into(),
            mac: String::new(),
            deleted: false,
        };
        row.mac = secrets.mac(&row);
        assert!(secrets.is_intact(&row));
        for change in [
            |row: &mut EntityRow| row.kind = "team".into(),
            |row: &mut EntityRow| row.tenant.clear(),
            |row: &mut EntityRow| row.id = "j".into(),
            |row: &mut EntityRow| row.version = 2,
            |row: &mut EntityRow| row.doc = "{ }".into(),
            |row: &mut EntityRow| row.mac.clear(),
            |row: &mut EntityRow| (row.kind, row.tenant) = ("keyt".into(), String::new()),
        ] {
            let mut other = row.clone();
            change(&mut other);
            assert!(!secrets.is_intact(&other), "{other:?}");
        }
    }
}
