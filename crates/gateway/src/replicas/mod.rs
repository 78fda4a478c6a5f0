//! Several processes of one gateway: the limits they share, what one tells the others, and what holds while Redis is away.
//!
//! The rule: a call is admitted only by a process that has heard from Redis within [`SILENCE`] and works in the state that
//! everybody works in. Who has not, refuses with 503 `limits_unavailable`, or counts alone where the configuration says so.

mod build;
mod ends;
mod news;
mod room;
mod sweep;
#[cfg(test)]
mod tests;
mod truth;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledger::{Clock, Receipt};
use policy::MicroUsd;
use policy::budget::{Ask, Demand, Exceeded, Object, Rules, Usage, Used};
use store::redis::{Envelope, Link, Place, RedisError, ReserveError, SharedBook, Team, Ticket};
use tokio::sync::{mpsc, watch as channel};

pub use truth::Truth;

/// The longest a process goes on admitting calls without having heard from Redis.
pub(crate) const SILENCE: Duration = Duration::from_secs(1);

/// What happens to calls while the shared limits cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenLost {
    /// They answer 503.
    Refuse,
    /// They are counted by each process alone; each record says so.
    Local,
}

/// How processes share limits.
#[derive(Clone)]
pub struct Sharing {
    /// Where Redis is.
    pub settings: Arc<store::redis::Settings>,
    /// Id of the ledger that all of them write.
    pub ledger: String,
    /// This process among those of the ledger; unique.
    pub instance: String,
    /// The database that everything can be computed from again.
    pub truth: Arc<dyn Truth>,
    /// What happens while Redis is away.
    pub when_lost: WhenLost,
    /// After how much silence a process counts as dead, and what it held is given back.
    pub lease: Duration,
}

/// This process among the others.
pub(crate) struct Replicas {
    team: Team,
    truth: Arc<dyn Truth>,
    when_lost: WhenLost,
    lease: Duration,
    clock: Arc<dyn Clock>,
    live: Mutex<Live>,
    began: Instant,
    /// When something was last asked of Redis that it has answered, in milliseconds since `began`, plus one; 0 for never.
    heard: AtomicU64,
    ready: channel::Sender<bool>,
    /// The state lacks something: it must be built again.
    spoiled: AtomicBool,
    closing: AtomicBool,
    changes: AtomicU64,
    ends: mpsc::UnboundedSender<ends::Ended>,
    runtime: tokio::runtime::Handle,
    /// Calls that were counted by this process alone.
    alone: AtomicU64,
    /// States that this process has built.
    built: AtomicU64,
    /// Which deployments and providers had no room lately.
    room: room::Room,
}

/// What this process holds, and in which state.
#[derive(Default)]
struct Live {
    state: Option<Arc<str>>,
    /// Whether nobody knows if what is held was taken over into the state.
    unsure: bool,
    held: HashMap<String, Vec<u8>>,
}

/// A reservation in the shared book. Dropping it gives it back.
pub(crate) struct SharedHold {
    replicas: Arc<Replicas>,
    ticket: Option<Ticket>,
}

/// A call that the shared book did not admit.
pub(crate) enum Refused {
    /// By a limit.
    Exceeded(Box<Exceeded>),
    /// Nobody knows whether there is room.
    Lost,
}

impl Replicas {
    /// Connects, on the runtime of the caller.
    pub(crate) fn start(
        sharing: Sharing,
        root: &[u8; 32],
        rules: Rules,
        clock: Arc<dyn Clock>,
    ) -> Option<Arc<Self>> {
        let link = || Link::start(sharing.settings.clone(), sharing.settings.timeout * 2);
        let place = Place {
            ledger: sharing.ledger,
            instance: sharing.instance,
            names: blake3::derive_key("sealgate 2026-11-20 names of objects in Redis", root),
        };
        let envelope = blake3::derive_key("sealgate 2026-11-20 messages of replicas", root);
        let book = SharedBook::new(link(), place, rules, store::redis::Clock::Redis);
        let (ends, queue) = mpsc::unbounded_channel();
        let replicas = Arc::new(Self {
            team: Team::new(Arc::new(book), link(), Envelope::new(&envelope)?),
            truth: sharing.truth,
            when_lost: sharing.when_lost,
            lease: sharing.lease,
            clock,
            live: Mutex::default(),
            began: Instant::now(),
            heard: AtomicU64::new(0),
            ready: channel::Sender::new(false),
            spoiled: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            ends,
            runtime: tokio::runtime::Handle::current(),
            alone: AtomicU64::new(0),
            built: AtomicU64::new(0),
            room: room::Room::default(),
        });
        tokio::spawn(ends::run(Arc::downgrade(&replicas), queue));
        Some(replicas)
    }

    /// Looks after the state and the feed for as long as the app lives.
    pub(crate) fn watch(app: &Arc<crate::app::App>) {
        tokio::spawn(watch::run(Arc::downgrade(app)));
    }

    /// Waits until calls are admitted, at most so long. False when they are not.
    pub(crate) async fn settled_in(&self, wait: Duration) -> bool {
        let mut ready = self.ready.subscribe();
        let there = ready.wait_for(|ready| *ready);
        matches!(tokio::time::timeout(wait, there).await, Ok(Ok(_)))
    }

    /// Ends what is under way: waits until everything is counted, at most so long, and leaves the others.
    pub(crate) async fn close(&self, wait: Duration) {
        self.closing.store(true, Ordering::Release);
        let until = Instant::now() + wait;
        while !self.lock().held.is_empty() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !self.lock().held.is_empty() {
            tracing::warn!("calls are not counted in Redis yet; another process will count them");
            return;
        }
        let me = &self.book().place().instance;
        if let Err(error) = self.team.forget(me).await {
            tracing::warn!(%error, "this process could not leave the others; its lease will end");
        }
    }

    fn book(&self) -> &Arc<SharedBook> {
        self.team.book()
    }

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.clock.now().micros()
    }

    /// Replaces the rules of windows and tokens.
    pub(crate) fn set_rules(&self, rules: Rules) {
        self.book().set_rules(rules);
    }

    /// Notes that everything up to `asked` is known here.
    fn hear(&self, asked: Instant) {
        let millis = asked.saturating_duration_since(self.began).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1);
        self.heard.fetch_max(millis, Ordering::AcqRel);
    }

    /// Whether this process knows what the others know.
    pub(crate) fn is_current(&self) -> bool {
        let heard = self.heard.load(Ordering::Acquire);
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let silence = u64::try_from(SILENCE.as_millis()).unwrap_or(1_000);
        heard > 0 && now.saturating_add(1).saturating_sub(heard) <= silence && *self.ready.borrow()
    }

    /// What happens to calls while the shared limits cannot be asked.
    pub(crate) fn when_lost(&self) -> WhenLost {
        self.when_lost
    }

    /// Counts a call that this process admits alone; the shared state lacks it from now on.
    pub(crate) fn admit_alone(&self) {
        self.alone.fetch_add(1, Ordering::Relaxed);
        self.spoiled.store(true, Ordering::Release);
    }

    /// Lines for `/metrics`.
    pub(crate) fn metrics(&self) -> String {
        use std::fmt::Write as _;
        let mut out = String::new();
        let trips = self.book().link().trips();
        for (name, kind, help, value) in [
            (
                "limits_shared",
                "gauge",
                "1 while the shared limits can be asked",
                u64::from(self.is_current()),
            ),
            (
                "limits_alone",
                "counter",
                "Calls that this process counted alone",
                self.alone.load(Ordering::Relaxed),
            ),
            (
                "limits_built",
                "counter",
                "Times that this process built the shared limits from the database",
                self.built.load(Ordering::Relaxed),
            ),
            (
                "redis_trips",
                "counter",
                "Round trips to Redis for calls",
                trips,
            ),
        ] {
            let suffix = if kind == "counter" { "_total" } else { "" };
            // Writing into a String cannot fail.
            let _infallible = write!(
                out,
                "# HELP sealgate_{name} {help}.\n# TYPE sealgate_{name} {kind}\nsealgate_{name}{suffix} {value}\n"
            );
        }
        out
    }

    /// Takes what a call needs: one round trip.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        id: String,
        now: i64,
        demands: &[Demand<'_>],
        ask: &Ask,
    ) -> Result<SharedHold, Refused> {
        let state = self.lock().state.clone();
        if state.is_none() || !self.is_current() {
            return Err(Refused::Lost);
        }
        // Whatever comes of it, an id that is not in `live` afterwards is given back: by this guard, also when the client
        // leaves and this future is dropped.
        let mut guard = Pending {
            replicas: self,
            id: Some(id),
        };
        let id = guard.id.clone().unwrap_or_default();
        match self.book().reserve(&id, now, demands, ask).await {
            Ok(ticket) => {
                let mut live = self.lock();
                if live.state != state {
                    // The state ended while the reply was on its way; what was taken ended with it.
                    return Err(Refused::Lost);
                }
                live.held.insert(id, ticket.packed.clone());
                guard.id = None;
                Ok(SharedHold {
                    replicas: Arc::clone(self),
                    ticket: Some(ticket),
                })
            }
            Err(ReserveError::Exceeded(exceeded)) => {
                guard.id = None;
                self.room.learn(&exceeded);
                Err(Refused::Exceeded(exceeded))
            }
            Err(ReserveError::Redis(error)) => {
                self.failed(&error);
                Err(Refused::Lost)
            }
        }
    }

    /// The limit by which a deployment or a provider refused a call a moment ago.
    pub(crate) fn refuses(&self, object: &Object) -> Option<Exceeded> {
        self.room.refuses(object)
    }

    /// Draws the conclusions from an error.
    fn failed(&self, error: &RedisError) {
        tracing::warn!(%error, "the shared limits could not be asked");
        if *error == RedisError::Stale {
            self.spoiled.store(true, Ordering::Release);
        }
    }

    /// What an object has used, for the management API: blocks for a round trip, so it is called on threads that may. Nothing
    /// when Redis does not answer, which is logged; nobody asks while it is known to be away.
    pub(crate) fn usage(self: &Arc<Self>, object: &Object) -> Usage {
        let (tell, answer) = std::sync::mpsc::channel();
        let (replicas, object) = (Arc::clone(self), object.clone());
        self.runtime.spawn(async move {
            let now = replicas.now();
            let ask = replicas.book().usage(std::slice::from_ref(&object), now);
            // Who asked waits, or has given up.
            drop(tell.send(ask.await));
        });
        match answer.recv_timeout(SILENCE) {
            Ok(Ok(usage)) => usage.into_iter().next().unwrap_or_default(),
            Ok(Err(error)) => {
                self.failed(&error);
                Usage::default()
            }
            Err(_) => {
                tracing::error!("Redis did not say what an object has used");
                Usage::default()
            }
        }
    }

    /// The database that everything can be computed from.
    pub(crate) fn truth(&self) -> &dyn Truth {
        self.truth.as_ref()
    }

    /// An administrator deleted an object or set what it has spent. What Redis does not take in makes the state one that must
    /// be built again.
    pub(crate) async fn changed(
        &self,
        object: &Object,
        deleted: bool,
        spend: Option<(MicroUsd, i64)>,
        now: i64,
    ) {
        let done = match (deleted, spend) {
            (true, _) => self.book().forget(object, now).await,
            (false, Some((amount, since))) => {
                self.book().set_spend(object, amount, since, now).await
            }
            (false, None) => Ok(()),
        };
        if let Err(error) = done {
            self.failed(&error);
            self.spoiled.store(true, Ordering::Release);
        }
    }
}

/// An id that may be held although nobody here holds it.
struct Pending<'r> {
    replicas: &'r Arc<Replicas>,
    id: Option<String>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.replicas.end(ends::Ended::nothing(id));
        }
    }
}

impl SharedHold {
    /// Whether the call may go on: what it holds stands in the state that everybody works in. Asked after its intent is
    /// durable, so that a state that was built meanwhile has it, by the intent or by what was handed in.
    pub(crate) fn is_held(&self) -> bool {
        let Some(ticket) = &self.ticket else {
            return false;
        };
        self.replicas.is_current() && self.replicas.lock().held.contains_key(&ticket.id)
    }

    /// What was left of each limit of rates when the call was admitted.
    pub(crate) fn standings(&self) -> &[policy::budget::Standing] {
        self.ticket.as_ref().map_or(&[], Ticket::standings)
    }

    /// What an object had spent then.
    pub(crate) fn spent(&self, object: &Object) -> Option<MicroUsd> {
        self.ticket.as_ref()?.spent(object)
    }

    /// Holds what another target asks for: other objects, another amount. No round trip where enough of the same is held.
    pub(crate) async fn exchange(
        &mut self,
        now: i64,
        demands: &[Demand<'_>],
        money: MicroUsd,
    ) -> Result<(), Refused> {
        let Some(ticket) = &mut self.ticket else {
            return Err(Refused::Lost);
        };
        if !self.replicas.is_current() {
            return Err(Refused::Lost);
        }
        if ticket.covers(demands, money) {
            return Ok(());
        }
        let state = self.replicas.lock().state.clone();
        let book = self.replicas.book();
        match book.exchange(ticket, now, demands, money).await {
            Ok(()) => {
                let mut live = self.replicas.lock();
                // What was handed in while the reply was on its way is the old amount, or nothing.
                if live.state != state {
                    return Err(Refused::Lost);
                }
                let Some(packed) = live.held.get_mut(&ticket.id) else {
                    return Err(Refused::Lost);
                };
                packed.clone_from(&ticket.packed);
                Ok(())
            }
            Err(ReserveError::Exceeded(exceeded)) => {
                self.replicas.room.learn(&exceeded);
                Err(Refused::Exceeded(exceeded))
            }
            Err(ReserveError::Redis(error)) => {
                self.replicas.failed(&error);
                Err(Refused::Lost)
            }
        }
    }

    /// Counts what was used once the record is durable; nobody waits for it. Gives the receipt back.
    pub(crate) fn settle(mut self, used: Used, receipt: Option<Receipt>) -> Option<Receipt> {
        let (relay, receipt) = match receipt {
            Some(receipt) => {
                let (tell, relayed) = Receipt::relayed();
                (Some((receipt, tell)), Some(relayed))
            }
            None => (None, None),
        };
        if let Some(ticket) = self.ticket.take() {
            self.replicas.end(ends::Ended {
                ticket: Some(ticket),
                id: String::new(),
                used,
                relay,
            });
        }
        receipt
    }
}

impl Drop for SharedHold {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.replicas.end(ends::Ended {
                ticket: Some(ticket),
                id: String::new(),
                used: Used::default(),
                relay: None,
            });
        }
    }
}
