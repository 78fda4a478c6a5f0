//! Looking at what the gateway under test keeps: records, refusals, log lines, slots.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gateway::serve::Running;
use serde_json::{Value, json};

use super::super::client::{Answer, PATIENCE, soon};
use super::super::evidence::{self, Record};
use super::TestApp;

impl TestApp {
    /// How many lines of the event log hold both texts.
    pub(crate) fn logged(&self, one: &str, other: &str) -> usize {
        let log = String::from_utf8_lossy(&super::super::logs::event_log().bytes()).into_owned();
        log.lines()
            .filter(|line| line.contains(one) && line.contains(other))
            .count()
    }

    pub(crate) fn all_records(&self) -> Vec<Record> {
        evidence::records(&self.store.contents())
    }

    /// Records of system events of this name.
    pub(crate) fn events(&self, name: &str) -> Vec<Record> {
        let mut records = self.all_records();
        records.retain(|record| record.environment("event") == name);
        records
    }

    /// The record with this id, as soon as it is committed.
    pub(crate) async fn record(&self, id: &str) -> Record {
        self.eventually(&format!("record {id}"), || {
            self.all_records()
                .into_iter()
                .find(|record| record.id() == id)
        })
        .await
    }

    /// The record of an answered call.
    pub(crate) async fn record_of(&self, answer: &Answer) -> Record {
        let id = answer
            .header("x-litellm-call-id")
            .unwrap_or_else(|| panic!("no call id: {} {}", answer.status, answer.text()));
        self.record(id).await
    }

    /// Records of governed calls, as soon as there are `count`.
    pub(crate) async fn calls(&self, count: usize) -> Vec<Record> {
        let calls = || {
            self.all_records()
                .into_iter()
                .filter(Record::is_call)
                .collect::<Vec<_>>()
        };
        self.eventually(&format!("{count} calls"), || {
            Some(calls()).filter(|calls| calls.len() >= count)
        })
        .await
    }

    /// As `calls`, for what takes longer than a test usually waits.
    pub(crate) async fn calls_within(&self, count: usize, patience: Duration) -> Vec<Record> {
        let deadline = Instant::now() + patience;
        loop {
            let mut calls = self.all_records();
            calls.retain(Record::is_call);
            if calls.len() >= count {
                return calls;
            }
            assert!(
                Instant::now() < deadline,
                "{count} calls did not come within {patience:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the listener is closed.
    pub(crate) async fn refuses_connections(&self) {
        soon("the listener's end", async {
            while tokio::net::TcpStream::connect(self.address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Records of governed calls, as soon as they and the sealed refusals with `code` are `total` together.
    pub(crate) async fn calls_and_refusals(&self, code: &str, total: usize) -> Vec<Record> {
        let complete = || {
            let mut records = self.all_records();
            let refused = evidence::refusals(&records)
                .get(code)
                .copied()
                .unwrap_or_default();
            records.retain(Record::is_call);
            (records.len() as u64 + refused == total as u64).then_some(records)
        };
        self.eventually(&format!("{total} calls and refusals"), complete)
            .await
    }

    /// Lines of the access log, when there is one for each record that calls and refusals have.
    pub(crate) async fn access_lines(&self) -> Vec<Value> {
        let lines = || -> Vec<Value> {
            let text = self.access.bytes();
            let text = String::from_utf8_lossy(&text);
            text.lines()
                .map(|line| {
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
                })
                .collect()
        };
        let recorded = self
            .all_records()
            .iter()
            .filter(|record| record.is_call() || record.environment("event") == "refusal")
            .count();
        let named = |lines: &Vec<Value>| {
            lines
                .iter()
                .filter(|line| line["record"].is_string())
                .count()
        };
        self.eventually("a line for each record", || {
            Some(lines()).filter(|lines| named(lines) >= recorded)
        })
        .await
    }

    /// Sealed refusals by code, as soon as there are `count` codes.
    pub(crate) async fn refusals(&self, count: usize) -> BTreeMap<String, u64> {
        let refusals = || evidence::refusals(&self.all_records());
        self.eventually(&format!("{count} codes"), || {
            Some(refusals()).filter(|codes| codes.len() >= count)
        })
        .await
    }

    /// The header of an answer, as soon as answers carry it.
    pub(crate) async fn until_header(&self, name: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.chat("echo", json!({})).await;
            if let Some(value) = answer.header(name) {
                return value.to_owned();
            }
            assert!(Instant::now() < deadline, "no answer carries {name}");
        }
    }

    /// No slot is taken and no record waits.
    pub(crate) async fn at_rest(&self) {
        let names = ["sealgate_parallel_calls ", "sealgate_settle_slots_taken "];
        self.eventually("rest", || {
            let metrics = self.metrics();
            let idle = |name: &&str| {
                metrics
                    .lines()
                    .find_map(|line| line.strip_prefix(*name))
                    .is_none_or(|value| value.trim() == "0")
            };
            names
                .iter()
                .all(|name| metrics.contains(name) && idle(name))
                .then_some(())
        })
        .await;
    }

    pub(super) fn metrics(&self) -> String {
        self.running
            .lock()
            .expect("not poisoned")
            .as_ref()
            .map(Running::metrics)
            .unwrap_or_default()
    }

    async fn eventually<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        soon(what, async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
    }
}
