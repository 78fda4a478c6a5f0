//! Tests of the ledger over the in-memory journal, through its public interface only.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests may state what must hold"
)]

mod adopting;
mod basics;
mod faults;
mod interleavings;
mod poison;
mod recovering;
mod support;
