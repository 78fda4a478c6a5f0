//! Deployments and providers that the shared book had no room for: remembered for a moment, so that calls pass them over
//! without a round trip of their own. Whoever asks after that moment learns it anew.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use policy::budget::{Exceeded, Object, ObjectKind};

/// How long a refusal is believed: what calls in flight hold may come back at any time, and a limit may be raised.
const BELIEVED: Duration = Duration::from_secs(1);

/// The last refusals.
#[derive(Default)]
pub(super) struct Room {
    full: Mutex<HashMap<Object, (Instant, Exceeded)>>,
    /// Whether there are any, so that calls need no lock while there are none.
    some: AtomicBool,
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, HashMap<Object, (Instant, Exceeded)>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a refusal by a deployment or a provider; there are as many of them as are configured.
    pub(super) fn learn(&self, exceeded: &Exceeded) {
        let kind = exceeded.object.kind;
        if !matches!(kind, ObjectKind::Deployment | ObjectKind::Provider) {
            return;
        }
        let until = Instant::now() + BELIEVED;
        self.lock()
            .insert(exceeded.object.clone(), (until, exceeded.clone()));
        self.some.store(true, Ordering::Release);
    }

    /// The refusal of an object that is still believed.
    pub(super) fn refuses(&self, object: &Object) -> Option<Exceeded> {
        if !self.some.load(Ordering::Acquire) {
            return None;
        }
        self.refuses_at(object, Instant::now())
    }

    fn refuses_at(&self, object: &Object, now: Instant) -> Option<Exceeded> {
        let mut full = self.lock();
        full.retain(|_, (until, _)| now < *until);
        self.some.store(!full.is_empty(), Ordering::Release);
        full.get(object).map(|(_, exceeded)| exceeded.clone())
    }
}

#[cfg(test)]
mod tests {
    use policy::budget::{Dimension, Exceeded, Object, ObjectKind};

    use super::{BELIEVED, Instant, Room};

    fn refusal(kind: ObjectKind) -> Exceeded {
        Exceeded {
            object: Object::new(kind, "a"),
            shown: "a".to_owned(),
            dimension: Dimension::Requests,
            limit: 1,
            current: 1,
            reserved: 0,
            needed: 1,
            resets_at: None,
            now: 0,
        }
    }

    #[test]
    fn refusals_of_deployments_are_remembered_and_those_of_callers_are_not() {
        let room = Room::default();
        let object = |kind| Object::new(kind, "a");
        for kind in [ObjectKind::Key, ObjectKind::Team, ObjectKind::Global] {
            room.learn(&refusal(kind));
            assert_eq!(room.refuses(&object(kind)), None);
        }
        let before = Instant::now();
        room.learn(&refusal(ObjectKind::Deployment));
        assert_eq!(room.refuses(&object(ObjectKind::Provider)), None);
        let full = object(ObjectKind::Deployment);
        let known = refusal(ObjectKind::Deployment);
        assert_eq!(room.refuses_at(&full, before), Some(known));
        assert_eq!(room.refuses_at(&full, Instant::now() + BELIEVED), None);
    }
}
