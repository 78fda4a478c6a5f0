//! `sealgate init`: ledger, keys, and a configuration to start from.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use gateway::serve::data;
use ledger::SystemClock;

use super::serve::{DEFAULT_DATA_DIR, say};
use crate::exit::Exit;

/// Arguments of `init`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory of ledger and keys.
    #[arg(long, value_name = "DIR", env = "SEALGATE_DATA_DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Configuration file to write, if there is none yet.
    #[arg(long, value_name = "FILE", default_value = "config.yaml")]
    config: PathBuf,
    /// PostgreSQL database for the records; without it they are in a SQLite file in the directory. Prefer the variable:
    /// everybody on this machine can see arguments.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Write no configuration.
    #[arg(long)]
    no_config: bool,
    /// Make an ML-DSA-65 key too, and sign every record with it beside the other, from the first on.
    #[arg(long)]
    post_quantum: bool,
    /// Business domain written into every record.
    #[arg(long, default_value = "gateway")]
    domain: String,
}

/// Creates what is missing; refuses to touch an existing ledger.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let database = super::database(args.database_url.as_deref())?;
    let id = data::create(
        &args.data_dir,
        database.as_ref(),
        &args.domain,
        args.post_quantum,
        Arc::new(SystemClock),
    )
    .with_context(|| format!("creating a ledger in {}", args.data_dir.display()))?;
    say(&format!(
        "created ledger {id} in {}",
        database.map_or_else(
            || args.data_dir.display().to_string(),
            |target| target.to_string()
        )
    ));
    say(
        "the keys are in the data directory, readable by you alone; back up `key` and `digest.key` apart from the database, and `content.key` with `content-keys` apart from both",
    );
    if !args.no_config {
        write_config(&args.config, args)?;
    }
    Ok(Exit::Ok)
}

/// A working configuration with a fresh master key. The file holds a secret, so only its owner may read it.
fn write_config(path: &Path, args: &Args) -> anyhow::Result<()> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).context("no random bytes")?;
    let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let data_dir = serde_json::to_string(&args.data_dir.display().to_string())?;
    let post_quantum = match args.post_quantum {
        true => "  post_quantum: true\n",
        false => "",
    };
    // The variable holds a password; the file only names it.
    let database = match args.database_url {
        Some(_) => "  database_url: os.environ/DATABASE_URL\n",
        None => "",
    };
    let text = format!(
        "# Written by `sealgate init`. LiteLLM's format; see docs/configuration.md.\n\
         model_list:\n\
         \x20 - model_name: gpt-4o\n\
         \x20   litellm_params:\n\
         \x20     model: openai/gpt-4o\n\
         \x20     api_key: os.environ/OPENAI_API_KEY\n\
         \n\
         general_settings:\n\
         \x20 # Better in the environment: master_key: os.environ/LITELLM_MASTER_KEY\n\
         \x20 master_key: sk-{key}\n{database}\
         \x20 # What calls said ends after this time; records and their commitments stay.\n\
         \x20 maximum_spend_logs_retention_period: 90d\n\
         \n\
         sealgate:\n\
         \x20 data_dir: {data_dir}\n{post_quantum}"
    );
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match file {
        Ok(mut file) => {
            file.write_all(text.as_bytes())
                .with_context(|| format!("writing {}", path.display()))?;
            say(&format!(
                "wrote {} with a new master key; start with: sealgate serve --config {0}",
                path.display()
            ));
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            say(&format!("{} exists and stays as it is", path.display()));
            Ok(())
        }
        Err(error) => Err(anyhow::Error::new(error).context(format!("writing {}", path.display()))),
    }
}
