//! The reference's PostgreSQL table as a chain that several processes share: the chain without a tenant.

use capsule::{Draft, Hash, Sealed, Signer, Timestamp};
use postgres::{Client, Config, NoTls, Transaction};

use super::{tls::Connector, url::Target};
use crate::shared::{SharedChain, SharedError};

/// The reference's table with its constraints and its indexes.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS quantumpipes_capsules (
    id VARCHAR(36) NOT NULL,
    type VARCHAR(20) NOT NULL,
    sequence INTEGER NOT NULL,
    previous_hash VARCHAR(64),
    data TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL,
    signature TEXT NOT NULL,
    signature_pq TEXT NOT NULL,
    signed_at VARCHAR(40),
    signed_by VARCHAR(32),
    session_id VARCHAR(36),
    domain VARCHAR(50) NOT NULL,
    tenant_id VARCHAR(36),
    PRIMARY KEY (id),
    CONSTRAINT uq_capsule_tenant_sequence UNIQUE (tenant_id, sequence)
);
CREATE INDEX IF NOT EXISTS ix_quantumpipes_capsules_domain ON quantumpipes_capsules (domain);
CREATE INDEX IF NOT EXISTS ix_quantumpipes_capsules_hash ON quantumpipes_capsules (hash);
CREATE INDEX IF NOT EXISTS ix_quantumpipes_capsules_sequence ON quantumpipes_capsules (sequence);
CREATE INDEX IF NOT EXISTS ix_quantumpipes_capsules_session_id ON quantumpipes_capsules (session_id);
CREATE INDEX IF NOT EXISTS ix_quantumpipes_capsules_tenant_id ON quantumpipes_capsules (tenant_id);
CREATE UNIQUE INDEX IF NOT EXISTS uq_capsule_global_sequence ON quantumpipes_capsules (sequence)
    WHERE tenant_id IS NULL;
";

/// Serialises the making of the table, for which there is nothing else to lock. Any constant will do.
const MAKING: i64 = 0x5347_4c31;

/// Keeps every other writer out, the reference included, and lets readers go on.
const LOCK: &str = "LOCK TABLE quantumpipes_capsules IN SHARE ROW EXCLUSIVE MODE";

const HEAD: &str = "SELECT sequence::int8, hash FROM quantumpipes_capsules WHERE tenant_id IS NULL \
                    ORDER BY sequence DESC LIMIT 1";

/// One statement for a whole batch. The domain is read from the document, which holds it anyway.
const INSERT: &str = "INSERT INTO quantumpipes_capsules (id, type, sequence, previous_hash, data, hash, \
                      signature, signature_pq, signed_at, signed_by, session_id, domain, tenant_id) \
                      SELECT id, type, sequence, previous_hash, data, hash, signature, '', $8, $9, \
                      session_id, data::json ->> 'domain', NULL \
                      FROM unnest($1::text[], $2::text[], $3::int4[], $4::text[], $5::text[], $6::text[], \
                      $7::text[], $10::text[]) \
                      AS batch (id, type, sequence, previous_hash, data, hash, signature, session_id)";

/// `quantumpipes_capsules` in one database.
#[derive(Debug)]
pub struct SharedTable {
    target: Target,
    /// Host and database, without any secret.
    place: String,
    client: Option<Opened>,
}

struct Opened(Client);

impl std::fmt::Debug for Opened {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Opened")
    }
}

impl SharedTable {
    /// The table in the database of a `postgresql://` URL, with the TLS that [`Target::parse`] reads in it; the table is made
    /// when it is first used.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn new(url: &str) -> Result<SharedTable, SharedError> {
        let target = Target::parse(url).map_err(|error| SharedError::Chain {
            place: "postgresql".to_owned(),
            reason: error.to_string(),
        })?;
        Ok(SharedTable {
            place: target.place().to_owned(),
            target,
            client: None,
        })
    }

    fn failed(&self, operation: &'static str) -> impl Fn(postgres::Error) -> SharedError + use<> {
        let place = self.place.clone();
        move |source| SharedError::Postgres {
            place: place.clone(),
            operation,
            source,
        }
    }

    fn connect(&self) -> Result<Client, SharedError> {
        let failed = self.failed("connect to");
        let tls = Connector::new(&self.target.tls).map_err(|reason| SharedError::Chain {
            place: self.place.clone(),
            reason,
        })?;
        let config = Config::from(self.target.config.clone());
        let mut client = match tls {
            Some(connector) => config.connect(connector),
            None => config.connect(NoTls),
        }
        .map_err(&failed)?;
        let fsync: String = client
            .query_one("SHOW fsync", &[])
            .and_then(|row| row.try_get(0))
            .map_err(&failed)?;
        if fsync != "on" {
            return Err(SharedError::Chain {
                place: self.place.clone(),
                reason: format!("fsync is {fsync}: commits would not be durable"),
            });
        }
        client
            .batch_execute(
                "SET synchronous_commit TO on; SET lock_timeout TO '10s'; SET statement_timeout TO '60s'",
            )
            .map_err(&failed)?;
        Ok(client)
    }

    fn insert_all(
        &mut self,
        drafts: Vec<Draft>,
        signer: &dyn Signer,
        now: Timestamp,
        again: bool,
    ) -> Result<(), SharedError> {
        let (reading, inserting) = (self.failed("read"), self.failed("insert into"));
        let (locking, committing) = (self.failed("lock"), self.failed("commit to"));
        let place = self.place.clone();
        if self.client.is_none() {
            self.client = Some(Opened(self.connect()?));
        }
        let Some(Opened(client)) = &mut self.client else {
            return Ok(());
        };
        let mut transaction = client.transaction().map_err(&locking)?;
        transaction.batch_execute(LOCK).map_err(&locking)?;
        let mut head = head(&mut transaction, &reading, &place)?;
        let there = if again {
            existing(&mut transaction, &drafts).map_err(&reading)?
        } else {
            Vec::new()
        };
        let mut sealed = Vec::with_capacity(drafts.len());
        for draft in drafts {
            if there.contains(&draft.id().to_string()) {
                continue;
            }
            let sequence = head.as_ref().map_or(0, |(sequence, _)| sequence + 1);
            let linked = draft.link(sequence, head.as_ref().map(|(_, hash)| hash));
            let record = linked.seal(signer, now)?;
            head = Some((sequence, record.hash()));
            sealed.push(record);
        }
        insert(&mut transaction, &sealed, &place, &inserting)?;
        transaction.commit().map_err(committing)
    }
}

impl SharedChain for SharedTable {
    fn check(&mut self, _signer: &dyn Signer) -> Result<(), SharedError> {
        let failed = self.failed("make the table in");
        let reading = self.failed("read");
        let place = self.place.clone();
        let mut client = self.connect()?;
        let mut transaction = client.transaction().map_err(&failed)?;
        transaction
            .execute("SELECT pg_advisory_xact_lock($1)", &[&MAKING])
            .map_err(&failed)?;
        let there: Option<String> = transaction
            .query_one("SELECT to_regclass('quantumpipes_capsules')::text", &[])
            .and_then(|row| row.try_get(0))
            .map_err(&failed)?;
        // Looking first: a user who may not make tables can still append.
        if there.is_none() {
            transaction.batch_execute(TABLES).map_err(&failed)?;
        }
        transaction.prepare(INSERT).map_err(&reading)?;
        head(&mut transaction, &reading, &place)?;
        transaction.commit().map_err(&failed)
    }

    fn append(
        &mut self,
        drafts: Vec<Draft>,
        signer: &dyn Signer,
        now: Timestamp,
        again: bool,
    ) -> Result<(), SharedError> {
        let done = self.insert_all(drafts, signer, now, again);
        if done.is_err() {
            // Whatever was wrong with this connection, the next try begins with a new one.
            self.client = None;
        }
        done
    }

    fn close(&mut self) {
        self.client = None;
    }
}

fn head(
    transaction: &mut Transaction<'_>,
    failed: &impl Fn(postgres::Error) -> SharedError,
    place: &str,
) -> Result<Option<(u64, Hash)>, SharedError> {
    let Some(row) = transaction.query_opt(HEAD, &[]).map_err(failed)? else {
        return Ok(None);
    };
    let sequence: i64 = row.try_get(0).map_err(failed)?;
    let hash: &str = row.try_get(1).map_err(failed)?;
    let unreadable = |reason: String| SharedError::Chain {
        place: place.to_owned(),
        reason,
    };
    let sequence = u64::try_from(sequence)
        .map_err(|_| unreadable(format!("its last sequence is {sequence}")))?;
    let hash = Hash::from_hex(hash).map_err(|error| unreadable(error.to_string()))?;
    Ok(Some((sequence, hash)))
}

fn existing(
    transaction: &mut Transaction<'_>,
    drafts: &[Draft],
) -> Result<Vec<String>, postgres::Error> {
    let ids: Vec<String> = drafts.iter().map(|draft| draft.id().to_string()).collect();
    let sql = "SELECT id FROM quantumpipes_capsules WHERE id = ANY($1::text[])";
    let rows = transaction.query(sql, &[&ids])?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

fn insert(
    transaction: &mut Transaction<'_>,
    records: &[Sealed],
    place: &str,
    failed: &impl Fn(postgres::Error) -> SharedError,
) -> Result<(), SharedError> {
    let Some(first) = records.first() else {
        return Ok(());
    };
    let full = |_| SharedError::Chain {
        place: place.to_owned(),
        reason: "the column of the sequence holds no larger number".to_owned(),
    };
    let each = |column: fn(&Sealed) -> String| records.iter().map(column).collect::<Vec<String>>();
    let sequences = records
        .iter()
        .map(|record| i32::try_from(record.sequence()));
    let sequences: Vec<i32> = sequences.collect::<Result<_, _>>().map_err(full)?;
    let previous = records
        .iter()
        .map(|record| record.previous_hash().map(Hash::hex));
    let previous: Vec<Option<String>> = previous.collect();
    let contents = records
        .iter()
        .map(|record| std::str::from_utf8(record.content()));
    let contents: Vec<&str> = contents.map(Result::unwrap_or_default).collect();
    let sessions: Vec<Option<&str>> = records.iter().map(Sealed::session_id).collect();
    let (signed_at, signed_by) = (first.signed_at().to_string(), first.signed_by());
    let inserted = transaction
        .execute(
            INSERT,
            &[
                &each(|record| record.id().to_string()),
                &each(|record| record.capsule_type().to_string()),
                &sequences,
                &previous,
                &contents,
                &each(|record| record.hash().hex()),
                &each(|record| record.signature_hex().to_owned()),
                &signed_at,
                &signed_by,
                &sessions,
            ],
        )
        .map_err(failed)?;
    debug_assert_eq!(inserted, records.len() as u64);
    Ok(())
}
