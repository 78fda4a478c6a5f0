//! What a caller gives away is at most what it has: asked when a key is made or changed. At each use the rights of the user
//! who made it are asked again.

use std::sync::Arc;

use policy::identity::{Entity, Kind, MemberRole, Principal, Tables};

use super::ManageError;

/// Whether the caller may make or leave behind this key.
///
/// # Errors
/// [`ManageError::Forbidden`] naming what goes beyond the caller's rights; nothing is trimmed in silence.
pub(super) fn check(caller: &Principal, tables: &Tables, row: &Entity) -> Result<(), ManageError> {
    let refuse = |what: String| Err(ManageError::Forbidden(what));
    links(tables, row)?;
    if caller.role().is_admin() {
        return Ok(());
    }
    let team = row
        .team
        .as_deref()
        .and_then(|id| tables.get(Kind::Team, &row.tenant, id));
    let leads = team.is_some_and(|team| caller.leads(team));
    let in_organization = |row: &Entity| {
        caller.role() == policy::identity::Role::OrgAdmin
            && caller
                .organization()
                .is_some_and(|own| row.organization.as_deref() == Some(&*own.id))
    };
    if let Some(team) = team {
        let member = caller.user_id().and_then(|user| team.member(user));
        let permitted = team.group.as_deref().is_some_and(|part| {
            part.member_permissions
                .iter()
                .any(|route| &**route == "/key/generate")
        });
        let may = leads
            || in_organization(team)
            || member.is_some_and(|member| member.role == MemberRole::Admin || permitted);
        if !may {
            return refuse(format!(
                "you may not make or change keys of team {}",
                team.id
            ));
        }
    }
    if row.user.as_deref() != caller.user_id() && !leads && !in_organization(row) {
        return refuse("a key of another user is made by an administrator".to_owned());
    }
    if row.organization.is_some() && !in_organization(row) {
        return refuse("organization_id is set by an administrator".to_owned());
    }
    if row.budget.is_some() {
        return refuse("budget_id is set by an administrator".to_owned());
    }
    models(caller, row)?;
    routes(caller, row)?;
    bounds(caller, row)
}

/// What a row refers to must be there.
fn links(tables: &Tables, row: &Entity) -> Result<(), ManageError> {
    let there = |kind, id: &Option<Arc<str>>| {
        id.as_deref()
            .is_none_or(|id| tables.get(kind, &row.tenant, id).is_some())
    };
    if !there(Kind::Team, &row.team) {
        let id = row.team.as_deref().unwrap_or_default();
        return Err(ManageError::NotFound(format!(
            "Team not found, passed team_id={id}. Create it first: POST /team/new {{\"team_id\": \"{id}\"}}"
        )));
    }
    if !there(Kind::Organization, &row.organization) {
        return Err(ManageError::NotFound("Organization not found.".to_owned()));
    }
    if !there(Kind::Budget, &row.budget) {
        return Err(ManageError::NotFound("Budget not found.".to_owned()));
    }
    Ok(())
}

fn models(caller: &Principal, row: &Entity) -> Result<(), ManageError> {
    for model in &row.models {
        // These stand for what the team has, or for nothing.
        if matches!(&**model, "all-team-models" | "no-default-models") {
            continue;
        }
        let name = if &**model == "all-proxy-models" {
            "*"
        } else {
            model
        };
        if caller.may_use(name).is_err() {
            return Err(ManageError::Forbidden(format!(
                "you may not use model {model}, so no key of yours may"
            )));
        }
    }
    Ok(())
}

/// Routes that anybody who calls models may give away.
const PLAIN: [&str; 3] = ["llm_api_routes", "openai_routes", "info_routes"];

fn routes(caller: &Principal, row: &Entity) -> Result<(), ManageError> {
    let Some(part) = row.key.as_deref() else {
        return Ok(());
    };
    let own = caller.key().and_then(|key| key.key.as_deref());
    let own_routes = own
        .map(|part| part.allowed_routes.as_slice())
        .unwrap_or_default();
    for route in &part.allowed_routes {
        let inference = policy::ROUTES
            .iter()
            .filter(|known| known.governed)
            .any(|known| known.paths.contains(&&**route));
        let plain = own_routes.is_empty() && (inference || PLAIN.contains(&&**route));
        if !plain && !own_routes.contains(route) {
            return Err(ManageError::Forbidden(format!(
                "allowed_routes: {route} goes beyond what you may call yourself"
            )));
        }
    }
    if matches!(part.key_type.as_deref(), Some("management")) {
        return Err(ManageError::Forbidden(
            "keys for management are made by an administrator".to_owned(),
        ));
    }
    Ok(())
}

/// A key that is bounded itself makes no key that is less so.
fn bounds(caller: &Principal, row: &Entity) -> Result<(), ManageError> {
    let Some(own) = caller.key() else {
        return Ok(());
    };
    let refuse = |what: &str| Err(ManageError::Forbidden(what.to_owned()));
    if own.id == row.id {
        // Its own limits are not its own to change.
        let caps = |row: &Entity| row.caps.as_deref().cloned().unwrap_or_default();
        if caps(own) != caps(row)
            || own.models != row.models
            || own.key.as_deref().map(|part| &part.allowed_addresses)
                != row.key.as_deref().map(|part| &part.allowed_addresses)
        {
            return refuse("a key does not change its own limits");
        }
        return Ok(());
    }
    if own.caps.as_deref().is_some_and(|caps| !caps.is_empty()) || own.budget.is_some() {
        return refuse("a key with limits of its own makes no other keys");
    }
    let (Some(mine), Some(part)) = (own.key.as_deref(), row.key.as_deref()) else {
        return Ok(());
    };
    if mine
        .expires
        .is_some_and(|end| part.expires.is_none_or(|other| other > end))
    {
        return refuse("duration: the key would outlive the one that makes it");
    }
    let within = |net: &ipnet::IpNet| mine.allowed_addresses.iter().any(|own| own.contains(net));
    if !mine.allowed_addresses.is_empty()
        && (part.allowed_addresses.is_empty() || !part.allowed_addresses.iter().all(within))
    {
        return refuse("allowed_addresses: wider than those of the key that makes it");
    }
    Ok(())
}

/// What a key of this caller has where the request says nothing: never more than the key that makes it.
pub(super) fn inherit(caller: &Principal, row: &mut Entity) {
    if caller.role().is_admin() {
        return;
    }
    let Some(own) = caller.key() else { return };
    if row.models.is_empty() {
        row.models.clone_from(&own.models);
    }
    let (Some(mine), Some(part)) = (own.key.as_deref(), row.key.as_deref_mut()) else {
        return;
    };
    if part.allowed_routes.is_empty() {
        part.allowed_routes.clone_from(&mine.allowed_routes);
    }
    if part.allowed_addresses.is_empty() {
        part.allowed_addresses.clone_from(&mine.allowed_addresses);
    }
    part.expires = part.expires.or(mine.expires);
    part.minted_by = caller.user_id().map(Into::into);
}
