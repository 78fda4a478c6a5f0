//! A caller with everything that bounds it, as it was when the call began.

use std::sync::Arc;

use super::access::{AccessError, RouteGroup, model_matches, route_matches};
use super::entity::{Entity, MemberRole};
use super::manage::Need;
use super::role::{Reach, Role};

/// Who calls. Made by [`super::Directory`] only.
#[derive(Clone, Debug)]
pub struct Principal {
    pub(super) role: Role,
    pub(super) tenant: Arc<str>,
    pub(super) key: Option<Arc<Entity>>,
    pub(super) user: Option<Arc<Entity>>,
    pub(super) team: Option<Arc<Entity>>,
    pub(super) organization: Option<Arc<Entity>>,
    /// The user with whose rights the key was made, when it was no administrator.
    pub(super) minter: Option<Arc<Entity>>,
}

impl Principal {
    /// The holder of the master key.
    pub(crate) fn master() -> Self {
        Self {
            role: Role::Master,
            tenant: Arc::from(""),
            key: None,
            user: None,
            team: None,
            organization: None,
            minter: None,
        }
    }

    /// Role in the gateway.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Tenant; empty for the default one.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The key; absent for the master key.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<Entity>> {
        self.key.as_ref()
    }

    /// The key's user, if there is a row.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<Entity>> {
        self.user.as_ref()
    }

    /// The key's team.
    #[must_use]
    pub fn team(&self) -> Option<&Arc<Entity>> {
        self.team.as_ref()
    }

    /// The organization of key or team.
    #[must_use]
    pub fn organization(&self) -> Option<&Arc<Entity>> {
        self.organization.as_ref()
    }

    /// The user id: of the key, also when there is no row.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.key.as_ref()?.user.as_deref()
    }

    /// What `changed_by` says.
    #[must_use]
    pub fn name(&self) -> &str {
        match (&self.key, self.user_id()) {
            (None, _) => "default_user_id",
            (Some(_), Some(user)) => user,
            (Some(key), None) => &key.id,
        }
    }

    /// The model that is meant, by the aliases of key and team.
    #[must_use]
    pub fn alias<'a>(&'a self, model: &'a str) -> &'a str {
        [&self.key, &self.team]
            .into_iter()
            .flatten()
            .find_map(|row| row.aliases.get(model))
            .map_or(model, |name| name)
    }

    /// Whether the caller may use a model. Every object of the chain must allow it, and so must the user who made the key,
    /// with the rights that he has now.
    ///
    /// # Errors
    /// [`AccessError::Model`] with the first object that does not.
    pub fn may_use(&self, model: &str) -> Result<(), AccessError> {
        self.may_use_as(model, &[])
    }

    /// As [`Principal::may_use`], for a model that belongs to access groups: a list that names one of them allows it too.
    ///
    /// # Errors
    /// [`AccessError::Model`] with the first object that does not.
    pub fn may_use_as(&self, model: &str, groups: &[String]) -> Result<(), AccessError> {
        let listed = |row: &Entity, team: Option<&Entity>, model: &str| {
            listed(row, team, model) || groups.iter().any(|group| names(row, team, group))
        };
        let refuse = |object| {
            Err(AccessError::Model {
                object,
                model: model.chars().take(100).collect(),
            })
        };
        let (Some(key), team) = (&self.key, self.team.as_deref()) else {
            return Ok(());
        };
        if !listed(key, team, model) {
            return refuse("key");
        }
        if team.is_some_and(|team| !listed(team, None, model)) {
            return refuse("team");
        }
        // A key of a team is governed by the team.
        if team.is_none()
            && self
                .user
                .as_ref()
                .is_some_and(|user| !listed(user, None, model))
        {
            return refuse("user");
        }
        if self
            .organization
            .as_ref()
            .is_some_and(|org| !listed(org, None, model))
        {
            return refuse("org");
        }
        let of_minter = |minter: &Arc<Entity>| admin(minter) || listed(minter, None, model);
        if self
            .minter
            .as_ref()
            .is_some_and(|minter| !of_minter(minter))
        {
            return refuse("user");
        }
        Ok(())
    }

    /// Whether the key may call a route.
    ///
    /// # Errors
    /// [`AccessError::Route`].
    pub fn may_call(&self, paths: &[&str], group: RouteGroup) -> Result<(), AccessError> {
        let Some(part) = self.key.as_ref().and_then(|key| key.key.as_deref()) else {
            return Ok(());
        };
        let by_type = match part.key_type.as_deref() {
            Some("llm_api") => group != RouteGroup::Management,
            Some("management") => group != RouteGroup::Inference,
            Some("read_only") => group == RouteGroup::Info,
            _ => true,
        };
        let listed = part.allowed_routes.is_empty()
            || part
                .allowed_routes
                .iter()
                .any(|pattern| route_matches(pattern, paths, group));
        if by_type && listed {
            return Ok(());
        }
        let mut allowed: Vec<String> = part.allowed_routes.iter().map(|r| r.to_string()).collect();
        if allowed.is_empty() {
            allowed.extend(part.key_type.as_deref().map(str::to_owned));
        }
        Err(AccessError::Route {
            allowed,
            route: paths.last().copied().unwrap_or_default().to_owned(),
        })
    }

    /// Whether the caller reaches an entity with a need. The handler asks this for the very row that it is about to show or
    /// change.
    #[must_use]
    pub fn reaches(&self, need: Need, row: &Entity) -> bool {
        if self.role != Role::Master && *row.tenant != *self.tenant {
            return false;
        }
        let reach = self.role.reach(need);
        if reach == Reach::All {
            return true;
        }
        if reach >= Reach::Own && self.owns(row) {
            return true;
        }
        if reach >= Reach::Organization && self.same_organization(row) {
            return true;
        }
        if reach == Reach::Team && self.in_team(row, need) {
            return true;
        }
        false
    }

    /// Whether the row is the caller's own: its key, its user, or a key of that user.
    #[must_use]
    pub fn owns(&self, row: &Entity) -> bool {
        use super::entity::Kind;
        let mine = |id: &str| self.user_id() == Some(id);
        match row.kind {
            Kind::Key => {
                self.key.as_ref().is_some_and(|key| key.id == row.id)
                    || row.user.as_deref().is_some_and(mine)
            }
            Kind::User => mine(&row.id),
            _ => false,
        }
    }

    fn same_organization(&self, row: &Entity) -> bool {
        use super::entity::Kind;
        let Some(own) = self.organization.as_ref() else {
            return false;
        };
        match row.kind {
            Kind::Organization => own.id == row.id,
            _ => row.organization.as_deref() == Some(&*own.id),
        }
    }

    fn in_team(&self, row: &Entity, need: Need) -> bool {
        let Some(user) = self.user_id() else {
            return self.role == Role::Team
                && self.team.as_ref().is_some_and(|team| team.id == row.id);
        };
        match row.member(user).map(|member| member.role) {
            Some(MemberRole::Admin) => true,
            Some(MemberRole::User) => need == Need::TeamRead,
            None => false,
        }
    }

    /// Whether the caller administers a team.
    #[must_use]
    pub fn leads(&self, team: &Entity) -> bool {
        let lead = |user: &str| {
            team.member(user)
                .is_some_and(|member| member.role == MemberRole::Admin)
        };
        *team.tenant == *self.tenant && self.user_id().is_some_and(lead)
    }
}

/// Whether a row's list names an access group. Unlike a model's name, a group's is never met by a pattern or an empty list.
fn names(row: &Entity, team: Option<&Entity>, group: &str) -> bool {
    row.models.iter().any(|name| {
        let of_team =
            || team.is_some_and(|team| team.models.is_empty() || names(team, None, group));
        **name == *group || &**name == "all-team-models" && of_team()
    })
}

fn admin(user: &Entity) -> bool {
    user.person
        .as_ref()
        .is_some_and(|part| part.role.is_admin())
}

/// Whether a row's list of models allows one. An empty list allows all; a key's may stand for its team's.
fn listed(row: &Entity, team: Option<&Entity>, model: &str) -> bool {
    if row.models.is_empty() {
        return true;
    }
    row.models.iter().any(|pattern| match (&**pattern, team) {
        ("no-default-models", _) => false,
        ("all-team-models", Some(team)) => listed(team, None, model),
        ("all-team-models", None) => false,
        (pattern, _) => model_matches(pattern, model),
    })
}
