//! Appends to a ledger in a process of its own, so that its CPU time and memory are nobody else's.

use std::{
    collections::VecDeque,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use capsule::{Draft, Id};
use ledger::{Clock, Ledger, Options, Receipt, Signers, SystemClock, new_id};
use serde::{Deserialize, Serialize};
use store::{
    keys::DataDir,
    sqlite::{Settings, SqliteJournal},
};

use super::sample;
use crate::{mock, procfs};

/// What appending cost. The reference's script prints the first three.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Appended {
    pub(crate) records: u64,
    /// From the first record to the last commit.
    pub(crate) seconds: f64,
    pub(crate) cpu_us_per_record: f64,
    /// Canonical bytes of one record; 0 where the script does not say.
    #[serde(default)]
    pub(crate) record_bytes: usize,
    /// Resident at the end, kilobytes.
    #[serde(default)]
    pub(crate) peak_kb: u64,
}

/// Appends `records` records to the ledger in `data`, which is created when missing; at most `window` are under way
/// at a time, so that 1 means one commit each.
pub(crate) fn run(data: &Path, records: u64, window: usize) -> Result<Appended> {
    let ledger = open(data)?;
    let clock = SystemClock;
    let size = draft(&clock, ledger.id())?.len();
    let me = std::process::id();
    let since = Instant::now();
    let cpu = procfs::tree_cpu_us(me)?;
    mock::block_on(append_all(&ledger, records, window))??;
    let seconds = since.elapsed().as_secs_f64();
    ledger.shutdown_blocking(Duration::from_secs(60))?;
    let cpu = procfs::tree_cpu_us(me)? - cpu;
    Ok(Appended {
        records,
        seconds,
        cpu_us_per_record: cpu as f64 / records as f64,
        record_bytes: size,
        peak_kb: procfs::tree_memory(me)?.peak_kb,
    })
}

/// The canonical text of one record of the sample, for the reference to append.
pub(crate) fn template() -> Result<Vec<u8>> {
    let clock = SystemClock;
    let seed = capsule::SigningKey::from_seed([7; 32]);
    let sealed = draft(&clock, Id::default())?
        .link(0, None)
        .seal(&seed, clock.now())?;
    Ok(sealed.content().to_vec())
}

async fn append_all(ledger: &Ledger, records: u64, window: usize) -> Result<()> {
    let clock = SystemClock;
    let mut under_way: VecDeque<Receipt> = VecDeque::with_capacity(window);
    for _ in 0..records {
        if under_way.len() >= window
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.await.context("a record was not committed")?;
        }
        under_way.push_back(ledger.append(draft(&clock, ledger.id())?, None));
    }
    for receipt in under_way {
        receipt.await.context("a record was not committed")?;
    }
    Ok(())
}

fn draft(clock: &SystemClock, ledger: Id) -> Result<Draft> {
    let now = clock.now();
    Ok(Draft::new(&sample::record(new_id(now)?, ledger, now))?)
}

fn open(data: &Path) -> Result<Ledger> {
    let directory = DataDir::create(data)?;
    let signers = Signers {
        records: Arc::new(directory.signer()?),
        checkpoints: Arc::new(directory.checkpoint_signer()?),
    };
    let database = directory.database();
    if !database.exists() {
        let journal = SqliteJournal::create(&database, Settings::default())?;
        ledger::create(
            Box::new(journal),
            &signers,
            &mut directory.anchor(),
            &Options::default(),
        )?;
    }
    let journal = SqliteJournal::open(&database, Settings::default())?;
    let (ledger, _) = Ledger::start(
        Box::new(journal),
        &signers,
        Box::new(directory.anchor()),
        Options::default(),
    )?;
    Ok(ledger)
}
