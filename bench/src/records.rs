//! Counts records in a ledger file with plain SQL, so that the bench does not trust the code under test.

use std::{
    collections::{BTreeMap, HashSet},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rusqlite::{Connection, OpenFlags};

/// Records of governed calls (type `chat`, with an intent number; refusals have none) by outcome status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) by_status: BTreeMap<String, u64>,
}

impl Records {
    pub(crate) fn success(&self) -> u64 {
        self.by_status.get("success").copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> u64 {
        self.by_status.values().sum()
    }
}

/// Opens `DIR/capsules.db` for reading; never creates it.
fn open(data: &Path) -> Result<Connection> {
    let file = data.join("capsules.db");
    let database = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .with_context(|| format!("cannot open {}", file.display()))?;
    database.busy_timeout(Duration::from_secs(10))?;
    Ok(database)
}

/// Highest sequence number in the ledger; -1 when it is empty. Costs one index step.
pub(crate) fn head(data: &Path) -> Result<i64> {
    let database = open(data)?;
    Ok(database.query_row(
        "SELECT coalesce(max(sequence), -1) FROM capsules",
        [],
        |row| row.get(0),
    )?)
}

/// Chat records whose sequence number is greater than `after`.
pub(crate) fn chat_records(data: &Path, after: i64) -> Result<Records> {
    let database = open(data)?;
    let mut query = database.prepare(
        "SELECT json_extract(data, '$.outcome.status'), count(*) FROM capsules \
         WHERE sequence > ?1 AND type = 'chat' \
         AND json_extract(data, '$.context.environment.intent') IS NOT NULL GROUP BY 1",
    )?;
    let rows = query.query_map([after], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    let mut records = Records::default();
    for row in rows {
        let (status, count) = row?;
        records.by_status.insert(status, u64::try_from(count)?);
    }
    Ok(records)
}

/// Ids of the chat records with status `success` after `after`.
pub(crate) fn success_ids(data: &Path, after: i64) -> Result<HashSet<String>> {
    let database = open(data)?;
    let mut query = database.prepare(
        "SELECT id FROM capsules WHERE sequence > ?1 AND type = 'chat' \
         AND json_extract(data, '$.outcome.status') = 'success'",
    )?;
    let ids = query
        .query_map([after], |row| row.get(0))?
        .collect::<Result<HashSet<String>, _>>()?;
    Ok(ids)
}

/// Settling runs beside the answer: waits until `expected` successes after `after` are there, or more, or `limit` has
/// passed; then gives what is there.
pub(crate) fn settled(data: &Path, after: i64, expected: u64, limit: Duration) -> Result<Records> {
    let since = Instant::now();
    let target = after.saturating_add_unsigned(expected);
    while head(data)? < target && since.elapsed() < limit {
        std::thread::sleep(Duration::from_millis(50));
    }
    loop {
        let records = chat_records(data, after)?;
        if records.success() >= expected || since.elapsed() > limit {
            return Ok(records);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(directory: &Path, rows: &[(&str, &str, &str)]) {
        let database = Connection::open(directory.join("capsules.db")).unwrap();
        database
            .execute_batch(
                "CREATE TABLE capsules (id TEXT, type TEXT, sequence INTEGER, data TEXT)",
            )
            .unwrap();
        for (sequence, (id, kind, status)) in rows.iter().enumerate() {
            let intent = if *status == "refused" {
                ""
            } else {
                "\"intent\":1"
            };
            let data = format!(
                "{{\"context\":{{\"environment\":{{{intent}}}}},\"outcome\":{{\"status\":\"{status}\"}}}}"
            );
            database
                .execute(
                    "INSERT INTO capsules VALUES (?1, ?2, ?3, ?4)",
                    (id, kind, sequence as i64, data),
                )
                .unwrap();
        }
    }

    #[test]
    fn counts_chat_records_by_status_after_a_sequence() {
        let directory = std::env::temp_dir().join(format!("sealgate-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        ledger(
            &directory,
            &[
                ("g", "system", "success"),
                ("a", "chat", "success"),
                ("b", "chat", "success"),
                ("c", "chat", "partial"),
                ("d", "chat", "refused"),
            ],
        );
        let records = chat_records(&directory, 1).unwrap();
        let ids = success_ids(&directory, -1).unwrap();
        let top = head(&directory).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!((records.success(), records.total(), top), (1, 2, 4));
        assert_eq!(ids, HashSet::from(["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn a_missing_ledger_is_an_error_and_stays_missing() {
        let directory = std::env::temp_dir().join("sealgate-bench-no-such-ledger");
        assert!(head(&directory).is_err());
        assert!(!directory.exists());
    }
}
