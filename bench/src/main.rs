//! Benchmarks: Sealgate against a plain relay and the LiteLLM proxy, and its ledger against the reference tool.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool reports on the terminal"
)]

mod accounting;
mod bounds;
mod check;
mod child;
mod client;
mod clock;
mod compare;
mod gateways;
mod http_get;
mod ledger;
mod machine;
mod measure;
mod mock;
mod payload;
mod plan;
mod procfs;
mod records;
mod report;
mod service;
mod soak;
mod sse;
mod stats;
mod wrk;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};

use crate::{gateways::Programs, measure::Pace};

#[derive(Parser)]
#[command(
    about = "Benchmarks of Sealgate; start it through bench/run, which builds and installs what it needs"
)]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Rounds of load on nginx, Sealgate and LiteLLM
    Gateways(GatewayArgs),
    /// A few seconds of load and SIGTERM at full load; compares counts, times nothing
    Check(CheckArgs),
    /// Minutes of load on Sealgate; memory must stay flat and the counts equal
    Soak(SoakArgs),
    /// Append and verify, beside the reference package
    Ledger(LedgerArgs),
    /// Appends records to a ledger and prints what that cost (started by `ledger`; also fills a ledger by hand)
    Append {
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        records: u64,
        /// Records under way at a time; 1 is one commit each
        #[arg(long, default_value_t = 512)]
        window: usize,
    },
    /// The mock upstream (started by the other commands)
    Mock {
        #[arg(long)]
        address: SocketAddr,
        /// It ends after this time whatever happens
        #[arg(long, default_value_t = 7_200)]
        max_seconds: u64,
    },
}

#[derive(Args)]
struct GatewayArgs {
    /// Sealgate's release binary
    #[arg(long)]
    sealgate: Option<PathBuf>,
    /// Sealgate built with the journal that keeps nothing
    #[arg(long)]
    null_journal: Option<PathBuf>,
    /// crabllm, another gateway in Rust; without it its rows are left out
    #[arg(long)]
    crabllm: Option<PathBuf>,
    /// Python environment with LiteLLM and qp-capsule
    #[arg(long)]
    venv: Option<PathBuf>,
    /// Directory for ledgers and logs of this run; it must be on a real disk
    #[arg(long)]
    work: PathBuf,
    /// Directory for the JSON report
    #[arg(long)]
    results: PathBuf,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of load per measurement
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Only the scenarios whose title contains this text
    #[arg(long)]
    only: Option<String>,
    /// Fail also when a bound is missed
    #[arg(long)]
    strict: bool,
}

#[derive(Args)]
struct CheckArgs {
    #[arg(long)]
    sealgate: PathBuf,
    #[arg(long)]
    work: PathBuf,
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

#[derive(Args)]
struct SoakArgs {
    #[arg(long)]
    sealgate: PathBuf,
    #[arg(long)]
    work: PathBuf,
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
}

#[derive(Args)]
struct LedgerArgs {
    #[arg(long)]
    capsule: PathBuf,
    #[arg(long)]
    sealgate: PathBuf,
    #[arg(long)]
    venv: Option<PathBuf>,
    #[arg(long)]
    work: PathBuf,
    #[arg(long)]
    results: PathBuf,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Records of the large ledger; 1000000 needs about 5 GB on the disk
    #[arg(long, default_value_t = 200_000)]
    records: u64,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Action::Gateways(arguments) => gateways_command(arguments),
        Action::Check(arguments) => check_command(&arguments),
        Action::Soak(arguments) => soak_command(&arguments),
        Action::Ledger(arguments) => ledger_command(arguments),
        Action::Append {
            data,
            records,
            window,
        } => append_command(&data, records, window),
        Action::Mock {
            address,
            max_seconds,
        } => mock::run(address, Duration::from_secs(max_seconds)).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn gateways_command(arguments: GatewayArgs) -> Result<bool> {
    let options = compare::Options {
        programs: Programs {
            sealgate: arguments.sealgate.map(absolute).transpose()?,
            null_journal: arguments.null_journal.map(absolute).transpose()?,
            crabllm: arguments.crabllm.map(absolute).transpose()?,
            venv: arguments.venv.map(absolute).transpose()?,
        },
        rounds: arguments.rounds.max(1),
        pace: Pace {
            warm_up: Duration::from_secs(1),
            active: Duration::from_secs_f64(arguments.seconds.clamp(0.5, 600.0)),
        },
        only: arguments.only,
        work: own_directory(&arguments.work)?,
    };
    let report = compare::run(&options)?;
    println!("{}", report.table());
    let file = save(
        &arguments.results,
        "gateways",
        &serde_json::to_vec_pretty(&report)?,
    )?;
    println!("JSON: {}", file.display());
    remove(&options.work, report.broken() == 0)?;
    if report.broken() > 0 {
        eprintln!("bench: {} load runs whose counts differ", report.broken());
    }
    Ok(report.broken() == 0 && !(arguments.strict && report.missed() > 0))
}

fn check_command(arguments: &CheckArgs) -> Result<bool> {
    let seconds = Duration::from_secs_f64(arguments.seconds.clamp(0.5, 60.0));
    let work = own_directory(&arguments.work)?;
    let runs = check::run(&absolute(arguments.sealgate.clone())?, &work, seconds)?;
    let mut equal = true;
    for run in &runs {
        println!("{}", serde_json::to_string(run)?);
        equal &= run.holds();
    }
    remove(&work, equal)?;
    println!(
        "{}",
        if equal {
            "counts are equal"
        } else {
            "counts differ"
        }
    );
    Ok(equal)
}

fn soak_command(arguments: &SoakArgs) -> Result<bool> {
    let length = Duration::from_secs_f64(arguments.minutes.clamp(0.2, 600.0) * 60.0);
    let work = own_directory(&arguments.work)?;
    let outcome = soak::run(&absolute(arguments.sealgate.clone())?, &work, length)?;
    println!("{}", serde_json::to_string_pretty(&outcome)?);
    remove(&work, outcome.holds())?;
    println!(
        "{}",
        if outcome.holds() {
            "memory is flat, counts are equal"
        } else {
            "FAILED"
        }
    );
    Ok(outcome.holds())
}

fn ledger_command(arguments: LedgerArgs) -> Result<bool> {
    let options = ledger::Options {
        capsule: absolute(arguments.capsule)?,
        sealgate: absolute(arguments.sealgate)?,
        venv: arguments.venv.map(absolute).transpose()?,
        work: own_directory(&arguments.work)?,
        rounds: arguments.rounds.max(1),
        records: arguments.records.max(1),
    };
    let report = ledger::run(&options)?;
    println!("{}", report.table());
    let file = save(
        &arguments.results,
        "ledger",
        &serde_json::to_vec_pretty(&report)?,
    )?;
    println!("JSON: {}", file.display());
    remove(&options.work, true)?;
    Ok(true)
}

fn append_command(data: &Path, records: u64, window: usize) -> Result<bool> {
    let appended = ledger::append(data, records.max(1), window.max(1))?;
    println!("{}", serde_json::to_string(&appended)?);
    Ok(true)
}

/// A directory that only this run uses, and may therefore remove.
fn own_directory(parent: &Path) -> Result<PathBuf> {
    Ok(std::path::absolute(parent)?.join(format!("run-{}", std::process::id())))
}

/// Servers run in directories of their own, so their programs need whole paths.
fn absolute(program: PathBuf) -> Result<PathBuf> {
    if !program.exists() {
        bail!("{} is not there", program.display());
    }
    Ok(std::path::absolute(program)?)
}

fn save(directory: &Path, name: &str, json: &[u8]) -> Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let file = directory.join(format!("{name}-{seconds}.json"));
    fs::write(&file, json).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Ledgers and logs stay for inspection when something was wrong.
fn remove(work: &Path, all_well: bool) -> Result<()> {
    if all_well {
        fs::remove_dir_all(work)?;
    } else {
        eprintln!("bench: ledgers and logs are kept in {}", work.display());
    }
    Ok(())
}
