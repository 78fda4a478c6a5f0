//! `sealgate config check`: the effective configuration, every problem and every note, without starting anything.

use std::io::Write as _;
use std::path::PathBuf;

use gateway::config::{self, Overrides, ProcessEnv};

use crate::exit::Exit;

/// What to do with a configuration.
#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Load a configuration and report problems, notes and the effective result; secrets are hidden.
    Check {
        /// The file.
        #[arg(long, short, value_name = "FILE", default_value = "config.yaml")]
        config: PathBuf,
        /// Variables that the environment does not set.
        #[arg(long, value_name = "FILE")]
        env_file: Option<PathBuf>,
        /// Machine-readable output.
        #[arg(long, conflicts_with = "checklist")]
        json: bool,
        /// Also go through the hardening checklist: twenty points, each pass, warn or not applicable.
        #[arg(long)]
        checklist: bool,
    },
}

/// Exit 0 when the configuration starts and has no failing note, 1 otherwise.
pub(crate) fn run(action: &Action) -> anyhow::Result<Exit> {
    let Action::Check {
        config,
        env_file,
        json,
        checklist,
    } = action;
    let overrides = Overrides {
        env_file: env_file.clone(),
        ..Overrides::default()
    };
    let result = config::load(config, &overrides, &ProcessEnv);
    let report = if *json {
        config::check_json(&result)
    } else {
        config::check_text(&result)
    };
    let list = match (&result, checklist) {
        (Ok(config), true) => config::checklist_text(config),
        _ => String::new(),
    };
    // A reader that went away (`| head`) has seen what it wanted.
    let _unread = writeln!(std::io::stdout(), "{report}{list}");
    Ok(if config::check_passes(&result) {
        Exit::Ok
    } else {
        Exit::Failed
    })
}
