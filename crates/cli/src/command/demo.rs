//! `sealgate demo`: everything at work, without configuration and without network.

use std::path::PathBuf;

use crate::demo;
use crate::exit::Exit;

/// Arguments of `demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// End after the demonstration, with exit code 1 if anything was not as promised.
    #[arg(long)]
    once: bool,
    /// Directory for the ledger: empty, or of an earlier demo. Without it a temporary one.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Runs the demonstration.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let as_promised = demo::run(args.data_dir.clone(), args.once)?;
    Ok(if as_promised { Exit::Ok } else { Exit::Failed })
}
