//! Reading a ledger, ours or the reference tool's, without changing or creating anything.

use std::path::{Path, PathBuf};

use capsule::{Hash, Id, Timestamp};
use ledger::{
    OpenIntent,
    journal::{Chain, Quarantined, Row},
    tree::{HASH_BYTES, NodeHash, TileSource},
};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::{
    postgres::{Target, reader::PostgresReader},
    spend::{CostSource, Spend, Status},
    sqlite::{COLUMNS, read_id, read_intent, read_row},
};

/// Rows fetched at a time by [`Reader::rows`].
const PAGE: usize = 256;

/// A database that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there.
    #[error("{0} does not exist")]
    Missing(PathBuf),
    /// It has no table of records.
    #[error("{0} holds no capsules table")]
    NoChain(PathBuf),
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL could not be connected to.
    #[error(transparent)]
    Connect(#[from] Box<crate::postgres::OpenError>),
    /// PostgreSQL failed.
    #[error("{place}: {message}")]
    Postgres {
        /// Host and database.
        place: String,
        /// The server's words and code.
        message: String,
    },
    /// It is asked of a PostgreSQL database and only a SQLite file has it.
    #[error("this is not built for a ledger on PostgreSQL")]
    OnlySqlite,
    /// A tile of the tree is not there, or shorter than its place in the tree asks for.
    #[error("tile {level}/{index} of the tree is missing or short")]
    Tile {
        /// Tile level.
        level: u8,
        /// Position in the level.
        index: u64,
    },
}

/// A read-only view of a database. Each call sees what is committed at that time.
#[derive(Debug)]
pub struct Reader {
    backend: Backend,
    ours: bool,
}

#[derive(Debug)]
enum Backend {
    Sqlite(Connection),
    Postgres(Box<PostgresReader>),
}

/// Where a ledger's database is.
#[derive(Clone, Debug)]
pub enum Database {
    /// A SQLite file.
    File(PathBuf),
    /// A PostgreSQL database.
    Server(Box<Target>),
}

impl Database {
    /// File or server and database, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Database::File(path) => path.display().to_string(),
            Database::Server(target) => target.place().to_owned(),
        }
    }
}

impl From<PathBuf> for Database {
    fn from(path: PathBuf) -> Database {
        Database::File(path)
    }
}

/// A boot, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its id.
    pub id: Id,
    /// When it began.
    pub started_at: Timestamp,
    /// When a shutdown or recovery record closed it.
    pub closed_at: Option<Timestamp>,
    /// The last intent number it gave out.
    pub last_intent: u64,
}

impl Reader {
    /// Opens a database that exists. Nothing is created: a database without a log beside it is read as
    /// an immutable file; with one, as a guest of whoever writes.
    ///
    /// # Errors
    /// When it does not exist or has no table of records.
    pub fn open(path: impl AsRef<Path>) -> Result<Reader, ReadError> {
        let path = path.as_ref();
        if !exists(path)? {
            return Err(ReadError::Missing(path.to_owned()));
        }
        let logged = exists(&beside(path, "-wal"))? || exists(&beside(path, "-journal"))?;
        let mode = if logged {
            "mode=ro"
        } else {
            "mode=ro&immutable=1"
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(format!("file:{}?{mode}", escape(path)), flags)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        if !has_table(&connection, "capsules")? {
            return Err(ReadError::NoChain(path.to_owned()));
        }
        Ok(Reader {
            ours: has_table(&connection, "sealgate_ledger")?,
            backend: Backend::Sqlite(connection),
        })
    }

    /// Opens the default tenant's chain wherever it is.
    ///
    /// # Errors
    /// When it does not exist, cannot be reached or has no table of records.
    pub fn at(database: &Database) -> Result<Reader, ReadError> {
        match database {
            Database::File(path) => Reader::open(path),
            Database::Server(target) => Reader::connect(target, &Chain::default()),
        }
    }

    /// Opens a chain in a PostgreSQL database; its table may be the reference tool's.
    ///
    /// # Errors
    /// When it cannot be reached or has no table of records.
    pub fn connect(target: &Target, chain: &Chain) -> Result<Reader, ReadError> {
        let reader = PostgresReader::open(target, chain)?;
        Ok(Reader {
            ours: reader.ours,
            backend: Backend::Postgres(Box::new(reader)),
        })
    }

    /// The PostgreSQL side, if that is where the records are.
    pub(crate) fn postgres(&self) -> Option<&PostgresReader> {
        match &self.backend {
            Backend::Postgres(reader) => Some(reader),
            Backend::Sqlite(_) => None,
        }
    }

    /// Tenants with a chain of their own beside the default one's; a SQLite file holds none.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tenants(&self) -> Result<Vec<String>, ReadError> {
        self.postgres()
            .map_or(Ok(Vec::new()), PostgresReader::tenants)
    }

    /// Whether it is a ledger of ours rather than a plain chain of the reference tool.
    #[must_use]
    pub fn is_ledger(&self) -> bool {
        self.ours
    }

    /// Number of rows.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn count(&self) -> Result<u64, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.count();
        }
        let count: i64 = self
            .raw()?
            .query_row("SELECT count(*) FROM capsules", [], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Calls `each` with every record from sequence `from` on, in order, from one snapshot, one at a
    /// time; ends early when it returns false.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn for_each(&self, from: u64, mut each: impl FnMut(Row) -> bool) -> Result<(), ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.for_each(from, each);
        }
        let sql = format!(
            "SELECT {} FROM capsules WHERE sequence >= ?1 ORDER BY sequence, rowid",
            COLUMNS
        );
        let mut statement = self.raw()?.prepare(&sql)?;
        let mut rows = statement.query([i64::try_from(from).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            if !each(read_row(row)?) {
                break;
            }
        }
        Ok(())
    }

    /// Every record from sequence `from` on, in order, a page of rows at a time in memory. Records that
    /// are appended meanwhile are seen too.
    #[must_use]
    pub fn rows(&self, from: u64) -> Rows<'_> {
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        Rows {
            reader: self,
            after: (from.saturating_sub(1), i64::MAX),
            after_id: "\u{10ffff}".to_owned(),
            page: Vec::new().into_iter(),
            done: false,
        }
    }

    /// The record with this sequence.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn row(&self, sequence: u64) -> Result<Option<Row>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.row(sequence);
        }
        let sql = format!("SELECT {} FROM capsules WHERE sequence = ?1", COLUMNS);
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        Ok(self
            .raw()?
            .query_row(&sql, [sequence], read_row)
            .optional()?)
    }

    /// The record with this id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn row_by_id(&self, id: &str) -> Result<Option<Row>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.row_by_id(id);
        }
        let sql = format!("SELECT {} FROM capsules WHERE id = ?1", COLUMNS);
        Ok(self.raw()?.query_row(&sql, [id], read_row).optional()?)
    }

    /// The ledger's id; `None` for a plain chain.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn ledger_id(&self) -> Result<Option<Id>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.ledger_id();
        }
        if !self.ours {
            return Ok(None);
        }
        let sql = "SELECT id FROM sealgate_ledger WHERE tenant = ''";
        Ok(self
            .raw()?
            .query_row(sql, [], |row| read_id(row, 0))
            .optional()?)
    }

    /// Boots, oldest first; none for a plain chain.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn boots(&self) -> Result<Vec<Boot>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.boots();
        }
        let sql =
            "SELECT id, started_at, closed_at, last_intent FROM sealgate_boots ORDER BY number";
        self.list(sql, |row| {
            let last: i64 = row.get(3)?;
            Ok(Boot {
                id: read_id(row, 0)?,
                started_at: Timestamp::new(row.get(1)?),
                closed_at: row.get::<_, Option<i64>>(2)?.map(Timestamp::new),
                last_intent: u64::try_from(last).unwrap_or(0),
            })
        })
    }

    /// Open intents; none for a plain chain.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn intents(&self) -> Result<Vec<OpenIntent>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.intents();
        }
        let sql = "SELECT b.id, i.number, i.id, i.opened_at, i.payload FROM sealgate_intents i \
                   JOIN sealgate_boots b ON b.number = i.boot ORDER BY i.boot, i.number";
        self.list(sql, read_intent)
    }

    /// Rows of spend with the sequence of their record; none for a plain chain.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn spend(&self) -> Result<Vec<(u64, Spend)>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.spend();
        }
        let sql = format!(
            "SELECT sequence, {} FROM sealgate_spend ORDER BY sequence",
            spend_columns("")
        );
        self.list(&sql, |row| Ok((unsigned(row, 0)?, read_spend(row)?)))
    }

    /// Quarantined bytes, oldest first; none for a plain chain.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn quarantine(&self) -> Result<Vec<Quarantined>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.quarantine();
        }
        let sql = "SELECT at, record, boot, intent, reason, digest, bytes FROM sealgate_quarantine ORDER BY number";
        self.list(sql, |row| {
            let text = |column| row.get::<_, Option<String>>(column);
            let record = text(1)?.and_then(|id| id.parse().ok());
            let boot = text(2)?.and_then(|id| id.parse().ok());
            let intent: Option<i64> = row.get(3)?;
            let digest: String = row.get(5)?;
            Ok(Quarantined {
                at: Timestamp::new(row.get(0)?),
                record,
                intent: boot.zip(intent.and_then(|number| u64::try_from(number).ok())),
                reason: row.get(4)?,
                digest: Hash::from_hex(&digest).unwrap_or(Hash::from_bytes([0; 32])),
                bytes: row.get(6)?,
            })
        })
    }

    /// Ranges of records that other writers appended and the ledger adopted.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn adopted(&self) -> Result<Vec<(u64, u64)>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.adopted();
        }
        let sql = "SELECT first, last FROM sealgate_adopted ORDER BY first";
        self.list(sql, |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))
    }

    /// The newest stored checkpoint: size and signed note. `None` for a plain chain.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn checkpoint(&self) -> Result<Option<(u64, String)>, ReadError> {
        if let Some(reader) = self.postgres() {
            return reader.checkpoint();
        }
        let sql = "SELECT size, note FROM sealgate_checkpoint WHERE tenant = ''";
        Ok(self
            .list(sql, |row| Ok((unsigned(row, 0)?, row.get(1)?)))?
            .pop())
    }

    /// Reads several things as of one moment.
    ///
    /// # Errors
    /// When that moment cannot be held, and what `read` says.
    pub fn snapshot<T>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if let Some(reader) = self.postgres() {
            reader.command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            let result = read(self);
            reader.command("ROLLBACK")?;
            return result;
        }
        self.raw()?.execute_batch("BEGIN DEFERRED")?;
        let result = read(self);
        self.raw()?.execute_batch("ROLLBACK")?;
        result
    }

    pub(crate) fn raw(&self) -> Result<&Connection, ReadError> {
        match &self.backend {
            Backend::Sqlite(connection) => Ok(connection),
            Backend::Postgres(_) => Err(ReadError::OnlySqlite),
        }
    }

    fn list<T>(
        &self,
        sql: &str,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, ReadError> {
        if !self.ours {
            return Ok(Vec::new());
        }
        let mut statement = self.raw()?.prepare(sql)?;
        let found = statement
            .query_map([], read)?
            .collect::<Result<Vec<T>, _>>()?;
        Ok(found)
    }
}

impl TileSource for Reader {
    type Error = ReadError;

    fn tile(&mut self, level: u8, index: u64, width: usize) -> Result<Vec<NodeHash>, ReadError> {
        let missing = ReadError::Tile { level, index };
        if !self.ours {
            return Err(missing);
        }
        let sql = "SELECT hashes FROM sealgate_tiles WHERE level = ?1 AND position = ?2";
        let position = i64::try_from(index).unwrap_or(i64::MAX);
        let bytes: Option<Vec<u8>> = match self.postgres() {
            Some(reader) => reader.tile(level, index)?,
            None => self
                .raw()?
                .prepare_cached(sql)?
                .query_row(params![level, position], |row| row.get(0))
                .optional()?,
        };
        let bytes = bytes.unwrap_or_default();
        let hashes = bytes.get(..width * HASH_BYTES).ok_or(missing)?;
        Ok(hashes
            .as_chunks::<HASH_BYTES>()
            .0
            .iter()
            .copied()
            .map(NodeHash)
            .collect())
    }
}

/// Iterator of [`Reader::rows`].
#[derive(Debug)]
pub struct Rows<'a> {
    reader: &'a Reader,
    /// Sequence and rowid of the last row that was read. Old chains may have several rows of one
    /// sequence.
    after: (i64, i64),
    /// On PostgreSQL the id takes the place of the rowid.
    after_id: String,
    page: std::vec::IntoIter<Row>,
    done: bool,
}

impl Rows<'_> {
    fn next_page(&mut self) -> Result<(), ReadError> {
        if let Some(reader) = self.reader.postgres() {
            let page = reader.page((self.after.0, &self.after_id))?;
            self.done = page.is_empty();
            if let Some(last) = page.last() {
                self.after.0 = i64::try_from(last.sequence).unwrap_or(i64::MAX);
                self.after_id.clone_from(&last.id);
            }
            self.page = page.into_iter();
            return Ok(());
        }
        let sql = format!(
            "SELECT {}, rowid FROM capsules WHERE (sequence, rowid) > (?1, ?2) \
             ORDER BY sequence, rowid LIMIT {PAGE}",
            COLUMNS
        );
        let mut statement = self.reader.raw()?.prepare_cached(&sql)?;
        let mut rows = statement.query([self.after.0, self.after.1])?;
        let mut page = Vec::with_capacity(PAGE);
        while let Some(row) = rows.next()? {
            self.after = (row.get(0)?, row.get(11)?);
            page.push(read_row(row)?);
        }
        self.done = page.len() < PAGE;
        self.page = page.into_iter();
        Ok(())
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.page.next() {
            return Some(Ok(row));
        }
        if self.done {
            return None;
        }
        if let Err(error) = self.next_page() {
            self.done = true;
            return Some(Err(error));
        }
        self.page.next().map(Ok)
    }
}

/// Columns of a row of spend after its sequence, in the order of [`read_spend`].
pub(crate) fn spend_columns(table: &str) -> String {
    const NAMES: [&str; SPEND_COLUMNS] = [
        "at",
        "status",
        "call_type",
        "model",
        "deployment",
        "provider",
        "key",
        "team",
        "user",
        "tokens_in",
        "tokens_out",
        "tokens_cached",
        "tokens_reasoning",
        "duration_ms",
        "cost_micro_usd",
        "cost_source",
        "estimated",
        "tenant",
        "organization",
        "end_user",
        "tags",
        "address",
    ];
    // A vector, not an array of known length: joining 22 strings unrolled, with overflow checked at each, keeps the
    // optimiser of a release build busy without end in sight (LLVM's elimination of constraints).
    let names: Vec<String> = NAMES.iter().map(|name| format!("{table}{name}")).collect();
    names.join(", ")
}

/// How many there are.
pub(crate) const SPEND_COLUMNS: usize = 22;

pub(crate) fn read_spend(row: &rusqlite::Row<'_>) -> rusqlite::Result<Spend> {
    Ok(Spend {
        at: row.get(1)?,
        status: Status::from_code(row.get(2)?).unwrap_or_default(),
        call_type: row.get(3)?,
        model: row.get(4)?,
        deployment: row.get(5)?,
        provider: row.get(6)?,
        key: row.get(7)?,
        team: row.get(8)?,
        user: row.get(9)?,
        tokens_in: unsigned(row, 10)?,
        tokens_out: unsigned(row, 11)?,
        tokens_cached: unsigned(row, 12)?,
        tokens_reasoning: unsigned(row, 13)?,
        duration_ms: unsigned(row, 14)?,
        cost_micro_usd: row.get(15)?,
        cost_source: CostSource::from_code(row.get(16)?).unwrap_or_default(),
        estimated: row.get(17)?,
        tenant: row.get(18)?,
        organization: row.get(19)?,
        end_user: row.get(20)?,
        tags: row.get(21)?,
        address: row.get(22)?,
    })
}

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn has_table(connection: &Connection, name: &str) -> Result<bool, ReadError> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    Ok(connection.prepare(sql)?.exists([name])?)
}

fn exists(path: &Path) -> Result<bool, ReadError> {
    path.try_exists().map_err(|source| ReadError::Io {
        path: path.to_owned(),
        source,
    })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}

/// A path as part of a `file:` URI.
fn escape(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23")
}
