//! `sealgate serve`: configuration, ledger, listeners, signals.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use gateway::config::{self, Overrides};
use gateway::replicas::Sharing;
use gateway::serve::{self, Running, Setup, data};
use ledger::{Clock, SystemClock};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::watch::{self, Watch};
use crate::exit::Exit;
use crate::logging;

/// Where the ledger is when nothing else says so.
pub(crate) const DEFAULT_DATA_DIR: &str = "sealgate-data";

/// Arguments of `serve`.
#[derive(clap::Args, Clone)]
pub(crate) struct Args {
    /// Configuration file in LiteLLM's format.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address to listen on; default 127.0.0.1 (or HOST).
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
    /// Port to listen on; default 4000 (or PORT).
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Directory of ledger and keys.
    #[arg(long, value_name = "DIR", env = "SEALGATE_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Variables that the environment does not set.
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Create the ledger if there is none.
    #[arg(long)]
    pub(crate) init_if_missing: bool,
    /// TLS certificate chain in PEM; better sealgate.tls.cert_file.
    #[arg(
        long = "ssl_certfile_path",
        alias = "ssl-certfile-path",
        value_name = "FILE"
    )]
    pub(crate) ssl_certfile: Option<PathBuf>,
    /// TLS private key in PEM; better sealgate.tls.key_file.
    #[arg(
        long = "ssl_keyfile_path",
        alias = "ssl-keyfile-path",
        value_name = "FILE"
    )]
    pub(crate) ssl_keyfile: Option<PathBuf>,
    /// Do not write access log lines to standard output.
    #[arg(long)]
    pub(crate) no_access_log: bool,
    /// More diagnostic fields; secrets stay out.
    #[arg(long = "detailed_debug", alias = "detailed-debug")]
    pub(crate) detailed_debug: bool,
    /// Master key. Everybody on this machine can see arguments; prefer LITELLM_MASTER_KEY.
    #[arg(
        long = "master_key",
        alias = "master-key",
        value_name = "KEY",
        hide = true
    )]
    pub(crate) master_key: Option<String>,
    /// Database URL. Everybody on this machine can see arguments; prefer DATABASE_URL.
    #[arg(
        long = "database_url",
        alias = "database-url",
        value_name = "URL",
        hide = true
    )]
    pub(crate) database_url: Option<String>,
}

/// Runs until a signal ends it.
pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    if args.master_key.is_some() || args.database_url.is_some() {
        return hide_arguments(&args);
    }
    let Some(path) = args.config.clone() else {
        return Ok(say_usage(
            "no configuration: sealgate serve --config FILE (sealgate init writes one; sealgate demo needs none)",
        ));
    };
    let overrides = overrides(&args);
    let (loaded, watch) = Watch::load(&path, &overrides);
    let config = match loaded {
        Ok(config) => config,
        Err(rejected) => {
            say(&format!("{rejected}"));
            return Ok(Exit::Refused);
        }
    };
    logging::start(config.log.level);
    for line in config::start_lines(&config) {
        say(&line);
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let dir = config
        .data_dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(DEFAULT_DATA_DIR));
    let there = match data::exists(&dir, config.database.as_ref()) {
        Ok(there) => there,
        Err(error) => {
            say(&error.to_string());
            return Ok(Exit::Refused);
        }
    };
    if !there {
        if !args.init_if_missing {
            say(&format!(
                "no ledger in {}: create it with `sealgate init --data-dir {0}`, or start with --init-if-missing",
                dir.display()
            ));
            return Ok(Exit::Refused);
        }
        let id = data::create(
            &dir,
            config.database.as_ref(),
            &config.domain,
            config.post_quantum,
            clock.clone(),
        )
        .context("creating the ledger")?;
        say(&format!("created ledger {id} in {}", dir.display()));
    }
    let opened = match data::open(&dir, &config, clock.clone()) {
        Ok(opened) => opened,
        Err(error) => {
            say(&format!(
                "{:#}",
                anyhow::Error::new(error)
                    .context(format!("opening the ledger in {}", dir.display()))
            ));
            return Ok(Exit::Refused);
        }
    };
    for boot in &opened.recovery.boots {
        say(&format!(
            "recovered boot {}: {} open calls sealed as unknown",
            boot.boot,
            boot.recovered.len()
        ));
    }
    let sharing = sharing(&config, &opened).context("sharing limits with other processes")?;
    let setup = Setup {
        config,
        ledger: opened.ledger,
        digest_key: opened.digest_key,
        access_log: (!args.no_access_log)
            .then(|| Box::new(std::io::stdout()) as Box<dyn std::io::Write + Send>),
        clock,
        identity: opened.identity,
        sharing,
        content: opened.content,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers())
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(serve_until_signal(
        setup,
        File {
            path,
            overrides,
            watch,
        },
    ))
}

/// How limits are shared, where the configuration says that they are.
fn sharing(config: &config::Config, opened: &data::Opened) -> anyhow::Result<Option<Sharing>> {
    let Some(redis) = config.redis.as_ref().filter(|_| config.shares_limits()) else {
        return Ok(None);
    };
    let database = opened.identity.database.clone();
    let identity = opened.ledger.identity();
    Ok(Some(Sharing {
        settings: redis.settings.clone(),
        ledger: identity.ledger.to_string(),
        // Each start is a process of its own: what an earlier one held is not this one's.
        instance: identity.boot.to_string(),
        truth: Arc::new(database.context("no database")?),
        when_lost: redis.when_lost,
        lease: redis.lease,
    }))
}

/// One core is left to the thread that seals and commits: with as many workers as cores they only take it from each other
/// (measured on two cores: 6 % more CPU for a call, no more calls). `TOKIO_WORKER_THREADS` says otherwise.
fn workers() -> usize {
    let said = std::env::var("TOKIO_WORKER_THREADS")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|count: &usize| *count > 0);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    said.unwrap_or_else(|| cores.saturating_sub(1).max(1))
}

async fn serve_until_signal(setup: Setup, mut file: File) -> anyhow::Result<Exit> {
    let mut signals = Signals::new().context("installing signal handlers")?;
    let grace = setup.config.limits.drain_timeout;
    let watched = setup.config.watch_config;
    let ledger = setup.ledger.clone();
    let mut running = match serve::start(setup).await {
        Ok(running) => running,
        Err(error) => {
            ledger
                .shutdown(grace)
                .await
                .context("closing the ledger after a failed start")?;
            say(&error.to_string());
            return Ok(Exit::Refused);
        }
    };
    drop(ledger);
    let scheme = if running.has_tls() { "https" } else { "http" };
    say(&format!("listening on {scheme}://{}", running.address()));
    if let Some(address) = running.health_address() {
        say(&format!("health and metrics on http://{address}"));
    }
    let mut look = tokio::time::interval(watch::INTERVAL);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hangup.recv() => drop(file.reload(&running).await),
            _ = look.tick(), if watched => if file.watch.changed() {
                say("a file of the configuration has changed");
                drop(file.reload(&running).await);
            },
            request = running.reload_requested() => request.answer(file.reload(&running).await),
        }
    }
    say("draining; a second signal ends at once");
    tokio::select! {
        result = running.shutdown(grace + Duration::from_secs(5)) => match result {
            Ok(()) => { say("all calls settled"); Ok(Exit::Ok) }
            Err(error) => { say(&format!("shutdown: {error}")); Ok(Exit::Failed) }
        },
        _ = signals.terminate.recv() => Ok(Exit::Failed),
        _ = signals.interrupt.recv() => Ok(Exit::Failed),
    }
}

/// Where the configuration comes from.
struct File {
    path: PathBuf,
    overrides: Overrides,
    watch: Watch,
}

impl File {
    /// Loads the file again; on any error the running configuration stays. Gives the settings that need a restart, or what
    /// is wrong.
    async fn reload(&mut self, running: &Running) -> Result<Vec<String>, String> {
        let (loaded, watch) = Watch::load(&self.path, &self.overrides);
        self.watch = watch;
        let result = match loaded {
            Ok(config) => running
                .reload(config)
                .await
                .map_err(|error| error.to_string()),
            Err(rejected) => Err(format!("\n{rejected}")),
        };
        match &result {
            Ok(restart) if restart.is_empty() => say("configuration reloaded"),
            Ok(restart) => say(&format!(
                "configuration reloaded; these take effect at the next start: {}",
                restart.join(", ")
            )),
            Err(problem) => say(&format!(
                "reload refused, the old configuration stays: {problem}"
            )),
        }
        result
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

fn overrides(args: &Args) -> Overrides {
    Overrides {
        host: args.host.clone(),
        port: args.port,
        data_dir: args.data_dir.clone(),
        ssl_certfile: args.ssl_certfile.clone(),
        ssl_keyfile: args.ssl_keyfile.clone(),
        env_file: args.env_file.clone(),
        debug: args.detailed_debug,
        ..Overrides::default()
    }
}

/// Secrets on the command line move into the environment of the same process image, so that `ps` no longer shows them.
fn hide_arguments(args: &Args) -> anyhow::Result<Exit> {
    say(
        "warning: secrets on the command line are visible to every user of this machine; moving them to the environment",
    );
    let mut kept: Vec<OsString> = Vec::new();
    let mut skip = false;
    for argument in std::env::args_os().skip(1) {
        let text = argument.to_string_lossy();
        let secret = [
            "--master_key",
            "--master-key",
            "--database_url",
            "--database-url",
        ]
        .iter()
        .find_map(|name| {
            text.strip_prefix(name)
                .filter(|rest| rest.is_empty() || rest.starts_with('='))
        });
        match secret {
            _ if skip => skip = false,
            Some(rest) => skip = rest.is_empty(),
            None => kept.push(argument),
        }
    }
    let mut command =
        std::process::Command::new(std::env::current_exe().context("finding this program")?);
    command.args(kept);
    for (name, value) in [
        ("LITELLM_MASTER_KEY", &args.master_key),
        ("DATABASE_URL", &args.database_url),
    ] {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    Err(anyhow::Error::new(command.exec())
        .context("starting again without secrets on the command line"))
}

fn say_usage(text: &str) -> Exit {
    say(text);
    Exit::Usage
}

/// One line for the person who started the program. A standard error that nobody reads, or on a full disk, must not end
/// the gateway.
pub(crate) fn say(text: &str) {
    let _unheard = writeln!(std::io::stderr(), "{text}");
}
