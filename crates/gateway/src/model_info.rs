//! What clients may know about models: deployments without addresses and credentials, groups, and an estimate of tokens.

use hyper::body::Incoming;
use llm::protocol::{self, Protocol};
use policy::Caller;
use policy::Rate;
use serde_json::{Map, Value, json};

use crate::app::Snapshot;
use crate::config::{Deployment, Mode};
use crate::error::Error;
use crate::info::shown;
use crate::proxy::inspect::{self, percent_decoded};

/// `GET /model/info`. Addresses are left out for everybody: who may call a model need not know where it is.
pub(crate) fn deployments(snapshot: &Snapshot, caller: Option<&Caller>) -> String {
    let data: Vec<Value> = snapshot
        .config
        .models
        .deployments()
        .filter(|(group, _)| shown(snapshot, caller, group))
        .map(|(group, deployment)| {
            json!({
                "model_name": group,
                "litellm_params": { "model": format!("{}/{}", deployment.provider, upstream(deployment)) },
                "model_info": info(deployment),
            })
        })
        .collect();
    json!({ "data": data }).to_string()
}

/// `GET /model_group/info`, of one group with `?model_group=`.
pub(crate) fn groups(snapshot: &Snapshot, caller: Option<&Caller>, query: &str) -> String {
    let wanted = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("model_group="))
        .map(percent_decoded);
    let mut groups: Vec<(String, Vec<&Deployment>)> = Vec::new();
    for (group, deployment) in snapshot.config.models.deployments() {
        if wanted.as_deref().is_some_and(|wanted| wanted != group)
            || !shown(snapshot, caller, group)
        {
            continue;
        }
        match groups.iter_mut().find(|(name, _)| name == group) {
            Some((_, members)) => members.push(deployment),
            None => groups.push((group.to_owned(), vec![deployment])),
        }
    }
    let data: Vec<Value> = groups
        .iter()
        .map(|(group, members)| {
            let mut providers: Vec<&str> = members.iter().map(|d| d.provider.as_str()).collect();
            providers.sort_unstable();
            providers.dedup();
            let mode = members.iter().find_map(|member| mode(member.mode));
            // The dearest one: what a call of the group costs at most.
            let dearest = |rate: fn(&Deployment) -> Option<Rate>| {
                members
                    .iter()
                    .filter_map(|member| rate(member))
                    .max()
                    .map(usd)
            };
            json!({
                "model_group": group,
                "providers": providers,
                "mode": mode,
                "deployments": members.len(),
                "input_cost_per_token": dearest(|d| d.price.input),
                "output_cost_per_token": dearest(|d| d.price.output),
            })
        })
        .collect();
    json!({ "data": data }).to_string()
}

fn upstream(deployment: &Deployment) -> String {
    deployment.upstream_model.name(Some("*")).into_owned()
}

fn info(deployment: &Deployment) -> Value {
    let mut info = Map::new();
    info.insert("id".into(), deployment.id.as_str().into());
    info.insert("db_model".into(), false.into());
    info.insert(
        "litellm_provider".into(),
        deployment.provider.as_str().into(),
    );
    info.insert(
        "available".into(),
        (deployment.built || deployment.mock_response.is_some()).into(),
    );
    info.insert("mode".into(), mode(deployment.mode).into());
    let price = &deployment.price;
    for (name, rate) in [
        ("input_cost_per_token", price.input),
        ("output_cost_per_token", price.output),
        ("cache_read_input_token_cost", price.cached_input),
        ("cache_creation_input_token_cost", price.cache_write),
        ("output_cost_per_reasoning_token", price.reasoning),
    ] {
        info.insert(name.into(), rate.map(usd).into());
    }
    info.into()
}

fn usd(rate: Rate) -> f64 {
    rate.usd_per_token()
}

fn mode(mode: Mode) -> Option<&'static str> {
    match mode {
        Mode::Chat => Some("chat"),
        Mode::Embedding => Some("embedding"),
        Mode::Completion => Some("completion"),
        Mode::Responses => Some("responses"),
        Mode::Moderation => Some("moderation"),
        Mode::Any | Mode::Other => None,
    }
}

/// `POST /utils/token_counter`: an estimate made here. The body is read and forgotten, nothing is sent anywhere.
///
/// # Errors
/// As the route of the same body: 400, 413, 422.
pub(crate) async fn token_counter(snapshot: &Snapshot, body: Incoming) -> Result<Vec<u8>, Error> {
    const ROUTE: &str = "/utils/token_counter";
    let received = inspect::receive(snapshot, body).await?;
    let parse = |protocol| protocol::request(protocol, received.clone(), &snapshot.scan);
    let request = match parse(Protocol::Chat) {
        Err(error) if error.param.as_deref() == Some("messages") => parse(Protocol::Completions),
        other => other,
    };
    let limit = snapshot.config.limits.max_request_bytes;
    let request = request.map_err(|error| inspect::public(error, ROUTE, limit))?;
    let model = request.model().map(str::to_owned);
    let unknown = |model: &str| Error::UnknownModel {
        route: ROUTE,
        model: model.chars().take(100).collect(),
    };
    let model = model.ok_or_else(|| unknown("None"))?;
    if !snapshot.config.models.knows(&model) {
        return Err(unknown(&model));
    }
    let answer = json!({
        "total_tokens": estimate(request.as_ref()),
        "request_model": model,
        "model_used": model,
        "tokenizer_type": "estimate",
        "count_source": "local_estimate",
    });
    Ok(answer.to_string().into_bytes())
}

/// Tokens of what a request shows to the model, estimated.
pub(crate) fn estimate(request: &dyn protocol::Request) -> u64 {
    llm::tokens::of_request(request)
}
