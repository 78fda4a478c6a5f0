//! The gateway under test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use capsule::SigningKey;
use gateway::config::{self, Config, MapEnv, MapFiles, Overrides};
use gateway::sandbox::Sandbox;
use gateway::serve::{self, Running, Setup};
use http_body_util::Full;
use ledger::memory::Memory;
use ledger::{Ledger, MemoryAnchor, Options, Signers};
use serde_json::{Value, json};

use super::client::{self, Answer, Open, PATIENCE, Raw, soon};
use super::clock::{Fragile, TestClock};
use super::evidence::{self, Record};
use super::invariants;
use super::logs::{Sink, event_log};
use super::{MASTER, PROVIDER_KEY, Stub, prompt};

const CHAT: &str = "/v1/chat/completions";
/// Texts that only mode `full` may keep.
const CONTENT: [&str; 6] = [
    "hello sealed world",
    "metadata-canary",
    "customer-7",
    "keep this",
    "zzz-masked",
    "hdr-canary",
];

/// A running gateway with its provider and its ledger. See the module above for what its end checks.
pub(crate) struct TestApp {
    pub(crate) address: SocketAddr,
    pub(crate) sandbox: Sandbox,
    running: Mutex<Option<Running>>,
    config: Mutex<Value>,
    store: Memory,
    clock: Arc<TestClock>,
    anchor: MemoryAnchor,
    keys: [SigningKey; 2],
    /// Everything that clients were sent.
    sent: Sink,
    access: Sink,
    stubs: Mutex<Vec<Arc<dyn Fn() -> usize + Send + Sync>>>,
    elsewhere: AtomicBool,
    content: AtomicBool,
    stopped: AtomicBool,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts with a changed configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Value)) -> Self {
        match Self::try_with(change).await {
            Ok(app) => app,
            Err(message) => panic!("the gateway does not start: {message}"),
        }
    }

    /// As `with`; the error is what the operator would read.
    pub(crate) async fn try_with(change: impl FnOnce(&mut Value)) -> Result<Self, String> {
        let log = event_log();
        let sandbox = Sandbox::start().await.expect("a sandbox");
        let mut text = base(&sandbox);
        change(&mut text);
        let config = load(&text).inspect_err(|message| log.add(message.as_bytes()))?;
        let (store, anchor) = (Memory::new(), MemoryAnchor::default());
        let keys = [
            SigningKey::from_seed([7; 32]),
            SigningKey::from_seed([9; 32]),
        ];
        let signers = Signers {
            records: Arc::new(SigningKey::from_seed([7; 32])),
            checkpoints: Arc::new(SigningKey::from_seed([9; 32])),
        };
        let options = || Options {
            settle_slots: config.limits.settle_slots as usize,
            checkpoint_interval: Duration::from_millis(20),
            ..Options::default()
        };
        ledger::create(
            Box::new(store.clone()),
            &signers,
            &mut anchor.clone(),
            &options(),
        )
        .expect("a new ledger");
        let (ledger, _) = Ledger::start(
            Box::new(store.clone()),
            &signers,
            Box::new(anchor.clone()),
            options(),
        )
        .expect("a ledger");
        let (access, clock) = (Sink::default(), TestClock::new());
        let setup = Setup {
            config,
            ledger,
            digest_key: [5; 32],
            access_log: Some(Box::new(Fragile {
                clock: clock.clone(),
                inner: access.clone(),
            })),
            clock: clock.clone(),
        };
        let running = serve::start(setup)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Self {
            address: running.address(),
            sandbox,
            running: Mutex::new(Some(running)),
            config: Mutex::new(text),
            store,
            clock,
            anchor,
            keys,
            sent: Sink::default(),
            access,
            stubs: Mutex::default(),
            elsewhere: AtomicBool::new(false),
            content: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        })
    }

    /// A chat call with the master key.
    pub(crate) async fn chat(&self, model: &str, more: Value) -> Answer {
        self.post(CHAT, &prompt(model, "hello sealed world", more).to_string())
            .await
    }

    /// A chat call that says `text`.
    pub(crate) async fn say(&self, model: &str, text: &str) -> Answer {
        self.post(CHAT, &prompt(model, text, json!({})).to_string())
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, body, &[]).await
    }

    pub(crate) async fn post_bytes(&self, path: &str, body: Vec<u8>) -> Answer {
        let bearer = format!("Bearer {MASTER}");
        self.request(
            "POST",
            path,
            body.into(),
            &[
                ("authorization", &bearer),
                ("content-type", "application/json"),
            ],
        )
        .await
    }

    /// A request with the master key and more headers.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let bearer = format!("Bearer {MASTER}");
        let own = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        self.request(
            method,
            path,
            Bytes::copy_from_slice(body.as_bytes()),
            &[&own[..], headers].concat(),
        )
        .await
    }

    /// A request with exactly these headers.
    pub(crate) async fn keyless(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.request(method, path, Bytes::new(), headers).await
    }

    /// Address of the health listener, if there is one.
    pub(crate) fn health_address(&self) -> Option<SocketAddr> {
        self.running
            .lock()
            .expect("not poisoned")
            .as_ref()
            .and_then(Running::health_address)
    }

    /// A request without headers to another listener.
    pub(crate) async fn at(&self, address: SocketAddr, method: &str, path: &str) -> Answer {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", address.to_string());
        let request = request.body(Full::new(Bytes::new())).expect("a request");
        let answer = client::open(address, request)
            .await
            .expect("an answer")
            .rest()
            .await;
        self.sent.add(&answer.body);
        answer
    }

    pub(crate) async fn anonymous(&self, method: &str, path: &str) -> Answer {
        self.keyless(method, path, &[]).await
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Answer {
        let open = self.open_request(method, path, body, headers).await;
        let answer = open.rest().await;
        self.sent.add(format!("{:?}", answer.headers).as_bytes());
        self.sent.add(&answer.body);
        answer
    }

    async fn open_request(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Open {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("a request");
        client::open(self.address, request)
            .await
            .unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}"))
    }

    /// A chat call whose answer is read by the test.
    pub(crate) async fn open(&self, model: &str, more: Value) -> Open {
        let body = prompt(model, "hello sealed world", more).to_string();
        let bearer = format!("Bearer {MASTER}");
        self.open_request(
            "POST",
            CHAT,
            body.into(),
            &[
                ("authorization", &bearer),
                ("content-type", "application/json"),
            ],
        )
        .await
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::connect(self.address, self.sent.clone()).await
    }

    /// The bytes of a whole chat request.
    pub(crate) fn raw_chat(&self, model: &str, more: Value) -> String {
        let body = prompt(model, "hello sealed world", more).to_string();
        let length = body.len();
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {MASTER}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    }

    /// Fails unless the process answers its liveness probe at once.
    pub(crate) async fn alive(&self) {
        let began = Instant::now();
        assert_eq!(
            self.anonymous("GET", "/health/liveliness").await.status,
            200
        );
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    }

    /// The provider of these calls is not the sandbox, or there is none: requests are not counted against records.
    pub(crate) fn providers_elsewhere(&self) {
        self.elsewhere.store(true, Ordering::Relaxed);
    }

    /// Calls go to `stub` too.
    pub(crate) fn provided_by(&self, stub: &Stub) {
        self.stubs
            .lock()
            .expect("not poisoned")
            .push(stub.counter());
    }

    /// Mode `full`: records hold content.
    pub(crate) fn keeps_content(&self, keeps: bool) {
        self.content.store(keeps, Ordering::Relaxed);
    }

    /// The store, for faults.
    pub(crate) fn store(&self) -> &Memory {
        &self.store
    }

    /// The gateway's clock, for panics.
    pub(crate) fn clock(&self) -> &TestClock {
        &self.clock
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

    /// Sealed refusals by code, as they are now.
    pub(crate) fn refusals_by_code(&self) -> BTreeMap<String, u64> {
        evidence::refusals(&self.all_records())
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

    fn metrics(&self) -> String {
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

    /// Loads a changed configuration into the running gateway.
    #[expect(
        clippy::await_holding_lock,
        reason = "one test, one task: nobody else waits for the lock"
    )]
    pub(crate) async fn reload(&self, change: impl FnOnce(&mut Value)) -> Result<(), String> {
        let mut text = self.config.lock().expect("not poisoned").clone();
        change(&mut text);
        let config = load(&text)?;
        let running = self.running.lock().expect("not poisoned");
        let running = running.as_ref().expect("a running gateway");
        running
            .reload(config)
            .await
            .map_err(|error| error.to_string())?;
        *self.config.lock().expect("not poisoned") = text;
        Ok(())
    }

    /// Begins the shutdown; the future ends when it has ended.
    pub(crate) fn begin_shutdown(&self) -> impl Future<Output = ()> + use<> {
        let metrics = self.metrics();
        self.sent.add(metrics.as_bytes());
        let running = self.running.lock().expect("not poisoned").take();
        let task = running.map(|running| tokio::spawn(running.shutdown(Duration::from_secs(5))));
        self.stopped.store(true, Ordering::Relaxed);
        async move {
            if let Some(task) = task {
                let ended = soon("the end of the shutdown", task)
                    .await
                    .expect("no panic");
                ended.expect("an orderly end");
            }
        }
    }

    /// Stops the gateway and keeps the evidence.
    pub(crate) async fn stopped(self) -> Self {
        self.begin_shutdown().await;
        self
    }

    fn verify(&self) {
        let contents = self.store.contents();
        let records = evidence::records(&contents);
        let [key, checkpoint_key] = self.keys.each_ref().map(|key| key.public_key());
        let anchored = self.anchor.get().expect("an anchored checkpoint");
        invariants::chain_and_tree(&contents, &anchored, &key, &checkpoint_key);
        invariants::intents_closed(&contents);
        invariants::spend_is_the_sum_of_the_records(&contents);
        invariants::coverage_chains(&records);
        if !self.elsewhere.load(Ordering::Relaxed) {
            let inference = |target: &str| {
                target.starts_with("/v1/chat/completions") || target.starts_with("/v1/embeddings")
            };
            let own = self
                .sandbox
                .requests()
                .iter()
                .filter(|request| inference(&request.target))
                .count();
            let stubs: usize = self
                .stubs
                .lock()
                .expect("not poisoned")
                .iter()
                .map(|count| count())
                .sum();
            invariants::providers_agree(&records, own + stubs);
        }
        let secrets = [MASTER, PROVIDER_KEY, &PROVIDER_KEY[4..24], &MASTER[8..30]];
        let mut kept = Vec::new();
        for row in contents.rows.values() {
            kept.extend_from_slice(&row.data);
        }
        for bytes in contents.attachments.values() {
            kept.extend_from_slice(bytes);
        }
        for (what, bytes) in [
            ("an answer or a metric", self.sent.bytes()),
            ("the access log", self.access.bytes()),
            ("the event log", event_log().bytes()),
        ] {
            invariants::without(what, &bytes, &secrets);
        }
        invariants::without("the ledger", &kept, &secrets);
        for (what, bytes) in [
            ("the access log", self.access.bytes()),
            ("the event log", event_log().bytes()),
        ] {
            invariants::without(what, &bytes, &CONTENT);
        }
        if !self.content.load(Ordering::Relaxed) {
            invariants::without("the ledger", &kept, &CONTENT);
        }
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                if !self.stopped.load(Ordering::Relaxed) {
                    self.alive().await;
                    self.at_rest().await;
                    self.begin_shutdown().await;
                }
            });
        });
        self.verify();
    }
}

/// What every test starts from: any model name goes to the sandbox's model of that name.
fn base(sandbox: &Sandbox) -> Value {
    json!({
        "model_list": [{ "model_name": "*", "litellm_params": {
            "model": "openai/*", "api_base": sandbox.base_url(), "api_key": PROVIDER_KEY,
            "input_cost_per_token": invariants::PRICE_IN as f64 / 1e6, "output_cost_per_token": invariants::PRICE_OUT as f64 / 1e6,
        } }],
        "general_settings": { "master_key": MASTER },
        "sealgate": { "limits": { "drain_timeout": 2 } },
    })
}

/// Loads a configuration as the binary does; JSON is YAML.
pub(crate) fn load(text: &Value) -> Result<Config, String> {
    let path = Path::new("/config.yaml");
    let files = MapFiles([(PathBuf::from(path), text.to_string())].into());
    let overrides = Overrides {
        host: Some("127.0.0.1".to_owned()),
        ..Overrides::default()
    };
    let mut config = config::load_with(path, &overrides, &MapEnv(BTreeMap::new()), &files)
        .map_err(|rejected| rejected.to_string())?;
    // Port 0 means any free one here; no configuration can ask for that.
    config.listen.set_port(0);
    Ok(config)
}
