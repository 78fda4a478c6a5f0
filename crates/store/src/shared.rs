//! Chains in the reference's own tables, to which any number of processes append.
//!
//! A ledger has one sequencer; these chains have none. Each transaction locks the chain, reads its head
//! and continues from there, so that no writer needs to know of another.

use capsule::{Draft, SealError, Signer, Timestamp};

/// A chain that several writers share.
pub trait SharedChain: Send {
    /// Makes sure that the chain can be appended to by this signer, tables included.
    ///
    /// # Errors
    /// When the store cannot be reached, is not durable, or belongs to another key.
    fn check(&mut self, signer: &dyn Signer) -> Result<(), SharedError>;

    /// Links, seals and inserts the records in one transaction. After `Ok` all of them are durable.
    ///
    /// `again` says that an earlier try to append the same records failed. Its commit may have happened
    /// all the same, so records whose id is in the store already are left out.
    ///
    /// # Errors
    /// When the transaction failed. Unless its commit was cut short, nothing was written.
    fn append(
        &mut self,
        drafts: Vec<Draft>,
        signer: &dyn Signer,
        now: Timestamp,
        again: bool,
    ) -> Result<(), SharedError>;

    /// Lets go of the store until the next call; called before a process forks.
    fn close(&mut self);
}

/// A shared chain that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// A file or directory could not be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("{path}: cannot {operation}: {source}")]
    Sqlite {
        /// The database.
        path: std::path::PathBuf,
        /// What was tried.
        operation: &'static str,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// PostgreSQL failed.
    #[error("{place}: cannot {operation}: {}", explained(.source))]
    Postgres {
        /// Host and database.
        place: String,
        /// What was tried.
        operation: &'static str,
        /// What PostgreSQL says.
        source: postgres::Error,
    },
    /// Commits would not survive a power loss.
    #[error(
        "{path}: journal_mode is {found}: commits would not be durable; use a file on a local disk"
    )]
    NotDurable {
        /// The database.
        path: std::path::PathBuf,
        /// The journal mode that SQLite chose.
        found: String,
    },
    /// A gateway's ledger whose records another key signs.
    #[error(
        "{place} is the ledger of a gateway whose key is {expected}, and this key is {found}: records by \
         another key are damage there; use the gateway's key file"
    )]
    OtherKey {
        /// The database.
        place: String,
        /// Fingerprint in the newest record.
        expected: String,
        /// Fingerprint of the signer.
        found: String,
    },
    /// A record could not be signed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The chain cannot go on.
    #[error("{place}: the chain cannot be continued: {reason}")]
    Chain {
        /// The store.
        place: String,
        /// Why.
        reason: String,
    },
}

/// The server's own words, which the error's text leaves out.
fn explained(error: &postgres::Error) -> String {
    use std::error::Error as _;
    match (error.as_db_error(), error.source()) {
        (Some(said), _) => said.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
