//! The ends of calls, counted in the shared book after their records are durable. Nobody waits for them; each is tried until
//! it is done, and done once.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ledger::{Committed, Receipt, SettleError};
use policy::budget::Used;
use store::redis::Ticket;
use tokio::sync::{mpsc, oneshot};

use super::Replicas;

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);

/// A receipt that somebody else waits for too.
type Relay = (Receipt, oneshot::Sender<Result<Committed, SettleError>>);

/// A reservation that ends.
pub(super) struct Ended {
    pub(super) ticket: Option<Ticket>,
    /// Where there is no ticket: an id that may be held.
    pub(super) id: String,
    pub(super) used: Used,
    pub(super) relay: Option<Relay>,
}

impl Ended {
    /// Gives an id back that may be held.
    pub(super) fn nothing(id: String) -> Self {
        Self {
            ticket: None,
            id,
            used: Used::default(),
            relay: None,
        }
    }
}

impl Replicas {
    /// Queues an end. The queue is bounded by the slots that calls hold.
    pub(super) fn end(&self, ended: Ended) {
        // A queue whose reader is gone belongs to a process that ends; its lease gives everything back.
        drop(self.ends.send(ended));
    }
}

/// Ends calls for as long as there are any.
pub(super) async fn run(replicas: Weak<Replicas>, mut queue: mpsc::UnboundedReceiver<Ended>) {
    while let Some(ended) = queue.recv().await {
        let Some(replicas) = replicas.upgrade() else {
            return;
        };
        tokio::spawn(end(replicas, ended));
    }
}

async fn end(replicas: Arc<Replicas>, ended: Ended) {
    if let Some((receipt, tell)) = ended.relay {
        let result = receipt.await;
        let durable = result.is_ok();
        // Most callers do not wait.
        drop(tell.send(result));
        if !durable {
            // This process will not commit the record. What it held is counted by the record that somebody else will make.
            return;
        }
    }
    let id = ended
        .ticket
        .as_ref()
        .map_or(ended.id.as_str(), |ticket| &ticket.id)
        .to_owned();
    let mut ready = replicas.ready.subscribe();
    loop {
        if ready.wait_for(|ready| *ready).await.is_err() {
            return;
        }
        let me = &replicas.book().place().instance;
        let now = replicas.now();
        let done = match &ended.ticket {
            Some(ticket) => replicas.book().settle(ticket, now, &ended.used).await,
            None => replicas
                .book()
                .settle_of(me, &id, now, &ended.used)
                .await
                .map(|_| Vec::new()),
        };
        match done {
            Ok(crossed) => {
                for crossed in crossed {
                    crate::proxy::settle::say_crossed(&crossed);
                }
                break;
            }
            Err(error) => {
                replicas.failed(&error);
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
    replicas.lock().held.remove(&id);
}
