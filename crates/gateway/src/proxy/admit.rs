//! Stage 3: may this caller do that, where does it go, and which checks does it select.

use http::HeaderMap;
use llm::provider::Route;
use llm::scan::{Kind, Node};
use policy::Caller;

use super::facts::Destination;
use super::inspect::Request;
use super::stored::{Stored, not_continued};
use crate::app::Snapshot;
use crate::checks::Selected;
use crate::error::Error;
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
    let named = guardrail_names(request.body.member("guardrails"))?;
    let selectors = Selectors::read(snapshot, &request, headers);
    // Every caller there is may use every model.
    let permits: Permits = None;
    let destination = match &request.stored {
        Some(stored) => pinned(snapshot, route_name, &request, stored, selectors)?,
        None => routing::begin(snapshot, route_name, &request, selectors, permits)?,
    };
    let selected = snapshot.checks.select(&snapshot.config, &named)?;
    Ok(Admitted {
        caller,
        request,
        destination,
        selected,
    })
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
