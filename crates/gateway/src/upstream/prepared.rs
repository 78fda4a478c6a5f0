//! What every request to a deployment has in common, built once per configuration.

use std::collections::HashMap;
use std::sync::Arc;

use http::Uri;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::InvalidUri;

use crate::config::{Config, Deployment};

/// URLs and headers of one deployment.
pub(crate) struct Prepared {
    pub(crate) chat: Uri,
    pub(crate) embeddings: Uri,
    pub(crate) headers: HeaderMap,
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
    for (_, deployment) in config.models.deployments() {
        if let Some(prepared) = prepare(deployment)? {
            all.insert(deployment.id.clone(), Arc::new(prepared));
        }
    }
    Ok(all)
}

fn prepare(deployment: &Deployment) -> Result<Option<Prepared>, PrepareError> {
    let Some(base) = &deployment.api_base else {
        return Ok(None);
    };
    let url = |path: &str| {
        format!("{base}{path}")
            .parse::<Uri>()
            .map_err(|source| PrepareError::Url {
                id: deployment.id.clone(),
                source,
            })
    };
    Ok(Some(Prepared {
        chat: url("/chat/completions")?,
        embeddings: url("/embeddings")?,
        headers: headers(deployment)?,
        id: HeaderValue::from_str(&deployment.id).map_err(|_| PrepareError::Header {
            id: deployment.id.clone(),
            what: "model_info.id".to_owned(),
        })?,
    }))
}

fn headers(deployment: &Deployment) -> Result<HeaderMap, PrepareError> {
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
    if let Some(key) = &deployment.api_key {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
            .map_err(|_| refused("api_key"))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
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
