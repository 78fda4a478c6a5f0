//! The roll of all entities: which there are and at which version, so that a row that was deleted in the database, or put back
//! in an older state together with the MAC of that state, is noticed at the next start.
//!
//! The sum of a secret value for each (kind, id, version), and a count of changes, are kept in a row of their own (kind `roll`),
//! committed with each change; only a keyed digest of the sum is stored, so nobody can work out other rows with the same sum.
//! A file beside the checkpoint holds the newest state too: a table that was put back as a whole is behind it. When the roll
//! and the rows differ, the sealed records of all changes say which rows are wrong; those count as blocked, and the roll keeps
//! the state that was sealed, so that the difference is seen at every start until an administrator deletes the row.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::Anchor as _;
use policy::identity::{Entity, Kind};
use serde::{Deserialize, Serialize};
use store::anchor::FileAnchor;
use store::change::EntityRow;
use store::reader::{ReadError, Reader};

use super::load::Totals;
use super::secret::{Secrets, hex};
use crate::digest::{DigestKey, Purpose};

/// Kind of the row that holds the roll.
pub(super) const KIND: &str = "roll";

/// An entity as sealed records name it: kind, and id or the digest of the id.
type Name = (String, String);

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    /// Changes so far.
    changes: u64,
    /// Keyed digest of sum and count.
    digest: String,
}

#[derive(Debug, Default, Clone)]
struct State {
    /// Version of the stored row; 0 when there is none.
    version: u64,
    changes: u64,
    sum: [u8; 32],
    /// Rows that are not as they were sealed: the sealed version of each, 0 for one that should not be there.
    wrong: HashMap<Name, u64>,
    /// Of those, the ones that have no row at all.
    missing: HashMap<Name, ()>,
}

/// The roll of a running gateway.
pub(crate) struct Roll {
    key: [u8; 32],
    anchor: Option<Mutex<FileAnchor>>,
    state: Mutex<State>,
}

/// The roll after a change that is not committed yet.
pub(super) struct Next(State, Stored);

/// What the roll found at start.
#[derive(Default)]
pub(super) struct Found {
    /// Names of rows that are not as they were sealed.
    pub(super) wrong: Vec<Name>,
    /// Rows that were sealed and are gone, as far as their ids are known.
    pub(super) missing: Vec<Entity>,
}

impl Roll {
    /// Compares what the rows are together with the roll, and the rows with the sealed records where that differs. `at` is the file of the newest state;
    /// without it there is no roll (a ledger in memory).
    pub(super) fn check(
        totals: Totals,
        secrets: &Secrets,
        digests: &DigestKey,
        at: Option<PathBuf>,
        database: Option<&store::reader::Database>,
        given: Option<&[EntityRow]>,
    ) -> Result<(Self, Found), ReadError> {
        let mut roll = Self {
            key: secrets.roll_key(),
            anchor: at.map(|path| Mutex::new(FileAnchor::new(path))),
            state: Mutex::default(),
        };
        let Some(database) = database.filter(|_| roll.anchor.is_some()) else {
            return Ok((roll, Found::default()));
        };
        let Totals { sum, any, row } = totals;
        let stored = row
            .as_ref()
            .filter(|row| secrets.is_intact(row))
            .and_then(|row| serde_json::from_str::<Stored>(&row.doc).ok());
        let anchored = roll.anchored();
        let mut state = State {
            version: row.as_ref().map_or(0, |row| row.version),
            changes: stored.as_ref().map_or(0, |stored| stored.changes),
            sum,
            ..State::default()
        };
        let agrees = match (&stored, &anchored) {
            (None, None) => row.is_none() && !any,
            (Some(stored), Some(anchored)) => {
                let same = stored.digest == roll.digest(&sum, stored.changes);
                // A crash between commit and file leaves the file behind; nothing leaves it ahead.
                let behind = anchored.changes < stored.changes || anchored == stored;
                same && behind
            }
            _ => false,
        };
        let mut found = Found::default();
        if !agrees {
            tracing::warn!(
                "the rows of keys and teams differ from their roll; reading the sealed changes"
            );
            let most = anchored.map_or(0, |anchored| anchored.changes);
            state.changes = state.changes.max(most);
            let reader = Reader::at(database)?;
            let rows = match given {
                Some(rows) => rows.to_vec(),
                None => reader.entities()?,
            };
            roll.read_sealed(&mut state, &mut found, &rows, digests, &reader)?;
        }
        *roll.state.get_mut().unwrap_or_else(PoisonError::into_inner) = state;
        Ok((roll, found))
    }

    /// Compares with what the records sealed, row by row.
    fn read_sealed(
        &self,
        state: &mut State,
        found: &mut Found,
        rows: &[EntityRow],
        digests: &DigestKey,
        reader: &Reader,
    ) -> Result<(), ReadError> {
        let mut sealed: HashMap<Name, Sealed> = HashMap::new();
        let mut count = 0;
        reader.records_of_type("auth", |record| {
            for change in changes(&record.data) {
                count += 1;
                let name = (change.kind.clone(), change.object.clone());
                sealed.insert(name, change);
            }
        })?;
        state.changes = state.changes.max(count);
        state.sum = [0; 32];
        for (name, change) in &sealed {
            if !change.is_deleted() {
                self.add(&mut state.sum, &name.0, &name.1, change.version);
            }
        }
        for row in rows.iter().filter(|row| row.kind != KIND) {
            let name = (
                row.kind.clone(),
                label(digests, &row.kind, &row.tenant, &row.id),
            );
            let change = sealed.remove(&name).filter(|change| !change.is_deleted());
            let fits = change
                .as_ref()
                .is_some_and(|change| change.version == row.version && change.mac == row.mac);
            if !fits {
                tracing::error!(
                    kind = %row.kind,
                    id = %row.id,
                    version = row.version,
                    sealed = change.as_ref().map_or(0, |change| change.version),
                    "a stored row is not the one that was sealed last; it counts as blocked"
                );
                let version = change.map_or(0, |change| change.version);
                state.wrong.insert(name.clone(), version);
                found.wrong.push(name);
            }
        }
        sealed.retain(|_, change| !change.is_deleted());
        if sealed.is_empty() {
            return Ok(());
        }
        let ids = reader.audited()?;
        let named: HashMap<Name, (Kind, &str, &str)> = ids
            .iter()
            .filter_map(|(table, tenant, id)| {
                let kind = super::kind_of_table(table)?;
                let label = label(digests, kind.as_str(), tenant, id);
                Some(((kind.as_str().to_owned(), label), (kind, &**tenant, &**id)))
            })
            .collect();
        for (name, change) in sealed {
            state.wrong.insert(name.clone(), change.version);
            state.missing.insert(name.clone(), ());
            let known = named.get(&name);
            tracing::error!(
                kind = %name.0,
                id = known.map_or(name.1.as_str(), |known| known.2),
                version = change.version,
                "a row that was sealed is gone from the database; it counts as blocked"
            );
            if let Some((kind, tenant, id)) = known {
                found.missing.push(Entity {
                    kind: *kind,
                    tenant: (*tenant).into(),
                    id: (*id).into(),
                    version: change.version,
                    damaged: true,
                    ..Entity::default()
                });
            }
        }
        Ok(())
    }

    /// The roll after `edits` (before and after, and whether it is gone), with the row to store; `None` without a roll.
    pub(super) fn next<'e>(
        &self,
        secrets: &Secrets,
        digests: &DigestKey,
        edits: impl Iterator<Item = (Option<&'e Entity>, &'e Entity, bool)>,
    ) -> Option<(Next, EntityRow)> {
        self.anchor.as_ref()?;
        let mut state = self.state().clone();
        for (before, after, deleted) in edits {
            let kind = after.kind.as_str();
            let label = label(digests, kind, &after.tenant, &after.id);
            let name = (kind.to_owned(), label);
            state.missing.remove(&name);
            let sealed = state.wrong.remove(&name);
            // The sum holds what was sealed, whatever the row says.
            let old = sealed.unwrap_or_else(|| before.map_or(0, |before| before.version));
            if old > 0 {
                self.add(&mut state.sum, kind, &name.1, old);
            }
            if !deleted {
                self.add(&mut state.sum, kind, &name.1, after.version);
            }
            state.changes = state.changes.saturating_add(1);
        }
        state.version = state.version.saturating_add(1);
        let stored = Stored {
            changes: state.changes,
            digest: self.digest(&state.sum, state.changes),
        };
        let mut row = EntityRow {
            kind: KIND.to_owned(),
            tenant: String::new(),
            id: String::new(),
            version: state.version,
            doc: serde_json::to_string(&stored).ok()?,
            mac: String::new(),
            deleted: false,
        };
        row.mac = secrets.mac(&row);
        Some((Next(state, stored), row))
    }

    /// Whether an entity has no row to delete.
    pub(super) fn is_missing(&self, digests: &DigestKey, row: &Entity) -> bool {
        let kind = row.kind.as_str();
        let label = label(digests, kind, &row.tenant, &row.id);
        self.state().missing.contains_key(&(kind.to_owned(), label))
    }

    /// Takes a committed state, and says so in the file.
    pub(super) fn commit(&self, next: Next) {
        let Next(state, stored) = next;
        *self.state() = state;
        let Some(anchor) = &self.anchor else { return };
        let mut anchor = anchor.lock().unwrap_or_else(PoisonError::into_inner);
        let note = serde_json::to_string(&stored).unwrap_or_default();
        if let Err(error) = anchor.write(&note) {
            // The next change writes it again; until then a table that is put back is one change less old than it could be.
            tracing::error!(%error, "the file of the newest state of keys and teams could not be written");
        }
    }

    fn anchored(&self) -> Option<Stored> {
        let mut anchor = self
            .anchor
            .as_ref()?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        serde_json::from_str(&anchor.read().ok()??).ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entity to a sum, or takes it out: the same operation.
    fn add(&self, sum: &mut [u8; 32], kind: &str, label: &str, version: u64) {
        add(&self.key, sum, kind, label, version);
    }

    fn digest(&self, sum: &[u8; 32], changes: u64) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher
            .update(b"sum")
            .update(sum)
            .update(&changes.to_be_bytes());
        hex(hasher.finalize().as_bytes())
    }
}

/// Adds an entity to a sum under the key of the roll, or takes it out: the same operation.
pub(super) fn add(key: &[u8; 32], sum: &mut [u8; 32], kind: &str, label: &str, version: u64) {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for text in [kind, label] {
        hasher.update(&(text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(&version.to_be_bytes());
    for (to, from) in sum.iter_mut().zip(hasher.finalize().as_bytes()) {
        *to ^= from;
    }
}

/// What a record says about one entity.
#[derive(Deserialize)]
struct Sealed {
    action: String,
    kind: String,
    object: String,
    version: u64,
    mac: String,
}

impl Sealed {
    fn is_deleted(&self) -> bool {
        self.action == "deleted"
    }
}

/// The changes of a record; none when it is no record of changes.
fn changes(data: &[u8]) -> Vec<Sealed> {
    #[derive(Deserialize)]
    struct Record {
        context: Context,
    }
    #[derive(Deserialize)]
    struct Context {
        environment: Environment,
    }
    #[derive(Deserialize)]
    struct Environment {
        #[serde(default)]
        event: String,
        #[serde(default)]
        changes: Vec<Sealed>,
    }
    let record = serde_json::from_slice::<Record>(data).ok();
    record
        .map(|record| record.context.environment)
        .filter(|environment| environment.event == "identity_change")
        .map(|environment| environment.changes)
        .unwrap_or_default()
}

/// An entity as sealed records name it: a key by its public id, everything else, which may be somebody's name, by a digest.
pub(super) fn label(digests: &DigestKey, kind: &str, tenant: &str, id: &str) -> String {
    if kind == Kind::Key.as_str() {
        return id.to_owned();
    }
    digests.digest(tenant, Purpose::Label, id.as_bytes()).hex()
}
