//! Tests of the SQLite and PostgreSQL stores, through its public interface and with the reference tool as a peer.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests may state what must hold"
)]

mod content;
mod content_on_postgres;
mod faulty;
mod files;
mod full;
mod killed_on_postgres;
mod ledger_on_postgres;
mod ledger_on_sqlite;
mod peer;
mod pg_server;
mod pg_shared;
mod pg_tls;
mod reading;
mod redis;
mod shared_file;
mod support;
mod views_on_postgres;
