//! From a data directory to a running ledger.

use std::path::Path;
use std::sync::Arc;

use ledger::{Clock, Ledger, LedgerError, Options, Recovery, Signers};
use store::content::Retention;
use store::keys::{DataDir, KeyError};
use store::reader::{ReadError, Reader};
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

/// Creates directory, keys and ledger, with an ML-DSA-65 key on demand. Fails when there is a ledger already.
///
/// # Errors
/// [`DataError`].
pub fn create(
    dir: &Path,
    domain: &str,
    post_quantum: bool,
    clock: Arc<dyn Clock>,
) -> Result<capsule::Id, DataError> {
    let data = DataDir::create(dir)?;
    let journal = SqliteJournal::create(data.database(), Settings::default())?;
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
        Box::new(journal),
        &signers,
        &mut data.anchor(),
        &options,
    )?)
}

/// True when the directory holds a database.
pub fn exists(dir: &Path) -> bool {
    dir.join("capsules.db").exists()
}

/// Opens an existing ledger, recovers what a crash left, and starts it.
///
/// # Errors
/// [`DataError`]: missing, damaged, in use by another process, settings that are not durable.
pub fn open(dir: &Path, config: &Config, clock: Arc<dyn Clock>) -> Result<Opened, DataError> {
    let data = DataDir::open(dir)?;
    let journal = SqliteJournal::open(
        data.database(),
        Settings {
            disk_reserve: config.limits.min_free_disk_bytes,
            ..Settings::default()
        },
    )?;
    if data.finish_rotation(clock.now())? {
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
    let (ledger, recovery) = Ledger::start(
        Box::new(journal),
        &signers,
        Box::new(data.anchor()),
        options,
    )?;
    let reader = Reader::open(data.database())?;
    Ok(Opened {
        ledger,
        recovery,
        digest_key: *data.digest_key()?,
        content: content(&data, &reader)?,
        identity: Seed {
            rows: reader.entities()?,
            database: Some(data.database()),
            roll: Some(dir.join("entities")),
        },
    })
}

/// The keys of content, without those that a crash kept an erasure or a run of retention from destroying.
fn content(data: &DataDir, reader: &Reader) -> Result<crate::content::Seed, DataError> {
    let mut keys = data.content_keys()?;
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
pub fn rotate(dir: &Path, clock: Arc<dyn Clock>) -> Result<ledger::Rotation, DataError> {
    let data = DataDir::open(dir)?;
    let journal = SqliteJournal::open(data.database(), Settings::default())?;
    data.finish_rotation(clock.now())?;
    let now = clock.now();
    let options = Options {
        earlier_keys: data.earlier_keys()?,
        clock,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Options::default()
    };
    let heir = data.heir()?;
    let rotation = ledger::rotate(
        Box::new(journal),
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
pub fn adopt(dir: &Path, reason: &str, clock: Arc<dyn Clock>) -> Result<ledger::Gap, DataError> {
    let data = DataDir::open(dir)?;
    let journal = SqliteJournal::open(data.database(), Settings::default())?;
    data.finish_rotation(clock.now())?;
    let options = Options {
        earlier_keys: data.earlier_keys()?,
        clock,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Options::default()
    };
    let signers = signers(&data, data.post_quantum_key()?.is_some())?;
    Ok(ledger::adopt(
        Box::new(journal),
        &signers,
        &mut data.anchor(),
        &options,
        reason,
    )?)
}
