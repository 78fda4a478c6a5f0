//! What the figures were measured on: machine, versions, and what one sync of the disk costs.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{gateways::Programs, stats};

/// Written into every report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// Type of the file system that holds the ledgers.
    pub(crate) file_system: String,
    pub(crate) sync: Sync,
    pub(crate) commit: String,
    pub(crate) versions: Vec<String>,
}

/// Time of an appended 4 KB page plus `fdatasync`, microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sync {
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

/// Looks at the machine; the sync probe writes in `directory`.
pub(crate) fn describe(directory: &Path, programs: &Programs) -> Result<Machine> {
    Ok(Machine {
        cpu: cpu_model(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: read_trimmed("/proc/sys/kernel/osrelease"),
        file_system: file_system(directory)?,
        sync: probe_sync(directory)?,
        commit: commit(),
        versions: versions(programs),
    })
}

/// Two hundred appends of one page, each followed by `fdatasync`.
pub(crate) fn probe_sync(directory: &Path) -> Result<Sync> {
    let path = directory.join("sync-probe");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let page = [7u8; 4096];
    let mut times = Vec::with_capacity(200);
    for _ in 0..200 {
        let since = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(u64::try_from(since.elapsed().as_micros())?);
    }
    fs::remove_file(&path)?;
    Ok(Sync {
        p50_us: stats::percentile(&mut times, 50.0),
        p99_us: stats::percentile(&mut times, 99.0),
    })
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    model
        .and_then(|rest| rest.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim())
        .to_owned()
}

/// The mount with the longest mount point above `directory`, from /proc/self/mounts.
fn file_system(directory: &Path) -> Result<String> {
    let directory = fs::canonicalize(directory)?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let best = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?, fields.next()?))
        })
        .filter(|(at, _)| directory.starts_with(at))
        .max_by_key(|(at, _)| at.len());
    Ok(best.map_or("unknown", |(_, kind)| kind).to_owned())
}

fn versions(programs: &Programs) -> Vec<String> {
    let mut versions = vec![first_line("nginx", &["-v"]), first_line("wrk", &["-v"])];
    if let Some(sealgate) = programs.sealgate.as_deref().and_then(Path::to_str) {
        versions.push(first_line(sealgate, &["--version"]));
    }
    let python = programs.venv.as_ref().map(|venv| venv.join("bin/python"));
    if let Some(python) = python.as_deref().and_then(Path::to_str) {
        let script = "from importlib.metadata import version as v; \
                      print('litellm', v('litellm') + ', qp-capsule', v('qp-capsule'))";
        versions.push(first_line(python, &["-c", script]));
    }
    versions
}

/// The commit of the working directory, with a plus sign when it has changes.
fn commit() -> String {
    let git = |arguments: &[&str]| Command::new("git").args(arguments).output().ok();
    let head = git(&["rev-parse", "--short", "HEAD"]).filter(|output| output.status.success());
    let Some(head) = head else {
        return "unknown".to_owned();
    };
    let changed = git(&["status", "--porcelain"]).is_some_and(|output| !output.stdout.is_empty());
    let head = String::from_utf8_lossy(&head.stdout);
    format!("{}{}", head.trim(), if changed { "+" } else { "" })
}

/// First line that a command prints, on either output.
fn first_line(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return format!("{program} absent");
    };
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&both)
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

fn read_trimmed(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim()
        .to_owned()
}
