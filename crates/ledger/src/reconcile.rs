//! After a commit whose outcome is unknown: look, item by item, before anything else is written.

use capsule::Sealed;

use crate::{
    error::Damage,
    journal::{Head, JournalError},
    sequencer::{Attempt, Failure, Sequencer},
    signing::redraft,
    work::Work,
};

impl Sequencer {
    /// After an unknown outcome: reopens and looks up every item. `Ok(true)`: it is durable, as if the
    /// commit had returned `Ok`. `Ok(false)`: nothing of it is there.
    pub(crate) fn reconcile(&mut self, works: &[Work], attempt: &Attempt) -> Result<bool, Failure> {
        self.journal.reopen().map_err(Failure::Later)?;
        let mut verdict = None;
        for (at, work) in works.iter().enumerate() {
            let sealed = attempt.sealed.get(at).and_then(Option::as_ref);
            let number = attempt.numbers.get(at).copied().flatten();
            let Some(there) = self
                .persisted(work, sealed, number)
                .map_err(Failure::Later)?
            else {
                continue;
            };
            match verdict {
                Some(other) if other != there => return Err(Failure::Stop(Damage::Torn)),
                _ => verdict = Some(there),
            }
        }
        let persisted = verdict.unwrap_or(false);
        if persisted {
            self.accept(attempt);
        }
        Ok(persisted)
    }

    /// `None` for items whose repetition is harmless.
    fn persisted(
        &mut self,
        work: &Work,
        sealed: Option<&Sealed>,
        number: Option<u64>,
    ) -> Result<Option<bool>, JournalError> {
        match (work, sealed, number) {
            (Work::Seal(_), Some(sealed), _) => {
                let found = self.journal.find_record(&self.chain, &sealed.id())?;
                Ok(Some(
                    found
                        == Some(Head {
                            sequence: sealed.sequence(),
                            hash: sealed.hash(),
                        }),
                ))
            }
            (Work::Open(_), _, Some(number)) => self
                .journal
                .has_intent(&self.chain, &self.boot, number)
                .map(Some),
            _ => Ok(None),
        }
    }
}

/// Turns the records of a failed attempt back into drafts. A record of ours that cannot be read back
/// would be lost, so that stops the ledger: its intents are recovered at the next start.
pub(crate) fn restore(works: &mut [Work], attempt: &mut Attempt) -> Result<(), Failure> {
    for (work, sealed) in works.iter_mut().zip(attempt.sealed.drain(..)) {
        if let (Work::Seal(seal), Some(sealed)) = (work, sealed) {
            seal.draft = Some(redraft(&sealed).ok_or(Failure::Stop(Damage::Record {
                sequence: sealed.sequence(),
                message: "cannot be read back".to_owned(),
            }))?);
        }
    }
    Ok(())
}
