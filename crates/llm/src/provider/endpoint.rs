//! The URL of a call.

use super::{Auth, Provider, Route, Wire};

/// Version of Azure's API where none is set.
const AZURE_VERSION: &str = "2025-02-01-preview";
/// The first version of Azure's API that has responses below `/openai/responses`.
const AZURE_RESPONSES: &str = "2025-03-01";

/// What a URL depends on.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Base address as configured.
    pub api_base: &'a str,
    /// `api_version` as configured (Azure).
    pub api_version: Option<&'a str>,
    /// The provider's name of the model (Azure: of the deployment). May come from a
    /// client where a wildcard is configured, so it is escaped.
    pub model: &'a str,
    /// Which route.
    pub route: Route,
    /// Whether the answer is to be streamed (part of the path with Gemini).
    pub stream: bool,
}

/// A call that has no URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The model name cannot be part of a path.
    #[error("the model name cannot be part of a URL")]
    Model,
    /// The format has no such route.
    #[error("the provider's format has no such route")]
    Route,
}

impl Provider {
    /// The URL of a route of OpenAI's format below `api_base`. A base that already ends
    /// with the route is taken as it is; slashes at the end do not matter.
    #[must_use]
    pub fn url(&self, api_base: &str, route: Route) -> String {
        let base = api_base.trim_end_matches('/');
        if base.ends_with(route.path()) {
            return base.to_owned();
        }
        let path = if has_path(base) { "" } else { self.base_path };
        format!("{base}{path}{}", route.path())
    }

    /// The URL of a call.
    ///
    /// # Errors
    /// An [`EndpointError`] if the model name cannot be part of a path, or the format has
    /// no such route.
    pub fn endpoint(&self, place: &Place<'_>) -> Result<String, EndpointError> {
        match (self.wire, self.auth) {
            (Wire::OpenAi, Auth::ApiKey) => azure(place),
            (Wire::OpenAi, _) => Ok(self.url(place.api_base, place.route)),
            (Wire::Anthropic, _) => match place.route {
                Route::Messages | Route::CountTokens | Route::Models => {
                    let base = place.api_base.trim_end_matches('/');
                    let base = base.strip_suffix("/messages").unwrap_or(base);
                    let version = if base.ends_with("/v1") { "" } else { "/v1" };
                    Ok(format!("{base}{version}{}", place.route.path()))
                }
                _ => Err(EndpointError::Route),
            },
            (Wire::Gemini, _) => self.gemini(place),
        }
    }

    /// Whether URLs of calls may hold the model's name.
    #[must_use]
    pub fn model_in_url(&self) -> bool {
        self.wire == Wire::Gemini || self.auth == Auth::ApiKey
    }

    fn gemini(&self, place: &Place<'_>) -> Result<String, EndpointError> {
        let base = place.api_base.trim_end_matches('/');
        let path = if has_path(base) { "" } else { self.base_path };
        let method = match (place.route, place.stream) {
            (Route::ChatCompletions, false) => "generateContent",
            (Route::ChatCompletions, true) => "streamGenerateContent?alt=sse",
            (Route::Embeddings, _) => "batchEmbedContents",
            (Route::CountTokens, _) => "countTokens",
            (Route::Models, _) => return Ok(format!("{base}{path}/models")),
            _ => return Err(EndpointError::Route),
        };
        let model = place.model.strip_prefix("models/").unwrap_or(place.model);
        let model = segment(model)?;
        Ok(format!("{base}{path}/models/{model}:{method}"))
    }
}

/// Azure in both forms: with a dated `api-version`, where the deployment is in the path,
/// and `/openai/v1`, where it is the body's model.
fn azure(place: &Place<'_>) -> Result<String, EndpointError> {
    let base = place.api_base.trim_end_matches('/');
    if base.contains("?api-version=") && base.contains(place.route.path()) {
        return Ok(base.to_owned());
    }
    let root = ["/openai/v1", "/openai"]
        .into_iter()
        .find_map(|suffix| base.strip_suffix(suffix))
        .unwrap_or(base);
    let version = place.api_version.filter(|version| !version.is_empty());
    let undated = version.is_some_and(|v| matches!(v, "v1" | "latest" | "preview"));
    let route = place.route.path();
    if base.ends_with("/openai/v1") || undated {
        let query = match version {
            Some("preview") => "?api-version=preview",
            _ => "",
        };
        return Ok(format!("{root}/openai/v1{route}{query}"));
    }
    let version = segment(version.unwrap_or(AZURE_VERSION))?;
    match place.route {
        Route::Models => Ok(format!("{root}/openai/models?api-version={version}")),
        Route::Responses if version.as_str() >= AZURE_RESPONSES => {
            Ok(format!("{root}/openai/responses?api-version={version}"))
        }
        Route::Responses => Ok(format!("{root}/openai/v1/responses")),
        Route::ChatCompletions | Route::Completions | Route::Embeddings => {
            let deployment = match base.rsplit_once("/openai/deployments/") {
                Some((_, named)) if !named.contains('/') => base.to_owned(),
                _ => format!("{root}/openai/deployments/{}", segment(place.model)?),
            };
            Ok(format!("{deployment}{route}?api-version={version}"))
        }
        _ => Err(EndpointError::Route),
    }
}

/// Whether a base address has a path.
fn has_path(base: &str) -> bool {
    let host = base.split_once("://").map_or(base, |(_, rest)| rest);
    host.contains('/')
}

/// A name as one path segment: everything but unreserved characters is escaped.
fn segment(name: &str) -> Result<String, EndpointError> {
    if name.is_empty() || name.bytes().all(|byte| byte == b'.') {
        return Err(EndpointError::Model);
    }
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}
