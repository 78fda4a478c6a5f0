//! The journal's calls as statements.
//!
//! The table of records is locked against writers that do not know the head (which excludes the Python package's), then the
//! head's row, which is the lock among our own processes, then this process's boot, whose lease must not have been taken over.
//! With these rows locked, what a compare-and-swap would find is known; writes are gathered and sent with the commit.

use capsule::{Id, Sealed, Timestamp};
use ledger::{
    OpenIntent,
    journal::{
        Chain, Class, Head, Journal, LockedHead, Quarantined, Result, Row, TreeWrite, UnclosedBoot,
    },
};
use std::time::Duration;
use tokio_postgres::types::ToSql;

use super::{
    Boot, Locked, PostgresJournal,
    batch::Place,
    error,
    link::Fault,
    rows::{COLUMNS, read_head, read_intent, read_row},
};
use crate::{
    change::Change,
    content::{self, Erasure, Retention},
    spend::Spend,
};

type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The condition that a row of the table of records belongs to a chain; `$1` is the tenant.
pub(super) fn whose(tenant: &str) -> &'static str {
    match tenant.is_empty() {
        true => "tenant_id IS NULL",
        false => "tenant_id = $1",
    }
}

const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; LOCK TABLE quantumpipes_capsules IN ROW EXCLUSIVE MODE";

impl PostgresJournal {
    /// Sends the gathered writes now, because something must see them or because a failure must be blamed on one of them.
    pub(super) fn flush(&mut self, operation: &'static str, commit: bool) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let place = Place {
            tenant: self.chain.tenant(),
            boot: self.boot.as_ref().map_or(0, |boot| boot.number),
            has_head: self
                .locked
                .as_ref()
                .is_some_and(|locked| locked.head.is_some()),
        };
        let (link, statements) = self.connection()?;
        let client = link.client();
        let sent = match (batch.is_empty(), commit) {
            (true, false) => Ok(()),
            (true, true) => link.run(client.batch_execute("COMMIT")),
            (false, _) => link.run(batch.send(client, statements, &place, commit)),
        };
        if let Err(fault) = sent {
            // The next transaction is sent statement by statement, so that the one that fails is known.
            self.careful = !batch.is_empty();
            // An intent of ours was gone: look again which are open before the next transaction.
            self.doubt |= fault.code() == Some(&tokio_postgres::error::SqlState::DIVISION_BY_ZERO);
            return Err(self.failed(operation, &fault));
        }
        if let Some(head) = batch.head
            && let Some(locked) = &mut self.locked
        {
            locked.head = Some(head);
        }
        self.staged.opened.extend(batch.intents.numbers());
        self.staged.taken.extend(batch.taken);
        Ok(())
    }

    /// After a write was gathered.
    fn gathered(&mut self, operation: &'static str) -> Result<()> {
        match self.careful {
            true => self.flush(operation, false),
            false => Ok(()),
        }
    }

    fn begun(&mut self) -> Result<()> {
        if self.begun {
            return Ok(());
        }
        let (link, _) = self.connection()?;
        let done = link.run(link.client().batch_execute(BEGIN));
        self.begun = done.is_ok();
        done.map_err(|fault| self.failed("begin", &fault))
    }

    fn execute(&mut self, operation: &'static str, sql: &str, params: Params<'_>) -> Result<u64> {
        let (link, _) = self.connection()?;
        let done = link.run(link.client().execute(sql, params));
        done.map_err(|fault| self.failed(operation, &fault))
    }

    pub(super) fn change(
        &mut self,
        operation: &'static str,
        sql: &str,
        params: Params<'_>,
    ) -> Result<u64> {
        self.begun()?;
        self.execute(operation, sql, params)
    }

    fn query<T>(
        &mut self,
        operation: &'static str,
        sql: &str,
        params: Params<'_>,
        read: impl Fn(&tokio_postgres::Row) -> std::result::Result<T, String>,
    ) -> Result<Vec<T>> {
        if !self.batch.is_empty() {
            self.flush(operation, false)?;
        }
        let (link, _) = self.connection()?;
        let found = link.run(link.client().query(sql, params));
        let rows = found.map_err(|fault| self.failed(operation, &fault))?;
        let rows = rows.iter().map(read).collect::<std::result::Result<_, _>>();
        rows.map_err(|message| error::fatal(operation, message))
    }

    /// A statement that fails on a lost connection loses it for all that follow.
    fn failed(&mut self, operation: &'static str, fault: &Fault) -> ledger::journal::JournalError {
        let error = error::journal(operation, fault);
        if error.class == Class::Fatal {
            self.lose();
        }
        error
    }

    /// Begins, locks and reads the head. A connection that was lost while nothing was under way costs nothing but a new one.
    fn lock(&mut self) -> Result<Locked> {
        let fresh = !self.begun && self.batch.is_empty();
        match self.lock_once() {
            Err(error) if error.class == Class::Fatal && fresh => {
                self.reopen()?;
                self.lock_once()
            }
            locked => locked,
        }
    }

    fn lock_once(&mut self) -> Result<Locked> {
        let begin = !self.begun;
        let boot = self
            .boot
            .as_ref()
            .map(|boot| boot.id.to_string())
            .unwrap_or_default();
        let tenant = self.chain.tenant().to_owned();
        let (link, statements) = self.connection()?;
        let client = link.client();
        let last_params: Params<'_> = if tenant.is_empty() { &[] } else { &[&tenant] };
        let (head_params, boot_params): (Params<'_>, Params<'_>) = (&[&tenant], &[&boot]);
        let answers = link.run(async {
            let (begun, head, boot, last) = tokio::join!(
                biased;
                async {
                    match begin {
                        true => client.batch_execute(BEGIN).await,
                        false => Ok(()),
                    }
                },
                client.query_opt(&statements.lock_head, head_params),
                client.query_opt(&statements.lock_boot, boot_params),
                client.query_opt(&statements.last, last_params),
            );
            begun?;
            Ok((head?, boot?, last?))
        });
        let (head, boot, last) = match answers {
            Ok(answers) => answers,
            Err(fault) => {
                self.begun = true;
                return Err(self.failed("lock head", &fault));
            }
        };
        self.begun = true;
        let read = |row: Option<tokio_postgres::Row>| {
            row.as_ref()
                .map(read_head)
                .transpose()
                .map_err(|message| error::fatal("lock head", message))
        };
        let boot = boot
            .map(|row| Ok((row.try_get(1)?, row.try_get(2)?)))
            .transpose()
            .map_err(|fault| self.failed("lock head", &Fault::Server(fault)))?;
        Ok(Locked {
            head: read(head)?,
            last: read(last)?,
            boot,
        })
    }
}

impl Journal for PostgresJournal {
    /// Nothing is sent yet: the first statement of the transaction takes the beginning along.
    fn begin(&mut self) -> Result<()> {
        self.forget();
        if std::mem::take(&mut self.doubt) {
            self.load_open()?;
        }
        self.connection().map(drop)
    }

    fn commit(&mut self) -> Result<()> {
        if !self.begun && self.batch.is_empty() {
            return Ok(());
        }
        self.begun()?;
        self.flush("commit", true)?;
        self.begun = false;
        self.locked = None;
        let staged = std::mem::take(&mut self.staged);
        if let Some(boot) = &mut self.boot {
            boot.open.extend(staged.opened);
            for number in staged.taken {
                boot.open.remove(&number);
            }
        }
        if staged.closed {
            self.boot = None;
        }
        if let Some(boot) = staged.boot {
            self.boot = Some(boot);
        }
        self.careful = false;
        Ok(())
    }

    fn rollback(&mut self) -> Result<()> {
        let begun = self.begun;
        self.forget();
        if !begun || self.link.is_none() {
            return Ok(());
        }
        let (link, _) = self.connection()?;
        let done = link.run(link.client().batch_execute("ROLLBACK"));
        done.map_err(|fault| {
            self.lose();
            error::fatal("rollback", fault.words())
        })
    }

    /// Connects again, ends the backends that were left behind, and waits for the lock that an unfinished transaction of theirs
    /// would hold: what can be read afterwards is all that there will ever be of it.
    fn reopen(&mut self) -> Result<()> {
        self.lose();
        self.connect()
            .map_err(|error| error::with_class(Class::Batch, "reopen", error.to_string()))?;
        for ghost in self.ghosts.clone() {
            let (link, _) = self.connection()?;
            let ended = link.end(ghost);
            ended.map_err(|fault| self.failed("reopen", &fault))?;
        }
        self.forget();
        self.lock_once()?;
        self.rollback()?;
        self.load_open()?;
        self.ghosts.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let done = self.rollback();
        self.link = None;
        done
    }

    /// Whether the server has room is known only when it takes a write; a full disk refuses the batch.
    fn has_room(&mut self) -> Result<bool> {
        Ok(true)
    }

    fn ledger_id(&mut self, chain: &Chain) -> Result<Option<Id>> {
        self.owns(chain)?;
        let sql = "SELECT id FROM sealgate_ledger WHERE chain = $1";
        let tenant = chain.tenant();
        let found = self.query("ledger id", sql, &[&tenant], |row| super::rows::id(row, 0))?;
        Ok(found.into_iter().next())
    }

    fn set_ledger_id(&mut self, chain: &Chain, id: &Id) -> Result<()> {
        self.owns(chain)?;
        let sql = "INSERT INTO sealgate_ledger (chain, id) VALUES ($1, $2)";
        let tenant = chain.tenant();
        self.change("set ledger id", sql, &[&tenant, &id.to_string()])
            .map(drop)
    }

    fn lock_head(&mut self, chain: &Chain) -> Result<LockedHead> {
        self.owns(chain)?;
        let locked = self.lock()?;
        if let (Some(boot), Some((_, owned))) = (&self.boot, locked.boot)
            && !owned
        {
            let message = format!(
                "the lease of boot {} was taken over by another instance",
                boot.id
            );
            return Err(error::with_class(Class::Batch, "lease", message));
        }
        if self.boot.is_none() {
            // What the start compares with this head must not be newer than it.
            let tree = self.read_tree()?;
            self.tree_at_start = Some(tree);
        }
        let found = LockedHead {
            last: locked.last,
            recorded: locked.head,
        };
        self.locked = Some(locked);
        Ok(found)
    }

    fn move_head(&mut self, _chain: &Chain, from: Option<&Head>, to: &Head) -> Result<bool> {
        if self.locked.as_ref().and_then(|locked| locked.head).as_ref() != from {
            return Ok(false);
        }
        self.batch.head = Some(*to);
        self.gathered("move head")?;
        Ok(true)
    }

    fn insert_record(&mut self, _chain: &Chain, record: &Sealed) -> Result<()> {
        let micros = record.signed_at().micros();
        if self.signed_at.0 != micros {
            self.signed_at = (micros, record.signed_at().to_string());
        }
        let sequence = number(record.sequence())?;
        if !self.batch.records.push(record, sequence, &self.signed_at.1) {
            return Err(error::item("insert record", "the record is no text"));
        }
        self.gathered("insert record")
    }

    fn attach(&mut self, _chain: &Chain, record: &Sealed, attachment: &[u8]) -> Result<()> {
        let sequence = number(record.sequence())?;
        if Change::is_change(attachment) {
            let change = Change::decode(attachment)
                .map_err(|error| error::item("change", error.to_string()))?;
            return self.apply_change(&record.id().to_string(), sequence, &change);
        }
        if Erasure::is_erasure(attachment) {
            return self.apply_erasure(sequence, attachment);
        }
        if Retention::is_retention(attachment) {
            return self.apply_retention(sequence, attachment);
        }
        let (content, attachment) = content::split(attachment)
            .map_err(|error| error::item("content", error.to_string()))?;
        if let Some(content) = content {
            self.batch.contents.push(sequence, content);
        }
        let spend =
            Spend::decode(attachment).map_err(|error| error::item("spend", error.to_string()))?;
        self.batch.spend.push(sequence, spend);
        self.gathered("spend")
    }

    fn quarantine(&mut self, chain: &Chain, entry: &Quarantined) -> Result<()> {
        let sql = "INSERT INTO sealgate_quarantine (chain, at, record, boot, intent, reason, digest, bytes) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let intent = entry.intent.map(|(_, intent)| number(intent)).transpose()?;
        // What the store refuses must not be refused here for the same reason.
        let reason = entry.reason.replace('\0', "");
        let params: Params<'_> = &[
            &chain.tenant(),
            &entry.at.micros(),
            &entry.record.map(|id| id.to_string()),
            &entry.intent.map(|(boot, _)| boot.to_string()),
            &intent,
            &reason,
            &entry.digest.hex(),
            &entry.bytes,
        ];
        self.change("quarantine", sql, params).map(drop)
    }

    /// What another instance of ours committed is no adoption: the recorded head says so.
    fn note_adopted(&mut self, chain: &Chain, first: u64, last: u64, at: Timestamp) -> Result<()> {
        let ours = self
            .locked
            .as_ref()
            .and_then(|locked| locked.head)
            .map(|head| head.sequence);
        let first = ours.map_or(first, |ours| first.max(ours.saturating_add(1)));
        if first > last {
            return Ok(());
        }
        let sql = "INSERT INTO sealgate_adopted (chain, first, last, at) VALUES ($1, $2, $3, $4)";
        let params: Params<'_> = &[
            &chain.tenant(),
            &number(first)?,
            &number(last)?,
            &at.micros(),
        ];
        self.change("note adopted", sql, params).map(drop)
    }

    fn begin_boot(&mut self, chain: &Chain, boot: &Id, at: Timestamp) -> Result<()> {
        self.owns(chain)?;
        self.begun()?;
        self.refuse_company()?;
        let sql = "INSERT INTO sealgate_boots (chain, id, started_at, address, lease_until) VALUES \
                   ($1, $2, $3, coalesce(host(inet_client_addr()), 'local'), \
                   clock_timestamp() + make_interval(secs => $4)) RETURNING number";
        let lease = self.settings.lease.as_secs_f64();
        let params: Params<'_> = &[&chain.tenant(), &boot.to_string(), &at.micros(), &lease];
        let read = |row: &tokio_postgres::Row| row.try_get(0).map_err(|error| error.to_string());
        let number = self
            .query("begin boot", sql, params, read)?
            .into_iter()
            .next();
        self.staged.boot = Some(Boot {
            id: *boot,
            number: number.ok_or_else(|| error::fatal("begin boot", "the row has no number"))?,
            open: std::collections::HashSet::new(),
        });
        Ok(())
    }

    fn close_boot(&mut self, _chain: &Chain, boot: &Id, at: Timestamp) -> Result<()> {
        // A process whose boot is closed writes its last tree and nothing else.
        self.staged.closed = self.boot.as_ref().is_some_and(|own| own.id == *boot);
        let sql = "UPDATE sealgate_boots SET closed_at = $2 WHERE id = $1";
        self.change("close boot", sql, &[&boot.to_string(), &at.micros()])
            .map(drop)
    }

    fn advance_boot(&mut self, _chain: &Chain, boot: &Id, from: u64, to: u64) -> Result<bool> {
        let own = self.boot.as_ref().is_some_and(|own| own.id == *boot);
        let locked = self.locked.as_ref().and_then(|locked| locked.boot);
        if !own || locked.map(|(last, _)| last) != Some(number(from)?) {
            return Ok(false);
        }
        self.batch.last_intent = Some(number(to)?);
        self.gathered("advance boot")?;
        Ok(true)
    }

    fn unclosed_boots(&mut self, chain: &Chain, _now: Timestamp) -> Result<Vec<UnclosedBoot>> {
        self.owns(chain)?;
        self.claim()
    }

    fn lease_interval(&self) -> Option<Duration> {
        Some(self.settings.lease / 3)
    }

    fn renew_lease(&mut self, boot: &Id, _now: Timestamp) -> Result<()> {
        self.renew(boot)
    }

    fn insert_intent(&mut self, _chain: &Chain, intent: &OpenIntent) -> Result<()> {
        let Some(boot) = self.boot.as_ref().filter(|boot| boot.id == intent.boot) else {
            return Err(error::fatal(
                "insert intent",
                "the boot is not this process's",
            ));
        };
        let boot = boot.number;
        self.batch
            .intents
            .push(boot, number(intent.number)?, intent);
        self.gathered("insert intent")
    }

    /// The open intents of this process are known to it alone while its lease holds; those of others are looked for.
    fn take_intent(&mut self, _chain: &Chain, boot: &Id, intent: u64) -> Result<bool> {
        let wanted = number(intent)?;
        if let Some(own) = self.boot.as_ref().filter(|own| own.id == *boot) {
            let taken = self.batch.taken.contains(&wanted) || self.staged.taken.contains(&wanted);
            if taken || !own.open.contains(&wanted) {
                return Ok(false);
            }
            self.batch.taken.push(wanted);
            self.gathered("take intent")?;
            return Ok(true);
        }
        let sql = "DELETE FROM sealgate_intents i USING sealgate_boots b \
                   WHERE b.id = $1 AND i.boot = b.number AND i.number = $2";
        Ok(self.change("take intent", sql, &[&boot.to_string(), &wanted])? == 1)
    }

    fn has_intent(&mut self, _chain: &Chain, boot: &Id, intent: u64) -> Result<bool> {
        let sql = "SELECT 1 FROM sealgate_intents i JOIN sealgate_boots b ON b.number = i.boot \
                   WHERE b.id = $1 AND i.number = $2";
        let found = self.query(
            "find intent",
            sql,
            &[&boot.to_string(), &number(intent)?],
            |_| Ok(()),
        )?;
        Ok(!found.is_empty())
    }

    fn open_intents(&mut self, _chain: &Chain, boot: &Id) -> Result<Vec<OpenIntent>> {
        let sql = "SELECT b.id, i.number, i.id, i.opened_at, i.payload FROM sealgate_intents i \
                   JOIN sealgate_boots b ON b.number = i.boot WHERE b.id = $1 ORDER BY i.number";
        self.query("open intents", sql, &[&boot.to_string()], read_intent)
    }

    fn rows(&mut self, chain: &Chain, from: u64, limit: usize) -> Result<Vec<Row>> {
        self.owns(chain)?;
        let whose = match chain.tenant().is_empty() {
            true => "tenant_id IS NULL AND $1 = ''",
            false => "tenant_id = $1",
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM quantumpipes_capsules WHERE {whose} AND sequence >= $2 ORDER BY sequence LIMIT $3"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.query(
            "rows",
            &sql,
            &[&chain.tenant(), &number(from)?, &limit],
            read_row,
        )
    }

    fn find_record(&mut self, _chain: &Chain, id: &Id) -> Result<Option<Head>> {
        let sql = "SELECT sequence::int8, hash FROM quantumpipes_capsules WHERE id = $1";
        let found = self.query("find record", sql, &[&id.to_string()], read_head)?;
        Ok(found.into_iter().next())
    }

    /// Other instances store the same tree: a larger one is never replaced by a smaller one, nor a fuller tile.
    fn put_tree(&mut self, chain: &Chain, write: &TreeWrite) -> Result<()> {
        let levels: Vec<i16> = write.tiles.iter().map(|tile| tile.level.into()).collect();
        let positions = write.tiles.iter().map(|tile| number(tile.index));
        let positions: Vec<i64> = positions.collect::<Result<_>>()?;
        let hashes: Vec<&[u8]> = write
            .tiles
            .iter()
            .map(|tile| tile.hashes.as_slice())
            .collect();
        let sql = "INSERT INTO sealgate_tiles (chain, level, position, hashes) \
                   SELECT $1::text, * FROM unnest($2::int2[], $3::int8[], $4::bytea[]) \
                   ON CONFLICT (chain, level, position) DO UPDATE SET hashes = excluded.hashes \
                   WHERE length(excluded.hashes) > length(sealgate_tiles.hashes)";
        self.change(
            "tile",
            sql,
            &[&chain.tenant(), &levels, &positions, &hashes],
        )?;
        let sql = "INSERT INTO sealgate_checkpoint (chain, size, note) VALUES ($1, $2, $3) \
                   ON CONFLICT (chain) DO UPDATE SET size = excluded.size, note = excluded.note \
                   WHERE excluded.size > sealgate_checkpoint.size";
        self.change(
            "checkpoint",
            sql,
            &[&chain.tenant(), &number(write.size)?, &write.note],
        )
        .map(drop)
    }

    fn tree(&mut self, chain: &Chain) -> Result<Option<(u64, String)>> {
        self.owns(chain)?;
        match &self.tree_at_start {
            Some(tree) => Ok(tree.clone()),
            None => self.read_tree(),
        }
    }

    fn tile(&mut self, chain: &Chain, level: u8, index: u64) -> Result<Option<Vec<u8>>> {
        let sql =
            "SELECT hashes FROM sealgate_tiles WHERE chain = $1 AND level = $2 AND position = $3";
        let params: Params<'_> = &[&chain.tenant(), &i16::from(level), &number(index)?];
        let read = |row: &tokio_postgres::Row| row.try_get(0).map_err(|error| error.to_string());
        Ok(self.query("tile", sql, params, read)?.into_iter().next())
    }

    fn reset_to(&mut self, chain: &Chain, to: &Head) -> Result<()> {
        self.owns(chain)?;
        let sql = "INSERT INTO sealgate_head (chain, sequence, hash) VALUES ($1, $2, $3) \
                   ON CONFLICT (chain) DO UPDATE SET sequence = excluded.sequence, hash = excluded.hash";
        let (tenant, sequence) = (chain.tenant(), number(to.sequence)?);
        self.change("reset head", sql, &[&tenant, &sequence, &to.hash.hex()])?;
        self.change(
            "reset tree",
            "DELETE FROM sealgate_tiles WHERE chain = $1",
            &[&tenant],
        )?;
        self.change(
            "reset tree",
            "DELETE FROM sealgate_checkpoint WHERE chain = $1",
            &[&tenant],
        )?;
        self.tree_at_start = None;
        let sql = "DELETE FROM sealgate_content WHERE chain = $1 AND sequence > $2";
        self.change("reset content", sql, &[&tenant, &sequence])?;
        let sql = "DELETE FROM sealgate_spend WHERE chain = $1 AND sequence > $2";
        self.change("reset spend", sql, &[&tenant, &sequence])
            .map(drop)
    }
}

impl PostgresJournal {
    fn read_tree(&mut self) -> Result<Option<(u64, String)>> {
        let sql = "SELECT size, note FROM sealgate_checkpoint WHERE chain = $1";
        let tenant = self.chain.tenant().to_owned();
        let found = self.query("checkpoint", sql, &[&tenant], |row| {
            let size: i64 = row.try_get(0).map_err(|error| error.to_string())?;
            let note: String = row.try_get(1).map_err(|error| error.to_string())?;
            Ok((u64::try_from(size).unwrap_or(u64::MAX), note))
        })?;
        Ok(found.into_iter().next())
    }

    /// This process's open intents, as they stand after a doubt.
    fn load_open(&mut self) -> Result<()> {
        let Some(boot) = self.boot.as_ref().map(|boot| boot.number) else {
            return Ok(());
        };
        let sql = "SELECT number FROM sealgate_intents WHERE boot = $1";
        let read =
            |row: &tokio_postgres::Row| row.try_get::<_, i64>(0).map_err(|error| error.to_string());
        let open = self.query("open intents", sql, &[&boot], read)?;
        if let Some(boot) = &mut self.boot {
            boot.open = open.into_iter().collect();
        }
        Ok(())
    }
}

pub(super) fn number(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| error::item("number", "larger than the database holds"))
}
