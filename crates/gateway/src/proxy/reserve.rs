//! Stage 4: everything a call needs until its end, taken at once or not at all.

use ledger::SettleSlot;
use policy::Slot;

use super::admit::Admitted;
use crate::app::{App, Snapshot};
use crate::error::Error;

/// An admitted request that holds its slots. They come back when the call is settled, whatever happens to the client.
pub(crate) struct Reserved {
    pub(crate) admitted: Admitted,
    pub(crate) parallel: Slot,
    pub(crate) settle: SettleSlot,
}

/// Takes the parallel slot and the settle slot.
///
/// # Errors
/// 503 while draining or while records wait, 429 at the parallel limit.
pub(crate) fn reserve(
    app: &App,
    snapshot: &Snapshot,
    admitted: Admitted,
) -> Result<Reserved, Error> {
    if app.is_draining() {
        return Err(Error::ShuttingDown);
    }
    let parallel = app.slots.try_take().ok_or(Error::TooManyParallel {
        limit: snapshot.config.limits.max_parallel as usize,
    })?;
    let settle = app.ledger.slot().ok_or(Error::Overloaded)?;
    Ok(Reserved {
        admitted,
        parallel,
        settle,
    })
}
