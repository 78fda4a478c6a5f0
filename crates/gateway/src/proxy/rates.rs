//! Headers that tell a client how much of its limits is left, in LiteLLM's names, so that it slows down before it is refused.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use policy::budget::{ObjectKind, Standing};
use policy::identity::Tables;

use super::call::Call;
use super::reserve::Held;
use crate::app::App;

/// Adds what the call's reservation says: `x-ratelimit-<object>-{limit,remaining}-<what>` for each limit of rates that
/// applied, and the limits of the key itself.
pub(crate) fn add(headers: &mut HeaderMap, call: &Call) {
    let Some(held) = call.held() else { return };
    // What a deployment has left is its operator's business.
    let own = |standing: &&Standing| {
        !matches!(standing.kind, ObjectKind::Deployment | ObjectKind::Provider)
    };
    for standing in held.standings().iter().filter(own) {
        of_limit(headers, standing);
    }
    of_key(headers, call.app(), held);
}

fn of_limit(headers: &mut HeaderMap, standing: &Standing) {
    let (object, what) = (standing.kind.as_str(), standing.dimension.as_str());
    for (word, number) in [("remaining", standing.remaining), ("limit", standing.limit)] {
        let name = format!("x-ratelimit-{object}-{word}-{what}");
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.insert(name, HeaderValue::from(number));
        }
    }
}

/// `x-litellm-key-*`: what the key may do, and what it has spent where it has a budget.
fn of_key(headers: &mut HeaderMap, app: &App, held: &Held) {
    let Some(key) = held.caller().key() else {
        return;
    };
    let Some(caps) = key.caps.as_deref() else {
        return;
    };
    for (name, limit) in [
        ("x-litellm-key-rpm-limit", caps.rpm_limit),
        ("x-litellm-key-tpm-limit", caps.tpm_limit),
    ] {
        if let Some(limit) = limit {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(limit));
        }
    }
    let Some(budget) = caps.max_budget else {
        return;
    };
    let now = app.clock.now().micros();
    let spent = Tables::object(key).map(|object| {
        if let Some(spent) = held.spent(&object) {
            return spent;
        }
        let usage = app.identity.shelf.book().usage(&object, now);
        let window = usage
            .windows
            .iter()
            .find(|window| window.0 == caps.budget_duration);
        window.map_or(usage.total, |window| window.2)
    });
    for (name, amount) in [
        ("x-litellm-key-max-budget", Some(budget)),
        ("x-litellm-key-spend", spent),
    ] {
        let text = amount.map(|amount| amount.to_string());
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
