//! Automation of the repository. One task so far: [`tidy`], the rules that no compiler checks.
//!
//! The rules run in two ways: as tests (`cargo test -p xtask`, so `scripts/test` counts them) and as a command that
//! prints every problem at once (`cargo run -p xtask -- tidy`).

pub mod tidy;
