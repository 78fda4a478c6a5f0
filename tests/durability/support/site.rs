//! A data directory with its configuration.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::binaries;
use super::server::Server;
use super::stub::Stub;

/// A key that the start accepts.
pub(crate) const MASTER: &str = "sk-5f0c2f9e1b7d4a6c8e3a9d0b5c7f1e2d4a6b8c0e";

/// Everything that a gateway starts from, in a folder that goes when this is dropped.
pub(crate) struct Site {
    _folder: TempDir,
    pub(crate) data: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) port: u16,
    /// The PostgreSQL database, when the records are in one.
    url: Option<String>,
}

impl Site {
    /// As [`Site::new`], with the records in a PostgreSQL database.
    pub(crate) fn on(stub: &Stub, settings: Value, url: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("durability-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        let data = folder.path().join("data");
        Self::made(folder, data, stub, settings, Some(url.to_owned()))
    }

    /// A new ledger with one model for each client, `g0` to `g7`. `settings` go into the section `sealgate`.
    pub(crate) fn new(stub: &Stub, settings: Value) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("durability-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .unwrap();
        let data = folder.path().join("data");
        Self::at(folder, data, stub, settings)
    }

    /// As [`Site::new`], with the data directory elsewhere.
    pub(crate) fn at(folder: TempDir, data: PathBuf, stub: &Stub, settings: Value) -> Self {
        Self::made(folder, data, stub, settings, None)
    }

    fn made(
        folder: TempDir,
        data: PathBuf,
        stub: &Stub,
        settings: Value,
        url: Option<String>,
    ) -> Self {
        let config = folder.path().join("config.yaml");
        let port = free_port();
        let site = Self {
            _folder: folder,
            data,
            config,
            port,
            url,
        };
        site.configure(stub, settings);
        let done = Command::new(binaries::sealgate())
            .args(["init", "--no-config", "--data-dir"])
            .arg(&site.data)
            .env_clear()
            .envs(site.url.as_ref().map(|url| ("DATABASE_URL", url)))
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "init: {text}");
        site
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, stub: &Stub, mut settings: Value) {
        let models: Vec<Value> = (0..8)
            .map(|n| {
                json!({ "model_name": format!("g{n}"), "litellm_params": {
                    "model": "openai/m", "api_key": "os.environ/UPSTREAM_KEY",
                    "api_base": format!("http://127.0.0.1:{}/v1", stub.port),
                    "input_cost_per_token": 0.000_002, "output_cost_per_token": 0.000_004,
                }})
            })
            .collect();
        let own = settings.as_object_mut().unwrap();
        own.insert("data_dir".into(), json!(self.data));
        // The text of a request names its marker, so the record tells which request it stands for.
        own.insert("content_mode".into(), json!("full"));
        let config = json!({
            "model_list": models,
            "general_settings": { "master_key": "os.environ/LITELLM_MASTER_KEY" },
            // One attempt for each call: what these tests count are requests.
            "router_settings": { "num_retries": 0 },
            "sealgate": settings,
        });
        std::fs::write(&self.config, config.to_string()).unwrap();
    }

    /// The command that serves it. The access log goes nowhere, what it says to the test.
    pub(crate) fn serve(&self, program: &Path) -> Command {
        self.serve_on(program, self.port)
    }

    /// The same on another port.
    pub(crate) fn serve_on(&self, program: &Path, port: u16) -> Command {
        let mut command = Command::new(program);
        command
            .args(["serve", "--port", &port.to_string()])
            .arg("--config")
            .arg(&self.config)
            .env_clear()
            .env("LITELLM_MASTER_KEY", MASTER)
            .env("UPSTREAM_KEY", "sk-upstream")
            .envs(self.url.as_ref().map(|url| ("DATABASE_URL", url)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a gateway and waits until it listens.
    pub(crate) fn start(&self) -> Server {
        let mut server = self.spawn();
        server.wait_until_listening();
        server
    }

    /// Starts a gateway without waiting.
    pub(crate) fn spawn(&self) -> Server {
        Server::spawn(self.serve(binaries::sealgate()))
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data.join("capsules.db")
    }
}

/// A free port below the range from which the kernel gives clients theirs, so that it is still free after a restart.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) + std::process::id() * 37;
        let port = 10_000 + u16::try_from(next % 20_000).unwrap();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
