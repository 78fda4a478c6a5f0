//! Keys, teams, users and what they may spend: the tables that calls look in, how they are filled, and how they change.

pub(crate) mod address;
mod change;
#[cfg(feature = "figures")]
pub mod figures;
mod load;
mod others;
mod roll;
pub(crate) mod secret;

use std::path::PathBuf;
use std::sync::Arc;

use policy::budget::{Ask, Book, Caps, Exceeded, Measure, Object, ObjectKind, Shelf};
use policy::identity::{Claim, Directory, Entity, Kind, Principal};
use store::change::EntityRow;
use store::reader::{Database, Reader};
use tokio::sync::watch;

pub(crate) use change::{Action, ChangeError, Edited, Editor};
use roll::Roll;
use secret::Secrets;

use crate::config::Config;
use crate::digest::DigestKey;
use crate::replicas::Replicas;

/// What a store had of identity when the gateway started. The default is a store without any.
#[derive(Default)]
pub struct Seed {
    /// Entities that were read already; else they are read from the database.
    pub rows: Option<Vec<EntityRow>>,
    /// The file that holds the newest state of the roll of entities; without it there is no roll.
    pub roll: Option<PathBuf>,
    /// The database with entities, audit log and rows of spend; `None` for a ledger in memory.
    pub database: Option<Database>,
}

/// The public id of a key, as rows of spend, records and the audit log name it: from the ledger's digest key and the key, or
/// the SHA-256 of it that LiteLLM stored (64 hexadecimal digits). Nobody is asked; whether there is such a key is not said.
#[must_use]
pub fn public_id(digest_key: &[u8; 32], key: &str) -> String {
    let secrets = Secrets::new(digest_key);
    let digest = match secret::hash_from_hex(key) {
        Some(hash) => secrets.of_hash(&hash),
        None => secrets.of_key(key),
    };
    secret::public_id(&digest)
}

/// Identity of a running gateway.
pub(crate) struct Identity {
    pub(crate) directory: Directory,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) secrets: Secrets,
    pub(crate) database: Option<Database>,
    /// The other processes, where limits are shared with any.
    pub(crate) replicas: Option<Arc<Replicas>>,
    /// Rows that were not as they were sealed at start, and sealed rows that were gone.
    pub(crate) damaged: usize,
    /// Which rows there are, as they were sealed.
    roll: Roll,
    /// Rises with each change, so that open streams look whether they may go on.
    changed: watch::Sender<u64>,
    /// One change at a time: read, decide, seal, apply.
    editing: tokio::sync::Mutex<()>,
}

impl Identity {
    /// Fills the tables from what the store had.
    pub(crate) fn new(
        seed: Seed,
        digest_key: &[u8; 32],
        digests: &DigestKey,
        config: &Config,
        now: i64,
        replicas: Option<Arc<Replicas>>,
    ) -> Result<Self, store::reader::ReadError> {
        let secrets = Secrets::new(digest_key);
        let database = seed.database.as_ref();
        // Several processes change rows in no common order; each would find the others' changes missing.
        let at = seed.roll.filter(|_| replicas.is_none());
        let roll_key = at.is_some().then(|| secrets.roll_key());
        let given = seed.rows.as_deref();
        let mut loaded = load::all(&secrets, digests, roll_key.as_ref(), |each| {
            match (given, database) {
                (Some(rows), _) => each(rows.to_vec()),
                (None, Some(database)) => Reader::at(database)?.entities_in(load::CHUNK, each)?,
                (None, None) => {}
            }
            Ok(())
        })?;
        let totals = std::mem::take(&mut loaded.roll);
        let (roll, found) = Roll::check(totals, &secrets, digests, at, database, given)?;
        loaded.mark(digests, found);
        let damaged = loaded.damaged;
        let directory = Directory::default();
        directory.replace(loaded.rows);
        let mut book = Book::new(config.budgets.rules.clone());
        load::book(
            &mut book,
            &directory,
            seed.database.as_ref(),
            digests,
            config,
            now,
        )?;
        Ok(Self {
            directory,
            shelf: Shelf::new(book),
            secrets,
            database: seed.database,
            replicas,
            damaged,
            roll,
            changed: watch::Sender::new(0),
            editing: tokio::sync::Mutex::new(()),
        })
    }

    /// Resolves when the caller's key, or anything it depends on, is blocked or gone.
    pub(crate) fn when_revoked(
        self: &Arc<Self>,
        caller: &Principal,
        clock: Arc<dyn ledger::Clock>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (identity, caller) = (Arc::clone(self), caller.clone());
        let mut changed = self.changed.subscribe();
        async move {
            if caller.key().is_none() {
                return std::future::pending().await;
            }
            loop {
                let now = clock.now().micros();
                if identity.directory.is_revoked(&caller, now) {
                    return;
                }
                // The key's own end comes without a change.
                let left =
                    expiry(&caller).map(|end| u64::try_from(end.saturating_sub(now)).unwrap_or(0));
                let wait = async {
                    match left {
                        Some(micros) => {
                            tokio::time::sleep(std::time::Duration::from_micros(micros)).await
                        }
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = wait => {}
                    ended = changed.changed() => if ended.is_err() {
                        // The gateway ends; its own cut says so to the stream.
                        return std::future::pending().await;
                    },
                }
            }
        }
    }

    /// What the registry of consents has of a person; `id` is asked only where there are any consents.
    pub(crate) fn consent(&self, tenant: &str, id: impl FnOnce() -> String) -> Option<Arc<Entity>> {
        let tables = self.directory.read();
        if !tables.has(Kind::Consent) {
            return None;
        }
        tables.get(Kind::Consent, tenant, &id()).cloned()
    }

    /// What a call counts against, in the order in which limits are checked.
    pub(crate) fn claims(
        &self,
        caller: &Principal,
        config: &Config,
        model: &str,
        deployment: &crate::config::Deployment,
        end_user: Option<&str>,
    ) -> Vec<Claim> {
        let mut claims = Vec::with_capacity(8);
        if !config.budgets.global.is_empty() {
            claims.push(global(config));
        }
        let tags: Vec<&str> = tags(caller).collect();
        claims.extend(self.directory.read().claims(caller, model, end_user, &tags));
        claims.extend(self.of_target(config, deployment));
        claims
    }

    /// The claims of a deployment: its budget and its provider's; with limits that processes share also its rates, which the
    /// router of one process cannot count.
    fn of_target(&self, config: &Config, deployment: &crate::config::Deployment) -> Vec<Claim> {
        let mut claims = Vec::new();
        if self.replicas.is_none() {
            claims.extend(of_target(config, deployment));
            return claims;
        }
        let limits = deployment.limits;
        let caps = Caps {
            rpm_limit: limits.rpm,
            tpm_limit: limits.tpm,
            max_parallel_requests: limits.parallel,
            ..deployment.caps.as_deref().cloned().unwrap_or_default()
        };
        let claim = |part: &str, caps: Caps, measure| {
            let object = Object::new(
                ObjectKind::Deployment,
                format!("{}{part}", deployment.id).as_str(),
            );
            let claim = Claim::new(object, deployment.group.clone(), 0, caps);
            claim.counting(measure)
        };
        if !caps.is_empty() {
            claims.push(claim("", caps, Measure::Total));
        }
        for (part, limit, measure) in [
            ("\u{1f}input", limits.itpm, Measure::Input),
            ("\u{1f}output", limits.otpm, Measure::Output),
        ] {
            if limit.is_some() {
                let caps = Caps {
                    tpm_limit: limit,
                    ..Caps::default()
                };
                claims.push(claim(part, caps, measure));
            }
        }
        claims.extend(of_provider(config, &deployment.provider));
        claims
    }

    /// The limit that has no room for a call at `now`: the deployment's, or its provider's. What processes share is known of
    /// the last refusals.
    pub(crate) fn over(
        &self,
        config: &Config,
        deployment: &crate::config::Deployment,
        now: i64,
        ask: impl Fn() -> Ask,
    ) -> Option<Exceeded> {
        if self.replicas.is_none() {
            return of_target(config, deployment)
                .find_map(|claim| self.shelf.refuses(now, &claim.demand(), &ask()));
        }
        let shared = self.replicas.as_ref()?;
        self.of_target(config, deployment)
            .iter()
            .find_map(|claim| shared.refuses(claim.object()))
    }
}

/// The claim of the whole gateway.
pub(crate) fn global(config: &Config) -> Claim {
    let object = Object::new(ObjectKind::Global, "");
    Claim::new(
        object,
        "gateway".to_owned(),
        0,
        config.budgets.global.clone(),
    )
}

/// The claims of a deployment: of itself and of its provider, where they have budgets.
pub(crate) fn of_target(
    config: &Config,
    deployment: &crate::config::Deployment,
) -> impl Iterator<Item = Claim> {
    of_deployment(deployment)
        .into_iter()
        .chain(of_provider(config, &deployment.provider))
}

/// The claim of a provider with a budget.
fn of_provider(config: &Config, provider: &str) -> Option<Claim> {
    let caps = config.budgets.providers.get(provider)?;
    let object = Object::new(ObjectKind::Provider, provider);
    Some(Claim::new(object, provider.to_owned(), 0, caps.clone()))
}

/// The claim of a deployment with a budget of its own.
fn of_deployment(deployment: &crate::config::Deployment) -> Option<Claim> {
    let caps = deployment.caps.as_deref()?;
    let object = Object::new(ObjectKind::Deployment, deployment.id.as_str());
    Some(Claim::new(
        object,
        deployment.group.clone(),
        0,
        caps.clone(),
    ))
}

/// Tags of a caller's calls: those of its key and team.
pub(crate) fn tags(caller: &Principal) -> impl Iterator<Item = &str> {
    let rows = [caller.key(), caller.team()];
    rows.into_iter()
        .flatten()
        .flat_map(|row: &Arc<Entity>| row.tags.iter().map(|tag| &**tag))
}

fn expiry(caller: &Principal) -> Option<i64> {
    caller.key()?.key.as_deref()?.expires
}

/// The kind that a store's word names.
pub(crate) fn kind_of(word: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
}

/// The kind whose table in LiteLLM's words this is.
fn kind_of_table(table: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.table() == table)
}
