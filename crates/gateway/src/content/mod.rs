//! What is kept of calls' texts: encrypted for the person they belong to, readable by who may, erased for good.
//!
//! The record holds a commitment; the ciphertext lies in a table beside it, and the keys lie in a file apart from both
//! (`store::content`). Keys live in memory for an hour at most, in [`Keeper`], whose thread is the only one that touches the
//! file: what it destroys is gone from its cache at the same moment.

mod consent;
mod erase;
mod keep;
mod keeper;
mod read;
mod retain;
mod subject;

use std::sync::{Arc, LazyLock};

use capsule::json::Object;
use capsule::{Authority, Capsule, CapsuleType, Context, Draft, Outcome, Trigger};
use store::content::{ContentKeys, MemoryTable};

pub(crate) use consent::Wish;
pub(crate) use erase::{Request, erase};
pub(crate) use keep::{Kept, Masker, keep};
pub(crate) use keeper::{Keeper, Keys};
pub(crate) use read::{MOST as MOST_READ, read};
pub(crate) use retain::{Clockwork, run as retain};
pub(crate) use subject::{KINDS, Subject, subject_id};

use crate::app::App;
use crate::ids;

/// The keys of content, as the data directory has them.
pub struct Seed {
    /// The table with the key that wraps it.
    pub keys: ContentKeys,
    /// How far retention has gone; `None` when it never ran.
    pub retention: Option<store::content::Retention>,
}

impl Default for Seed {
    /// Keys that live as long as the process, for ledgers in memory.
    fn default() -> Self {
        let key = store::keys::Secret::from([0; 32]);
        Self {
            keys: ContentKeys::new(Box::new(MemoryTable::default()), key),
            retention: None,
        }
    }
}

/// What belongs to content in a running gateway.
pub(crate) struct Contents {
    pub(crate) keeper: Keeper,
    /// Made when a record first needs it: its tables take memory, and tens of milliseconds to build.
    pub(crate) masker: LazyLock<Masker>,
    pub(crate) clockwork: Clockwork,
}

impl Contents {
    /// Starts the thread that owns the keys.
    pub(crate) fn start(seed: Seed, now: i64) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            clockwork: Clockwork::new(seed.retention, now),
            keeper: Keeper::start(seed.keys)?,
            masker: LazyLock::new(Masker::default),
        }))
    }
}

/// What was asked for did not happen, or not wholly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unrecorded {
    /// The ledger did not take the record, so nothing was done.
    #[error("it could not be recorded in the ledger")]
    Ledger,
    /// The store could not be read.
    #[error("the store could not be read")]
    Store,
    /// The table of keys failed. What is recorded is finished at the next start.
    #[error("the table of content keys failed")]
    Keys,
    /// The ledger is in memory.
    #[error("this gateway keeps its ledger in memory")]
    NoDatabase,
}

/// Seals what happens to content and waits until that is durable. Gives the record's id.
async fn seal_event(
    app: &App,
    event: &'static str,
    by: &str,
    mut env: Object,
    summary: String,
    attachment: Option<Vec<u8>>,
) -> Result<String, Unrecorded> {
    let now = app.clock.now();
    env.insert("boot", app.ledger_info.boot.as_ref());
    env.insert("digest_key", app.ledger_info.digest_key.as_ref());
    env.insert("event", event);
    env.insert("key_id", by);
    env.insert("ledger", app.ledger_info.id.as_ref());
    env.insert("observed", true);
    let id = ids::call_id(now.micros()).map_err(|_| Unrecorded::Ledger)?;
    let capsule = Capsule {
        id,
        capsule_type: match event {
            "content_read" => CapsuleType::Auth,
            _ => CapsuleType::System,
        },
        domain: app.snapshot().config.domain.clone(),
        trigger: Trigger {
            trigger_type: "system".into(),
            source: "content".to_owned(),
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
            summary,
            ..Outcome::default()
        },
        ..Capsule::default()
    };
    let draft = Draft::new(&capsule).map_err(|error| {
        tracing::error!(%error, event, "a record could not be built");
        Unrecorded::Ledger
    })?;
    match app.ledger.append(draft, attachment).await {
        Ok(committed) if !committed.quarantined => Ok(id.to_string()),
        Ok(_) => Err(Unrecorded::Ledger),
        Err(error) => {
            tracing::error!(%error, event, "a record was not committed");
            Err(Unrecorded::Ledger)
        }
    }
}
