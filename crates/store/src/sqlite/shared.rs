//! The reference's SQLite file as a chain that several processes share.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use capsule::{Draft, Hash, PublicKey, Sealed, Signer, Timestamp};
use ledger::journal::Head;
use rusqlite::{Connection, OpenFlags, OptionalExtension, ffi, params};

use super::{
    connection::APPLICATION_ID,
    rows::read_head,
    values::{Text, signed},
};
use crate::shared::{SharedChain, SharedError};

/// How long one transaction waits for other writers; the caller tries again after that.
const BUSY: Duration = Duration::from_secs(2);

/// The reference's table with its constraint and its indexes.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS capsules (
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
    PRIMARY KEY (id),
    CONSTRAINT uq_capsule_sequence UNIQUE (sequence)
);
CREATE INDEX IF NOT EXISTS ix_capsules_sequence ON capsules (sequence);
CREATE INDEX IF NOT EXISTS ix_capsules_hash ON capsules (hash);
CREATE INDEX IF NOT EXISTS ix_capsules_session_id ON capsules (session_id);
";

const HEAD: &str = "SELECT sequence, hash FROM capsules ORDER BY sequence DESC LIMIT 1";

const INSERT: &str = "INSERT INTO capsules (id, type, sequence, previous_hash, data, hash, signature, \
                      signature_pq, signed_at, signed_by, session_id) \
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '', ?8, ?9, ?10)";

/// A `capsules.db` in the reference's schema, or the file of a gateway, which has the same table.
#[derive(Debug)]
pub struct SharedFile {
    path: PathBuf,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// The log's device and inode when this connection first wrote; `None` before, and without a log.
    log: Option<(u64, u64)>,
    wal: bool,
    /// The file of a gateway's ledger, whose records one key signs at a time.
    ledger: bool,
}

impl SharedFile {
    /// The chain in `path`, which is made with its directory when it is first used.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> SharedFile {
        SharedFile {
            path: path.into(),
            open: None,
        }
    }

    /// Path of the database.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn failed(&self, operation: &'static str) -> impl Fn(rusqlite::Error) -> SharedError + use<> {
        let path = self.path.clone();
        move |source| SharedError::Sqlite {
            path: path.clone(),
            operation,
            source,
        }
    }

    fn connect(&self) -> Result<Open, SharedError> {
        create_private(&self.path)?;
        let failed = self.failed("open");
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags).map_err(&failed)?;
        connection.busy_timeout(BUSY).map_err(&failed)?;
        let mode = journal_mode(&connection).map_err(&failed)?;
        connection
            .pragma_update(None, "synchronous", "FULL")
            .map_err(&failed)?;
        if matches!(mode.as_str(), "off" | "memory") {
            return Err(SharedError::NotDurable {
                path: self.path.clone(),
                found: mode,
            });
        }
        make_tables(&connection).map_err(self.failed("make the table in"))?;
        let application: i64 = connection
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(&failed)?;
        Ok(Open {
            connection,
            log: None,
            wal: mode == "wal",
            ledger: application == APPLICATION_ID,
        })
    }

    /// Begins a transaction that holds the write lock, on a connection whose log is still the file's.
    ///
    /// A close of the same file elsewhere in this process drops the locks of this connection (POSIX locks
    /// belong to the process). Another process may then take itself for the last user and remove the log,
    /// and what was written to the removed one would be lost.
    fn begin(&mut self) -> Result<&mut Open, SharedError> {
        for last_try in [false, true] {
            let mut open = match self.open.take() {
                Some(open) => open,
                None => self.connect()?,
            };
            let begun = open
                .connection
                .prepare_cached("BEGIN IMMEDIATE")
                .and_then(|mut statement| statement.execute([]));
            if let Err(error) = begun {
                if is_busy(&error) {
                    self.open = Some(open);
                }
                return Err(self.failed("lock")(error));
            }
            let log = if open.wal {
                identity(&self.path, "-wal")
            } else {
                None
            };
            if open.log.is_none() || open.log == log {
                open.log = log;
                return Ok(self.open.insert(open));
            }
            if last_try {
                break;
            }
        }
        Err(SharedError::Chain {
            place: self.path.display().to_string(),
            reason: "its write-ahead log is replaced again and again by another program".to_owned(),
        })
    }

    fn insert_all(
        &mut self,
        drafts: Vec<Draft>,
        signer: &dyn Signer,
        now: Timestamp,
        again: bool,
    ) -> Result<(), SharedError> {
        let (reading, inserting) = (self.failed("read"), self.failed("insert into"));
        let committing = self.failed("commit to");
        let place = self.path.display().to_string();
        let open = self.begin()?;
        if open.ledger {
            allowed(&open.connection, signer, &place, &reading)?;
        }
        let connection = &open.connection;
        let mut head = head(connection).map_err(&reading)?;
        let signed_at = now.to_string();
        for draft in drafts {
            if again && exists(connection, &draft).map_err(&reading)? {
                continue;
            }
            let sequence = match &head {
                None => 0,
                Some(head) => head
                    .sequence
                    .checked_add(1)
                    .ok_or_else(|| SharedError::Chain {
                        place: place.clone(),
                        reason: "the last sequence number is taken".to_owned(),
                    })?,
            };
            let linked = draft.link(sequence, head.as_ref().map(|head| &head.hash));
            let sealed = linked.seal(signer, now)?;
            insert(connection, &sealed, &signed_at).map_err(&inserting)?;
            head = Some(Head {
                sequence,
                hash: sealed.hash(),
            });
        }
        connection
            .prepare_cached("COMMIT")
            .and_then(|mut statement| statement.execute([]))
            .map(drop)
            .map_err(committing)
    }
}

impl SharedChain for SharedFile {
    fn check(&mut self, signer: &dyn Signer) -> Result<(), SharedError> {
        let failed = self.failed("read");
        let place = self.path.display().to_string();
        let open = self.connect()?;
        let connection = &open.connection;
        connection.prepare(INSERT).map_err(&failed)?;
        head(connection).map_err(&failed)?;
        if open.ledger {
            allowed(connection, signer, &place, &failed)?;
        }
        Ok(())
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
            let usable = self.open.as_ref().is_some_and(|open| {
                open.connection.is_autocommit() || open.connection.execute("ROLLBACK", []).is_ok()
            });
            // Whatever was wrong with this connection, the next one starts from the files.
            if !usable
                || !matches!(&done, Err(SharedError::Sqlite { source, .. }) if is_busy(source))
            {
                self.open = None;
            }
        }
        done
    }

    fn close(&mut self) {
        self.open = None;
    }
}

/// Makes the file, readable by its owner only, and its directory.
fn create_private(path: &Path) -> Result<(), SharedError> {
    let failed = |source| SharedError::Io {
        path: path.to_owned(),
        source,
    };
    if path.try_exists().map_err(failed)? {
        return Ok(());
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(failed)?;
    }
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    crate::disk::sync_parent(path).map_err(failed)
}

/// A write-ahead log where the file system can hold one, else what the file has.
fn journal_mode(connection: &Connection) -> rusqlite::Result<String> {
    let asked = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
    match asked {
        // Somebody writes in the file's old mode at this moment: stay in it.
        Err(error) if is_busy(&error) => {
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0))
        }
        other => other,
    }
}

/// Looks first: making tables takes the write lock even where there is nothing to make.
fn make_tables(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'capsules'";
    let there: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    if there == 0 {
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))?;
    }
    Ok(())
}

fn head(connection: &Connection) -> rusqlite::Result<Option<Head>> {
    connection
        .prepare_cached(HEAD)?
        .query_row([], read_head)
        .optional()
}

/// Whether this key signs the next record of a ledger: it signed the newest one, or that one hands over to it.
fn allowed(
    connection: &Connection,
    signer: &dyn Signer,
    place: &str,
    failed: &impl Fn(rusqlite::Error) -> SharedError,
) -> Result<(), SharedError> {
    let newest = "SELECT signed_by, CASE type WHEN 'system' THEN data END FROM capsules \
                  ORDER BY sequence DESC LIMIT 1";
    let newest: Option<(Option<String>, Option<String>)> = connection
        .prepare_cached(newest)
        .and_then(|mut statement| {
            let read = statement.query_row([], |row| Ok((row.get(0)?, row.get(1)?)));
            read.optional()
        })
        .map_err(failed)?;
    let Some((signed_by, data)) = newest else {
        return Ok(());
    };
    let heir = data
        .and_then(|data| serde_json::from_str::<serde_json::Value>(&data).ok())
        .and_then(|record| {
            let key = record
                .pointer("/context/environment/new_public_key")?
                .as_str()?;
            Some(PublicKey::from_hex(key).ok()?.fingerprint())
        });
    let found = signer.fingerprint();
    match heir.or(signed_by) {
        Some(expected) if expected != found => Err(SharedError::OtherKey {
            place: place.to_owned(),
            expected,
            found,
        }),
        _ => Ok(()),
    }
}

fn exists(connection: &Connection, draft: &Draft) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM capsules WHERE id = ?1")?
        .exists([draft.id().to_string()])
}

fn insert(connection: &Connection, record: &Sealed, signed_at: &str) -> rusqlite::Result<()> {
    let previous = record.previous_hash().map(Hash::to_ascii);
    let values = params![
        record.id().to_string(),
        record.capsule_type().as_str(),
        signed(record.sequence())?,
        previous.as_ref().map(|hash| Text(hash)),
        Text(record.content()),
        Text(&record.hash().to_ascii()),
        record.signature_hex(),
        signed_at,
        record.signed_by(),
        record.session_id(),
    ];
    connection.prepare_cached(INSERT)?.execute(values).map(drop)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error
        .sqlite_error()
        .is_some_and(|error| error.extended_code & 0xff == ffi::SQLITE_BUSY)
}

/// Device and inode of the file whose name has this addition.
fn identity(path: &Path, addition: &str) -> Option<(u64, u64)> {
    let mut name = path.as_os_str().to_owned();
    name.push(addition);
    let found = fs::metadata(name).ok()?;
    Some((found.dev(), found.ino()))
}
