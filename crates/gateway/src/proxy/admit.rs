//! Stage 3: may this caller do that, where does it go, and which checks does it select.

use std::sync::Arc;

use http::HeaderMap;
use llm::provider::Route;
use llm::scan::{Kind, Node};
use policy::Caller;
use policy::identity::{AccessError, Entity, Kind as Row, Principal, model_matches};

use super::facts::Destination;
use super::inspect::Request;
use super::reserve::Billing;
use super::stored::{Stored, not_continued};
use crate::app::{App, Snapshot};
use crate::error::Error;
use crate::guardrails::{Selected, Selecting};
use crate::routing::{self, Permits, Selectors};

/// A request that may go on: the caller, the destination and the selected checks.
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) request: Request,
    pub(crate) destination: Destination,
    pub(crate) selected: Selected,
    /// The call for whose sake this one is made.
    pub(crate) parent: Option<Parent>,
}

/// A call that has another one made: a check that asks a model.
pub(crate) struct Parent {
    pub(crate) id: capsule::Id,
    /// What rules saw of it: they hold for what is made of it too.
    pub(crate) rule_facts: Option<Box<policy::rules::Facts>>,
    /// Who it counts against.
    pub(crate) billing: Billing,
}

/// Decides about a request. Of the body only the model's name is read, the selectors that add
/// checks, and those that narrow the way ([`Selectors`]).
///
/// # Errors
/// Unknown model, provider or check not available, unknown guardrail; an end user who may not be served.
pub(crate) fn admit(
    app: &App,
    snapshot: &Snapshot,
    route_name: &'static str,
    headers: &HeaderMap,
    caller: Caller,
    request: Request,
) -> Result<Admitted, Error> {
    let mut request = request;
    let principal = caller.principal();
    // The name that is meant, by the aliases of key and team.
    request.model = request
        .model
        .take()
        .map(|model| principal.alias(&model).to_owned());
    let customer = customer(app, principal, &request)?;
    let allowed = allowed(snapshot, principal, customer, &request)?;
    let mut named = guardrail_names(request.body.member("guardrails"))?;
    for row in [principal.key(), principal.team()].into_iter().flatten() {
        named.extend(row.guardrails.iter().map(ToString::to_string));
    }
    let selectors = Selectors::read(snapshot, &request, headers);
    let fallbacks = selectors.fallbacks.clone();
    let destination = match &request.stored {
        Some(stored) => pinned(app, snapshot, route_name, &request, stored, selectors)?,
        None => routing::begin(app, snapshot, route_name, &request, selectors, allowed)?,
    };
    if request.model.is_none() {
        // What was stored earlier is used with the rights of now.
        let groups = snapshot.config.access_groups.of(&destination.group);
        principal.may_use_as(&destination.group, groups)?;
    }
    let mut tags = Vec::new();
    if snapshot.checks.by_tag() {
        tags = routing::request_tags(&request, headers);
        for row in [principal.key(), principal.team()].into_iter().flatten() {
            tags.extend(row.tags.iter().map(ToString::to_string));
        }
    }
    let team = principal.team();
    let key = principal.key().and_then(|key| key.key.as_deref());
    let by = Selecting {
        named,
        tags,
        team: [
            team.map(|team| team.id.as_ref()),
            team.and_then(|team| team.alias.as_deref()),
        ],
        agents: key.map_or_else(Vec::new, |key| {
            key.agents.iter().map(AsRef::as_ref).collect()
        }),
        group: &destination.group,
        fallbacks,
    };
    let selected = snapshot.checks.select(&snapshot.config, &by)?;
    Ok(Admitted {
        caller,
        request,
        destination,
        selected,
        parent: None,
    })
}

/// Which models the caller and its end user may use, for the choice and for every fallback; `None` where all may be used.
///
/// # Errors
/// 403 for a model that one of them may not use, neither by its name nor by its group's.
fn allowed(
    snapshot: &Snapshot,
    principal: &Principal,
    customer: Option<Arc<Entity>>,
    request: &Request,
) -> Result<Permits, Error> {
    if principal.key().is_none() && customer.is_none() {
        return Ok(None);
    }
    let may = {
        let caller = principal.clone();
        let access = snapshot.config.access_groups.clone();
        move |name: &str, group: &str| {
            caller.may_use_as(name, access.of(group))?;
            match &customer {
                Some(row) if !serves(row, name) => Err(AccessError::Model {
                    object: "customer",
                    model: name.chars().take(100).collect(),
                }),
                _ => Ok(()),
            }
        }
    };
    let mut first: Option<String> = None;
    if let Some(model) = request.model.as_deref() {
        let group = snapshot.config.models.group_of(model);
        let by_name = may(model, group.unwrap_or(model));
        let by_group = group.is_some_and(|group| may(group, group).is_ok());
        if !by_group {
            by_name?;
        }
        first = group.map(str::to_owned);
    }
    Ok(Some(Arc::new(move |name: &str| {
        first.as_deref() == Some(name) || may(name, name).is_ok()
    })))
}

/// The row of the end user whom the caller names, where there is one that restricts.
///
/// # Errors
/// 403 for an end user who is blocked.
fn customer(
    app: &App,
    principal: &Principal,
    request: &Request,
) -> Result<Option<Arc<Entity>>, Error> {
    let Some(user) = request.body.user() else {
        return Ok(None);
    };
    let tables = app.identity.directory.read();
    let Some(row) = tables.get(Row::Customer, principal.tenant(), &user) else {
        return Ok(None);
    };
    if row.blocked || row.damaged {
        return Err(Error::EndUserBlocked);
    }
    Ok(Some(row.clone()))
}

/// Whether an end user's calls may use a model.
fn serves(customer: &Entity, model: &str) -> bool {
    let mut patterns = customer.models.iter();
    customer.models.is_empty() || patterns.any(|pattern| model_matches(pattern, model))
}

/// The deployment that holds what the request refers to; no other one can serve it.
fn pinned(
    app: &App,
    snapshot: &Snapshot,
    route: &'static str,
    request: &Request,
    stored: &Stored,
    selectors: Selectors,
) -> Result<Destination, Error> {
    let unknown = || match request.protocol.is_stored() {
        true => Error::NoSuchResponse,
        false => not_continued(),
    };
    let models = &snapshot.config.models;
    let (group, deployment) = models
        .deployments()
        .find(|(_, deployment)| deployment.id == stored.deployment)
        .ok_or_else(unknown)?;
    let speaks = |provider: &llm::provider::Provider| provider.speaks(Route::Responses);
    if !deployment.profile.is_some_and(speaks) || deployment.mock_response.is_some() {
        return Err(unknown());
    }
    let requested = request.model.as_deref().unwrap_or(group);
    // The model must be the one that made the response.
    if models.group_of(requested) != Some(group) {
        return Err(not_continued());
    }
    routing::begin_at(
        app,
        snapshot,
        route,
        request,
        requested,
        &deployment.id,
        selectors,
    )
}

/// Names under `guardrails`: a list of names, or of objects whose keys are names.
fn guardrail_names(node: Option<Node<'_>>) -> Result<Vec<String>, Error> {
    let wrong = || Error::InvalidField {
        field: "guardrails".to_owned(),
        message: "'guardrails' must be a list of names.".to_owned(),
        status: 422,
        kind: "invalid_request_error",
    };
    let Some(node) = node else {
        return Ok(Vec::new());
    };
    if node.kind() != Kind::Array {
        return Err(wrong());
    }
    let mut names = Vec::new();
    for item in node.items() {
        match item.kind() {
            Kind::String => names.extend(item.as_str().map(std::borrow::Cow::into_owned)),
            Kind::Object => names.extend(
                item.entries()
                    .filter_map(|(key, _)| key.as_str().map(std::borrow::Cow::into_owned)),
            ),
            _ => return Err(wrong()),
        }
    }
    Ok(names)
}
