//! From the store's rows to the tables of a running gateway.

use std::collections::HashMap;
use std::sync::Arc;

use policy::MicroUsd;
use policy::budget::Book;
use policy::identity::{Claim, Directory, Entity, Kind, Past, Tables};
use store::change::EntityRow;
use store::identity::Spent;
use store::reader::{Database, ReadError, Reader};

use super::roll::{self, Found};
use super::secret::Secrets;
use crate::config::Config;
use crate::digest::{DigestKey, Purpose};

/// Fewer rows are read on the thread that asks.
const WORTH_A_THREAD: usize = 2_000;

/// The entities of the rows, and how many of them are not as they were sealed. Those are kept, marked: they refuse calls.
pub(super) fn rows(stored: &[EntityRow], secrets: &Secrets) -> (Vec<Arc<Entity>>, usize) {
    let rows = on_all_cores(stored, |row| Some(entity(row, secrets)));
    let damaged = rows.iter().filter(|row| row.damaged).count();
    (rows, damaged)
}

/// The same at a start, with what the roll found: rows that are not as they were sealed last, and rows that are gone.
pub(super) fn checked(
    stored: &[EntityRow],
    secrets: &Secrets,
    digests: &DigestKey,
    found: Found,
) -> (Vec<Arc<Entity>>, usize) {
    let Found { wrong, missing } = found;
    let mut out: Vec<Arc<Entity>> = missing.into_iter().map(Arc::new).collect();
    let gone = out.len();
    out.extend(on_all_cores(stored, |row| {
        super::kind_of(&row.kind)?;
        let mut entity = entity(row, secrets);
        if !wrong.is_empty() {
            let label = roll::label(digests, &row.kind, &row.tenant, &row.id);
            entity.damaged |= wrong.contains(&(row.kind.clone(), label));
        }
        Some(entity)
    }));
    let damaged = out.iter().skip(gone).filter(|row| row.damaged).count();
    (out, gone + damaged)
}

/// Reads rows in their order; many of them on every core, since each costs a MAC and a JSON document.
fn on_all_cores(
    stored: &[EntityRow],
    read: impl Fn(&EntityRow) -> Option<Entity> + Sync,
) -> Vec<Arc<Entity>> {
    let read_all = |rows: &[EntityRow]| -> Vec<Arc<Entity>> {
        rows.iter()
            .filter_map(|row| read(row).map(Arc::new))
            .collect()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = stored.len().div_ceil(cores).max(WORTH_A_THREAD);
    let mut shares = stored.chunks(share);
    let first = shares.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = shares
            .map(|rows| (rows, scope.spawn(|| read_all(rows))))
            .collect();
        let mut out = read_all(first);
        for (rows, thread) in others {
            // A thread that ended early would have panicked; its rows are then read here, where that is seen.
            out.extend(thread.join().unwrap_or_else(|_| read_all(rows)));
        }
        out
    })
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
