//! The table of content keys in a file of its own, apart from the ledger and its backups. What is deleted is overwritten, and
//! the log is emptied afterwards, so that a destroyed key is in no file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::content::{KeyId, KeyTable, KeysError, StoredKey, SubjectId};

/// The first page of a file that we made says so.
const APPLICATION_ID: i64 = 0x5347_4b31;

/// How long to wait for another process, such as the command line.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE subjects (
    subject BLOB NOT NULL PRIMARY KEY,
    key BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    made_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE hours (
    hour INTEGER NOT NULL PRIMARY KEY,
    key BLOB NOT NULL,
    wrapped BLOB NOT NULL
);
";

/// The file.
#[derive(Debug)]
pub struct SqliteKeyTable {
    connection: Connection,
}

fn table(error: impl std::fmt::Display) -> KeysError {
    KeysError::Table(error.to_string())
}

impl SqliteKeyTable {
    /// Opens the file, or makes it (readable by its owner only).
    ///
    /// # Errors
    /// When it cannot be made, is not ours, or would not be durable.
    pub fn open(path: impl Into<PathBuf>) -> Result<SqliteKeyTable, KeysError> {
        let path = path.into();
        let is_new = !path.try_exists().map_err(table)?;
        if is_new {
            crate::disk::create_private(&path, b"").map_err(table)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(table)?;
        connection.busy_timeout(BUSY).map_err(table)?;
        let mut keys = SqliteKeyTable { connection };
        keys.prepare(&path).map_err(table)??;
        Ok(keys)
    }

    fn prepare(&mut self, path: &Path) -> rusqlite::Result<Result<(), KeysError>> {
        let connection = &mut self.connection;
        connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if mode != "wal" {
            return Ok(Err(table(format!("journal mode {mode} is not durable"))));
        }
        let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if tables == 0 {
            let transaction = connection.transaction()?;
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.commit()?;
        } else if id != APPLICATION_ID {
            return Ok(Err(table(format!(
                "{} is no table of content keys",
                path.display()
            ))));
        }
        Ok(Ok(()))
    }

    /// Every key that is there, with the time when those of subjects were made.
    ///
    /// # Errors
    /// When they cannot be read.
    #[expect(clippy::type_complexity, reason = "two lists of rows")]
    pub fn all(
        &self,
    ) -> Result<(Vec<(SubjectId, StoredKey, i64)>, Vec<(i64, StoredKey)>), KeysError> {
        let rows = || {
            let mut statement = self
                .connection
                .prepare("SELECT key, wrapped, subject, made_at FROM subjects")?;
            let subjects = statement
                .query_map([], |row| {
                    Ok((SubjectId(row.get(2)?), read(row)?, row.get(3)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let mut statement = self
                .connection
                .prepare("SELECT key, wrapped, hour FROM hours")?;
            let hours = statement
                .query_map([], |row| Ok((row.get(2)?, read(row)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            Ok((subjects, hours))
        };
        rows().map_err(|error: rusqlite::Error| table(error))
    }

    fn find_subject(&self, subject: &SubjectId) -> rusqlite::Result<Option<StoredKey>> {
        let sql = "SELECT key, wrapped FROM subjects WHERE subject = ?1";
        self.connection
            .prepare_cached(sql)?
            .query_row([subject.0.as_slice()], read)
            .optional()
    }

    fn find_hour(&self, hour: i64) -> rusqlite::Result<Option<StoredKey>> {
        let sql = "SELECT key, wrapped FROM hours WHERE hour = ?1";
        self.connection
            .prepare_cached(sql)?
            .query_row([hour], read)
            .optional()
    }

    /// What is there; `None` as soon as one key is missing.
    fn find_all(
        &self,
        subjects: &[(SubjectId, StoredKey)],
        hour: i64,
    ) -> rusqlite::Result<Option<(Vec<StoredKey>, StoredKey)>> {
        let Some(hour) = self.find_hour(hour)? else {
            return Ok(None);
        };
        let mut out = Vec::with_capacity(subjects.len());
        for (subject, _) in subjects {
            match self.find_subject(subject)? {
                Some(key) => out.push(key),
                None => return Ok(None),
            }
        }
        Ok(Some((out, hour)))
    }

    fn insert_missing(
        &mut self,
        subjects: &[(SubjectId, StoredKey)],
        (hour, hour_key): (i64, StoredKey),
        now: i64,
    ) -> rusqlite::Result<()> {
        let behaviour = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behaviour)?;
        let sql = "INSERT OR IGNORE INTO subjects (subject, key, wrapped, made_at) VALUES (?1, ?2, ?3, ?4)";
        for (subject, key) in subjects {
            transaction.prepare_cached(sql)?.execute(params![
                subject.0.as_slice(),
                key.id.0.as_slice(),
                key.wrapped.as_slice(),
                now
            ])?;
        }
        let sql = "INSERT OR IGNORE INTO hours (hour, key, wrapped) VALUES (?1, ?2, ?3)";
        transaction.execute(
            sql,
            params![hour, hour_key.id.0.as_slice(), hour_key.wrapped.as_slice()],
        )?;
        transaction.commit()
    }
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<StoredKey> {
    Ok(StoredKey {
        id: KeyId(row.get(0)?),
        wrapped: row.get(1)?,
    })
}

impl KeyTable for SqliteKeyTable {
    fn obtain(
        &mut self,
        subjects: &[(SubjectId, StoredKey)],
        hour: (i64, StoredKey),
        now: i64,
    ) -> Result<(Vec<StoredKey>, StoredKey), KeysError> {
        if let Some(found) = self.find_all(subjects, hour.0).map_err(table)? {
            return Ok(found);
        }
        self.insert_missing(subjects, hour, now).map_err(table)?;
        self.find_all(subjects, hour.0)
            .map_err(table)?
            .ok_or_else(|| table("a key was destroyed while it was made"))
    }

    fn subject(&mut self, subject: &SubjectId) -> Result<Option<StoredKey>, KeysError> {
        self.find_subject(subject).map_err(table)
    }

    fn hour(&mut self, hour: i64) -> Result<Option<StoredKey>, KeysError> {
        self.find_hour(hour).map_err(table)
    }

    fn oldest_hour(&mut self) -> Result<Option<i64>, KeysError> {
        self.connection
            .query_row("SELECT min(hour) FROM hours", [], |row| row.get(0))
            .map_err(table)
    }

    fn destroy_subject(&mut self, subject: &SubjectId, id: &KeyId) -> Result<bool, KeysError> {
        let sql = "DELETE FROM subjects WHERE subject = ?1 AND key = ?2";
        let values = params![subject.0.as_slice(), id.0.as_slice()];
        let gone = self.connection.execute(sql, values).map_err(table)?;
        Ok(gone == 1)
    }

    fn destroy_hours(&mut self, before: i64) -> Result<u64, KeysError> {
        let sql = "DELETE FROM hours WHERE hour < ?1";
        let gone = self.connection.execute(sql, [before]).map_err(table)?;
        Ok(gone as u64)
    }

    fn scrub(&mut self) -> Result<bool, KeysError> {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: i64 = self
            .connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(table)?;
        Ok(busy == 0)
    }
}
