//! Response headers of governed calls: LiteLLM's names that clients read, and ours.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use ledger::Ledger;
use llm::protocol::{Family, Protocol};

use super::answer;
use super::facts::Facts;
use crate::app::App;
use crate::routing::{self, Way};
use crate::server::reply::{CALL_ID, CAPSULE};

const MODEL_ID: HeaderName = HeaderName::from_static("x-litellm-model-id");
const MODEL_GROUP: HeaderName = HeaderName::from_static("x-litellm-model-group");
const RETRIES: HeaderName = HeaderName::from_static("x-litellm-attempted-retries");
const FALLBACKS: HeaderName = HeaderName::from_static("x-litellm-attempted-fallbacks");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-sealgate-attempts");
const CONSIDERED: HeaderName = HeaderName::from_static("x-sealgate-considered");
/// The checks that ran.
pub(crate) const GUARDRAILS: HeaderName = HeaderName::from_static("x-litellm-applied-guardrails");
/// Members that were left out because the provider does not know them.
const DROPPED: HeaderName = HeaderName::from_static("x-sealgate-dropped-params");
const CHECKPOINT: HeaderName = HeaderName::from_static("x-sealgate-checkpoint");

/// Upstream headers that are passed on, sorted, and what they are then called. Everything else stays here: cookies,
/// locations, servers.
#[rustfmt::skip]
static RELAYED: [(&str, HeaderName); 23] = [
    ("anthropic-organization-id", HeaderName::from_static("llm_provider-anthropic-organization-id")),
    ("anthropic-ratelimit-input-tokens-limit", HeaderName::from_static("llm_provider-anthropic-ratelimit-input-tokens-limit")),
    ("anthropic-ratelimit-input-tokens-remaining", HeaderName::from_static("llm_provider-anthropic-ratelimit-input-tokens-remaining")),
    ("anthropic-ratelimit-input-tokens-reset", HeaderName::from_static("llm_provider-anthropic-ratelimit-input-tokens-reset")),
    ("anthropic-ratelimit-output-tokens-limit", HeaderName::from_static("llm_provider-anthropic-ratelimit-output-tokens-limit")),
    ("anthropic-ratelimit-output-tokens-remaining", HeaderName::from_static("llm_provider-anthropic-ratelimit-output-tokens-remaining")),
    ("anthropic-ratelimit-output-tokens-reset", HeaderName::from_static("llm_provider-anthropic-ratelimit-output-tokens-reset")),
    ("anthropic-ratelimit-requests-limit", HeaderName::from_static("llm_provider-anthropic-ratelimit-requests-limit")),
    ("anthropic-ratelimit-requests-remaining", HeaderName::from_static("llm_provider-anthropic-ratelimit-requests-remaining")),
    ("anthropic-ratelimit-requests-reset", HeaderName::from_static("llm_provider-anthropic-ratelimit-requests-reset")),
    ("anthropic-ratelimit-tokens-limit", HeaderName::from_static("llm_provider-anthropic-ratelimit-tokens-limit")),
    ("anthropic-ratelimit-tokens-remaining", HeaderName::from_static("llm_provider-anthropic-ratelimit-tokens-remaining")),
    ("anthropic-ratelimit-tokens-reset", HeaderName::from_static("llm_provider-anthropic-ratelimit-tokens-reset")),
    ("openai-processing-ms", HeaderName::from_static("llm_provider-openai-processing-ms")),
    ("openai-version", HeaderName::from_static("llm_provider-openai-version")),
    ("request-id", HeaderName::from_static("llm_provider-request-id")),
    ("x-ratelimit-limit-requests", HeaderName::from_static("llm_provider-x-ratelimit-limit-requests")),
    ("x-ratelimit-limit-tokens", HeaderName::from_static("llm_provider-x-ratelimit-limit-tokens")),
    ("x-ratelimit-remaining-requests", HeaderName::from_static("llm_provider-x-ratelimit-remaining-requests")),
    ("x-ratelimit-remaining-tokens", HeaderName::from_static("llm_provider-x-ratelimit-remaining-tokens")),
    ("x-ratelimit-reset-requests", HeaderName::from_static("llm_provider-x-ratelimit-reset-requests")),
    ("x-ratelimit-reset-tokens", HeaderName::from_static("llm_provider-x-ratelimit-reset-tokens")),
    ("x-request-id", HeaderName::from_static("llm_provider-x-request-id")),
];

/// Adds the headers that the facts give.
pub(crate) fn add(headers: &mut HeaderMap, facts: &Facts) {
    headers.reserve(16);
    let capsule = format!("capsule://{}", facts.id);
    let id = capsule.get("capsule://".len()..).unwrap_or_default();
    let mut put = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    };
    put(CALL_ID, id);
    put(CAPSULE, &capsule);
    put(MODEL_GROUP, &facts.destination.group);
    let deployment = &facts.destination.deployment.id;
    match facts.snapshot.prepared.get(deployment) {
        Some(prepared) => {
            headers.insert(MODEL_ID, prepared.id.clone());
        }
        None => put(MODEL_ID, deployment),
    }
    route(headers, facts);
    if !facts.dropped_params.is_empty()
        && let Ok(value) = HeaderValue::from_str(&facts.dropped_params.join(","))
    {
        headers.insert(DROPPED, value);
    }
    if let Some(names) = answer::applied(facts) {
        headers.insert(GUARDRAILS, names);
    }
}

/// Adds how many attempts and groups the answer took, and which, when there was more than one; and which deployments were
/// looked at, when there was a choice.
pub(crate) fn route(headers: &mut HeaderMap, facts: &Facts) {
    let way = facts.destination.way.as_deref();
    for (name, count) in [
        (RETRIES, way.map_or(0, Way::retries)),
        (FALLBACKS, way.map_or(0, Way::fallbacks)),
    ] {
        headers.insert(name, HeaderValue::from(count));
    }
    if let Some(attempts) = routing::attempts(facts)
        && let Ok(value) = HeaderValue::from_str(&attempts)
    {
        headers.insert(ATTEMPTS, value);
    }
    if let Some(considered) = routing::considered(facts)
        && let Ok(value) = HeaderValue::from_str(&considered)
    {
        headers.insert(CONSIDERED, value);
    }
}

/// Adds size and root prefix of the newest signed checkpoint: every client becomes a witness.
pub(crate) fn checkpoint(headers: &mut HeaderMap, app: &App) {
    if let Some(value) = app.witness.value(&app.ledger) {
        headers.insert(CHECKPOINT, value);
    }
}

/// `<size>:<first 16 hexadecimal characters of the root>` of the newest checkpoint, rendered once for each.
#[derive(Default)]
pub(crate) struct Witness {
    rendered: ArcSwapOption<(u64, HeaderValue)>,
}

impl Witness {
    /// The header's value.
    pub(crate) fn value(&self, ledger: &Ledger) -> Option<HeaderValue> {
        let newest = ledger.checkpoint()?;
        if let Some(known) = self.rendered.load().as_deref()
            && known.0 == newest.size
        {
            return Some(known.1.clone());
        }
        let root: String = newest
            .root
            .0
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let value = HeaderValue::from_str(&format!("{}:{root}", newest.size)).ok()?;
        self.rendered
            .store(Some(Arc::new((newest.size, value.clone()))));
        Some(value)
    }

    /// The same as text.
    pub(crate) fn text(&self, ledger: &Ledger) -> Option<String> {
        self.value(ledger)?.to_str().map(str::to_owned).ok()
    }
}

/// The allow-listed headers of a provider, renamed.
pub(crate) fn relayed(upstream: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::new();
    for (name, value) in upstream {
        let found = RELAYED.binary_search_by(|(known, _)| (*known).cmp(name.as_str()));
        if let Some((_, relayed)) = found.ok().and_then(|at| RELAYED.get(at)) {
            out.entry(relayed).or_insert_with(|| value.clone());
        }
    }
    out
}

/// Headers of the client that providers of its own format get unchanged.
const FORWARDED: [HeaderName; 2] = [
    HeaderName::from_static("anthropic-version"),
    HeaderName::from_static("anthropic-beta"),
];

/// The client's headers that go on. Nothing else of a client's head reaches a provider.
pub(crate) fn forwarded(client: &HeaderMap, protocol: Protocol) -> Vec<(HeaderName, HeaderValue)> {
    if protocol.family() != Family::Anthropic {
        return Vec::new();
    }
    let mut out = Vec::new();
    for name in FORWARDED {
        let values = client.get_all(&name).iter().cloned();
        out.extend(values.map(|value| (name.clone(), value)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relayed_headers_are_sorted_and_renamed() {
        assert!(RELAYED.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (name, relayed) in &RELAYED {
            assert_eq!(relayed.as_str(), format!("llm_provider-{name}"));
        }
        let mut upstream = HeaderMap::new();
        for (name, value) in [("x-request-id", "a"), ("set-cookie", "b"), ("server", "c")] {
            upstream.insert(name, HeaderValue::from_static(value));
        }
        let relayed = relayed(&upstream);
        assert_eq!(relayed.len(), 1);
        assert_eq!(relayed["llm_provider-x-request-id"], "a");
    }
}
