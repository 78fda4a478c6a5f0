//! `sealgate completions`: scripts that complete commands and options in a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;
use sealgate::capsule_cli;

use crate::exit::Exit;

/// Arguments of `completions`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
    /// For the tool `capsule` instead of `sealgate`.
    #[arg(long)]
    capsule: bool,
}

/// Prints the script.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    use std::io::Write as _;
    let (mut command, name) = match args.capsule {
        true => (capsule_cli::args::Cli::command(), "capsule"),
        false => (crate::Cli::command(), "sealgate"),
    };
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Ok)
}
