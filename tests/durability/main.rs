//! What survives when processes, disks and power do not: the built binaries, killed and starved, against a scripted
//! provider that remembers every request it saw.
//!
//! `SEALGATE_BIN` and `CAPSULE_BIN` name the binaries; without them they are built first.
//! `SEALGATE_SEED` repeats a run; `SEALGATE_LONG_TESTS` makes it long, `SEALGATE_LONG_KILLS=N` sets the
//! number of kills.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests may state what must hold, and say what they did"
)]

mod budget;
mod full_disk;
mod full_logs;
mod kill;
mod on_postgres;
mod order;
#[path = "../../crates/store/tests/it/pg_server.rs"]
mod pg_server;
mod poison;
mod power_loss;
mod sharing;
mod support;
mod terminate;
