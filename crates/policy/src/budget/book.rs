//! The book of all accounts: reserve, settle, release.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::account::Account;
use super::caps::Caps;
use super::exceeded::{Dimension, Exceeded, Object};
use super::span::{Calendar, Period, Span};
use super::standing::Standing;
use crate::money::MicroUsd;

/// A minute and a day of rate windows, in microseconds.
const MINUTE: i64 = 60_000_000;
const DAY: i64 = 86_400_000_000;

/// Which tokens count against limits of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TokenKind {
    /// Prompt and answer.
    #[default]
    Total,
    /// Prompt only.
    Input,
    /// Answer only.
    Output,
}

/// Rules that hold for every account.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Where days begin.
    pub calendar: Calendar,
    /// Which tokens count.
    pub tokens: TokenKind,
}

impl Rules {
    /// The tokens of a prompt and an answer that count against limits of tokens.
    #[must_use]
    pub fn counted(&self, input: u64, output: u64) -> u64 {
        match self.tokens {
            TokenKind::Total => input.saturating_add(output),
            TokenKind::Input => input,
            TokenKind::Output => output,
        }
    }
}

/// Which tokens of a call one object counts, and how many of them a call holds before they are known. Except where the rules
/// of the book decide, a prompt that no minute could hold waits for an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Measure {
    /// Those that the rules of the book count; the answer is held at its expected length, and what no minute could hold is
    /// refused.
    #[default]
    Ruled,
    /// Prompt and answer; of the answer nothing is held.
    Total,
    /// The prompt.
    Input,
    /// The answer; nothing is held.
    Output,
}

impl Measure {
    /// The tokens that a call holds until they are known.
    #[must_use]
    pub fn held(self, rules: &Rules, ask: &Ask) -> u64 {
        match self {
            Self::Ruled => rules.counted(ask.input, ask.output),
            Self::Total | Self::Input => ask.input,
            Self::Output => 0,
        }
    }

    /// The tokens that count in the end.
    #[must_use]
    pub fn used(self, rules: &Rules, used: &Used) -> u64 {
        match self {
            Self::Ruled => rules.counted(used.input, used.output),
            Self::Total => used.input.saturating_add(used.output),
            Self::Input => used.input,
            Self::Output => used.output,
        }
    }
}

/// One object that a call counts against, with its limits at this moment.
#[derive(Clone, Debug)]
pub struct Demand<'a> {
    /// The object.
    pub object: Object,
    /// How errors show it.
    pub shown: &'a str,
    /// Its limits; without any its spend is counted only.
    pub caps: Option<&'a Caps>,
    /// When its budget began, microseconds since the Unix epoch.
    pub anchor: i64,
    /// The tokens that its limits of tokens count.
    pub measure: Measure,
}

/// What a call may use at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Money.
    pub money: MicroUsd,
    /// Prompt tokens.
    pub input: u64,
    /// Answer tokens.
    pub output: u64,
}

/// What a call used in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Money.
    pub money: MicroUsd,
    /// Prompt tokens.
    pub input: u64,
    /// Answer tokens.
    pub output: u64,
}

/// An object that reached its soft budget with a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// Which.
    pub object: Object,
    /// The soft budget.
    pub soft: MicroUsd,
    /// What is spent now.
    pub spent: MicroUsd,
}

/// What an account shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Settled since the object exists, or since its spend was last set.
    pub total: MicroUsd,
    /// By window: period, window, settled, reserved.
    pub windows: Vec<(Option<Period>, Span, MicroUsd, MicroUsd)>,
    /// Calls of the current minute window.
    pub requests: u64,
    /// Tokens of the current minute window.
    pub tokens: u64,
    /// Calls in flight.
    pub parallel: u32,
}

/// What one reservation holds of one purse.
#[derive(Clone, Copy, Debug)]
struct Line {
    period: Option<Period>,
    start: i64,
    limit: MicroUsd,
}

/// What one reservation holds of one account.
#[derive(Debug)]
struct Entry {
    object: Object,
    shown: String,
    lines: Vec<Line>,
    minute: Option<i64>,
    day: Option<i64>,
    soft: Option<MicroUsd>,
    measure: Measure,
    /// What limits of tokens hold.
    tokens: u64,
}

/// A reservation.
#[derive(Debug)]
pub(super) struct Ticket {
    entries: Vec<Entry>,
    standings: Vec<Standing>,
    ask: Ask,
    arrival: i64,
}

/// All accounts.
#[derive(Debug, Default)]
pub struct Book {
    rules: Rules,
    accounts: HashMap<Object, Account>,
}

impl Book {
    /// An empty book.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            accounts: HashMap::new(),
        }
    }

    /// Replaces the rules; windows that have begun stay.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Sets what an object has spent: at start, and when an administrator resets it. Calls that arrived before `since` do not
    /// change it any more.
    pub fn set_spend(&mut self, object: &Object, spent: MicroUsd, since: i64) {
        let account = self.accounts.entry(object.clone()).or_default();
        account.total = spent.micro();
        account.since = since;
        account.soft_said = None;
        for purse in &mut account.purses {
            purse.settled = spent.micro();
            purse.reserved = 0;
        }
    }

    /// Counts a settled call of the past, while the book is rebuilt from rows of spend. `caps` are the object's limits now.
    pub fn replay(&mut self, demand: &Demand<'_>, at: i64, money: MicroUsd, now: i64) {
        let calendar = &self.rules.calendar;
        let account = self.accounts.entry(demand.object.clone()).or_default();
        if at < account.since {
            return;
        }
        for (period, _) in demand.caps.into_iter().flat_map(|caps| caps.budgets(now)) {
            // The lifetime's purse begins with the total, so it is made before the total grows.
            let purse = account.purse(calendar, period, demand.anchor, now);
            if purse.span.contains(at) {
                purse.settled = purse.settled.saturating_add(money.micro());
            }
        }
        account.total = account.total.saturating_add(money.micro());
    }

    /// What an object has used.
    #[must_use]
    pub fn usage(&self, object: &Object, now: i64) -> Usage {
        let Some(account) = self.accounts.get(object) else {
            return Usage::default();
        };
        let mut minute = account.minute;
        minute.roll(now, MINUTE);
        let live = account
            .purses
            .iter()
            .filter(|purse| now < purse.span.end)
            .map(|purse| {
                let (settled, reserved) =
                    (MicroUsd::new(purse.settled), MicroUsd::new(purse.reserved));
                (purse.period, purse.span, settled, reserved)
            });
        Usage {
            total: MicroUsd::new(account.total),
            windows: live.collect(),
            requests: minute.requests,
            tokens: minute.tokens,
            parallel: account.parallel,
        }
    }

    /// Every object that something was counted for, in no order.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.accounts.keys()
    }

    /// The instant before which calls do not change an object's spend any more.
    #[must_use]
    pub fn since(&self, object: &Object) -> i64 {
        self.accounts.get(object).map_or(0, |account| account.since)
    }

    /// Forgets an object that was deleted, unless calls are in flight.
    pub fn forget(&mut self, object: &Object) {
        let idle = |account: &Account| {
            account.parallel == 0 && account.purses.iter().all(|purse| purse.reserved == 0)
        };
        if self.accounts.get(object).is_some_and(idle) {
            self.accounts.remove(object);
        }
    }

    /// Takes everything that a call needs, or nothing.
    pub(super) fn reserve(
        &mut self,
        now: i64,
        demands: &[Demand<'_>],
        ask: &Ask,
    ) -> Result<Ticket, Exceeded> {
        for demand in demands {
            self.check(now, demand, ask)?;
        }
        let mut standings = Vec::new();
        let entries = demands
            .iter()
            .map(|demand| self.take(now, demand, ask, &mut standings))
            .collect();
        Ok(Ticket {
            entries,
            standings,
            ask: *ask,
            arrival: now,
        })
    }

    fn check(&mut self, now: i64, demand: &Demand<'_>, ask: &Ask) -> Result<(), Exceeded> {
        let Some(caps) = demand.caps else {
            return Ok(());
        };
        let tokens = demand.measure.held(&self.rules, ask);
        let calendar = &self.rules.calendar;
        let account = self.accounts.entry(demand.object.clone()).or_default();
        let refused = |dimension, limit: i64, current: i64, needed: i64, resets_at| Exceeded {
            object: demand.object.clone(),
            shown: demand.shown.to_owned(),
            dimension,
            limit,
            current,
            reserved: 0,
            needed,
            resets_at,
            now,
        };
        for (period, limit) in caps.budgets(now) {
            let purse = account.purse(calendar, period, demand.anchor, now);
            if !fits(purse.settled, purse.reserved, ask.money, limit) {
                return Err(Exceeded {
                    reserved: purse.reserved,
                    ..refused(
                        Dimension::Budget,
                        limit.micro(),
                        purse.settled,
                        ask.money.micro(),
                        (purse.span.end != i64::MAX).then_some(purse.span.end),
                    )
                });
            }
        }
        account.minute.roll(now, MINUTE);
        account.day.roll(now, DAY);
        let (minute, day) = (account.minute, account.day);
        let minute_end = Some(minute.start.saturating_add(MINUTE));
        if let Some(limit) = caps.rpm_limit
            && minute.requests >= limit
        {
            let (limit, used) = (signed(limit), signed(minute.requests));
            return Err(refused(Dimension::Requests, limit, used, 1, minute_end));
        }
        let patient = demand.measure != Measure::Ruled;
        let over = |used: u64, limit: u64| {
            let waits = used.saturating_add(tokens) > limit && !(patient && used == 0);
            waits || used >= limit
        };
        if let Some(limit) = caps.tpm_limit
            && over(minute.tokens, limit)
        {
            let (limit, used) = (signed(limit), signed(minute.tokens));
            let needed = signed(tokens);
            return Err(refused(Dimension::Tokens, limit, used, needed, minute_end));
        }
        if let Some(limit) = caps.tpd_limit
            && over(day.tokens, limit)
        {
            let (limit, used, needed) = (signed(limit), signed(day.tokens), signed(tokens));
            let end = Some(day.start.saturating_add(DAY));
            return Err(refused(Dimension::TokensPerDay, limit, used, needed, end));
        }
        if let Some(limit) = caps.max_parallel_requests
            && account.parallel >= limit
        {
            let (limit, used) = (i64::from(limit), i64::from(account.parallel));
            return Err(refused(Dimension::Parallel, limit, used, 1, None));
        }
        Ok(())
    }

    fn take(
        &mut self,
        now: i64,
        demand: &Demand<'_>,
        ask: &Ask,
        standings: &mut Vec<Standing>,
    ) -> Entry {
        let tokens = demand.measure.held(&self.rules, ask);
        let calendar = &self.rules.calendar;
        let account = self.accounts.entry(demand.object.clone()).or_default();
        let mut entry = Entry {
            object: demand.object.clone(),
            shown: demand.shown.to_owned(),
            lines: Vec::new(),
            minute: None,
            day: None,
            soft: None,
            measure: demand.measure,
            tokens,
        };
        account.parallel = account.parallel.saturating_add(1);
        let Some(caps) = demand.caps else {
            return entry;
        };
        entry.soft = caps.soft_budget;
        for (period, limit) in caps.budgets(now) {
            let purse = account.purse(calendar, period, demand.anchor, now);
            purse.reserved = purse.reserved.saturating_add(ask.money.micro());
            entry.lines.push(Line {
                period,
                start: purse.span.start,
                limit,
            });
        }
        // The windows were rolled by the check.
        account.minute.requests = account.minute.requests.saturating_add(1);
        account.minute.tokens = account.minute.tokens.saturating_add(tokens);
        entry.minute = Some(account.minute.start);
        let used = (
            account.minute.requests,
            account.minute.tokens,
            account.parallel,
        );
        Standing::add(standings, &demand.object, caps, used);
        if caps.tpd_limit.is_some() {
            account.day.requests = account.day.requests.saturating_add(1);
            account.day.tokens = account.day.tokens.saturating_add(tokens);
            entry.day = Some(account.day.start);
        }
        entry
    }

    /// Turns a reservation over to another target, which counts against other objects and costs more or less: what both
    /// have in common is kept, what only `demands` has is taken, what is missing there is given back.
    fn exchange(
        &mut self,
        ticket: &mut Ticket,
        now: i64,
        demands: &[Demand<'_>],
        money: MicroUsd,
    ) -> Result<(), Exceeded> {
        let ask = Ask {
            money,
            ..ticket.ask
        };
        let held = |object: &Object| ticket.entries.iter().any(|entry| entry.object == *object);
        let added = || demands.iter().filter(|demand| !held(&demand.object));
        let stays = |entry: &Entry| demands.iter().any(|demand| demand.object == entry.object);
        self.check_kept(
            ticket.entries.iter().filter(|entry| stays(entry)),
            now,
            &ticket.ask,
            money,
        )?;
        for demand in added() {
            self.check(now, demand, &ask)?;
        }
        let taken: Vec<Entry> = added()
            .map(|demand| self.take(now, demand, &ask, &mut ticket.standings))
            .collect();
        self.turn(ticket, &ask, stays);
        ticket.entries.extend(taken);
        Ok(())
    }

    /// Puts another amount in place of what the objects that stay hold, and gives back what the others held.
    fn turn(&mut self, ticket: &mut Ticket, ask: &Ask, stays: impl Fn(&Entry) -> bool) {
        let old = ticket.ask.money.micro();
        for entry in &ticket.entries {
            let Some(account) = self.accounts.get_mut(&entry.object) else {
                continue;
            };
            let stays = stays(entry);
            let now_held = if stays { ask.money.micro() } else { 0 };
            for line in &entry.lines {
                if let Some(purse) = account.purses.iter_mut().find(|purse| purse.is(line)) {
                    let others = purse.reserved.saturating_sub(old).max(0);
                    purse.reserved = others.saturating_add(now_held);
                }
            }
            if !stays {
                account.give_back(entry.minute, entry.day, entry.tokens);
            }
        }
        ticket.entries.retain(stays);
        ticket.ask = *ask;
    }

    /// Whether the objects that a reservation keeps have room for another amount in place of the old one.
    fn check_kept<'e>(
        &self,
        entries: impl Iterator<Item = &'e Entry>,
        now: i64,
        ask: &Ask,
        money: MicroUsd,
    ) -> Result<(), Exceeded> {
        let old = ask.money.micro();
        for entry in entries {
            let Some(account) = self.accounts.get(&entry.object) else {
                continue;
            };
            for line in &entry.lines {
                let Some(purse) = account.purses.iter().find(|purse| purse.is(line)) else {
                    continue;
                };
                let others = purse.reserved.saturating_sub(old).max(0);
                if !fits(purse.settled, others, money, line.limit) {
                    return Err(Exceeded {
                        object: entry.object.clone(),
                        shown: entry.shown.clone(),
                        dimension: Dimension::Budget,
                        limit: line.limit.micro(),
                        current: purse.settled,
                        reserved: others,
                        needed: money.micro(),
                        resets_at: (purse.span.end != i64::MAX).then_some(purse.span.end),
                        now,
                    });
                }
            }
        }
        Ok(())
    }

    /// Ends a reservation: what it held is given back and what was used is counted.
    fn settle(&mut self, ticket: Ticket, used: &Used) -> Vec<Crossed> {
        let mut crossed = Vec::new();
        for entry in ticket.entries {
            let tokens = entry.measure.used(&self.rules, used);
            let Some(account) = self.accounts.get_mut(&entry.object) else {
                continue;
            };
            account.parallel = account.parallel.saturating_sub(1);
            let counts = ticket.arrival >= account.since;
            if counts {
                account.total = account.total.saturating_add(used.money.micro());
            }
            let mut first = None;
            for line in &entry.lines {
                let Some(purse) = account.purses.iter_mut().find(|purse| purse.is(line)) else {
                    continue;
                };
                purse.reserved = purse
                    .reserved
                    .saturating_sub(ticket.ask.money.micro())
                    .max(0);
                if counts {
                    purse.settled = purse.settled.saturating_add(used.money.micro());
                }
                first = first.or(Some((purse.settled, purse.span.start)));
            }
            if entry.minute == Some(account.minute.start) {
                let others = account.minute.tokens.saturating_sub(entry.tokens);
                account.minute.tokens = others.saturating_add(tokens);
            }
            if entry.day == Some(account.day.start) {
                let others = account.day.tokens.saturating_sub(entry.tokens);
                account.day.tokens = others.saturating_add(tokens);
            }
            let (spent, window) = first.unwrap_or((account.total, i64::MIN));
            if let Some(soft) = entry.soft
                && spent >= soft.micro()
                && account.soft_said != Some(window)
            {
                account.soft_said = Some(window);
                crossed.push(Crossed {
                    object: entry.object,
                    soft,
                    spent: MicroUsd::new(spent),
                });
            }
        }
        crossed
    }
}

impl super::account::Purse {
    fn is(&self, line: &Line) -> bool {
        self.period == line.period && self.span.start == line.start
    }
}

/// Whether one more call fits. A budget that is used up refuses free calls too.
fn fits(settled: i64, reserved: i64, money: MicroUsd, limit: MicroUsd) -> bool {
    let sum = settled
        .saturating_add(reserved)
        .saturating_add(money.micro());
    sum <= limit.micro() && settled < limit.micro()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A book that all threads share.
#[derive(Debug, Default)]
pub struct Shelf {
    book: Mutex<Book>,
}

/// A reservation that is held. Settling consumes it; dropping it gives everything back.
///
/// ```compile_fail
/// fn twice(hold: policy::budget::Hold) -> (policy::budget::Hold, policy::budget::Hold) {
///     (hold.clone(), hold)
/// }
/// ```
#[derive(Debug)]
#[must_use = "a reservation that is dropped at once protects nothing"]
pub struct Hold {
    shelf: Arc<Shelf>,
    ticket: Option<Ticket>,
}

impl Shelf {
    /// Shares a book.
    #[must_use]
    pub fn new(book: Book) -> Arc<Self> {
        Arc::new(Self {
            book: Mutex::new(book),
        })
    }

    /// The book, for reading and for changes by an administrator.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        // A panic elsewhere leaves counters that are at worst too high.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a call needs at `now`, of all objects or of none.
    ///
    /// # Errors
    /// [`Exceeded`]: the first limit that does not fit, in the order of `demands`.
    pub fn reserve(
        self: &Arc<Self>,
        now: i64,
        demands: &[Demand<'_>],
        ask: &Ask,
    ) -> Result<Hold, Exceeded> {
        let ticket = self.book().reserve(now, demands, ask)?;
        Ok(Hold {
            shelf: Arc::clone(self),
            ticket: Some(ticket),
        })
    }

    /// The limit of an object that would refuse a call at `now`. Nothing is taken.
    pub fn refuses(&self, now: i64, demand: &Demand<'_>, ask: &Ask) -> Option<Exceeded> {
        self.book().check(now, demand, ask).err()
    }
}

impl Hold {
    /// The money that is held.
    #[must_use]
    pub fn money(&self) -> MicroUsd {
        self.ticket
            .as_ref()
            .map_or(MicroUsd::ZERO, |ticket| ticket.ask.money)
    }

    /// What was left of each limit of rates when the call was admitted.
    #[must_use]
    pub fn standings(&self) -> &[Standing] {
        self.ticket.as_ref().map_or(&[], |ticket| &ticket.standings)
    }

    /// Holds what another target asks for: other objects, another amount. On an error everything stays as it was.
    ///
    /// # Errors
    /// [`Exceeded`] when the new amount does not fit.
    pub fn exchange(
        &mut self,
        now: i64,
        demands: &[Demand<'_>],
        money: MicroUsd,
    ) -> Result<(), Exceeded> {
        match &mut self.ticket {
            Some(ticket) => self.shelf.book().exchange(ticket, now, demands, money),
            None => Ok(()),
        }
    }

    /// Counts what was used and gives the rest back; returns soft budgets that were reached.
    pub fn settle(mut self, used: &Used) -> Vec<Crossed> {
        match self.ticket.take() {
            Some(ticket) => self.shelf.book().settle(ticket, used),
            None => Vec::new(),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let nothing = Used::default();
            let _crossed = self.shelf.book().settle(ticket, &nothing);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::{Ask, Book, Caps, Demand, Object, Rules, Shelf, Used};
    use crate::budget::ObjectKind;
    use crate::money::MicroUsd;

    #[test]
    fn many_threads_never_pass_the_limit() {
        let shelf = Shelf::new(Book::new(Rules::default()));
        let caps = Caps {
            max_budget: Some(MicroUsd::new(5_000)),
            ..Caps::default()
        };
        let (money, admitted) = (MicroUsd::new(100), AtomicI64::new(0));
        let call = || {
            let demand = Demand {
                object: Object::new(ObjectKind::Key, "k"),
                shown: "k",
                caps: Some(&caps),
                anchor: 0,
                measure: super::Measure::Ruled,
            };
            let ask = Ask {
                money,
                ..Ask::default()
            };
            if let Ok(hold) = shelf.reserve(1, &[demand], &ask) {
                admitted.fetch_add(100, Ordering::SeqCst);
                let used = Used {
                    money,
                    ..Used::default()
                };
                hold.settle(&used);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..200).for_each(|_| call()));
            }
        });
        assert_eq!(admitted.into_inner(), 5_000);
    }
}
