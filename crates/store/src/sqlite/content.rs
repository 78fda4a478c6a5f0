//! Content of records, and the notes of erasures and retention, within the transaction of their record.

use capsule::Sealed;
use ledger::journal::Result;
use rusqlite::params;

use super::{SqliteJournal, error, journal::number};
use crate::content::{Content, Erasure, Retention};

/// LiteLLM's name of the table of users, as the audit log has it.
const USERS: &str = "LiteLLM_UserTable";

impl SqliteJournal {
    pub(super) fn put_content(&self, record: &Sealed, content: &Content) -> Result<()> {
        let sql = "INSERT INTO sealgate_content (sequence, hour, subject, key, wrapped, sealed) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let values = params![
            number(record.sequence())?,
            content.hour,
            content.subject.0.as_slice(),
            content.key.0.as_slice(),
            content.wrapped.as_slice(),
            content.sealed.as_slice(),
        ];
        self.execute("content", sql, values).map(drop)
    }

    /// Names go from rows of spend, and from archive and audit log where the account is gone. The rows stay: they are
    /// amounts and times of calls that the chain records.
    pub(super) fn apply_erasure(&self, record: &Sealed, attachment: &[u8]) -> Result<()> {
        let erasure = Erasure::decode(attachment)
            .map_err(|error| error::item("erasure", error.to_string()))?;
        let sequence = number(record.sequence())?;
        self.securely(|| self.erase_rows(&erasure, sequence))
    }

    /// Overwrites what is deleted or changed meanwhile: it shall not lie about in free space. Deleting the intents of calls
    /// needs no such care and would pay for it.
    pub(super) fn securely(&self, change: impl FnOnce() -> Result<()>) -> Result<()> {
        self.execute_pragma("secure_delete", true)?;
        let done = change();
        self.execute_pragma("secure_delete", false)?;
        done
    }

    fn erase_rows(&self, erasure: &Erasure, sequence: i64) -> Result<()> {
        for (subject, key) in erasure.keys() {
            let sql = "INSERT OR IGNORE INTO sealgate_erased (sequence, subject, key) VALUES (?1, ?2, ?3)";
            self.execute(
                "erased",
                sql,
                params![sequence, subject.0.as_slice(), key.0.as_slice()],
            )?;
        }
        for user in &erasure.users {
            let sql =
                "UPDATE sealgate_spend SET user = '', address = '' WHERE tenant = ?1 AND user = ?2";
            self.execute("anonymise spend", sql, params![erasure.tenant, user])?;
        }
        for end_user in &erasure.end_users {
            let sql = "UPDATE sealgate_spend SET end_user = '', address = '' WHERE tenant = ?1 AND end_user = ?2";
            self.execute("anonymise spend", sql, params![erasure.tenant, end_user])?;
        }
        for (account, instead) in &erasure.accounts {
            let sql = "UPDATE sealgate_deleted SET id = ?3, doc = '{}', mac = '' \
                       WHERE kind = 'user' AND tenant = ?1 AND id = ?2";
            self.execute(
                "anonymise archive",
                sql,
                params![erasure.tenant, account, instead],
            )?;
            let sql = "UPDATE sealgate_audit SET object_id = ?3, before_value = NULL, updated_values = NULL \
                       WHERE table_name = ?4 AND tenant = ?1 AND object_id = ?2";
            self.execute(
                "anonymise audit log",
                sql,
                params![erasure.tenant, account, instead, USERS],
            )?;
        }
        Ok(())
    }

    pub(super) fn apply_retention(&self, record: &Sealed, attachment: &[u8]) -> Result<()> {
        let run = Retention::decode(attachment)
            .map_err(|error| error::item("retention", error.to_string()))?;
        let sql = "INSERT OR REPLACE INTO sealgate_retention (tenant, floor, believed, sequence) \
                   VALUES ('', ?1, ?2, ?3)";
        self.execute(
            "retention",
            sql,
            params![run.floor, run.believed, number(record.sequence())?],
        )
        .map(drop)
    }

    fn execute_pragma(&self, name: &'static str, on: bool) -> Result<()> {
        self.connection()?
            .pragma_update_and_check(None, name, on, |_| Ok(()))
            .map_err(|error| error::journal("pragma", &error))
    }
}
