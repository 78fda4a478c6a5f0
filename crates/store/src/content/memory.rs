//! A table of keys in memory, for ledgers in memory. Clones share it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keys::{KeyTable, KeysError, StoredKey};
use super::{KeyId, SubjectId};

#[derive(Debug, Default)]
struct Rows {
    subjects: BTreeMap<SubjectId, StoredKey>,
    hours: BTreeMap<i64, StoredKey>,
}

/// The table.
#[derive(Clone, Debug, Default)]
pub struct MemoryTable(Arc<Mutex<Rows>>);

impl MemoryTable {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyTable for MemoryTable {
    fn obtain(
        &mut self,
        subjects: &[(SubjectId, StoredKey)],
        hour: (i64, StoredKey),
        _now: i64,
    ) -> Result<(Vec<StoredKey>, StoredKey), KeysError> {
        let mut rows = self.rows();
        let found = subjects
            .iter()
            .map(|(subject, key)| *rows.subjects.entry(*subject).or_insert(*key))
            .collect();
        Ok((found, *rows.hours.entry(hour.0).or_insert(hour.1)))
    }

    fn subject(&mut self, subject: &SubjectId) -> Result<Option<StoredKey>, KeysError> {
        Ok(self.rows().subjects.get(subject).copied())
    }

    fn hour(&mut self, hour: i64) -> Result<Option<StoredKey>, KeysError> {
        Ok(self.rows().hours.get(&hour).copied())
    }

    fn oldest_hour(&mut self) -> Result<Option<i64>, KeysError> {
        Ok(self.rows().hours.keys().next().copied())
    }

    fn destroy_subject(&mut self, subject: &SubjectId, id: &KeyId) -> Result<bool, KeysError> {
        let mut rows = self.rows();
        let there = rows.subjects.get(subject).is_some_and(|key| key.id == *id);
        if there {
            rows.subjects.remove(subject);
        }
        Ok(there)
    }

    fn destroy_hours(&mut self, before: i64) -> Result<u64, KeysError> {
        let mut rows = self.rows();
        let kept = rows.hours.split_off(&before);
        let gone = std::mem::replace(&mut rows.hours, kept);
        Ok(gone.len() as u64)
    }

    fn scrub(&mut self) -> Result<bool, KeysError> {
        Ok(true)
    }
}
