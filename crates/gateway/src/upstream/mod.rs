//! The way out: egress guard, dialer, client with its pool, and the one function that sends a governed call.

pub(crate) mod ask;
pub(crate) mod client;
pub(crate) mod defaults;
mod dialer;
pub(crate) mod entra;
pub(crate) mod forward;
pub(crate) mod link;
pub(crate) mod pool;
pub(crate) mod prepared;
pub(crate) mod render;
pub(crate) mod scrub;

#[cfg(test)]
mod client_tests;
