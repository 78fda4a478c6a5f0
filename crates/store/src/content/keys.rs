//! Keys of subjects and hours: stored wrapped under a key that lies in a file of its own, made on demand, destroyed for good.

use zeroize::Zeroizing;

use super::cipher::{CipherError, decrypt, derive, encrypt, random};
use super::{KeyId, SubjectId, WRAPPED_BYTES};
use crate::keys::Secret;

/// A key as a table holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredKey {
    /// Its public name.
    pub id: KeyId,
    /// The key under the file's key.
    pub wrapped: [u8; WRAPPED_BYTES],
}

/// A table of keys that failed.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The table.
    #[error("the table of content keys: {0}")]
    Table(String),
    /// A key that the file's key does not open: the file was exchanged, or the row was.
    #[error("a stored content key does not belong to the key file")]
    Foreign,
    /// The library.
    #[error(transparent)]
    Cipher(#[from] CipherError),
}

/// Where wrapped keys are kept. Each call is one durable transaction.
///
/// Contract for implementers: `obtain` never replaces a key that is there, whoever else makes one at the same time; after
/// `destroy_*` the bytes of the key are in no file of the table once `scrub` has answered true. A table on a database server
/// cannot speak for the server's log, its standbys and its backups.
pub trait KeyTable: Send + std::fmt::Debug {
    /// The keys in force of these subjects and this hour, in their order: the stored ones, else the given ones, stored now.
    ///
    /// # Errors
    /// When they cannot be read or made durable.
    fn obtain(
        &mut self,
        subjects: &[(SubjectId, StoredKey)],
        hour: (i64, StoredKey),
        now: i64,
    ) -> Result<(Vec<StoredKey>, StoredKey), KeysError>;
    /// The key of a subject; `None` when it has none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn subject(&mut self, subject: &SubjectId) -> Result<Option<StoredKey>, KeysError>;
    /// The key of an hour; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn hour(&mut self, hour: i64) -> Result<Option<StoredKey>, KeysError>;
    /// The oldest hour with a key.
    ///
    /// # Errors
    /// When it cannot be read.
    fn oldest_hour(&mut self) -> Result<Option<i64>, KeysError>;
    /// Destroys a subject's key of this name; false when it is not there.
    ///
    /// # Errors
    /// When it cannot be made durable.
    fn destroy_subject(&mut self, subject: &SubjectId, id: &KeyId) -> Result<bool, KeysError>;
    /// Destroys the keys of all hours before this one; how many there were.
    ///
    /// # Errors
    /// When it cannot be made durable.
    fn destroy_hours(&mut self, before: i64) -> Result<u64, KeysError>;
    /// Removes what destroyed keys left in logs and free pages; false when a reader keeps them and it must be tried again.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn scrub(&mut self) -> Result<bool, KeysError>;
    /// Whether other processes make and destroy keys of this table too, so that what was read is not known for long.
    fn is_shared(&self) -> bool {
        false
    }
}

/// The opened key of a subject.
#[derive(Clone)]
pub struct SubjectKey {
    /// Its public name.
    pub id: KeyId,
    /// The key.
    pub secret: Secret,
}

/// The two keys that content of one subject in one hour needs.
#[derive(Clone)]
pub struct KeyPair {
    /// Whose.
    pub subject: SubjectId,
    /// Name of the subject's key.
    pub id: KeyId,
    /// Which hour.
    pub hour: i64,
    /// The subject's key.
    pub subject_key: Secret,
    /// The hour's key.
    pub hour_key: Secret,
}

impl std::fmt::Debug for KeyPair {
    /// Without the keys.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "KeyPair({}, hour {})", self.id.hex(), self.hour)
    }
}

impl KeyPair {
    /// A secret of the subject for another purpose, such as keyed digests.
    ///
    /// # Errors
    /// When the library fails.
    pub fn derive(&self, purpose: &[u8]) -> Result<Secret, CipherError> {
        derive(self.subject_key.as_slice(), &[purpose])
    }
}

/// A name of a key that wraps, from which nothing about the key follows.
pub(crate) fn name_of(key: &Secret) -> Result<[u8; 32], CipherError> {
    Ok(*derive(
        key.as_slice(),
        &[b"sealgate name of a wrapping key 1"],
    )?)
}

/// A table of keys with the key that wraps them.
#[derive(Debug)]
pub struct ContentKeys {
    table: Box<dyn KeyTable>,
    wrapping: Hidden,
}

struct Hidden(Secret);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("..")
    }
}

impl ContentKeys {
    /// A table whose keys are wrapped under `key`.
    #[must_use]
    pub fn new(table: Box<dyn KeyTable>, key: Secret) -> ContentKeys {
        ContentKeys {
            table,
            wrapping: Hidden(key),
        }
    }

    /// The keys of subjects in an hour, made where there are none. Durable when this returns.
    ///
    /// # Errors
    /// [`KeysError`]; content that cannot be kept must not be taken for kept.
    pub fn obtain(
        &mut self,
        subjects: &[SubjectId],
        hour: i64,
        now: i64,
    ) -> Result<Vec<KeyPair>, KeysError> {
        let mut fresh = Vec::with_capacity(subjects.len());
        for subject in subjects {
            fresh.push((*subject, self.fresh(&subject.0)?));
        }
        let new_hour = self.fresh(&hour.to_be_bytes())?;
        let (stored, stored_hour) = self.table.obtain(&fresh, (hour, new_hour), now)?;
        let hour_key = self.unwrap(&hour.to_be_bytes(), &stored_hour)?;
        let mut out = Vec::with_capacity(stored.len());
        for (subject, stored) in subjects.iter().zip(&stored) {
            out.push(KeyPair {
                subject: *subject,
                id: stored.id,
                hour,
                subject_key: self.unwrap(&subject.0, stored)?,
                hour_key: hour_key.clone(),
            });
        }
        Ok(out)
    }

    /// The key of a subject, for reading; none is made.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn subject(&mut self, subject: &SubjectId) -> Result<Option<SubjectKey>, KeysError> {
        let Some(stored) = self.table.subject(subject)? else {
            return Ok(None);
        };
        let secret = self.unwrap(&subject.0, &stored)?;
        Ok(Some(SubjectKey {
            id: stored.id,
            secret,
        }))
    }

    /// The key of an hour, for reading; none is made.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn hour(&mut self, hour: i64) -> Result<Option<Secret>, KeysError> {
        let stored = self.table.hour(hour)?;
        stored
            .map(|stored| self.unwrap(&hour.to_be_bytes(), &stored))
            .transpose()
    }

    /// The oldest hour with a key.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn oldest_hour(&mut self) -> Result<Option<i64>, KeysError> {
        self.table.oldest_hour()
    }

    /// Whether other processes destroy keys too, so that none may be remembered for long.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        self.table.is_shared()
    }

    /// Destroys a subject's key of this name; false when it is gone already.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn destroy_subject(&mut self, subject: &SubjectId, id: &KeyId) -> Result<bool, KeysError> {
        self.table.destroy_subject(subject, id)
    }

    /// Destroys the keys of all hours before this one; how many there were.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn destroy_hours(&mut self, before: i64) -> Result<u64, KeysError> {
        self.table.destroy_hours(before)
    }

    /// Removes what destroyed keys left behind in files; false when it must be tried again.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn scrub(&mut self) -> Result<bool, KeysError> {
        self.table.scrub()
    }

    /// A new key with a random name. The name is part of what the wrapping key is derived from, so that no wrapping key is
    /// used twice, not even when the key of an hour is made again.
    fn fresh(&self, of: &[u8]) -> Result<StoredKey, KeysError> {
        let (name, secret) = (random()?, random()?);
        let id = KeyId(*name.first_chunk::<8>().ok_or(CipherError::Library)?);
        let mut bytes = Zeroizing::new(secret.to_vec());
        encrypt(&self.wrapper(of, &id)?, b"stored key", of, &mut bytes)?;
        let wrapped =
            <[u8; WRAPPED_BYTES]>::try_from(bytes.as_slice()).map_err(|_| CipherError::Library)?;
        Ok(StoredKey { id, wrapped })
    }

    fn unwrap(&self, of: &[u8], stored: &StoredKey) -> Result<Secret, KeysError> {
        let bytes = decrypt(
            &self.wrapper(of, &stored.id)?,
            b"stored key",
            of,
            &stored.wrapped,
        )
        .map_err(|_| KeysError::Foreign)?;
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| KeysError::Foreign)?;
        Ok(Secret::from(key))
    }

    fn wrapper(&self, of: &[u8], id: &KeyId) -> Result<Secret, CipherError> {
        derive(
            self.wrapping.0.as_slice(),
            &[b"sealgate stored key 1", of, &id.0],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryTable;
    use super::*;

    fn keys(table: &MemoryTable, key: u8) -> ContentKeys {
        ContentKeys::new(Box::new(table.clone()), Secret::from([key; 32]))
    }

    const ANNA: SubjectId = SubjectId([1; 16]);

    #[test]
    fn a_key_is_made_once_and_gone_for_good() {
        let table = MemoryTable::default();
        let mut one = keys(&table, 1);
        let made = one.obtain(&[ANNA, ANNA], 5, 0).unwrap();
        assert_eq!(made[0].subject_key, made[1].subject_key);
        let again = keys(&table, 1).obtain(&[ANNA], 6, 0).unwrap();
        assert_eq!(again[0].subject_key, made[0].subject_key);
        assert_ne!(again[0].hour_key, made[0].hour_key);
        assert!(one.destroy_subject(&ANNA, &made[0].id).unwrap());
        assert!(!one.destroy_subject(&ANNA, &made[0].id).unwrap());
        assert!(one.subject(&ANNA).unwrap().is_none());
        let new = one.obtain(&[ANNA], 6, 0).unwrap();
        assert_ne!(new[0].subject_key, made[0].subject_key);
        // Destroying by the old name leaves the new key alone.
        assert!(!one.destroy_subject(&ANNA, &made[0].id).unwrap());
        assert!(one.subject(&ANNA).unwrap().is_some());
    }

    #[test]
    fn hours_end_together() {
        let table = MemoryTable::default();
        let mut keys = keys(&table, 1);
        for hour in 3..7 {
            keys.obtain(&[ANNA], hour, 0).unwrap();
        }
        assert_eq!(keys.oldest_hour().unwrap(), Some(3));
        assert_eq!(keys.destroy_hours(5).unwrap(), 2);
        assert_eq!(keys.oldest_hour().unwrap(), Some(5));
        assert!(keys.hour(4).unwrap().is_none() && keys.hour(5).unwrap().is_some());
    }

    #[test]
    fn another_key_file_opens_nothing() {
        let table = MemoryTable::default();
        keys(&table, 1).obtain(&[ANNA], 5, 0).unwrap();
        assert!(matches!(
            keys(&table, 2).subject(&ANNA),
            Err(KeysError::Foreign)
        ));
        assert!(matches!(keys(&table, 2).hour(5), Err(KeysError::Foreign)));
    }
}
