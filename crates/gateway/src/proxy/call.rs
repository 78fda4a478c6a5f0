//! The guard of an open call: whatever happens to the client's connection, the call is settled exactly once.

use std::sync::Arc;

use ledger::Opened;
use policy::Slot;

use super::facts::{End, Facts};
use super::settle;
use crate::app::App;

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
    pub(crate) parallel: Slot,
    pub(crate) facts: Facts,
    /// How the call ends if nobody says otherwise.
    pub(crate) if_dropped: End,
}

impl Call {
    /// The only constructor: both proofs go in and stay until the end.
    pub(super) fn new(app: Arc<App>, opened: Opened, parallel: Slot, facts: Facts) -> Self {
        app.metrics.in_flight.inc();
        let open = OpenCall {
            opened,
            parallel,
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

    /// The facts; `None` only after [`Call::finish`], which consumes the guard.
    pub(crate) fn facts(&self) -> Option<&Facts> {
        self.open.as_deref().map(|open| &open.facts)
    }

    pub(crate) fn facts_mut(&mut self) -> Option<&mut Facts> {
        self.open.as_deref_mut().map(|open| &mut open.facts)
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
