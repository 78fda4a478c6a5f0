//! The journal on SQLite: one file, write-ahead log, one sync per commit, one committer.

mod connection;
mod content;
mod content_keys;
mod entities;
mod error;
mod gate;
mod journal;
mod lease;
mod rows;
mod shared;
mod values;
mod wal;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use capsule::Id;
use ledger::journal::JournalError;
use rusqlite::Connection;

pub use connection::OpenError;
pub use content_keys::SqliteKeyTable;
use gate::Gate;
use lease::Lease;
pub(crate) use rows::{COLUMNS, id as read_id, read_intent, read_row};
pub use shared::SharedFile;
use wal::Folder;

/// How a database is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes that must stay free on the file system for settlements of calls that are under way; below
    /// it no new call is admitted. Default 256 MiB.
    pub disk_reserve: u64,
    /// Keeps the file from growing, as a full disk would. Default none.
    pub page_limit: Option<PageLimit>,
}

/// A limit on the number of pages of the file that may be changed while it is in use. Clones share it.
#[derive(Clone, Debug)]
pub struct PageLimit(Arc<AtomicU32>);

impl PageLimit {
    /// A limit of so many pages; the file never shrinks to it.
    #[must_use]
    pub fn new(pages: u32) -> PageLimit {
        PageLimit(Arc::new(AtomicU32::new(pages)))
    }

    /// Changes the limit from the next transaction on.
    pub fn set(&self, pages: u32) {
        self.0.store(pages, Ordering::Release);
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            disk_reserve: 256 << 20,
            page_limit: None,
        }
    }
}

/// A journal in `capsules.db`. Holds the lease until it is dropped.
#[derive(Debug)]
pub struct SqliteJournal {
    path: PathBuf,
    settings: Settings,
    /// `None` only between a failed reopening and the next one.
    connection: Option<Connection>,
    folder: Option<Folder>,
    gate: Arc<Gate>,
    in_gate: bool,
    /// Row numbers of boots by their ids.
    boots: HashMap<Id, i64>,
    /// The last rendered time of sealing, which a whole batch shares.
    signed_at: (i64, String),
    _lease: Lease,
}

impl SqliteJournal {
    /// Makes the file with all tables. A file without any tables, as a crash during creation leaves it,
    /// is taken over.
    ///
    /// # Errors
    /// When the file holds anything, is in use, or cannot be made durable.
    pub fn create(
        path: impl Into<PathBuf>,
        settings: Settings,
    ) -> Result<SqliteJournal, OpenError> {
        let path = path.into();
        let lease = Lease::take(&path)?;
        if fs::metadata(&path).is_ok_and(|found| found.len() > 0) && has_tables(&path)? {
            return Err(OpenError::Exists(path));
        }
        let mut connection = connection::connect(&path, true)?;
        connection::make_tables(&mut connection)?;
        crate::disk::sync_parent(&path).map_err(|source| OpenError::Io {
            path: path.clone(),
            source,
        })?;
        drop(connection);
        SqliteJournal::with_lease(path, settings, lease)
    }

    /// Opens a file that exists.
    ///
    /// # Errors
    /// When it does not exist, is not a ledger's, is in use, or commits would not be durable.
    pub fn open(path: impl Into<PathBuf>, settings: Settings) -> Result<SqliteJournal, OpenError> {
        let path = path.into();
        if !path.try_exists().map_err(|source| OpenError::Io {
            path: path.clone(),
            source,
        })? {
            return Err(OpenError::Missing(path));
        }
        let lease = Lease::take(&path)?;
        SqliteJournal::with_lease(path, settings, lease)
    }

    fn with_lease(
        path: PathBuf,
        settings: Settings,
        lease: Lease,
    ) -> Result<SqliteJournal, OpenError> {
        let mut journal = SqliteJournal {
            path,
            settings,
            connection: None,
            folder: None,
            gate: Arc::new(Gate::default()),
            in_gate: false,
            boots: HashMap::new(),
            signed_at: (i64::MIN, String::new()),
            _lease: lease,
        };
        journal.connect()?;
        Ok(journal)
    }

    fn connect(&mut self) -> Result<(), OpenError> {
        let mut connection = connection::connect(&self.path, false)?;
        connection::migrate(&mut connection, &self.path)?;
        let folder = Folder::start(self.path.clone(), Arc::clone(&self.gate))?;
        let signal = folder.signal();
        // The hook takes the place of SQLite's own folding inside commits.
        connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            signal.grown(pages);
            Ok(())
        }))?;
        self.folder = Some(folder);
        self.connection = Some(connection);
        Ok(())
    }

    /// Applies the page limit, if there is one, to this connection.
    fn limit_pages(&self) -> Result<(), JournalError> {
        let Some(limit) = &self.settings.page_limit else {
            return Ok(());
        };
        let pages = limit.0.load(Ordering::Acquire);
        self.connection()?
            .pragma_update(None, "max_page_count", pages)
            .map_err(|error| error::journal("limit", &error))
    }

    fn connection(&self) -> Result<&Connection, JournalError> {
        self.connection
            .as_ref()
            .ok_or_else(|| error::fatal("use", "the database is not open"))
    }

    /// Path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a file has any table; a file that is no database counts as having some.
fn has_tables(path: &Path) -> Result<bool, OpenError> {
    let connection = connection::connect(path, false)?;
    let count: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(count > 0)
}
