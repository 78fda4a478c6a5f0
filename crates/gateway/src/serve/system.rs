//! Records of what the gateway does to itself: which configuration is in force.

use std::sync::Arc;

use capsule::json::Object;
use capsule::{Authority, Capsule, CapsuleType, Context, Draft, Outcome, Trigger};

use crate::app::{App, Snapshot};
use crate::ids;

/// Seals the configuration that is about to take effect and waits until the record is durable.
///
/// `cause` is `start` or `reload`. The error is a sentence without content.
pub(super) async fn seal_configuration(
    app: &App,
    snapshot: &Arc<Snapshot>,
    cause: &'static str,
) -> Result<(), String> {
    let now = app.clock.now();
    let mut env = Object::new();
    env.insert("boot", app.ledger_info.boot.as_ref());
    env.insert("cause", cause);
    env.insert("config_digest", snapshot.digest_hex.as_ref());
    env.insert("digest_key", app.ledger_info.digest_key.as_ref());
    env.insert("event", "config_change");
    env.insert("ledger", app.ledger_info.id.as_ref());
    env.insert("observed", true);
    env.insert("version", env!("CARGO_PKG_VERSION"));
    let capsule = Capsule {
        id: ids::call_id(now.micros()).map_err(|error| error.to_string())?,
        capsule_type: CapsuleType::System,
        domain: snapshot.config.domain.clone(),
        trigger: Trigger {
            trigger_type: "system".into(),
            source: "gateway".to_owned(),
            timestamp: now,
            ..Trigger::default()
        },
        context: Context {
            agent_id: app.ledger_info.host.to_string(),
            session_id: None,
            environment: env,
        },
        authority: Authority::default(),
        outcome: Outcome {
            status: "success".into(),
            summary: format!("Configuration in force from here ({cause})"),
            ..Outcome::default()
        },
        ..Capsule::default()
    };
    let draft = Draft::new(&capsule).map_err(|error| error.to_string())?;
    app.ledger
        .append(draft, None)
        .await
        .map(|_| ())
        .map_err(|error| error.to_string())
}
