//! A server process of the bench: started, awaited, stopped; never left behind.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::http_get;

/// A running child; dropping it ends it.
pub(crate) struct Service {
    name: String,
    child: Child,
    log: PathBuf,
    started: Instant,
}

impl Service {
    /// Starts `command` with its output in `log`. Standard input is a pipe that closes when the bench ends.
    pub(crate) fn spawn(name: &str, command: Command, log: &Path) -> Result<Self> {
        let mut command = bound_to_parent(command);
        let output =
            File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let started = Instant::now();
        let child = command
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            started,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Time from the start of the process to the first 2xx of `GET path`, asked every millisecond.
    pub(crate) fn wait_until_up(
        &mut self,
        address: SocketAddr,
        path: &str,
        limit: Duration,
    ) -> Result<Duration> {
        loop {
            if http_get::get(address, path).is_ok() {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}; {}", self.name, self.last_lines());
            }
            if self.started.elapsed() > limit {
                bail!(
                    "{} is not up after {limit:?}; {}",
                    self.name,
                    self.last_lines()
                );
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sends SIGTERM and leaves at once.
    pub(crate) fn signal_terminate(&self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{} has no process id", self.name))?;
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits for the end; after `limit` the process is killed and that is an error.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let since = Instant::now();
        while since.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!(
            "{} did not end within {limit:?} of SIGTERM and was killed",
            self.name
        )
    }

    /// SIGTERM, then the exit status.
    pub(crate) fn stop(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal_terminate()?;
        self.wait(limit)
    }

    /// The end of the log, for an error message.
    pub(crate) fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(15)..)
            .unwrap_or_default();
        format!("{} ends with:\n{}", self.log.display(), tail.join("\n"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if self.stop(Duration::from_secs(10)).is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Where setpriv exists (util-linux), the kernel ends the child when the bench dies, however it dies.
fn bound_to_parent(command: Command) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !setpriv.exists() {
        return command;
    }
    let mut wrapped = Command::new(setpriv);
    wrapped.args(["--pdeathsig", "TERM", "--"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free loopback port")?;
    Ok(listener.local_addr()?)
}
