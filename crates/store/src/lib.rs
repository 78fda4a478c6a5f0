//! SQLite (PostgreSQL and Redis to come), key files. The only SQL.

pub mod anchor;
mod disk;
pub mod keys;
pub mod post_quantum;
pub mod reader;
pub mod signer;
pub mod spend;
pub mod sqlite;

pub use disk::free_bytes;
