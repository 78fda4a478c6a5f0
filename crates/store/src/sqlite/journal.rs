//! The statements.

use capsule::{Hash, Id, Sealed, Timestamp};
use ledger::{
    OpenIntent,
    journal::{
        Chain, Class, Head, Journal, JournalError, LockedHead, Quarantined, Result, Row, TreeWrite,
        UnclosedBoot,
    },
};
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::{
    SqliteJournal, error,
    rows::{COLUMNS, id, read_head, read_intent, read_row},
    values::{Text, signed},
    wal::checkpoint,
};
use crate::{
    change::Change,
    content::{self, Erasure, Retention},
    disk,
    spend::Spend,
};

impl SqliteJournal {
    /// Chains of tenants need tables that this layout does not have.
    fn default_chain(chain: &Chain) -> Result<()> {
        if chain.tenant().is_empty() {
            return Ok(());
        }
        Err(error::fatal(
            "chain",
            format!("this file holds no chain of the tenant {chain}"),
        ))
    }

    pub(super) fn execute(
        &self,
        operation: &'static str,
        sql: &str,
        params: impl Params,
    ) -> Result<usize> {
        run(self.connection()?, sql, params).map_err(|error| error::journal(operation, &error))
    }

    fn boot_number(&mut self, boot: &Id) -> Result<i64> {
        if let Some(number) = self.boots.get(boot) {
            return Ok(*number);
        }
        let sql = "SELECT number FROM sealgate_boots WHERE id = ?1";
        let number = self
            .connection()?
            .query_row(sql, [boot.to_string()], |row| row.get(0))
            .map_err(|error| error::journal("find boot", &error))?;
        self.boots.insert(*boot, number);
        Ok(number)
    }

    fn leave_gate(&mut self) {
        if std::mem::take(&mut self.in_gate) {
            self.gate.leave();
        }
    }

    fn read<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        read(self.connection()?).map_err(|error| error::journal(operation, &error))
    }
}

fn run(connection: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(params)
}

impl Journal for SqliteJournal {
    fn begin(&mut self) -> Result<()> {
        if !self.in_gate {
            self.gate.enter();
            self.in_gate = true;
        }
        self.limit_pages()?;
        self.execute("begin", "BEGIN IMMEDIATE", []).map(drop)
    }

    fn commit(&mut self) -> Result<()> {
        let done = self.execute("commit", "COMMIT", []).map(drop);
        if done.is_ok() {
            self.leave_gate();
        }
        done
    }

    fn rollback(&mut self) -> Result<()> {
        let open = self
            .connection
            .as_ref()
            .is_some_and(|connection| !connection.is_autocommit());
        let done = if open {
            self.execute("rollback", "ROLLBACK", []).map(drop)
        } else {
            Ok(())
        };
        self.leave_gate();
        // A transaction that cannot be ended leaves nothing certain.
        done.map_err(|error| JournalError {
            class: Class::Fatal,
            ..error
        })
    }

    /// Drops the connection, connects again and folds the whole log into the database. The fold
    /// rewrites and syncs whatever the log holds, so that nothing is taken for durable only because a
    /// cache still has it after a failed sync.
    fn reopen(&mut self) -> Result<()> {
        self.leave_gate();
        self.connection = None;
        self.folder = None;
        self.boots.clear();
        self.connect()
            .map_err(|error| error::fatal("reopen", error.to_string()))?;
        self.read("reopen", |connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            })
        })
        .and_then(|busy| match busy {
            0 => Ok(()),
            _ => Err(error::fatal(
                "reopen",
                "a reader keeps the log from being folded in",
            )),
        })
    }

    fn close(&mut self) -> Result<()> {
        self.leave_gate();
        self.folder = None;
        let folded = self.read("close", |connection| {
            checkpoint(connection, "TRUNCATE").map(drop)
        });
        self.connection = None;
        folded
    }

    fn has_room(&mut self) -> Result<bool> {
        let free = disk::free_bytes(self.path.parent().unwrap_or(&self.path))
            .map_err(|source| error::fatal("disk reserve", source.to_string()))?;
        Ok(free >= self.settings.disk_reserve)
    }

    fn ledger_id(&mut self, chain: &Chain) -> Result<Option<Id>> {
        SqliteJournal::default_chain(chain)?;
        let sql = "SELECT id FROM sealgate_ledger WHERE tenant = ''";
        self.read("ledger id", |connection| {
            connection.query_row(sql, [], |row| id(row, 0)).optional()
        })
    }

    fn set_ledger_id(&mut self, chain: &Chain, id: &Id) -> Result<()> {
        SqliteJournal::default_chain(chain)?;
        let sql = "INSERT INTO sealgate_ledger (tenant, id) VALUES ('', ?1)";
        self.execute("set ledger id", sql, [id.to_string()])
            .map(drop)
    }

    fn lock_head(&mut self, chain: &Chain) -> Result<LockedHead> {
        SqliteJournal::default_chain(chain)?;
        self.read("lock head", |connection| {
            let last = "SELECT sequence, hash FROM capsules ORDER BY sequence DESC LIMIT 1";
            let recorded = "SELECT sequence, hash FROM sealgate_head WHERE tenant = ''";
            Ok(LockedHead {
                last: connection
                    .prepare_cached(last)?
                    .query_row([], read_head)
                    .optional()?,
                recorded: connection
                    .prepare_cached(recorded)?
                    .query_row([], read_head)
                    .optional()?,
            })
        })
    }

    fn move_head(&mut self, _chain: &Chain, from: Option<&Head>, to: &Head) -> Result<bool> {
        let hash = to.hash.to_ascii();
        let moved = match from {
            None => {
                let sql = "INSERT OR IGNORE INTO sealgate_head (tenant, sequence, hash) VALUES ('', ?1, ?2)";
                self.execute("move head", sql, params![number(to.sequence)?, Text(&hash)])?
            }
            Some(from) => {
                let sql = "UPDATE sealgate_head SET sequence = ?1, hash = ?2 \
                           WHERE tenant = '' AND sequence = ?3 AND hash = ?4";
                let old = from.hash.to_ascii();
                let values = params![
                    number(to.sequence)?,
                    Text(&hash),
                    number(from.sequence)?,
                    Text(&old)
                ];
                self.execute("move head", sql, values)?
            }
        };
        Ok(moved == 1)
    }

    fn insert_record(&mut self, _chain: &Chain, record: &Sealed) -> Result<()> {
        let micros = record.signed_at().micros();
        if self.signed_at.0 != micros {
            self.signed_at = (micros, record.signed_at().to_string());
        }
        let previous = record.previous_hash().map(Hash::to_ascii);
        let sql = "INSERT INTO capsules (sequence, id, type, previous_hash, data, hash, signature, \
                   signature_pq, signed_at, signed_by, session_id) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let values = params![
            number(record.sequence())?,
            record.id().to_string(),
            record.capsule_type().as_str(),
            previous.as_ref().map(|hash| Text(hash)),
            Text(record.content()),
            Text(&record.hash().to_ascii()),
            record.signature_hex(),
            record.signature_pq_hex(),
            self.signed_at.1,
            record.signed_by(),
            record.session_id(),
        ];
        run(self.connection()?, sql, values)
            .map(drop)
            .map_err(|error| error::record(&error))
    }

    fn attach(&mut self, _chain: &Chain, record: &Sealed, attachment: &[u8]) -> Result<()> {
        if Change::is_change(attachment) {
            return self.apply_change(record, attachment);
        }
        if Erasure::is_erasure(attachment) {
            return self.apply_erasure(record, attachment);
        }
        if Retention::is_retention(attachment) {
            return self.apply_retention(record, attachment);
        }
        let (content, attachment) = content::split(attachment)
            .map_err(|error| error::item("content", error.to_string()))?;
        if let Some(content) = content {
            self.put_content(record, &content)?;
        }
        let spend =
            Spend::decode(attachment).map_err(|error| error::item("spend", error.to_string()))?;
        // The columns in the order in which the migrations made them.
        let sql = "INSERT INTO sealgate_spend VALUES \
                   (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
                   ?19, ?20, ?21, ?22, ?23)";
        let values = params![
            number(record.sequence())?,
            spend.at,
            spend.status.code(),
            spend.call_type,
            spend.model,
            spend.deployment,
            spend.provider,
            spend.key,
            spend.team,
            spend.user,
            number(spend.tokens_in)?,
            number(spend.tokens_out)?,
            number(spend.tokens_cached)?,
            number(spend.tokens_reasoning)?,
            number(spend.duration_ms)?,
            spend.cost_micro_usd,
            spend.cost_source.code(),
            spend.estimated,
            spend.tenant,
            spend.organization,
            spend.end_user,
            spend.tags,
            spend.address,
        ];
        self.execute("spend", sql, values).map(drop)
    }

    fn quarantine(&mut self, _chain: &Chain, entry: &Quarantined) -> Result<()> {
        let sql = "INSERT INTO sealgate_quarantine (at, record, boot, intent, reason, digest, bytes) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = params![
            entry.at.micros(),
            entry.record.map(|id| id.to_string()),
            entry.intent.map(|(boot, _)| boot.to_string()),
            entry.intent.map(|(_, intent)| number(intent)).transpose()?,
            entry.reason,
            entry.digest.hex(),
            entry.bytes,
        ];
        self.execute("quarantine", sql, values).map(drop)
    }

    fn note_adopted(&mut self, _chain: &Chain, first: u64, last: u64, at: Timestamp) -> Result<()> {
        let sql = "INSERT INTO sealgate_adopted (first, last, at) VALUES (?1, ?2, ?3)";
        self.execute(
            "note adopted",
            sql,
            params![number(first)?, number(last)?, at.micros()],
        )
        .map(drop)
    }

    fn begin_boot(&mut self, chain: &Chain, boot: &Id, at: Timestamp) -> Result<()> {
        SqliteJournal::default_chain(chain)?;
        let sql = "INSERT INTO sealgate_boots (id, started_at) VALUES (?1, ?2)";
        self.execute("begin boot", sql, params![boot.to_string(), at.micros()])
            .map(drop)
    }

    fn close_boot(&mut self, _chain: &Chain, boot: &Id, at: Timestamp) -> Result<()> {
        let sql = "UPDATE sealgate_boots SET closed_at = ?2 WHERE id = ?1";
        self.execute("close boot", sql, params![boot.to_string(), at.micros()])
            .map(drop)
    }

    fn advance_boot(&mut self, _chain: &Chain, boot: &Id, from: u64, to: u64) -> Result<bool> {
        let boot = self.boot_number(boot)?;
        let sql =
            "UPDATE sealgate_boots SET last_intent = ?1 WHERE number = ?2 AND last_intent = ?3";
        Ok(self.execute(
            "advance boot",
            sql,
            params![number(to)?, boot, number(from)?],
        )? == 1)
    }

    /// The file lock was taken when this journal was opened, so whoever began a boot is dead.
    fn unclosed_boots(&mut self, chain: &Chain, _now: Timestamp) -> Result<Vec<UnclosedBoot>> {
        SqliteJournal::default_chain(chain)?;
        let sql =
            "SELECT id, last_intent FROM sealgate_boots WHERE closed_at IS NULL ORDER BY number";
        self.read("unclosed boots", |connection| {
            let mut statement = connection.prepare(sql)?;
            let boots = statement.query_map([], |row| {
                let last: i64 = row.get(1)?;
                Ok(UnclosedBoot {
                    id: id(row, 0)?,
                    last_intent: u64::try_from(last).unwrap_or(0),
                })
            })?;
            boots.collect()
        })
    }

    fn insert_intent(&mut self, _chain: &Chain, intent: &OpenIntent) -> Result<()> {
        let boot = self.boot_number(&intent.boot)?;
        let sql = "INSERT INTO sealgate_intents (boot, number, id, opened_at, payload) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let values = params![
            boot,
            number(intent.number)?,
            intent.id.to_string(),
            intent.opened_at.micros(),
            intent.payload,
        ];
        self.execute("insert intent", sql, values).map(drop)
    }

    fn take_intent(&mut self, _chain: &Chain, boot: &Id, intent: u64) -> Result<bool> {
        let boot = self.boot_number(boot)?;
        let sql = "DELETE FROM sealgate_intents WHERE boot = ?1 AND number = ?2";
        Ok(self.execute("take intent", sql, params![boot, number(intent)?])? == 1)
    }

    fn has_intent(&mut self, _chain: &Chain, boot: &Id, intent: u64) -> Result<bool> {
        let boot = self.boot_number(boot)?;
        let sql = "SELECT 1 FROM sealgate_intents WHERE boot = ?1 AND number = ?2";
        let values = params![boot, number(intent)?];
        self.read("find intent", |connection| {
            connection.prepare_cached(sql)?.exists(values)
        })
    }

    fn open_intents(&mut self, _chain: &Chain, boot: &Id) -> Result<Vec<OpenIntent>> {
        let sql = "SELECT b.id, i.number, i.id, i.opened_at, i.payload FROM sealgate_intents i \
                   JOIN sealgate_boots b ON b.number = i.boot WHERE b.id = ?1 ORDER BY i.number";
        self.read("open intents", |connection| {
            let mut statement = connection.prepare(sql)?;
            statement
                .query_map([boot.to_string()], read_intent)?
                .collect()
        })
    }

    fn rows(&mut self, chain: &Chain, from: u64, limit: usize) -> Result<Vec<Row>> {
        SqliteJournal::default_chain(chain)?;
        let sql = format!(
            "SELECT {COLUMNS} FROM capsules WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2"
        );
        let values = params![number(from)?, i64::try_from(limit).unwrap_or(i64::MAX)];
        self.read("rows", |connection| {
            connection
                .prepare_cached(&sql)?
                .query_map(values, read_row)?
                .collect()
        })
    }

    fn find_record(&mut self, _chain: &Chain, id: &Id) -> Result<Option<Head>> {
        let sql = "SELECT sequence, hash FROM capsules WHERE id = ?1";
        self.read("find record", |connection| {
            connection
                .prepare_cached(sql)?
                .query_row([id.to_string()], read_head)
                .optional()
        })
    }

    fn put_tree(&mut self, _chain: &Chain, write: &TreeWrite) -> Result<()> {
        let sql = "INSERT INTO sealgate_tiles (level, position, hashes) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (level, position) DO UPDATE SET hashes = excluded.hashes";
        for tile in &write.tiles {
            self.execute(
                "tile",
                sql,
                params![tile.level, number(tile.index)?, tile.hashes],
            )?;
        }
        let sql =
            "INSERT OR REPLACE INTO sealgate_checkpoint (tenant, size, note) VALUES ('', ?1, ?2)";
        self.execute("checkpoint", sql, params![number(write.size)?, write.note])
            .map(drop)
    }

    fn tree(&mut self, chain: &Chain) -> Result<Option<(u64, String)>> {
        SqliteJournal::default_chain(chain)?;
        let sql = "SELECT size, note FROM sealgate_checkpoint WHERE tenant = ''";
        let found: Option<(i64, String)> = self.read("checkpoint", |connection| {
            connection
                .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })?;
        Ok(found.map(|(size, note)| (u64::try_from(size).unwrap_or(u64::MAX), note)))
    }

    fn tile(&mut self, _chain: &Chain, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT hashes FROM sealgate_tiles WHERE level = ?1 AND position = ?2";
        let values = params![level, number(index)?];
        self.read("tile", |connection| {
            connection
                .prepare_cached(sql)?
                .query_row(values, |row| row.get(0))
                .optional()
        })
    }

    fn reset_to(&mut self, chain: &Chain, to: &Head) -> Result<()> {
        SqliteJournal::default_chain(chain)?;
        let sql =
            "INSERT OR REPLACE INTO sealgate_head (tenant, sequence, hash) VALUES ('', ?1, ?2)";
        self.execute(
            "reset head",
            sql,
            params![number(to.sequence)?, Text(&to.hash.to_ascii())],
        )?;
        self.execute("reset tree", "DELETE FROM sealgate_tiles", [])?;
        self.execute("reset tree", "DELETE FROM sealgate_checkpoint", [])?;
        let sql = "DELETE FROM sealgate_content WHERE sequence > ?1";
        self.execute("reset content", sql, [number(to.sequence)?])?;
        let sql = "DELETE FROM sealgate_spend WHERE sequence > ?1";
        self.execute("reset spend", sql, [number(to.sequence)?])
            .map(drop)
    }
}

pub(super) fn number(number: u64) -> Result<i64> {
    signed(number).map_err(|error| error::item("number", error.to_string()))
}
