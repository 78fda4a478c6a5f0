//! Opening the file, with settings under which a commit is durable, or not at all.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

/// The first page of a file that we made says so.
pub(super) const APPLICATION_ID: i64 = 0x5347_4c31;
/// Layouts of the `sealgate_*` tables, each made from the one before. A step is never changed once it is released: what
/// follows is a step of its own.
const MIGRATIONS: [&str; 3] = [
    include_str!("migrations/0001_ledger.sql"),
    include_str!("migrations/0002_identity.sql"),
    include_str!("migrations/0003_content.sql"),
];
/// The newest layout.
const LAYOUT: i64 = MIGRATIONS.len() as i64;
/// Fewest CPU per record among the page sizes that were measured.
const PAGE_SIZE: i64 = 8192;
/// How long to wait for another writer, such as the reference tool.
const BUSY: Duration = Duration::from_secs(2);

/// A database that cannot be opened or created.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It does not exist, and opening never creates.
    #[error("{0} does not exist: create the ledger first (sealgate init)")]
    Missing(std::path::PathBuf),
    /// It exists, and creating never overwrites.
    #[error("{0} exists already")]
    Exists(std::path::PathBuf),
    /// Another process serves from it.
    #[error("{0} is in use: another process serves from this ledger; stop it first")]
    InUse(std::path::PathBuf),
    /// It has no tables of ours.
    #[error("{0} holds no Sealgate ledger")]
    NotOurs(std::path::PathBuf),
    /// It was written by a newer version.
    #[error("the ledger has layout {found}, this program knows {LAYOUT}: use a newer version")]
    Newer {
        /// Layout in the file.
        found: i64,
    },
    /// A commit would not be durable.
    #[error(
        "{setting} is {found:?} although {wanted:?} was asked for: commits would not be durable"
    )]
    NotDurable {
        /// The SQLite setting.
        setting: &'static str,
        /// What reading it back gave.
        found: String,
        /// What it must be.
        wanted: &'static str,
    },
    /// SQLite failed.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A connection that may write to a file that exists. Its mutex is left out: one thread uses it.
pub(super) fn connect(path: &Path, create: bool) -> Result<Connection, OpenError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    if create {
        connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    }
    durable(&connection)?;
    Ok(connection)
}

/// Write-ahead log, synced at every commit; both are read back, since SQLite answers a setting that it
/// cannot honour with the old value.
fn durable(connection: &Connection) -> Result<(), OpenError> {
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(OpenError::NotDurable {
            setting: "journal_mode",
            found: mode,
            wanted: "wal",
        });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    let level: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    if level < 2 {
        let found = level.to_string();
        return Err(OpenError::NotDurable {
            setting: "synchronous",
            found,
            wanted: "2",
        });
    }
    Ok(())
}

/// Brings the file to the newest layout, each step in a transaction of its own.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let id: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Err(OpenError::NotOurs(path.to_owned()));
    }
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if !(1..=LAYOUT).contains(&found) {
        return Err(OpenError::Newer { found });
    }
    for (layout, step) in (1..).zip(MIGRATIONS).filter(|(layout, _)| *layout > found) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", layout)?;
        transaction.commit()?;
    }
    Ok(())
}

/// Makes all tables in one transaction, so that a file has all of them or none.
pub(super) fn make_tables(connection: &mut Connection) -> Result<(), OpenError> {
    let transaction = connection.transaction()?;
    for step in MIGRATIONS {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", LAYOUT)?;
    transaction.commit()?;
    Ok(())
}
