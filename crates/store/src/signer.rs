//! A faster Ed25519 signer than the protocol library's own; the signatures are the same bytes.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use capsule::{PublicKey, SignError, Signer};

/// Signs with AWS-LC.
pub struct FastSigner {
    pair: Ed25519KeyPair,
    public: PublicKey,
    fingerprint: String,
}

impl FastSigner {
    /// The signer of a 32-byte seed.
    ///
    /// # Errors
    /// When the library refuses the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<FastSigner, SignError> {
        let refused = || SignError {
            reason: "the library refuses the key".to_owned(),
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refused())?;
        let bytes: [u8; 32] = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| refused())?;
        let public = PublicKey::from_bytes(bytes);
        Ok(FastSigner {
            pair,
            public,
            fingerprint: public.fingerprint(),
        })
    }
}

impl Signer for FastSigner {
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().map_err(|_| SignError {
            reason: "the signature has not 64 bytes".to_owned(),
        })
    }

    fn public_key(&self) -> PublicKey {
        self.public
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }
}

impl std::fmt::Debug for FastSigner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "FastSigner({}, secret not shown)", self.public)
    }
}

#[cfg(test)]
mod tests {
    use capsule::SigningKey;

    use super::*;

    #[test]
    fn same_bytes_as_the_protocol_library() {
        for seed in 0..64_u8 {
            let seed = [seed; 32];
            let (fast, slow) = (
                FastSigner::from_seed(&seed).unwrap(),
                SigningKey::from_seed(seed),
            );
            let message = [seed[0] ^ 0x5a; 64];
            assert_eq!(fast.sign(&message).unwrap(), slow.sign(&message).unwrap());
            assert_eq!(fast.public_key(), Signer::public_key(&slow));
            assert_eq!(fast.fingerprint(), slow.fingerprint());
        }
    }
}
