//! The table of content keys that all instances share: what one destroys is gone for all of them at once.

use std::time::Duration;

use tokio_postgres::{Row, types::ToSql};

use super::link::{Link, Use};
use super::url::Target;
use super::{layout, rows::column};
use crate::content::{KeyId, KeyTable, KeysError, StoredKey, SubjectId};

/// How long an answer may take before the connection counts as lost.
const ANSWER: Duration = Duration::from_secs(8);

/// The tables in the database of the ledger.
pub struct PostgresKeyTable {
    target: Target,
    /// `None` between a loss and the next question.
    link: Option<Link>,
}

impl std::fmt::Debug for PostgresKeyTable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "PostgresKeyTable({})", self.target.place())
    }
}

fn table(error: impl std::fmt::Display) -> KeysError {
    KeysError::Table(error.to_string())
}

impl PostgresKeyTable {
    /// Opens the tables, and makes them where the layout of the ledger is older. `check` is a digest of the key that wraps:
    /// all instances have the same one.
    ///
    /// # Errors
    /// When the server does not answer; [`KeysError::Foreign`] when the keys there are wrapped under another key.
    pub fn open(target: &Target, check: &[u8; 32]) -> Result<PostgresKeyTable, KeysError> {
        let link = Link::open(target, Use::Write, ANSWER).map_err(table)?;
        let found = layout::found(&link, target).map_err(table)?;
        if found.is_none_or(|(layout, _)| layout < layout::LAYOUT) {
            layout::migrate(&link, target).map_err(table)?;
        }
        let mut keys = PostgresKeyTable {
            target: target.clone(),
            link: Some(link),
        };
        let sql = "INSERT INTO sealgate_content_wrapping (one, digest) VALUES (1, $1) ON CONFLICT DO NOTHING";
        keys.query(sql, &[&check.as_slice()])?;
        let sql = "SELECT digest FROM sealgate_content_wrapping";
        let there: Vec<u8> = one(&keys.query(sql, &[])?)?;
        match there == check {
            true => Ok(keys),
            false => Err(KeysError::Foreign),
        }
    }

    /// Takes over keys that one instance had for itself, with the time when those of subjects were made. Keys that are there
    /// stay; how many of the given ones are in force afterwards.
    ///
    /// # Errors
    /// When they cannot be stored; then none is.
    pub fn take_over(
        &mut self,
        subjects: &[(SubjectId, StoredKey, i64)],
        hours: &[(i64, StoredKey)],
    ) -> Result<u64, KeysError> {
        self.insert(subjects, hours)?;
        let keys: Vec<&[u8]> = subjects
            .iter()
            .map(|(_, key, _)| key.id.0.as_slice())
            .chain(hours.iter().map(|(_, key)| key.id.0.as_slice()))
            .collect();
        let sql = "SELECT (SELECT count(*) FROM sealgate_content_subjects WHERE key = ANY($1)) \
                   + (SELECT count(*) FROM sealgate_content_hours WHERE key = ANY($1))";
        let count: i64 = one(&self.query(sql, &[&keys])?)?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// One statement, so that it is done wholly or not at all.
    fn insert(
        &mut self,
        subjects: &[(SubjectId, StoredKey, i64)],
        hours: &[(i64, StoredKey)],
    ) -> Result<(), KeysError> {
        let names: Vec<&[u8]> = subjects
            .iter()
            .map(|(name, ..)| name.0.as_slice())
            .collect();
        let keys: Vec<&[u8]> = subjects
            .iter()
            .map(|(_, key, _)| key.id.0.as_slice())
            .collect();
        let wrapped: Vec<&[u8]> = subjects
            .iter()
            .map(|(_, key, _)| key.wrapped.as_slice())
            .collect();
        let made: Vec<i64> = subjects.iter().map(|(.., made)| *made).collect();
        let hour: Vec<i64> = hours.iter().map(|(hour, _)| *hour).collect();
        let hour_keys: Vec<&[u8]> = hours.iter().map(|(_, key)| key.id.0.as_slice()).collect();
        let hour_wrapped: Vec<&[u8]> = hours
            .iter()
            .map(|(_, key)| key.wrapped.as_slice())
            .collect();
        // In the order of the names, so that two instances never wait for each other.
        let sql = "WITH made AS (INSERT INTO sealgate_content_subjects (subject, key, wrapped, made_at) \
                   SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::int8[]) AS new(subject) ORDER BY subject \
                   ON CONFLICT DO NOTHING) \
                   INSERT INTO sealgate_content_hours (hour, key, wrapped) \
                   SELECT * FROM unnest($5::int8[], $6::bytea[], $7::bytea[]) AS new(hour) ORDER BY hour \
                   ON CONFLICT DO NOTHING";
        self.query(
            sql,
            &[
                &names,
                &keys,
                &wrapped,
                &made,
                &hour,
                &hour_keys,
                &hour_wrapped,
            ],
        )
        .map(drop)
    }

    fn find_all(
        &mut self,
        subjects: &[(SubjectId, StoredKey)],
        hour: i64,
    ) -> Result<Option<(Vec<StoredKey>, StoredKey)>, KeysError> {
        let Some(hour) = self.hour(hour)? else {
            return Ok(None);
        };
        let names: Vec<&[u8]> = subjects.iter().map(|(name, _)| name.0.as_slice()).collect();
        let sql =
            "SELECT key, wrapped, subject FROM sealgate_content_subjects WHERE subject = ANY($1)";
        let rows = self.query(sql, &[&names])?;
        let mut found = std::collections::HashMap::with_capacity(rows.len());
        for row in &rows {
            let subject: Vec<u8> = column(row, 2).map_err(table)?;
            found.insert(subject, stored(row)?);
        }
        let keys = subjects
            .iter()
            .map(|(name, _)| found.get(name.0.as_slice()).copied());
        Ok(keys.collect::<Option<Vec<_>>>().map(|keys| (keys, hour)))
    }

    /// Asks, and once more over a new connection when there is no answer. Every statement here may be repeated.
    fn query(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, KeysError> {
        let mut lost = false;
        loop {
            let link = match self.link.take() {
                Some(link) => link,
                None => Link::open(&self.target, Use::Write, ANSWER).map_err(table)?,
            };
            match link.run(link.client().query(sql, params)) {
                Ok(rows) => {
                    self.link = Some(link);
                    return Ok(rows);
                }
                Err(fault) if fault.code().is_some() && !link.client().is_closed() => {
                    self.link = Some(link);
                    return Err(table(fault.words()));
                }
                Err(fault) if lost => return Err(table(fault.words())),
                Err(_) => lost = true,
            }
        }
    }
}

fn one<T: tokio_postgres::types::FromSqlOwned>(rows: &[Row]) -> Result<T, KeysError> {
    let row = rows
        .first()
        .ok_or_else(|| table("no row where one must be"))?;
    column(row, 0).map_err(table)
}

/// A key in columns 0 and 1.
fn stored(row: &Row) -> Result<StoredKey, KeysError> {
    let (id, wrapped): (Vec<u8>, Vec<u8>) = (
        column(row, 0).map_err(table)?,
        column(row, 1).map_err(table)?,
    );
    let length = |_| table("a stored key has another length");
    Ok(StoredKey {
        id: KeyId(id.try_into().map_err(length)?),
        wrapped: wrapped.try_into().map_err(length)?,
    })
}

impl KeyTable for PostgresKeyTable {
    fn obtain(
        &mut self,
        subjects: &[(SubjectId, StoredKey)],
        hour: (i64, StoredKey),
        now: i64,
    ) -> Result<(Vec<StoredKey>, StoredKey), KeysError> {
        // Another instance may destroy a key between the two questions; then it is made again.
        for _ in 0..4 {
            if let Some(found) = self.find_all(subjects, hour.0)? {
                return Ok(found);
            }
            let new: Vec<_> = subjects
                .iter()
                .map(|(name, key)| (*name, *key, now))
                .collect();
            self.insert(&new, &[hour])?;
        }
        Err(table("a key was destroyed while it was made"))
    }

    fn subject(&mut self, subject: &SubjectId) -> Result<Option<StoredKey>, KeysError> {
        let sql = "SELECT key, wrapped FROM sealgate_content_subjects WHERE subject = $1";
        let rows = self.query(sql, &[&subject.0.as_slice()])?;
        rows.first().map(stored).transpose()
    }

    fn hour(&mut self, hour: i64) -> Result<Option<StoredKey>, KeysError> {
        let sql = "SELECT key, wrapped FROM sealgate_content_hours WHERE hour = $1";
        let rows = self.query(sql, &[&hour])?;
        rows.first().map(stored).transpose()
    }

    fn oldest_hour(&mut self) -> Result<Option<i64>, KeysError> {
        one(&self.query("SELECT min(hour) FROM sealgate_content_hours", &[])?)
    }

    fn destroy_subject(&mut self, subject: &SubjectId, id: &KeyId) -> Result<bool, KeysError> {
        let sql =
            "DELETE FROM sealgate_content_subjects WHERE subject = $1 AND key = $2 RETURNING 1";
        let rows = self.query(sql, &[&subject.0.as_slice(), &id.0.as_slice()])?;
        Ok(!rows.is_empty())
    }

    fn destroy_hours(&mut self, before: i64) -> Result<u64, KeysError> {
        let sql = "DELETE FROM sealgate_content_hours WHERE hour < $1 RETURNING 1";
        Ok(self.query(sql, &[&before])?.len() as u64)
    }

    /// Old versions of rows go; those of the server's log, of standbys and of backups are their owner's.
    fn scrub(&mut self) -> Result<bool, KeysError> {
        for sql in [
            "VACUUM sealgate_content_subjects",
            "VACUUM sealgate_content_hours",
        ] {
            self.query(sql, &[])?;
        }
        Ok(true)
    }

    fn is_shared(&self) -> bool {
        true
    }
}
