//! Stage 1: who calls. From headers only, before the body is read.

use http::HeaderValue;
use http::request::Parts;
use policy::identity::RouteGroup;
use policy::{AuthError, Caller, Credential};

use crate::app::{App, Snapshot};
use crate::config::MasterKeyUse;
use crate::error::Error;
use crate::identity::{address, secret};
use crate::proxy::refusals::Stranger;
use crate::server::addresses::Rate;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

/// The caller behind the credential in the headers.
///
/// # Errors
/// [`Error::Auth`] with LiteLLM's public texts; nothing in them comes from the credential.
pub(crate) fn authenticate(app: &App, snapshot: &Snapshot, head: &Parts) -> Result<Caller, Error> {
    caller(app, snapshot, head).map_err(|error| match error {
        Error::Auth(AuthError::Unknown | AuthError::NotVirtualKey | AuthError::Malformed) => {
            guessed(app, snapshot, head).unwrap_or(error)
        }
        error => error,
    })
}

/// Who asked, as far as it can be said of somebody who is not known.
pub(crate) fn stranger(app: &App, snapshot: &Snapshot, head: &Parts) -> Stranger {
    let lookup = |name: &str| head.headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let presented = Credential::find(snapshot.config.key_header.as_deref(), lookup).ok();
    let key = presented.map(|key| secret::public_id(&app.identity.secrets.of_key(key.expose())));
    let address = address::of(head, &snapshot.config.budgets);
    Stranger {
        key: key.unwrap_or_default(),
        address: address
            .map(|address| address.to_string())
            .unwrap_or_default(),
    }
}

/// Counts a wrong key against its address: whoever guesses is slowed down, and nobody else is.
fn guessed(app: &App, snapshot: &Snapshot, head: &Parts) -> Option<Error> {
    let rate = snapshot.config.limits.wrong_keys_per_address;
    let address = address::of(head, &snapshot.config.budgets)?;
    let now = app.clock.now().micros();
    let taken = app
        .wrong_keys_by_address
        .take(address, Rate::new(rate, MINUTE, rate), now);
    taken.err().map(|wait| too_many("wrong keys", wait))
}

/// Whether the address of a request may send one more, whoever it is.
///
/// # Errors
/// [`Error::TooManyFromAddress`] with the time after which it may.
pub(crate) fn admit_address(app: &App, head: &Parts) -> Result<(), Error> {
    let snapshot = app.snapshot();
    let limits = &snapshot.config.limits;
    let Some(rate) = limits.requests_per_address else {
        return Ok(());
    };
    let Some(address) = address::of(head, &snapshot.config.budgets) else {
        return Ok(());
    };
    let rate = Rate::new(rate, SECOND, limits.burst_per_address);
    app.requests_by_address
        .take(address, rate, app.clock.now().micros())
        .map_err(|wait| too_many("requests", wait))
}

fn too_many(what: &'static str, wait: i64) -> Error {
    let seconds = u64::try_from(wait).unwrap_or(0).div_ceil(1_000_000);
    Error::TooManyFromAddress { what, seconds }
}

fn caller(app: &App, snapshot: &Snapshot, head: &Parts) -> Result<Caller, Error> {
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
