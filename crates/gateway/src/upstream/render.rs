//! From a checked request to the bytes for one deployment: address, headers, body.
//!
//! An upstream that speaks the client's format gets the client's bytes with splices: the texts that checks changed, the
//! model's name, the gateway's own members out. For any other one the body is rendered from the request as the checks left
//! it, so a retry or a fallback can never send what they took out.

use bytes::Bytes;
use http::Uri;
use http::header::{HeaderMap, HeaderValue};
use llm::openai::Target;
use llm::protocol::Protocol;
use llm::provider::{Provider, Route};
use llm::scan::Doc;
use llm::translate::{self, Back, Options, TranslateError, Wire};

use crate::app::Snapshot;
use crate::config::{Deployment, ProviderRetention};
use crate::error::Error;
use crate::proxy::check::Edited;
use crate::proxy::inspect::Request;

/// Output tokens asked for where the provider demands a number and the client gave none.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// A request for one deployment.
pub(crate) struct Outgoing {
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
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
        Protocol::Responses => Route::Responses,
    }
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
    let (route, body, back, dropped) = if provider.speaks(native) {
        let body = splice(snapshot, request, edited, deployment, provider, model)?;
        (native, body, None, Vec::new())
    } else {
        let rendered = translated(request, edited, deployment, provider, model, snapshot)?;
        let body = Bytes::from(rendered.body);
        let route = provider.wire.main_route();
        (route, body, Some(rendered.back), rendered.dropped)
    };
    let uri = prepared.uri(deployment, provider, model, route, stream)?;
    let mut headers = prepared.headers.clone();
    let length = HeaderValue::from(body.len());
    headers.insert(http::header::CONTENT_LENGTH, length);
    Ok(Outgoing {
        uri,
        headers,
        body,
        back,
        dropped,
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
    });
    if snapshot.config.provider_retention == ProviderRetention::None {
        request.body.forbid_retention(&mut edits);
    }
    edited
        .add_to(doc, &mut edits)
        .and_then(|()| edits.apply(doc))
        .map_err(|_| Error::Internal)
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
        drop_params: false,
        additional_drop_params: &[],
        default_max_tokens: DEFAULT_MAX_TOKENS,
    };
    let original = request.body.doc();
    let checked: Doc;
    let doc = if edited.is_empty() {
        original
    } else {
        let body = edited.apply(original).map_err(|_| Error::Internal)?;
        checked = Doc::parse(body, &snapshot.scan).map_err(|_| Error::Internal)?;
        &checked
    };
    let wire = wire(provider);
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
    });
    let body = edits.apply(chat.doc()).map_err(|_| Error::Internal)?;
    Ok(body.into())
}

/// The format that a provider speaks.
pub(crate) fn wire(provider: &Provider) -> Wire {
    match provider.wire {
        llm::provider::Wire::OpenAi => Wire::OpenAi,
        llm::provider::Wire::Anthropic => Wire::Anthropic,
        llm::provider::Wire::Gemini => Wire::Gemini,
    }
}

fn refused(error: TranslateError) -> Error {
    Error::InvalidField {
        field: error.field,
        message: error.message,
        status: 400,
        kind: "invalid_request_error",
    }
}
