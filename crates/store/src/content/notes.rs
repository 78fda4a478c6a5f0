//! Attachments of the records that seal an erasure or a run of retention: what is changed in the same commit.

use serde::{Deserialize, Serialize};

use super::{KeyId, SubjectId};

/// First bytes of the encodings.
const ERASURE: u8 = b'X';
const RETENTION: u8 = b'R';

/// Bytes that are no such note.
#[derive(Debug, thiserror::Error)]
#[error("not an erasure or a run of retention: {0}")]
pub struct NotANote(String);

/// What an erasure does to the tables, beside the key that is destroyed afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// Keys that are to be destroyed: kept, so that the next start finishes what a crash interrupted.
    pub keys: Vec<([u8; 16], [u8; 8])>,
    /// Tenant of the names below.
    pub tenant: String,
    /// Users whose rows of spend lose the name.
    pub users: Vec<String>,
    /// Pseudonyms of end users whose rows of spend lose them.
    pub end_users: Vec<String>,
    /// Accounts that are gone: the archive and the audit log lose what they said, and the id becomes the second text.
    pub accounts: Vec<(String, String)>,
}

/// What a run of retention leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Hours before this one have no key any more.
    pub floor: i64,
    /// The time that the run believed, microseconds since the Unix epoch.
    pub believed: i64,
}

impl Erasure {
    /// The keys with their types.
    pub fn keys(&self) -> impl Iterator<Item = (SubjectId, KeyId)> + '_ {
        self.keys
            .iter()
            .map(|(subject, key)| (SubjectId(*subject), KeyId(*key)))
    }

    /// The attachment's bytes.
    ///
    /// # Errors
    /// When JSON cannot be made of it.
    pub fn encode(&self) -> Result<Vec<u8>, NotANote> {
        encode(ERASURE, self)
    }

    /// Whether an attachment is one.
    #[must_use]
    pub fn is_erasure(bytes: &[u8]) -> bool {
        bytes.first() == Some(&ERASURE)
    }

    /// Reads what [`Erasure::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Erasure, NotANote> {
        decode(ERASURE, bytes)
    }
}

impl Retention {
    /// The attachment's bytes.
    ///
    /// # Errors
    /// When JSON cannot be made of it.
    pub fn encode(&self) -> Result<Vec<u8>, NotANote> {
        encode(RETENTION, self)
    }

    /// Whether an attachment is one.
    #[must_use]
    pub fn is_retention(bytes: &[u8]) -> bool {
        bytes.first() == Some(&RETENTION)
    }

    /// Reads what [`Retention::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Retention, NotANote> {
        decode(RETENTION, bytes)
    }
}

fn encode(tag: u8, note: &impl Serialize) -> Result<Vec<u8>, NotANote> {
    let mut out = vec![tag];
    serde_json::to_writer(&mut out, note).map_err(|error| NotANote(error.to_string()))?;
    Ok(out)
}

fn decode<'a, T: Deserialize<'a>>(tag: u8, bytes: &'a [u8]) -> Result<T, NotANote> {
    let body = bytes
        .strip_prefix(&[tag])
        .ok_or_else(|| NotANote("unknown first byte".to_owned()))?;
    serde_json::from_slice(body).map_err(|error| NotANote(error.to_string()))
}
