//! Brings the answers of one commit to their callers in one go.
//!
//! The committer is a thread outside the callers' runtime. Waking each caller from there costs a system call each (the
//! runtime's poller is told through a file descriptor, when it sleeps); one parcel a commit costs one, and inside the runtime
//! a wake-up is a push on a queue. Counted without it, 32 callers: 0.94 calls of `write` for each call on a runtime of one
//! thread, 0.03 on one with a worker thread.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::{error::OpenError, intent::Opened};

/// An answer to the caller that waits for its intent.
pub(crate) type Told = (
    oneshot::Sender<Result<Opened, OpenError>>,
    Result<Opened, OpenError>,
);

/// Runs in the callers' runtime; see [`Ledger::courier`](crate::Ledger::courier).
#[derive(Debug)]
#[must_use = "answers wait for it to run or to be dropped"]
pub struct Courier {
    parcels: mpsc::UnboundedReceiver<Vec<Told>>,
}

impl Courier {
    /// Delivers until the ledger is gone. When the future is dropped, later answers go to their callers directly.
    pub async fn run(mut self) {
        while let Some(parcel) = self.parcels.recv().await {
            deliver(parcel);
        }
    }
}

/// The committer's end.
#[derive(Debug, Default)]
pub(crate) struct Dispatch(Mutex<Option<mpsc::UnboundedSender<Vec<Told>>>>);

impl Dispatch {
    /// From now on answers go through the returned courier; an older one ends.
    pub(crate) fn courier(&self) -> Courier {
        let (sender, parcels) = mpsc::unbounded_channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Courier { parcels }
    }

    /// Without a courier, or when it was dropped, each caller is woken from here.
    pub(crate) fn send(&self, parcel: Vec<Told>) {
        if parcel.is_empty() {
            return;
        }
        let mut courier = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let back = match courier.as_ref() {
            Some(sender) => sender.send(parcel).err().map(|refused| refused.0),
            None => Some(parcel),
        };
        if let Some(parcel) = back {
            *courier = None;
            drop(courier);
            deliver(parcel);
        }
    }
}

/// Whoever no longer listens gets nothing: the value comes back, is dropped here, and so sealed as abandoned.
fn deliver(parcel: Vec<Told>) {
    for (reply, answer) in parcel {
        drop(reply.send(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> (Told, oneshot::Receiver<Result<Opened, OpenError>>) {
        let (reply, receiver) = oneshot::channel();
        ((reply, Err(OpenError::because("storage"))), receiver)
    }

    #[test]
    fn answers_arrive_without_a_courier_and_after_it_is_gone() {
        let dispatch = Dispatch::default();
        let (first, mut receiver) = told();
        dispatch.send(vec![first]);
        assert!(receiver.try_recv().is_ok());

        drop(dispatch.courier());
        let (second, mut receiver) = told();
        dispatch.send(vec![second]);
        assert!(receiver.try_recv().is_ok());
    }

    #[tokio::test]
    async fn a_courier_delivers_whole_parcels_and_ends_with_the_ledger() {
        let dispatch = Dispatch::default();
        let courier = tokio::spawn(dispatch.courier().run());
        let (first, one) = told();
        let (second, two) = told();
        dispatch.send(vec![first, second]);
        assert!(one.await.is_ok());
        assert!(two.await.is_ok());
        drop(dispatch);
        assert!(courier.await.is_ok());
    }

    /// What lay in a parcel that nobody opens is dropped with it: its callers see that nothing will come.
    #[tokio::test]
    async fn a_courier_that_is_dropped_leaves_nobody_waiting() {
        let dispatch = Dispatch::default();
        let courier = dispatch.courier();
        let (told, receiver) = told();
        dispatch.send(vec![told]);
        drop(courier);
        assert!(receiver.await.is_err());
    }
}
