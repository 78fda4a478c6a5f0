//! Tests of the checks through the public interface.

#![expect(
    clippy::expect_used,
    reason = "helpers of tests may state what must hold"
)]

mod content;
mod injection;
mod pattern;
mod pii;
mod places;
mod secrets;
mod stream;
mod vault;
mod words;
