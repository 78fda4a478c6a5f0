//! The machine's clock, until a test tells it to panic: a defect at a chosen place of a call.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use capsule::Timestamp;
use ledger::{Clock, SystemClock};

/// Uses left before the panic; below zero nothing happens.
const DISARMED: i64 = -1;

#[derive(Debug)]
pub(crate) struct TestClock {
    /// Microseconds ahead of the machine.
    ahead: AtomicI64,
    left: AtomicI64,
    fired: AtomicBool,
    in_log: AtomicBool,
}

impl TestClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            ahead: AtomicI64::new(0),
            left: AtomicI64::new(DISARMED),
            fired: AtomicBool::new(false),
            in_log: AtomicBool::new(false),
        })
    }

    /// Moves the clock by so many seconds, backwards too.
    pub(crate) fn shift(&self, seconds: i64) {
        self.ahead.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    /// The use after `uses` more ones panics, once.
    pub(crate) fn panic_after(&self, uses: i64) {
        self.left.store(uses, Ordering::SeqCst);
    }

    /// Nothing panics any more; true if something did.
    pub(crate) fn disarm(&self) -> bool {
        self.left.store(DISARMED, Ordering::SeqCst);
        self.fired.load(Ordering::SeqCst)
    }

    /// Whether writes to the access log panic.
    pub(crate) fn panic_in_log(&self, panics: bool) {
        self.in_log.store(panics, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let before = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                (left > DISARMED).then_some(left - 1)
            });
        if before == Ok(0) {
            self.fired.store(true, Ordering::SeqCst);
            panic!("told to by the test clock");
        }
        Timestamp::new(SystemClock.now().micros() + self.ahead.load(Ordering::SeqCst))
    }
}

/// A writer that panics when the clock says so.
pub(crate) struct Fragile<W> {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) inner: W,
}

impl<W: io::Write> io::Write for Fragile<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(
            !self.clock.in_log.load(Ordering::SeqCst),
            "told to by the test clock"
        );
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
