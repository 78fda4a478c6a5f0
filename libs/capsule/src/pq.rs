//! Post-quantum signatures: ML-DSA-65 (FIPS 204, empty context) over the same 64 hex digits that Ed25519 signs
//! (Capsule Protocol 1.0, sealing).
//!
//! They stand beside the Ed25519 signature and never in its place. Nothing covers the field that holds them: who can
//! write a record can take it away, so a verifier that relies on them must require them
//! ([`PostQuantum::Require`](crate::verify::PostQuantum::Require)).

use std::fmt;

use ml_dsa::{ExpandedSigningKey, ExpandedSigningKeyBytes, MlDsa65, Signature, VerifyingKey};
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a public key.
pub const PUBLIC_KEY_BYTES: usize = 1952;
/// Bytes of a secret key in the expanded form of FIPS 204, which key files hold.
pub const SECRET_KEY_BYTES: usize = 4032;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 3309;

/// Bytes that are no ML-DSA-65 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an ML-DSA-65 {what} key has {expected} bytes, this one {found}")]
pub struct PqKeyError {
    /// `public` or `secret`.
    pub what: &'static str,
    /// The length that it must have.
    pub expected: usize,
    /// The length that it has.
    pub found: usize,
}

/// A public ML-DSA-65 key, ready for checking signatures.
#[derive(Clone, PartialEq)]
pub struct PqPublicKey(Box<VerifyingKey<MlDsa65>>);

impl PqPublicKey {
    /// From its 1952 bytes.
    ///
    /// # Errors
    /// [`PqKeyError`] for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Result<PqPublicKey, PqKeyError> {
        let encoded = bytes
            .try_into()
            .map_err(|_| wrong("public", PUBLIC_KEY_BYTES, bytes))?;
        Ok(PqPublicKey(Box::new(VerifyingKey::decode(encoded))))
    }

    /// The 1952 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.encode().to_vec()
    }

    /// Whether the signature over the message is by this key.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::<MlDsa65>::try_from(signature);
        signature.is_ok_and(|signature| self.0.verify_with_context(message, &[], &signature))
    }
}

impl fmt::Debug for PqPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start: String = self
            .to_bytes()
            .iter()
            .take(8)
            .map(|b| format!("{b:02x}"))
            .collect();
        write!(f, "PqPublicKey({start}..)")
    }
}

/// A secret ML-DSA-65 key in memory, wiped when dropped.
pub struct PqSigningKey(Box<ExpandedSigningKey<MlDsa65>>);

impl PqSigningKey {
    /// From 32 random bytes. The caller wipes its own copy.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> PqSigningKey {
        let mut seed = ml_dsa::Seed::from(*seed);
        let key = PqSigningKey(Box::new(ExpandedSigningKey::from_seed(&seed)));
        seed.zeroize();
        key
    }

    /// From the expanded form, which the key files of the reference hold.
    ///
    /// # Errors
    /// [`PqKeyError`] for any other length.
    pub fn from_expanded(bytes: &[u8]) -> Result<PqSigningKey, PqKeyError> {
        let encoded: &ExpandedSigningKeyBytes<MlDsa65> = bytes
            .try_into()
            .map_err(|_| wrong("secret", SECRET_KEY_BYTES, bytes))?;
        #[expect(deprecated, reason = "key files hold this form, not the seed")]
        let key = ExpandedSigningKey::from_expanded(encoded);
        Ok(PqSigningKey(Box::new(key)))
    }

    /// The expanded form, 4032 bytes.
    #[must_use]
    pub fn to_expanded(&self) -> Zeroizing<Vec<u8>> {
        #[expect(deprecated, reason = "key files hold this form, not the seed")]
        let mut bytes = self.0.to_expanded();
        let copy = Zeroizing::new(bytes.to_vec());
        bytes.zeroize();
        copy
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PqPublicKey {
        PqPublicKey(Box::new(self.0.verifying_key()))
    }

    /// The signature of `message`, 3309 bytes; the same each time (the deterministic variant of FIPS 204).
    ///
    /// # Errors
    /// [`SignError`](crate::SignError) when no signature was found, which does not happen with a key that was generated.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, crate::SignError> {
        let signature = self.0.sign_deterministic(message, &[]);
        let signature = signature.map_err(|_| crate::SignError {
            reason: "ML-DSA-65 found no signature".to_owned(),
        })?;
        Ok(signature.encode().to_vec())
    }
}

impl fmt::Debug for PqSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PqSigningKey(secret not shown)")
    }
}

fn wrong(what: &'static str, expected: usize, bytes: &[u8]) -> PqKeyError {
    PqKeyError {
        what,
        expected,
        found: bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_signatures_have_the_sizes_of_the_standard_and_survive_their_files() {
        let key = PqSigningKey::from_seed(&[7; 32]);
        let (secret, public) = (key.to_expanded(), key.public_key());
        assert_eq!(secret.len(), SECRET_KEY_BYTES);
        assert_eq!(public.to_bytes().len(), PUBLIC_KEY_BYTES);
        let again = PqSigningKey::from_expanded(&secret).unwrap();
        let signature = again.sign(b"message").unwrap();
        assert_eq!(signature.len(), SIGNATURE_BYTES);
        assert_eq!(signature, key.sign(b"message").unwrap());
        let public = PqPublicKey::from_bytes(&public.to_bytes()).unwrap();
        assert_eq!(public, again.public_key());
        assert!(public.verify(b"message", &signature));
        assert!(PqSigningKey::from_expanded(&secret[1..]).is_err());
        assert!(PqPublicKey::from_bytes(&secret).is_err());
    }

    #[test]
    fn any_change_is_noticed() {
        let key = PqSigningKey::from_seed(&[7; 32]);
        let (public, good) = (key.public_key(), key.sign(b"message").unwrap());
        assert!(!public.verify(b"massage", &good));
        let other = PqSigningKey::from_seed(&[8; 32]).public_key();
        assert!(!other.verify(b"message", &good));
        for at in (0..SIGNATURE_BYTES)
            .step_by(97)
            .chain([SIGNATURE_BYTES - 1])
        {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(!public.verify(b"message", &bad), "byte {at}");
        }
        assert!(!public.verify(b"message", &good[1..]));
        assert!(!public.verify(b"message", &[]));
        assert!(!public.verify(b"message", &[0xFF; SIGNATURE_BYTES]));
    }
}
