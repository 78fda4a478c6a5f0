//! Gateways that share limits and a provider. Each has a ledger of its own; what they read back is all ledgers together, as
//! they would from one database.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway::replicas::{Sharing, Truth, WhenLost};
use gateway::sandbox::Sandbox;
use gateway::serve::{self, Running, Setup, data};
use http_body_util::Full;
use serde_json::{Value, json};
use store::reader::{ReadError, Reader};

use super::server::Server;
use crate::support::{self, Answer, MASTER, Open, PROVIDER_KEY, load, prompt};

/// Every ledger.
#[derive(Default)]
struct All(Mutex<Vec<PathBuf>>);

impl Truth for All {
    fn read(
        &self,
        each: &mut dyn FnMut(&Reader) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let paths = self.0.lock().expect("not poisoned").clone();
        for path in paths {
            each(&Reader::open(path)?)?;
        }
        Ok(())
    }
}

pub(super) struct Several {
    pub(super) redis: Server,
    pub(super) sandbox: Sandbox,
    pub(super) addresses: Vec<SocketAddr>,
    running: Vec<Running>,
    dirs: Vec<tempfile::TempDir>,
    truth: Arc<All>,
}

impl Several {
    pub(super) async fn start(count: usize) -> Self {
        Self::with(count, WhenLost::Refuse).await
    }

    pub(super) async fn with(count: usize, when_lost: WhenLost) -> Self {
        Self::configured(count, when_lost, |_| {}).await
    }

    /// They wait for Redis as long as it takes: for a load that a small machine cannot answer in the usual half second.
    pub(super) async fn patient(count: usize) -> Self {
        let long = Some(Duration::from_secs(30));
        Self::built(count, WhenLost::Refuse, long, |_| {}).await
    }

    /// With another configuration than the usual one.
    pub(super) async fn configured(
        count: usize,
        when_lost: WhenLost,
        change: impl Fn(&mut Value),
    ) -> Self {
        Self::built(count, when_lost, None, change).await
    }

    async fn built(
        count: usize,
        when_lost: WhenLost,
        patience: Option<Duration>,
        change: impl Fn(&mut Value),
    ) -> Self {
        let redis = Server::start(&[]);
        let sandbox = Sandbox::start().await.expect("a sandbox");
        let truth = Arc::new(All::default());
        let mut several = Self {
            redis,
            sandbox,
            addresses: Vec::new(),
            running: Vec::new(),
            dirs: Vec::new(),
            truth: truth.clone(),
        };
        for index in 0..count {
            let mut config = several.config();
            change(&mut config);
            let config = load(&config).expect("a configuration");
            let dir = tempfile::tempdir().expect("a directory");
            let place = dir.path().join("data");
            let clock: Arc<dyn ledger::Clock> = Arc::new(ledger::SystemClock);
            data::create(&place, None, "chat", false, clock.clone()).expect("a ledger");
            let opened = data::open(&place, &config, clock.clone()).expect("a ledger");
            truth
                .0
                .lock()
                .expect("not poisoned")
                .push(place.join("capsules.db"));
            let mut settings = several.redis.settings();
            if let Some(patience) = patience {
                Arc::make_mut(&mut settings).timeout = patience;
            }
            let setup = Setup {
                config,
                ledger: opened.ledger,
                digest_key: [5; 32],
                access_log: None,
                clock,
                identity: opened.identity,
                content: gateway::content::Seed::default(),
                sharing: Some(Sharing {
                    settings,
                    ledger: "all".to_owned(),
                    instance: format!("replica-{index}"),
                    truth: truth.clone(),
                    when_lost,
                    lease: Duration::from_secs(3),
                }),
            };
            let running = serve::start(setup).await.expect("a gateway");
            several.addresses.push(running.address());
            several.running.push(running);
            several.dirs.push(dir);
        }
        several
    }

    /// What another process has committed: read last, so that its rows are the newest.
    pub(super) fn committed_elsewhere(&self, database: PathBuf) {
        self.truth.0.lock().expect("not poisoned").push(database);
    }

    pub(super) fn config(&self) -> Value {
        json!({
            "model_list": [{ "model_name": "*", "litellm_params": {
                "model": "openai/*", "api_base": self.sandbox.base_url(), "api_key": PROVIDER_KEY,
                "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6,
            } }],
            "general_settings": { "master_key": MASTER },
            "router_settings": { "num_retries": 0 },
            "sealgate": { "limits": { "drain_timeout": 2 } },
        })
    }

    /// Stops all of them, settles everything, and gives the files of the ledgers.
    pub(super) async fn stop(mut self) -> Vec<tempfile::TempDir> {
        for running in self.running.drain(..) {
            running
                .shutdown(Duration::from_secs(10))
                .await
                .expect("everything settled");
        }
        std::mem::take(&mut self.dirs)
    }

    pub(super) async fn open(&self, at: usize, key: &str, path: &str, body: &Value) -> Open {
        let request = http::Request::post(path)
            .header("host", "gateway")
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))
            .expect("a request");
        let at = self.addresses[at % self.addresses.len()];
        support::open(at, request).await.expect("an answer")
    }

    pub(super) async fn post(&self, at: usize, key: &str, path: &str, body: &Value) -> Answer {
        self.open(at, key, path, body).await.rest().await
    }

    pub(super) async fn manage(&self, at: usize, path: &str, body: Value) -> Value {
        let answer = self.post(at, MASTER, path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// A key made at the first gateway, once all know it.
    pub(super) async fn key(&self, fields: Value) -> String {
        let made = self.manage(0, "/key/generate", fields).await;
        let key = made["key"].as_str().expect("a key").to_owned();
        for at in 0..self.addresses.len() {
            let body = json!({ "model": "no such check", "messages": [] });
            self.until("all gateways know the key", async || {
                let answer = self.post(at, &key, "/v1/utils/token_counter", &body).await;
                answer.status != 401
            })
            .await;
        }
        key
    }

    /// A key without limits, as soon as the management API is open again.
    pub(super) async fn key_when_back(&self) -> String {
        self.until("the management API is open", async || {
            let answer = self.post(0, MASTER, "/key/generate", &json!({})).await;
            answer.status == 200
        })
        .await;
        self.key(json!({})).await
    }

    pub(super) async fn chat(&self, at: usize, key: &str, model: &str) -> Answer {
        let body = prompt(model, "hello", json!({ "max_tokens": 50 }));
        self.post(at, key, "/v1/chat/completions", &body).await
    }

    pub(super) async fn until(&self, what: &str, mut done: impl AsyncFnMut() -> bool) -> Duration {
        let began = Instant::now();
        while !done().await {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }

    /// Waits until Redis holds nothing for calls in flight.
    pub(super) async fn settled(&self) {
        let link = self.redis.link();
        link.connected(Duration::from_secs(20))
            .await
            .expect("connected");
        self.until("everything is counted", async || {
            let held = link
                .one(store::redis::Command::new("KEYS").arg("*:r:*"))
                .await;
            held.is_ok_and(|held| held.list().is_empty())
        })
        .await;
    }

    /// What one call of 50 answer tokens reserves, in dollars.
    pub(super) async fn price(&self, model: &str) -> f64 {
        let probe = self.key(json!({ "max_budget": 0.0 })).await;
        let refused = self.chat(0, &probe, model).await;
        let text = refused
            .error("message")
            .as_str()
            .expect("a text")
            .to_owned();
        let needed = text
            .split("Needed by this call: ")
            .nth(1)
            .expect("the need");
        needed
            .split(' ')
            .next()
            .expect("a number")
            .parse()
            .expect("a number")
    }
}
