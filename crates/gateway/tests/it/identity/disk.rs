//! A gateway over a ledger on disk, for what a ledger in memory does not have: rows that are read again at a start, the audit
//! log, rows of spend.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::serve::{self, Running, Setup, data};
use http_body_util::Full;
use ledger::SystemClock;
use serde_json::{Value, json};
use store::change::EntityRow;
use store::reader::Reader;

use crate::support::{Answer, MASTER, client, load, prompt};

pub(super) struct Site {
    dir: tempfile::TempDir,
}

pub(super) struct Started {
    running: Running,
}

impl Site {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        data::create(
            &dir.path().join("data"),
            None,
            "test",
            false,
            Arc::new(SystemClock),
        )
        .expect("a ledger");
        Self { dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.data().join("capsules.db")
    }

    pub(super) fn rows(&self) -> Vec<EntityRow> {
        rows(&self.data())
    }

    /// Starts with what `edit` makes of the stored rows.
    pub(super) async fn start(&self, edit: impl FnOnce(&mut Vec<EntityRow>)) -> Started {
        let text = json!({
            "model_list": [{ "model_name": "m", "litellm_params": { "model": "openai/m", "mock_response": "hello",
                "input_cost_per_token": 0.000001, "output_cost_per_token": 0.000001 } }],
            "general_settings": { "master_key": MASTER },
        });
        let config = load(&text).expect("a configuration");
        let mut opened =
            data::open(&self.data(), &config, Arc::new(SystemClock)).expect("the ledger");
        let mut rows = self.rows();
        edit(&mut rows);
        opened.identity.rows = Some(rows);
        let setup = Setup {
            config,
            ledger: opened.ledger,
            digest_key: opened.digest_key,
            access_log: None,
            clock: Arc::new(SystemClock),
            identity: opened.identity,
            sharing: None,
            content: opened.content,
        };
        let running = serve::start(setup).await.expect("a gateway");
        Started { running }
    }
}

fn rows(data: &Path) -> Vec<EntityRow> {
    let reader = Reader::open(data.join("capsules.db")).expect("a database");
    reader.entities().expect("rows")
}

impl Started {
    pub(super) async fn ask(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "gateway")
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let open = client::open(self.running.address(), request).await;
        open.expect("an answer").rest().await
    }

    pub(super) async fn manage(&self, path: &str, body: Value) -> Value {
        let answer = self.ask(MASTER, "POST", path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Status of a call, for an end user where one is named.
    pub(super) async fn call(&self, key: &str, user: Option<&str>) -> u16 {
        let more = user.map_or(json!({}), |user| json!({ "user": user }));
        let body = prompt("m", "hello", more);
        self.ask(key, "POST", "/v1/chat/completions", body)
            .await
            .status
    }

    pub(super) fn damaged(&self) -> u64 {
        let metrics = self.running.metrics();
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("sealgate_damaged_entities "));
        line.expect("the metric").trim().parse().expect("a number")
    }

    pub(super) async fn stop(self) {
        let ended = self.running.shutdown(Duration::from_secs(10)).await;
        ended.expect("an orderly end");
    }
}
