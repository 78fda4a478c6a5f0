//! Stage 3: may this caller do that, where does it go, and which checks does it select.

use http::HeaderMap;
use llm::provider::Route;
use llm::scan::{Kind, Node};
use policy::Caller;
use policy::identity::Principal;

use super::facts::Destination;
use super::inspect::Request;
use super::stored::{Stored, not_continued};
use crate::app::Snapshot;
use crate::error::Error;
use crate::guardrails::Selected;
use crate::routing::{self, Permits, Selectors};

/// A request that may go on: the caller, the destination and the selected checks.
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) request: Request,
    pub(crate) destination: Destination,
    pub(crate) selected: Selected,
}

/// Decides about a request. Of the body only the model's name is read, the selectors that add
/// checks, and those that narrow the way ([`Selectors`]).
///
/// # Errors
/// Unknown model, provider or check not available, unknown guardrail.
pub(crate) fn admit(
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
    let allowed = allowed(snapshot, principal, &request)?;
    let mut named = guardrail_names(request.body.member("guardrails"))?;
    for row in [principal.key(), principal.team()].into_iter().flatten() {
        named.extend(row.guardrails.iter().map(ToString::to_string));
    }
    let selectors = Selectors::read(snapshot, &request, headers);
    let destination = match &request.stored {
        Some(stored) => pinned(snapshot, route_name, &request, stored, selectors)?,
        None => routing::begin(snapshot, route_name, &request, selectors, allowed)?,
    };
    if request.model.is_none() {
        // What was stored earlier is used with the rights of now.
        principal.may_use(&destination.group)?;
    }
    let selected = snapshot.checks.select(&snapshot.config, &named)?;
    if request.body.stream()
        && let Some(check) = selected.remote(true).next()
    {
        // Services judge whole answers; a stream would have been delivered before.
        return Err(Error::CheckNotAvailable {
            check: check.name.to_string(),
        });
    }
    Ok(Admitted {
        caller,
        request,
        destination,
        selected,
    })
}

/// Which models the caller may use, for the choice and for every fallback; `None` for one who may use all.
///
/// # Errors
/// 403 for a model that the caller may not use, neither by its name nor by its group's.
fn allowed(
    snapshot: &Snapshot,
    principal: &Principal,
    request: &Request,
) -> Result<Permits, Error> {
    if principal.key().is_none() {
        return Ok(None);
    }
    let mut first: Option<String> = None;
    if let Some(model) = request.model.as_deref() {
        let group = snapshot.config.models.group_of(model);
        let by_name = principal.may_use(model);
        let by_group = group.is_some_and(|group| principal.may_use(group).is_ok());
        if !by_group {
            by_name?;
        }
        first = group.map(str::to_owned);
    }
    let caller = principal.clone();
    Ok(Some(std::sync::Arc::new(move |name: &str| {
        first.as_deref() == Some(name) || caller.may_use(name).is_ok()
    })))
}

/// The deployment that holds what the request refers to; no other one can serve it.
fn pinned(
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
