//! What can go wrong, by who has to act.

use capsule::Id;

use crate::{checkpoint::NoteError, ids::NoRandomness, journal::JournalError};

/// A ledger could not be created, started, adopted or shut down.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no ledger in this store.
    #[error("no ledger here: create one first (sealgate init)")]
    NotCreated,
    /// There is one already.
    #[error("a ledger with id {0} is here already")]
    Exists(Id),
    /// The store holds records without a genesis of ours.
    #[error(
        "records without a ledger's genesis are here already; a ledger starts in an empty store"
    )]
    NotEmpty,
    /// What is stored is not what this ledger wrote.
    #[error("the ledger is damaged: {0}")]
    Damage(#[from] Damage),
    /// Storage failed.
    #[error("ledger storage: {0}")]
    Journal(#[from] JournalError),
    /// The anchor could not be read or written.
    #[error("checkpoint anchor: {0}")]
    Anchor(std::io::Error),
    /// A stored checkpoint is not acceptable.
    #[error("{place}: {source}")]
    Checkpoint {
        /// Which checkpoint: `DIR/checkpoint` or the store's.
        place: &'static str,
        /// Why.
        source: NoteError,
    },
    /// A record made by the ledger itself was refused by the protocol library.
    #[error("building a record of the ledger itself: {0}")]
    Record(String),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// A thread could not be started.
    #[error("starting a ledger thread: {0}")]
    Thread(std::io::Error),
    /// Calls were still open when the time for shutting down was over; the next start recovers them.
    #[error("{0} calls were still open at shutdown; the next start seals them as unknown")]
    OpenCalls(usize),
    /// The committer has stopped before.
    #[error("the ledger has stopped: {0}")]
    Stopped(String),
}

/// Stored records contradict each other or the newest checkpoint. Never repaired silently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// Records at the end are gone.
    #[error("truncated: the last record should be {expected} and is {found}")]
    Truncated {
        /// Sequence that was committed or checkpointed.
        expected: u64,
        /// What is there, in words.
        found: String,
    },
    /// The newest checkpoint covers more records than there are.
    #[error(
        "the checkpoint covers {checkpoint} records and there are {records}: restored from an older \
         copy or cut; find the missing records or run `sealgate ledger adopt`"
    )]
    BehindCheckpoint {
        /// Size in the checkpoint.
        checkpoint: u64,
        /// Records in the chain.
        records: u64,
    },
    /// A checkpoint was made over other records.
    #[error("forked: the checkpoint of {size} records has another root than the records here")]
    Forked {
        /// Size in the checkpoint.
        size: u64,
    },
    /// The checkpoint file is gone.
    #[error("the newest checkpoint is missing; put it back or run `sealgate ledger adopt`")]
    CheckpointMissing,
    /// A record was changed, or is not linked to the one before it.
    #[error("record {sequence}: {message}")]
    Record {
        /// Its sequence.
        sequence: u64,
        /// What does not hold.
        message: String,
    },
    /// Somebody appended a record with a key that is not this ledger's.
    #[error("record {sequence} was appended with an unknown key: {message}")]
    UnknownKey {
        /// Its sequence.
        sequence: u64,
        /// What the verifier says.
        message: String,
    },
    /// The compare-and-swap of a head or boot failed although its row was locked.
    #[error("{0} changed under the lock: another sequencer writes to this chain")]
    Moved(&'static str),
    /// This process was taken for dead: another instance has sealed its open calls.
    #[error(
        "another instance has taken over the lease of this one and sealed its open calls; start it again"
    )]
    LeaseLost,
    /// After a failed commit some items of the transaction are there and some are not.
    #[error("a transaction was persisted in part")]
    Torn,
}

/// An intent is not durable, so the call must not go out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The store cannot take the intent now.
    #[error("audit unavailable: {reason}")]
    AuditUnavailable {
        /// Why, for logs.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn because(reason: impl Into<String>) -> OpenError {
        OpenError::AuditUnavailable {
            reason: reason.into(),
        }
    }

    pub(crate) fn stopped() -> OpenError {
        OpenError::because("the ledger has stopped")
    }
}

/// A record was not committed by this process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The committer stopped first; an open intent is recovered at the next start.
    #[error("the ledger stopped before the record was committed")]
    Stopped,
    /// The call had been settled by somebody else; the draft's bytes are in quarantine.
    #[error("the call was settled before; the record went to quarantine")]
    AlreadySettled,
    /// The store takes it in no form; an open intent is recovered at the next start.
    #[error("the store refuses the record: {0}")]
    Refused(String),
    /// Too many appends are waiting (appends only, never settlements).
    #[error("too many records are waiting to be appended")]
    Overloaded,
}
