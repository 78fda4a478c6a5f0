//! Idle connections to providers, by origin.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use http::uri::{Authority, Scheme, Uri};

use super::link::Link;

/// How long a connection is kept without use.
const LONGEST_IDLE: Duration = Duration::from_secs(90);
/// How often idle connections are looked after.
const SWEEP: Duration = Duration::from_secs(30);
/// Most idle connections of one origin.
const MOST_IDLE: usize = 1024;

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    tls: bool,
    authority: Authority,
}

impl Origin {
    /// `None` for a URL without a host.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        Some(Self {
            tls: uri.scheme() == Some(&Scheme::HTTPS),
            authority: uri.authority()?.clone(),
        })
    }

    /// Value of `host`: without credentials, and without the scheme's own port (RFC 9110 section 7.2).
    fn host(&self) -> HeaderValue {
        let usual = if self.tls { 443 } else { 80 };
        let host = self.authority.host();
        match self.authority.port_u16().filter(|port| *port != usual) {
            Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
            None => HeaderValue::try_from(host),
        }
        // A parsed authority has no other characters than a header may carry.
        .unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

struct Place {
    host: HeaderValue,
    /// The one used last is at the end, and taken first: the others grow old and are closed.
    idle: Vec<Link>,
}

/// The pool.
pub(crate) struct Pool {
    places: Mutex<HashMap<Origin, Place>>,
    swept: AtomicBool,
}

impl Pool {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            places: Mutex::default(),
            swept: AtomicBool::new(false),
        })
    }

    fn places(&self) -> MutexGuard<'_, HashMap<Origin, Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `host` header for an origin.
    pub(super) fn host(&self, origin: &Origin) -> HeaderValue {
        let mut places = self.places();
        if let Some(place) = places.get(origin) {
            return place.host.clone();
        }
        let host = origin.host();
        let place = Place {
            host: host.clone(),
            idle: Vec::new(),
        };
        places.insert(origin.clone(), place);
        host
    }

    /// A connection that was open a moment ago.
    pub(super) fn take(&self, origin: &Origin) -> Option<Link> {
        loop {
            let mut link = self.places().get_mut(origin)?.idle.pop()?;
            if link.idle_since.elapsed() < LONGEST_IDLE && link.is_usable() {
                return Some(link);
            }
        }
    }

    /// Gives a usable connection back.
    pub(super) fn put(self: &Arc<Self>, origin: Origin, mut link: Link) {
        link.idle_since = Instant::now();
        let full = {
            let mut places = self.places();
            match places.get_mut(&origin) {
                Some(place) if place.idle.len() < MOST_IDLE => {
                    place.idle.push(link);
                    None
                }
                _ => Some(link),
            }
        };
        // Closing is a system call; not under the lock.
        drop(full);
        self.sweep_from_now_on();
    }

    /// How many could be used.
    #[cfg(test)]
    pub(super) fn idle(&self, origin: &Origin) -> usize {
        self.places().get_mut(origin).map_or(0, |place| {
            place
                .idle
                .iter_mut()
                .filter_map(|link| link.is_usable().then_some(()))
                .count()
        })
    }

    /// Starts the sweeper with the first connection that is kept. It ends with the pool.
    fn sweep_from_now_on(self: &Arc<Self>) {
        if self.swept.load(Ordering::Relaxed) || self.swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                match pool.upgrade() {
                    Some(pool) => pool.sweep(),
                    None => return,
                }
            }
        });
    }

    /// Closes what is old or was closed by its peer.
    fn sweep(&self) {
        let mut gone = Vec::new();
        for place in self.places().values_mut() {
            let old =
                |link: &mut Link| link.idle_since.elapsed() >= LONGEST_IDLE || !link.is_usable();
            gone.extend(place.idle.extract_if(.., old));
        }
        drop(gone);
    }
}
