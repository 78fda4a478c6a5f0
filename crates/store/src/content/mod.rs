//! Texts of calls, kept apart from the records: encrypted under a key per record, which a key of the subject and a key of the
//! hour wrap. The record holds a commitment only, so that destroying a key erases the text and changes no record.

mod cipher;
mod keys;
mod memory;
mod notes;

use capsule::{Hash, Id};

pub use cipher::{CipherError, open, seal};
pub(crate) use keys::name_of;
pub use keys::{ContentKeys, KeyPair, KeyTable, KeysError, StoredKey, SubjectKey};
pub use memory::MemoryTable;
pub use notes::{Erasure, NotANote, Retention};

/// First byte of an attachment that holds content before the row of spend.
const TAG: u8 = b'C';

/// Microseconds of the time that shares one key.
const HOUR: i64 = 3_600_000_000;

/// Bytes of a wrapped content key: the key and the tag.
pub const WRAPPED_BYTES: usize = 48;

/// The hour of an instant, counted from the Unix epoch. Content of one hour ends together.
#[must_use]
pub fn hour_of(micros: i64) -> i64 {
    micros.div_euclid(HOUR)
}

/// Whose content it is: a keyed digest, made where the name is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SubjectId(pub [u8; 16]);

/// The public name of a subject's key. A subject that comes back after its erasure gets a key of another name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct KeyId(pub [u8; 8]);

impl SubjectId {
    /// In the form of a UUID, as records name it.
    #[must_use]
    pub fn uuid(&self) -> String {
        let mut out = hex(&self.0);
        for at in [20, 16, 12, 8] {
            out.insert(at, '-');
        }
        out
    }
}

impl KeyId {
    /// 16 hexadecimal characters.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 2 + 4);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _written = write!(out, "{byte:02x}");
    }
    out
}

/// The content of one record as it is stored: one row, in the commit of the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// Whose it is.
    pub subject: SubjectId,
    /// The subject's key that it needs.
    pub key: KeyId,
    /// The hour whose key it needs.
    pub hour: i64,
    /// The content key, wrapped.
    pub wrapped: [u8; WRAPPED_BYTES],
    /// The ciphertext with its tag.
    pub sealed: Vec<u8>,
}

/// Bytes that are not content.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not the content of a record: {0}")]
pub struct NotContent(&'static str);

impl Content {
    /// What the record holds: SHA3-256 over a label, the subject, the hour (big-endian) and the ciphertext. Whoever has the
    /// row can compare; nobody learns the text from it, and the wrapping may be renewed.
    #[must_use]
    pub fn commitment(&self) -> Hash {
        let mut bytes = Vec::with_capacity(64 + self.sealed.len());
        bytes.extend_from_slice(b"sealgate content 1\n");
        bytes.extend_from_slice(&self.subject.0);
        bytes.extend_from_slice(&self.hour.to_be_bytes());
        bytes.extend_from_slice(&self.sealed);
        Hash::of(&bytes)
    }

    /// An attachment with this content before the bytes of a row of spend.
    #[must_use]
    pub fn attach(&self, spend: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(96 + self.sealed.len() + spend.len());
        out.push(TAG);
        out.extend_from_slice(&self.subject.0);
        out.extend_from_slice(&self.key.0);
        out.extend_from_slice(&self.hour.to_be_bytes());
        out.extend_from_slice(&self.wrapped);
        // Content is cut to a few thousand characters long before this matters.
        let length = u32::try_from(self.sealed.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.sealed);
        out.extend_from_slice(spend);
        out
    }
}

/// The content in an attachment, if it has some, and the bytes of the row of spend.
///
/// # Errors
/// When it begins like content and is cut.
pub fn split(attachment: &[u8]) -> Result<(Option<Content>, &[u8]), NotContent> {
    let Some(mut rest) = attachment.strip_prefix(&[TAG]) else {
        return Ok((None, attachment));
    };
    let subject = SubjectId(take(&mut rest)?);
    let key = KeyId(take(&mut rest)?);
    let hour = i64::from_be_bytes(take(&mut rest)?);
    let wrapped = take(&mut rest)?;
    let length = u32::from_be_bytes(take(&mut rest)?) as usize;
    let (sealed, spend) = rest.split_at_checked(length).ok_or(NotContent("cut"))?;
    let content = Content {
        subject,
        key,
        hour,
        wrapped,
        sealed: sealed.to_vec(),
    };
    Ok((Some(content), spend))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], NotContent> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(NotContent("cut"))?;
    *rest = tail;
    Ok(*head)
}

/// The bytes of an id, for what is bound to a record.
pub(crate) fn id_bytes(id: &Id) -> [u8; 36] {
    let text = id.to_string();
    let mut out = [0; 36];
    for (to, from) in out.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            subject: SubjectId([1; 16]),
            key: KeyId([2; 8]),
            hour: 490_000,
            wrapped: [3; WRAPPED_BYTES],
            sealed: b"ciphertext".to_vec(),
        }
    }

    #[test]
    fn an_attachment_comes_apart_again() {
        let attachment = content().attach(b"spend");
        assert_eq!(split(&attachment), Ok((Some(content()), &b"spend"[..])));
        assert_eq!(split(b"\x02plain"), Ok((None, &b"\x02plain"[..])));
        for cut in 1..attachment.len() - b"spend".len() {
            assert!(split(&attachment[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn the_commitment_binds_subject_hour_and_ciphertext_and_not_the_wrapping() {
        let whole = content().commitment();
        let changed = [
            Content {
                subject: SubjectId([9; 16]),
                ..content()
            },
            Content {
                hour: 1,
                ..content()
            },
            Content {
                sealed: b"ciphertexT".to_vec(),
                ..content()
            },
        ];
        for other in changed {
            assert_ne!(other.commitment(), whole);
        }
        let rewrapped = Content {
            wrapped: [0; WRAPPED_BYTES],
            key: KeyId([7; 8]),
            ..content()
        };
        assert_eq!(rewrapped.commitment(), whole);
    }

    #[test]
    fn hours_go_on_before_the_epoch() {
        assert_eq!((hour_of(0), hour_of(HOUR - 1), hour_of(-1)), (0, 0, -1));
    }
}
