//! The gateway under test: start, reload, end, and what must hold then.

mod calls;
mod looks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use capsule::SigningKey;
use gateway::config::{self, Config, MapEnv, MapFiles, Overrides};
use gateway::sandbox::Sandbox;
use gateway::serve::{self, Running, Setup};
use ledger::memory::Memory;
use ledger::{Ledger, MemoryAnchor, Options, Signers};
use serde_json::{Value, json};

use super::client::soon;
use super::clock::{Fragile, TestClock};
use super::evidence;
use super::invariants;
use super::logs::{Sink, event_log};
use super::{MASTER, PROVIDER_KEY, Stub};

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
            identity: gateway::identity::Seed::default(),
            sharing: None,
            content: gateway::content::Seed::default(),
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

    /// Does `request` while the process that would read the file answers one reload with `told`, or lets it drop.
    pub(crate) async fn while_reloading<T>(
        &self,
        told: Option<Result<Vec<String>, String>>,
        request: impl Future<Output = T>,
    ) -> T {
        let running = self.running.lock().expect("not poisoned").take();
        let mut running = running.expect("a running gateway");
        let clerk = async {
            let asked = running.reload_requested().await;
            if let Some(told) = told {
                asked.answer(told);
            }
        };
        let ((), done) = tokio::join!(clerk, request);
        *self.running.lock().expect("not poisoned") = Some(running);
        done
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
            // Everything but the place that redirects lead to, and the one that gives tokens, is a call.
            let inference =
                |target: &str| !target.starts_with("/sink") && !target.contains("/oauth2/");
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
        "router_settings": { "num_retries": 0 },
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
