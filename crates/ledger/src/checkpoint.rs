//! Signed checkpoints: the C2SP tlog-checkpoint body in a C2SP signed note, Ed25519.
//!
//! The origin, which is also the key's name, is `sealgate/<ledger id>`, with `/<tenant>` after it for
//! a tenant's chain, so that a checkpoint of one ledger says nothing about another.

use base64::{Engine, prelude::BASE64_STANDARD};
use capsule::{Id, PublicKey, Signer};
use sha2::{Digest, Sha256};

use crate::{journal::Chain, tree::NodeHash};

/// Signature type byte of Ed25519 in key ids and verifier keys.
const ED25519: u8 = 1;

/// Number of leaves and root of a tree, and the signed note that says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Which ledger and chain.
    pub origin: String,
    /// Number of records.
    pub size: u64,
    /// RFC 6962 root over them.
    pub root: NodeHash,
    /// The whole signed note.
    pub note: String,
}

/// Why a note is not an acceptable checkpoint.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// Not of the form that C2SP describes.
    #[error("not a signed checkpoint: {0}")]
    Malformed(&'static str),
    /// Another ledger's.
    #[error("the checkpoint is of {found:?}, not of {expected:?}")]
    Origin {
        /// What the note says.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// No signature by the checkpoint key.
    #[error("the checkpoint carries no signature by the key {0}")]
    NotSigned(String),
    /// A signature that claims to be by the checkpoint key and is not.
    #[error("the checkpoint's signature by the key {0} is wrong")]
    BadSignature(String),
    /// The signer failed.
    #[error("signing the checkpoint: {0}")]
    Sign(String),
}

/// The origin line of a ledger's chain.
#[must_use]
pub fn origin(ledger: &Id, chain: &Chain) -> String {
    if chain.tenant().is_empty() {
        format!("sealgate/{ledger}")
    } else {
        format!("sealgate/{ledger}/{chain}")
    }
}

/// The verifier key text of C2SP signed-note: `<name>+<key id>+<base64>`.
#[must_use]
pub fn verifier_key(origin: &str, key: &PublicKey) -> String {
    let id = u32::from_be_bytes(key_id(origin, key));
    let mut bytes = vec![ED25519];
    bytes.extend_from_slice(key.as_bytes());
    format!("{origin}+{id:08x}+{}", BASE64_STANDARD.encode(bytes))
}

impl Checkpoint {
    /// Signs a checkpoint.
    ///
    /// # Errors
    /// When the signer fails.
    pub fn sign(
        origin: String,
        size: u64,
        root: NodeHash,
        signer: &dyn Signer,
    ) -> Result<Checkpoint, NoteError> {
        let body = format!("{origin}\n{size}\n{}\n", BASE64_STANDARD.encode(root.0));
        let signature = signer
            .sign(body.as_bytes())
            .map_err(|error| NoteError::Sign(error.to_string()))?;
        let mut bytes = key_id(&origin, &signer.public_key()).to_vec();
        bytes.extend_from_slice(&signature);
        let note = format!(
            "{body}\n\u{2014} {origin} {}\n",
            BASE64_STANDARD.encode(bytes)
        );
        Ok(Checkpoint {
            origin,
            size,
            root,
            note,
        })
    }

    /// Reads a note without looking at its signatures.
    ///
    /// # Errors
    /// When it is not a checkpoint in a signed note.
    pub fn parse(note: &str) -> Result<Checkpoint, NoteError> {
        let (body, _) = split(note)?;
        let mut lines = body.lines();
        let origin = lines.next().unwrap_or_default().to_owned();
        if origin.is_empty() || origin.contains(['+', ' ']) {
            return Err(NoteError::Malformed("no origin in the first line"));
        }
        let digits = lines.next().unwrap_or_default();
        let size: u64 = digits
            .parse()
            .map_err(|_| NoteError::Malformed("no size in the second line"))?;
        if size.to_string() != digits {
            return Err(NoteError::Malformed(
                "the size is not in shortest decimal form",
            ));
        }
        let root = BASE64_STANDARD
            .decode(lines.next().unwrap_or_default())
            .ok()
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .ok_or(NoteError::Malformed("no root hash in the third line"))?;
        Ok(Checkpoint {
            origin,
            size,
            root: NodeHash(root),
            note: note.to_owned(),
        })
    }

    /// Reads a note and checks origin and signature; signatures of other keys (witnesses) are ignored.
    ///
    /// # Errors
    /// When it is malformed, of another ledger, or not signed by `key`.
    pub fn verify(note: &str, origin: &str, key: &PublicKey) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::parse(note)?;
        if checkpoint.origin != origin {
            return Err(NoteError::Origin {
                found: checkpoint.origin,
                expected: origin.to_owned(),
            });
        }
        let (body, signatures) = split(note)?;
        let id = key_id(origin, key);
        let mut found = false;
        for line in signatures.lines() {
            let (name, bytes) = signature_line(line)?;
            let Some((claimed, signature)) = bytes.split_first_chunk::<4>() else {
                continue;
            };
            if name != origin || *claimed != id {
                continue;
            }
            if !verify_ed25519(key, body.as_bytes(), signature) {
                return Err(NoteError::BadSignature(key.fingerprint()));
            }
            found = true;
        }
        if found {
            Ok(checkpoint)
        } else {
            Err(NoteError::NotSigned(key.fingerprint()))
        }
    }

    /// `<size>:<first 16 hex digits of the root>`, the form that answers carry.
    #[must_use]
    pub fn header(&self) -> String {
        let root = self.root.hex();
        format!("{}:{}", self.size, root.get(..16).unwrap_or_default())
    }
}

/// Body (with its last newline) and signature lines.
fn split(note: &str) -> Result<(&str, &str), NoteError> {
    let at = note
        .rfind("\n\n")
        .ok_or(NoteError::Malformed("no empty line before the signatures"))?;
    let (body, rest) = note.split_at_checked(at + 1).unwrap_or_default();
    let signatures = rest.get(1..).unwrap_or_default();
    if !signatures.ends_with('\n') {
        return Err(NoteError::Malformed("the last line does not end"));
    }
    Ok((body, signatures))
}

fn signature_line(line: &str) -> Result<(&str, Vec<u8>), NoteError> {
    let malformed = NoteError::Malformed("a signature line is not \"\u{2014} name base64\"");
    let Some((name, text)) = line
        .strip_prefix("\u{2014} ")
        .and_then(|rest| rest.split_once(' '))
    else {
        return Err(malformed);
    };
    BASE64_STANDARD
        .decode(text)
        .map(|bytes| (name, bytes))
        .map_err(|_| malformed)
}

fn key_id(name: &str, key: &PublicKey) -> [u8; 4] {
    let mut sha = Sha256::new();
    sha.update(name.as_bytes());
    sha.update([b'\n', ED25519]);
    sha.update(key.as_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(sha.finalize());
    [a, b, c, d]
}

fn verify_ed25519(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = ed25519_dalek::VerifyingKey::from_bytes(key.as_bytes()) else {
        return false;
    };
    let Ok(signature) = ed25519_dalek::Signature::from_slice(signature) else {
        return false;
    };
    key.verify_strict(message, &signature).is_ok()
}
