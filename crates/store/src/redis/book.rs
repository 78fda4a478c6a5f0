//! The book of budgets, rates and slots in Redis: the meaning of [`policy::budget::Book`], shared by several processes.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use policy::MicroUsd;
use policy::budget::{Ask, Crossed, Demand, Exceeded, Object, Rules, Span, Standing, Usage, Used};

use super::RedisError;
use super::demand::{self, MOST, Names, Words, signed};
use super::link::Link;
use super::script::Script;
use super::wire::{Command, Reply};

macro_rules! script {
    ($($name:literal),+) => {
        Script::new(concat!(
            include_str!("scripts/common.lua"),
            $(include_str!(concat!("scripts/", $name, ".lua"))),+
        ))
    };
}

static RESERVE: Script = script!("demands", "reserve");
static SETTLE: Script = script!("settle");
static EXCHANGE: Script = script!("demands", "exchange");
static ASSERT: Script = script!("assert");
static CHANGE: Script = script!("change");
static ORPHAN: Script = script!("orphan");

/// Objects that are written in one piece while a state is built.
const PIECE: usize = 500;
/// How often a window is computed again because Redis' clock had moved on.
const TRIES: usize = 4;

/// Whose clock counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// That of Redis: one clock for all processes. What callers say is used to guess windows only.
    #[default]
    Redis,
    /// The callers'; for tests with time of their own.
    Callers,
}

/// Where a book is kept.
#[derive(Clone)]
pub struct Place {
    /// The ledger that the numbers belong to; part of every key.
    pub ledger: String,
    /// This process among those that share the book.
    pub instance: String,
    /// Key of the names of objects; the same in all processes of a ledger.
    pub names: [u8; 32],
}

impl std::fmt::Debug for Place {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("ledger", &self.ledger)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// A call was not admitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReserveError {
    /// A limit.
    #[error(transparent)]
    Exceeded(Box<Exceeded>),
    /// Redis; nobody knows whether there is room.
    #[error(transparent)]
    Redis(#[from] RedisError),
}

/// A reservation in the book. It ends by [`SharedBook::settle`], once; forgetting it leaves it to those who look after the
/// reservations of dead processes.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Id of the call.
    pub id: String,
    /// What is held, as the book can put it into another state.
    pub packed: Vec<u8>,
    objects: Vec<(Object, String)>,
    ask: Ask,
    standings: Vec<Standing>,
    spent: Vec<MicroUsd>,
}

impl Ticket {
    /// The money that is held.
    #[must_use]
    pub fn money(&self) -> MicroUsd {
        self.ask.money
    }

    /// Whether it holds enough for a target: as much money, of the same objects.
    #[must_use]
    pub fn covers(&self, demands: &[Demand<'_>], money: MicroUsd) -> bool {
        let wanted = |object: &Object| demands.iter().any(|demand| demand.object == *object);
        let held = |object: &Object| self.objects.iter().any(|(held, _)| held == object);
        money <= self.ask.money
            && self.objects.iter().all(|(object, _)| wanted(object))
            && demands.iter().all(|demand| held(&demand.object))
    }

    /// What was left of each limit of rates when the call was admitted.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        &self.standings
    }

    /// What an object had spent then: in its first window, or ever where it has none.
    #[must_use]
    pub fn spent(&self, object: &Object) -> Option<MicroUsd> {
        let at = self.objects.iter().position(|(this, _)| this == object)?;
        self.spent.get(at).copied()
    }
}

/// What a script took.
struct Taken {
    packed: Vec<u8>,
    standings: Vec<Standing>,
    spent: Vec<MicroUsd>,
}

/// The objects of demands, as errors name them.
fn named(demands: &[Demand<'_>]) -> Vec<(Object, String)> {
    let names = demands.iter();
    names
        .map(|demand| (demand.object.clone(), demand.shown.to_owned()))
        .collect()
}

/// What a new state begins with for one object.
#[derive(Clone, Debug)]
pub struct Balance {
    /// The object.
    pub object: Object,
    /// Settled since it exists, or since its spend was last set.
    pub total: MicroUsd,
    /// Calls before this instant do not change it any more.
    pub since: i64,
    /// Settled money by window.
    pub windows: Vec<(Option<policy::budget::Period>, Span, MicroUsd)>,
}

/// The state that this process works in.
#[derive(Clone, Debug)]
struct State {
    /// What the key of the epoch must hold.
    marker: String,
    /// Prefix of the state's keys.
    prefix: String,
    sequence: String,
}

/// The shared book.
#[derive(Debug)]
pub struct SharedBook {
    link: Link,
    clock: Clock,
    names: Names,
    place: Place,
    rules: RwLock<Rules>,
    state: Mutex<Option<State>>,
    /// The largest sequence number that was seen in this state.
    seen: AtomicI64,
    /// Redis' clock less the callers'.
    ahead: AtomicI64,
}

impl SharedBook {
    /// A book in no state yet; [`SharedBook::enter`] puts it into one.
    #[must_use]
    pub fn new(link: Link, place: Place, rules: Rules, clock: Clock) -> Self {
        Self {
            link,
            clock,
            names: Names::new(&place.names),
            place,
            rules: RwLock::new(rules),
            state: Mutex::default(),
            seen: AtomicI64::new(0),
            ahead: AtomicI64::new(0),
        }
    }

    /// The connection.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Which process this is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A key of this ledger that belongs to no state.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        format!("{{sealgate:{}}}:{name}", self.place.ledger)
    }

    /// Replaces the rules; windows that have begun stay.
    pub fn set_rules(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Works in the state `name` from now on. `marker` is what the key of the epoch holds while it may be used; what stands
    /// after its second colon is the Redis process that alone is asked.
    pub fn enter(&self, name: &str, marker: &str) {
        let prefix = self.key(&format!("{name}:"));
        let state = State {
            marker: marker.to_owned(),
            sequence: format!("{prefix}seq"),
            prefix,
        };
        let mut current = self.lock();
        if current.as_ref().map(|old| &old.prefix) != Some(&state.prefix) {
            self.seen.store(0, Ordering::Release);
        }
        *current = Some(state);
    }

    /// Works in no state: every call is refused with [`RedisError::Epoch`].
    pub fn leave(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a call needs, of all objects or of none. `now` is the caller's clock, microseconds since the Unix epoch.
    /// On an error of Redis the reservation may exist; settle its id with nothing used.
    ///
    /// # Errors
    /// [`ReserveError`]: the first limit that does not fit, in the order of `demands`, or Redis.
    pub async fn reserve(
        &self,
        id: &str,
        now: i64,
        demands: &[Demand<'_>],
        ask: &Ask,
    ) -> Result<Ticket, ReserveError> {
        let instance = self.place.instance.clone();
        self.take(&instance, id, now, demands, ask, false).await
    }

    /// Holds what a call of `instance` holds already, whatever the limits say: while a state is built.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn hold(
        &self,
        instance: &str,
        id: &str,
        now: i64,
        demands: &[Demand<'_>],
        ask: &Ask,
    ) -> Result<(), RedisError> {
        match self.take(instance, id, now, demands, ask, true).await {
            Ok(_) => Ok(()),
            Err(ReserveError::Redis(error)) => Err(error),
            Err(ReserveError::Exceeded(_)) => Err(RedisError::Protocol("a forced hold refused")),
        }
    }

    async fn take(
        &self,
        instance: &str,
        id: &str,
        now: i64,
        demands: &[Demand<'_>],
        ask: &Ask,
        force: bool,
    ) -> Result<Ticket, ReserveError> {
        let turned = self
            .ask_for(&RESERVE, instance, id, now, demands, ask, force)
            .await?;
        Ok(Ticket {
            id: id.to_owned(),
            packed: turned.packed,
            objects: named(demands),
            ask: *ask,
            standings: turned.standings,
            spent: turned.spent,
        })
    }

    /// Runs a script that takes what `demands` say, in the windows of Redis' clock.
    #[expect(
        clippy::too_many_arguments,
        reason = "the words of a script, each of its own kind"
    )]
    async fn ask_for(
        &self,
        script: &Script,
        instance: &str,
        id: &str,
        now: i64,
        demands: &[Demand<'_>],
        ask: &Ask,
        force: bool,
    ) -> Result<Taken, ReserveError> {
        let rules = self.rules();
        let mut at = match self.clock {
            Clock::Redis => now.saturating_add(self.ahead.load(Ordering::Relaxed)),
            Clock::Callers => now,
        };
        for _ in 0..TRIES {
            let mut words = Words::default();
            words.text(instance);
            words.text(id);
            demand::demands(&mut words, &self.names, &rules, demands, ask, at, force);
            let reply = self.run(script, now, words).await?;
            let reply = reply.list();
            let word = reply.first().and_then(Reply::bytes).unwrap_or_default();
            let then = reply.get(2).and_then(Reply::whole).unwrap_or(now);
            if self.clock == Clock::Redis {
                self.ahead
                    .store(then.saturating_sub(now), Ordering::Relaxed);
            }
            match word {
                b"ok" => {
                    let packed = reply.get(3).and_then(Reply::bytes).unwrap_or_default();
                    let left = reply.get(4).map(Reply::list).unwrap_or_default();
                    let (standings, spent) = demand::left(demands, left);
                    return Ok(Taken {
                        packed: packed.to_vec(),
                        standings,
                        spent,
                    });
                }
                b"over" => {
                    let exceeded = demand::exceeded(reply, &named(demands))
                        .ok_or(RedisError::Protocol("a refusal that cannot be read"))?;
                    return Err(ReserveError::Exceeded(Box::new(exceeded)));
                }
                // Redis' clock stands in another window than the one that was guessed.
                b"window" => at = then,
                b"held" => return Err(RedisError::Protocol("the id holds something").into()),
                b"gone" => return Err(RedisError::Epoch.into()),
                _ => return Err(RedisError::Protocol("an unknown answer").into()),
            }
        }
        Err(RedisError::Protocol("the clock of Redis does not stand still").into())
    }

    /// Turns a reservation over to another target, which counts against other objects and costs more or less: what both have
    /// in common is kept, what only `demands` has is taken, what is missing there is given back. On an error everything stays
    /// as it was.
    ///
    /// # Errors
    /// [`ReserveError`].
    pub async fn exchange(
        &self,
        ticket: &mut Ticket,
        now: i64,
        demands: &[Demand<'_>],
        money: MicroUsd,
    ) -> Result<(), ReserveError> {
        let wanted = |object: &Object| demands.iter().any(|demand| demand.object == *object);
        let held = |object: &Object| ticket.objects.iter().any(|(held, _)| held == object);
        let ask = Ask {
            money,
            ..ticket.ask
        };
        let instance = self.place.instance.clone();
        let turned = self
            .ask_for(&EXCHANGE, &instance, &ticket.id, now, demands, &ask, false)
            .await?;
        // The order of the script: what was kept, then what was taken.
        let added = demands
            .iter()
            .filter(|demand| !held(&demand.object))
            .map(|demand| (demand.object.clone(), demand.shown.to_owned()));
        let kept = ticket.objects.iter().filter(|(object, _)| wanted(object));
        let objects: Vec<_> = kept.cloned().chain(added).collect();
        let spent = objects.iter().map(|(object, _)| {
            let at = demands.iter().position(|demand| demand.object == *object);
            let spent = at.and_then(|at| turned.spent.get(at)).copied();
            spent.unwrap_or(MicroUsd::ZERO)
        });
        ticket.spent = spent.collect();
        ticket.objects = objects;
        ticket.packed = turned.packed;
        ticket.standings = turned.standings;
        ticket.ask = ask;
        Ok(())
    }

    /// Ends a reservation of this process; a second time changes nothing. Gives the soft budgets that were reached.
    ///
    /// # Errors
    /// [`RedisError`]; it may be asked again.
    pub async fn settle(
        &self,
        ticket: &Ticket,
        now: i64,
        used: &Used,
    ) -> Result<Vec<Crossed>, RedisError> {
        let reply = self
            .end(&self.place.instance, &ticket.id, now, used)
            .await?;
        let crossed = reply.list().iter().skip(3).filter_map(|crossed| {
            let crossed = crossed.list();
            let index = usize::try_from(crossed.first()?.whole()?).ok()?;
            Some(Crossed {
                object: ticket.objects.get(index.checked_sub(1)?)?.0.clone(),
                soft: MicroUsd::new(crossed.get(1)?.whole()?),
                spent: MicroUsd::new(crossed.get(2)?.whole()?),
            })
        });
        Ok(crossed.collect())
    }

    /// Ends a reservation of any process. True when there was one.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn settle_of(
        &self,
        instance: &str,
        id: &str,
        now: i64,
        used: &Used,
    ) -> Result<bool, RedisError> {
        let reply = self.end(instance, id, now, used).await?;
        Ok(reply.list().first().and_then(Reply::bytes) == Some(b"ok"))
    }

    async fn end(
        &self,
        instance: &str,
        id: &str,
        now: i64,
        used: &Used,
    ) -> Result<Reply, RedisError> {
        let mut words = Words::default();
        words.text(instance);
        words.text(id);
        words.whole(used.money.micro());
        for tokens in [
            self.rules().counted(used.input, used.output),
            used.input,
            used.output,
        ] {
            words.whole(signed(tokens).min(MOST));
        }
        self.run(&SETTLE, now, words).await
    }

    /// Puts a reservation of an earlier state into this one, for `instance`.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn assert(
        &self,
        instance: &str,
        id: &str,
        packed: &[u8],
        now: i64,
    ) -> Result<(), RedisError> {
        let mut words = Words::default();
        words.text(instance);
        words.text(id);
        words.0.push(packed.to_vec());
        self.run(&ASSERT, now, words).await.map(drop)
    }

    /// Gives back the parallel slots of a process that is gone. Gives the ids of its calls whose money is still held.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn orphan(&self, instance: &str, now: i64) -> Result<Vec<String>, RedisError> {
        let mut words = Words::default();
        words.text(instance);
        let reply = self.run(&ORPHAN, now, words).await?;
        let ids = reply.list().get(3).map(Reply::list).unwrap_or_default();
        Ok(ids.iter().filter_map(Reply::text).collect())
    }

    /// Sets what an object has spent. Calls that arrived before `since` do not change it any more.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn set_spend(
        &self,
        object: &Object,
        spent: MicroUsd,
        since: i64,
        now: i64,
    ) -> Result<(), RedisError> {
        let mut words = Words::default();
        words.text("set");
        words.text(&self.names.of(object));
        words.whole(spent.micro());
        words.whole(since);
        self.run(&CHANGE, now, words).await.map(drop)
    }

    /// Forgets an object that was deleted, unless calls are in flight.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn forget(&self, object: &Object, now: i64) -> Result<(), RedisError> {
        let mut words = Words::default();
        words.text("forget");
        words.text(&self.names.of(object));
        self.run(&CHANGE, now, words).await.map(drop)
    }

    /// What objects have used, in their order.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn usage(&self, objects: &[Object], now: i64) -> Result<Vec<Usage>, RedisError> {
        let prefix = self.state()?.prefix;
        let commands = objects
            .iter()
            .map(|object| {
                Command::new("HGETALL").arg(format!("{prefix}o:{}", self.names.of(object)))
            })
            .collect();
        let now = match self.clock {
            Clock::Redis => now.saturating_add(self.ahead.load(Ordering::Relaxed)),
            Clock::Callers => now,
        };
        let replies = self.link.send(commands).await?;
        let refused = replies.iter().find_map(|reply| match reply {
            Reply::Fault(text) => Some(RedisError::of(text)),
            _ => None,
        });
        match refused {
            Some(error) => Err(error),
            None => Ok(replies.iter().map(|reply| usage(reply, now)).collect()),
        }
    }

    /// Writes what objects begin with into the state that this process works in.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn load(&self, balances: &[Balance]) -> Result<(), RedisError> {
        let prefix = self.state()?.prefix;
        for piece in balances.chunks(PIECE) {
            let commands = piece
                .iter()
                .map(|balance| {
                    let name = self.names.of(&balance.object);
                    let mut set = Command::new("HSET")
                        .arg(format!("{prefix}o:{name}"))
                        .arg("t")
                        .number(balance.total.micro())
                        .arg("since")
                        .number(balance.since);
                    for (period, span, settled) in &balance.windows {
                        let word = demand::period_word(*period);
                        let (begin, end) = demand::span_words(*period, *span);
                        set = set.arg(format!("p{word}b")).arg(begin);
                        set = set.arg(format!("p{word}e")).arg(end);
                        set = set.arg(format!("p{word}s")).number(settled.micro());
                        set = set.arg(format!("p{word}r")).arg("0");
                    }
                    set
                })
                .collect();
            for reply in self.link.send(commands).await? {
                if let Reply::Fault(text) = reply {
                    return Err(RedisError::of(&text));
                }
            }
        }
        Ok(())
    }

    fn rules(&self) -> Rules {
        self.rules
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn state(&self) -> Result<State, RedisError> {
        self.lock().clone().ok_or(RedisError::Epoch)
    }

    /// Runs a script with what all of them begin with.
    async fn run(&self, script: &Script, now: i64, words: Words) -> Result<Reply, RedisError> {
        let state = self.state()?;
        let mut args = Words::default();
        args.text(&state.marker);
        args.whole(self.seen.load(Ordering::Acquire));
        args.text(&state.prefix);
        args.whole(match self.clock {
            Clock::Redis => 0,
            Clock::Callers => now,
        });
        args.0.extend(words.0);
        let epoch = self.key("epoch");
        // A Redis that was restarted from an old copy of itself holds the same marker: the name of the process tells.
        let run = state.marker.splitn(3, ':').nth(2);
        let reply = script
            .run_at(&self.link, run, &[&epoch, &state.sequence], &args.0)
            .await?;
        if let Some(sequence) = reply.list().get(1).and_then(Reply::whole) {
            // A reply that was on its way while the state changed says nothing about the new one.
            let current = self.lock();
            if current.as_ref().map(|now| &now.prefix) == Some(&state.prefix) {
                self.seen.fetch_max(sequence, Ordering::AcqRel);
            }
        }
        Ok(reply)
    }
}

/// The fields of an object as they are at `now`.
fn usage(reply: &Reply, now: i64) -> Usage {
    let fields: std::collections::BTreeMap<&[u8], &Reply> = reply
        .list()
        .as_chunks::<2>()
        .0
        .iter()
        .filter_map(|[name, value]| Some((name.bytes()?, value)))
        .collect();
    let whole = |name: &str| fields.get(name.as_bytes())?.whole();
    let count = |name: &str| u64::try_from(whole(name).unwrap_or(0)).unwrap_or(0);
    let mut windows = Vec::new();
    for name in fields.keys() {
        let word = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.strip_prefix('p')?.strip_suffix('b'));
        let Some((word, period)) = word.and_then(|word| Some((word, demand::period_of(word)?)))
        else {
            continue;
        };
        let span = match period {
            None => Span::LIFETIME,
            Some(_) => Span {
                start: whole(&format!("p{word}b")).unwrap_or(i64::MIN),
                end: whole(&format!("p{word}e")).unwrap_or(i64::MAX),
            },
        };
        if now < span.end {
            let money = |end| MicroUsd::new(whole(&format!("p{word}{end}")).unwrap_or(0));
            windows.push((period, span, money("s"), money("r")));
        }
    }
    let begin = whole("mb").unwrap_or(0);
    let live = begin <= now && now < begin.saturating_add(60_000_000);
    Usage {
        total: MicroUsd::new(whole("t").unwrap_or(0)),
        windows,
        requests: if live { count("mn") } else { 0 },
        tokens: if live { count("mt") } else { 0 },
        parallel: u32::try_from(count("n")).unwrap_or(u32::MAX),
    }
}
