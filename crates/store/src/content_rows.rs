//! Reading content rows and what erasures and retention have done. A view of what is committed, never a change.

use rusqlite::{Connection, OptionalExtension, params};

use crate::content::{Content, KeyId, Retention, SubjectId};
use crate::reader::{ReadError, Reader};

impl Reader {
    /// The content of the record with this sequence.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn content(&self, sequence: u64) -> Result<Option<Content>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.content(sequence);
        }
        if !self.has_content()? {
            return Ok(None);
        }
        let sql =
            "SELECT hour, subject, key, wrapped, sealed FROM sealgate_content WHERE sequence = ?1";
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        let found = self.raw()?.query_row(sql, [sequence], |row| {
            Ok(Content {
                hour: row.get(0)?,
                subject: SubjectId(row.get(1)?),
                key: KeyId(row.get(2)?),
                wrapped: row.get(3)?,
                sealed: row.get(4)?,
            })
        });
        Ok(found.optional()?)
    }

    /// How many records hold content that needs this key of a subject. Looks at every row.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn content_of(&self, subject: &SubjectId, key: &KeyId) -> Result<u64, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.content_of(subject, key);
        }
        let sql = "SELECT count(*) FROM sealgate_content WHERE subject = ?1 AND key = ?2";
        let values = params![subject.0.as_slice(), key.0.as_slice()];
        count(self.raw()?, sql, values)
    }

    /// How many rows of spend name a user or the pseudonym of an end user. Looks at every row.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn spend_naming(&self, tenant: &str, user: &str, end_user: &str) -> Result<u64, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.spend_naming(tenant, user, end_user);
        }
        let sql = "SELECT count(*) FROM sealgate_spend WHERE tenant = ?1 \
                   AND ((?2 <> '' AND user = ?2) OR (?3 <> '' AND end_user = ?3))";
        count(self.raw()?, sql, params![tenant, user, end_user])
    }

    /// Keys that erasures have destroyed, or were to destroy when the process died.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn erased(&self) -> Result<Vec<(SubjectId, KeyId)>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.erased();
        }
        if !self.has_content()? {
            return Ok(Vec::new());
        }
        let mut statement = self
            .raw()?
            .prepare("SELECT subject, key FROM sealgate_erased")?;
        let rows =
            statement.query_map([], |row| Ok((SubjectId(row.get(0)?), KeyId(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Whether a key was erased.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_erased(&self, subject: &SubjectId, key: &KeyId) -> Result<bool, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.is_erased(subject, key);
        }
        let sql = "SELECT 1 FROM sealgate_erased WHERE subject = ?1 AND key = ?2";
        let values = params![subject.0.as_slice(), key.0.as_slice()];
        Ok(self.raw()?.prepare(sql)?.exists(values)?)
    }

    /// How far retention has gone, and the time it believed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn retention(&self) -> Result<Option<Retention>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.retention();
        }
        if !self.has_content()? {
            return Ok(None);
        }
        let sql = "SELECT floor, believed FROM sealgate_retention WHERE tenant = ''";
        let found = self.raw()?.query_row(sql, [], |row| {
            Ok(Retention {
                floor: row.get(0)?,
                believed: row.get(1)?,
            })
        });
        Ok(found.optional()?)
    }

    /// The hour of the newest content.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn newest_hour(&self) -> Result<Option<i64>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.newest_hour();
        }
        if !self.has_content()? {
            return Ok(None);
        }
        let sql = "SELECT hour FROM sealgate_content ORDER BY sequence DESC LIMIT 1";
        Ok(self
            .raw()?
            .query_row(sql, [], |row| row.get(0))
            .optional()?)
    }

    fn has_content(&self) -> Result<bool, ReadError> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sealgate_content'";
        Ok(self.raw()?.prepare(sql)?.exists([])?)
    }
}

fn count(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<u64, ReadError> {
    let count: i64 = connection.query_row(sql, values, |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
