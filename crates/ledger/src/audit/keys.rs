//! Which key seals: the one that the genesis names, until a sealed rotation names the next.

use capsule::PublicKey;
use capsule::json::Value;
use ed25519_dalek::{Signature, VerifyingKey};

use super::damage::{Damage, Kind};
use super::facts::{Event, Facts};
use super::{SealCheck, about};

/// The bytes that the new key signs in a rotation record, so that nobody can be made heir of a ledger unknowingly:
/// `context.environment.new_key_signature`, 128 hex digits, beside `new_public_key`.
#[must_use]
pub fn rotation_message(ledger: &str, old: &PublicKey, new: &PublicKey, sequence: u64) -> Vec<u8> {
    format!(
        "sealgate key rotation\n{ledger}\n{}\n{}\n{sequence}\n",
        old.hex(),
        new.hex()
    )
    .into_bytes()
}

/// The keys of a ledger by their epochs.
#[derive(Debug, Default)]
pub(super) struct KeyHistory {
    current: Option<PublicKey>,
    /// The same, as far as signatures were checked from the genesis on.
    proven: Option<PublicKey>,
}

impl KeyHistory {
    /// The key that must seal the next record, where every change of it was sealed by the key before.
    pub(super) fn proven(&self) -> Option<PublicKey> {
        self.proven
    }

    /// Looks at the signer of a record, then at what the record says about keys.
    pub(super) fn check(
        &mut self,
        ledger: &str,
        facts: &Facts,
        seal: &SealCheck,
        found: &mut Vec<Damage>,
    ) {
        let event = facts
            .member
            .as_ref()
            .and_then(|member| member.event.as_deref());
        if let Some(event) =
            event.filter(|event| event.name == "genesis" && facts.sequence == Some(0))
        {
            self.current = key(&event.environment, "public_key");
            self.proven = self.current.filter(|key| seal.key == Some(*key));
            if self.current.is_none() {
                let message = "the genesis does not name the key of the ledger".to_owned();
                found.push(about(facts, Kind::UnknownKey, message));
            }
        }
        if let Some(message) = self.signer(facts, seal) {
            found.push(about(facts, Kind::UnknownKey, message));
        }
        if let Some(event) = event.filter(|event| event.name == "key_rotation")
            && let Err(message) = self.rotate(ledger, facts, event)
        {
            found.push(about(facts, Kind::UnknownKey, message));
        }
        if seal.key.is_none() || seal.key != self.proven {
            return;
        }
        if event.is_some_and(|event| event.name == "key_rotation") {
            self.proven = self.current;
        }
    }

    /// Why the signer of a record is not the ledger's.
    fn signer(&self, facts: &Facts, seal: &SealCheck) -> Option<String> {
        let (current, used) = (self.current?, seal.key?);
        if used != current {
            return Some(format!(
                "sealed by key {}; the key of the ledger at this place is {}",
                used.fingerprint(),
                current.fingerprint()
            ));
        }
        let named = facts.signed_by == current.fingerprint()
            || facts.signed_by == current.short_fingerprint();
        (!named).then(|| {
            format!(
                "labelled with a key that is not this ledger's; the signature is by {}",
                current.fingerprint()
            )
        })
    }

    fn rotate(&mut self, ledger: &str, facts: &Facts, event: &Event) -> Result<(), String> {
        let old = self.current.ok_or("the rotation follows no known key")?;
        let sequence = facts
            .sequence
            .ok_or("the rotation has no sequence number")?;
        let new = verify_rotation(ledger, &old, &event.environment, sequence)?;
        self.current = Some(new);
        Ok(())
    }
}

/// The key that a rotation record's `context.environment` names, where that key signed that it follows `old` in this
/// ledger at this sequence. Whether `old` sealed the record is for the caller to check.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn verify_rotation(
    ledger: &str,
    old: &PublicKey,
    environment: &Value,
    sequence: u64,
) -> Result<PublicKey, String> {
    let new = key(environment, "new_public_key").ok_or("the rotation names no new key")?;
    let signature = environment
        .get("new_key_signature")
        .and_then(Value::as_str)
        .and_then(signature)
        .ok_or("the rotation is not signed by the new key")?;
    let message = rotation_message(ledger, old, &new, sequence);
    let good = VerifyingKey::from_bytes(new.as_bytes())
        .is_ok_and(|key| key.verify_strict(&message, &signature).is_ok());
    if !good {
        return Err("the new key did not sign the rotation".to_owned());
    }
    Ok(new)
}

fn key(environment: &Value, name: &str) -> Option<PublicKey> {
    let text = environment.get(name)?.as_str()?;
    PublicKey::from_hex(text).ok()
}

fn signature(text: &str) -> Option<Signature> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 64 || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; 64];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Signature::from_bytes(&bytes))
}
