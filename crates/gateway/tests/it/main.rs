//! The gateway from outside: real connections to the real pipeline, a sandbox provider behind it, and a ledger that is verified
//! when each test ends. Attack cases carry their ids in their names.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test states what must hold by unwrapping it, in its helpers too"
)]

mod checks;
mod content;
mod crowd;
mod defaults;
mod deferred;
mod errors;
mod evasion;
mod faults;
mod guards;
mod http;
mod identity;
mod info;
mod json;
mod ledger;
mod matrix;
mod modes;
mod providers;
mod reload;
mod remote;
mod replicas;
mod routes;
mod routing;
mod routing_rights;
mod rules;
mod ssrf;
mod storms;
mod streams;
mod support;
mod sweep;
mod upstream;
mod wire;
