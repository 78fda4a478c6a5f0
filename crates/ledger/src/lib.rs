//! Intents, order, sealing, commit, recovery, tree and proofs. The owner of one writer per chain.
//!
//! A call takes a [`SettleSlot`], hands in an [`Intent`] and gets an [`Opened`] once the intent is
//! durable; [`Opened::settle`] hands in the record. One thread commits whatever arrived during its last
//! commit as one transaction of a [`journal::Journal`].

#![cfg_attr(
    feature = "bench-null-journal",
    expect(unused, reason = "what commits is not reached when nothing is kept")
)]

mod adopt;
mod anchor;
pub mod audit;
pub mod checkpoint;
mod checkpointer;
mod clock;
mod committer;
mod courier;
mod error;
mod handle;
mod ids;
mod inspect;
mod intent;
pub mod journal;
pub mod memory;
mod options;
mod outcome;
mod quarantine;
mod queue;
mod reconcile;
mod rotate;
mod row;
mod sequencer;
mod shared;
mod signing;
mod start;
mod stored;
pub mod system;
pub mod tree;
mod work;

pub use adopt::{Gap, GapKind, adopt};
pub use anchor::{Anchor, MemoryAnchor};
pub use checkpoint::Checkpoint;
pub use clock::{Clock, SystemClock};
pub use courier::Courier;
pub use error::{Damage, LedgerError, OpenError, SettleError};
pub use handle::{Ledger, Status};
pub use ids::{NoRandomness, new_id};
pub use intent::{Committed, Intent, OpenIntent, Opened, Opening, Receipt, SettleSlot};
pub use journal::{Chain, Journal};
pub use options::{Options, Recover};
pub use rotate::{Rotation, rotate};
pub use start::{RecoveredBoot, Recovery, Signers, create};
pub use system::{Event, Identity};
