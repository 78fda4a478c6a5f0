//! Verification of one record (Capsule Protocol 1.0, verification and the stored document).

mod agreement;
mod keys;
mod record;

use std::borrow::Cow;
use std::fmt;

use crate::hash::Hash;
use crate::hex;
use crate::key::PublicKey;
use crate::pq::PqPublicKey;

pub(crate) use agreement::read_uuid;
pub use keys::Keys;
pub use record::{ColumnMismatch, Columns, Record, RecordError, Seal};

/// Result codes, the words of the reference implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResultCode {
    /// The record is good.
    Ok,
    /// There is no hash.
    MissingHash,
    /// There is no signature.
    MissingSignature,
    /// The hash or the signature is not hexadecimal, or not of the right length.
    MalformedHex,
    /// The content is not what was hashed, or not in the form that the reference accepts.
    HashMismatch,
    /// The signature is not that of the key over the hash.
    InvalidSignature,
    /// The post-quantum signature is not good.
    PqVerificationFailed,
    /// There is a post-quantum signature and nothing to check it with.
    PqLibraryUnavailable,
    /// A post-quantum signature is required and missing.
    MissingPqSignature,
    /// Reserved by the protocol; never returned.
    UnsupportedAlgorithm,
}

impl ResultCode {
    /// The word of the reference.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ResultCode::Ok => "ok",
            ResultCode::MissingHash => "missing_hash",
            ResultCode::MissingSignature => "missing_signature",
            ResultCode::MalformedHex => "malformed_hex",
            ResultCode::HashMismatch => "hash_mismatch",
            ResultCode::InvalidSignature => "invalid_signature",
            ResultCode::PqVerificationFailed => "pq_verification_failed",
            ResultCode::PqLibraryUnavailable => "pq_library_unavailable",
            ResultCode::MissingPqSignature => "missing_pq_signature",
            ResultCode::UnsupportedAlgorithm => "unsupported_algorithm",
        }
    }
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What to do with post-quantum signatures (ML-DSA-65), which stand beside the others and which nothing covers.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum PostQuantum {
    /// They are not looked at.
    #[default]
    Ignore,
    /// Those that are there must be by this key: [`ResultCode::PqVerificationFailed`].
    IfPresent(PqPublicKey),
    /// And every record must have one: [`ResultCode::MissingPqSignature`].
    Require(PqPublicKey),
}

/// Why a record is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// The reference's result code; never [`ResultCode::Ok`].
    pub code: ResultCode,
    /// The reference's words.
    pub message: Cow<'static, str>,
    /// Set when everything that was checked is good (the hash by [`verify_content`], hash and signature
    /// by [`verify`]), and the reference refuses the record only for its form.
    pub normal_form: Option<Box<NotNormalForm>>,
}

impl Failure {
    fn new(code: ResultCode, message: &'static str) -> Failure {
        Failure {
            code,
            message: Cow::Borrowed(message),
            normal_form: None,
        }
    }
}

/// Where a document is not in the form in which the reference would write it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not in normal form at {path}: {reason}")]
pub struct NotNormalForm {
    /// The field, such as `trigger.timestamp`.
    pub path: String,
    /// What is unusual about it.
    pub reason: &'static str,
}

/// A record whose hash and signature are good and whose form is normal.
///
/// Only [`verify`] and [`verify_with`] make one:
///
/// ```compile_fail
/// fn forge(record: &capsule::verify::Record) -> capsule::verify::Verified<'_> {
///     capsule::verify::Verified { record, key: capsule::PublicKey::from_bytes([0; 32]) }
/// }
/// ```
///
/// It cannot be copied away from its record either:
///
/// ```compile_fail
/// fn twice<'a>(it: capsule::verify::Verified<'a>) -> [capsule::verify::Verified<'a>; 2] {
///     [it.clone(), it]
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Verified<'r> {
    record: &'r Record,
    key: PublicKey,
}

impl<'r> Verified<'r> {
    /// The record.
    #[must_use]
    pub fn record(&self) -> &'r Record {
        self.record
    }

    /// The key that signed it.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// Checks hash, form and signature.
///
/// # Errors
/// [`Failure`] with the reference's code for the first check that fails.
pub fn verify<'r>(record: &'r Record, keys: &Keys) -> Result<Verified<'r>, Failure> {
    verify_with(record, keys, &PostQuantum::Ignore)
}

/// As [`verify`], with a choice about post-quantum signatures.
///
/// # Errors
/// As [`verify`], and the codes that [`PostQuantum`] names.
pub fn verify_with<'r>(
    record: &'r Record,
    keys: &Keys,
    post_quantum: &PostQuantum,
) -> Result<Verified<'r>, Failure> {
    let seal = record.seal();
    if seal.hash.is_empty() {
        return Err(missing_hash());
    }
    if seal.signature.is_empty() {
        return Err(Failure::new(
            ResultCode::MissingSignature,
            "capsule has no signature field",
        ));
    }
    decode_hex::<32>(&seal.hash, "expected 32 bytes after decoding hex")?;
    let signature = decode_hex::<64>(&seal.signature, "expected 64 bytes after decoding hex")?;
    let hash = record.content_hash();
    let content = compare_content(record, &hash);
    if let Err(failure) = content
        && failure.normal_form.is_none()
    {
        return Err(failure);
    }
    let key = check_signature(keys, &seal.signed_by, &hash, &signature);
    match (compare_content(record, &hash), key) {
        (Ok(()), Ok(key)) => {
            check_post_quantum(seal, post_quantum)?;
            Ok(Verified { record, key })
        }
        (Ok(()), Err(failure)) => Err(failure),
        (Err(failure), Ok(_)) => Err(failure),
        (Err(failure), Err(_)) => Err(Failure {
            normal_form: None,
            ..failure
        }),
    }
}

/// Checks hash and form, not the signature: whoever can write the record can make it pass.
///
/// # Errors
/// [`Failure`] with the reference's code.
pub fn verify_content(record: &Record) -> Result<(), Failure> {
    let seal = record.seal();
    if seal.hash.is_empty() {
        return Err(missing_hash());
    }
    decode_hex::<32>(&seal.hash, "expected 32 bytes after decoding hex")?;
    compare_content(record, &record.content_hash())
}

fn missing_hash() -> Failure {
    Failure::new(ResultCode::MissingHash, "capsule has no hash field")
}

fn decode_hex<const N: usize>(text: &str, length: &'static str) -> Result<[u8; N], Failure> {
    // The usual spelling first: it needs no buffer.
    if let Some(bytes) = hex::decode(text.as_bytes()) {
        return Ok(bytes);
    }
    let bytes = hex::decode_python(text)
        .ok_or_else(|| Failure::new(ResultCode::MalformedHex, "value is not valid hexadecimal"))?;
    bytes
        .try_into()
        .map_err(|_| Failure::new(ResultCode::MalformedHex, length))
}

fn compare_content(record: &Record, hash: &Hash) -> Result<(), Failure> {
    // The stored hash counts as text: upper case is a difference.
    let same = hash.to_ascii() == record.seal().hash.as_bytes();
    match (record.not_normal_form(), same) {
        (None, true) => Ok(()),
        (None, false) => Err(Failure::new(
            ResultCode::HashMismatch,
            "recomputed hash does not match stored hash",
        )),
        (Some(form), same) => Err(Failure {
            normal_form: same.then(|| Box::new(form.clone())),
            ..Failure::new(
                ResultCode::HashMismatch,
                "capsule content was changed after it was loaded from storage",
            )
        }),
    }
}

fn check_signature(
    keys: &Keys,
    signed_by: &str,
    hash: &Hash,
    signature: &[u8; 64],
) -> Result<PublicKey, Failure> {
    keys.resolve(signed_by)
        .filter(|key| key.check(&hash.to_ascii(), signature))
        .map(|key| key.public_key())
        .ok_or_else(|| {
            Failure::new(
                ResultCode::InvalidSignature,
                "Ed25519 signature verification failed",
            )
        })
}

/// Checks the post-quantum signature over the stored hash, and nothing else of the record.
///
/// # Errors
/// [`Failure`] with [`ResultCode::MissingPqSignature`] or [`ResultCode::PqVerificationFailed`].
pub fn check_post_quantum(seal: &Seal, choice: &PostQuantum) -> Result<(), Failure> {
    let (key, required) = match choice {
        PostQuantum::Ignore => return Ok(()),
        PostQuantum::IfPresent(key) => (key, false),
        PostQuantum::Require(key) => (key, true),
    };
    if seal.signature_pq.is_empty() {
        return match required {
            false => Ok(()),
            true => Err(Failure::new(
                ResultCode::MissingPqSignature,
                "capsule has no post-quantum signature",
            )),
        };
    }
    let good = hex::decode_python(&seal.signature_pq)
        .is_some_and(|signature| key.verify(seal.hash.as_bytes(), &signature));
    match good {
        true => Ok(()),
        false => Err(Failure::new(
            ResultCode::PqVerificationFailed,
            "ML-DSA-65 signature verification failed",
        )),
    }
}
