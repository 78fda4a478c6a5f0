//! Reload: validate, seal the change, swap. On any error the old configuration stays.

use std::sync::Arc;

use super::{SnapshotError, system};
use crate::app::App;
use crate::config::Config;

/// A reload that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// What the configuration says cannot be built.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The change could not be recorded, so it does not take effect.
    #[error("the change could not be recorded in the ledger: {0}")]
    Record(String),
}

/// Puts `config` in place. Gives the names of changed settings that need a restart.
pub(super) async fn reload(app: &Arc<App>, config: Config) -> Result<Vec<String>, ReloadError> {
    let old = app.snapshot();
    let mut restart = Vec::new();
    if old.config.listen != config.listen || old.config.health_listen != config.health_listen {
        restart.push("listen address".to_owned());
    }
    if old.config.data_dir != config.data_dir {
        restart.push("data_dir".to_owned());
    }
    if old.config.limits.settle_slots != config.limits.settle_slots {
        restart.push("limits.settle_slots".to_owned());
    }
    let new = Arc::new(super::snapshot(config)?);
    system::seal_configuration(app, &new, "reload")
        .await
        .map_err(ReloadError::Record)?;
    app.swap(new);
    Ok(restart)
}
