//! The ledger bench: append and verify, beside the reference package in the same run.

mod append;
mod report;
mod sample;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

pub(crate) use append::{Appended, run as append};
pub(crate) use report::{LedgerReport, What};

use crate::{
    child::{self, Cost},
    gateways::{self, Kind},
    machine, service,
    stats::spread,
};

/// What to run.
pub(crate) struct Options {
    pub(crate) capsule: PathBuf,
    pub(crate) sealgate: PathBuf,
    pub(crate) venv: Option<PathBuf>,
    pub(crate) work: PathBuf,
    pub(crate) rounds: usize,
    /// Records of the large ledger.
    pub(crate) records: u64,
}

/// Records appended at one commit each.
const SINGLE: u64 = 5_000;
/// Records that the reference appends, and records of the ledger that it verifies.
const REFERENCE_APPENDS: u64 = 2_000;
const REFERENCE_VERIFIES: u64 = 20_000;
/// Appends under way at a time, as under load.
const WINDOW: usize = 512;

/// Runs everything.
pub(crate) fn run(options: &Options) -> Result<LedgerReport> {
    fs::create_dir_all(&options.work)?;
    let programs = gateways::Programs {
        sealgate: Some(options.sealgate.clone()),
        null_journal: None,
        crabllm: None,
        venv: options.venv.clone(),
    };
    let mut report = LedgerReport {
        machine: machine::describe(&options.work, &programs)?,
        rounds: options.rounds,
        records: options.records,
        record_bytes: append::template()?.len(),
        rows: Vec::new(),
    };
    let bench = Bench { options };
    let reference = bench.ledger("for-reference", REFERENCE_VERIFIES, WINDOW)?.0;
    let one = bench.ledger("one-record", 1, 1)?.0;
    for round in 0..options.rounds {
        let (large, appended) = bench.ledger(&format!("large-{round}"), options.records, WINDOW)?;
        report.appended(What::AppendBatched, false, &appended);
        let (_, single) = bench.ledger(&format!("single-{round}"), SINGLE, 1)?;
        report.appended(What::AppendSingle, false, &single);
        for what in [What::VerifyFull, What::VerifySignatures] {
            let cost = bench.verify(&options.capsule, &large, what)?;
            report.verified(what, false, options.records, &cost, None);
        }
        bench.starts(&large, &mut report)?;
        if let Some(venv) = &options.venv {
            report.appended(
                What::AppendSingle,
                true,
                &bench.reference_append(venv, round)?,
            );
            let tool = venv.join("bin/capsule");
            for what in [What::VerifyFull, What::VerifySignatures] {
                // The interpreter's start is not the reference's cost per record.
                let base = bench.verify(&tool, &one, what)?;
                let cost = bench.verify(&tool, &reference, what)?;
                report.verified(what, true, REFERENCE_VERIFIES, &cost, Some(&base));
            }
        }
        fs::remove_dir_all(large.parent().context("the ledger has no parent")?)?;
    }
    Ok(report)
}

struct Bench<'a> {
    options: &'a Options,
}

impl Bench<'_> {
    /// A new ledger with `records` records, made by a process of its own.
    fn ledger(&self, name: &str, records: u64, window: usize) -> Result<(PathBuf, Appended)> {
        let directory = self.options.work.join(name);
        let data = directory.join("data");
        fs::create_dir_all(&directory)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("append").arg("--data").arg(&data);
        command.args([
            "--records",
            &records.to_string(),
            "--window",
            &window.to_string(),
        ]);
        let cost = child::run(command, &directory.join("append.log"))?;
        let last = cost.output.lines().last().unwrap_or_default();
        let appended = serde_json::from_str(last).with_context(|| format!("unreadable: {last}"))?;
        Ok((data, appended))
    }

    fn verify(&self, tool: &Path, data: &Path, what: What) -> Result<Cost> {
        let mut command = Command::new(tool);
        command
            .arg("verify")
            .arg("--db")
            .arg(data.join("capsules.db"))
            .arg("--quiet");
        if what == What::VerifySignatures {
            command.args(["--pubkey", &self.public_key(data)?]);
        } else {
            command.arg("--full");
        }
        command.env("QUANTUMPIPES_DATA_DIR", data);
        child::run(command, &self.options.work.join("verify.log"))
    }

    fn public_key(&self, data: &Path) -> Result<String> {
        let signer = store::keys::DataDir::open(data)?.signer()?;
        Ok(capsule::Signer::public_key(&signer).hex())
    }

    fn reference_append(&self, venv: &Path, round: usize) -> Result<Appended> {
        let directory = self.options.work.join(format!("reference-{round}"));
        fs::create_dir_all(&directory)?;
        let (script, template) = (directory.join("append.py"), directory.join("template.json"));
        fs::write(&script, include_str!("../../peers/reference_ledger.py"))?;
        fs::write(&template, append::template()?)?;
        let mut command = Command::new(venv.join("bin/python"));
        command
            .arg(&script)
            .arg(&template)
            .arg(REFERENCE_APPENDS.to_string());
        command.env("QUANTUMPIPES_DATA_DIR", &directory);
        let cost = child::run(command, &directory.join("append.log"))?;
        let last = cost.output.lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("unreadable: {last}"))
    }

    /// Starts `sealgate serve` on the large ledger and ends it, five times.
    fn starts(&self, data: &Path, report: &mut LedgerReport) -> Result<()> {
        let directory = data.parent().context("the ledger has no parent")?;
        let upstream = service::free_address()?;
        let mut starts = Vec::new();
        for _ in 0..5 {
            let gateway =
                gateways::sealgate(Kind::Sealgate, &self.options.sealgate, upstream, directory)?;
            starts.push(gateway.start.as_secs_f64() * 1e3);
        }
        report.started(self.options.records, spread(starts).median);
        Ok(())
    }
}
