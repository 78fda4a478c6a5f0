//! The gateway of the demo: first as a process of its own, that can be killed, then inside this one.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use gateway::config::{self, Config, MapEnv, Overrides};
use gateway::serve::{self, Running, Setup, data};
use ledger::{Clock, SystemClock};

use super::config::{MASTER_KEY, PROVIDER_KEY};
use crate::client;

/// Where calls go, and with which key.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) key: String,
}

/// Everything that a start of the gateway needs.
pub(super) struct Plan {
    pub(super) config: PathBuf,
    pub(super) data_dir: PathBuf,
    pub(super) log: PathBuf,
    pub(super) target: Target,
    pub(super) provider_key: String,
}

impl Plan {
    fn keys(&self) -> [(&'static str, &str); 2] {
        [
            (MASTER_KEY, &self.target.key),
            (PROVIDER_KEY, &self.provider_key),
        ]
    }

    fn load(&self) -> Result<Config> {
        let environment = self
            .keys()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let overrides = Overrides {
            host: Some(self.target.address.ip().to_string()),
            port: Some(self.target.address.port()),
            data_dir: Some(self.data_dir.clone()),
            ..Overrides::default()
        };
        config::load(&self.config, &overrides, &MapEnv(environment.into()))
            .map_err(|rejected| anyhow!("{rejected}"))
    }

    /// Creates the ledger.
    pub(super) fn create(&self) -> Result<()> {
        data::create(&self.data_dir, None, "demo", false, Arc::new(SystemClock))
            .context("creating the ledger")?;
        Ok(())
    }

    /// Starts `sealgate serve` as a process of its own and waits until it answers.
    pub(super) fn spawn(&self) -> Result<Process> {
        let log = File::create(&self.log).context("creating the log of the gateway")?;
        let program = std::env::current_exe().context("finding this program")?;
        let child = Command::new(program)
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args([
                "--host",
                &self.target.address.ip().to_string(),
                "--port",
                &self.target.address.port().to_string(),
            ])
            // Nothing of the caller's environment may change what the demo shows.
            .env_clear()
            .envs(self.keys())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the gateway")?;
        let mut process = Process { child };
        let started = super::until("the gateway answers", || {
            client::get(self.target.address, "/health/readiness", &self.target.key)
                .is_ok_and(|answer| answer.status == 200)
        });
        if started.is_err() && process.child.try_wait()?.is_some() {
            bail!(
                "the gateway did not start: {}",
                std::fs::read_to_string(&self.log).unwrap_or_default()
            );
        }
        started.map(|()| process)
    }

    /// Opens the ledger in this process, recovers what a kill left, and serves. Also gives the number of recovered calls.
    pub(super) async fn start(&self) -> Result<(Running, usize)> {
        let config = self.load()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let opened = data::open(&self.data_dir, &config, clock.clone())
            .context("opening the ledger again")?;
        let recovered = opened
            .recovery
            .boots
            .iter()
            .map(|boot| boot.recovered.len())
            .sum();
        let setup = Setup {
            config,
            ledger: opened.ledger,
            digest_key: opened.digest_key,
            access_log: None,
            clock,
            identity: opened.identity,
            sharing: None,
            content: opened.content,
        };
        Ok((serve::start(setup).await?, recovered))
    }
}

/// Ends a gateway of this process in order.
pub(super) async fn stop(running: Running) -> Result<()> {
    running
        .shutdown(Duration::from_secs(10))
        .await
        .context("closing the ledger")
}

/// A gateway process; killed when dropped, so that the demo leaves nothing running.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// SIGKILL: no handler runs, nothing is flushed.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill().context("killing the gateway")?;
        self.child
            .wait()
            .context("waiting for the killed gateway")?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Best effort on the way out of an error; the next line reaps it either way.
            let _killed = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

/// A loopback port that was free a moment ago. Both gateways use it, so that the printed address stays true.
pub(super) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("finding a free port")?;
    Ok(listener.local_addr()?)
}
