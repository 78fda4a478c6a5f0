//! Telling the memory journal when to fail.

use crate::journal::{Class, JournalError};

/// A storage call that can be told to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "each is the journal method of that name")]
pub enum Op {
    Begin,
    Commit,
    Rollback,
    Reopen,
    LockHead,
    MoveHead,
    InsertRecord,
    Attach,
    Quarantine,
    AdvanceBoot,
    InsertIntent,
    TakeIntent,
    PutTree,
    Rows,
    FindRecord,
    HasIntent,
    CloseBoot,
}

/// What happens at a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The call has no effect and reports the error.
    Fails,
    /// The call has its effect and reports the error all the same.
    FailsButPersists,
}

/// One planned fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The call.
    pub op: Op,
    /// Calls of this kind that still succeed first.
    pub after: u64,
    /// How often it fails then.
    pub times: u64,
    /// Whether the call has its effect.
    pub mode: Mode,
    /// The class that is reported.
    pub class: Class,
}

impl Fault {
    /// The next call of this kind fails once.
    #[must_use]
    pub fn once(op: Op, mode: Mode, class: Class) -> Fault {
        Fault {
            op,
            after: 0,
            times: 1,
            mode,
            class,
        }
    }

    /// Every call of this kind fails until the faults are cleared.
    #[must_use]
    pub fn always(op: Op, mode: Mode, class: Class) -> Fault {
        Fault {
            op,
            after: 0,
            times: u64::MAX,
            mode,
            class,
        }
    }

    pub(super) fn error(&self) -> JournalError {
        JournalError {
            class: self.class,
            operation: "fault",
            message: format!("told to fail: {:?}", self.op),
        }
    }
}
