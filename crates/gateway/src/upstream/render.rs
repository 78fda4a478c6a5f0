//! From a checked request to the bytes for one deployment: address, headers, body.
//!
//! An upstream that speaks the client's format gets the client's bytes with splices: the texts that checks changed, the
//! model's name, the gateway's own members out. For any other one the body is rendered from the request as the checks left
//! it, so a retry or a fallback can never send what they took out.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use llm::openai::Target;
use llm::protocol::Protocol;
use llm::provider::{Provider, Route};
use llm::scan::Doc;
use llm::translate::{self, Back, Options, TranslateError, Wire};

use crate::app::Snapshot;
use crate::config::{Deployment, ProviderRetention};
use crate::error::Error;
use crate::proxy::answer::not_served;
use crate::proxy::check::Edited;
use crate::proxy::inspect::Request;
use crate::proxy::stored::Stored;
use crate::upstream::defaults;
use crate::upstream::entra::Entra;
use crate::upstream::prepared::Prepared;

/// Output tokens asked for where the provider demands a number and the client gave none.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// A request for one deployment.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Gives the token that the headers still need.
    pub(crate) entra: Option<Arc<Entra>>,
    /// How its answer becomes the client's; `None` where both speak the same format.
    pub(crate) back: Option<Back>,
    /// Dotted names of members that were left out because the provider does not know them.
    pub(crate) dropped: Vec<String>,
}

/// The provider's route that serves a protocol as it is.
pub(crate) fn native_route(protocol: Protocol) -> Route {
    match protocol {
        Protocol::Chat => Route::ChatCompletions,
        Protocol::Completions => Route::Completions,
        Protocol::Embeddings => Route::Embeddings,
        Protocol::Moderations => Route::Moderations,
        Protocol::Messages => Route::Messages,
        Protocol::CountTokens => Route::CountTokens,
        Protocol::Responses
        | Protocol::ResponseGet
        | Protocol::ResponseDelete
        | Protocol::ResponseCancel
        | Protocol::ResponseInputItems => Route::Responses,
    }
}

/// Whether the gateway answers with an estimate of its own, because the provider cannot be asked.
pub(crate) fn is_estimated(protocol: Protocol, deployment: &Deployment) -> bool {
    let asked = |provider: &Provider| provider.speaks(Route::CountTokens);
    protocol == Protocol::CountTokens && !deployment.profile.is_some_and(asked)
}

/// Renders the checked request for a deployment; `model` is the provider's name of the model.
///
/// # Errors
/// 400 naming the member that cannot be said in the provider's format.
pub(crate) fn render(
    snapshot: &Snapshot,
    request: &Request,
    edited: &Edited,
    deployment: &Deployment,
    model: &str,
) -> Result<Outgoing, Error> {
    let prepared = snapshot.prepared.get(&deployment.id);
    let (Some(provider), Some(prepared)) = (deployment.profile, prepared) else {
        return Err(Error::Internal);
    };
    let native = native_route(request.protocol);
    let stream = request.body.stream();
    if let (true, Some(stored)) = (request.protocol.is_stored(), &request.stored) {
        return about_stored(
            request.protocol,
            stored,
            deployment,
            provider,
            prepared,
            model,
        );
    }
    if !provider.speaks(native) && !is_translated(request.protocol, provider) {
        return Err(not_served(&deployment.provider, request.protocol));
    }
    let (route, body, back, dropped) = if provider.speaks(native) {
        let dropped = dropped(request.body.doc(), deployment, provider);
        let body = splice(snapshot, request, edited, deployment, provider, model)?;
        (native, body, None, dropped)
    } else {
        let rendered = translated(request, edited, deployment, provider, model, snapshot)?;
        let body = Bytes::from(rendered.body);
        // Vectors come from a route of their own; every text from the main one.
        let route = match request.protocol {
            Protocol::Embeddings => Route::Embeddings,
            _ => provider.wire.main_route(),
        };
        (route, body, Some(rendered.back), rendered.dropped)
    };
    let uri = prepared.uri(deployment, provider, model, route, stream)?;
    let mut headers = prepared.headers.clone();
    let length = HeaderValue::from(body.len());
    headers.insert(CONTENT_LENGTH, length);
    if back.is_none() {
        forward(&request.relayed, &mut headers);
    }
    Ok(Outgoing {
        method: Method::POST,
        uri,
        headers,
        body,
        entra: prepared.entra.clone(),
        back,
        dropped,
    })
}

/// Whether a deployment can answer calls of the protocol: as they are, translated, or with an estimate.
pub(crate) fn serves(protocol: Protocol, deployment: &Deployment) -> bool {
    let served = |provider: &Provider| {
        provider.speaks(native_route(protocol)) || is_translated(protocol, provider)
    };
    is_estimated(protocol, deployment)
        || deployment.mock_response.is_some()
        || deployment.profile.is_none_or(served)
}

/// Whether calls of the protocol can be said in the format that the provider speaks.
fn is_translated(protocol: Protocol, provider: &Provider) -> bool {
    match protocol {
        Protocol::Chat | Protocol::Completions | Protocol::Messages | Protocol::Responses => true,
        Protocol::Embeddings => provider.wire == Wire::Gemini,
        _ => false,
    }
}

/// The client's own headers in place of what the deployment says about the same; betas are added to each other.
fn forward(relayed: &[(HeaderName, HeaderValue)], headers: &mut HeaderMap) {
    for (name, value) in relayed {
        match name.as_str() {
            "anthropic-beta" => {
                headers.append(name.clone(), value.clone());
            }
            _ => {
                headers.insert(name.clone(), value.clone());
            }
        }
    }
}

/// A call about something the provider stored: its id in the path, no body.
fn about_stored(
    protocol: Protocol,
    stored: &Stored,
    deployment: &Deployment,
    provider: &Provider,
    prepared: &Prepared,
    model: &str,
) -> Result<Outgoing, Error> {
    let base = prepared.uri(deployment, provider, model, Route::Responses, false)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if stored.id.is_empty() || !stored.id.bytes().all(plain) {
        return Err(Error::NoSuchResponse);
    }
    let (method, tail) = match protocol {
        Protocol::ResponseDelete => (Method::DELETE, ""),
        Protocol::ResponseCancel => (Method::POST, "/cancel"),
        Protocol::ResponseInputItems => (Method::GET, "/input_items"),
        _ => (Method::GET, ""),
    };
    let (scheme, authority) = (base.scheme_str(), base.authority());
    let (Some(scheme), Some(authority)) = (scheme, authority) else {
        return Err(Error::Internal);
    };
    // Azure has its version in the query; what the client asks for follows it.
    let mut query = base
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    if let Some(asked) = stored.query.strip_prefix('?') {
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(asked);
    }
    let path = base.path();
    let uri = format!("{scheme}://{authority}{path}/{}{tail}{query}", stored.id);
    let mut headers = prepared.headers.clone();
    headers.remove(CONTENT_TYPE);
    if method == Method::POST {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(Outgoing {
        method,
        uri: uri.parse().map_err(|_| Error::Internal)?,
        headers,
        body: Bytes::new(),
        entra: prepared.entra.clone(),
        back: None,
        dropped: Vec::new(),
    })
}

/// The client's bytes with structural edits and every changed text, in one pass.
fn splice(
    snapshot: &Snapshot,
    request: &Request,
    edited: &Edited,
    deployment: &Deployment,
    provider: &Provider,
    model: &str,
) -> Result<Bytes, Error> {
    let doc = request.body.doc();
    let mut edits = request.body.upstream_edits(&Target {
        model,
        provider,
        forward_metadata: deployment.forward_metadata,
        allowed: &deployment.allowed_params,
    });
    if snapshot.config.provider_retention == ProviderRetention::None {
        request.body.forbid_retention(&mut edits);
    }
    if let Some(stored) = &request.stored {
        let id = llm::json::string(&stored.id);
        edits
            .set_member(doc.root(), "previous_response_id", id)
            .map_err(|_| Error::Internal)?;
    }
    defaults::add(&mut edits, request.protocol, doc, deployment, provider)?;
    for name in additional(deployment) {
        edits
            .remove_member(doc.root(), name)
            .map_err(|_| Error::Internal)?;
    }
    edited
        .add_to(doc, &mut edits)
        .and_then(|()| edits.apply(doc))
        .map_err(|_| Error::Internal)
}

/// Members that the configuration takes out for this deployment; without a model nothing could be called.
fn additional(deployment: &Deployment) -> impl Iterator<Item = &String> {
    let names = deployment.additional_drop_params.iter();
    names.filter(|name| *name != "model")
}

/// Members of the client that do not reach this provider, though it speaks the client's format.
fn dropped(doc: &Doc, deployment: &Deployment, provider: &Provider) -> Vec<String> {
    let keys = doc.root().entries().filter_map(|(key, _)| key.as_str());
    keys.filter(|key| {
        let allowed = || deployment.allowed_params.iter().any(|name| name == key);
        (provider.quirks.dropped.contains(&&**key) && !allowed())
            || additional(deployment).any(|name| name == key)
    })
    .map(std::borrow::Cow::into_owned)
    .collect()
}

/// The request in the provider's format, from the document that the checks left.
fn translated(
    request: &Request,
    edited: &Edited,
    deployment: &Deployment,
    provider: &Provider,
    model: &str,
    snapshot: &Snapshot,
) -> Result<translate::Rendered, Error> {
    let options = Options {
        model,
        drop_params: deployment.drop_params,
        additional_drop_params: &deployment.additional_drop_params,
        allowed_params: &deployment.allowed_params,
        optional_params: &[],
        default_max_tokens: DEFAULT_MAX_TOKENS,
    };
    let original = request.body.doc();
    let checked: Doc;
    let mut edits = llm::edit::Edits::new();
    let added = defaults::add(&mut edits, request.protocol, original, deployment, provider)?;
    let options = Options {
        optional_params: &added,
        ..options
    };
    let doc = if edited.is_empty() && added.is_empty() {
        original
    } else {
        let body = edited
            .add_to(original, &mut edits)
            .and_then(|()| edits.apply(original))
            .map_err(|_| Error::Internal)?;
        checked = Doc::parse(body, &snapshot.scan).map_err(|_| Error::Internal)?;
        &checked
    };
    let wire = provider.wire;
    let mut rendered =
        translate::request(request.protocol, wire, doc, &options).map_err(refused)?;
    if wire == Wire::OpenAi {
        rendered.body = quirks(rendered.body, deployment, provider, model, snapshot)?;
    }
    Ok(rendered)
}

/// What this provider wants otherwise than OpenAI, applied to a chat completion that the translation made.
fn quirks(
    body: Vec<u8>,
    deployment: &Deployment,
    provider: &Provider,
    model: &str,
    snapshot: &Snapshot,
) -> Result<Vec<u8>, Error> {
    // The translation may have made it longer than what a client may send.
    let limits = llm::scan::Limits {
        max_bytes: usize::MAX,
        ..snapshot.scan
    };
    let chat = llm::openai::chat::Request::parse(body.into(), &limits).map_err(|error| {
        tracing::error!(kind = ?error.kind, param = ?error.param, "a translated request is no chat completion");
        Error::Internal
    })?;
    let edits = chat.upstream_edits(&Target {
        model,
        provider,
        forward_metadata: deployment.forward_metadata,
        allowed: &deployment.allowed_params,
    });
    let body = edits.apply(chat.doc()).map_err(|_| Error::Internal)?;
    Ok(body.into())
}

fn refused(error: TranslateError) -> Error {
    Error::InvalidField {
        field: error.field,
        message: error.message,
        status: 400,
        kind: "invalid_request_error",
    }
}
