//! Who calls: the credential in the headers, and the caller it stands for.

use crate::identity::{Principal, Role};
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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
/// let caller = policy::Caller { key_id: policy::KeyId::default() };
/// ```
#[derive(Clone, Debug)]
pub struct Caller {
    principal: Principal,
    key_id: KeyId,
}

impl Caller {
    /// The caller's tenant; the default tenant is the empty text.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.principal.tenant()
    }

    pub(crate) fn of(principal: Principal) -> Self {
        let id = principal.key().map_or(MASTER_KEY_ID, |key| &key.id);
        Self {
            key_id: KeyId(id.to_owned()),
            principal,
        }
    }

    /// The caller of a call that the gateway makes for another one's sake: an authenticated principal, with its key's id.
    #[must_use]
    pub fn on_behalf_of(principal: &Principal) -> Self {
        Self::of(principal.clone())
    }

    /// The caller with everything that bounds it.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The identifier of the key that was presented.
    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Whether the key is the master key, which may do everything.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.principal.role() == Role::Master
    }

    /// Whether the caller may use what the permission stands for.
    #[must_use]
    pub fn may(&self, permission: Permission) -> bool {
        let role = self.principal.role();
        match permission {
            Permission::Public | Permission::ListModels => true,
            Permission::Inference => role.may_infer(),
            Permission::Configure => role.is_admin(),
            // Metrics and states show what everybody does.
            Permission::ReadMetrics | Permission::Operate => {
                role.is_admin() || role == Role::ProxyAdminViewer
            }
        }
    }
}

/// The key identifier of calls made with the master key.
const MASTER_KEY_ID: &str = "master";

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
    /// The key's time is over.
    #[error("Authentication Error - Expired Key. The key's time is over; make a new one.")]
    Expired,
    /// The key, or what it depends on, is blocked, or its row is not the one that was sealed.
    #[error("Authentication Error, Key is blocked. Update via /key/unblock if you are an admin.")]
    Blocked,
    /// The key's team is blocked or gone.
    #[error("Authentication Error, Team is blocked. Update via /team/unblock if you are an admin.")]
    TeamBlocked,
    /// The key may not come from this address.
    #[error("Access forbidden: IP address not allowed.")]
    AddressNotAllowed,
}

impl AuthError {
    /// The `type` of the error's envelope.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Unknown => "token_not_found_in_db",
            Self::Expired => "expired_key",
            Self::Missing
            | Self::Malformed
            | Self::Conflicting
            | Self::NotVirtualKey
            | Self::Blocked
            | Self::TeamBlocked
            | Self::AddressNotAllowed => "auth_error",
        }
    }

    /// The `param` of the error's envelope; LiteLLM writes the literal `None`
    /// as a text on most authentication failures.
    #[must_use]
    pub const fn param(self) -> &'static str {
        match self {
            Self::Unknown => "key",
            _ => "None",
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

    /// The holder of the master key, if that is what was presented.
    #[must_use]
    pub fn master(&self, credential: Credential<'_>) -> Option<Caller> {
        self.master
            .matches(credential.0)
            .then(|| Caller::of(Principal::master()))
    }

    /// The caller of a credential, where there are no virtual keys.
    ///
    /// # Errors
    /// [`AuthError::NotVirtualKey`] or [`AuthError::Unknown`].
    pub fn authenticate(&self, credential: Credential<'_>) -> Result<Caller, AuthError> {
        self.master(credential).ok_or_else(|| credential.unknown())
    }
}

impl<'h> Credential<'h> {
    /// The key as it was presented. Only digests of it may be kept.
    #[must_use]
    pub const fn expose(self) -> &'h str {
        self.0
    }

    /// Whether the text can be a virtual key: one that begins with `sk-`, or a scannable one whose check digits fit.
    #[must_use]
    pub fn is_virtual_key(self) -> bool {
        self.0.starts_with("sk-") || crate::key_text::is_scannable(self.0)
    }

    /// Why a key that nobody holds is refused.
    #[must_use]
    pub fn unknown(self) -> AuthError {
        if self.0.starts_with("sk-") || self.0.starts_with(crate::key_text::BRAND) {
            AuthError::Unknown
        } else {
            AuthError::NotVirtualKey
        }
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
