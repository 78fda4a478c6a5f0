//! One entry of `model_list` becomes one deployment.

use std::collections::BTreeMap;

use llm::provider::{KeyRule, Provider, Unresolved};
use policy::{Price, Rate, Secret};
use sha2::{Digest, Sha256};

use super::models::{Capacity, Deployment, Mode, Reading, UpstreamModel};
use super::problems::{KeyState, Severity};
use super::reader::Section;
use super::url::BaseUrl;
use super::yaml::{Origin, Value};

/// The sections that say something about a deployment.
pub(super) struct Draft<'n> {
    entry: Section<'n>,
    params: Section<'n>,
    info: Section<'n>,
    credential: Option<Section<'n>>,
}

impl<'n> Draft<'n> {
    pub(super) fn new(
        entry: &Section<'n>,
        credentials: &BTreeMap<&'n str, Section<'n>>,
        reading: &mut Reading<'_>,
    ) -> Self {
        let params = entry.section("litellm_params", reading.report);
        params.judge(reading.table, "litellm_params", reading.report);
        let info = entry.section("model_info", reading.report);
        info.judge(reading.table, "model_info", reading.report);
        let credential = params
            .text("litellm_credential_name", reading.report)
            .and_then(|name| {
                let found = credentials.get(name).cloned();
                if found.is_none() {
                    let key = "litellm_credential_name";
                    let message = "no entry of credential_list has this name";
                    let (place, path) = (params.place_of(key), params.path_of(key));
                    reading.report.problem(&place, &path, message);
                }
                found
            });
        Self {
            entry: entry.clone(),
            params,
            info,
            credential,
        }
    }

    /// The section that decides a key: `litellm_params`, then the entry itself,
    /// then the named credential.
    fn home(&self, key: &str) -> Option<&Section<'n>> {
        [
            Some(&self.params),
            Some(&self.entry),
            self.credential.as_ref(),
        ]
        .into_iter()
        .flatten()
        .find(|section| section.get(key).is_some())
    }
}

/// Who serves, and by which name.
struct Upstream {
    provider: String,
    profile: Option<&'static Provider>,
    model: String,
}

/// Reads a deployment; nothing when a problem leaves no deployment to speak of.
pub(super) fn read(draft: &Draft<'_>, reading: &mut Reading<'_>) -> Option<Deployment> {
    let (entry, params) = (&draft.entry, &draft.params);
    let group = required(entry, "model_name", reading);
    let model = required(params, "model", reading);
    let (group, model) = (group?, model?);
    let mock_response = params
        .text("mock_response", reading.report)
        .map(str::to_owned);
    let upstream = upstream(draft, model, mock_response.is_some(), reading)?;
    let upstream_model = pattern(draft, group, &upstream, reading)?;
    let built = upstream.profile.is_some();
    let calls_out = built && mock_response.is_none();
    let base = match upstream.profile {
        Some(profile) if calls_out => api_base(draft, profile, reading),
        _ => None,
    };
    let api_key = api_key(
        draft,
        upstream.profile.filter(|_| calls_out),
        base.as_ref(),
        reading,
    );
    let timeout = params
        .seconds("timeout", reading.report)
        .or_else(|| params.seconds("request_timeout", reading.report))
        .unwrap_or(reading.timeout);
    let stream_timeout = params
        .seconds("stream_timeout", reading.report)
        .unwrap_or(reading.stream_timeout);
    let order = params.count("order", 0, reading.report).unwrap_or(0);
    let id = match draft.info.text("id", reading.report) {
        Some(id) => id.to_owned(),
        None => computed_id(group, &upstream, base.as_ref().map(|b| &b.url), order),
    };
    Some(Deployment {
        id,
        group: group.to_owned(),
        provider: upstream.provider,
        built,
        profile: upstream.profile,
        upstream_model,
        api_base: base.map(|base| base.url),
        api_key,
        organization: params
            .text("organization", reading.report)
            .map(str::to_owned),
        extra_headers: headers(params, reading),
        timeout,
        stream_timeout: stream_timeout.min(timeout),
        mock_response,
        price: price(draft, reading),
        mode: mode(draft, reading),
        max_parallel: params.count("max_parallel_requests", 1, reading.report),
        weight: 1,
        order,
        forward_metadata: params
            .flag("forward_metadata", reading.report)
            .unwrap_or(false),
        capacity: capacity(draft, reading),
        place: entry.place.clone(),
    })
}

fn required<'n>(section: &Section<'n>, key: &str, reading: &mut Reading<'_>) -> Option<&'n str> {
    let text = section.text(key, reading.report);
    let absent = section.get(key).is_none() || text.is_some_and(|text| text.trim().is_empty());
    if absent {
        let path = section.path_of(key);
        reading
            .report
            .problem(&section.place_of(key), &path, "missing or empty");
        return None;
    }
    text
}

/// Finds the provider. One whose wire format is not built is accepted; a name
/// that leads nowhere is a problem, unless a mock answers in its place.
fn upstream(
    draft: &Draft<'_>,
    model: &str,
    mocked: bool,
    reading: &mut Reading<'_>,
) -> Option<Upstream> {
    let custom = draft.params.text("custom_llm_provider", reading.report);
    let (place, path) = (
        draft.params.place_of("model"),
        draft.params.path_of("model"),
    );
    if model == "*" && custom.is_none() {
        let message = "every model name is sent to OpenAI; name another provider as `provider/*`";
        reading
            .report
            .note(Severity::Warning, &place, &path, message);
        return Some(Upstream {
            provider: "openai".to_owned(),
            profile: Provider::named("openai"),
            model: model.to_owned(),
        });
    }
    match llm::provider::resolve(model, custom) {
        Ok(resolved) => Some(Upstream {
            provider: resolved.provider.name.to_owned(),
            profile: Some(resolved.provider),
            model: resolved.upstream_model,
        }),
        Err(_) if mocked => Some(Upstream {
            provider: "mock".to_owned(),
            profile: Provider::named("openai"),
            model: model.to_owned(),
        }),
        Err(Unresolved::NotBuilt(name)) => {
            let message =
                format!("provider `{name}` is not built; calls answer 501 provider_not_available");
            let state = KeyState::AcceptedInactive;
            reading.report.state(&place, &path, state, message);
            let cut = model.split_once('/').filter(|(prefix, _)| *prefix == name);
            Some(Upstream {
                provider: name.to_owned(),
                profile: None,
                model: cut.map_or(model, |(_, rest)| rest).to_owned(),
            })
        }
        Err(Unresolved::Unknown(_)) => {
            let message = "no provider is known for this model; write provider/model, \
                           for example openai/<model>, or set custom_llm_provider";
            reading.report.problem(&place, &path, message);
            None
        }
    }
}

/// The upstream name, with its star if it has one.
fn pattern(
    draft: &Draft<'_>,
    group: &str,
    upstream: &Upstream,
    reading: &mut Reading<'_>,
) -> Option<UpstreamModel> {
    let stars = |text: &str| text.matches('*').count();
    let place = draft.params.place_of("model");
    if stars(group) > 1 || stars(&upstream.model) > 1 {
        let message = "at most one `*` in a model name";
        reading.report.problem(&place, &draft.entry.path, message);
        return None;
    }
    let Some((head, tail)) = upstream.model.split_once('*') else {
        return Some(UpstreamModel::Fixed(upstream.model.clone()));
    };
    if stars(group) == 0 {
        let message = "a `*` in `model` needs one in `model_name`";
        reading
            .report
            .problem(&place, &draft.params.path_of("model"), message);
        return None;
    }
    Some(UpstreamModel::Pattern {
        head: head.to_owned(),
        tail: tail.to_owned(),
        provider: upstream.provider.clone(),
    })
}

/// A base address, and whether it is the provider's own.
struct Base {
    url: BaseUrl,
    own: bool,
}

fn api_base(draft: &Draft<'_>, profile: &Provider, reading: &mut Reading<'_>) -> Option<Base> {
    let written = ["api_base", "base_url"].into_iter().find_map(|key| {
        let section = draft.home(key)?;
        let text = section.text(key, reading.report)?;
        Some((
            text.to_owned(),
            section.place_of(key),
            section.path_of(key),
            false,
        ))
    });
    let (place, path) = (draft.params.place.clone(), draft.params.path_of("api_base"));
    let from_environment = || {
        let name = profile
            .base_env
            .iter()
            .find(|name| reading.variables.get(name).is_some())?;
        let text = reading.variables.get(name)?;
        Some((text, place.clone(), path.clone(), true))
    };
    let by_default = || {
        let text = profile.api_base?.to_owned();
        Some((text, place.clone(), path.clone(), true))
    };
    let Some((text, place, path, own)) = written.or_else(from_environment).or_else(by_default)
    else {
        let message = format!(
            "provider `{}` has no public address; set api_base",
            profile.name
        );
        reading.report.problem(&place, &path, message);
        return None;
    };
    let mut url = match BaseUrl::parse(&text) {
        Ok(url) => url,
        Err(error) => {
            reading.report.problem(&place, &path, error.to_string());
            return None;
        }
    };
    // Ollama's own address has no path; its OpenAI-compatible routes lie below /v1.
    if profile.name.starts_with("ollama") && url.path.is_empty() {
        url.path = "/v1".to_owned();
    }
    reading
        .egress
        .check_base(&url, &place, &path, reading.report);
    reading.egress.add_base(&url);
    plain_http(&url, &place, &path, reading);
    Some(Base { url, own })
}

/// A key on a plain connection that leaves the machine is said.
fn plain_http(
    url: &BaseUrl,
    place: &super::problems::Place,
    path: &str,
    reading: &mut Reading<'_>,
) {
    let local = match &url.host {
        super::url::Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        super::url::Host::Ip(address) => address.is_loopback(),
    };
    if !url.tls && !local {
        let message = "plain http to another machine: prompts and the key are readable on the way";
        reading.report.note(Severity::Warning, place, path, message);
    }
}

/// The key: written, or the provider's customary variable. That variable is
/// only used for the provider's own address, so that a key never goes to a
/// host it was not made for.
fn api_key(
    draft: &Draft<'_>,
    profile: Option<&Provider>,
    base: Option<&Base>,
    reading: &mut Reading<'_>,
) -> Option<Secret> {
    if let Some(section) = draft.home("api_key") {
        let secret = section.secret("api_key", reading.report)?;
        if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "a key is visible ASCII without spaces";
            let place = section.place_of("api_key");
            reading
                .report
                .problem(&place, &section.path_of("api_key"), message);
            return None;
        }
        return Some(secret);
    }
    let (profile, base) = (profile?, base?);
    let (place, path) = (draft.params.place.clone(), draft.params.path_of("api_key"));
    let customary = Some(profile.key_env).filter(|name| !name.is_empty());
    let value = customary.and_then(|name| reading.variables.get(name));
    if base.own {
        if let (Some(name), Some(value)) = (customary, &value) {
            let message = format!("taken from the environment variable {name}");
            reading.report.note(Severity::Info, &place, &path, message);
            return Some(Secret::new(value.clone()));
        }
        if profile.key == KeyRule::Required {
            let message = "no key: the provider will refuse the calls";
            reading
                .report
                .note(Severity::Warning, &place, &path, message);
        }
        return None;
    }
    if let (Some(name), true) = (customary, value.is_some()) {
        let message =
            format!("no key is sent: {name} is not sent to an address of your own; write api_key");
        reading
            .report
            .note(Severity::Warning, &place, &path, message);
    }
    None
}

/// Headers that belong to the connection or to the gateway.
const RESERVED: [&str; 14] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "accept-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-connection",
    "proxy-authorization",
];

fn headers(params: &Section<'_>, reading: &mut Reading<'_>) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for key in ["headers", "extra_headers"] {
        let section = params.section(key, reading.report);
        for entry in section.entries() {
            let path = section.path_of(&entry.key);
            let Some(value) = section.text(&entry.key, reading.report) else {
                continue;
            };
            let name = entry.key.to_ascii_lowercase();
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                reading
                    .report
                    .problem(&entry.place, &path, "not the name of a header");
            } else if RESERVED.contains(&name.as_str()) {
                let message = "this header belongs to the connection and cannot be set";
                reading.report.problem(&entry.place, &path, message);
            } else if http::HeaderValue::from_str(value).is_err() || !value.is_ascii() {
                reading
                    .report
                    .problem(&entry.place, &path, "not the value of a header");
            } else {
                headers.push((name, Secret::new(value)));
            }
        }
    }
    headers
}

/// Prices per token; `litellm_params` win over `model_info`.
fn price(draft: &Draft<'_>, reading: &mut Reading<'_>) -> Price {
    let mut rate = |key: &str| {
        let section = [&draft.params, &draft.info]
            .into_iter()
            .find(|section| section.get(key).is_some())?;
        let text = section.text(key, reading.report)?;
        let (place, path) = (section.place_of(key), section.path_of(key));
        match Rate::parse(text) {
            Ok((rate, false)) => Some(rate),
            Ok((rate, true)) => {
                let message = "finer than 10^-12 USD a token; rounded up to that";
                reading.report.note(Severity::Info, &place, &path, message);
                Some(rate)
            }
            Err(error) => {
                let message = format!("not a price in USD per token: {error}");
                reading.report.problem(&place, &path, message);
                None
            }
        }
    };
    Price {
        input: rate("input_cost_per_token"),
        output: rate("output_cost_per_token"),
        cached_input: rate("cache_read_input_token_cost"),
        cache_write: rate("cache_creation_input_token_cost"),
        reasoning: rate("output_cost_per_reasoning_token"),
    }
}

fn mode(draft: &Draft<'_>, reading: &mut Reading<'_>) -> Mode {
    match draft.info.text("mode", reading.report) {
        None => Mode::Any,
        Some("chat") => Mode::Chat,
        Some("embedding") => Mode::Embedding,
        Some(_) => {
            let message = "only `chat` and `embedding` have routes; the deployment serves no call";
            let (place, path) = (draft.info.place_of("mode"), draft.info.path_of("mode"));
            let state = KeyState::AcceptedInactive;
            reading.report.state(&place, &path, state, message);
            Mode::Other
        }
    }
}

/// `rpm` and `tpm`, inside `litellm_params` or beside it; inside wins.
fn capacity(draft: &Draft<'_>, reading: &mut Reading<'_>) -> Capacity {
    let mut whole = |key: &str| draft.home(key)?.whole(key, 0, reading.report);
    let (rpm, tpm) = (whole("rpm"), whole("tpm"));
    Capacity {
        weight: weight(draft, reading),
        rpm,
        tpm,
    }
}

/// A weight may have a fraction; it is kept in thousandths.
fn weight(draft: &Draft<'_>, reading: &mut Reading<'_>) -> Option<u64> {
    let node = draft.params.get("weight")?;
    let number = match &node.value {
        Value::Text(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    match number {
        Some(number) if (0.0..=1e9).contains(&number) => Some((number * 1e3).round() as u64),
        _ => {
            let path = draft.params.path_of("weight");
            let message = match node.origin {
                Origin::File => "expected a number of at least 0",
                Origin::Environment(_) => "the environment variable holds no number",
            };
            reading.report.problem(&node.place, &path, message);
            None
        }
    }
}

/// An id that stays the same while the deployment does: no secret goes into it.
fn computed_id(group: &str, upstream: &Upstream, base: Option<&BaseUrl>, order: u32) -> String {
    let mut hash = Sha256::new();
    let base = base.map(ToString::to_string).unwrap_or_default();
    let order = order.to_string();
    for part in [group, &upstream.provider, &upstream.model, &base, &order] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let digest: [u8; 32] = hash.finalize().into();
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
