//! A bounded number of calls at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Counts calls in flight against a limit. Shared by all threads; taking and
/// giving back a slot is one atomic operation.
#[derive(Debug)]
pub struct Slots {
    limit: AtomicU32,
    taken: AtomicU32,
}

/// One call in flight. Dropping it gives the slot back; it cannot be copied,
/// so a slot is never given back twice.
///
/// ```compile_fail
/// let slots = policy::Slots::new(1);
/// let slot = slots.try_take().unwrap();
/// let twice = slot.clone();
/// ```
#[derive(Debug)]
#[must_use = "a slot that is dropped at once protects nothing"]
pub struct Slot {
    slots: Arc<Slots>,
}

impl Slots {
    /// At most `limit` slots at the same time.
    #[must_use]
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU32::new(limit),
            taken: AtomicU32::new(0),
        })
    }

    /// Takes a slot, or nothing when all are taken.
    #[must_use]
    pub fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let limit = self.limit.load(Ordering::Relaxed);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| {
                (taken < limit).then_some(taken.saturating_add(1))
            })
            .ok()
            .map(|_| Slot {
                slots: Arc::clone(self),
            })
    }

    /// Changes the limit. Slots above a lower limit stay valid until they are
    /// given back; no new one is handed out before that.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// The limit.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Slots that are taken now.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::Slots;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_slot_returns_when_dropped() {
        let slots = Slots::new(1);
        let first = slots.try_take();
        assert!(first.is_some());
        assert!(slots.try_take().is_none());
        drop(first);
        assert!(slots.try_take().is_some());
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn a_lower_limit_waits_for_the_slots_that_are_out() {
        let slots = Slots::new(2);
        let (first, second) = (slots.try_take(), slots.try_take());
        slots.set_limit(1);
        drop(first);
        assert!(slots.try_take().is_none());
        drop(second);
        assert!(slots.try_take().is_some());
    }

    #[test]
    fn many_threads_never_hold_more_than_the_limit() {
        let slots = Slots::new(3);
        let inside = AtomicU32::new(0);
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let Some(slot) = slots.try_take() else {
                            std::thread::yield_now();
                            continue;
                        };
                        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(slot);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 3);
        assert_eq!(slots.taken(), 0);
    }
}
