//! From a data directory to a running ledger.

use std::path::Path;
use std::sync::Arc;

use ledger::journal::Journal;
use ledger::{Clock, Ledger, LedgerError, Options, Recovery, Signers};
use store::content::Retention;
use store::keys::{DataDir, KeyError};
use store::postgres::{self, PostgresJournal, Target};
use store::reader::{Database, ReadError, Reader};
use store::sqlite::{OpenError, Settings, SqliteJournal};

use crate::config::Config;
use crate::identity::Seed;
use crate::proxy::recover;

/// A ledger could not be created or opened.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Keys or directory.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The PostgreSQL database.
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    /// The keys belong to records that are elsewhere.
    #[error(
        "the records of these keys are in {0}, and no database is named: set database_url (DATABASE_URL)"
    )]
    Elsewhere(String),
    /// Keys, teams and users.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A host name or domain that a record cannot hold.
    #[error("{0}")]
    Setting(String),
}

/// An open ledger with what a gateway needs beside it.
pub struct Opened {
    /// The running ledger.
    pub ledger: Ledger,
    /// What recovery found and did.
    pub recovery: Recovery,
    /// The key of keyed digests.
    pub digest_key: [u8; 32],
    /// Keys, teams, users and spend.
    pub identity: Seed,
    /// Keys of content.
    pub content: crate::content::Seed,
}

/// Creates directory, keys and ledger, with an ML-DSA-65 key on demand: in a PostgreSQL database, or else in a SQLite file in
/// the directory. Fails when there is a ledger already.
///
/// # Errors
/// [`DataError`].
pub fn create(
    dir: &Path,
    database: Option<&Target>,
    domain: &str,
    post_quantum: bool,
    clock: Arc<dyn Clock>,
) -> Result<capsule::Id, DataError> {
    let journal: Box<dyn Journal> = match database {
        Some(target) => Box::new(PostgresJournal::create(target, alone())?),
        None => {
            let data = DataDir::create(dir)?;
            refuse_elsewhere(&data)?;
            Box::new(SqliteJournal::create(data.database(), Settings::default())?)
        }
    };
    let data = DataDir::create(dir)?;
    if let Some(target) = database {
        data.note_remote(target.place())?;
        data.make_content_key()?;
    }
    let options = Options {
        clock,
        domain: domain.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Options::default()
    };
    if post_quantum {
        data.create_post_quantum()?;
    }
    let signers = signers(&data, post_quantum)?;
    Ok(ledger::create(
        journal,
        &signers,
        &mut data.anchor(),
        &options,
    )?)
}

/// Nobody else may work on the ledger meanwhile.
fn alone() -> postgres::Settings {
    postgres::Settings::default()
}

fn place(data: &DataDir, database: Option<&Target>) -> Database {
    match database {
        Some(target) => Database::Server(Box::new(target.clone())),
        None => Database::File(data.database()),
    }
}

fn refuse_elsewhere(data: &DataDir) -> Result<(), DataError> {
    match data.remote_place()? {
        Some(place) => Err(DataError::Elsewhere(place)),
        None => Ok(()),
    }
}

/// The journal of an existing ledger that this process alone works on.
fn journal(data: &DataDir, database: Option<&Target>) -> Result<Box<dyn Journal>, DataError> {
    Ok(match database {
        Some(target) => Box::new(PostgresJournal::open(target, alone())?),
        None => {
            refuse_elsewhere(data)?;
            Box::new(SqliteJournal::open(data.database(), Settings::default())?)
        }
    })
}

/// True when there is a ledger: in the PostgreSQL database, or else in the directory.
///
/// # Errors
/// When the server cannot be asked.
pub fn exists(dir: &Path, database: Option<&Target>) -> Result<bool, DataError> {
    match database {
        Some(target) => Ok(PostgresJournal::exists(target)?),
        None => Ok(dir.join("capsules.db").exists()),
    }
}

/// Opens an existing ledger, recovers what a crash left, and starts it.
///
/// # Errors
/// [`DataError`]: missing, damaged, in use by another process, settings that are not durable.
pub fn open(dir: &Path, config: &Config, clock: Arc<dyn Clock>) -> Result<Opened, DataError> {
    let data = DataDir::open(dir)?;
    let (journal, database): (Box<dyn Journal>, Database) = match &config.database {
        Some(target) => {
            let settings = postgres::Settings {
                shared: config.shares_limits(),
                ..postgres::Settings::default()
            };
            let journal = PostgresJournal::open(target, settings)?;
            (
                Box::new(journal),
                Database::Server(Box::new(target.clone())),
            )
        }
        None => {
            refuse_elsewhere(&data)?;
            let settings = Settings {
                disk_reserve: config.limits.min_free_disk_bytes,
                ..Settings::default()
            };
            let journal = SqliteJournal::open(data.database(), settings)?;
            (Box::new(journal), Database::File(data.database()))
        }
    };
    if data.finish_rotation_in(&database, clock.now())? {
        tracing::warn!("an interrupted key rotation was completed: its record was sealed already");
    }
    let (domain, host) = (config.domain.clone(), config.listen.ip().to_string());
    let options = Options {
        settle_slots: config.limits.settle_slots as usize,
        earlier_keys: data.earlier_keys()?,
        clock,
        domain: domain.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        recover: Some(Box::new(move |intent| {
            recover::recover(intent, &domain, &host)
        })),
        ..Options::default()
    };
    let signers = signers(&data, config.post_quantum)?;
    let (ledger, recovery) = Ledger::start(journal, &signers, Box::new(data.anchor()), options)?;
    let reader = Reader::at(&database)?;
    Ok(Opened {
        ledger,
        recovery,
        digest_key: *data.digest_key()?,
        content: content(&data, config.database.as_ref(), &reader)?,
        identity: Seed {
            rows: None,
            database: Some(database),
            roll: Some(dir.join("entities")),
        },
    })
}

/// The keys of content, without those that a crash kept an erasure or a run of retention from destroying.
fn content(
    data: &DataDir,
    database: Option<&Target>,
    reader: &Reader,
) -> Result<crate::content::Seed, DataError> {
    let mut keys = match database {
        Some(target) => data.shared_content_keys(target)?,
        None => data.content_keys()?,
    };
    let mut retention = reader.retention()?;
    let unfinished = KeyError::from;
    for (subject, key) in reader.erased()? {
        keys.destroy_subject(&subject, &key).map_err(unfinished)?;
    }
    if let Some(run) = &retention {
        keys.destroy_hours(run.floor).map_err(unfinished)?;
    }
    keys.scrub().map_err(unfinished)?;
    if retention.is_none() {
        // No run yet: the newest content says what time it was at least.
        retention = reader.newest_hour()?.map(|hour| Retention {
            floor: i64::MIN,
            believed: hour.saturating_add(1).saturating_mul(3_600_000_000),
        });
    }
    Ok(crate::content::Seed { keys, retention })
}

fn signers(data: &DataDir, post_quantum: bool) -> Result<Signers, KeyError> {
    Ok(Signers {
        records: match post_quantum {
            false => Arc::new(data.signer()?),
            true => Arc::new(data.double_signer()?),
        },
        checkpoints: Arc::new(data.checkpoint_signer()?),
    })
}

/// Changes the key that seals, by a record that the old key seals; nobody may run the ledger meanwhile.
///
/// # Errors
/// [`DataError`]; [`OpenError`] when another process has the ledger open.
pub fn rotate(
    dir: &Path,
    database: Option<&Target>,
    clock: Arc<dyn Clock>,
) -> Result<ledger::Rotation, DataError> {
    let data = DataDir::open(dir)?;
    let journal = journal(&data, database)?;
    data.finish_rotation_in(&place(&data, database), clock.now())?;
    let now = clock.now();
    let options = Options {
        earlier_keys: data.earlier_keys()?,
        clock,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Options::default()
    };
    let heir = data.heir()?;
    let rotation = ledger::rotate(
        journal,
        &signers(&data, data.post_quantum_key()?.is_some())?,
        &heir,
        &mut data.anchor(),
        &options,
    )?;
    data.promote_heir(now)?;
    Ok(rotation)
}

/// Seals the gap between the records and the newest checkpoint.
///
/// # Errors
/// [`DataError`]; damage within the chain is never adopted.
pub fn adopt(
    dir: &Path,
    database: Option<&Target>,
    reason: &str,
    clock: Arc<dyn Clock>,
) -> Result<ledger::Gap, DataError> {
    let data = DataDir::open(dir)?;
    let journal = journal(&data, database)?;
    data.finish_rotation_in(&place(&data, database), clock.now())?;
    let options = Options {
        earlier_keys: data.earlier_keys()?,
        clock,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Options::default()
    };
    let signers = signers(&data, data.post_quantum_key()?.is_some())?;
    Ok(ledger::adopt(
        journal,
        &signers,
        &mut data.anchor(),
        &options,
        reason,
    )?)
}
