//! What one process tells the others: that identity is about to change, and how it has changed.
//!
//! A change is announced before it is committed and told afterwards. Who hears the first and not the second reads the
//! database, so that a process that dies in between takes no revocation with it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use store::change::EntityRow;
use store::redis::RedisError;

use super::Replicas;
use crate::app::App;

/// How long an announced change may take before the database is asked.
const PATIENCE: Duration = Duration::from_millis(400);
/// After which an announced change that nobody told about did not happen.
const GIVEN_UP: Duration = Duration::from_secs(60);

/// A message.
#[derive(Serialize, Deserialize)]
struct Note {
    /// Instance.
    from: String,
    /// Number of the change there.
    number: u64,
    /// The rows as they are now; absent in the announcement.
    rows: Option<Vec<EntityRow>>,
}

/// Changes of others that were announced: since when, and when the database was last asked.
#[derive(Default)]
pub(super) struct Announced(HashMap<(String, u64), (Instant, Instant)>);

impl Announced {
    /// Whether the database must be asked now.
    pub(super) fn is_due(&mut self) -> bool {
        self.0.retain(|_, (since, _)| since.elapsed() < GIVEN_UP);
        let mut due = false;
        for (_, asked) in self.0.values_mut() {
            if asked.elapsed() >= PATIENCE {
                *asked = Instant::now();
                due = true;
            }
        }
        due
    }
}

impl Replicas {
    /// Announces a change to the others. Gives its number.
    pub(crate) async fn announce(&self) -> Result<u64, RedisError> {
        let number = self.changes.fetch_add(1, Ordering::Relaxed);
        self.tell(number, None).await?;
        Ok(number)
    }

    /// Tells the others what has changed; no rows when nothing has. Tried for a while; who does not hear it asks the database.
    pub(crate) async fn told(&self, number: u64, rows: Vec<EntityRow>) {
        for _ in 0..5 {
            match self.tell(number, Some(rows.clone())).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "a change could not be told; the others will read it");
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn tell(&self, number: u64, rows: Option<Vec<EntityRow>>) -> Result<(), RedisError> {
        let note = Note {
            from: self.book().place().instance.clone(),
            number,
            rows,
        };
        let text = serde_json::to_vec(&note)
            .map_err(|_| RedisError::Protocol("a message could not be written"))?;
        self.team.tell(&text).await
    }

    /// Takes in what others told.
    pub(super) fn take_in(&self, app: &App, messages: &[Vec<u8>], announced: &mut Announced) {
        for message in messages {
            let Ok(note) = serde_json::from_slice::<Note>(message) else {
                tracing::error!(
                    "a message of another process cannot be read; is its version newer?"
                );
                continue;
            };
            if note.from == self.book().place().instance {
                continue;
            }
            let which = (note.from, note.number);
            match note.rows {
                None => {
                    let now = Instant::now();
                    announced.0.insert(which, (now, now));
                }
                Some(rows) => {
                    announced.0.remove(&which);
                    app.identity.take_over(&rows);
                }
            }
        }
    }
}
