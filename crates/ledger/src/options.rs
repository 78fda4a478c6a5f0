//! How a ledger runs.

use std::{fmt, sync::Arc, time::Duration};

use capsule::{Capsule, PublicKey};

use crate::{
    clock::{Clock, SystemClock},
    intent::OpenIntent,
    journal::Chain,
};

/// Builds the record and the attachment of a call whose process died.
pub type Recover = Box<dyn Fn(&OpenIntent) -> (Capsule, Option<Vec<u8>>) + Send>;

/// Settings of a ledger; [`Options::default`] suits one server.
pub struct Options {
    /// Which chain of the store.
    pub chain: Chain,
    /// Calls that may be between `slot` and the commit of their record. Default 4,096.
    pub settle_slots: usize,
    /// Appends that may wait to be committed. Default 4,096.
    pub append_slots: usize,
    /// Most items of one transaction. Default 512.
    pub max_batch: usize,
    /// Largest record content plus attachment in bytes; a larger draft is quarantined. Default 16 MiB.
    pub max_record_bytes: usize,
    /// Shortest time between two published checkpoints. Default 1 s.
    pub checkpoint_interval: Duration,
    /// First and longest pause after a failed commit. Default 50 ms and 1 s.
    pub retry: (Duration, Duration),
    /// Earlier keys of this ledger, beside the signer's own: records by them are its own as well.
    pub earlier_keys: Vec<PublicKey>,
    /// Stamps records. Default: the machine's clock.
    pub clock: Arc<dyn Clock>,
    /// Builds records for calls that a crash left open. The ledger sets id and `environment.ledger`,
    /// `boot`, `intent` and `event` itself, and falls back to a minimal record if the result cannot be
    /// sealed. `None`: minimal records.
    pub recover: Option<Recover>,
    /// `domain` of the ledger's own records. Default `gateway`.
    pub domain: String,
    /// Version of the program, for the boot record.
    pub version: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            chain: Chain::default(),
            settle_slots: 4096,
            append_slots: 4096,
            max_batch: 512,
            max_record_bytes: 16 << 20,
            checkpoint_interval: Duration::from_secs(1),
            retry: (Duration::from_millis(50), Duration::from_secs(1)),
            earlier_keys: Vec::new(),
            clock: Arc::new(SystemClock),
            recover: None,
            domain: "gateway".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Options")
            .field("chain", &self.chain)
            .field("settle_slots", &self.settle_slots)
            .field("max_batch", &self.max_batch)
            .finish_non_exhaustive()
    }
}
