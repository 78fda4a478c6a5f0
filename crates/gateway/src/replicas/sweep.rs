//! Giving back what dead processes held: their parallel slots at once, their money when the database knows what became of
//! their calls.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::redis::Beat;

use super::build::LOST;
use super::watch::LookError;
use super::{Replicas, truth};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(1);

/// The one who looks.
#[derive(Default)]
pub(super) struct Sweeper {
    last: Option<Instant>,
    /// Ids of this process that stood in Redis in the last round and belonged to no call.
    stray: HashSet<String>,
}

impl Sweeper {
    /// One round, unless the last one was a moment ago.
    pub(super) async fn sweep(
        &mut self,
        replicas: &Arc<Replicas>,
        beat: &Beat,
    ) -> Result<(), LookError> {
        if self.last.is_some_and(|last| last.elapsed() < ROUND) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let Some(state) = replicas.lock().state.clone() else {
            return Ok(());
        };
        for instance in &beat.dead {
            let ids = replicas.book().orphan(instance, replicas.now()).await?;
            if !ids.is_empty() {
                tracing::warn!(
                    instance,
                    calls = ids.len(),
                    "a process is gone; its calls are looked up"
                );
            }
            if resolve(replicas, instance, ids).await? {
                replicas.team.forget(instance).await?;
            }
        }
        let lost = replicas.team.held(&state, LOST).await?;
        resolve(replicas, LOST, lost).await?;
        self.own(replicas, &state).await
    }

    /// Gives back what this process holds for no call: a reply that never came.
    async fn own(&mut self, replicas: &Arc<Replicas>, state: &str) -> Result<(), LookError> {
        let me = replicas.book().place().instance.clone();
        let held = replicas.team.held(state, &me).await?;
        let stray: HashSet<String> = {
            let live = replicas.lock();
            let unknown = held.into_iter().filter(|id| !live.held.contains_key(id));
            unknown.collect()
        };
        // Once seen may be a reply on its way; twice is nobody's.
        let twice: Vec<String> = stray.intersection(&self.stray).cloned().collect();
        self.stray = stray;
        resolve(replicas, &me, twice).await?;
        Ok(())
    }
}

/// Ends what the database knows the end of. True when nothing is left.
async fn resolve(
    replicas: &Arc<Replicas>,
    instance: &str,
    ids: Vec<String>,
) -> Result<bool, LookError> {
    if ids.is_empty() {
        return Ok(true);
    }
    let count = ids.len();
    let ends = {
        let truth = replicas.truth.clone();
        tokio::task::spawn_blocking(move || truth::ends(truth.as_ref(), &ids))
            .await
            .map_err(|error| LookError::Read(error.to_string()))?
            .map_err(|error| LookError::Read(error.to_string()))?
    };
    for (id, used) in &ends {
        let now = replicas.now();
        replicas.book().settle_of(instance, id, now, used).await?;
    }
    Ok(ends.len() == count)
}
