//! Reload: validate, seal the change, swap. On any error the old configuration stays.

use std::sync::Arc;

use super::{SnapshotError, system};
use crate::app::App;
use crate::config::Config;
use crate::server::tls::{Tls, TlsError};

/// A reload that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// What the configuration says cannot be built.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The change could not be recorded, so it does not take effect.
    #[error("the change could not be recorded in the ledger: {0}")]
    Record(String),
}

/// Puts `config` in place. Gives the names of changed settings that need a restart.
pub(super) async fn reload(
    app: &Arc<App>,
    tls: Option<&Tls>,
    config: Config,
) -> Result<Vec<String>, ReloadError> {
    let old = app.snapshot();
    // Certificate and key are read now, so that a broken file stops the reload and not the listener.
    let fresh = config.tls.as_ref().map(Tls::load).transpose()?;
    let mut restart = Vec::new();
    if old.config.listen != config.listen || old.config.health_listen != config.health_listen {
        restart.push("listen address".to_owned());
    }
    if tls.is_some() != fresh.is_some() {
        restart.push("tls".to_owned());
    }
    if old.config.post_quantum != config.post_quantum {
        restart.push("post_quantum".to_owned());
    }
    if old.config.watch_config != config.watch_config {
        restart.push("watch_config".to_owned());
    }
    if old.config.data_dir != config.data_dir {
        restart.push("data_dir".to_owned());
    }
    if old.config.database != config.database {
        restart.push("database_url".to_owned());
    }
    if old.config.limits.settle_slots != config.limits.settle_slots {
        restart.push("limits.settle_slots".to_owned());
    }
    let new = Arc::new(super::snapshot(config, Some(&old))?);
    system::seal_configuration(app, &new, "reload")
        .await
        .map_err(ReloadError::Record)?;
    app.swap(new);
    if let (Some(tls), Some(fresh)) = (tls, &fresh) {
        tls.replace(fresh);
    }
    Ok(restart)
}
