//! Diagnostic logs: one JSON object a line on standard error.
//!
//! Fields never hold credentials or content at any level; the types that do have no way to print themselves.

use gateway::config::LogLevel;
use tracing::level_filters::LevelFilter;

/// Installs the subscriber of the process.
pub(crate) fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Libraries log heads and bodies at debug level: only our own crates may speak below warnings.
    use tracing_subscriber::Layer as _;
    use tracing_subscriber::layer::SubscriberExt as _;
    let filter = tracing_subscriber::filter::filter_fn(move |metadata| {
        let ours = ["gateway", "ledger", "store", "sealgate", "policy"];
        let own = ours.iter().any(|name| {
            metadata
                .target()
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        *metadata.level()
            <= if own {
                level
            } else {
                level.min(LevelFilter::WARN)
            }
    });
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(std::io::stderr)
        .with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(layer);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::warn!("a log subscriber was installed before");
    }
}
