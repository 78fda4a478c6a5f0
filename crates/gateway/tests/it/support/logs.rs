//! Everything that the process logs, at level DEBUG, from all tests together: no canary may be in it.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

/// A growing text that can be written to and looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    pub(crate) fn add(&self, bytes: &[u8]) {
        self.0
            .lock()
            .expect("not poisoned")
            .extend_from_slice(bytes);
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The event log of this process.
pub(crate) fn event_log() -> Sink {
    static LOG: OnceLock<Sink> = OnceLock::new();
    let install = || {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
        sink
    };
    LOG.get_or_init(install).clone()
}
