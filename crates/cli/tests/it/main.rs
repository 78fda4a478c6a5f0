//! The binaries, run as users run them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may state what must hold"
)]

mod capsule_attacks;
mod capsule_bundles;
mod capsule_documents;
mod capsule_input;
mod capsule_reference;
mod capsule_rotation;
mod capsule_support;
mod guard;
mod keys;
mod serve;
