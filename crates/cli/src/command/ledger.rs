//! `sealgate ledger adopt`: sealing a gap between the records and the newest checkpoint, by an operator's explicit word.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use gateway::serve::data;
use ledger::{GapKind, SystemClock};

use super::serve::{DEFAULT_DATA_DIR, say};
use crate::exit::Exit;

/// What to do with a ledger.
#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Accept that records after the newest checkpoint are gone: seals a record that says so, for good.
    Adopt {
        /// Directory of ledger and keys.
        #[arg(long, value_name = "DIR", env = "SEALGATE_DATA_DIR", default_value = DEFAULT_DATA_DIR)]
        data_dir: PathBuf,
        /// PostgreSQL database of the records, if they are in one.
        #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
        database_url: Option<String>,
        /// Why, in one sentence; written into the record.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

/// Adopts, or says that there is nothing to adopt.
pub(crate) fn run(action: &Action) -> anyhow::Result<Exit> {
    let Action::Adopt {
        data_dir,
        database_url,
        reason,
    } = action;
    let database = super::database(database_url.as_deref())?;
    let gap = data::adopt(data_dir, database.as_ref(), reason, Arc::new(SystemClock))
        .with_context(|| format!("adopting the ledger in {}", data_dir.display()))?;
    if gap.kind == GapKind::None {
        say(&format!(
            "nothing to adopt: {} records agree with the checkpoint",
            gap.records
        ));
        return Ok(Exit::Ok);
    }
    say(&format!(
        "adopted: {} ({} records); a record of this gap is sealed and `verify` will always show it",
        gap.kind.as_str(),
        gap.records
    ));
    Ok(Exit::Ok)
}
