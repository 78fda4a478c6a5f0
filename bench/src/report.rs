//! The report: a table for people and JSON for everything else.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    accounting::Equality,
    bounds::Bound,
    gateways::Kind,
    machine::Machine,
    measure::{Percentiles, Sample},
    plan::Scenario,
    procfs::Memory,
    stats::{Spread, spread},
};

/// One gateway in one scenario, over all rounds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) gateway: &'static str,
    #[serde(skip)]
    pub(crate) plan: Scenario,
    #[serde(skip)]
    pub(crate) kind: Kind,
    pub(crate) rounds: Vec<Sample>,
    /// CPU per call over nginx's of the same round.
    pub(crate) ratio: Option<Spread>,
}

impl Row {
    pub(crate) fn new(plan: &Scenario, kind: Kind) -> Self {
        Self {
            scenario: plan.title(),
            gateway: kind.name(),
            plan: plan.clone(),
            kind,
            rounds: Vec::new(),
            ratio: None,
        }
    }

    /// Median and range of one figure over the rounds.
    pub(crate) fn of(&self, figure: impl Fn(&Sample) -> f64) -> Spread {
        spread(self.rounds.iter().map(figure))
    }

    pub(crate) fn cpu(&self) -> Spread {
        self.of(|sample| sample.cpu_us_per_call)
    }

    fn first(&self) -> Option<Percentiles> {
        self.middle(|sample| sample.first)
    }

    fn chunk(&self) -> Option<Percentiles> {
        self.middle(|sample| sample.chunk)
    }

    fn middle(&self, figure: impl Fn(&Sample) -> Option<Percentiles>) -> Option<Percentiles> {
        let present: Vec<Percentiles> = self.rounds.iter().filter_map(figure).collect();
        if present.is_empty() {
            return None;
        }
        Some(Percentiles {
            p50_ms: spread(present.iter().map(|value| value.p50_ms)).median,
            p99_ms: spread(present.iter().map(|value| value.p99_ms)).median,
        })
    }
}

/// Fills in the ratio of each row to nginx in the same scenario, round by round.
pub(crate) fn add_ratios(rows: &mut [Row]) {
    let nginx: Vec<(String, Vec<f64>)> = rows
        .iter()
        .filter(|row| row.kind == Kind::Nginx)
        .map(|row| {
            let cpu = row
                .rounds
                .iter()
                .map(|sample| sample.cpu_us_per_call)
                .collect();
            (row.scenario.clone(), cpu)
        })
        .collect();
    for row in rows.iter_mut().filter(|row| row.kind != Kind::Direct) {
        let base = nginx.iter().find(|(scenario, _)| *scenario == row.scenario);
        row.ratio = base.map(|(_, base)| {
            spread(
                row.rounds
                    .iter()
                    .zip(base)
                    .filter(|(_, base)| **base > 0.0)
                    .map(|(sample, base)| sample.cpu_us_per_call / base),
            )
        });
    }
}

/// Start time and memory of one gateway.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) gateway: &'static str,
    pub(crate) start_ms: f64,
    pub(crate) idle: Memory,
    pub(crate) loaded: Memory,
}

/// Everything one run found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) rows: Vec<Row>,
    pub(crate) processes: Vec<Process>,
    pub(crate) equality: Vec<Equality>,
    pub(crate) bounds: Vec<Bound>,
    /// What was not measured, and why; other things a reader must know.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// Load runs whose counts differ.
    pub(crate) fn broken(&self) -> usize {
        self.equality
            .iter()
            .filter(|equality| !equality.holds())
            .count()
    }

    pub(crate) fn missed(&self) -> usize {
        self.bounds.iter().filter(|bound| !bound.met).count()
    }

    /// The table, as Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        self.write_machine(&mut text);
        self.write_rows(&mut text);
        self.write_processes(&mut text);
        self.write_equality(&mut text);
        self.write_bounds(&mut text);
        for note in &self.notes {
            let _ = writeln!(text, "Note: {note}");
        }
        text
    }

    fn write_machine(&self, text: &mut String) {
        let machine = &self.machine;
        let _ = writeln!(
            text,
            "{} ({} cores), Linux {}, {}; commit {}\n{}\nappend of 4 KB + fdatasync: p50 {} us, p99 {} us\n\
             {} rounds of {} s; medians; ratio = CPU per call over nginx's of the same round (range)\n",
            machine.cpu,
            machine.cores,
            machine.kernel,
            machine.file_system,
            machine.commit,
            machine.versions.join("; "),
            machine.sync.p50_us,
            machine.sync.p99_us,
            self.rounds,
            self.seconds,
        );
    }

    fn write_rows(&self, text: &mut String) {
        text.push_str(
            "| load | gateway | CPU us/call | x nginx | calls/s | p50 ms | p99 ms | first p50/p99 ms | \
             chunk p50/p99 ms | RSS MB | faults | other load |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for row in &self.rows {
            let ratio = row.ratio.map_or(String::new(), |ratio| {
                format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.low, ratio.high)
            });
            let faults: u64 = row.rounds.iter().map(|sample| sample.faults).sum();
            let _ = writeln!(
                text,
                "| {} | {} | {:.1} | {ratio} | {:.0} | {:.2} | {:.2} | {} | {} | {:.0} | {faults} | {:.2} |",
                row.scenario,
                row.gateway,
                row.cpu().median,
                row.of(|sample| sample.per_second).median,
                row.of(|sample| sample.p50_ms).median,
                row.of(|sample| sample.p99_ms).median,
                pair(row.first()),
                pair(row.chunk()),
                row.of(|sample| sample.resident_mb).median,
                row.of(|sample| sample.other_load).median,
            );
        }
        text.push('\n');
    }

    fn write_processes(&self, text: &mut String) {
        text.push_str(
            "| gateway | start ms | idle MB | after load MB | peak MB |\n|---|--:|--:|--:|--:|\n",
        );
        for process in &self.processes {
            let _ = writeln!(
                text,
                "| {} | {:.0} | {:.1} | {:.1} | {:.1} |",
                process.gateway,
                process.start_ms,
                megabytes(process.idle.resident_kb),
                megabytes(process.loaded.resident_kb),
                megabytes(process.loaded.peak_kb),
            );
        }
        text.push('\n');
    }

    fn write_equality(&self, text: &mut String) {
        if self.equality.is_empty() {
            return;
        }
        text.push_str(
            "| load run of sealgate | answered | upstream | sealed | other outcomes | missing | equal |\n\
             |---|--:|--:|--:|--:|--:|---|\n",
        );
        for equality in &self.equality {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {}{} |",
                equality.what,
                equality.answered,
                equality.upstream,
                equality.sealed,
                equality.otherwise,
                equality.missing,
                if equality.holds() { "yes" } else { "NO" },
                equality
                    .bad_exit
                    .as_ref()
                    .map_or(String::new(), |exit| format!(" ({exit})")),
            );
        }
        text.push('\n');
    }

    fn write_bounds(&self, text: &mut String) {
        if self.bounds.is_empty() {
            return;
        }
        text.push_str("| bound | measured | limit | met |\n|---|--:|--:|---|\n");
        for bound in &self.bounds {
            let _ = writeln!(
                text,
                "| {} | {:.2} | {} {} | {} |",
                bound.what,
                bound.measured,
                if bound.at_least {
                    "at least"
                } else {
                    "at most"
                },
                bound.limit,
                if bound.met { "yes" } else { "NO" },
            );
        }
        text.push('\n');
    }
}

fn pair(value: Option<Percentiles>) -> String {
    value.map_or(String::new(), |value| {
        format!("{:.2}/{:.2}", value.p50_ms, value.p99_ms)
    })
}

fn megabytes(kilobytes: u64) -> f64 {
    kilobytes as f64 / 1024.0
}
