//! From the store's rows to the tables of a running gateway.

use std::collections::HashMap;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use policy::MicroUsd;
use policy::budget::Book;
use policy::identity::{Claim, Directory, Entity, Kind, Past, Sharer, Tables};
use store::change::EntityRow;
use store::identity::Spent;
use store::reader::{Database, ReadError, Reader};

use super::roll::{self, Found};
use super::secret::Secrets;
use crate::config::Config;
use crate::digest::{DigestKey, Purpose};

/// Rows that are handed to a thread at once, and read from the store between.
pub(super) const CHUNK: usize = 1_000;

/// Entities as they were read.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) rows: Vec<Arc<Entity>>,
    /// How many of them are not as they were sealed. They are kept, marked: they refuse calls.
    pub(super) damaged: usize,
    pub(super) roll: Totals,
}

/// What the rows are together, for their roll.
#[derive(Default)]
pub(super) struct Totals {
    /// The sum over all entities.
    pub(super) sum: [u8; 32],
    /// Whether there is any entity.
    pub(super) any: bool,
    /// The row of the roll itself.
    pub(super) row: Option<EntityRow>,
}

/// The entities of a few rows.
pub(super) fn rows(stored: &[EntityRow], secrets: &Secrets) -> Vec<Arc<Entity>> {
    stored
        .iter()
        .map(|row| Arc::new(entity(row, secrets)))
        .collect()
}

/// Takes in every entity that `read` gives: one thread reads rows, as many as there are cores check their MACs and documents, since
/// that costs most, and no row stays in memory beside its entity. `key` is that of the roll, where there is one.
pub(super) fn all(
    secrets: &Secrets,
    digests: &DigestKey,
    key: Option<&[u8; 32]>,
    read: impl FnOnce(&mut dyn FnMut(Vec<EntityRow>)) -> Result<(), ReadError>,
) -> Result<Loaded, ReadError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (give, take) = sync_channel::<Vec<EntityRow>>(cores * 2);
    let take = Mutex::new(take);
    let next = || take.lock().unwrap_or_else(PoisonError::into_inner).recv();
    std::thread::scope(|scope| {
        let work = || {
            let (mut loaded, mut sharer) = (Loaded::default(), Sharer::default());
            while let Ok(rows) = next() {
                for row in rows {
                    loaded.take(row, secrets, digests, key, &mut sharer);
                }
            }
            loaded
        };
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let read = read(&mut |rows| {
            // Nobody takes rows any more only when all threads have ended, which is seen below.
            drop(give.send(rows));
        });
        drop(give);
        let mut all = Loaded::default();
        for worker in workers {
            match worker.join() {
                Ok(some) => all.add(some),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        read.map(|()| all)
    })
}

impl Loaded {
    fn take(
        &mut self,
        row: EntityRow,
        secrets: &Secrets,
        digests: &DigestKey,
        key: Option<&[u8; 32]>,
        sharer: &mut Sharer,
    ) {
        if row.kind == roll::KIND {
            self.roll.row = Some(row);
            return;
        }
        self.roll.any = true;
        if let Some(key) = key {
            let label = roll::label(digests, &row.kind, &row.tenant, &row.id);
            roll::add(key, &mut self.roll.sum, &row.kind, &label, row.version);
        }
        if super::kind_of(&row.kind).is_none() {
            return;
        }
        let mut entity = entity(&row, secrets);
        sharer.share(&mut entity);
        self.damaged += usize::from(entity.damaged);
        self.rows.push(Arc::new(entity));
    }

    fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.damaged += other.damaged;
        self.roll.any |= other.roll.any;
        self.roll.row = self.roll.row.take().or(other.roll.row);
        for (to, from) in self.roll.sum.iter_mut().zip(other.roll.sum) {
            *to ^= from;
        }
    }

    /// Marks what the roll found: rows that are not as they were sealed last, and rows that are gone.
    pub(super) fn mark(&mut self, digests: &DigestKey, found: Found) {
        let Found { wrong, missing } = found;
        if !wrong.is_empty() {
            for row in &mut self.rows {
                let kind = row.kind.as_str();
                let name = (
                    kind.to_owned(),
                    roll::label(digests, kind, &row.tenant, &row.id),
                );
                if !row.damaged && wrong.contains(&name) {
                    Arc::make_mut(row).damaged = true;
                    self.damaged += 1;
                }
            }
        }
        self.damaged += missing.len();
        self.rows.extend(missing.into_iter().map(Arc::new));
    }
}

fn entity(row: &EntityRow, secrets: &Secrets) -> Entity {
    let parsed = serde_json::from_str::<Entity>(&row.doc);
    let intact = secrets.is_intact(row);
    let mut entity = match parsed {
        Ok(entity)
            if intact
                && entity.kind.as_str() == row.kind
                && *entity.id == *row.id
                && *entity.tenant == *row.tenant
                && entity.version == row.version =>
        {
            return entity;
        }
        other => other.unwrap_or_default(),
    };
    tracing::error!(
        kind = %row.kind,
        id = %row.id,
        version = row.version,
        "a stored row is not the one that was sealed; it counts as blocked"
    );
    entity.kind = super::kind_of(&row.kind).unwrap_or_default();
    entity.id = row.id.as_str().into();
    entity.tenant = row.tenant.as_str().into();
    entity.version = row.version;
    entity.damaged = true;
    entity
}

/// Rebuilds what was spent: first what an administrator set, then every priced call since.
pub(super) fn book(
    book: &mut Book,
    directory: &Directory,
    database: Option<&Database>,
    digests: &DigestKey,
    config: &Config,
    now: i64,
) -> Result<(), ReadError> {
    let tables = directory.read();
    replay(book, &tables, digests, config, now, |each| match database {
        Some(database) => Reader::at(database)?.spent(each),
        None => Ok(()),
    })
}

/// As [`book`]; `read` gives every priced call, oldest first.
pub(super) fn replay<T>(
    book: &mut Book,
    tables: &Tables,
    digests: &DigestKey,
    config: &Config,
    now: i64,
    read: impl FnOnce(&mut dyn FnMut(&Spent)) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    for kind in [
        Kind::Key,
        Kind::Team,
        Kind::User,
        Kind::Organization,
        Kind::Customer,
        Kind::Tag,
        Kind::Tenant,
    ] {
        for row in tables.all(kind) {
            if let (Some(object), Some(spend)) = (Tables::object(row), row.spend) {
                book.set_spend(&object, spend.amount, spend.since);
            }
        }
    }
    let customers = customers(tables, digests);
    read(&mut |spent| {
        let cost = MicroUsd::new(spent.cost);
        let end_user = customers.get(&spent.end_user).map(|id| &**id);
        for claim in claims(tables, config, spent, end_user) {
            book.replay(&claim.demand(), spent.at, cost, now);
        }
    })
}

/// End users stand in rows of spend as digests.
pub(super) fn customers(tables: &Tables, digests: &DigestKey) -> HashMap<String, Box<str>> {
    let rows = tables.all(Kind::Customer);
    rows.map(|row| {
        let label = digests.digest(&row.tenant, Purpose::Label, row.id.as_bytes());
        (label.uuid(), row.id.clone())
    })
    .collect()
}

/// The objects that a past call counts against.
pub(super) fn claims(
    tables: &Tables,
    config: &Config,
    spent: &Spent,
    end_user: Option<&str>,
) -> Vec<Claim> {
    let tags: Vec<&str> = spent
        .tags
        .split('\u{1f}')
        .filter(|tag| !tag.is_empty())
        .collect();
    let mut claims = Vec::new();
    if !config.budgets.global.is_empty() {
        claims.push(super::global(config));
    }
    let past = Past {
        tenant: &spent.tenant,
        key: &spent.key,
        team: &spent.team,
        user: &spent.user,
        organization: &spent.organization,
        end_user,
        tags: &tags,
        model: &spent.model,
    };
    claims.extend(tables.claims_of_past(&past));
    let deployment = config
        .models
        .deployments()
        .find(|(_, deployment)| deployment.id == spent.deployment);
    claims.extend(
        deployment
            .into_iter()
            .flat_map(|(_, deployment)| super::of_target(config, deployment)),
    );
    claims
}
