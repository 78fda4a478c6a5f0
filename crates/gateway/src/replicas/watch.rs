//! The loop in which a process gives signs of life, hears news, and follows the state of all.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use store::redis::{Epoch, RedisError};

use super::news::Announced;
use super::sweep::Sweeper;
use super::{Replicas, WhenLost, build};
use crate::app::App;

/// Between two tries while Redis is away.
const AGAIN: Duration = Duration::from_millis(50);

/// What the loop remembers.
#[derive(Default)]
struct Memory {
    /// Up to where the feed was read; `None` before the first look, and after a silence.
    last: Option<String>,
    connection: u64,
    announced: Announced,
    /// The state that was handed in to.
    handed_in: String,
    sweeper: Sweeper,
    /// Whether the book of this process was filled since Redis is away.
    refilled: bool,
}

/// Looks until the app is gone.
pub(super) async fn run(app: Weak<App>) {
    let mut memory = Memory::default();
    loop {
        let Some(app) = app.upgrade() else { return };
        let Some(replicas) = app.identity.replicas.clone() else {
            return;
        };
        if replicas.closing.load(Ordering::Acquire) && replicas.lock().held.is_empty() {
            return;
        }
        if let Err(error) = look(&app, &replicas, &mut memory).await {
            tracing::debug!(%error, "Redis is away");
            // What was missed is not known: the database is asked before calls are admitted again.
            memory.last = None;
            replicas.pause();
            if replicas.when_lost == WhenLost::Local && !memory.refilled {
                memory.refilled = true;
                if let Err(error) = refill(&app).await {
                    tracing::error!(%error, "what this process counts alone begins with what it read at its start");
                }
            }
            drop(app);
            tokio::time::sleep(AGAIN).await;
        }
    }
}

impl Replicas {
    /// Admits no calls until the state is known again.
    fn pause(&self) {
        self.ready
            .send_if_modified(|ready| std::mem::replace(ready, false));
    }
}

/// What went wrong in one look.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    /// Redis.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// The database.
    #[error("the database could not be read: {0}")]
    Read(String),
}

async fn look(
    app: &Arc<App>,
    replicas: &Arc<Replicas>,
    memory: &mut Memory,
) -> Result<(), LookError> {
    let asked = Instant::now();
    let beat = replicas.team.beat(replicas.lease).await?;
    if memory.last.is_none() || memory.connection != beat.connection {
        // First where the feed ends, then the database: nothing falls between.
        let last = replicas.team.end_of_feed().await?;
        reload(app).await?;
        memory.last = Some(last);
        memory.connection = beat.connection;
    }
    let spoiled = replicas.spoiled.load(Ordering::Acquire);
    match &beat.epoch {
        Epoch::Ready(name) if !spoiled => replicas.join(name, &beat.marker),
        Epoch::Build(name) => {
            replicas.leave();
            if *name != memory.handed_in {
                replicas.hand_in(name).await?;
                memory.handed_in.clone_from(name);
            } else {
                // Somebody who began may have died; the lock tells.
                build::build(app, replicas, &beat.marker).await?;
            }
        }
        Epoch::Ready(_) | Epoch::None => {
            replicas.leave();
            build::build(app, replicas, &beat.marker).await?;
        }
    }
    let mut last = memory.last.clone().unwrap_or_default();
    let (messages, foreign) = replicas.team.news(&mut last).await?;
    memory.last = Some(last);
    if foreign > 0 {
        tracing::error!(
            foreign,
            "messages in Redis that no process of this ledger has written"
        );
    }
    replicas.take_in(app, &messages, &mut memory.announced);
    if memory.announced.is_due() {
        reload(app).await?;
    }
    if matches!(&beat.epoch, Epoch::Ready(_)) && !spoiled {
        replicas.hear(asked);
        memory.refilled = false;
        replicas
            .ready
            .send_if_modified(|ready| !std::mem::replace(ready, true));
        memory.sweeper.sweep(replicas, &beat).await?;
    }
    Ok(())
}

/// Reads all entities again.
async fn reload(app: &Arc<App>) -> Result<(), LookError> {
    let app = app.clone();
    let read = tokio::task::spawn_blocking(move || app.identity.read_again(&app.digests));
    match read.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(LookError::Read(error.to_string())),
        Err(error) => Err(LookError::Read(error.to_string())),
    }
}

/// Fills the book of this process from the database, for counting alone.
async fn refill(app: &Arc<App>) -> Result<(), LookError> {
    let app = app.clone();
    let read = tokio::task::spawn_blocking(move || build::alone(&app));
    match read.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(LookError::Read(error.to_string())),
        Err(error) => Err(LookError::Read(error.to_string())),
    }
}

impl Replicas {
    /// Works in the state `name`.
    pub(super) fn join(&self, name: &str, marker: &str) {
        let mut live = self.lock();
        self.book().enter(name, marker);
        if live.state.as_deref() == Some(name) && !live.unsure {
            return;
        }
        // Calls that were handed in stand in the new state. A process that missed it holds nothing there: what its calls
        // cost is counted by their intents.
        live.held.clear();
        live.state = Some(Arc::from(name));
        live.unsure = false;
    }

    /// Works in no state.
    pub(super) fn leave(&self) {
        self.pause();
        self.book().leave();
    }

    /// Hands in what calls hold, for the state that is built. From here on they stand in that one, or nowhere: what was not
    /// taken, because it comes too late, is held no longer, and a call that was not sent yet is refused.
    pub(super) async fn hand_in(&self, name: &str) -> Result<bool, RedisError> {
        let held: Vec<_> = {
            let mut live = self.lock();
            live.state = Some(Arc::from(name));
            // Until Redis says that it has them: a reply that never comes says nothing.
            live.unsure = true;
            // Whatever the old state lacked is read from the database after this.
            self.spoiled.store(false, Ordering::Release);
            let held = live.held.iter();
            held.map(|(id, packed)| (id.clone(), packed.clone()))
                .collect()
        };
        let taken = self.team.hand_in(name, &held).await?;
        let mut live = self.lock();
        if !taken {
            live.held.clear();
        }
        live.unsure = false;
        Ok(taken)
    }
}
