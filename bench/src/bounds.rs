//! The figures that Sealgate must reach, evaluated over the rows of one run.

use serde::Serialize;

use crate::{
    gateways::Kind,
    machine::Sync,
    measure::Sample,
    plan::Load,
    report::{Process, Row},
    stats::spread,
};

/// One figure and its limit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Bound {
    pub(crate) what: &'static str,
    pub(crate) measured: f64,
    pub(crate) limit: f64,
    /// The limit is a floor rather than a ceiling.
    pub(crate) at_least: bool,
    pub(crate) met: bool,
}

fn at_most(what: &'static str, measured: f64, limit: f64) -> Bound {
    Bound {
        what,
        measured,
        limit,
        at_least: false,
        met: measured <= limit,
    }
}

fn at_least(what: &'static str, measured: f64, limit: f64) -> Bound {
    Bound {
        what,
        measured,
        limit,
        at_least: true,
        met: measured >= limit,
    }
}

/// All bounds for which this run has figures.
pub(crate) fn evaluate(rows: &[Row], processes: &[Process], sync: Sync) -> Vec<Bound> {
    let mut bounds = Vec::new();
    plain(rows, &mut bounds);
    streams(rows, sync, &mut bounds);
    if let Some(process) = processes
        .iter()
        .find(|process| process.gateway == Kind::Sealgate.name())
    {
        bounds.push(at_most(
            "start with a new ledger, ms",
            process.start_ms,
            50.0,
        ));
        bounds.push(at_most(
            "idle, MB",
            process.idle.resident_kb as f64 / 1024.0,
            25.0,
        ));
        bounds.push(at_most(
            "peak under load, MB",
            process.loaded.peak_kb as f64 / 1024.0,
            60.0,
        ));
    }
    bounds
}

fn find(rows: &[Row], kind: Kind, load: Load, connections: u32) -> Option<&Row> {
    rows.iter().find(|row| {
        row.kind == kind && row.plan.load == load && row.plan.connections == connections
    })
}

fn ratio(rows: &[Row], kind: Kind, load: Load) -> Option<f64> {
    Some(find(rows, kind, load, 32)?.ratio?.median)
}

fn plain(rows: &[Row], bounds: &mut Vec<Bound>) {
    if let Some(row) = find(rows, Kind::Sealgate, Load::Small, 32) {
        bounds.extend(
            row.ratio
                .map(|ratio| at_most("sealed chat, x nginx", ratio.median, 5.0)),
        );
        bounds.push(at_least(
            "sealed chat, calls/s",
            row.of(|sample| sample.per_second).median,
            15_000.0,
        ));
        bounds.push(at_most(
            "sealed chat, p50 ms",
            row.of(|sample| sample.p50_ms).median,
            2.0,
        ));
        bounds.push(at_most(
            "sealed chat, p99 ms",
            row.of(|sample| sample.p99_ms).median,
            10.0,
        ));
        if let Some(python) = find(rows, Kind::LiteLlmSealed, Load::Small, 32) {
            let times = python.cpu().median / row.cpu().median;
            bounds.push(at_least(
                "litellm + qp-capsule, x sealed chat",
                times,
                100.0,
            ));
        }
    }
    let cpu_of = |kind| Some(find(rows, kind, Load::Small, 32)?.cpu().median);
    let (bare, nginx) = (cpu_of(Kind::Sealgate), cpu_of(Kind::Nginx));
    if let (Some(all), Some(bare), Some(nginx)) = (cpu_of(Kind::SealgateGuarded), bare, nginx) {
        // Prompts of 300 bytes; the checks of the answer are in it.
        let added = (all - bare) / nginx;
        bounds.push(at_most("all local checks, added, x nginx", added, 3.0));
    }
    let null = ratio(rows, Kind::NullJournal, Load::Small);
    bounds.extend(null.map(|ratio| at_most("null journal, x nginx", ratio, 2.0)));
    let large = ratio(rows, Kind::Sealgate, Load::Large);
    bounds.extend(large.map(|ratio| at_most("sealed chat 31 KB, x nginx", ratio, 6.0)));
    let cpu = |load| Some(find(rows, Kind::Sealgate, load, 32)?.cpu().median);
    if let (Some(chat), Some(messages)) = (cpu(Load::Small), cpu(Load::Messages)) {
        // A tenth is the noise of a round.
        bounds.push(at_most("messages, x sealed chat", messages / chat, 1.1));
        bounds.extend(cpu(Load::Translated).map(|translated| {
            at_most(
                "translation of a small call, us",
                translated - messages,
                25.0,
            )
        }));
    }
}

fn streams(rows: &[Row], sync: Sync, bounds: &mut Vec<Bound>) {
    let burst = ratio(rows, Kind::Sealgate, Load::Burst);
    bounds.extend(burst.map(|ratio| at_most("sealed stream, burst, x nginx", ratio, 1.3)));
    let paced = ratio(rows, Kind::Sealgate, Load::Paced);
    bounds.extend(paced.map(|ratio| at_most("sealed stream, paced, x nginx", ratio, 2.5)));
    let chunk = added(rows, |sample| Some(sample.chunk?.p99_ms));
    bounds.extend(chunk.map(|added| at_most("paced chunk, added at p99, ms", added, 0.3)));
    let first = added(rows, |sample| Some(sample.first?.p50_ms));
    let limit = 1.0 + sync.p50_us as f64 / 1e3;
    bounds.extend(first.map(|added| at_most("paced first event, added at p50, ms", added, limit)));
}

/// What Sealgate adds to the direct way, round by round, for paced streams.
fn added(rows: &[Row], figure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    let sealed = find(rows, Kind::Sealgate, Load::Paced, 32)?;
    let direct = find(rows, Kind::Direct, Load::Paced, 32)?;
    let differences: Vec<f64> = sealed
        .rounds
        .iter()
        .zip(&direct.rounds)
        .filter_map(|(sealed, direct)| Some(figure(sealed)? - figure(direct)?))
        .collect();
    (!differences.is_empty()).then(|| spread(differences).median)
}
