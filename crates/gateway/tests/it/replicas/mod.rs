//! Several gateways on one Redis.

#[path = "../../../../store/tests/it/redis/server.rs"]
mod server;

mod budgets;
mod consent;
mod outages;
mod revoked;
mod several;
mod targets;
