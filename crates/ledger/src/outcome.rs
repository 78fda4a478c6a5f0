//! What the outcome of a transaction means for each of its items: callers are woken, refused, or kept
//! waiting for another try.

use std::sync::atomic::Ordering;

use crate::{
    checkpointer::Leaf,
    committer::{Committer, refuse},
    courier::Told,
    error::{Damage, OpenError, SettleError},
    intent::{Committed, Opened},
    quarantine,
    queue::merge,
    reconcile::restore,
    sequencer::{Attempt, Failure, Refusal},
    work::{Hold, Open, Seal, Subject, Work},
};

impl Committer {
    /// One try of one transaction.
    pub(crate) fn commit(&mut self, mut batch: Vec<Work>) -> Result<(), Damage> {
        match self.sequencer.attempt(&mut batch, self.clock.now()) {
            Ok(attempt) => self.committed(batch, attempt),
            Err(Failure::Later(error)) => {
                self.put_back(batch);
                self.fall_back(&error.to_string());
            }
            Err(Failure::Poison(at, refusal)) => self.poison(batch, at, refusal)?,
            Err(Failure::Suspect(error)) => self.suspect(batch, &error.to_string())?,
            Err(Failure::Unknown(attempt, error)) => {
                tracing::error!(target: "sealgate::ledger", %error, "outcome of a commit unknown; reopening");
                self.shared.fail(error.to_string());
                return self.resolve(batch, *attempt);
            }
            Err(Failure::Stop(damage)) => return Err(damage),
        }
        Ok(())
    }

    /// Reopens the store and finds out whether a transaction with unknown outcome is durable.
    pub(crate) fn resolve(
        &mut self,
        mut works: Vec<Work>,
        mut attempt: Attempt,
    ) -> Result<(), Damage> {
        match self.sequencer.reconcile(&works, &attempt) {
            Ok(true) => {
                self.lost_commits = 0;
                self.committed(works, attempt);
            }
            Ok(false) => {
                if let Err(Failure::Stop(damage)) = restore(&mut works, &mut attempt) {
                    return Err(damage);
                }
                self.put_back(works);
                self.lost_commits += 1;
                // Once may be chance and costs the callers nothing but the second try.
                if self.lost_commits > 1 {
                    self.fall_back("commits fail although the store can be opened");
                }
            }
            Err(Failure::Stop(damage)) => return Err(damage),
            Err(Failure::Later(error)) => {
                // Callers are told now; should their intents turn out to be durable, they are sealed
                // as abandoned.
                for work in &mut works {
                    if let Work::Open(open) = work
                        && let Some(reply) = open.reply.take()
                    {
                        let _gone = reply.send(Err(OpenError::because(error.to_string())));
                    }
                }
                self.unknown = Some((works, attempt));
                self.fall_back(&error.to_string());
            }
            Err(Failure::Poison(..) | Failure::Suspect(_) | Failure::Unknown(..)) => {
                return Err(Damage::Torn);
            }
        }
        Ok(())
    }

    /// Everything in the batch is durable: wake the callers, then feed the tree.
    fn committed(&mut self, batch: Vec<Work>, attempt: Attempt) {
        let counters = &self.shared.counters;
        counters.commits.fetch_add(1, Ordering::Relaxed);
        counters
            .records
            .fetch_add(attempt.records() as u64, Ordering::Relaxed);
        if attempt.foreign > 0 {
            let count = attempt.foreign;
            counters.adopted.fetch_add(count, Ordering::Relaxed);
            tracing::warn!(
                target: "sealgate::ledger",
                count,
                after = attempt.before().map(|head| head.sequence),
                "adopted records that another writer appended with this ledger's key"
            );
        }
        if let Some((size, doubtful)) = self.bisect {
            let left = doubtful.saturating_sub(batch.len());
            self.bisect = (left > 0).then_some((size, left));
        }
        self.pause = None;
        self.lost_commits = 0;
        self.admit();
        let items = batch.into_iter().zip(attempt.numbers).zip(&attempt.sealed);
        let told = items
            .filter_map(|((work, number), sealed)| self.answer(work, number, sealed.as_ref()))
            .collect();
        self.shared.dispatch.send(told);
        let adopted = attempt.adopted.into_iter().map(Leaf::Hash);
        let own = attempt.sealed.into_iter().flatten().map(Leaf::Sealed);
        self.feed.push(adopted.chain(own));
    }

    /// Gives back what the caller of an intent is to be told.
    fn answer(
        &self,
        work: Work,
        number: Option<u64>,
        sealed: Option<&capsule::Sealed>,
    ) -> Option<Told> {
        match (work, number) {
            (Work::Open(open), Some(number)) => {
                self.shared.counters.intents.fetch_add(1, Ordering::Relaxed);
                let Open {
                    intent,
                    slot,
                    reply,
                } = *open;
                let boot = self.sequencer.boot;
                let subject = Subject {
                    id: intent.id,
                    boot,
                    number,
                    opened_at: intent.opened_at,
                };
                let opened = Opened::committed(subject, slot);
                reply.map(|reply| (reply, Ok(opened)))
            }
            (Work::Seal(seal), _) => {
                self.settled(*seal, sealed);
                None
            }
            _ => None,
        }
    }

    fn settled(&self, seal: Seal, sealed: Option<&capsule::Sealed>) {
        let quarantined = seal.quarantine.is_some();
        if quarantined {
            self.shared
                .counters
                .quarantined
                .fetch_add(1, Ordering::Relaxed);
        }
        if matches!(seal.hold, Hold::Slot(_)) {
            self.shared.open_calls.fetch_sub(1, Ordering::AcqRel);
        }
        if let Some(reply) = seal.reply {
            let result = sealed
                .ok_or(SettleError::AlreadySettled)
                .map(|sealed| Committed {
                    id: sealed.id(),
                    sequence: sealed.sequence(),
                    hash: sealed.hash(),
                    quarantined,
                });
            let _gone = reply.send(result);
        }
    }

    /// The store refuses this item; the others are tried again without it.
    fn poison(&mut self, mut batch: Vec<Work>, at: usize, refusal: Refusal) -> Result<(), Damage> {
        let reason = match &refusal {
            Refusal::Store(reason) => reason.clone(),
            Refusal::AlreadySettled => "already settled".to_owned(),
        };
        match batch.get_mut(at) {
            Some(Work::Seal(seal)) if seal.strikes < quarantine::MAX_STRIKES => {
                let replaced = self.quarantine(seal, refusal);
                self.put_back(batch);
                if let Err(error) = replaced {
                    self.fall_back(&error.to_string());
                }
            }
            Some(Work::Open(_)) => {
                if let Work::Open(open) = batch.remove(at) {
                    refuse(*open, &reason);
                }
                self.put_back(batch);
            }
            // Nothing smaller is left to try. Its intent stays open, so that the next start seals it.
            Some(Work::Seal(_)) => {
                if let Work::Seal(seal) = batch.remove(at) {
                    self.give_up(*seal, &reason);
                }
                self.put_back(batch);
            }
            // The ledger's own bookkeeping.
            _ => {
                self.put_back(batch);
                self.fall_back(&reason);
            }
        }
        Ok(())
    }

    fn give_up(&self, seal: Seal, reason: &str) {
        let id = seal.subject.map(|subject| subject.id.to_string());
        tracing::error!(target: "sealgate::ledger", reason, id, "a call could not be sealed in any form");
        self.shared.fail(reason.to_owned());
        if let Some(reply) = seal.reply {
            let _gone = reply.send(Err(SettleError::Refused(reason.to_owned())));
        }
    }

    /// Some item of the batch is refused and the store does not say which: try halves.
    fn suspect(&mut self, batch: Vec<Work>, reason: &str) -> Result<(), Damage> {
        let doubtful = batch.len();
        if doubtful == 1 {
            self.bisect = self
                .bisect
                .map(|(size, left)| (size, left.saturating_sub(1)));
            return self.poison(batch, 0, Refusal::Store(reason.to_owned()));
        }
        let left = self.bisect.map_or(0, |(_, left)| left).max(doubtful);
        self.bisect = Some((doubtful.div_ceil(2), left));
        self.put_back(batch);
        Ok(())
    }

    /// Puts items back in front, in their order; a tree write goes back to its own place.
    fn put_back(&mut self, batch: Vec<Work>) {
        for work in batch.into_iter().rev() {
            match work {
                Work::Tree(older) => {
                    self.tree = Some(match self.tree.take() {
                        Some(newer) => merge(Some(older), newer),
                        None => older,
                    });
                }
                work => self.held.push_front(work),
            }
        }
    }
}
