//! One measurement: warm up, load, drain; CPU of the gateway's process tree over all of it but the warm-up.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    client,
    gateways::{Gateway, Kind},
    mock::{self, Counts},
    plan::{Load, Scenario},
    procfs, stats, wrk,
};

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) warm_up: Duration,
    pub(crate) active: Duration,
}

/// One gateway, one scenario, one round. Counts include the warm-up only where the name says so.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    pub(crate) calls: u64,
    pub(crate) per_second: f64,
    /// User plus system time of the gateway's processes, drain included.
    pub(crate) cpu_us_per_call: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Answers other than 2xx, broken connections, incomplete streams.
    pub(crate) faults: u64,
    /// CPU that processes outside this run used meanwhile, in cores.
    pub(crate) other_load: f64,
    pub(crate) resident_mb: f64,
    /// Streams only: time to the first content event.
    pub(crate) first: Option<Percentiles>,
    /// Paced streams only: from the mock's write of a chunk to the client's read.
    pub(crate) chunk: Option<Percentiles>,
    /// Good answers, warm-up included.
    pub(crate) good_with_warm_up: u64,
    /// Calls that the mock got, warm-up included.
    pub(crate) upstream_with_warm_up: u64,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Counts of one load phase.
struct Phase {
    calls: u64,
    faults: u64,
    p50_us: f64,
    p99_us: f64,
    first: Option<Percentiles>,
    chunk: Option<Percentiles>,
}

/// Runs `scenario` once on `gateway`; `directory` takes the generator's files.
pub(crate) fn measure(
    gateway: &Gateway,
    scenario: &Scenario,
    pace: Pace,
    upstream: std::net::SocketAddr,
    directory: &Path,
) -> Result<Sample> {
    mock::set(upstream, scenario.load.mock_settings())?;
    let body = write_body(scenario.load, directory)?;
    let before_all = mock::counts(upstream)?;
    let run = |active| phase(gateway, scenario, active, &body, directory);
    // Python loads parts of itself with its first calls.
    let warm = run(if gateway.kind.is_python() {
        3 * pace.warm_up
    } else {
        pace.warm_up
    })?;
    let _ = settle_cpu(gateway)?;
    let clock = Instant::now();
    let busy = procfs::machine_busy_us()?;
    let ours = procfs::tree_cpu_us(std::process::id())?;
    let cpu = gateway_cpu(gateway)?;
    let main = run(pace.active)?;
    let cpu = settle_cpu(gateway)?.saturating_sub(cpu);
    let ours = procfs::tree_cpu_us(std::process::id())?.saturating_sub(ours);
    let busy = procfs::machine_busy_us()?.saturating_sub(busy);
    let wall = clock.elapsed().as_micros() as f64;
    let resident = match gateway.pid() {
        Some(pid) => procfs::tree_memory(pid)?.resident_kb,
        None => 0,
    };
    let after_all = mock::counts(upstream)?;
    Ok(Sample {
        calls: main.calls,
        per_second: main.calls as f64 / pace.active.as_secs_f64(),
        cpu_us_per_call: cpu as f64 / main.calls.max(1) as f64,
        p50_ms: main.p50_us / 1e3,
        p99_ms: main.p99_us / 1e3,
        faults: main.faults + warm.faults,
        other_load: busy.saturating_sub(ours) as f64 / wall,
        resident_mb: resident as f64 / 1024.0,
        first: main.first,
        chunk: main.chunk,
        good_with_warm_up: main.calls + warm.calls,
        upstream_with_warm_up: answered_between(before_all, after_all),
    })
}

fn answered_between(before: Counts, after: Counts) -> u64 {
    after.total().saturating_sub(before.total())
}

fn write_body(load: Load, directory: &Path) -> Result<PathBuf> {
    let path = directory.join("body.json");
    fs::write(&path, load.body()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn phase(
    gateway: &Gateway,
    scenario: &Scenario,
    active: Duration,
    body: &Path,
    directory: &Path,
) -> Result<Phase> {
    if scenario.load.is_stream() {
        return stream_phase(gateway, scenario, active);
    }
    let outcome = wrk::run(
        &wrk::Load {
            address: gateway.plain,
            path: scenario.load.path(),
            body,
            connections: scenario.connections,
            active,
            drain: drain_time(gateway.kind),
        },
        directory,
    )?;
    Ok(Phase {
        calls: outcome.good(),
        faults: outcome.faults(),
        p50_us: outcome.p50_us,
        p99_us: outcome.p99_us,
        first: None,
        chunk: None,
    })
}

fn stream_phase(gateway: &Gateway, scenario: &Scenario, active: Duration) -> Result<Phase> {
    let mut streams = client::run_streams(
        gateway.stream,
        &scenario.load.body(),
        scenario.connections,
        active,
    )?;
    Ok(Phase {
        calls: streams.complete,
        faults: streams.incomplete,
        p50_us: stats::percentile(&mut streams.whole_us, 50.0) as f64,
        p99_us: stats::percentile(&mut streams.whole_us, 99.0) as f64,
        first: percentiles(&mut streams.first_us),
        chunk: percentiles(&mut streams.chunk_us),
    })
}

fn percentiles(samples: &mut [u64]) -> Option<Percentiles> {
    if samples.is_empty() {
        return None;
    }
    Some(Percentiles {
        p50_ms: stats::percentile(samples, 50.0) as f64 / 1e3,
        p99_ms: stats::percentile(samples, 99.0) as f64 / 1e3,
    })
}

fn drain_time(kind: Kind) -> Duration {
    if kind.is_python() {
        Duration::from_secs(4)
    } else {
        Duration::from_millis(500)
    }
}

fn gateway_cpu(gateway: &Gateway) -> Result<u64> {
    gateway.pid().map_or(Ok(0), procfs::tree_cpu_us)
}

/// Waits until the gateway has finished its work beside the answers (less than 4 % of a core for half a second, at
/// most thirty seconds) and gives its CPU time.
fn settle_cpu(gateway: &Gateway) -> Result<u64> {
    let since = Instant::now();
    let mut before = gateway_cpu(gateway)?;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = gateway_cpu(gateway)?;
        if now.saturating_sub(before) <= 20_000 || since.elapsed() > Duration::from_secs(30) {
            return Ok(now);
        }
        before = now;
    }
}
