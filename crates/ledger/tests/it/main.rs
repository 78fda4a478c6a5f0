//! Tests of the ledger over the in-memory journal, through its public interface only.

mod adopting;
mod basics;
mod faults;
mod interleavings;
mod poison;
mod recovering;
mod support;
