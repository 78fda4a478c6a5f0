//! The native half of the LiteLLM callback: reading an event, sealing it, storing it.

mod call;
mod key;
mod place;
mod queue;
mod record;
mod value;
mod writer;

use std::{path::Path, sync::Arc, thread, time::Duration};

use capsule::{CapsuleType, Signer};
use ledger::{Clock, SystemClock};
use pyo3::{create_exception, exceptions::PyException, prelude::*, types::PyDict};

use call::{Call, Event};
use key::KeyFile;
use place::Place;
use queue::{Bounds, Item, Queue, Queues, Refused};
use record::{Content, DigestKey, Settings};
use writer::{Report, Writer};

create_exception!(
    sealgate_litellm,
    CapsuleError,
    PyException,
    "A store, key or record that cannot be used."
);

/// One store and its writer. Lives as long as the process.
#[pyclass(frozen, module = "sealgate_litellm._native")]
struct Store {
    queues: &'static Queues,
    key: KeyFile,
    digest_key: &'static DigestKey,
    report: &'static Report,
    place: Place,
}

#[pymethods]
impl Store {
    /// Opens the store once, so that what is wrong with it or with the key shows now.
    #[new]
    fn new(
        py: Python<'_>,
        kind: &str,
        target: &str,
        key: &str,
        records: u64,
        bytes: usize,
        report: Py<PyAny>,
    ) -> PyResult<Store> {
        let place = Place::named(kind, target).map_err(CapsuleError::new_err)?;
        let checked = py.detach(|| -> Result<_, String> {
            let (key, digest_key) = KeyFile::open(Path::new(key))?;
            let mut chain = place.chain().map_err(|error| error.to_string())?;
            chain
                .check(key.signer())
                .map_err(|error| error.to_string())?;
            Ok((key, digest_key))
        });
        let (key, digest_key) = checked.map_err(CapsuleError::new_err)?;
        let report: Report = Box::new(move |message, is_error| {
            // Not while the interpreter ends: then the caller of `flush` reports.
            Python::try_attach(|py| {
                if let Err(error) = report.call1(py, (message, is_error)) {
                    error.write_unraisable(py, None);
                }
            });
        });
        Ok(Store {
            queues: Box::leak(Box::new(Queues::new(Bounds { records, bytes }))),
            key,
            digest_key: Box::leak(Box::new(digest_key)),
            report: Box::leak(Box::new(report)),
            place,
        })
    }

    /// The public key that verifies the records, 64 hex digits.
    #[getter]
    fn public_key(&self) -> String {
        let mut key = self.key.clone();
        // What there is to tell is the writer's to tell.
        drop(key.refresh());
        key.signer().public_key().hex()
    }

    /// Waits until everything that was submitted so far is written. False when the time was not enough.
    fn flush(&self, py: Python<'_>, seconds: f64) -> bool {
        let queue = self.queues.current();
        let ticket = queue.lock().counts.submitted;
        py.detach(|| queue.wait_for(ticket, limit(seconds), false)) == Ok(true)
    }

    /// Waits until one record is written. False when the time was not enough.
    fn wait(&self, py: Python<'_>, ticket: u64, seconds: f64) -> PyResult<bool> {
        let queue = self.queues.current();
        py.detach(|| queue.wait_for(ticket, limit(seconds), true))
            .map_err(CapsuleError::new_err)
    }

    /// Waits for room.
    fn wait_for_room(&self, py: Python<'_>, seconds: f64) {
        let queue = self.queues.current();
        py.detach(|| queue.wait_for_room(limit(seconds)));
    }

    /// Lets go of the store, as a process does that ends; the next record opens it again.
    fn release(&self, py: Python<'_>) {
        let queue = self.queues.current();
        py.detach(|| {
            queue.park();
            queue.unpark();
        });
    }

    /// To be called before the process forks: closes the store until `after_fork`. No lock is held in
    /// between: other threads would wait for it with the interpreter, and this one for the interpreter.
    fn before_fork(&self, py: Python<'_>) {
        let queue = self.queues.current();
        py.detach(|| queue.park());
    }

    /// To be called after it, in both processes.
    fn after_fork(&self, child: bool) {
        if child {
            self.queues.after_fork();
        } else {
            self.queues.current().unpark();
        }
    }

    /// Counts since the process began.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = self.queues.current().lock();
        let counts = state.counts.clone();
        let (bytes, failing, last) = (state.bytes, state.failing.clone(), state.last_error.clone());
        drop(state);
        let stats = PyDict::new(py);
        stats.set_item("submitted", counts.submitted)?;
        stats.set_item("written", counts.written)?;
        stats.set_item("waiting", counts.submitted - counts.written)?;
        stats.set_item("waiting_bytes", bytes)?;
        stats.set_item("commits", counts.commits)?;
        stats.set_item("failed_commits", counts.failed_commits)?;
        stats.set_item("minimal_records", counts.minimal)?;
        stats.set_item("waits_for_room", counts.waits)?;
        stats.set_item("failing", failing.is_some())?;
        stats.set_item("last_error", last)?;
        Ok(stats)
    }

    /// A logger's own view of the store.
    fn recorder(
        &self,
        agent_id: String,
        domain: String,
        capsule_type: &str,
        content: &str,
    ) -> PyResult<Recorder> {
        let settings = settings(agent_id, domain, capsule_type, content)?;
        Ok(Recorder {
            queues: self.queues,
            key: self.key.clone(),
            digest_key: self.digest_key,
            report: self.report,
            place: self.place.clone(),
            settings: Arc::new(settings),
        })
    }
}

/// Takes events of one logger.
#[pyclass(frozen, module = "sealgate_litellm._native")]
struct Recorder {
    queues: &'static Queues,
    key: KeyFile,
    digest_key: &'static DigestKey,
    report: &'static Report,
    place: Place,
    settings: Arc<Settings>,
}

#[pymethods]
impl Recorder {
    /// Reads an event and queues its record. Gives the record's ticket, or 0 when there is no room and
    /// `force` is false.
    fn record(
        &self,
        kwargs: &Bound<'_, PyAny>,
        response: &Bound<'_, PyAny>,
        start: &Bound<'_, PyAny>,
        end: &Bound<'_, PyAny>,
        success: bool,
        force: bool,
    ) -> PyResult<u64> {
        let event = Event {
            kwargs,
            response,
            start,
            end,
            success,
        };
        let call = Call::read(&event, SystemClock.now());
        let item = Item {
            bytes: call.size(),
            call,
            settings: Arc::clone(&self.settings),
        };
        let queue = self.queues.current();
        let refused = match queue.push(item, force, || self.start(queue)) {
            Ok(ticket) => return Ok(ticket),
            Err(refused) => refused,
        };
        match refused {
            Refused::Full => Ok(0),
            Refused::NoThread(error) => Err(CapsuleError::new_err(format!(
                "the writer thread did not start: {error}"
            ))),
            Refused::Forked => Err(CapsuleError::new_err(
                "this process was forked without Python's fork hooks while the store was open: make the \
                 CapsuleLogger after the fork, or fork with os.fork or multiprocessing",
            )),
        }
    }
}

impl Recorder {
    fn start(&self, queue: &'static Queue) -> std::io::Result<thread::JoinHandle<()>> {
        let writer = Writer {
            queue,
            chain: self.place.chain().map_err(std::io::Error::other)?,
            key: self.key.clone(),
            digest_key: self.digest_key,
            report: self.report,
        };
        thread::Builder::new()
            .name("sealgate-writer".to_owned())
            .spawn(move || writer.run())
    }
}

fn settings(
    agent_id: String,
    domain: String,
    capsule_type: &str,
    content: &str,
) -> PyResult<Settings> {
    let settings = Settings {
        agent_id,
        domain,
        capsule_type: capsule_type
            .parse::<CapsuleType>()
            .map_err(|error| CapsuleError::new_err(format!("{capsule_type:?} is {error}")))?,
        content: Content::named(content).ok_or_else(|| {
            let known = "use \"full\", \"masked\" or \"hash\"";
            CapsuleError::new_err(format!("content is {content:?}: {known}"))
        })?,
    };
    // What every record holds must be fit to be sealed, or no record ever is.
    let sample = capsule::Capsule {
        domain: settings.domain.clone(),
        ..capsule::Capsule::default()
    };
    capsule::Draft::new(&sample).map_err(|error| CapsuleError::new_err(error.to_string()))?;
    Ok(settings)
}

fn limit(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// The module `sealgate_litellm._native`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("CapsuleError", module.py().get_type::<CapsuleError>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<Store>()?;
    module.add_class::<Recorder>()
}
