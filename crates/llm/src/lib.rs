//! Provider wire formats, streams, transcript, edits, usage and prices. Pure.
//!
//! Bytes go in, bytes come out: no sockets, no keys, no clock. [`scan`] is the one
//! strict JSON reader; [`edit`] is the one way to change a body; everything in
//! [`openai`] is built from the two, and [`protocol`] is the form that all of them share.

pub mod anthropic;
pub mod completions;
pub mod edit;
pub mod fuzz;
pub mod json;
pub mod moderations;
pub mod openai;
pub mod protocol;
pub mod provider;
pub mod responses;
pub mod scan;
pub mod sse;
pub mod tokens;
pub mod transcript;
pub mod translate;
pub mod usage;
