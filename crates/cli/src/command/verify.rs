//! `sealgate verify`: the ledger of a data directory, with its own key and its newest checkpoint.

use std::ffi::OsString;
use std::path::PathBuf;

use sealgate::capsule_cli::{self, console::Console};

use super::serve::DEFAULT_DATA_DIR;
use crate::exit::Exit;

/// Arguments of `verify`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of ledger and keys.
    #[arg(long, value_name = "DIR", env = "SEALGATE_DATA_DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// PostgreSQL database of the records, if they are in one.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Machine-readable output.
    #[arg(long)]
    json: bool,
    /// No output, only the exit code.
    #[arg(long)]
    quiet: bool,
}

/// Runs `capsule verify` at its highest level. Auditors who trust nobody run `capsule verify --pubkey` on a copy instead.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut arguments: Vec<OsString> =
        vec!["capsule".into(), "verify".into(), "--signatures".into()];
    match super::database(args.database_url.as_deref())? {
        // The same URL again: what is shown of it holds no secret.
        Some(_) => {
            let url = args.database_url.clone().unwrap_or_default();
            arguments.extend(["--pg".into(), url.into()]);
        }
        None => arguments.extend(["--db".into(), args.data_dir.join("capsules.db").into()]),
    }
    arguments.extend(["--data-dir".into(), args.data_dir.clone().into()]);
    arguments.extend([
        "--checkpoint".into(),
        args.data_dir.join("checkpoint").into(),
    ]);
    if args.json {
        arguments.push("--json".into());
    }
    if args.quiet {
        arguments.push("--quiet".into());
    }
    Ok(
        match capsule_cli::run(arguments, &mut Console::of_process()) {
            capsule_cli::exit::Exit::Pass => Exit::Ok,
            capsule_cli::exit::Exit::Fail => Exit::Failed,
            capsule_cli::exit::Exit::Error => Exit::Usage,
        },
    )
}
