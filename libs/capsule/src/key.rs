//! Keys and signatures: Ed25519 over the 64 hex digits of a hash (Capsule Protocol 1.0, sealing).

use std::fmt;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsBasepointTable, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::BasepointTable;
use ed25519_dalek::Signer as _;
use sha2::{Digest, Sha512};

use crate::hex;

/// A public Ed25519 key: 32 bytes, written as 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

/// A text that is not a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// There is a character that is no hex digit, or half a byte.
    #[error("value is not valid hexadecimal")]
    NotHex,
    /// The digits are not those of 32 bytes.
    #[error("expected 32 bytes after decoding hex")]
    Length,
}

impl PublicKey {
    /// From its 32 bytes. Whether they are a point of the curve shows when a signature is checked.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> PublicKey {
        PublicKey(bytes)
    }

    /// From 64 hex digits of either case; white space around them and between bytes is ignored, as
    /// the reference does.
    ///
    /// # Errors
    /// [`PublicKeyError`], whose texts are those of the reference.
    pub fn from_hex(text: &str) -> Result<PublicKey, PublicKeyError> {
        let bytes = hex::decode_python(text).ok_or(PublicKeyError::NotHex)?;
        let bytes = bytes.try_into().map_err(|_| PublicKeyError::Length)?;
        Ok(PublicKey(bytes))
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

    /// The usual fingerprint: the first 16 hex digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0
            .iter()
            .take(8)
            .flat_map(|&b| hex::byte(b))
            .map(char::from)
            .collect()
    }

    /// The fingerprint of keyring files: `qp_key_` and the first four hex digits.
    #[must_use]
    pub fn short_fingerprint(&self) -> String {
        let digits = self
            .0
            .iter()
            .take(2)
            .flat_map(|&b| hex::byte(b))
            .map(char::from);
        "qp_key_".chars().chain(digits).collect()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.hex())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A signer could not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signer failed: {reason}")]
pub struct SignError {
    /// What went wrong, without any secret.
    pub reason: String,
}

/// Something that signs with one Ed25519 key.
///
/// The key must not change during a signer's life: a rotation makes a new signer. The label of a
/// record is therefore always that of the key that signed it.
pub trait Signer: Send + Sync {
    /// The Ed25519 signature of `message`.
    ///
    /// # Errors
    /// [`SignError`] when the key cannot be used.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;

    /// The ML-DSA-65 signature of `message`, for signers that make one beside the other.
    ///
    /// # Errors
    /// [`SignError`] when there is a key and it cannot be used.
    fn sign_post_quantum(&self, message: &[u8]) -> Result<Option<Vec<u8>>, SignError> {
        let _without_key = message;
        Ok(None)
    }

    /// The public key that goes with the signatures.
    fn public_key(&self) -> PublicKey;

    /// What records carry as `signed_by`: the 16-digit fingerprint unless the signer says otherwise.
    fn fingerprint(&self) -> String {
        self.public_key().fingerprint()
    }
}

/// A secret Ed25519 key in memory, wiped when dropped.
pub struct SigningKey {
    key: ed25519_dalek::SigningKey,
    label: Label,
}

#[derive(Clone, Copy)]
enum Label {
    Usual,
    Short,
}

impl SigningKey {
    /// From the 32-byte seed, which is what key files hold. The caller wipes its own copy.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> SigningKey {
        let seed = zeroize::Zeroizing::new(seed);
        SigningKey {
            key: ed25519_dalek::SigningKey::from_bytes(&seed),
            label: Label::Usual,
        }
    }

    /// Labels records with the short fingerprint, as signers with a keyring do in the reference.
    #[must_use]
    pub fn with_short_fingerprint(mut self) -> SigningKey {
        self.label = Label::Short;
        self
    }

    /// The public key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key().to_bytes())
    }
}

impl Signer for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        Ok(self.key.sign(message).to_bytes())
    }

    fn public_key(&self) -> PublicKey {
        SigningKey::public_key(self)
    }

    fn fingerprint(&self) -> String {
        match self.label {
            Label::Usual => self.public_key().fingerprint(),
            Label::Short => self.public_key().short_fingerprint(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, secret not shown)", self.public_key())
    }
}

/// A public key made ready for checking signatures.
#[derive(Clone)]
pub(crate) struct Checker {
    key: [u8; 32],
    /// Multiples of the negated point: with them a check costs about as much as a signature.
    negated: Box<EdwardsBasepointTable>,
}

impl Checker {
    /// `None` when the bytes are no usable key: not a point in its canonical encoding, or one of small
    /// order, with which a signature proves nothing.
    pub(crate) fn new(key: &PublicKey) -> Option<Checker> {
        let point = CompressedEdwardsY(key.0).decompress()?;
        let canonical = point.compress().0 == key.0;
        (canonical && !point.is_small_order()).then(|| Checker {
            key: key.0,
            negated: Box::new(EdwardsBasepointTable::create(&-point)),
        })
    }

    /// Whether the signature is good, by the strict rules (RFC 8032 without cofactor, and no point of
    /// small order).
    pub(crate) fn check(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let (halves, _) = signature.as_chunks::<32>();
        let [point, response] = halves else {
            return false;
        };
        // S must be below the order of the group, else a signature has several spellings.
        let response: Option<Scalar> = Scalar::from_canonical_bytes(*response).into();
        let Some(response) = response else {
            return false;
        };
        let challenge = Sha512::new()
            .chain_update(point)
            .chain_update(self.key)
            .chain_update(message)
            .finalize();
        let challenge = Scalar::from_bytes_mod_order_wide(&challenge.into());
        let expected = EdwardsPoint::mul_base(&response) + self.negated.mul_base(&challenge);
        // Comparing the canonical bytes refuses every other spelling of the point, so only the canonical
        // encodings of small-order points are left to refuse.
        expected.compress().as_bytes() == point && !SMALL_ORDER.contains(point)
    }
}

/// The canonical encodings of the eight points of small order.
const SMALL_ORDER: [[u8; 32]; 8] = {
    let mut order_two = [0xFF; 32];
    order_two[0] = 0xEC;
    order_two[31] = 0x7F;
    let mut identity = [0; 32];
    identity[0] = 1;
    let order_eight = *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
        \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05";
    let other_eight = *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
        \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a";
    [
        identity,
        order_two,
        [0; 32],
        negative([0; 32]),
        order_eight,
        negative(order_eight),
        other_eight,
        negative(other_eight),
    ]
};

/// The encoding with the sign bit set.
const fn negative(mut point: [u8; 32]) -> [u8; 32] {
    point[31] |= 0x80;
    point
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Verifier as _, VerifyingKey};

    use super::*;

    #[test]
    fn the_listed_points_are_all_of_small_order_and_all_there_are() {
        let mut points = SMALL_ORDER.to_vec();
        points.sort_unstable();
        points.dedup();
        assert_eq!(points.len(), 8);
        for point in points {
            assert!(VerifyingKey::from_bytes(&point).unwrap().is_weak());
            assert!(Checker::new(&PublicKey(point)).is_none());
        }
    }

    #[test]
    fn a_signature_without_nonce_is_refused_as_verify_strict_does() {
        // R is the identity and S the challenge times the secret: the equation holds, and `verify` of
        // the curve library alone accepts it.
        let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
        let verifying = key.verifying_key();
        let mut identity = [0; 32];
        identity[0] = 1;
        let challenge = Sha512::new()
            .chain_update(identity)
            .chain_update(verifying.as_bytes())
            .chain_update(b"message")
            .finalize();
        let challenge = Scalar::from_bytes_mod_order_wide(&challenge.into());
        let response = challenge * key.to_scalar();
        let signature = ed25519_dalek::Signature::from_components(identity, response.to_bytes());
        assert!(verifying.verify(b"message", &signature).is_ok());
        assert!(verifying.verify_strict(b"message", &signature).is_err());
        let checker = Checker::new(&PublicKey(verifying.to_bytes())).unwrap();
        assert!(!checker.check(b"message", &signature.to_bytes()));
    }

    #[test]
    fn signatures_of_many_keys_are_good_for_their_own_key_only() {
        for seed in 0..50 {
            let key = SigningKey::from_seed([seed; 32]);
            let checker = Checker::new(&key.public_key()).unwrap();
            let message = [seed; 64];
            assert!(checker.check(&message, &key.sign(&message).unwrap()));
            let other = SigningKey::from_seed([seed + 1; 32]);
            assert!(!checker.check(&message, &other.sign(&message).unwrap()));
        }
    }

    #[test]
    fn a_second_spelling_of_the_response_is_refused() {
        // S plus the order of the group satisfies the equation too.
        let order = Scalar::ZERO - Scalar::ONE;
        let mut order = order.to_bytes();
        order[0] += 1;
        let key = SigningKey::from_seed([1; 32]);
        let checker = Checker::new(&key.public_key()).unwrap();
        let mut signature = key.sign(b"message").unwrap();
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert!(!checker.check(b"message", &signature));
    }

    #[test]
    fn keys_in_another_spelling_are_refused() {
        // y = 1 + p is the identity's y; x = 0 with the sign bit set is no canonical point either.
        let mut beyond = [0xFF; 32];
        beyond[0] = 0xEE;
        beyond[31] = 0x7F;
        let mut signed_zero = [0; 32];
        signed_zero[0] = 1;
        signed_zero[31] = 0x80;
        for key in [beyond, signed_zero] {
            assert!(Checker::new(&PublicKey(key)).is_none());
        }
    }

    #[test]
    fn any_changed_bit_of_a_signature_is_noticed() {
        let key = SigningKey::from_seed([1; 32]);
        let good = key.sign(b"message").unwrap();
        let checker = Checker::new(&key.public_key()).unwrap();
        let strict = VerifyingKey::from_bytes(key.public_key().as_bytes()).unwrap();
        assert!(checker.check(b"message", &good));
        assert!(!checker.check(b"another", &good));
        for at in 0..64 {
            for bit in 0..8 {
                let mut bad = good;
                bad[at] ^= 1 << bit;
                assert!(!checker.check(b"message", &bad));
                let bad = ed25519_dalek::Signature::from_bytes(&bad);
                assert!(strict.verify_strict(b"message", &bad).is_err());
            }
        }
    }
}
