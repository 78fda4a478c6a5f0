//! Rows of the ledger bench, as table and JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::Appended;
use crate::{child::Cost, machine::Machine, stats::spread};

/// What a row measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum What {
    /// Many records under way at a time.
    AppendBatched,
    /// One commit each.
    AppendSingle,
    /// `verify --full`.
    VerifyFull,
    /// `verify --pubkey`.
    VerifySignatures,
    /// Start of the server on the ledger.
    Start,
}

impl What {
    fn title(self) -> &'static str {
        match self {
            Self::AppendBatched => "append, batched",
            Self::AppendSingle => "append, one commit each",
            Self::VerifyFull => "verify --full",
            Self::VerifySignatures => "verify --pubkey",
            Self::Start => "start of serve",
        }
    }

    /// Highest CPU per record in microseconds that Sealgate may need.
    fn limit_us(self) -> Option<f64> {
        match self {
            Self::AppendBatched => Some(30.0),
            Self::VerifyFull => Some(12.0),
            Self::VerifySignatures => Some(40.0),
            Self::AppendSingle | Self::Start => None,
        }
    }
}

/// One round of one row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: What,
    /// By the reference package rather than by Sealgate.
    pub(crate) reference: bool,
    pub(crate) records: u64,
    pub(crate) per_second: f64,
    pub(crate) cpu_us_per_record: f64,
    pub(crate) peak_mb: f64,
    /// `Start` only.
    pub(crate) start_ms: f64,
}

/// Everything one run found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LedgerReport {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    /// Records of the large ledger.
    pub(crate) records: u64,
    /// Canonical bytes of one record.
    pub(crate) record_bytes: usize,
    pub(crate) rows: Vec<Row>,
}

impl LedgerReport {
    pub(crate) fn appended(&mut self, what: What, reference: bool, appended: &Appended) {
        self.rows.push(Row {
            what,
            reference,
            records: appended.records,
            per_second: appended.records as f64 / appended.seconds,
            cpu_us_per_record: appended.cpu_us_per_record,
            peak_mb: appended.peak_kb as f64 / 1024.0,
            start_ms: 0.0,
        });
    }

    /// `base` is the cost of the same command on one record, to be left out.
    pub(crate) fn verified(
        &mut self,
        what: What,
        reference: bool,
        records: u64,
        cost: &Cost,
        base: Option<&Cost>,
    ) {
        let base_cpu = base.map_or(0, |base| base.cpu_us);
        let base_wall = base.map_or(0.0, |base| base.wall.as_secs_f64());
        let wall = (cost.wall.as_secs_f64() - base_wall).max(1e-6);
        self.rows.push(Row {
            what,
            reference,
            records,
            per_second: records as f64 / wall,
            cpu_us_per_record: cost.cpu_us.saturating_sub(base_cpu) as f64 / records as f64,
            peak_mb: cost.peak_kb as f64 / 1024.0,
            start_ms: 0.0,
        });
    }

    pub(crate) fn started(&mut self, records: u64, start_ms: f64) {
        self.rows.push(Row {
            what: What::Start,
            reference: false,
            records,
            per_second: 0.0,
            cpu_us_per_record: 0.0,
            peak_mb: 0.0,
            start_ms,
        });
    }

    /// The table, as Markdown.
    pub(crate) fn table(&self) -> String {
        let machine = &self.machine;
        let mut text = format!(
            "{} ({} cores), Linux {}, {}; commit {}\n{}\nappend of 4 KB + fdatasync: p50 {} us, p99 {} us\n\
             records of {} bytes; {} rounds, medians\n\n\
             | what | by | records | records/s | CPU us/record | limit | peak MB | start ms |\n\
             |---|---|--:|--:|--:|--:|--:|--:|\n",
            machine.cpu,
            machine.cores,
            machine.kernel,
            machine.file_system,
            machine.commit,
            machine.versions.join("; "),
            machine.sync.p50_us,
            machine.sync.p99_us,
            self.record_bytes,
            self.rounds,
        );
        let whats = [
            What::AppendBatched,
            What::AppendSingle,
            What::VerifyFull,
            What::VerifySignatures,
            What::Start,
        ];
        for what in whats {
            for reference in [false, true] {
                self.write_row(&mut text, what, reference);
            }
        }
        text
    }

    fn write_row(&self, text: &mut String, what: What, reference: bool) {
        let rows: Vec<&Row> = self
            .rows
            .iter()
            .filter(|row| row.what == what && row.reference == reference)
            .collect();
        let Some(records) = rows.first().map(|row| row.records) else {
            return;
        };
        let of = |figure: fn(&Row) -> f64| spread(rows.iter().map(|row| figure(row))).median;
        let limit = if reference { None } else { what.limit_us() };
        let _ = writeln!(
            text,
            "| {} | {} | {records} | {:.0} | {:.1} | {} | {:.0} | {:.0} |",
            what.title(),
            if reference { "qp-capsule" } else { "sealgate" },
            of(|row| row.per_second),
            of(|row| row.cpu_us_per_record),
            limit.map_or(String::new(), |limit| format!("at most {limit}")),
            of(|row| row.peak_mb),
            of(|row| row.start_ms),
        );
    }
}
