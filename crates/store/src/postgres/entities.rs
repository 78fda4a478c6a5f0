//! Changes of identity within the transaction of the record that seals them.

use ledger::journal::Result;

use super::{PostgresJournal, error};
use crate::change::{AuditRow, Change, EntityRow};

impl PostgresJournal {
    /// Applies a change. A version that does not follow the stored one is the item's fault: nothing of it is stored.
    pub(super) fn apply_change(
        &mut self,
        record: &str,
        sequence: i64,
        change: &Change,
    ) -> Result<()> {
        for row in &change.rows {
            self.put_entity(row, sequence)?;
        }
        for (at, row) in change.audit.iter().enumerate() {
            self.put_audit(row, record, at, sequence)?;
        }
        Ok(())
    }

    fn put_entity(&mut self, row: &EntityRow, sequence: i64) -> Result<()> {
        let version = super::journal::number(row.version)?;
        let before = version - 1;
        let done = if row.deleted {
            let archive = "INSERT INTO sealgate_deleted (kind, tenant, id, version, doc, mac, sequence) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7)";
            self.change(
                "archive entity",
                archive,
                &[
                    &row.kind,
                    &row.tenant,
                    &row.id,
                    &version,
                    &row.doc,
                    &row.mac,
                    &sequence,
                ],
            )?;
            let sql = "DELETE FROM sealgate_entities WHERE kind = $1 AND tenant = $2 AND id = $3 AND version = $4";
            self.change(
                "delete entity",
                sql,
                &[&row.kind, &row.tenant, &row.id, &before],
            )?
        } else if row.version == 1 {
            let sql = "INSERT INTO sealgate_entities (kind, tenant, id, version, doc, mac, sequence) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
            self.change(
                "insert entity",
                sql,
                &[
                    &row.kind,
                    &row.tenant,
                    &row.id,
                    &version,
                    &row.doc,
                    &row.mac,
                    &sequence,
                ],
            )?
        } else {
            let sql = "UPDATE sealgate_entities SET version = $4, doc = $5, mac = $6, sequence = $7 \
                       WHERE kind = $1 AND tenant = $2 AND id = $3 AND version = $8";
            self.change(
                "update entity",
                sql,
                &[
                    &row.kind,
                    &row.tenant,
                    &row.id,
                    &version,
                    &row.doc,
                    &row.mac,
                    &sequence,
                    &before,
                ],
            )?
        };
        if done == 1 {
            return Ok(());
        }
        let what = format!(
            "{} {} is not at version {before} in the store",
            row.kind, row.id
        );
        Err(error::item("entity", what))
    }

    /// A record may seal several changes; its id stays the id of the first.
    fn put_audit(&mut self, row: &AuditRow, record: &str, at: usize, sequence: i64) -> Result<()> {
        let id = match at {
            0 => record.to_owned(),
            more => format!("{record}-{more}"),
        };
        let sql = "INSERT INTO sealgate_audit (id, sequence, at, tenant, changed_by, changed_by_key, action, \
                   table_name, object_id, before_value, updated_values) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        self.change(
            "audit",
            sql,
            &[
                &id,
                &sequence,
                &row.at,
                &row.tenant,
                &row.changed_by,
                &row.changed_by_key,
                &row.action,
                &row.table_name,
                &row.object_id,
                &row.before_value,
                &row.updated_values,
            ],
        )
        .map(drop)
    }
}
