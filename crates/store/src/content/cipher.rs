//! AES-256-GCM with keys that are used once, so that the nonce can be a constant: a content key encrypts one text, and the key
//! that wraps it is derived for one record.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use capsule::Id;
use zeroize::Zeroizing;

use super::keys::KeyPair;
use super::{Content, WRAPPED_BYTES, id_bytes};
use crate::keys::Secret;

/// What goes wrong with a cipher.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum CipherError {
    /// No random bytes, or a key that the library refuses.
    #[error("the cryptographic library failed")]
    Library,
    /// Another key, another record, or changed bytes.
    #[error("the ciphertext does not belong to this key and record")]
    Refused,
}

/// Encrypts the content of a record.
///
/// # Errors
/// [`CipherError::Library`].
pub fn seal(keys: &KeyPair, record: &Id, plain: &[u8]) -> Result<Content, CipherError> {
    let record_id = id_bytes(record);
    let content_key = random()?;
    let mut wrapped = content_key.to_vec();
    encrypt(
        &wrapping(keys, &record_id)?,
        b"key",
        &record_id,
        &mut wrapped,
    )?;
    let wrapped =
        <[u8; WRAPPED_BYTES]>::try_from(wrapped.as_slice()).map_err(|_| CipherError::Library)?;
    let mut sealed = Vec::with_capacity(plain.len() + 16);
    sealed.extend_from_slice(plain);
    encrypt(&content_key, b"content", &record_id, &mut sealed)?;
    Ok(Content {
        subject: keys.subject,
        key: keys.id,
        hour: keys.hour,
        wrapped,
        sealed,
    })
}

/// Decrypts the content of a record.
///
/// # Errors
/// [`CipherError::Refused`] when keys, record or bytes are others.
pub fn open(
    keys: &KeyPair,
    record: &Id,
    content: &Content,
) -> Result<Zeroizing<Vec<u8>>, CipherError> {
    let record_id = id_bytes(record);
    let bytes = decrypt(
        &wrapping(keys, &record_id)?,
        b"key",
        &record_id,
        &content.wrapped,
    )?;
    let content_key =
        Secret::from(<[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| CipherError::Refused)?);
    decrypt(&content_key, b"content", &record_id, &content.sealed)
}

/// 32 random bytes.
pub(super) fn random() -> Result<Secret, CipherError> {
    let mut out = Secret::default();
    SystemRandom::new()
        .fill(out.as_mut_slice())
        .map_err(|_| CipherError::Library)?;
    Ok(out)
}

/// The key that wraps the content key of one record: nothing without both the subject's key and the hour's.
fn wrapping(keys: &KeyPair, record: &[u8]) -> Result<Secret, CipherError> {
    let mut both = Zeroizing::new([0_u8; 64]);
    for (to, from) in both
        .iter_mut()
        .zip(keys.subject_key.iter().chain(keys.hour_key.iter()))
    {
        *to = *from;
    }
    derive(both.as_slice(), &[b"sealgate content key 1", record])
}

/// HKDF-SHA-256 (RFC 5869) without salt.
pub(super) fn derive(secret: &[u8], info: &[&[u8]]) -> Result<Secret, CipherError> {
    let key = Salt::new(HKDF_SHA256, &[]).extract(secret);
    let mut out = Secret::default();
    key.expand(info, HKDF_SHA256)
        .and_then(|expanded| expanded.fill(out.as_mut_slice()))
        .map_err(|_| CipherError::Library)?;
    Ok(out)
}

fn bound(purpose: &[u8], to: &[u8]) -> Aad<Vec<u8>> {
    let mut out = purpose.to_vec();
    out.push(0);
    out.extend_from_slice(to);
    Aad::from(out)
}

fn key(secret: &Secret) -> Result<LessSafeKey, CipherError> {
    UnboundKey::new(&AES_256_GCM, secret.as_slice())
        .map(LessSafeKey::new)
        .map_err(|_| CipherError::Library)
}

/// Encrypts in place and appends the tag. The key must be used for this once.
pub(super) fn encrypt(
    secret: &Secret,
    purpose: &[u8],
    to: &[u8],
    bytes: &mut Vec<u8>,
) -> Result<(), CipherError> {
    key(secret)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key([0; 12]),
            bound(purpose, to),
            bytes,
        )
        .map_err(|_| CipherError::Library)
}

/// Decrypts what [`encrypt`] made.
pub(super) fn decrypt(
    secret: &Secret,
    purpose: &[u8],
    to: &[u8],
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CipherError> {
    let mut out = Zeroizing::new(bytes.to_vec());
    let length = key(secret)?
        .open_in_place(
            Nonce::assume_unique_for_key([0; 12]),
            bound(purpose, to),
            &mut out,
        )
        .map_err(|_| CipherError::Refused)?
        .len();
    out.truncate(length);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{KeyId, SubjectId};

    fn pair(subject: u8, hour: u8) -> KeyPair {
        KeyPair {
            subject: SubjectId([1; 16]),
            id: KeyId([2; 8]),
            hour: 7,
            subject_key: Secret::from([subject; 32]),
            hour_key: Secret::from([hour; 32]),
        }
    }

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    const ONE: &str = "018f0000-0000-7000-8000-000000000001";
    const TWO: &str = "018f0000-0000-7000-8000-000000000002";

    #[test]
    fn only_both_keys_open_it_and_only_for_its_record() {
        let sealed = seal(&pair(1, 1), &id(ONE), b"text").unwrap();
        assert_eq!(
            open(&pair(1, 1), &id(ONE), &sealed).unwrap().as_slice(),
            b"text"
        );
        for (keys, record) in [(pair(2, 1), ONE), (pair(1, 2), ONE), (pair(1, 1), TWO)] {
            assert_eq!(open(&keys, &id(record), &sealed), Err(CipherError::Refused));
        }
    }

    #[test]
    fn every_changed_byte_is_seen() {
        let sealed = seal(&pair(1, 1), &id(ONE), b"text").unwrap();
        for at in 0..WRAPPED_BYTES {
            let mut changed = sealed.clone();
            changed.wrapped[at] ^= 1;
            assert!(open(&pair(1, 1), &id(ONE), &changed).is_err());
        }
        for at in 0..sealed.sealed.len() {
            let mut changed = sealed.clone();
            changed.sealed[at] ^= 1;
            assert!(open(&pair(1, 1), &id(ONE), &changed).is_err());
        }
    }

    #[test]
    fn the_same_text_never_looks_the_same() {
        let one = seal(&pair(1, 1), &id(ONE), b"text").unwrap();
        let again = seal(&pair(1, 1), &id(ONE), b"text").unwrap();
        assert_ne!(one.sealed, again.sealed);
        assert_ne!(one.wrapped, again.wrapped);
        assert_eq!(one.sealed.len(), 4 + 16);
    }
}
