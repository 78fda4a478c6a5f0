//! Identity as other processes change it, and as the database has it.

use std::sync::Arc;

use policy::budget::Book;
use policy::identity::Claim;
use store::change::EntityRow;
use store::identity::Spent;
use store::reader::ReadError;

use super::{Identity, load};
use crate::config::Config;
use crate::digest::DigestKey;

impl Identity {
    /// Takes over rows that another process has committed, unless newer ones are here, and wakes open streams.
    pub(crate) fn take_over(&self, stored: &[EntityRow]) {
        let rows = load::rows(stored, &self.secrets);
        let newer: Vec<_> = {
            let tables = self.directory.read();
            rows.into_iter()
                .zip(stored)
                .filter(|(row, _)| {
                    let here = tables.get(row.kind, &row.tenant, &row.id);
                    here.is_none_or(|here| here.version < row.version)
                })
                .map(|(row, stored)| (row, stored.deleted))
                .collect()
        };
        self.directory.apply(newer);
        self.wake();
    }

    /// Reads every entity from the database again, and wakes open streams. Blocks, also while this process changes one: what
    /// was read before a change must not replace what it left.
    pub(crate) fn read_again(&self, digests: &DigestKey) -> Result<(), ReadError> {
        let Some(replicas) = &self.replicas else {
            return Ok(());
        };
        let _alone = self.editing.blocking_lock();
        let mut rows = Vec::new();
        replicas.truth().read(&mut |reader| {
            let all = load::all(&self.secrets, digests, None, |each| {
                reader.entities_in(load::CHUNK, each)
            })?;
            rows.extend(all.rows);
            Ok(())
        })?;
        self.directory.replace(rows);
        self.wake();
        Ok(())
    }

    fn wake(&self) {
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Counts every priced call that `read` gives into a book.
    pub(crate) fn replay<T>(
        &self,
        book: &mut Book,
        digests: &DigestKey,
        config: &Config,
        now: i64,
        read: impl FnOnce(&mut dyn FnMut(&Spent)) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let tables = self.directory.read();
        load::replay(book, &tables, digests, config, now, read)
    }

    /// The objects that a past call counts against.
    pub(crate) fn claims_of_past(
        &self,
        spent: &Spent,
        digests: &DigestKey,
        config: &Config,
    ) -> Vec<Claim> {
        let tables = self.directory.read();
        let customers = load::customers(&tables, digests);
        let end_user = customers.get(&spent.end_user).map(|id| &**id);
        load::claims(&tables, config, spent, end_user)
    }

    /// Tells the shared book what an administrator set, and forgets what is gone.
    pub(super) async fn tell_book(&self, rows: &[super::change::Applied], now: i64) {
        let Some(replicas) = &self.replicas else {
            return;
        };
        for done in rows {
            let Some(object) = policy::identity::Tables::object(&done.row) else {
                continue;
            };
            let spend = done.spend.map(|spend| (spend.amount, spend.since));
            replicas.changed(&object, done.deleted, spend, now).await;
        }
    }

    /// The other processes, where limits are shared with any.
    pub(crate) fn others(&self) -> Option<Arc<crate::replicas::Replicas>> {
        self.replicas.clone()
    }
}
