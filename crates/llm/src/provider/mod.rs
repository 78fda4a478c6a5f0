//! Providers: where they are, which formats and routes they speak, their quirks.

mod endpoint;
mod names;
mod quirks;
mod route;
mod table;

pub use endpoint::{EndpointError, Place};
pub use route::Route;
pub use table::PROVIDERS;

/// How a provider is told apart from plain OpenAI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Provider {
    /// The prefix in model names (`groq` in `groq/llama-3`).
    pub name: &'static str,
    /// Documented public base URL, up to and without `/chat/completions`; `None` if the
    /// operator must give one.
    pub api_base: Option<&'static str>,
    /// Environment variable that holds the key by custom; empty if there is none.
    pub key_env: &'static str,
    /// Other environment variables that may hold the key, looked at after `key_env`.
    pub other_key_env: &'static [&'static str],
    /// Environment variables that may hold the base URL.
    pub base_env: &'static [&'static str],
    /// Path of the OpenAI format on a server whose base URL is customarily given
    /// without a path (`/v1` for Ollama); empty if the base URL says it all.
    pub base_path: &'static str,
    /// Whether a key is needed.
    pub key: KeyRule,
    /// The request format.
    pub wire: Wire,
    /// The header that carries the key.
    pub auth: Auth,
    /// Headers that every call carries.
    pub headers: &'static [(&'static str, &'static str)],
    /// Routes it serves itself. Others are translated to the main one of its format.
    pub native: &'static [Route],
    /// Differences in the body.
    pub quirks: Quirks,
}

/// Which request format a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// OpenAI's routes, chat completions at least.
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
}

impl Wire {
    /// The route that other routes are translated to.
    #[must_use]
    pub fn main_route(self) -> Route {
        match self {
            Wire::Anthropic => Route::Messages,
            Wire::OpenAi | Wire::Gemini => Route::ChatCompletions,
        }
    }
}

/// The header that carries the key. Never the URL: URLs end up in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Auth {
    /// `Authorization: Bearer <key>`
    Bearer,
    /// Azure: `api-key: <key>`; a token of Entra ID goes into `Authorization`.
    ApiKey,
    /// Anthropic: `x-api-key: <key>`; an OAuth token goes into `Authorization`.
    XApiKey,
    /// Google: `x-goog-api-key: <key>`
    XGoogApiKey,
}

/// What a call proves itself with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A key of the provider.
    Key,
    /// A token of an identity provider (Entra ID, OAuth).
    Token,
}

impl Auth {
    /// Name of the header and what stands before the secret in its value.
    #[must_use]
    pub fn header(self, credential: Credential) -> (&'static str, &'static str) {
        match (self, credential) {
            (Auth::Bearer, _) | (_, Credential::Token) => ("authorization", "Bearer "),
            (Auth::ApiKey, Credential::Key) => ("api-key", ""),
            (Auth::XApiKey, Credential::Key) => ("x-api-key", ""),
            (Auth::XGoogApiKey, Credential::Key) => ("x-goog-api-key", ""),
        }
    }
}

/// Whether calls carry a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRule {
    /// Without a key the provider refuses.
    Required,
    /// Local servers: sent if configured.
    Optional,
}

/// Differences in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// Members the provider refuses and whose loss changes no meaning.
    pub dropped: &'static [&'static str],
    /// Members under another name: (OpenAI's, the provider's).
    pub renamed: &'static [(&'static str, &'static str)],
    /// How usage comes with a stream.
    pub stream_usage: StreamUsage,
}

/// How usage comes with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamUsage {
    /// Asked for with `stream_options.include_usage`.
    OnRequest,
    /// Always sent; `stream_options` is refused, so it is removed.
    Always,
}

impl Provider {
    /// Whether it serves this route itself.
    #[must_use]
    pub fn speaks(&self, route: Route) -> bool {
        self.native.contains(&route)
    }

    /// The provider with this prefix.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Provider> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }
}

/// A model name taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Who serves it.
    pub provider: &'static Provider,
    /// The model name to send.
    pub upstream_model: String,
}

/// A model name that leads to no provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// A known provider whose wire format is not built.
    #[error("provider {0} is not available in this version")]
    NotBuilt(&'static str),
    /// Nothing says which provider is meant.
    #[error("no provider for model '{0}': write it as provider/model, for example openai/{0}")]
    Unknown(String),
}

/// Who serves `model`. `custom_llm_provider` wins over a prefix (a prefix equal to it is
/// cut off); a name without prefix is guessed as LiteLLM does for the best-known
/// families.
///
/// # Errors
/// [`Unresolved`] if the provider is not built or not known.
pub fn resolve(model: &str, custom_llm_provider: Option<&str>) -> Result<Resolved, Unresolved> {
    if let Some(name) = custom_llm_provider.filter(|name| !name.is_empty()) {
        let prefix = model.split_once('/').filter(|(prefix, _)| *prefix == name);
        return with_name(name, prefix.map_or(model, |(_, rest)| rest))
            .unwrap_or_else(|| Err(Unresolved::Unknown(name.to_owned())));
    }
    if let Some((prefix, rest)) = model.split_once('/')
        && let Some(result) = with_name(prefix, rest)
    {
        return result;
    }
    guess(model)
}

fn with_name(name: &str, model: &str) -> Option<Result<Resolved, Unresolved>> {
    if let Some(provider) = Provider::named(name) {
        let upstream_model = model.to_owned();
        return Some(Ok(Resolved {
            provider,
            upstream_model,
        }));
    }
    let other = names::NOT_BUILT.iter().find(|other| **other == name)?;
    Some(Err(Unresolved::NotBuilt(other)))
}

fn guess(model: &str) -> Result<Resolved, Unresolved> {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| model.starts_with(prefix));
    let found = names::GUESSES.iter().find(|(prefixes, _)| starts(prefixes));
    let named = found.and_then(|(_, name)| with_name(name, model));
    named.unwrap_or_else(|| Err(Unresolved::Unknown(model.to_owned())))
}
