//! Stage 1: who calls. From headers only, before the body is read.

use http::{HeaderMap, HeaderValue};
use policy::{Caller, Credential};

use crate::app::Snapshot;
use crate::config::MasterKeyUse;
use crate::error::Error;

/// The caller behind the credential in the headers.
///
/// # Errors
/// [`Error::Auth`] with LiteLLM's public texts; nothing in them comes from the credential.
pub(crate) fn authenticate(snapshot: &Snapshot, headers: &HeaderMap) -> Result<Caller, Error> {
    let lookup = |name: &str| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let credential = Credential::find(snapshot.config.key_header.as_deref(), lookup)?;
    Ok(snapshot.config.authenticator.authenticate(credential)?)
}

/// Whether this caller may use inference routes at all.
///
/// # Errors
/// [`Error::MasterKeyDenied`] by configuration.
pub(crate) fn may_infer(snapshot: &Snapshot, caller: &Caller) -> Result<(), Error> {
    if caller.is_master() && snapshot.config.master_key_on_llm_routes == MasterKeyUse::Deny {
        return Err(Error::MasterKeyDenied);
    }
    Ok(())
}
