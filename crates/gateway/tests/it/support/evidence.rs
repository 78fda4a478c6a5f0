//! Records as a test reads them, and the questions that tests ask of a ledger.

use std::collections::BTreeMap;

use ledger::memory::Contents;
use serde_json::Value;

/// One committed record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) sequence: u64,
    pub(crate) document: Value,
}

impl Record {
    pub(crate) fn id(&self) -> &str {
        self.document["id"].as_str().unwrap_or_default()
    }

    /// `outcome.status`.
    pub(crate) fn outcome(&self) -> &str {
        self.document["outcome"]["status"]
            .as_str()
            .unwrap_or_default()
    }

    /// `outcome.error`, empty for calls that were answered.
    pub(crate) fn code(&self) -> &str {
        self.document["outcome"]["error"]
            .as_str()
            .unwrap_or_default()
    }

    pub(crate) fn environment(&self, key: &str) -> &Value {
        &self.document["context"]["environment"][key]
    }

    /// True for the record of a governed call: it had an intent.
    pub(crate) fn is_call(&self) -> bool {
        self.environment("intent").is_u64()
    }

    /// Errors of the attempts at providers; `None` for an attempt that was answered.
    pub(crate) fn attempts(&self) -> Vec<Option<&str>> {
        let attempts = self.document["execution"]["tool_calls"][0]["result"]["attempts"].as_array();
        attempts
            .into_iter()
            .flatten()
            .map(|attempt| attempt["error"].as_str())
            .collect()
    }
}

/// All committed records in order.
pub(crate) fn records(contents: &Contents) -> Vec<Record> {
    let parse = |data: &[u8]| serde_json::from_slice(data).expect("a record is JSON");
    contents
        .rows
        .iter()
        .map(|(sequence, row)| Record {
            sequence: *sequence,
            document: parse(&row.data),
        })
        .collect()
}

/// Sealed refusals by code: single records and the counts of summaries.
pub(crate) fn refusals(records: &[Record]) -> BTreeMap<String, u64> {
    let mut codes = BTreeMap::new();
    for record in records {
        match record.environment("event").as_str() {
            Some("refusal") => *codes.entry(record.code().to_owned()).or_insert(0) += 1,
            Some("refusals") => {
                for count in record
                    .environment("counts")
                    .as_array()
                    .into_iter()
                    .flatten()
                {
                    let code = count["code"].as_str().unwrap_or_default().to_owned();
                    *codes.entry(code).or_insert(0) += count["count"].as_u64().unwrap_or_default();
                }
            }
            _ => {}
        }
    }
    codes
}
