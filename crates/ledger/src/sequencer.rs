//! One transaction: lock the head, give every item its place, seal, store, commit.
//!
//! The sequencer alone knows the head and the boot's last intent number, and changes both only after
//! a commit whose outcome is certain.

use capsule::{Id, Sealed, Signer, Timestamp};

use crate::{
    error::Damage,
    journal::{Chain, Class, Head, Journal, JournalError, LockedHead},
    reconcile::restore,
    row::{RowKeys, adopt_rows},
    signing::{redraft, sign},
    tree::NodeHash,
    work::{Open, Seal, Work},
};

/// Owner of the head of one chain.
pub(crate) struct Sequencer {
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) chain: Chain,
    pub(crate) signer: std::sync::Arc<dyn Signer>,
    pub(crate) keys: RowKeys,
    /// The last record that is certainly durable; `None` before genesis.
    pub(crate) head: Option<Head>,
    pub(crate) boot: Id,
    /// The last intent number of this boot that is certainly durable.
    pub(crate) last_intent: u64,
    /// Set for a record that names its own place: a batch that would begin elsewhere is not committed.
    pub(crate) only_at: Option<u64>,
}

/// What a transaction did, or would have done.
pub(crate) struct Attempt {
    before: Option<Head>,
    head: Option<Head>,
    last_intent: u64,
    /// Per item: the intent number it got.
    pub(crate) numbers: Vec<Option<u64>>,
    /// Per item: the record it became.
    pub(crate) sealed: Vec<Option<Sealed>>,
    /// Leaves of records that somebody else had appended, which come before ours.
    pub(crate) adopted: Vec<NodeHash>,
    /// How many of those no sequencer of this ledger committed.
    pub(crate) foreign: u64,
}

/// Why a transaction did not commit.
pub(crate) enum Failure {
    /// Nothing is persisted and no item is to blame.
    Later(JournalError),
    /// Nothing is persisted and this item is to blame.
    Poison(usize, Refusal),
    /// Nothing is persisted and an unknown item is to blame.
    Suspect(JournalError),
    /// It is not known whether it is persisted. The journal must be reopened before anything else.
    Unknown(Box<Attempt>, JournalError),
    /// The chain cannot be continued.
    Stop(Damage),
}

/// Why one item cannot be stored.
pub(crate) enum Refusal {
    /// The store does not take it.
    Store(String),
    /// Its intent is gone: somebody settled the call.
    AlreadySettled,
}

enum Fault {
    Journal(JournalError),
    Refused(Refusal),
    Stop(Damage),
}

impl From<JournalError> for Fault {
    fn from(error: JournalError) -> Fault {
        Fault::Journal(error)
    }
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Fault {
        Fault::Stop(damage)
    }
}

impl Sequencer {
    /// Tries to commit all items in one transaction. Whatever the outcome, `works` holds every item
    /// whole again unless the commit is certain or open.
    pub(crate) fn attempt(
        &mut self,
        works: &mut [Work],
        now: Timestamp,
    ) -> Result<Attempt, Failure> {
        let mut attempt = Attempt {
            before: self.head,
            head: self.head,
            last_intent: self.last_intent,
            numbers: Vec::with_capacity(works.len()),
            sealed: Vec::with_capacity(works.len()),
            adopted: Vec::new(),
            foreign: 0,
        };
        let fault = match self.transact(works, &mut attempt, now) {
            Ok(()) => {
                self.accept(&attempt);
                return Ok(attempt);
            }
            Err(fault) => fault,
        };
        // The item that failed is the one after those that succeeded, if any was left.
        let at = attempt.sealed.len();
        let culprit = (at < works.len()).then_some(at);
        let rolled_back = match &fault {
            Fault::Journal(JournalError {
                class: Class::Fatal,
                ..
            }) => Ok(()),
            _ => self.journal.rollback(),
        };
        match (fault, rolled_back) {
            (Fault::Journal(error), _) if error.class == Class::Fatal => {
                Err(Failure::Unknown(Box::new(attempt), error))
            }
            (Fault::Stop(damage), _) => Err(Failure::Stop(damage)),
            (_, Err(error)) => Err(Failure::Unknown(Box::new(attempt), error)),
            (fault, Ok(())) => {
                restore(works, &mut attempt)?;
                Err(match (fault, culprit) {
                    (Fault::Refused(refusal), Some(at)) => Failure::Poison(at, refusal),
                    (Fault::Journal(error), Some(at)) if error.class == Class::Item => {
                        Failure::Poison(at, Refusal::Store(error.to_string()))
                    }
                    (Fault::Journal(error), None) if error.class == Class::Item => {
                        Failure::Suspect(error)
                    }
                    (Fault::Journal(error), _) => Failure::Later(error),
                    (Fault::Stop(damage), _) => Failure::Stop(damage),
                    (Fault::Refused(_), None) => Failure::Stop(Damage::Moved("a batch")),
                })
            }
        }
    }

    fn transact(
        &mut self,
        works: &mut [Work],
        attempt: &mut Attempt,
        now: Timestamp,
    ) -> Result<(), Fault> {
        self.journal.begin()?;
        let locked = self.journal.lock_head(&self.chain)?;
        let recorded = locked.recorded;
        self.catch_up(&locked, attempt, now)?;
        if let (Some(at), Some(head)) = (self.only_at, attempt.head)
            && !works.iter().all(|work| matches!(work, Work::Tree(_)))
            && head.sequence.checked_add(1) != Some(at)
        {
            return Err(Damage::Moved("the head").into());
        }
        for work in works.iter_mut() {
            let number = self.number(work, attempt)?;
            let sealed = self.apply(work, attempt, now)?;
            attempt.numbers.push(number);
            attempt.sealed.push(sealed);
        }
        if attempt.last_intent != self.last_intent {
            let (from, to) = (self.last_intent, attempt.last_intent);
            if !self
                .journal
                .advance_boot(&self.chain, &self.boot, from, to)?
            {
                return Err(Damage::Moved("the boot's intent number").into());
            }
        }
        // An empty batch writes the head over itself, which shows whether the store can write.
        if let Some(head) = attempt.head
            && (works.is_empty() || recorded != attempt.head)
            && !self
                .journal
                .move_head(&self.chain, recorded.as_ref(), &head)?
        {
            return Err(Damage::Moved("the head").into());
        }
        // ---- The line. Until `commit` returns nothing of this batch exists; from its `Ok` on, every
        // record and intent in it counts as committed: written, synced, and never rolled back.
        self.journal.commit()?;
        Ok(())
    }

    /// Continues from where the chain really ends. Only the head that we know, or records that
    /// verify under this ledger's key after it, are continued.
    fn catch_up(
        &mut self,
        locked: &LockedHead,
        attempt: &mut Attempt,
        now: Timestamp,
    ) -> Result<(), Fault> {
        if locked.last == self.head {
            return Ok(());
        }
        let known = self.head.map(|head| head.sequence);
        let Some(last) = locked.last.filter(|last| Some(last.sequence) > known) else {
            return Err(Damage::Truncated {
                expected: known.unwrap_or(0),
                found: match locked.last {
                    Some(last) => format!("{} with another hash", last.sequence),
                    None => "none".to_owned(),
                },
            }
            .into());
        };
        let adopted = adopt_rows(
            self.journal.as_mut(),
            &self.chain,
            self.head,
            &last,
            &self.keys,
        )
        .map_err(|error| match error {
            crate::row::RowError::Damage(damage) => Fault::Stop(damage),
            crate::row::RowError::Journal(error) => Fault::Journal(error),
        })?;
        let first = known.map_or(0, |known| known + 1);
        self.journal
            .note_adopted(&self.chain, first, last.sequence, now)?;
        attempt.adopted = adopted;
        let ours = locked.recorded.map(|head| head.sequence).max(known);
        attempt.foreign = ours.map_or(last.sequence + 1, |ours| last.sequence.saturating_sub(ours));
        attempt.head = Some(last);
        Ok(())
    }

    /// Intent numbers are given here, inside the transaction, so that a batch that fails leaves no gap.
    fn number(&mut self, work: &Work, attempt: &mut Attempt) -> Result<Option<u64>, Fault> {
        let Work::Open(open) = work else {
            return Ok(None);
        };
        let number = attempt.last_intent + 1;
        let intent = open.as_intent(self.boot, number);
        self.journal.insert_intent(&self.chain, &intent)?;
        attempt.last_intent = number;
        Ok(Some(number))
    }

    fn apply(
        &mut self,
        work: &mut Work,
        attempt: &mut Attempt,
        now: Timestamp,
    ) -> Result<Option<Sealed>, Fault> {
        match work {
            Work::Seal(seal) => return self.seal(seal, attempt, now),
            Work::Tree(write) => self.journal.put_tree(&self.chain, write)?,
            Work::Create(id) => self.journal.set_ledger_id(&self.chain, id)?,
            Work::BeginBoot(boot) => self.journal.begin_boot(&self.chain, boot, now)?,
            Work::CloseBoot(boot) => self.journal.close_boot(&self.chain, boot, now)?,
            Work::Open(_) | Work::Abandon(_) => {}
        }
        Ok(None)
    }

    fn seal(
        &mut self,
        seal: &mut Seal,
        attempt: &mut Attempt,
        now: Timestamp,
    ) -> Result<Option<Sealed>, Fault> {
        // Taking the intent is what entitles to settle: it can succeed only once.
        if let Some(subject) = seal.subject
            && seal.draft.is_some()
            && !self
                .journal
                .take_intent(&self.chain, &subject.boot, subject.number)?
        {
            return Err(Fault::Refused(Refusal::AlreadySettled));
        }
        if let Some(entry) = &seal.quarantine {
            self.journal.quarantine(&self.chain, entry)?;
        }
        let Some(draft) = seal.draft.take() else {
            return Ok(None);
        };
        let sequence = attempt.head.map_or(0, |head| head.sequence + 1);
        let previous = attempt.head.map(|head| head.hash);
        let signer = self.signer.as_ref();
        let sealed = match sign(draft, sequence, previous.as_ref(), signer, now) {
            Ok(sealed) => sealed,
            Err(unsigned) => {
                seal.draft = unsigned.draft;
                return Err(Fault::Journal(JournalError {
                    class: Class::Batch,
                    operation: "sign",
                    message: unsigned.error.to_string(),
                }));
            }
        };
        let stored = self.store(&sealed, seal.attachment.as_deref());
        if let Err(error) = stored {
            seal.draft = redraft(&sealed);
            return Err(Fault::Journal(error));
        }
        attempt.head = Some(Head {
            sequence,
            hash: sealed.hash(),
        });
        Ok(Some(sealed))
    }

    fn store(&mut self, sealed: &Sealed, attachment: Option<&[u8]>) -> Result<(), JournalError> {
        self.journal.insert_record(&self.chain, sealed)?;
        match attachment {
            Some(attachment) => self.journal.attach(&self.chain, sealed, attachment),
            None => Ok(()),
        }
    }

    pub(crate) fn accept(&mut self, attempt: &Attempt) {
        self.head = attempt.head;
        self.last_intent = attempt.last_intent;
    }
}

impl Attempt {
    /// Records that this attempt added.
    pub(crate) fn records(&self) -> usize {
        self.sealed.iter().flatten().count()
    }

    /// Where the chain ended before.
    pub(crate) fn before(&self) -> Option<Head> {
        self.before
    }
}

impl Open {
    fn as_intent(&self, boot: Id, number: u64) -> crate::intent::OpenIntent {
        crate::intent::OpenIntent {
            id: self.intent.id,
            boot,
            number,
            opened_at: self.intent.opened_at,
            payload: self.intent.payload.clone(),
        }
    }
}
