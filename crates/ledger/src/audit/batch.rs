//! Ed25519 signatures of many records at once.

use capsule::PublicKey;
use ed25519_dalek::{Signature, VerifyingKey, verify_batch};

/// How many signatures are checked in one equation: beyond this the gain is small.
const BATCH: usize = 64;

/// One signature to check.
#[derive(Clone, Debug)]
pub struct SignatureJob {
    /// What was signed: the 64 hex digits of a record's hash.
    pub message: [u8; 64],
    /// The signature.
    pub signature: [u8; 64],
    /// The key that must have made it.
    pub key: PublicKey,
}

/// Whether each of the signatures is good.
///
/// A batch is one equation with random weights, at less than half the cost; where it does not hold, each signature is
/// checked by itself under the strict rules. The equation differs from the strict rules for signatures with a part
/// of small order only, which nobody but the holder of the key can make.
#[must_use]
pub fn verify_signatures(jobs: &[SignatureJob]) -> Vec<bool> {
    jobs.chunks(BATCH).flat_map(verify_chunk).collect()
}

fn verify_chunk(jobs: &[SignatureJob]) -> Vec<bool> {
    let mut checkers: Vec<(PublicKey, Option<VerifyingKey>)> = Vec::new();
    for job in jobs {
        if !checkers.iter().any(|(key, _)| *key == job.key) {
            checkers.push((job.key, checker(&job.key)));
        }
    }
    let find = |key: &PublicKey| checkers.iter().find(|(known, _)| known == key)?.1;
    let keys: Option<Vec<VerifyingKey>> = jobs.iter().map(|job| find(&job.key)).collect();
    if let Some(keys) = keys
        && jobs.len() > 1
    {
        let messages: Vec<&[u8]> = jobs.iter().map(|job| job.message.as_slice()).collect();
        let signatures: Vec<Signature> = jobs
            .iter()
            .map(|job| Signature::from_bytes(&job.signature))
            .collect();
        if verify_batch(&messages, &signatures, &keys).is_ok() {
            return vec![true; jobs.len()];
        }
    }
    jobs.iter()
        .map(|job| {
            let signature = Signature::from_bytes(&job.signature);
            find(&job.key).is_some_and(|key| key.verify_strict(&job.message, &signature).is_ok())
        })
        .collect()
}

/// `None` when the bytes are no usable key: with a key of small order a signature proves nothing.
fn checker(key: &PublicKey) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(key.as_bytes())
        .ok()
        .filter(|key| !key.is_weak())
}

#[cfg(test)]
mod tests {
    use capsule::{Signer, SigningKey};

    use super::*;

    #[test]
    fn a_bad_signature_is_found_among_good_ones_whoever_signed_them() {
        let signers = [
            SigningKey::from_seed([1; 32]),
            SigningKey::from_seed([2; 32]),
        ];
        let mut jobs: Vec<SignatureJob> = (0..150_u8)
            .map(|number| {
                let signer = &signers[usize::from(number % 2)];
                let message = [number; 64];
                SignatureJob {
                    message,
                    signature: signer.sign(&message).unwrap(),
                    key: signer.public_key(),
                }
            })
            .collect();
        assert!(verify_signatures(&jobs).into_iter().all(|good| good));
        jobs[70].signature[3] ^= 1;
        jobs[149].key = signers[0].public_key();
        jobs[3].key = PublicKey::from_bytes([0; 32]);
        let bad: Vec<usize> = verify_signatures(&jobs)
            .into_iter()
            .enumerate()
            .filter_map(|(at, good)| (!good).then_some(at))
            .collect();
        assert_eq!(bad, [3, 70, 149]);
        assert_eq!(verify_signatures(&[]), Vec::<bool>::new());
    }
}
