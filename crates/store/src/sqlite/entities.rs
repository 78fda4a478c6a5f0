//! Changes of identity within the transaction of the record that seals them.

use capsule::Sealed;
use ledger::journal::Result;
use rusqlite::params;

use super::{SqliteJournal, error};
use crate::change::{AuditRow, Change, EntityRow};

impl SqliteJournal {
    /// Applies a change. A version that does not follow the stored one is the item's fault: nothing of it is stored.
    pub(super) fn apply_change(&self, record: &Sealed, attachment: &[u8]) -> Result<()> {
        let change =
            Change::decode(attachment).map_err(|error| error::item("change", error.to_string()))?;
        let sequence = super::journal::number(record.sequence())?;
        // Rows hold names and mail addresses: an erasure later finds them in their tables, not in free space.
        self.securely(|| {
            let mut rows = change.rows.iter();
            rows.try_for_each(|row| self.put_entity(row, sequence))
        })?;
        for row in &change.audit {
            self.put_audit(row, &record.id().to_string(), sequence)?;
        }
        Ok(())
    }

    fn put_entity(&self, row: &EntityRow, sequence: i64) -> Result<()> {
        let version = super::journal::number(row.version)?;
        let all = params![
            row.kind, row.tenant, row.id, version, row.doc, row.mac, sequence
        ];
        let key = params![row.kind, row.tenant, row.id, version - 1];
        let done = if row.deleted {
            let archive = "INSERT INTO sealgate_deleted (kind, tenant, id, version, doc, mac, sequence) \
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            self.execute("archive entity", archive, all)?;
            let sql = "DELETE FROM sealgate_entities \
                       WHERE kind = ?1 AND tenant = ?2 AND id = ?3 AND version = ?4";
            self.execute("delete entity", sql, key)?
        } else if row.version == 1 {
            let sql = "INSERT OR IGNORE INTO sealgate_entities \
                       (kind, tenant, id, version, doc, mac, sequence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            self.execute("insert entity", sql, all)?
        } else {
            let sql = "UPDATE sealgate_entities SET version = ?4, doc = ?5, mac = ?6, sequence = ?7 \
                       WHERE kind = ?1 AND tenant = ?2 AND id = ?3 AND version = ?4 - 1";
            self.execute("update entity", sql, all)?
        };
        if done == 1 {
            return Ok(());
        }
        let what = format!(
            "{} {} is not at version {} in the store",
            row.kind,
            row.id,
            row.version - 1
        );
        Err(error::item("entity", what))
    }

    fn put_audit(&self, row: &AuditRow, id: &str, sequence: i64) -> Result<()> {
        // A record may seal several changes; its id stays the id of the first.
        let sql = "INSERT INTO sealgate_audit (id, sequence, at, tenant, changed_by, changed_by_key, action, \
                   table_name, object_id, before_value, updated_values) \
                   SELECT CASE WHEN n.c = 0 THEN ?1 ELSE ?1 || '-' || n.c END, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 \
                   FROM (SELECT count(*) AS c FROM sealgate_audit WHERE sequence = ?2) AS n";
        let values = params![
            id,
            sequence,
            row.at,
            row.tenant,
            row.changed_by,
            row.changed_by_key,
            row.action,
            row.table_name,
            row.object_id,
            row.before_value,
            row.updated_values,
        ];
        self.execute("audit", sql, values).map(drop)
    }
}
