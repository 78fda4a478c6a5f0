//! The facts of a record that these tests compare with what clients and the provider saw.

use capsule::verify::{Record, Seal};
use ledger::journal::Row;
use serde_json::Value;

use super::stub;

/// A record, reduced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fact {
    pub(crate) sequence: u64,
    pub(crate) id: String,
    /// `context.environment.event`; empty for calls that were settled.
    pub(crate) event: String,
    pub(crate) boot: String,
    /// Number of the intent; `None` for records without one.
    pub(crate) intent: Option<u64>,
    /// `outcome.status`.
    pub(crate) status: String,
    pub(crate) group: String,
    /// The request that it stands for.
    pub(crate) marker: Option<u64>,
    pub(crate) tokens: (u64, u64),
    pub(crate) cost: Option<i64>,
    /// `context.environment`, for the ledger's own records.
    pub(crate) environment: Value,
}

/// A row as a record of the protocol, its seal unchecked.
pub(crate) fn record(row: &Row) -> Record {
    let seal = Seal {
        hash: row.hash.clone(),
        signature: row.signature.clone(),
        signature_pq: row.signature_pq.clone(),
        signed_at: row.signed_at.clone(),
        signed_by: row.signed_by.clone().unwrap_or_default(),
    };
    Record::from_row(&row.data, seal)
        .unwrap_or_else(|error| panic!("row {} is no record: {error}", row.sequence))
}

impl Fact {
    pub(crate) fn of(row: &Row) -> Self {
        let document: Value = serde_json::from_slice(&row.data).unwrap();
        let environment = document["context"]["environment"].clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metrics = &document["outcome"]["metrics"];
        let count = |name: &str| metrics[name].as_u64().unwrap_or(0);
        Self {
            sequence: row.sequence,
            id: row.id.clone(),
            event: text(&environment["event"]),
            boot: text(&environment["boot"]),
            intent: environment["intent"].as_u64(),
            status: text(&document["outcome"]["status"]),
            group: text(&environment["model_group"]),
            marker: stub::marker(&text(&document["trigger"]["request"])),
            tokens: (count("tokens_in"), count("tokens_out")),
            cost: metrics["cost_micro_usd"].as_i64(),
            environment,
        }
    }
}
