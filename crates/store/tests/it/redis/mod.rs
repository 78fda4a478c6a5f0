//! The shared book on a real Redis.

mod link;
mod same;
pub(crate) mod server;
mod team;
mod tls;
