//! A long load on Sealgate: plain calls and streams together; memory must stay flat and the counts equal.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::{
    accounting::{self, Equality},
    client,
    compare::Upstream,
    gateways::{self, Kind},
    mock,
    plan::Load,
    procfs, records,
    stats::spread,
};

/// Memory may grow by this share from the second quarter of the run to the last.
const ALLOWED_GROWTH: f64 = 0.10;
const SAMPLES: u32 = 120;

/// What a soak found.
#[derive(Debug, Serialize)]
pub(crate) struct Soak {
    /// Resident memory over time, megabytes.
    resident_mb: Vec<f64>,
    /// Median of the second quarter of the samples.
    early_mb: f64,
    /// Median of the last quarter.
    late_mb: f64,
    calls_per_second: f64,
    equality: Equality,
}

impl Soak {
    pub(crate) fn holds(&self) -> bool {
        self.equality.holds() && self.late_mb <= self.early_mb * (1.0 + ALLOWED_GROWTH)
    }
}

/// Loads Sealgate for `length` with 24 connections of plain calls and 8 of streams.
pub(crate) fn run(program: &Path, work: &Path, length: Duration) -> Result<Soak> {
    let directory = work.join("soak");
    fs::create_dir_all(&directory)?;
    let upstream = Upstream::start(work)?;
    mock::set(upstream.address, Load::Small.mock_settings())?;
    let gateway = gateways::sealgate(Kind::Sealgate, program, upstream.address, &directory)?;
    let pid = gateway.pid().context("the gateway has no process")?;
    let data = gateway.data.clone().context("the gateway has no ledger")?;
    let before = mock::counts(upstream.address)?;
    let after = records::head(&data)?;

    let stop = Arc::new(AtomicBool::new(false));
    let (address, flag) = (gateway.plain, Arc::clone(&stop));
    let plain = thread::spawn(move || {
        client::run_calls_uncollected(
            address,
            &Load::Small.body(),
            24,
            &flag,
            length + Duration::from_secs(60),
        )
    });
    let streams = thread::spawn(move || {
        client::run_streams_uncollected(address, &Load::Burst.body(), 8, length)
    });
    let resident_mb = watch(pid, length)?;
    stop.store(true, Ordering::Relaxed);
    let (Ok(plain), Ok(streams)) = (plain.join(), streams.join()) else {
        bail!("a load client failed");
    };
    let answered = plain?.answered + streams?.complete;
    let got = mock::counts(upstream.address)?.total() - before.total();
    let quarter = resident_mb.len() / 4;
    Ok(Soak {
        early_mb: spread(resident_mb.iter().skip(quarter).take(quarter).copied()).median,
        late_mb: spread(resident_mb.iter().rev().take(quarter).copied()).median,
        resident_mb,
        calls_per_second: answered as f64 / length.as_secs_f64(),
        equality: accounting::after_load("soak".to_owned(), &data, after, answered, got)?,
    })
}

fn watch(pid: u32, length: Duration) -> Result<Vec<f64>> {
    let since = Instant::now();
    let mut samples = Vec::new();
    while since.elapsed() < length {
        thread::sleep(length / SAMPLES);
        samples.push(procfs::tree_memory(pid)?.resident_kb as f64 / 1024.0);
    }
    Ok(samples)
}
