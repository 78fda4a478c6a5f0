//! The HTTP face: listener, request bodies with limits, response bodies, framing checks.

pub(crate) mod accept;
pub(crate) mod body;
pub(crate) mod framing;
pub(crate) mod read;
pub(crate) mod reply;
pub(crate) mod watched;
