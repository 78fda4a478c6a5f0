//! Stage 1: who calls. From headers only, before the body is read.

use http::HeaderValue;
use http::request::Parts;
use policy::identity::RouteGroup;
use policy::{Caller, Credential};

use crate::app::{App, Snapshot};
use crate::config::MasterKeyUse;
use crate::error::Error;
use crate::identity::address;

/// The caller behind the credential in the headers.
///
/// # Errors
/// [`Error::Auth`] with LiteLLM's public texts; nothing in them comes from the credential.
pub(crate) fn authenticate(app: &App, snapshot: &Snapshot, head: &Parts) -> Result<Caller, Error> {
    let lookup = |name: &str| head.headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let credential = Credential::find(snapshot.config.key_header.as_deref(), lookup)?;
    if let Some(master) = snapshot.config.authenticator.master(credential) {
        return Ok(master);
    }
    if !credential.is_virtual_key() {
        return Err(credential.unknown().into());
    }
    let digest = app.identity.secrets.of_key(credential.expose());
    let now = app.clock.now().micros();
    let address = address::of(head, &snapshot.config.budgets);
    Ok(app.identity.directory.authenticate(&digest, now, address)?)
}

/// Whether this caller may use inference routes at all.
///
/// # Errors
/// [`Error::MasterKeyDenied`] by configuration, a role without calls, a route that the key does not allow.
pub(crate) fn may_infer(
    snapshot: &Snapshot,
    caller: &Caller,
    route: &'static policy::Route,
) -> Result<(), Error> {
    if caller.is_master() && snapshot.config.master_key_on_llm_routes == MasterKeyUse::Deny {
        return Err(Error::MasterKeyDenied);
    }
    if !caller.may(route.permission) {
        return Err(Error::RoleDenied {
            role: caller.principal().role().as_str(),
        });
    }
    Ok(caller
        .principal()
        .may_call(route.paths, RouteGroup::Inference)?)
}
