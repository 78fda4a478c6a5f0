//! Tests of whole configurations.

mod canary;
mod properties;
mod published;
pub(crate) mod support;
mod whole;
