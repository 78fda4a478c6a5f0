//! HTTP both ways: relay, hooks and configuration. The only crate that knows hyper.
//!
//! [`serve::start`] runs a gateway over a [`config::Config`] and a running [`ledger::Ledger`]. The order in which a call is
//! processed is on one screen in `proxy/pipeline.rs`; every status and error text is in [`error`].

mod app;
pub mod config;
pub mod content;
pub mod digest;
mod dispatch;
pub mod error;
pub mod guardrails;
pub mod identity;
mod ids;
mod info;
mod manage;
mod model_info;
pub mod observe;
mod proxy;
pub mod replicas;
mod routing;
mod rules;
pub mod sandbox;
pub mod serve;
mod server;
mod upstream;
