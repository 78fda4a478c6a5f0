//! `cargo run -p xtask -- tidy [ROOT]`: prints each problem on a line of its own, exits 1 when there is one.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next();
    if task.as_deref() != Some("tidy") {
        writeln!(
            std::io::stderr(),
            "usage: cargo run -p xtask -- tidy [ROOT]"
        )?;
        return Ok(ExitCode::from(2));
    }
    let root = match arguments.next() {
        Some(path) => PathBuf::from(path),
        None => std::env::current_dir().context("the working directory cannot be read")?,
    };
    let problems = xtask::tidy::check(&root)?;
    let mut out = std::io::stdout().lock();
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    writeln!(
        out,
        "tidy: {} rules, {} problems",
        xtask::tidy::RULES.len(),
        problems.len()
    )?;
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
