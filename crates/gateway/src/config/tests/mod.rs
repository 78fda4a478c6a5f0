//! Tests of whole configurations.

mod canary;
mod properties;
mod published;
mod settings;
pub(crate) mod support;
mod whole;
