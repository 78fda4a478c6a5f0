//! PostgreSQL. Today: the reference's table as a chain that several processes share.

mod shared;

pub use shared::SharedTable;
