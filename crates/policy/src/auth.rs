//! Who calls: the credential in the headers, and the caller it stands for.

use crate::master_key::MasterKey;

/// The header that is ours; when it is present no other one is read.
const OWN_HEADER: &str = "x-litellm-api-key";

/// Headers that carry the key as it is, after the SDKs of the providers.
const BARE_HEADERS: [&str; 4] = [
    "api-key",
    "x-api-key",
    "x-goog-api-key",
    "ocp-apim-subscription-key",
];

/// What a caller may do. Every route names exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Anybody, without a key.
    Public,
    /// Send calls to models.
    Inference,
    /// See which models exist.
    ListModels,
    /// Read metrics.
    ReadMetrics,
    /// See the state of the gateway.
    Operate,
    /// Change the configuration in force.
    Configure,
}

/// The public identifier of a key: never the key, nor a digest of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An authenticated caller. Only [`Authenticator::authenticate`] makes one; it
/// holds no part of the credential.
///
/// ```compile_fail
/// let caller = policy::Caller { tenant: String::new() };
/// ```
#[derive(Debug)]
pub struct Caller {
    tenant: String,
    key_id: KeyId,
    permissions: &'static [Permission],
}

impl Caller {
    /// The caller's tenant; the default tenant is the empty text.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The identifier of the key that was presented.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Whether the key is the master key, which may do everything.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.key_id.0 == MASTER_KEY_ID
    }

    /// Whether the caller may use what the permission stands for.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        permission == Permission::Public || self.permissions.contains(&permission)
    }
}

/// The key identifier of calls made with the master key.
const MASTER_KEY_ID: &str = "master";

const MASTER_PERMISSIONS: &[Permission] = &[
    Permission::Inference,
    Permission::ListModels,
    Permission::ReadMetrics,
    Permission::Operate,
    Permission::Configure,
];

/// Why a request is not authenticated.
///
/// The texts are LiteLLM's where clients match on them, without any part of the
/// presented key and without its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    /// No header carries a key, or the key is a placeholder such as `null`.
    #[error("Authentication Error, No api key passed in.")]
    Missing,
    /// `Authorization` without the word Bearer, a key with spaces or control
    /// characters, or a header that came twice.
    #[error(
        "Authentication Error, Malformed API Key passed in. Ensure the key has the `Bearer ` prefix."
    )]
    Malformed,
    /// Two headers carry different keys; which one is meant is not guessed.
    #[error("Authentication Error, Two different API keys passed in. Send one key, in one header.")]
    Conflicting,
    /// A key that cannot be one of ours.
    #[error(
        "Authentication Error, LiteLLM Virtual Key expected. Received=****, expected to start with 'sk-'."
    )]
    NotVirtualKey,
    /// A well-formed key that nobody holds.
    #[error(
        "Authentication Error, Invalid proxy server token passed. Unable to find token in cache or database."
    )]
    Unknown,
}

impl AuthError {
    /// The `type` of the error's envelope.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Unknown => "token_not_found_in_db",
            Self::Missing | Self::Malformed | Self::Conflicting | Self::NotVirtualKey => {
                "auth_error"
            }
        }
    }

    /// The `param` of the error's envelope; LiteLLM writes the literal `None`
    /// as a text on most authentication failures.
    #[must_use]
    pub const fn param(self) -> &'static str {
        match self {
            Self::Unknown => "key",
            Self::Missing | Self::Malformed | Self::Conflicting | Self::NotVirtualKey => "None",
        }
    }
}

/// A presented key, borrowed from the request. It has no `Debug`.
#[derive(Clone, Copy)]
pub struct Credential<'h>(&'h str);

impl<'h> Credential<'h> {
    /// Finds the key in the headers of a request. Query, cookies and body are
    /// never looked at.
    ///
    /// `lookup` gives every value of a header, named in lower case. `own` is the
    /// configured extra header (`litellm_key_header_name`), in lower case.
    ///
    /// The configured header and then `x-litellm-api-key` take precedence: they
    /// can only mean this gateway, so a client may keep another credential in
    /// `Authorization`. Otherwise all headers that are present must agree.
    ///
    /// # Errors
    /// [`AuthError::Missing`], [`AuthError::Malformed`] or [`AuthError::Conflicting`].
    pub fn find<I>(own: Option<&str>, lookup: impl Fn(&str) -> I) -> Result<Self, AuthError>
    where
        I: IntoIterator<Item = &'h [u8]>,
    {
        for header in own.into_iter().chain([OWN_HEADER]) {
            if let Some(value) = only(lookup(header))? {
                let value = without_bearer(value).unwrap_or(value);
                return Self::check(value);
            }
        }
        let mut presented: Option<&'h str> = None;
        if let Some(value) = only(lookup("authorization"))? {
            presented = Some(without_bearer(value).ok_or(AuthError::Malformed)?);
        }
        for header in BARE_HEADERS {
            let Some(value) = only(lookup(header))? else {
                continue;
            };
            let value = without_bearer(value).unwrap_or(value);
            if presented.is_some_and(|other| other != value) {
                return Err(AuthError::Conflicting);
            }
            presented = Some(value);
        }
        Self::check(presented.ok_or(AuthError::Missing)?)
    }

    /// Placeholders that clients send when their own setting is empty count as no key.
    fn check(key: &'h str) -> Result<Self, AuthError> {
        if key.is_empty() || ["null", "undefined", "None"].contains(&key) {
            return Err(AuthError::Missing);
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AuthError::Malformed);
        }
        Ok(Self(key))
    }
}

/// The one value of a header, trimmed; twice the same header is malformed.
fn only<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> Result<Option<&'h str>, AuthError> {
    let mut values = values.into_iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(AuthError::Malformed);
    }
    let text = std::str::from_utf8(value).map_err(|_| AuthError::Malformed)?;
    Ok(Some(text.trim_matches([' ', '\t'])))
}

/// What follows the word Bearer (any case), or nothing when the word is missing.
fn without_bearer(value: &str) -> Option<&str> {
    let (word, rest) = value.split_at_checked(6)?;
    if !word.eq_ignore_ascii_case("bearer") {
        return None;
    }
    if rest.is_empty() {
        return Some(rest);
    }
    rest.starts_with([' ', '\t'])
        .then(|| rest.trim_start_matches([' ', '\t']))
}

/// Decides which caller a credential stands for.
#[derive(Clone)]
pub struct Authenticator {
    master: MasterKey,
}

impl Authenticator {
    /// An authenticator that knows the master key.
    #[must_use]
    pub const fn new(master: MasterKey) -> Self {
        Self { master }
    }

    /// The caller of a credential.
    ///
    /// # Errors
    /// [`AuthError::NotVirtualKey`] or [`AuthError::Unknown`].
    pub fn authenticate(&self, credential: Credential<'_>) -> Result<Caller, AuthError> {
        if self.master.matches(credential.0) {
            return Ok(Caller {
                tenant: String::new(),
                key_id: KeyId(MASTER_KEY_ID.to_owned()),
                permissions: MASTER_PERMISSIONS,
            });
        }
        Err(if credential.0.starts_with("sk-") {
            AuthError::Unknown
        } else {
            AuthError::NotVirtualKey
        })
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
