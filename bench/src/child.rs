//! Runs a command to its end and says what it cost.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::procfs;

/// Cost of one finished command.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system time of the command and its children.
    pub(crate) cpu_us: u64,
    /// Highest resident memory seen; read every two milliseconds.
    pub(crate) peak_kb: u64,
    pub(crate) output: String,
}

/// Runs `command`; a status other than 0 is an error that quotes the output. `log` takes the output, so that a full
/// pipe cannot stop the command.
pub(crate) fn run(mut command: Command, log: &std::path::Path) -> Result<Cost> {
    let file = std::fs::File::create(log)?;
    let before = reaped()?;
    let since = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let mut peak_kb = 0;
    let status = loop {
        peak_kb = peak_kb.max(procfs::tree_memory(child.id())?.peak_kb);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let wall = since.elapsed();
    let output = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    if !status.success() {
        let end = output
            .char_indices()
            .rev()
            .nth(1_500)
            .map_or(0, |(at, _)| at);
        bail!(
            "{command:?} ended with {status}: {}",
            output.get(end..).unwrap_or_default()
        );
    }
    Ok(Cost {
        wall,
        cpu_us: reaped()?.saturating_sub(before),
        peak_kb,
        output,
    })
}

/// CPU time of children that have ended.
fn reaped() -> Result<u64> {
    procfs::reaped_cpu_us(std::process::id())
}
