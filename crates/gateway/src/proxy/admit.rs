//! Stage 3: may this caller do that, where does it go, and which checks does it select.

use std::sync::Arc;

use llm::protocol::Protocol;
use llm::provider::Route;
use llm::scan::{Kind, Node};
use policy::{Caller, Rejection, RouteError};

use super::answer::not_served;
use super::facts::Destination;
use super::inspect::Request;
use super::stored::{Stored, not_continued};
use crate::app::Snapshot;
use crate::checks::Selected;
use crate::config::{Deployment, Mode};
use crate::error::Error;
use crate::ids;
use crate::upstream::render;

/// A request that may go on: the caller, the destination and the selected checks.
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) request: Request,
    pub(crate) destination: Destination,
    pub(crate) selected: Selected,
}

/// Decides about a request. Only the model name and the selectors that add checks are read from the body.
///
/// # Errors
/// Unknown model, provider or check not available, unknown guardrail.
pub(crate) fn admit(
    snapshot: &Snapshot,
    route_name: &'static str,
    caller: Caller,
    request: Request,
) -> Result<Admitted, Error> {
    let destination = match &request.stored {
        Some(stored) => pinned(snapshot, &request, stored)?,
        None => {
            let model = request.model.as_deref();
            destination(snapshot, request.protocol, route_name, model)?
        }
    };
    let named = guardrail_names(request.body.member("guardrails"))?;
    let selected = snapshot.checks.select(&snapshot.config, &named)?;
    Ok(Admitted {
        caller,
        request,
        destination,
        selected,
    })
}

/// The deployment that holds what the request refers to; no other one can serve it.
fn pinned(snapshot: &Snapshot, request: &Request, stored: &Stored) -> Result<Destination, Error> {
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
    let wildcard = match models.choose(requested, 0, |_: &Arc<Deployment>| None) {
        Ok(choice) if choice.group == group => choice.wildcard,
        // The model is another one than the one that made the response.
        _ if request.model.is_some() => return Err(not_continued()),
        _ => None,
    };
    Ok(Destination {
        requested: Arc::from(requested),
        group: Arc::from(group),
        wildcard: wildcard.is_some(),
        upstream_model: deployment
            .upstream_model
            .name(wildcard.as_deref())
            .into_owned(),
        considered: vec![(deployment.id.clone(), None)],
        deployment: deployment.clone(),
    })
}

fn destination(
    snapshot: &Snapshot,
    protocol: Protocol,
    route_name: &'static str,
    model: Option<&str>,
) -> Result<Destination, Error> {
    let unknown = |model: &str| Error::UnknownModel {
        route: route_name,
        model: model.chars().take(100).collect(),
    };
    let model = model.ok_or_else(|| unknown("None"))?;
    let draw = ids::random_u64().map_err(|_| Error::Internal)?;
    let judge = |deployment: &Arc<Deployment>| {
        if !deployment.built && deployment.mock_response.is_none() {
            return Some(Rejection::ProviderNotBuilt);
        }
        let fits = match deployment.mode {
            Mode::Any => true,
            Mode::Chat => !matches!(protocol, Protocol::Embeddings | Protocol::Moderations),
            Mode::Embedding => protocol == Protocol::Embeddings,
            Mode::Completion => protocol == Protocol::Completions,
            Mode::Responses => protocol == Protocol::Responses,
            Mode::Moderation => protocol == Protocol::Moderations,
            Mode::Other => false,
        };
        let fits = fits && render::serves(protocol, deployment);
        (!fits).then_some(Rejection::OtherMode)
    };
    let choice =
        snapshot
            .config
            .models
            .choose(model, draw, judge)
            .map_err(|error| match error {
                RouteError::NoneUsable(Rejection::ProviderNotBuilt) => {
                    Error::ProviderNotAvailable {
                        provider: provider_of(snapshot, model),
                    }
                }
                RouteError::NoneUsable(Rejection::OtherMode) => {
                    not_served(&provider_of(snapshot, model), protocol)
                }
                RouteError::UnknownModel | RouteError::NoneUsable(_) => unknown(model),
            })?;
    let deployment = choice.deployment.clone();
    Ok(Destination {
        requested: Arc::from(model),
        group: Arc::from(choice.group),
        wildcard: choice.wildcard.is_some(),
        upstream_model: deployment
            .upstream_model
            .name(choice.wildcard.as_deref())
            .into_owned(),
        considered: choice
            .considered
            .iter()
            .map(|seen| {
                (
                    seen.deployment.id.clone(),
                    seen.rejected.map(Rejection::as_str),
                )
            })
            .collect(),
        deployment,
    })
}

fn provider_of(snapshot: &Snapshot, model: &str) -> String {
    let found = snapshot
        .config
        .models
        .choose(model, 0, |_: &Arc<Deployment>| None);
    found.map_or_else(
        |_| "unknown".to_owned(),
        |choice| choice.deployment.provider.clone(),
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
