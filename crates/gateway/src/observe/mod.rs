//! What operators see: access log and metrics.

pub mod access;
pub(crate) mod metrics;
