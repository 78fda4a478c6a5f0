//! The table in which every call finds its key. It is filled from the store at start; changes come in after they were
//! sealed. No call asks a database.

use core::net::IpAddr;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use subtle::ConstantTimeEq as _;

use super::entity::{Entity, Kind};
use super::principal::Principal;
use super::role::Role;
use crate::auth::{AuthError, Caller};
use crate::budget::{Caps, Demand, Measure, Object, ObjectKind};

/// All entities, shared by all threads.
#[derive(Debug, Default)]
pub struct Directory {
    tables: RwLock<Tables>,
}

/// The entities of one moment.
#[derive(Debug, Default)]
pub struct Tables {
    keys: HashMap<[u8; 16], Slot>,
    others: BTreeMap<Kind, BTreeMap<Box<str>, Arc<Entity>>>,
}

/// A value that a key has or had.
#[derive(Debug)]
struct Slot {
    digest: [u8; 32],
    row: Arc<Entity>,
    /// Until when an older value of a rotated key is accepted; `None` for the current one.
    until: Option<i64>,
}

/// An object that a call counts against.
#[derive(Debug)]
pub struct Claim {
    object: Object,
    shown: String,
    anchor: i64,
    caps: Limits,
    measure: Measure,
}

#[derive(Debug)]
enum Limits {
    None,
    Of(Arc<Entity>),
    Made(Box<Caps>),
}

/// Who a call of the past counted against, by ids; empty means nobody.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// Public id of the key.
    pub key: &'a str,
    /// Team.
    pub team: &'a str,
    /// User of the key.
    pub user: &'a str,
    /// Organization.
    pub organization: &'a str,
    /// Id of the customer row.
    pub end_user: Option<&'a str>,
    /// Tags.
    pub tags: &'a [&'a str],
    /// Model group.
    pub model: &'a str,
}

impl Claim {
    /// A claim with limits of its own.
    #[must_use]
    pub fn new(object: Object, shown: String, anchor: i64, caps: Caps) -> Self {
        Self {
            object,
            shown,
            anchor,
            caps: Limits::Made(Box::new(caps)),
            measure: Measure::Ruled,
        }
    }

    /// The same claim, whose limits of tokens count these.
    #[must_use]
    pub fn counting(self, measure: Measure) -> Self {
        Self { measure, ..self }
    }

    /// What the book is asked.
    #[must_use]
    pub fn demand(&self) -> Demand<'_> {
        Demand {
            object: self.object.clone(),
            shown: &self.shown,
            caps: self.caps(),
            anchor: self.anchor,
            measure: self.measure,
        }
    }

    /// Its limits.
    #[must_use]
    pub fn caps(&self) -> Option<&Caps> {
        match &self.caps {
            Limits::None => None,
            Limits::Of(row) => row.caps.as_deref(),
            Limits::Made(caps) => Some(caps),
        }
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &Object {
        &self.object
    }
}

/// Id within all tenants: the id itself in the default tenant.
fn scoped(tenant: &str, id: &str) -> Box<str> {
    if tenant.is_empty() {
        return Box::from(id);
    }
    format!("{tenant}\u{1f}{id}").into_boxed_str()
}

impl Directory {
    /// What is there now.
    pub fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts rows in place: new, changed, or (`deleted`) gone. All at once.
    pub fn apply(&self, rows: impl IntoIterator<Item = (Arc<Entity>, bool)>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for (row, deleted) in rows {
            tables.put(row, deleted);
        }
    }

    /// Replaces everything by these rows.
    pub fn replace(&self, rows: impl IntoIterator<Item = Arc<Entity>>) {
        let mut fresh = Tables::default();
        for row in rows {
            fresh.put(row, false);
        }
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// The caller of a key whose keyed digest is `digest`.
    ///
    /// # Errors
    /// [`AuthError`]: unknown, expired, blocked, or an address that the key does not allow.
    pub fn authenticate(
        &self,
        digest: &[u8; 32],
        now: i64,
        address: Option<IpAddr>,
    ) -> Result<Caller, AuthError> {
        let tables = self.read();
        let slot = tables.slot(digest).ok_or(AuthError::Unknown)?;
        if slot.until.is_some_and(|until| now >= until) {
            return Err(AuthError::Expired);
        }
        let principal = tables.principal(&slot.row, now)?;
        let allowed = slot.row.key.as_deref().map(|part| &part.allowed_addresses);
        if let Some(allowed) = allowed
            && !allowed.is_empty()
            && !address.is_some_and(|ip| allowed.iter().any(|net| net.contains(&ip)))
        {
            return Err(AuthError::AddressNotAllowed);
        }
        Ok(Caller::of(principal))
    }

    /// Whether a call that this caller began must end: its key, or anything the key depends on, is gone or blocked now.
    #[must_use]
    pub fn is_revoked(&self, caller: &Principal, now: i64) -> bool {
        let Some(key) = &caller.key else {
            return false;
        };
        let tables = self.read();
        match tables.key(&key.id) {
            None => true,
            Some(row) => tables.principal(row, now).is_err(),
        }
    }
}

impl Tables {
    fn slot(&self, digest: &[u8; 32]) -> Option<&Slot> {
        let id = digest.first_chunk::<16>()?;
        let slot = self.keys.get(id)?;
        bool::from(slot.digest.ct_eq(digest)).then_some(slot)
    }

    fn put(&mut self, row: Arc<Entity>, deleted: bool) {
        if row.kind != Kind::Key {
            let table = self.others.entry(row.kind).or_default();
            let id = scoped(&row.tenant, &row.id);
            if deleted {
                table.remove(&id);
            } else {
                table.insert(id, row);
            }
            return;
        }
        let before = unhex_id(&row.id)
            .and_then(|id| self.keys.get(&id))
            .map(|slot| slot.row.clone());
        for old in before.iter().chain([&row]) {
            for digest in digests(old) {
                if let Some(id) = digest.0.first_chunk::<16>() {
                    self.keys.remove(id);
                }
            }
            if let Some(id) = unhex_id(&old.id) {
                self.keys.remove(&id);
            }
        }
        if deleted {
            return;
        }
        // The id of a key is the first half of its first digest and stays when its value is rotated.
        for (digest, until) in digests(&row) {
            if let Some(id) = digest.first_chunk::<16>() {
                let slot = Slot {
                    digest,
                    row: row.clone(),
                    until,
                };
                self.keys.insert(*id, slot);
            }
        }
        if let Some(id) = unhex_id(&row.id) {
            let row = row.clone();
            // A value that ended: the id still leads to the row, no presented key does.
            self.keys.entry(id).or_insert(Slot {
                digest: [0; 32],
                row,
                until: Some(i64::MIN),
            });
        }
    }

    /// A key by its public id.
    #[must_use]
    pub fn key(&self, id: &str) -> Option<&Arc<Entity>> {
        let slot = self.keys.get(&unhex_id(id)?)?;
        (*slot.row.id == *id).then_some(&slot.row)
    }

    /// The key that has this keyed digest, whatever its state.
    #[must_use]
    pub fn key_of(&self, digest: &[u8; 32]) -> Option<&Arc<Entity>> {
        self.slot(digest).map(|slot| &slot.row)
    }

    /// A row that is no key.
    #[must_use]
    pub fn get(&self, kind: Kind, tenant: &str, id: &str) -> Option<&Arc<Entity>> {
        if kind == Kind::Key {
            return self.key(id).filter(|row| *row.tenant == *tenant);
        }
        let table = self.others.get(&kind)?;
        if tenant.is_empty() {
            return table.get(id).filter(|row| row.tenant.is_empty());
        }
        table.get(&scoped(tenant, id))
    }

    /// Whether there is any row of a kind that is no key.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.others
            .get(&kind)
            .is_some_and(|table| !table.is_empty())
    }

    /// All rows of a kind; keys in no order.
    pub fn all(&self, kind: Kind) -> Box<dyn Iterator<Item = &Arc<Entity>> + '_> {
        if kind == Kind::Key {
            let rows = self.keys.iter().filter_map(|(id, slot)| {
                // A rotated key has several values and one id.
                (unhex_id(&slot.row.id)? == *id).then_some(&slot.row)
            });
            return Box::new(rows);
        }
        Box::new(
            self.others
                .get(&kind)
                .into_iter()
                .flat_map(BTreeMap::values),
        )
    }

    /// Who calls with a key, and whether the key may be used at all.
    fn principal(&self, key: &Arc<Entity>, now: i64) -> Result<Principal, AuthError> {
        let part = key.key.as_deref().ok_or(AuthError::Blocked)?;
        if key.damaged || key.blocked {
            return Err(AuthError::Blocked);
        }
        if part.expires.is_some_and(|expires| now >= expires) {
            return Err(AuthError::Expired);
        }
        let sound = |row: &Arc<Entity>| !row.blocked && !row.damaged;
        if !key.tenant.is_empty() {
            self.get(Kind::Tenant, "", &key.tenant)
                .filter(|row| sound(row))
                .ok_or(AuthError::Blocked)?;
        }
        let find = |kind, id: Option<&str>| id.and_then(|id| self.get(kind, &key.tenant, id));
        let team = find(Kind::Team, key.team.as_deref());
        // A key of a team that is gone has nobody who answers for it.
        if key.team.is_some() && !team.is_some_and(sound) {
            return Err(AuthError::TeamBlocked);
        }
        let user = find(Kind::User, key.user.as_deref());
        if user.is_some_and(|user| !sound(user)) {
            return Err(AuthError::Blocked);
        }
        let organization = key
            .organization
            .as_deref()
            .or_else(|| team.and_then(|team| team.organization.as_deref()));
        let organization = match organization {
            None => None,
            some => Some(
                find(Kind::Organization, some)
                    .filter(|row| sound(row))
                    .ok_or(AuthError::Blocked)?,
            ),
        };
        // What was made with somebody's rights ends with them.
        let minter = match part.minted_by.as_deref() {
            None => None,
            some => Some(
                find(Kind::User, some)
                    .filter(|row| sound(row))
                    .ok_or(AuthError::Blocked)?,
            ),
        };
        let role = user
            .and_then(|user| user.person.as_ref())
            .map_or(Role::Service, |person| person.role);
        Ok(Principal {
            role,
            tenant: Arc::from(&*key.tenant),
            key: Some(key.clone()),
            user: user.cloned(),
            team: team.cloned(),
            organization: organization.cloned(),
            minter: minter.cloned(),
        })
    }

    /// The limits of a row: its own, and those of its budget where it says nothing.
    fn limits(&self, row: &Arc<Entity>) -> Limits {
        let budget = row
            .budget
            .as_deref()
            .map(|id| self.get(Kind::Budget, &row.tenant, id));
        // What gave limits and is not there as it was sealed gives none that anybody may rely on: nothing passes.
        let lost = |budget: &Option<&Arc<Entity>>| budget.is_none_or(|budget| budget.damaged);
        if row.damaged || budget.as_ref().is_some_and(lost) {
            return Limits::Made(Box::new(Caps::NOTHING));
        }
        let budget = budget.flatten().and_then(|budget| budget.caps.as_deref());
        match (budget, &row.caps) {
            (None, None) => Limits::None,
            (None, Some(_)) => Limits::Of(row.clone()),
            (Some(budget), own) => {
                let own = own.as_deref().cloned().unwrap_or_default();
                Limits::Made(Box::new(own.or(budget)))
            }
        }
    }

    fn claim(&self, kind: ObjectKind, row: &Arc<Entity>) -> Claim {
        Claim {
            object: Object::new(kind, scoped(&row.tenant, &row.id)),
            shown: row.shown(),
            anchor: row.anchor(),
            caps: self.limits(row),
            measure: Measure::Ruled,
        }
    }

    /// The object that stands for a row in the book; `None` for rows that are not counted.
    #[must_use]
    pub fn object(row: &Entity) -> Option<Object> {
        let kind = match row.kind {
            Kind::Key => ObjectKind::Key,
            Kind::Team => ObjectKind::Team,
            Kind::User => ObjectKind::User,
            Kind::Organization => ObjectKind::Organization,
            Kind::Customer => ObjectKind::EndUser,
            Kind::Tag => ObjectKind::Tag,
            Kind::Tenant => ObjectKind::Tenant,
            Kind::Budget | Kind::Consent => return None,
        };
        Some(Object::new(kind, scoped(&row.tenant, &row.id)))
    }

    /// Every object that a call of this caller counts against, outermost first. `end_user` is the id of a customer row, `tags`
    /// are names; those without a row do not count.
    #[must_use]
    pub fn claims(
        &self,
        caller: &Principal,
        model: &str,
        end_user: Option<&str>,
        tags: &[&str],
    ) -> Vec<Claim> {
        let tenant = caller.tenant();
        let mut claims = Vec::with_capacity(8);
        if let Some(row) = (!tenant.is_empty())
            .then(|| self.get(Kind::Tenant, "", tenant))
            .flatten()
        {
            claims.push(self.claim(ObjectKind::Tenant, row));
        }
        if let Some(row) = &caller.organization {
            claims.push(self.claim(ObjectKind::Organization, row));
        }
        if let Some(team) = &caller.team {
            claims.push(self.claim(ObjectKind::Team, team));
            claims.extend(self.of_model(ObjectKind::ModelPerTeam, team, model));
            claims.extend(self.of_member(team, caller.user_id()));
        } else if let Some(user) = &caller.user {
            claims.push(self.claim(ObjectKind::User, user));
        }
        if let Some(key) = &caller.key {
            claims.push(self.claim(ObjectKind::Key, key));
            claims.extend(self.of_model(ObjectKind::ModelPerKey, key, model));
        }
        if let Some(row) = end_user.and_then(|id| self.get(Kind::Customer, tenant, id)) {
            claims.push(self.claim(ObjectKind::EndUser, row));
        }
        for tag in tags {
            if let Some(row) = self.get(Kind::Tag, tenant, tag) {
                claims.push(self.claim(ObjectKind::Tag, row));
            }
        }
        claims
    }

    /// Every object that a call of the past counted against and that is still there.
    #[must_use]
    pub fn claims_of_past(&self, past: &Past<'_>) -> Vec<Claim> {
        let mut claims = Vec::with_capacity(8);
        let find = |kind, id: &str| self.get(kind, past.tenant, id);
        let tenant = (!past.tenant.is_empty()).then(|| self.get(Kind::Tenant, "", past.tenant));
        claims.extend(
            tenant
                .flatten()
                .map(|row| self.claim(ObjectKind::Tenant, row)),
        );
        let organization = find(Kind::Organization, past.organization);
        claims.extend(organization.map(|row| self.claim(ObjectKind::Organization, row)));
        let user = (!past.user.is_empty()).then_some(past.user);
        if let Some(team) = find(Kind::Team, past.team) {
            claims.push(self.claim(ObjectKind::Team, team));
            claims.extend(self.of_model(ObjectKind::ModelPerTeam, team, past.model));
            claims.extend(self.of_member(team, user));
        } else if let Some(user) = user.and_then(|user| find(Kind::User, user)) {
            claims.push(self.claim(ObjectKind::User, user));
        }
        if let Some(key) = self.key(past.key) {
            claims.push(self.claim(ObjectKind::Key, key));
            claims.extend(self.of_model(ObjectKind::ModelPerKey, key, past.model));
        }
        let customer = past.end_user.and_then(|id| find(Kind::Customer, id));
        claims.extend(customer.map(|row| self.claim(ObjectKind::EndUser, row)));
        let tags = past.tags.iter().filter_map(|tag| find(Kind::Tag, tag));
        claims.extend(tags.map(|row| self.claim(ObjectKind::Tag, row)));
        claims
    }

    fn of_model(&self, kind: ObjectKind, row: &Arc<Entity>, model: &str) -> Option<Claim> {
        let caps = match self.limits(row) {
            Limits::None => None,
            Limits::Of(row) => row.caps.as_deref()?.of_model(model),
            Limits::Made(caps) => caps.of_model(model),
        }?;
        let id = format!("{}:{model}", scoped(&row.tenant, &row.id));
        let shown = format!("{}:{model}", row.shown());
        Some(Claim::new(Object::new(kind, id), shown, row.anchor(), caps))
    }

    fn of_member(&self, team: &Arc<Entity>, user: Option<&str>) -> Option<Claim> {
        let part = team.group.as_deref()?;
        let member = team.member(user?)?;
        let caps = member.caps.as_deref().or(part.member_caps.as_deref())?;
        let id = format!("{}:{}", scoped(&team.tenant, &team.id), member.user);
        let shown = format!("{} in Team={}", member.user, team.id);
        let object = Object::new(ObjectKind::TeamMember, id);
        Some(Claim::new(object, shown, team.anchor(), caps.clone()))
    }
}

/// The digests of a key with the end of each.
fn digests(row: &Entity) -> impl Iterator<Item = ([u8; 32], Option<i64>)> + '_ {
    let part = row.key.as_deref();
    let current = part.and_then(|part| Some((unhex(&part.digest)?, None)));
    let old = part.and_then(|part| {
        let digest = unhex(part.old_digest.as_deref()?)?;
        Some((digest, Some(part.old_until?)))
    });
    current.into_iter().chain(old)
}

fn unhex_id(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    if bytes.len() != 32 {
        return None;
    }
    let mut out = [0; 16];
    for (to, pair) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *to = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(out)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let (head, tail) = text.split_at_checked(32)?;
    let (head, tail) = (unhex_id(head)?, unhex_id(tail)?);
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(head.into_iter().chain(tail)) {
        *to = from;
    }
    Some(out)
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}
