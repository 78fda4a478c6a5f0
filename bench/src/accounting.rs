//! The promise behind the figures: records sealed = calls answered = calls that reached the upstream, to the last one.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::{
    client::{self, Calls},
    gateways::{self, Kind},
    mock, payload, records,
};

/// Longest wait for records that are settled beside the answer.
const SETTLE_LIMIT: Duration = Duration::from_secs(15);
/// Longest time from SIGTERM to the end of the process.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The three counts of one load run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Equality {
    pub(crate) what: String,
    /// 2xx answers that a client read to the end.
    pub(crate) answered: u64,
    /// Calls that the mock answered.
    pub(crate) upstream: u64,
    /// Chat records with outcome `success`.
    pub(crate) sealed: u64,
    /// Chat records with any other outcome.
    pub(crate) otherwise: u64,
    /// Answers whose record id is not in the ledger, where answers were followed by id.
    pub(crate) missing: u64,
    /// Set when the process did not end with exit status 0.
    pub(crate) bad_exit: Option<String>,
}

impl Equality {
    /// Nothing missing, nothing extra.
    pub(crate) fn holds(&self) -> bool {
        self.answered > 0
            && self.answered == self.upstream
            && self.answered == self.sealed
            && self.otherwise == 0
            && self.missing == 0
            && self.bad_exit.is_none()
    }
}

/// Compares what a finished load run answered with the records after `after`.
pub(crate) fn after_load(
    what: String,
    data: &Path,
    after: i64,
    answered: u64,
    upstream: u64,
) -> Result<Equality> {
    let records = records::settled(data, after, answered, SETTLE_LIMIT)?;
    Ok(Equality {
        what,
        answered,
        upstream,
        sealed: records.success(),
        otherwise: records.total() - records.success(),
        missing: 0,
        bad_exit: None,
    })
}

/// Full load from the bench's own client, SIGTERM in the middle of it, then the comparison by record id.
pub(crate) fn sigterm_at_full_load(
    program: &Path,
    upstream: SocketAddr,
    directory: &Path,
    connections: u32,
    load: Duration,
) -> Result<Equality> {
    mock::set(upstream, "latency_ms=0&chunk_ms=0")?;
    std::fs::create_dir_all(directory)?;
    let mut gateway = gateways::sealgate(Kind::Sealgate, program, upstream, directory)?;
    let data = gateway.data.clone().context("the gateway has no ledger")?;
    let before = mock::counts(upstream)?;
    let after = records::head(&data)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (address, flag) = (gateway.plain, Arc::clone(&stop));
    let client = std::thread::spawn(move || {
        client::run_calls(
            address,
            &payload::small_chat(),
            connections,
            &flag,
            load + STOP_LIMIT,
        )
    });
    std::thread::sleep(load);
    let service = gateway
        .service
        .as_mut()
        .context("the gateway has no process")?;
    service.signal_terminate()?;
    let status = service.wait(STOP_LIMIT);
    stop.store(true, Ordering::Relaxed);
    let Ok(calls) = client.join() else {
        bail!("the load client failed");
    };
    let bad_exit = match status {
        Ok(status) if status.success() => None,
        Ok(status) => Some(status.to_string()),
        Err(error) => Some(format!("{error:#}")),
    };
    let upstream = mock::counts(upstream)?.total() - before.total();
    compare_by_id(calls?, upstream, &data, after, bad_exit)
}

fn compare_by_id(
    calls: Calls,
    upstream: u64,
    data: &Path,
    after: i64,
    bad_exit: Option<String>,
) -> Result<Equality> {
    let records = records::chat_records(data, after)?;
    let sealed = records::success_ids(data, after)?;
    let known = calls.ids.iter().filter(|id| sealed.contains(*id)).count() as u64;
    Ok(Equality {
        what: format!(
            "SIGTERM at full load ({} refused, {} cut)",
            calls.refused, calls.cut
        ),
        answered: calls.answered,
        upstream,
        sealed: records.success(),
        otherwise: records.total() - records.success(),
        // An answer without an id counts as missing: nobody could find its record.
        missing: calls.answered - known,
        bad_exit,
    })
}
