//! Reading a ledger, ours or the reference tool's, from PostgreSQL. Nothing is changed or created.

use std::time::Duration;

use capsule::{Hash, Id, Timestamp};
use ledger::{
    OpenIntent,
    journal::{Chain, Quarantined, Row},
};
use tokio_postgres::types::ToSql;

use super::{
    link::{Fault, Link, Use},
    rows::{COLUMNS, column, id, read_intent, read_row, unsigned},
    url::Target,
};
use crate::{
    change::{AuditRow, EntityRow},
    content::{Content, KeyId, Retention, SubjectId},
    identity::{AuditFilter, SpendFilter, SpendRow, Spent},
    reader::{Boot, ReadError, spend_columns},
    spend::{CostSource, Spend, Status},
};

/// How long a connection or an answer may take.
const ANSWER: Duration = Duration::from_secs(60);
/// Rows fetched at a time.
const PAGE: i64 = 512;

type Result<T> = std::result::Result<T, ReadError>;
type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A read-only view of one chain of a database.
#[derive(Debug)]
pub(crate) struct PostgresReader {
    link: Link,
    place: String,
    tenant: String,
    pub(crate) ours: bool,
}

impl PostgresReader {
    pub(crate) fn open(target: &Target, chain: &Chain) -> Result<PostgresReader> {
        let place = target.place().to_owned();
        let link = Link::open(target, Use::Read, ANSWER).map_err(Box::new)?;
        let mut reader = PostgresReader {
            link,
            place,
            tenant: chain.tenant().to_owned(),
            ours: false,
        };
        let sql = "SELECT to_regclass('quantumpipes_capsules')::text, to_regclass('sealgate_ledger')::text";
        let tables = reader.query(sql, &[], |row| {
            Ok((
                column::<Option<String>>(row, 0)?,
                column::<Option<String>>(row, 1)?,
            ))
        })?;
        let (capsules, ledger) = tables.into_iter().next().unwrap_or_default();
        if capsules.is_none() {
            return Err(ReadError::NoChain(reader.place.into()));
        }
        reader.ours = ledger.is_some();
        Ok(reader)
    }

    fn query<T>(
        &self,
        sql: &str,
        params: Params<'_>,
        read: impl FnMut(&tokio_postgres::Row) -> std::result::Result<T, String>,
    ) -> Result<Vec<T>> {
        let failed = |message: String| ReadError::Postgres {
            place: self.place.clone(),
            message,
        };
        let rows = self.link.run(self.link.client().query(sql, params));
        let rows = rows.map_err(|fault: Fault| failed(fault.words()))?;
        let rows = rows
            .iter()
            .map(read)
            .collect::<std::result::Result<Vec<T>, String>>();
        rows.map_err(failed)
    }

    /// A list of ours; empty for a plain chain.
    fn list<T>(
        &self,
        sql: &str,
        params: Params<'_>,
        read: impl FnMut(&tokio_postgres::Row) -> std::result::Result<T, String>,
    ) -> Result<Vec<T>> {
        match self.ours {
            true => self.query(sql, params, read),
            false => Ok(Vec::new()),
        }
    }

    fn whose(&self) -> &'static str {
        match self.tenant.is_empty() {
            true => "tenant_id IS NULL AND $1 = ''",
            false => "tenant_id = $1",
        }
    }

    pub(crate) fn count(&self) -> Result<u64> {
        let sql = format!(
            "SELECT count(*) FROM quantumpipes_capsules WHERE {}",
            self.whose()
        );
        let count = self.query(&sql, &[&self.tenant], |row| unsigned(row, 0))?;
        Ok(count.first().copied().unwrap_or(0))
    }

    /// Tenants that have a chain of their own, in order; the default one is not named.
    pub(crate) fn tenants(&self) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT tenant_id FROM quantumpipes_capsules WHERE tenant_id IS NOT NULL ORDER BY 1";
        self.query(sql, &[], |row| column(row, 0))
    }

    /// Records after (sequence, id), a page at a time.
    pub(crate) fn page(&self, after: (i64, &str)) -> Result<Vec<Row>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM quantumpipes_capsules WHERE {} AND (sequence, id) > ($2::int8, $3::text) \
             ORDER BY sequence, id LIMIT {PAGE}",
            self.whose()
        );
        self.query(&sql, &[&self.tenant, &after.0, &after.1], read_row)
    }

    pub(crate) fn for_each(&self, from: u64, mut each: impl FnMut(Row) -> bool) -> Result<()> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        self.command(begin)?;
        // Nothing sorts after this id.
        let mut after = (before(from), "\u{10ffff}".to_owned());
        let read = loop {
            match self.page((after.0, &after.1)) {
                Err(error) => break Err(error),
                Ok(rows) => {
                    let full = rows.len() as i64 == PAGE;
                    if let Some(last) = rows.last() {
                        after = (
                            i64::try_from(last.sequence).unwrap_or(i64::MAX),
                            last.id.clone(),
                        );
                    }
                    if !rows.into_iter().all(&mut each) || !full {
                        break Ok(());
                    }
                }
            }
        };
        self.command("ROLLBACK")?;
        read
    }

    pub(crate) fn command(&self, sql: &str) -> Result<()> {
        let done = self.link.run(self.link.client().batch_execute(sql));
        done.map_err(|fault| ReadError::Postgres {
            place: self.place.clone(),
            message: fault.words(),
        })
    }

    pub(crate) fn row(&self, sequence: u64) -> Result<Option<Row>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM quantumpipes_capsules WHERE {} AND sequence = $2::int8",
            self.whose()
        );
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        Ok(self
            .query(&sql, &[&self.tenant, &sequence], read_row)?
            .into_iter()
            .next())
    }

    pub(crate) fn row_by_id(&self, id: &str) -> Result<Option<Row>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM quantumpipes_capsules WHERE {} AND id = $2",
            self.whose()
        );
        Ok(self
            .query(&sql, &[&self.tenant, &id], read_row)?
            .into_iter()
            .next())
    }

    pub(crate) fn ledger_id(&self) -> Result<Option<Id>> {
        let sql = "SELECT id FROM sealgate_ledger WHERE chain = $1";
        Ok(self
            .list(sql, &[&self.tenant], |row| id(row, 0))?
            .into_iter()
            .next())
    }

    pub(crate) fn boots(&self) -> Result<Vec<Boot>> {
        let sql = "SELECT id, started_at, closed_at, last_intent FROM sealgate_boots WHERE chain = $1 ORDER BY number";
        self.list(sql, &[&self.tenant], |row| {
            Ok(Boot {
                id: id(row, 0)?,
                started_at: Timestamp::new(column(row, 1)?),
                closed_at: column::<Option<i64>>(row, 2)?.map(Timestamp::new),
                last_intent: unsigned(row, 3)?,
            })
        })
    }

    pub(crate) fn intents(&self) -> Result<Vec<OpenIntent>> {
        let sql = "SELECT b.id, i.number, i.id, i.opened_at, i.payload FROM sealgate_intents i \
                   JOIN sealgate_boots b ON b.number = i.boot WHERE b.chain = $1 ORDER BY i.boot, i.number";
        self.list(sql, &[&self.tenant], read_intent)
    }

    pub(crate) fn spend(&self) -> Result<Vec<(u64, Spend)>> {
        let columns = spend_columns("s.");
        let sql = format!(
            "SELECT s.sequence, {columns} FROM sealgate_spend s WHERE s.chain = $1 ORDER BY s.sequence"
        );
        self.list(&sql, &[&self.tenant], |row| {
            Ok((unsigned(row, 0)?, read_spend(row)?))
        })
    }

    pub(crate) fn quarantine(&self) -> Result<Vec<Quarantined>> {
        let sql = "SELECT at, record, boot, intent, reason, digest, bytes FROM sealgate_quarantine \
                   WHERE chain = $1 ORDER BY number";
        self.list(sql, &[&self.tenant], |row| {
            let parsed = |at| {
                Ok::<_, String>(column::<Option<String>>(row, at)?.and_then(|id| id.parse().ok()))
            };
            let intent =
                column::<Option<i64>>(row, 3)?.and_then(|number| u64::try_from(number).ok());
            let digest: String = column(row, 5)?;
            Ok(Quarantined {
                at: Timestamp::new(column(row, 0)?),
                record: parsed(1)?,
                intent: parsed(2)?.zip(intent),
                reason: column(row, 4)?,
                digest: Hash::from_hex(&digest).unwrap_or(Hash::from_bytes([0; 32])),
                bytes: column(row, 6)?,
            })
        })
    }

    pub(crate) fn adopted(&self) -> Result<Vec<(u64, u64)>> {
        let sql = "SELECT first, last FROM sealgate_adopted WHERE chain = $1 ORDER BY first";
        self.list(sql, &[&self.tenant], |row| {
            Ok((unsigned(row, 0)?, unsigned(row, 1)?))
        })
    }

    pub(crate) fn checkpoint(&self) -> Result<Option<(u64, String)>> {
        let sql = "SELECT size, note FROM sealgate_checkpoint WHERE chain = $1";
        let found = self.list(sql, &[&self.tenant], |row| {
            Ok((unsigned(row, 0)?, column(row, 1)?))
        })?;
        Ok(found.into_iter().next())
    }

    pub(crate) fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
        let sql =
            "SELECT hashes FROM sealgate_tiles WHERE chain = $1 AND level = $2 AND position = $3";
        let position = i64::try_from(index).unwrap_or(i64::MAX);
        let found = self.list(sql, &[&self.tenant, &i16::from(level), &position], |row| {
            column(row, 0)
        })?;
        Ok(found.into_iter().next())
    }

    pub(crate) fn content(&self, sequence: u64) -> Result<Option<Content>> {
        let sql = "SELECT hour, subject, key, wrapped, sealed FROM sealgate_content WHERE chain = $1 AND sequence = $2";
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        let found = self.list(sql, &[&self.tenant, &sequence], |row| {
            Ok(Content {
                hour: column(row, 0)?,
                subject: SubjectId(fixed(row, 1)?),
                key: KeyId(fixed(row, 2)?),
                wrapped: fixed(row, 3)?,
                sealed: column(row, 4)?,
            })
        })?;
        Ok(found.into_iter().next())
    }

    pub(crate) fn content_of(&self, subject: &SubjectId, key: &KeyId) -> Result<u64> {
        let sql = "SELECT count(*) FROM sealgate_content WHERE subject = $1 AND key = $2";
        let (subject, key) = (subject.0.as_slice(), key.0.as_slice());
        let found = self.list(sql, &[&subject, &key], |row| unsigned(row, 0))?;
        Ok(found.first().copied().unwrap_or(0))
    }

    pub(crate) fn spend_naming(&self, tenant: &str, user: &str, end_user: &str) -> Result<u64> {
        let sql = "SELECT count(*) FROM sealgate_spend s WHERE s.tenant = $1 \
                   AND (($2 <> '' AND s.user = $2) OR ($3 <> '' AND s.end_user = $3))";
        let found = self.list(sql, &[&tenant, &user, &end_user], |row| unsigned(row, 0))?;
        Ok(found.first().copied().unwrap_or(0))
    }

    pub(crate) fn erased(&self) -> Result<Vec<(SubjectId, KeyId)>> {
        self.list("SELECT subject, key FROM sealgate_erased", &[], |row| {
            Ok((SubjectId(fixed(row, 0)?), KeyId(fixed(row, 1)?)))
        })
    }

    pub(crate) fn is_erased(&self, subject: &SubjectId, key: &KeyId) -> Result<bool> {
        let sql = "SELECT 1 FROM sealgate_erased WHERE subject = $1 AND key = $2";
        let (subject, key) = (subject.0.as_slice(), key.0.as_slice());
        Ok(!self.list(sql, &[&subject, &key], |_| Ok(()))?.is_empty())
    }

    pub(crate) fn retention(&self) -> Result<Option<Retention>> {
        let sql = "SELECT floor, believed FROM sealgate_retention WHERE tenant = ''";
        let found = self.list(sql, &[], |row| {
            Ok(Retention {
                floor: column(row, 0)?,
                believed: column(row, 1)?,
            })
        })?;
        Ok(found.into_iter().next())
    }

    pub(crate) fn newest_hour(&self) -> Result<Option<i64>> {
        let sql =
            "SELECT hour FROM sealgate_content WHERE chain = $1 ORDER BY sequence DESC LIMIT 1";
        Ok(self
            .list(sql, &[&self.tenant], |row| column(row, 0))?
            .into_iter()
            .next())
    }

    /// Pages by sequence, since there may be many.
    pub(crate) fn records_of_type(
        &self,
        capsule_type: &str,
        mut each: impl FnMut(&Row),
    ) -> Result<()> {
        let sql = format!(
            "SELECT {COLUMNS} FROM quantumpipes_capsules WHERE {} AND type = $2 AND sequence > $3::int8 \
             ORDER BY sequence LIMIT {PAGE}",
            self.whose()
        );
        let mut after = -1_i64;
        loop {
            let page = self.query(&sql, &[&self.tenant, &capsule_type, &after], read_row)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = i64::try_from(last.sequence).unwrap_or(i64::MAX);
            page.iter().for_each(&mut each);
        }
    }

    pub(crate) fn audited(&self) -> Result<Vec<(String, String, String)>> {
        let sql = "SELECT DISTINCT table_name, tenant, object_id FROM sealgate_audit";
        self.list(sql, &[], |row| {
            Ok((column(row, 0)?, column(row, 1)?, column(row, 2)?))
        })
    }

    pub(crate) fn entities_in(
        &self,
        most: usize,
        each: &mut dyn FnMut(Vec<EntityRow>),
    ) -> Result<()> {
        let sql = "SELECT kind, tenant, id, version, doc, mac FROM sealgate_entities \
                   WHERE (kind, tenant, id) > ($1::text, $2::text, $3::text) ORDER BY kind, tenant, id LIMIT $4";
        let limit = i64::try_from(most).unwrap_or(i64::MAX).max(1);
        let mut after = (String::new(), String::new(), String::new());
        loop {
            let rows = self.list(sql, &[&after.0, &after.1, &after.2, &limit], |row| {
                Ok(EntityRow {
                    kind: column(row, 0)?,
                    tenant: column(row, 1)?,
                    id: column(row, 2)?,
                    version: unsigned(row, 3)?,
                    doc: column(row, 4)?,
                    mac: column(row, 5)?,
                    deleted: false,
                })
            })?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            after = (last.kind.clone(), last.tenant.clone(), last.id.clone());
            let whole = rows.len() >= most;
            each(rows);
            if !whole {
                return Ok(());
            }
        }
    }

    pub(crate) fn audit(&self, filter: &AuditFilter) -> Result<(Vec<AuditRow>, u64)> {
        let mut when = Where::default();
        when.add("tenant =", filter.tenant.clone());
        when.add("changed_by =", filter.changed_by.clone());
        when.add("changed_by_key =", filter.changed_by_key.clone());
        when.add("action =", filter.action.clone());
        when.add("table_name =", filter.table_name.clone());
        when.add("object_id =", filter.object_id.clone());
        when.add("id =", filter.id.clone());
        when.add("at >=", filter.from);
        when.add("at <", filter.until);
        let count = format!("SELECT count(*) FROM sealgate_audit{}", when.sql);
        let total = self.list(&count, &when.params(), |row| unsigned(row, 0))?;
        let order = if filter.ascending { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT id, at, tenant, changed_by, changed_by_key, action, table_name, object_id, before_value, \
             updated_values FROM sealgate_audit{} ORDER BY sequence {order}, id {order} LIMIT {} OFFSET {}",
            when.sql,
            filter.limit.min(i64::MAX as u64),
            filter.offset.min(i64::MAX as u64)
        );
        let rows = self.list(&sql, &when.params(), |row| {
            Ok(AuditRow {
                id: column(row, 0)?,
                at: column(row, 1)?,
                tenant: column(row, 2)?,
                changed_by: column(row, 3)?,
                changed_by_key: column(row, 4)?,
                action: column(row, 5)?,
                table_name: column(row, 6)?,
                object_id: column(row, 7)?,
                before_value: column(row, 8)?,
                updated_values: column(row, 9)?,
            })
        })?;
        Ok((rows, total.first().copied().unwrap_or(0)))
    }

    pub(crate) fn spend_rows(&self, filter: &SpendFilter) -> Result<Vec<SpendRow>> {
        let mut when = Where::default();
        when.add("s.chain =", Some(self.tenant.clone()));
        when.add("s.tenant =", filter.tenant.clone());
        when.add("s.key =", filter.key.clone());
        when.add("s.user =", filter.user.clone());
        when.add("c.id =", filter.request.clone());
        when.add("s.at >=", filter.from);
        when.add("s.at <", filter.until);
        let sql = format!(
            "SELECT s.sequence, {}, c.id FROM sealgate_spend s JOIN quantumpipes_capsules c ON c.sequence = s.sequence \
             AND coalesce(c.tenant_id, '') = s.chain{} ORDER BY s.sequence DESC LIMIT {}",
            spend_columns("s."),
            when.sql,
            filter.limit.min(i64::MAX as u64)
        );
        self.list(&sql, &when.params(), |row| {
            Ok((
                column(row, crate::reader::SPEND_COLUMNS + 1)?,
                read_spend(row)?,
            ))
        })
    }

    /// Pages by sequence, since there may be many.
    pub(crate) fn spent(&self, mut each: impl FnMut(&Spent)) -> Result<()> {
        let sql = format!(
            "SELECT s.sequence, s.at, s.tenant, s.key, s.team, s.user, s.organization, s.end_user, s.tags, s.model, \
             s.deployment, s.cost_micro_usd FROM sealgate_spend s WHERE s.chain = $1 AND s.sequence > $2 \
             AND s.cost_micro_usd > 0 ORDER BY s.sequence LIMIT {}",
            PAGE * 16
        );
        let mut after = -1_i64;
        loop {
            let page = self.list(&sql, &[&self.tenant, &after], |row| {
                let spent = Spent {
                    at: column(row, 1)?,
                    tenant: column(row, 2)?,
                    key: column(row, 3)?,
                    team: column(row, 4)?,
                    user: column(row, 5)?,
                    organization: column(row, 6)?,
                    end_user: column(row, 7)?,
                    tags: column(row, 8)?,
                    model: column(row, 9)?,
                    deployment: column(row, 10)?,
                    cost: column(row, 11)?,
                };
                Ok((column::<i64>(row, 0)?, spent))
            })?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = *last;
            page.iter().for_each(|(_, spent)| each(spent));
        }
    }
}

/// Bytes of a known length.
fn fixed<const N: usize>(
    row: &tokio_postgres::Row,
    at: usize,
) -> std::result::Result<[u8; N], String> {
    let bytes: Vec<u8> = column(row, at)?;
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| format!("{length} bytes where {N} belong"))
}

fn before(from: u64) -> i64 {
    i64::try_from(from).unwrap_or(i64::MAX).saturating_sub(1)
}

/// Conditions with numbered parameters.
#[derive(Default)]
struct Where {
    sql: String,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Where {
    fn add(&mut self, condition: &str, value: Option<impl ToSql + Sync + Send + 'static>) {
        let Some(value) = value else { return };
        let word = if self.values.is_empty() {
            " WHERE "
        } else {
            " AND "
        };
        self.values.push(Box::new(value));
        self.sql
            .push_str(&format!("{word}{condition} ${}", self.values.len()));
    }

    fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values
            .iter()
            .map(|value| value.as_ref() as &(dyn ToSql + Sync))
            .collect()
    }
}

/// Columns of [`spend_columns`] after the first one.
fn read_spend(row: &tokio_postgres::Row) -> std::result::Result<Spend, String> {
    let code = |at| column::<i16>(row, at).map(|code| u8::try_from(code).unwrap_or(u8::MAX));
    Ok(Spend {
        at: column(row, 1)?,
        status: Status::from_code(code(2)?).unwrap_or_default(),
        call_type: column(row, 3)?,
        model: column(row, 4)?,
        deployment: column(row, 5)?,
        provider: column(row, 6)?,
        key: column(row, 7)?,
        team: column(row, 8)?,
        user: column(row, 9)?,
        tokens_in: unsigned(row, 10)?,
        tokens_out: unsigned(row, 11)?,
        tokens_cached: unsigned(row, 12)?,
        tokens_reasoning: unsigned(row, 13)?,
        duration_ms: unsigned(row, 14)?,
        cost_micro_usd: column(row, 15)?,
        cost_source: CostSource::from_code(code(16)?).unwrap_or_default(),
        estimated: column(row, 17)?,
        tenant: column(row, 18)?,
        organization: column(row, 19)?,
        end_user: column(row, 20)?,
        tags: column(row, 21)?,
        address: column(row, 22)?,
    })
}
