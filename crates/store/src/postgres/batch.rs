//! What a transaction is going to write, gathered until its end and sent as one statement per table.

use capsule::{Hash, Sealed};
use ledger::{OpenIntent, journal::Head};
use tokio_postgres::{Client, Error, Statement};

use crate::{content::Content, spend::Spend};

/// Records, rows of spend and intents of one transaction, column by column.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: Records,
    pub(super) spend: Spends,
    pub(super) contents: Contents,
    pub(super) intents: Intents,
    /// Numbers of this boot's intents that are settled.
    pub(super) taken: Vec<i64>,
    /// The last intent number of this boot.
    pub(super) last_intent: Option<i64>,
    /// Where the chain ends then.
    pub(super) head: Option<Head>,
}

#[derive(Debug, Default)]
pub(super) struct Records {
    id: Vec<String>,
    kind: Vec<&'static str>,
    sequence: Vec<i64>,
    previous: Vec<Option<String>>,
    data: Vec<String>,
    hash: Vec<String>,
    signature: Vec<String>,
    signature_pq: Vec<String>,
    signed_at: Vec<String>,
    signed_by: Vec<String>,
    session: Vec<Option<String>>,
    domain: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Intents {
    boot: Vec<i64>,
    number: Vec<i64>,
    id: Vec<String>,
    opened_at: Vec<i64>,
    payload: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Spends {
    sequence: Vec<i64>,
    rows: Vec<Spend>,
}

#[derive(Debug, Default)]
pub(super) struct Contents {
    sequence: Vec<i64>,
    rows: Vec<Content>,
}

/// The statements of every transaction, prepared once for each connection.
pub(super) struct Statements {
    pub(super) lock_head: Statement,
    pub(super) lock_boot: Statement,
    pub(super) last: Statement,
    insert_records: Statement,
    insert_spend: Statement,
    insert_content: Statement,
    insert_intents: Statement,
    take: Statement,
    advance: Statement,
    move_head: Statement,
    first_head: Statement,
}

/// The chain's last record. The default chain is the one without a tenant.
fn last(tenant: &str) -> String {
    let whose = super::journal::whose(tenant);
    format!(
        "SELECT sequence::int8, hash FROM quantumpipes_capsules WHERE {whose} \
         ORDER BY sequence DESC LIMIT 1"
    )
}

const INSERT_RECORDS: &str = "INSERT INTO quantumpipes_capsules (id, type, sequence, previous_hash, data, hash, signature, \
    signature_pq, signed_at, signed_by, session_id, domain, tenant_id) \
    SELECT *, nullif($13::text, '') FROM unnest($1::text[], $2::text[], $3::int8[], $4::text[], $5::text[], $6::text[], \
    $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[])";

const INSERT_SPEND: &str = "INSERT INTO sealgate_spend (chain, sequence, at, status, call_type, model, deployment, provider, \
    key, team, \"user\", tokens_in, tokens_out, tokens_cached, tokens_reasoning, duration_ms, cost_micro_usd, cost_source, \
    estimated, tenant, organization, end_user, tags, address) \
    SELECT $1::text, * FROM unnest($2::int8[], $3::int8[], $4::int2[], $5::text[], $6::text[], $7::text[], $8::text[], \
    $9::text[], $10::text[], $11::text[], $12::int8[], $13::int8[], $14::int8[], $15::int8[], $16::int8[], $17::int8[], \
    $18::int2[], $19::bool[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[])";

const INSERT_CONTENT: &str = "INSERT INTO sealgate_content (chain, sequence, hour, subject, key, wrapped, sealed) \
    SELECT $1::text, * FROM unnest($2::int8[], $3::int8[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[])";

const INSERT_INTENTS: &str = "INSERT INTO sealgate_intents (boot, number, id, opened_at, payload) \
    SELECT * FROM unnest($1::int8[], $2::int8[], $3::text[], $4::int8[], $5::bytea[])";

/// Fails, and the transaction with it, when one of the intents is not there.
const TAKE: &str = "WITH gone AS (DELETE FROM sealgate_intents WHERE boot = $1 AND number = ANY($2) RETURNING 1) \
    SELECT 1 / (CASE WHEN count(*) = cardinality($2::int8[]) THEN 1 ELSE 0 END) FROM gone";

impl Statements {
    pub(super) async fn prepare(client: &Client, tenant: &str) -> Result<Statements, Error> {
        Ok(Statements {
            lock_head: client
                .prepare("SELECT sequence, hash FROM sealgate_head WHERE chain = $1 FOR UPDATE")
                .await?,
            lock_boot: client
                .prepare(
                    "SELECT number, last_intent, closed_at IS NULL AND claimed_by IS NULL \
                     FROM sealgate_boots WHERE id = $1 FOR UPDATE",
                )
                .await?,
            last: client.prepare(&last(tenant)).await?,
            insert_records: client.prepare(INSERT_RECORDS).await?,
            insert_spend: client.prepare(INSERT_SPEND).await?,
            insert_content: client.prepare(INSERT_CONTENT).await?,
            insert_intents: client.prepare(INSERT_INTENTS).await?,
            take: client.prepare(TAKE).await?,
            advance: client
                .prepare("UPDATE sealgate_boots SET last_intent = $2 WHERE number = $1")
                .await?,
            move_head: client
                .prepare("UPDATE sealgate_head SET sequence = $2, hash = $3 WHERE chain = $1")
                .await?,
            first_head: client
                .prepare("INSERT INTO sealgate_head (chain, sequence, hash) VALUES ($1, $2, $3)")
                .await?,
        })
    }
}

/// What a statement of a batch needs beside its rows.
pub(super) struct Place<'a> {
    pub(super) tenant: &'a str,
    /// Row number of this process's boot.
    pub(super) boot: i64,
    /// Whether the chain has a head already.
    pub(super) has_head: bool,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.records.id.is_empty()
            && self.spend.rows.is_empty()
            && self.contents.rows.is_empty()
            && self.intents.id.is_empty()
            && self.taken.is_empty()
            && self.last_intent.is_none()
            && self.head.is_none()
    }

    /// Sends everything at once, and with `commit` the end of the transaction behind it. The server works through it in order;
    /// after a failure it skips the rest, and the commit then is a rollback.
    pub(super) async fn send(
        &self,
        client: &Client,
        statements: &Statements,
        place: &Place<'_>,
        commit: bool,
    ) -> Result<(), Error> {
        let (taken, records, spend, contents, intents, advanced, moved, done) = tokio::join!(
            biased;
            self.take(client, statements, place),
            self.records.send(client, statements, place),
            self.spend.send(client, statements, place),
            self.contents.send(client, statements, place),
            self.intents.send(client, statements),
            self.advance(client, statements, place),
            self.move_head(client, statements, place),
            async {
                match commit {
                    true => client.batch_execute("COMMIT").await,
                    false => Ok(()),
                }
            },
        );
        taken
            .and(records)
            .and(spend)
            .and(contents)
            .and(intents)
            .and(advanced)
            .and(moved)
            .and(done)
    }

    async fn take(
        &self,
        client: &Client,
        statements: &Statements,
        place: &Place<'_>,
    ) -> Result<(), Error> {
        if self.taken.is_empty() {
            return Ok(());
        }
        client
            .query(&statements.take, &[&place.boot, &self.taken])
            .await
            .map(drop)
    }

    async fn advance(
        &self,
        client: &Client,
        statements: &Statements,
        place: &Place<'_>,
    ) -> Result<(), Error> {
        let Some(last) = self.last_intent else {
            return Ok(());
        };
        client
            .execute(&statements.advance, &[&place.boot, &last])
            .await
            .map(drop)
    }

    async fn move_head(
        &self,
        client: &Client,
        statements: &Statements,
        place: &Place<'_>,
    ) -> Result<(), Error> {
        let Some(head) = &self.head else {
            return Ok(());
        };
        let statement = match place.has_head {
            true => &statements.move_head,
            false => &statements.first_head,
        };
        let sequence = i64::try_from(head.sequence).unwrap_or(i64::MAX);
        client
            .execute(statement, &[&place.tenant, &sequence, &head.hash.hex()])
            .await
            .map(drop)
    }
}

impl Records {
    /// Adds a record; false when it is no text, which no record is.
    pub(super) fn push(&mut self, record: &Sealed, sequence: i64, signed_at: &str) -> bool {
        let Ok(data) = String::from_utf8(record.content().to_vec()) else {
            return false;
        };
        self.domain.push(domain(record.content()));
        self.id.push(record.id().to_string());
        self.kind.push(record.capsule_type().as_str());
        self.sequence.push(sequence);
        self.previous.push(record.previous_hash().map(Hash::hex));
        self.data.push(data);
        self.hash.push(record.hash().hex());
        self.signature.push(record.signature_hex().to_owned());
        self.signature_pq.push(record.signature_pq_hex().to_owned());
        self.signed_at.push(signed_at.to_owned());
        self.signed_by.push(record.signed_by().to_owned());
        self.session.push(record.session_id().map(str::to_owned));
        true
    }

    async fn send(
        &self,
        client: &Client,
        statements: &Statements,
        place: &Place<'_>,
    ) -> Result<(), Error> {
        if self.id.is_empty() {
            return Ok(());
        }
        client
            .execute(
                &statements.insert_records,
                &[
                    &self.id,
                    &self.kind,
                    &self.sequence,
                    &self.previous,
                    &self.data,
                    &self.hash,
                    &self.signature,
                    &self.signature_pq,
                    &self.signed_at,
                    &self.signed_by,
                    &self.session,
                    &self.domain,
                    &place.tenant,
                ],
            )
            .await
            .map(drop)
    }
}

impl Intents {
    pub(super) fn push(&mut self, boot: i64, number: i64, intent: &OpenIntent) {
        self.boot.push(boot);
        self.number.push(number);
        self.id.push(intent.id.to_string());
        self.opened_at.push(intent.opened_at.micros());
        self.payload.push(intent.payload.clone());
    }

    /// Numbers of the intents.
    pub(super) fn numbers(&self) -> &[i64] {
        &self.number
    }

    async fn send(&self, client: &Client, statements: &Statements) -> Result<(), Error> {
        if self.id.is_empty() {
            return Ok(());
        }
        client
            .execute(
                &statements.insert_intents,
                &[
                    &self.boot,
                    &self.number,
                    &self.id,
                    &self.opened_at,
                    &self.payload,
                ],
            )
            .await
            .map(drop)
    }
}

impl Contents {
    pub(super) fn push(&mut self, sequence: i64, row: Content) {
        self.sequence.push(sequence);
        self.rows.push(row);
    }

    async fn send(
        &self,
        client: &Client,
        statements: &Statements,
        place: &Place<'_>,
    ) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let bytes = |of: fn(&Content) -> &[u8]| self.rows.iter().map(of).collect::<Vec<&[u8]>>();
        let hour: Vec<i64> = self.rows.iter().map(|row| row.hour).collect();
        client
            .execute(
                &statements.insert_content,
                &[
                    &place.tenant,
                    &self.sequence,
                    &hour,
                    &bytes(|row| row.subject.0.as_slice()),
                    &bytes(|row| row.key.0.as_slice()),
                    &bytes(|row| row.wrapped.as_slice()),
                    &bytes(|row| row.sealed.as_slice()),
                ],
            )
            .await
            .map(drop)
    }
}

impl Spends {
    pub(super) fn push(&mut self, sequence: i64, row: Spend) {
        self.sequence.push(sequence);
        self.rows.push(row);
    }

    async fn send(
        &self,
        client: &Client,
        statements: &Statements,
        place: &Place<'_>,
    ) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let text = |of: fn(&Spend) -> &str| self.rows.iter().map(of).collect::<Vec<&str>>();
        // No count of tokens reaches the limit; one that did would be a count of nothing.
        let number = |of: fn(&Spend) -> u64| {
            let numbers = self
                .rows
                .iter()
                .map(|row| i64::try_from(of(row)).unwrap_or(i64::MAX));
            numbers.collect::<Vec<i64>>()
        };
        let at: Vec<i64> = self.rows.iter().map(|row| row.at).collect();
        let status: Vec<i16> = self
            .rows
            .iter()
            .map(|row| row.status.code().into())
            .collect();
        let source: Vec<i16> = self
            .rows
            .iter()
            .map(|row| row.cost_source.code().into())
            .collect();
        let cost: Vec<Option<i64>> = self.rows.iter().map(|row| row.cost_micro_usd).collect();
        let estimated: Vec<bool> = self.rows.iter().map(|row| row.estimated).collect();
        client
            .execute(
                &statements.insert_spend,
                &[
                    &place.tenant,
                    &self.sequence,
                    &at,
                    &status,
                    &text(|row| &row.call_type),
                    &text(|row| &row.model),
                    &text(|row| &row.deployment),
                    &text(|row| &row.provider),
                    &text(|row| &row.key),
                    &text(|row| &row.team),
                    &text(|row| &row.user),
                    &number(|row| row.tokens_in),
                    &number(|row| row.tokens_out),
                    &number(|row| row.tokens_cached),
                    &number(|row| row.tokens_reasoning),
                    &number(|row| row.duration_ms),
                    &cost,
                    &source,
                    &estimated,
                    &text(|row| &row.tenant),
                    &text(|row| &row.organization),
                    &text(|row| &row.end_user),
                    &text(|row| &row.tags),
                    &text(|row| &row.address),
                ],
            )
            .await
            .map(drop)
    }
}

/// The document's own `domain`, which a column repeats. Empty when there is none.
fn domain(content: &[u8]) -> String {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = content.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string_end(content, at);
                let token = content.get(at..end).unwrap_or_default();
                if depth == 1 && token == b"\"domain\"" && content.get(end) == Some(&b':') {
                    let value = content.get(end + 1..string_end(content, end + 1));
                    return serde_json::from_slice(value.unwrap_or_default()).unwrap_or_default();
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    String::new()
}

/// The position after the string token that begins at `start`.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        let Some(found) = text
            .get(at..)
            .and_then(|rest| memchr::memchr2(b'"', b'\\', rest))
        else {
            return text.len();
        };
        at += found;
        if text.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::domain;

    #[test]
    fn the_domain_is_the_documents_own() {
        let text = br#"{"context":{"domain":"inner","a":["\"domain\":\"x\"",{"domain":"y"}]},"domain":"caf\u00e9 \"q\"","id":"z"}"#;
        assert_eq!(domain(text), "caf\u{e9} \"q\"");
        assert_eq!(domain(br#"{"value":"domain","x":{"domain":"no"}}"#), "");
        assert_eq!(domain(br#"{"domain":"#), "");
        assert_eq!(domain(br#"{"domain":"cut"#), "");
    }
}
