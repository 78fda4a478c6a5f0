//! A gateway as a process that the test started, and ends.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, eventually};

/// Killed when dropped, so that no test leaves one behind.
pub(crate) struct Server {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take();
        let said = Arc::new(Mutex::new(String::new()));
        let into = said.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr
                .into_iter()
                .flat_map(|stderr| BufReader::new(stderr).lines().map_while(Result::ok))
            {
                let mut said = into.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self {
            child,
            said,
            reader: Some(reader),
        }
    }

    /// What it wrote to standard error.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn wait_until_listening(&mut self) {
        let start = Instant::now();
        while !self.said().contains("listening on") {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("serve ended with {status}:\n{}", self.said());
            }
            assert!(
                start.elapsed() < PATIENCE,
                "not listening:\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// For a gateway that cannot say that it listens.
    pub(crate) fn wait_until_connected(&mut self, port: u16) {
        eventually("the gateway listens", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", self.said());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    /// SIGKILL, and waits until the kernel has taken everything back.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A signal to another process than the one that was started, for a gateway under a tracer.
    pub(crate) fn signal_to(id: u32, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    pub(crate) fn terminate(&self) {
        Self::signal_to(self.id(), Signal::TERM);
    }

    /// Waits for the end of the process and of what it says.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let ended = eventually("the end of the gateway", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        ended
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already in most tests.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}
