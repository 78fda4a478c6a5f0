//! The guard of an open call: whatever happens to the client's connection, the call is settled exactly once.

use std::sync::Arc;

use ledger::Opened;

use super::facts::{End, Facts};
use super::inspect::Request;
use super::reserve::{Held, Unheld};
use super::settle;
use crate::app::App;
use crate::digest::DigestKey;
use crate::error::Error;
use crate::routing;

/// A call with a durable intent and held reservations. Only [`super::open`] makes one.
///
/// [`Call::finish`] settles it. If it is dropped first (the client left, a task was cancelled, a defect unwound), its Drop
/// moves the state into the settler's queue, whose place was reserved before the intent: nothing blocks or fails there.
pub(crate) struct Call {
    app: Arc<App>,
    open: Option<Box<OpenCall>>,
}

/// The state that must not be lost.
pub(crate) struct OpenCall {
    pub(crate) opened: Opened,
    /// Given back when the record has been handed over.
    pub(crate) held: Held,
    pub(crate) facts: Facts,
    /// How the call ends if nobody says otherwise.
    pub(crate) if_dropped: End,
}

impl Call {
    /// The only constructor: both proofs go in and stay until the end.
    pub(super) fn new(app: Arc<App>, opened: Opened, held: Held, facts: Facts) -> Self {
        app.metrics.in_flight.inc();
        let open = OpenCall {
            opened,
            held,
            facts,
            if_dropped: End::Cut("client_gone"),
        };
        Self {
            app,
            open: Some(Box::new(open)),
        }
    }

    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The digests of the call's texts.
    pub(crate) fn digests(&self) -> &Arc<DigestKey> {
        self.facts()
            .map_or(&self.app.digests, |facts| &facts.digests)
    }

    /// The facts; `None` only after [`Call::finish`], which consumes the guard.
    pub(crate) fn facts(&self) -> Option<&Facts> {
        self.open.as_deref().map(|open| &open.facts)
    }

    /// What the call holds; `None` only after [`Call::finish`].
    pub(crate) fn held(&self) -> Option<&Held> {
        self.open.as_deref().map(|open| &open.held)
    }

    pub(crate) fn facts_mut(&mut self) -> Option<&mut Facts> {
        self.open.as_deref_mut().map(|open| &mut open.facts)
    }

    /// Resolves when the caller's key is blocked or gone, or when the process ends its streams: which of the two.
    pub(crate) fn when_ended(
        &self,
    ) -> impl Future<Output = (Error, &'static str)> + Send + 'static {
        let cut = self.app.when_cut();
        let revoked = self.open.as_deref().map(|open| {
            let identity = &self.app.identity;
            identity.when_revoked(open.held.caller(), self.app.clock.clone())
        });
        async move {
            let revoked = async {
                match revoked {
                    Some(revoked) => revoked.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cut => (Error::ShuttingDown, "shutting_down"),
                () = revoked => (Error::Auth(policy::AuthError::Blocked), "revoked"),
            }
        }
    }

    /// Holds what the attempt that the facts name may cost; where its deployment has no room, another one takes its place.
    ///
    /// # Errors
    /// When a rule refuses the deployment or a budget has no room for it.
    pub(crate) async fn retarget(&mut self, request: &Request) -> Result<(), Unheld> {
        let Some(open) = self.open.as_deref_mut() else {
            return Ok(());
        };
        let snapshot = open.facts.snapshot.clone();
        loop {
            crate::rules::ask(&snapshot.rules, &mut open.facts).map_err(Unheld::Refused)?;
            let (held, facts) = (&mut open.held, &mut open.facts);
            match held.retarget(&self.app, facts, request).await {
                Ok(model) => {
                    facts.billing.model = model;
                    return Ok(());
                }
                Err(Unheld::NoRoom(exceeded)) => {
                    let destination = &mut facts.destination;
                    let another = routing::instead(&self.app, &snapshot, destination, &exceeded);
                    if !another.map_err(Unheld::Refused)? {
                        return Err(Unheld::NoRoom(exceeded));
                    }
                }
                Err(refused) => return Err(refused),
            }
        }
    }

    /// Whether what the call holds still counts everywhere.
    pub(crate) fn is_held(&self) -> bool {
        self.open.as_deref().is_none_or(|open| open.held.is_held())
    }

    /// What the record says if the guard is dropped from here on.
    pub(crate) fn if_dropped(&mut self, end: End) {
        if let Some(open) = self.open.as_deref_mut() {
            open.if_dropped = end;
        }
    }

    /// Builds and hands over the record. The receipt resolves when it is durable; most callers ignore it.
    pub(crate) fn finish(mut self, end: End, status: u16) -> Option<ledger::Receipt> {
        self.app.metrics.in_flight.dec();
        self.open
            .take()
            .and_then(|open| settle::settle(&self.app, *open, &end, status))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(mut open) = self.open.take() {
            if self.app.is_cut() {
                open.if_dropped = End::Cut("shutting_down");
            }
            self.app.metrics.in_flight.dec();
            self.app.settler.push(&self.app, open);
        }
    }
}
