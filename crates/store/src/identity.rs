//! Reading entities, the audit log and spend for the management API: a view of what is committed, never a change.

use rusqlite::{Connection, params_from_iter, types::Value};

use crate::change::{AuditRow, EntityRow};
use crate::reader::{ReadError, Reader};

/// What of the audit log is asked for. Empty texts and `None` ask for everything.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Tenant; `None` for all.
    pub tenant: Option<String>,
    /// Who.
    pub changed_by: Option<String>,
    /// With which key.
    pub changed_by_key: Option<String>,
    /// What was done.
    pub action: Option<String>,
    /// Table.
    pub table_name: Option<String>,
    /// Entity.
    pub object_id: Option<String>,
    /// The record's id.
    pub id: Option<String>,
    /// From this instant on, microseconds.
    pub from: Option<i64>,
    /// Before this instant.
    pub until: Option<i64>,
    /// Oldest first.
    pub ascending: bool,
    /// Rows to skip.
    pub offset: u64,
    /// Most rows.
    pub limit: u64,
}

/// What of the rows of spend is asked for.
#[derive(Clone, Debug, Default)]
pub struct SpendFilter {
    /// Public id of the key.
    pub key: Option<String>,
    /// User of the key.
    pub user: Option<String>,
    /// Id of the call.
    pub request: Option<String>,
    /// Tenant; `None` for all.
    pub tenant: Option<String>,
    /// From this instant on, microseconds.
    pub from: Option<i64>,
    /// Before this instant.
    pub until: Option<i64>,
    /// Most rows.
    pub limit: u64,
}

/// A row of spend with the id of its call.
pub type SpendRow = (String, crate::spend::Spend);

/// What calls cost together: who they counted against, and the sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Arrival of the call, microseconds.
    pub at: i64,
    /// Tenant.
    pub tenant: String,
    /// Key.
    pub key: String,
    /// Team.
    pub team: String,
    /// User of the key.
    pub user: String,
    /// Organization.
    pub organization: String,
    /// End user.
    pub end_user: String,
    /// Tags, joined by U+001F.
    pub tags: String,
    /// Model group.
    pub model: String,
    /// Deployment.
    pub deployment: String,
    /// Micro-dollars.
    pub cost: i64,
}

#[derive(Default)]
struct Where {
    sql: String,
    values: Vec<Value>,
}

impl Where {
    fn add(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        let Some(value) = value else { return };
        self.sql.push_str(if self.sql.is_empty() {
            " WHERE "
        } else {
            " AND "
        });
        self.sql.push_str(condition);
        self.values.push(value.into());
    }
}

impl Reader {
    /// Every entity.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn entities(&self) -> Result<Vec<EntityRow>, ReadError> {
        let mut all = Vec::new();
        self.entities_in(1_000, &mut |rows| all.extend(rows))?;
        Ok(all)
    }

    /// Every entity, so many at a time.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn entities_in(
        &self,
        most: usize,
        each: &mut dyn FnMut(Vec<EntityRow>),
    ) -> Result<(), ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.entities_in(most, each);
        }
        if !self.has_identity()? {
            return Ok(());
        }
        let sql = "SELECT kind, tenant, id, version, doc, mac FROM sealgate_entities";
        let mut statement = self.connection()?.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut some = Vec::with_capacity(most.min(10_000));
        while let Some(row) = rows.next()? {
            let version: i64 = row.get(3)?;
            some.push(EntityRow {
                kind: row.get(0)?,
                tenant: row.get(1)?,
                id: row.get(2)?,
                version: u64::try_from(version).unwrap_or(0),
                doc: row.get(4)?,
                mac: row.get(5)?,
                deleted: false,
            });
            if some.len() >= most {
                each(std::mem::replace(&mut some, Vec::with_capacity(most)));
            }
        }
        if !some.is_empty() {
            each(some);
        }
        Ok(())
    }

    /// Calls `each` with every record of a type, oldest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn records_of_type(
        &self,
        capsule_type: &str,
        mut each: impl FnMut(&ledger::journal::Row),
    ) -> Result<(), ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.records_of_type(capsule_type, each);
        }
        let columns = crate::sqlite::COLUMNS;
        let sql = format!("SELECT {columns} FROM capsules WHERE type = ?1 ORDER BY sequence");
        let mut statement = self.connection()?.prepare(&sql)?;
        for row in statement.query_map([capsule_type], crate::sqlite::read_row)? {
            each(&row?);
        }
        Ok(())
    }

    /// Every entity that the audit log names: table, tenant, id.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn audited(&self) -> Result<Vec<(String, String, String)>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.audited();
        }
        let sql = "SELECT DISTINCT table_name, tenant, object_id FROM sealgate_audit";
        let mut statement = self.connection()?.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn has_identity(&self) -> Result<bool, ReadError> {
        let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sealgate_entities'";
        Ok(self.connection()?.prepare(sql)?.exists([])?)
    }

    /// Rows of the audit log, newest first unless asked otherwise, and how many there are in all.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn audit(&self, filter: &AuditFilter) -> Result<(Vec<AuditRow>, u64), ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.audit(filter);
        }
        let mut when = Where::default();
        when.add("tenant = ?", filter.tenant.clone());
        when.add("changed_by = ?", filter.changed_by.clone());
        when.add("changed_by_key = ?", filter.changed_by_key.clone());
        when.add("action = ?", filter.action.clone());
        when.add("table_name = ?", filter.table_name.clone());
        when.add("object_id = ?", filter.object_id.clone());
        when.add("id = ?", filter.id.clone());
        when.add("at >= ?", filter.from);
        when.add("at < ?", filter.until);
        let count = format!("SELECT count(*) FROM sealgate_audit{}", when.sql);
        let values = || params_from_iter(when.values.iter());
        let total: i64 = self
            .connection()?
            .query_row(&count, values(), |row| row.get(0))?;
        let order = if filter.ascending { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT id, at, tenant, changed_by, changed_by_key, action, table_name, object_id, before_value, \
             updated_values FROM sealgate_audit{} ORDER BY sequence {order}, id {order} LIMIT {} OFFSET {}",
            when.sql, filter.limit, filter.offset
        );
        let mut statement = self.connection()?.prepare(&sql)?;
        let rows = statement.query_map(values(), |row| {
            Ok(AuditRow {
                id: row.get(0)?,
                at: row.get(1)?,
                tenant: row.get(2)?,
                changed_by: row.get(3)?,
                changed_by_key: row.get(4)?,
                action: row.get(5)?,
                table_name: row.get(6)?,
                object_id: row.get(7)?,
                before_value: row.get(8)?,
                updated_values: row.get(9)?,
            })
        })?;
        let rows = rows.collect::<Result<_, _>>()?;
        Ok((rows, u64::try_from(total).unwrap_or(0)))
    }

    /// Rows of spend, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn spend_rows(&self, filter: &SpendFilter) -> Result<Vec<SpendRow>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.spend_rows(filter);
        }
        let mut when = Where::default();
        when.add("s.tenant = ?", filter.tenant.clone());
        when.add("s.key = ?", filter.key.clone());
        when.add("s.user = ?", filter.user.clone());
        when.add("c.id = ?", filter.request.clone());
        when.add("s.at >= ?", filter.from);
        when.add("s.at < ?", filter.until);
        let sql = format!(
            "SELECT s.sequence, {}, c.id FROM sealgate_spend s JOIN capsules c ON c.sequence = s.sequence{} \
             ORDER BY s.sequence DESC LIMIT {}",
            crate::reader::spend_columns("s."),
            when.sql,
            filter.limit
        );
        let mut statement = self.connection()?.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(when.values.iter()), |row| {
            Ok((
                row.get(crate::reader::SPEND_COLUMNS + 1)?,
                crate::reader::read_spend(row)?,
            ))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Calls `each` with what every priced call cost, oldest first: what a book of budgets is rebuilt from.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn spent(&self, mut each: impl FnMut(&Spent)) -> Result<(), ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.spent(each);
        }
        if !self.has_identity()? {
            return Ok(());
        }
        let sql = "SELECT at, tenant, key, team, user, organization, end_user, tags, model, deployment, \
                   cost_micro_usd FROM sealgate_spend WHERE cost_micro_usd > 0 ORDER BY sequence";
        let mut statement = self.connection()?.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            each(&Spent {
                at: row.get(0)?,
                tenant: row.get(1)?,
                key: row.get(2)?,
                team: row.get(3)?,
                user: row.get(4)?,
                organization: row.get(5)?,
                end_user: row.get(6)?,
                tags: row.get(7)?,
                model: row.get(8)?,
                deployment: row.get(9)?,
                cost: row.get(10)?,
            });
        }
        Ok(())
    }

    fn connection(&self) -> Result<&Connection, ReadError> {
        self.raw()
    }
}
