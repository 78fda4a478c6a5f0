//! What the sequencer asks of a store. The trait is the contract; SQL, files and sockets are elsewhere.
//!
//! All calls come from one thread. Writes happen between [`Journal::begin`] and [`Journal::commit`] or
//! [`Journal::rollback`]; a store never makes part of a transaction visible. Several chains may live in
//! one store, each with its own head; boots and intents belong to a chain.

use std::{fmt, sync::Arc, time::Duration};

use capsule::{Hash, Id, Sealed, Timestamp};

use crate::{intent::OpenIntent, tree::Tile};

/// Which chain of the store: one per tenant. The default tenant is the empty name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Chain(Arc<str>);

impl Chain {
    /// The chain of a tenant (at most 36 characters; empty for the default tenant).
    #[must_use]
    pub fn of(tenant: &str) -> Chain {
        Chain(Arc::from(tenant))
    }

    /// The tenant, empty for the default one.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.0
    }
}

impl Default for Chain {
    fn default() -> Chain {
        Chain::of("")
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The last record of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its sequence number, from 0.
    pub sequence: u64,
    /// Its SHA3-256.
    pub hash: Hash,
}

/// Both ideas of the head that a store has, read under the write lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LockedHead {
    /// The last record that stands in the table, as its columns say.
    pub last: Option<Head>,
    /// The last record that a sequencer of ours committed. Differs from `last` when somebody else
    /// appended, or when records are gone.
    pub recorded: Option<Head>,
}

/// A stored record as text, unverified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// `sequence` column.
    pub sequence: u64,
    /// `id` column.
    pub id: String,
    /// `type` column.
    pub capsule_type: String,
    /// `previous_hash` column.
    pub previous_hash: Option<String>,
    /// The 13 content keys as JSON text, in whatever form the writer chose.
    pub data: Vec<u8>,
    /// SHA3-256, 64 hexadecimal digits.
    pub hash: String,
    /// Ed25519 signature, 128 hexadecimal digits.
    pub signature: String,
    /// ML-DSA signature or empty.
    pub signature_pq: String,
    /// When it was sealed.
    pub signed_at: Option<String>,
    /// Fingerprint of the key.
    pub signed_by: Option<String>,
    /// `session_id` column.
    pub session_id: Option<String>,
}

/// A boot that no shutdown or recovery record has closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnclosedBoot {
    /// Boot id.
    pub id: Id,
    /// The last intent number it gave out, 0 when none.
    pub last_intent: u64,
}

/// Bytes that could not become a record of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// Id of the minimal record that stands for them, when there is one.
    pub record: Option<Id>,
    /// Boot and intent number of the call, when it had one.
    pub intent: Option<(Id, u64)>,
    /// Why, one line.
    pub reason: String,
    /// SHA3-256 of `bytes`, as the minimal record holds it.
    pub digest: Hash,
    /// The content as it was to be sealed, then the attachment.
    pub bytes: Vec<u8>,
    /// When.
    pub at: Timestamp,
}

/// What a checkpointer wants stored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TreeWrite {
    /// Tiles to insert or replace.
    pub tiles: Vec<Tile>,
    /// Leaves in the tree.
    pub size: u64,
    /// The signed checkpoint of that size.
    pub note: String,
}

/// What an error says about the state of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Unknown whether anything was persisted, or the connection is lost. Stop, reopen, look.
    Fatal,
    /// Nothing of this transaction is persisted and no item is to blame: full disk, lock held by
    /// another writer. Try later.
    Batch,
    /// Nothing of this transaction is persisted and one of its items is to blame.
    Item,
}

/// A failed storage call.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct JournalError {
    /// What is known about the state afterwards.
    pub class: Class,
    /// The storage call, for example `commit`.
    pub operation: &'static str,
    /// The store's own words, without content of records.
    pub message: String,
}

/// Result of a storage call.
pub type Result<T> = std::result::Result<T, JournalError>;

/// A store for chains, intents, attachments and the tree.
///
/// Contract for implementers:
/// * `begin` takes the write lock; `lock_head` locks the chain's head row (`BEGIN IMMEDIATE` or
///   `SELECT .. FOR UPDATE`), so that nothing can be appended by others until the transaction ends.
/// * After `commit` returned `Ok`, everything of the transaction survives power loss.
/// * After an error of class `Item` or `Batch` the transaction is still open or already gone;
///   `rollback` must succeed in both cases. After `Fatal` only `reopen` or `close` follow.
/// * A store refuses to open with settings under which a commit is not durable.
pub trait Journal: Send {
    /// Starts a transaction and takes the write lock.
    fn begin(&mut self) -> Result<()>;
    /// Makes the transaction durable.
    fn commit(&mut self) -> Result<()>;
    /// Ends a transaction without effect; fine when there is none.
    fn rollback(&mut self) -> Result<()>;
    /// Drops the connection after a `Fatal` error and connects again. `Ok` means that what can be read
    /// now is durable.
    fn reopen(&mut self) -> Result<()>;
    /// Last call: folds in logs and gives the lease back.
    fn close(&mut self) -> Result<()>;
    /// False when new calls must be refused because storage is nearly exhausted (disk reserve).
    fn has_room(&mut self) -> Result<bool>;

    /// The id given at creation; `None` when the chain has not been created.
    fn ledger_id(&mut self, chain: &Chain) -> Result<Option<Id>>;
    /// Stores the ledger id (creation only, in the transaction of the genesis record).
    fn set_ledger_id(&mut self, chain: &Chain, id: &Id) -> Result<()>;

    /// Reads and locks the head within a transaction.
    fn lock_head(&mut self, chain: &Chain) -> Result<LockedHead>;
    /// Compare-and-swap of the recorded head; false when it was not `from`.
    fn move_head(&mut self, chain: &Chain, from: Option<&Head>, to: &Head) -> Result<bool>;
    /// Inserts a record. A taken id is an `Item` error; a taken sequence is `Fatal`.
    fn insert_record(&mut self, chain: &Chain, record: &Sealed) -> Result<()>;
    /// Stores the attachment of a record that was inserted in this transaction.
    fn attach(&mut self, chain: &Chain, record: &Sealed, attachment: &[u8]) -> Result<()>;
    /// Stores quarantined bytes.
    fn quarantine(&mut self, chain: &Chain, entry: &Quarantined) -> Result<()>;
    /// Notes that records `first..=last` of another writer were verified and adopted.
    fn note_adopted(&mut self, chain: &Chain, first: u64, last: u64, at: Timestamp) -> Result<()>;

    /// Starts a boot, which is also its lease.
    fn begin_boot(&mut self, chain: &Chain, boot: &Id, at: Timestamp) -> Result<()>;
    /// Closes a boot: its shutdown or recovery record is in this transaction.
    fn close_boot(&mut self, chain: &Chain, boot: &Id, at: Timestamp) -> Result<()>;
    /// Compare-and-swap of a boot's last intent number; false when it was not `from`.
    fn advance_boot(&mut self, chain: &Chain, boot: &Id, from: u64, to: u64) -> Result<bool>;
    /// Boots whose owner is dead (or whose lease expired) and that nothing has closed, oldest first.
    fn unclosed_boots(&mut self, chain: &Chain, now: Timestamp) -> Result<Vec<UnclosedBoot>>;
    /// How often [`Journal::renew_lease`] must be called; `None` when the lease needs no renewal.
    fn lease_interval(&self) -> Option<Duration> {
        None
    }
    /// Renews the lease of a boot in a transaction of its own. `Fatal` when it is lost.
    fn renew_lease(&mut self, _boot: &Id, _now: Timestamp) -> Result<()> {
        Ok(())
    }

    /// Inserts an intent.
    fn insert_intent(&mut self, chain: &Chain, intent: &OpenIntent) -> Result<()>;
    /// Deletes an intent; false when it was not there. Whoever gets true may settle the call.
    fn take_intent(&mut self, chain: &Chain, boot: &Id, number: u64) -> Result<bool>;
    /// Whether an intent is open.
    fn has_intent(&mut self, chain: &Chain, boot: &Id, number: u64) -> Result<bool>;
    /// Open intents of one boot by rising number.
    fn open_intents(&mut self, chain: &Chain, boot: &Id) -> Result<Vec<OpenIntent>>;

    /// At most `limit` rows from sequence `from` upwards, in order.
    fn rows(&mut self, chain: &Chain, from: u64, limit: usize) -> Result<Vec<Row>>;
    /// Sequence and hash of the record with this id.
    fn find_record(&mut self, chain: &Chain, id: &Id) -> Result<Option<Head>>;

    /// Stores tiles and checkpoint (idempotent).
    fn put_tree(&mut self, chain: &Chain, write: &TreeWrite) -> Result<()>;
    /// Size and signed checkpoint that were stored last.
    fn tree(&mut self, chain: &Chain) -> Result<Option<(u64, String)>>;
    /// The bytes of a tile.
    fn tile(&mut self, chain: &Chain, level: u8, index: u64) -> Result<Option<Vec<u8>>>;

    /// For `adopt` only: makes `to` the recorded head although later records existed, and forgets
    /// tiles, checkpoint and the attachments of records after it.
    fn reset_to(&mut self, chain: &Chain, to: &Head) -> Result<()>;
}
