//! The way out: egress guard, dialer, pooled client, and the one function that sends a governed call.

pub(crate) mod client;
pub(crate) mod dialer;
pub(crate) mod forward;
pub(crate) mod prepared;
pub(crate) mod scrub;
