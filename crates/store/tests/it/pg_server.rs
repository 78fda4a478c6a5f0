//! A PostgreSQL server of the test's own, and databases in it.
//!
//! A shell holds the cluster: when this process ends, however it ends, the shell's standard input ends,
//! and it stops the server and removes the directory. Without PostgreSQL's programs (Debian: `postgresql`) there is no server,
//! which is a failure when `SEALGATE_REQUIRE_POSTGRES` is set.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Server {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    user: String,
    as_root: bool,
    /// Its end stops the server.
    _held: Child,
}

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// Where PostgreSQL's programs are; the newest version.
pub(crate) fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|path| path.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

impl Server {
    /// Starts a cluster with settings of its own.
    pub(crate) fn start(settings: &[&str]) -> Option<Server> {
        let Some(programs) = programs() else {
            let required = std::env::var_os("SEALGATE_REQUIRE_POSTGRES").is_some();
            assert!(!required, "PostgreSQL is required and not installed");
            eprintln!("not run: PostgreSQL is not installed");
            return None;
        };
        // In memory where there is such a place: these tests are about what is committed, not about the disk.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = tempfile::Builder::new()
            .prefix("sg-pg-")
            .tempdir_in(place)
            .unwrap()
            .keep();
        let as_root = rustix::process::geteuid().is_root();
        let user = if as_root { "postgres" } else { "tester" }.to_owned();
        if as_root {
            let chown = Command::new("chown").arg("postgres").arg(&folder).status();
            assert!(chown.unwrap().success());
        }
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let data = folder.join("data");
        let extra: String = settings
            .iter()
            .map(|setting| format!(" -c {setting}"))
            .collect();
        let script = format!(
            "set -e; cd /; '{bin}/initdb' -D '{data}' -A trust -U {user} -N -E UTF8 --locale=C >/dev/null 2>&1; \
             '{bin}/pg_ctl' -D '{data}' -w -t 90 -l '{folder}/log' -o '-k {folder} -c listen_addresses=127.0.0.1 -p {port} \
             -c shared_buffers=32MB -c max_connections=60{extra}' start >/dev/null 2>&1; echo ready; \
             cat >/dev/null; '{bin}/pg_ctl' -D '{data}' -m immediate -w stop >/dev/null 2>&1 || true; rm -rf '{folder}'",
            bin = programs.display(),
            data = data.display(),
            folder = folder.display(),
        );
        let mut command = run_as(as_root, Path::new("sh"));
        command.args(["-c", &script]);
        // An interrupt of the test's terminal must reach the test alone.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut held = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(held.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(
            line.trim(),
            "ready",
            "the server did not start: {}",
            folder.display()
        );
        Some(Server {
            programs,
            folder,
            port,
            user,
            as_root,
            _held: held,
        })
    }

    /// Makes an empty database and gives its URL.
    pub(crate) fn database(&self) -> String {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{number}", std::process::id());
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The URL of a database.
    pub(crate) fn url(&self, database: &str) -> String {
        format!(
            "postgresql://{}@127.0.0.1:{}/{database}",
            self.user, self.port
        )
    }

    /// Runs a statement with `psql` and gives the rows, columns joined by `|`.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> Vec<String> {
        sql(&self.programs, &self.url(database), statement)
    }

    /// Stops and starts the server; `mode` is one of `fast` and `immediate`.
    pub(crate) fn stop(&self, mode: &str) {
        self.control(&["-m", mode, "-w", "stop"]);
    }

    /// Starts it again after [`Server::stop`].
    pub(crate) fn start_again(&self) {
        let log = self.folder.join("log").display().to_string();
        let options = format!(
            "-k {} -c listen_addresses=127.0.0.1 -p {} -c shared_buffers=32MB",
            self.folder.display(),
            self.port
        );
        self.control(&["-w", "-t", "90", "-l", &log, "-o", &options, "start"]);
    }

    fn control(&self, arguments: &[&str]) {
        let mut command = run_as(self.as_root, &self.programs.join("pg_ctl"));
        command
            .arg("-D")
            .arg(self.folder.join("data"))
            .args(arguments);
        let done = command
            .current_dir("/")
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .status();
        assert!(done.unwrap().success(), "pg_ctl {arguments:?}");
    }
}

/// Runs a statement with `psql`.
pub(crate) fn sql(programs: &Path, url: &str, statement: &str) -> Vec<String> {
    let out = Command::new(programs.join("psql"))
        .args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            url,
            "-c",
            statement,
        ])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{statement}: {error}");
    String::from_utf8(out.stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// The server does not run as root; Debian's package makes a user for it.
fn run_as(root: bool, program: &Path) -> Command {
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}
