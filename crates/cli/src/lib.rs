//! The command line of `capsule`, shared by both binaries.

#[path = "capsule/mod.rs"]
pub mod capsule_cli;
