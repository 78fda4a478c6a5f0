//! One entry of `model_list` becomes one deployment.

use std::collections::BTreeMap;

use llm::provider::{Provider, Unresolved};
use policy::{Price, Rate};
use sha2::{Digest, Sha256};

use super::defaults::{self, DefaultMember};
use super::endpoint::{api_base, api_key, entra, headers};
use super::models::{Capacity, Deployment, Mode, Reading, UpstreamModel};
use super::problems::{KeyState, Severity};
use super::reader::Section;
use super::url::BaseUrl;
use super::yaml::{Origin, Value};

/// The sections that say something about a deployment.
pub(super) struct Draft<'n> {
    entry: Section<'n>,
    pub(super) params: Section<'n>,
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
    pub(super) fn home(&self, key: &str) -> Option<&Section<'n>> {
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
    let api_version = draft
        .home("api_version")
        .and_then(|section| section.text("api_version", reading.report))
        .map(str::to_owned);
    let azure = upstream.provider == "azure" && calls_out && api_key.is_none();
    let token = draft
        .home("azure_ad_token")
        .filter(|_| azure)
        .and_then(|section| section.secret("azure_ad_token", reading.report));
    let entra = match azure && token.is_none() {
        true => entra(draft, reading),
        false => None,
    };
    let measured = capacity(draft, reading);
    let defaults = defaults::read(params, reading);
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
        api_version,
        api_key,
        token,
        entra,
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
        guardrails: names(params, "guardrails", reading),
        drop_params: params
            .flag("drop_params", reading.report)
            .unwrap_or(reading.drop_params),
        additional_drop_params: names(params, "additional_drop_params", reading),
        allowed_params: names(params, "allowed_openai_params", reading),
        base_model: draft
            .info
            .text("base_model", reading.report)
            .or_else(|| params.text("base_model", reading.report))
            .map(str::to_owned),
        forward_metadata: params
            .flag("forward_metadata", reading.report)
            .unwrap_or(false),
        tags: params
            .texts("tags", reading.report)
            .into_iter()
            .map(|(tag, _)| tag.to_owned())
            .collect(),
        access_groups: names(&draft.info, "access_groups", reading),
        region: draft.info.text("region", reading.report).map(str::to_owned),
        baa: draft.info.flag("baa", reading.report).unwrap_or(false),
        max_input_tokens: draft.info.whole("max_input_tokens", 1, reading.report),
        retries: params
            .count("num_retries", 0, reading.report)
            .or_else(|| params.count("max_retries", 0, reading.report)),
        cooldown: params
            .seconds("cooldown_time", reading.report)
            .or_else(|| draft.info.seconds("cooldown_time", reading.report)),
        allowed_fails: params
            .count("allowed_fails", 0, reading.report)
            .or_else(|| draft.info.count("allowed_fails", 0, reading.report)),
        limits: policy::router::TargetLimits::default(),
        capacity: measured,
        caps: caps(draft, reading),
        max_output: {
            let model = draft.info.whole("max_output_tokens", 1, reading.report);
            // Requests that say nothing get the default, so no answer to them is longer.
            let default = defaults.iter().filter_map(DefaultMember::length).min();
            default.or(model)
        },
        defaults,
        place: entry.place.clone(),
    })
}

fn names(params: &Section<'_>, key: &str, reading: &mut Reading<'_>) -> Vec<String> {
    let listed = params.texts(key, reading.report).into_iter();
    listed.map(|(name, _)| name.to_owned()).collect()
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
        Some("completion") => Mode::Completion,
        Some("responses") => Mode::Responses,
        Some("moderation") => Mode::Moderation,
        Some(_) => {
            let message = "no route serves this mode; the deployment serves no call";
            let (place, path) = (draft.info.place_of("mode"), draft.info.path_of("mode"));
            let state = KeyState::AcceptedInactive;
            reading.report.state(&place, &path, state, message);
            Mode::Other
        }
    }
}

/// The budget of the deployment. Calls and tokens a minute are the router's, which then takes another one.
fn caps(draft: &Draft<'_>, reading: &mut Reading<'_>) -> Option<Box<policy::budget::Caps>> {
    let caps = policy::budget::Caps {
        max_budget: super::budgets::money(&draft.params, "max_budget", reading.report),
        budget_duration: super::budgets::period(&draft.params, "budget_duration", reading.report),
        ..policy::budget::Caps::default()
    };
    (!caps.is_empty()).then(|| Box::new(caps))
}

/// `rpm`, `tpm`, `itpm` and `otpm`, inside `litellm_params` or beside it; inside wins.
fn capacity(draft: &Draft<'_>, reading: &mut Reading<'_>) -> Capacity {
    let mut whole = |key: &str| draft.home(key)?.whole(key, 0, reading.report);
    let (rpm, tpm) = (whole("rpm"), whole("tpm"));
    let (itpm, otpm) = (whole("itpm"), whole("otpm"));
    Capacity {
        weight: weight(draft, reading),
        rpm,
        tpm,
        itpm,
        otpm,
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
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
