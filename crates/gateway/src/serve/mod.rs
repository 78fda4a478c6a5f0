//! Starting and stopping a gateway: listeners, threads, and the order in which they end.

pub mod data;
pub(crate) mod desk;
mod reload;
mod system;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledger::{Clock, Ledger, LedgerError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::app::{App, LedgerInfo, Parts, Snapshot};
use crate::config::{Config, ContentMode};
use crate::content::Contents;
use crate::digest::DigestKey;
use crate::dispatch;
use crate::guardrails::{BuildError, Checks};
use crate::identity::{Identity, Seed};
use crate::observe::access::AccessLog;
use crate::observe::metrics::Metrics;
use crate::proxy::settle::Settler;
use crate::replicas::{Replicas, Sharing};
use crate::server::accept::{self, ServerLimits};
use crate::server::addresses::Door;
use crate::server::tls::Tls;
use crate::upstream::client::Upstream;
use crate::upstream::prepared::{self, PrepareError};

pub use crate::server::tls::TlsError;
pub use desk::ReloadRequest;
pub use reload::ReloadError;

/// Time for the error events of streams that are cut at the end of the drain time.
const AFTER_CUT: Duration = Duration::from_secs(2);

/// How long a start waits until limits can be shared, and an end until everything is counted.
const SETTLING_IN: Duration = Duration::from_secs(10);
const LEAVING: Duration = Duration::from_secs(5);

/// What a gateway is made of. The ledger is running: recovery is done before a port is bound.
pub struct Setup {
    /// A validated configuration.
    pub config: Config,
    /// The ledger that records the calls.
    pub ledger: Ledger,
    /// 32 random bytes that belong to the ledger.
    pub digest_key: [u8; 32],
    /// Where access log lines go; `None` for nowhere.
    pub access_log: Option<Box<dyn Write + Send>>,
    /// Stamps calls.
    pub clock: Arc<dyn Clock>,
    /// Keys, teams, users and spend as the store had them.
    pub identity: Seed,
    /// The other processes that limits are shared with, if any.
    pub sharing: Option<Sharing>,
    /// Keys of content.
    pub content: crate::content::Seed,
}

/// A valid configuration that cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A check.
    #[error(transparent)]
    Check(#[from] BuildError),
    /// A rule.
    #[error("a rule: {0}")]
    Rule(#[from] policy::rules::RuleError),
    /// A deployment.
    #[error(transparent)]
    Deployment(#[from] PrepareError),
}

/// The gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// What the configuration says cannot be built.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
    /// What was spent could not be read from the store.
    #[error("keys and spend could not be read: {0}")]
    Identity(store::reader::ReadError),
    /// The start could not be recorded.
    #[error("the start could not be recorded in the ledger: {0}")]
    Record(String),
}

/// A running gateway. Dropping it does not stop it; [`Running::shutdown`] does.
pub struct Running {
    app: Arc<App>,
    address: SocketAddr,
    health_address: Option<SocketAddr>,
    tls: Option<Arc<Tls>>,
    reload_requests: mpsc::Receiver<ReloadRequest>,
    stop: watch::Sender<bool>,
    servers: Vec<tokio::task::JoinHandle<()>>,
    settler: JoinHandle<()>,
    ticker: JoinHandle<()>,
    access: Option<JoinHandle<()>>,
    ticking: std::sync::mpsc::Sender<()>,
}

/// Starts listeners and threads.
///
/// # Errors
/// [`StartError`]; nothing is left running then, and the ledger is the caller's to shut down.
pub async fn start(setup: Setup) -> Result<Running, StartError> {
    let Setup {
        config,
        ledger,
        digest_key,
        access_log,
        clock,
        identity,
        sharing,
        content,
    } = setup;
    let digests = Arc::new(DigestKey::new(&digest_key));
    let replicas = sharing.and_then(|sharing| {
        let rules = config.budgets.rules.clone();
        Replicas::start(sharing, &digest_key, rules, clock.clone())
    });
    let identity = Identity::new(
        identity,
        &digest_key,
        &digests,
        &config,
        clock.now().micros(),
        replicas.clone(),
    )
    .map_err(StartError::Identity)?;
    let contents = Contents::start(content, clock.now().micros()).map_err(StartError::Thread)?;
    if config.content_mode == ContentMode::Masked {
        let contents = contents.clone();
        // Beside the start, so that no call waits for it.
        tokio::task::spawn_blocking(move || {
            LazyLock::force(&contents.masker);
        });
    }
    let ledger_info = ledger_info(&ledger, &digests, &config);
    tokio::spawn(ledger.courier().run());
    let listener = bind(config.listen).await?;
    let health = match config.health_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    let limits = server_limits(&config);
    let door = Door::new(
        config.limits.connections_per_address,
        config.budgets.proxies.clone(),
    );
    let tls = config
        .tls
        .as_ref()
        .map(Tls::load)
        .transpose()?
        .map(Arc::new);
    let drain = config.limits.drain_timeout + AFTER_CUT;
    let upstream = Upstream::new(config.egress.clone(), config.limits.connect_timeout);
    let snapshot = snapshot(config, None)?;
    let (access, access_thread) = match access_log {
        Some(sink) => AccessLog::start(sink)
            .map(|(log, thread)| (log, Some(thread)))
            .map_err(StartError::Thread)?,
        None => (AccessLog::off(), None),
    };
    let (reloads, reload_requests) = desk::desk();
    let (settler, settler_thread) = Settler::start().map_err(StartError::Thread)?;
    let app = Arc::new(App::new(Parts {
        snapshot,
        ledger,
        ledger_info,
        digests,
        contents,
        upstream,
        metrics: Arc::new(Metrics::new()),
        access: Arc::new(access),
        settler,
        clock,
        reloads,
        identity,
    }));
    system::seal_configuration(&app, &app.snapshot(), "start")
        .await
        .map_err(StartError::Record)?;
    if let Some(replicas) = &replicas {
        Replicas::watch(&app);
        if !replicas.settled_in(SETTLING_IN).await {
            tracing::error!("Redis is away: calls answer 503 limits_unavailable until it is there");
        }
    }
    let (ticking, ticker) = ticker(&app).map_err(StartError::Thread)?;
    let (stop, stopped) = watch::channel(false);
    let bound = |listener: &TcpListener| {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        listener.local_addr().unwrap_or(unknown)
    };
    let (address, health_address) = (bound(&listener), health.as_ref().map(bound));
    let calls = {
        let app = app.clone();
        Arc::new(move |request| dispatch::handle(app.clone(), request))
    };
    let mut servers = vec![tokio::spawn(accept::serve(
        listener,
        limits,
        stopped.clone(),
        drain,
        tls.clone(),
        door,
        calls,
    ))];
    if let Some(listener) = health {
        let app = app.clone();
        let probes = Arc::new(move |request: http::Request<hyper::body::Incoming>| {
            let app = app.clone();
            async move { dispatch::handle_health(&app, &request.into_parts().0) }
        });
        servers.push(tokio::spawn(accept::serve(
            listener,
            limits,
            stopped,
            drain,
            None,
            Door::default().into(),
            probes,
        )));
    }
    Ok(Running {
        app,
        address,
        health_address,
        tls,
        reload_requests,
        stop,
        servers,
        settler: settler_thread,
        ticker,
        access: access_thread,
        ticking,
    })
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Bind { address, source })
}

fn server_limits(config: &Config) -> ServerLimits {
    ServerLimits {
        max_head_bytes: config.limits.max_header_bytes,
        head_timeout: config.limits.header_timeout,
        max_connections: config.limits.max_connections as usize,
    }
}

fn ledger_info(ledger: &Ledger, digests: &DigestKey, config: &Config) -> LedgerInfo {
    let identity = ledger.identity();
    LedgerInfo {
        id: Arc::from(identity.ledger.to_string()),
        boot: Arc::from(identity.boot.to_string()),
        digest_key: Arc::from(digests.id()),
        host: Arc::from(config.listen.ip().to_string()),
    }
}

/// Builds what a configuration implies.
pub(crate) fn snapshot(
    mut config: Config,
    previous: Option<&Snapshot>,
) -> Result<Snapshot, SnapshotError> {
    if let Some(previous) = previous {
        config
            .models
            .inherit(&previous.config.models, |deployment| &deployment.id);
    }
    let checks = Checks::build(&config)?;
    let rules = crate::rules::build(&config)?;
    let digest_hex = config
        .digest
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let scan = llm::scan::Limits {
        max_bytes: config
            .limits
            .max_request_bytes
            .max(config.limits.max_response_bytes),
        max_depth: u32::try_from(config.limits.max_json_depth).unwrap_or(128),
        ..llm::scan::Limits::default()
    };
    Ok(Snapshot {
        checks,
        rules,
        digest_hex: Arc::from(digest_hex),
        scan,
        epoch: previous.map_or_else(Instant::now, |previous| previous.epoch),
        prepared: prepared::prepare_all(&config)?,
        config,
    })
}

/// A thread that once a second seals the counts of refusals and looks whether content has ended.
fn ticker(app: &Arc<App>) -> std::io::Result<(std::sync::mpsc::Sender<()>, JoinHandle<()>)> {
    let (ticking, ended) = std::sync::mpsc::channel::<()>();
    let (app, runtime) = (app.clone(), tokio::runtime::Handle::current());
    let thread = std::thread::Builder::new()
        .name("ticker".into())
        .spawn(move || {
            let mut go_on = true;
            while go_on {
                go_on = ended.recv_timeout(Duration::from_secs(1))
                    == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
                app.refusals.flush(&app);
                app.reads.flush(&app, !go_on);
                if go_on {
                    retention(&app, &runtime);
                }
            }
        })?;
    Ok((ticking, thread))
}

/// Ends content that is old enough, when that is due.
fn retention(app: &App, runtime: &tokio::runtime::Handle) {
    let settings = app.snapshot().config.content.retention;
    let due = settings.is_some_and(|run| app.contents.clockwork.is_due(run.interval));
    if due && let Err(error) = runtime.block_on(crate::content::retain(app, "gateway", false)) {
        tracing::error!(%error, "a run of retention failed; the next one tries again");
    }
}

impl Running {
    /// What runs.
    #[cfg(feature = "figures")]
    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Address of the main listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address of the health listener.
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health_address
    }

    /// The text of `/metrics`.
    pub fn metrics(&self) -> String {
        self.app.render_metrics()
    }

    /// Seals the change to a validated configuration and puts it in place; calls keep what they began with.
    ///
    /// # Errors
    /// [`ReloadError`]; the old configuration stays.
    pub async fn reload(&self, config: Config) -> Result<Vec<String>, ReloadError> {
        reload::reload(&self.app, self.tls.as_deref(), config).await
    }

    /// The next request for a reload; waits while there is none.
    pub async fn reload_requested(&mut self) -> ReloadRequest {
        match self.reload_requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }

    /// Whether the main listener speaks TLS.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Stops accepting, lets calls finish within the drain time, settles everything, closes the ledger.
    ///
    /// # Errors
    /// When the ledger could not settle everything or seal its shutdown record; the next start recovers then.
    pub async fn shutdown(self, grace: Duration) -> Result<(), LedgerError> {
        let Self {
            app,
            stop,
            servers,
            settler,
            ticker,
            access,
            ticking,
            ..
        } = self;
        app.drain();
        let cutter = {
            let (app, time) = (app.clone(), app.snapshot().config.limits.drain_timeout);
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                app.cut();
            })
        };
        // Nobody listening means the servers have ended already.
        let _ended = stop.send(true);
        for server in servers {
            if let Err(error) = server.await {
                tracing::error!(%error, "a listener ended badly");
            }
        }
        cutter.abort();
        // The cutter holds the app; nothing may be left of it when the log is closed.
        let _aborted = cutter.await;
        app.settler.close();
        drop(ticking);
        let ledger = app.ledger.clone();
        let replicas = app.identity.replicas.clone();
        drop(app);
        let joined = tokio::task::spawn_blocking(move || {
            for (name, thread) in [("settler", settler), ("ticker", ticker)] {
                if thread.join().is_err() {
                    tracing::error!(name, "a thread ended badly");
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("threads could not be joined");
        }
        if let Some(replicas) = replicas {
            // Before the ledger ends: what is counted follows the records.
            replicas.close(LEAVING.min(grace)).await;
        }
        let result = ledger.shutdown(grace).await;
        // The last owner of the log has gone with the app; its writer ends when the queue is empty.
        if let Some(access) = access
            && tokio::task::spawn_blocking(move || access.join())
                .await
                .is_err()
        {
            tracing::error!("the access log could not be joined");
        }
        result
    }
}
