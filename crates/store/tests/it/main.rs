//! Tests of the SQLite store, through its public interface and with the reference tool as a peer.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests may state what must hold"
)]

mod content;
mod files;
mod full;
mod ledger_on_sqlite;
mod peer;
mod reading;
mod redis;
mod support;
