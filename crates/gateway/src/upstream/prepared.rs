//! What every request to a deployment has in common, built once per configuration.

use std::collections::HashMap;
use std::sync::Arc;

use http::Uri;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::InvalidUri;
use llm::provider::{Credential, Place, Provider, Route};

use crate::config::{Config, Deployment, UpstreamModel};
use crate::error::Error;
use crate::upstream::entra::Entra;

/// URLs and headers of one deployment.
pub(crate) struct Prepared {
    /// By route and whether the answer is streamed; empty where the model of a call is part of the URL.
    urls: Vec<((Route, bool), Uri)>,
    pub(crate) headers: HeaderMap,
    /// Gives the token where there is no key.
    pub(crate) entra: Option<Arc<Entra>>,
    /// The deployment's id, for answers.
    pub(crate) id: HeaderValue,
}

/// A deployment's settings do not make a request.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The URL with the route's path is no URL.
    #[error("deployment {id}: api_base: {source}")]
    Url {
        /// Deployment id.
        id: String,
        /// Why.
        source: InvalidUri,
    },
    /// A credential or header cannot be sent. The value is not shown.
    #[error("deployment {id}: {what} holds characters that a header cannot carry")]
    Header {
        /// Deployment id.
        id: String,
        /// Which.
        what: String,
    },
}

/// Prepares every deployment that can be called, by its id.
pub(crate) fn prepare_all(config: &Config) -> Result<HashMap<String, Arc<Prepared>>, PrepareError> {
    let mut all = HashMap::new();
    let listed = config
        .models
        .deployments()
        .map(|(_, deployment)| deployment);
    for deployment in listed.chain(&config.judges) {
        if let Some(prepared) = prepare(deployment)? {
            all.insert(deployment.id.clone(), Arc::new(prepared));
        }
    }
    Ok(all)
}

fn prepare(deployment: &Deployment) -> Result<Option<Prepared>, PrepareError> {
    let (Some(base), Some(provider)) = (&deployment.api_base, deployment.profile) else {
        return Ok(None);
    };
    let base = base.to_string();
    let mut urls = Vec::new();
    let model = match &deployment.upstream_model {
        UpstreamModel::Fixed(model) => Some(model.as_str()),
        // Where the model is no part of the URL, its name does not matter.
        UpstreamModel::Pattern { .. } => (!provider.model_in_url()).then_some("any"),
    };
    if let Some(model) = model {
        for route in provider
            .native
            .iter()
            .copied()
            .chain([provider.wire.main_route()])
        {
            for stream in [false, true] {
                let place = place(deployment, &base, model, route, stream);
                // A route without a URL is refused when it is called.
                let Ok(url) = provider.endpoint(&place) else {
                    continue;
                };
                let url = url.parse().map_err(|source| PrepareError::Url {
                    id: deployment.id.clone(),
                    source,
                })?;
                urls.push(((route, stream), url));
            }
        }
    }
    Ok(Some(Prepared {
        urls,
        headers: headers(deployment, provider)?,
        entra: deployment.entra.as_ref().and_then(Entra::new).map(Arc::new),
        id: HeaderValue::from_str(&deployment.id).map_err(|_| PrepareError::Header {
            id: deployment.id.clone(),
            what: "model_info.id".to_owned(),
        })?,
    }))
}

fn place<'a>(
    deployment: &'a Deployment,
    api_base: &'a str,
    model: &'a str,
    route: Route,
    stream: bool,
) -> Place<'a> {
    Place {
        api_base,
        api_version: deployment.api_version.as_deref(),
        model,
        route,
        stream,
    }
}

impl Prepared {
    /// The URL of a call.
    ///
    /// # Errors
    /// When the client's model name cannot be part of a URL, or the provider has no such route.
    pub(crate) fn uri(
        &self,
        deployment: &Deployment,
        provider: &Provider,
        model: &str,
        route: Route,
        stream: bool,
    ) -> Result<Uri, Error> {
        if let Some((_, url)) = self.urls.iter().find(|(key, _)| *key == (route, stream)) {
            return Ok(url.clone());
        }
        let base = deployment.api_base.as_ref().ok_or(Error::Internal)?;
        let base = base.to_string();
        let refused = |message: String| Error::InvalidField {
            field: "model".to_owned(),
            message,
            status: 400,
            kind: "invalid_request_error",
        };
        let url = provider
            .endpoint(&place(deployment, &base, model, route, stream))
            .map_err(|error| refused(error.to_string()))?;
        url.parse()
            .map_err(|_| refused("the model name cannot be part of a URL".to_owned()))
    }
}

fn headers(deployment: &Deployment, provider: &Provider) -> Result<HeaderMap, PrepareError> {
    let refused = |what: &str| PrepareError::Header {
        id: deployment.id.clone(),
        what: what.to_owned(),
    };
    let mut headers = HeaderMap::with_capacity(8 + deployment.extra_headers.len());
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    // The checks must be able to read the answer.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    let agent = concat!("sealgate/", env!("CARGO_PKG_VERSION"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    for (name, value) in provider.headers {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if let Some(key) = &deployment.api_key {
        let (name, before) = provider.auth.header(Credential::Key);
        let mut value = HeaderValue::from_str(&format!("{before}{}", key.expose()))
            .map_err(|_| refused("api_key"))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    if let Some(token) = &deployment.token {
        let (name, before) = provider.auth.header(Credential::Token);
        let mut value = HeaderValue::from_str(&format!("{before}{}", token.expose()))
            .map_err(|_| refused("azure_ad_token"))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static(name), value);
    }
    if let Some(organization) = &deployment.organization {
        let value = HeaderValue::from_str(organization).map_err(|_| refused("organization"))?;
        headers.insert(HeaderName::from_static("openai-organization"), value);
    }
    for (name, value) in &deployment.extra_headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| refused(name))?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| refused(name))?;
        value.set_sensitive(true);
        headers.insert(key, value);
    }
    Ok(headers)
}
