//! Tests of whole configurations.

mod canary;
mod documented;
mod properties;
mod published;
mod settings;
pub(crate) mod support;
mod whole;
