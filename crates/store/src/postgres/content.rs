//! Content of records, and the notes of erasures and retention, within the transaction of their record.

use ledger::journal::Result;

use super::{PostgresJournal, error};
use crate::content::{Erasure, Retention};

/// LiteLLM's name of the table of users, as the audit log has it.
const USERS: &str = "LiteLLM_UserTable";

impl PostgresJournal {
    /// Names go from rows of spend, and from archive and audit log where the account is gone. The rows stay: they are
    /// amounts and times of calls that the chain records.
    pub(super) fn apply_erasure(&mut self, sequence: i64, attachment: &[u8]) -> Result<()> {
        let erasure = Erasure::decode(attachment)
            .map_err(|error| error::item("erasure", error.to_string()))?;
        for (subject, key) in erasure.keys() {
            let sql = "INSERT INTO sealgate_erased (sequence, subject, key) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            self.change(
                "erased",
                sql,
                &[&sequence, &subject.0.as_slice(), &key.0.as_slice()],
            )?;
        }
        for user in &erasure.users {
            let sql = "UPDATE sealgate_spend SET \"user\" = '', address = '' WHERE tenant = $1 AND \"user\" = $2";
            self.change("anonymise spend", sql, &[&erasure.tenant, user])?;
        }
        for end_user in &erasure.end_users {
            let sql = "UPDATE sealgate_spend SET end_user = '', address = '' WHERE tenant = $1 AND end_user = $2";
            self.change("anonymise spend", sql, &[&erasure.tenant, end_user])?;
        }
        for (account, instead) in &erasure.accounts {
            let sql = "UPDATE sealgate_deleted SET id = $3, doc = '{}', mac = '' \
                       WHERE kind = 'user' AND tenant = $1 AND id = $2";
            self.change(
                "anonymise archive",
                sql,
                &[&erasure.tenant, account, instead],
            )?;
            let sql = "UPDATE sealgate_audit SET object_id = $3, before_value = NULL, updated_values = NULL \
                       WHERE table_name = $4 AND tenant = $1 AND object_id = $2";
            self.change(
                "anonymise audit log",
                sql,
                &[&erasure.tenant, account, instead, &USERS],
            )?;
        }
        Ok(())
    }

    pub(super) fn apply_retention(&mut self, sequence: i64, attachment: &[u8]) -> Result<()> {
        let run = Retention::decode(attachment)
            .map_err(|error| error::item("retention", error.to_string()))?;
        let sql = "INSERT INTO sealgate_retention (tenant, floor, believed, sequence) VALUES ('', $1, $2, $3) \
                   ON CONFLICT (tenant) DO UPDATE SET floor = excluded.floor, believed = excluded.believed, \
                   sequence = excluded.sequence";
        self.change("retention", sql, &[&run.floor, &run.believed, &sequence])
            .map(drop)
    }
}
