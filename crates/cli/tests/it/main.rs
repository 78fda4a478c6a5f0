//! The binaries, run as users run them.

mod capsule_attacks;
mod capsule_documents;
mod capsule_input;
mod capsule_reference;
mod capsule_support;
