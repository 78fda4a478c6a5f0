//! SQLite, PostgreSQL (shared chains; the ledger's journal and Redis for limits), key files. The only SQL.

pub mod anchor;
pub mod change;
pub mod content;
mod content_rows;
mod disk;
pub mod identity;
pub mod keys;
pub mod post_quantum;
pub mod postgres;
pub mod pseudonym;
pub mod reader;
pub mod redis;
pub mod shared;
pub mod signer;
pub mod spend;
pub mod sqlite;

pub use disk::free_bytes;
