//! A Redis of a test's own, on a free loopback port.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::redis::{Link, Settings};

/// A running `redis-server`; it ends with this value.
pub(crate) struct Server {
    child: Child,
    port: u16,
    more: Vec<String>,
    _dir: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(more: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let dir = tempfile::tempdir().expect("a directory");
        let more: Vec<String> = more.iter().map(ToString::to_string).collect();
        let child = spawn(port, dir.path(), &more);
        let server = Self {
            child,
            port,
            more,
            _dir: dir,
        };
        server.wait();
        server
    }

    fn wait(&self) {
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "no redis-server");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::new(Settings {
            port: self.port,
            ..Settings::default()
        })
    }

    pub(crate) fn link(&self) -> Link {
        Link::start(self.settings(), Duration::from_secs(1))
    }

    /// Stops or continues the process.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("our own process");
    }

    /// Ends the process and starts another one, empty, on the same port.
    pub(crate) fn restart(&mut self) {
        self.child.kill().expect("our own process");
        self.child.wait().expect("our own process");
        self.child = spawn(self.port, self._dir.path(), &self.more);
        self.wait();
    }
}

fn spawn(port: u16, dir: &std::path::Path, more: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(dir)
        .args(more)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is needed for these tests: apt-get install redis-server")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal(rustix::process::Signal::CONT);
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
