//! The HTTP face: listener, request bodies with limits, response bodies, framing checks.

pub(crate) mod accept;
pub(crate) mod addresses;
pub(crate) mod body;
mod frames;
pub(crate) mod framing;
mod h2;
pub(crate) mod read;
pub(crate) mod reply;
pub(crate) mod tls;
pub(crate) mod watched;

#[cfg(test)]
mod tests;
