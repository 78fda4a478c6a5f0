//! PostgreSQL: the ledger's journal for several instances of a gateway, its reader, and the reference's table as a chain that
//! several processes share.

mod batch;
mod content;
mod content_keys;
mod entities;
mod error;
mod journal;
mod layout;
mod lease;
mod link;
pub(crate) mod reader;
mod rows;
mod shared;
mod tls;
mod url;

use std::{collections::HashSet, time::Duration};

use capsule::Id;
use ledger::journal::{Chain, Head, JournalError};

use batch::{Batch, Statements};
pub use content_keys::PostgresKeyTable;
pub use error::OpenError;
use link::{Backend, Link, Use};
pub use shared::SharedTable;
pub use url::{Target, UrlError};

/// How a database is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether other instances may serve from the same ledger: true only when limits are shared with them.
    pub shared: bool,
    /// How long an instance counts as living after its last sign of life. Default 15 s; renewed three times as often.
    pub lease: Duration,
    /// How long an answer of the server may take before the connection counts as lost. Default 8 s.
    pub answer: Duration,
    /// Which chain; default that of the default tenant.
    pub chain: Chain,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            shared: false,
            lease: Duration::from_secs(15),
            answer: Duration::from_secs(8),
            chain: Chain::default(),
        }
    }
}

/// A journal in a PostgreSQL database.
pub struct PostgresJournal {
    target: Target,
    settings: Settings,
    chain: Chain,
    /// Names this journal where it claims boots.
    token: String,
    /// `None` between a loss and the next opening.
    link: Option<(Link, Statements)>,
    /// Backends of lost connections, whose transactions might still be under way.
    ghosts: Vec<Backend>,
    /// The boot of this process once it has begun.
    boot: Option<Boot>,
    /// Whether the transaction has begun at the server.
    begun: bool,
    locked: Option<Locked>,
    batch: Batch,
    staged: Staged,
    /// Send each write at once, so that a failure is blamed on its item.
    careful: bool,
    /// The open intents are not known for certain.
    doubt: bool,
    /// Before the boot: the tree as it stood under the lock of the head.
    tree_at_start: Option<Option<(u64, String)>>,
    /// The last rendered time of sealing, which a whole batch shares.
    signed_at: (i64, String),
}

/// This process's boot.
#[derive(Debug)]
struct Boot {
    id: Id,
    number: i64,
    /// Numbers of its open intents.
    open: HashSet<i64>,
}

/// What the locked rows say; nobody changes it until the transaction ends.
#[derive(Debug)]
struct Locked {
    head: Option<Head>,
    last: Option<Head>,
    /// Last intent number of this boot, and whether its lease is still its own.
    boot: Option<(i64, bool)>,
}

/// What a commit is going to change in what this process knows.
#[derive(Debug, Default)]
struct Staged {
    opened: Vec<i64>,
    taken: Vec<i64>,
    boot: Option<Boot>,
    closed: bool,
}

impl PostgresJournal {
    /// Makes the tables. Tables of records that are there already, as the reference's tool makes them, are taken over.
    ///
    /// # Errors
    /// When there is a ledger, or commits would not be durable.
    pub fn create(target: &Target, settings: Settings) -> Result<PostgresJournal, OpenError> {
        let mut link = Link::open(target, Use::Write, settings.answer)?;
        if let Some(found) = layout::found(&link, target)? {
            layout::check(found)?;
        }
        layout::migrate(&link, target)?;
        let sql = "SELECT 1 FROM sealgate_ledger WHERE chain = $1";
        let tenant = settings.chain.tenant().to_owned();
        let there = link
            .run(link.client().query_opt(sql, &[&tenant]))
            .map_err(|fault| OpenError::server(target, "read", &fault))?;
        if there.is_some() {
            return Err(OpenError::Exists(target.place().to_owned()));
        }
        link = Link::open(target, Use::Write, settings.answer)?;
        PostgresJournal::over(link, target, settings)
    }

    /// Whether the database holds tables of a ledger.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub fn exists(target: &Target) -> Result<bool, OpenError> {
        let link = Link::open(target, Use::Read, Settings::default().answer)?;
        if layout::found(&link, target)?.is_none() {
            return Ok(false);
        }
        let there = link.run(
            link.client()
                .query_opt("SELECT 1 FROM sealgate_ledger", &[]),
        );
        there
            .map(|row| row.is_some())
            .map_err(|fault| OpenError::server(target, "read", &fault))
    }

    /// Opens a ledger that exists and brings its tables to the newest layout. Unless limits are shared, it waits for the lease
    /// of an instance that may have died.
    ///
    /// # Errors
    /// When there is none, when commits would not be durable, when another instance lives and limits are not shared.
    pub fn open(target: &Target, settings: Settings) -> Result<PostgresJournal, OpenError> {
        let link = Link::open(target, Use::Write, settings.answer)?;
        let Some(found) = layout::found(&link, target)? else {
            return Err(OpenError::Missing(target.place().to_owned()));
        };
        layout::check(found)?;
        if found.0 < layout::LAYOUT {
            layout::migrate(&link, target)?;
        }
        let mut journal = PostgresJournal::over(link, target, settings)?;
        if !journal.settings.shared {
            journal.wait_for_others()?;
        }
        Ok(journal)
    }

    fn over(link: Link, target: &Target, settings: Settings) -> Result<PostgresJournal, OpenError> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|error| OpenError::Runtime {
            source: std::io::Error::other(error.to_string()),
        })?;
        let statements = prepare(&link, target, &settings.chain)?;
        Ok(PostgresJournal {
            target: target.clone(),
            chain: settings.chain.clone(),
            settings,
            token: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            link: Some((link, statements)),
            ghosts: Vec::new(),
            boot: None,
            begun: false,
            locked: None,
            batch: Batch::default(),
            staged: Staged::default(),
            careful: false,
            doubt: false,
            tree_at_start: None,
            signed_at: (i64::MIN, String::new()),
        })
    }

    fn connect(&mut self) -> Result<(), OpenError> {
        let link = Link::open(&self.target, Use::Write, self.settings.answer)?;
        let statements = prepare(&link, &self.target, &self.chain)?;
        self.link = Some((link, statements));
        Ok(())
    }

    fn connection(&self) -> Result<(&Link, &Statements), JournalError> {
        self.link
            .as_ref()
            .map(|(link, statements)| (link, statements))
            .ok_or_else(|| error::fatal("use", "the database is not connected"))
    }

    /// The connection is of no use any more; its transaction may still be.
    fn lose(&mut self) {
        if let Some((link, _)) = self.link.take() {
            self.ghosts.push(link.backend);
        }
        self.begun = false;
    }

    /// Nothing of the transaction is left here.
    fn forget(&mut self) {
        self.begun = false;
        self.locked = None;
        self.batch = Batch::default();
        self.staged = Staged::default();
    }

    fn owns(&self, chain: &Chain) -> Result<(), JournalError> {
        match *chain == self.chain {
            true => Ok(()),
            false => Err(error::fatal(
                "chain",
                format!("this journal is not that of the tenant {chain}"),
            )),
        }
    }
}

fn prepare(link: &Link, target: &Target, chain: &Chain) -> Result<Statements, OpenError> {
    link.run(Statements::prepare(link.client(), chain.tenant()))
        .map_err(|fault| OpenError::server(target, "prepare statements in", &fault))
}

impl std::fmt::Debug for PostgresJournal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "PostgresJournal({}, {})", self.target, self.chain)
    }
}
