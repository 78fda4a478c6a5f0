//! `model_list`: deployments, model groups and aliases.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use policy::router::{Settings, TargetLimits};
use policy::{Price, Rate, Router, RouterBuilder, Secret, Target};

use super::defaults::DefaultMember;
use super::deployment::{self, Draft};
use super::egress::Egress;
use super::env::Variables;
use super::problems::{Place, Report, Severity};
use super::reader::Section;
use super::states::Table;
use super::url::BaseUrl;
use super::yaml::{Node, Value};

/// One upstream that serves a model group.
pub struct Deployment {
    /// `model_info.id`, or 16 hexadecimal characters over the settings without secrets.
    pub id: String,
    /// The model group, as clients name it.
    pub group: String,
    /// The provider's prefix, such as `openai`.
    pub provider: String,
    /// Whether the provider's wire format is built; if not, its calls answer
    /// 501 `provider_not_available`.
    pub built: bool,
    /// The provider's entry; present when it is built.
    pub profile: Option<&'static llm::provider::Provider>,
    /// The model name that the upstream knows.
    pub upstream_model: UpstreamModel,
    /// Where calls go; absent for a mock and for a provider that is not built.
    pub api_base: Option<BaseUrl>,
    /// Version of the provider's interface (Azure's `api-version`).
    pub api_version: Option<String>,
    /// The provider's key.
    pub api_key: Option<Secret>,
    /// A token of an identity provider, as written (`azure_ad_token`); sent instead of a key.
    pub token: Option<Secret>,
    /// Credentials that tokens are fetched with.
    pub entra: Option<EntraClient>,
    /// The value of the header `OpenAI-Organization`.
    pub organization: Option<String>,
    /// More headers for every call: lower-case names, values checked.
    pub extra_headers: Vec<(String, Secret)>,
    /// The longest a whole call takes.
    pub timeout: Duration,
    /// The longest a stream is silent, before its first byte and between two.
    pub stream_timeout: Duration,
    /// An answer that is given without any upstream.
    pub mock_response: Option<String>,
    /// Where it is (`model_info.region`), for rules.
    pub region: Option<String>,
    /// Whether its provider has signed an agreement about health data (`model_info.baa`), for rules.
    pub baa: bool,
    /// Prices of `litellm_params`, then of `model_info`.
    pub price: Price,
    /// What the deployment serves.
    pub mode: Mode,
    /// Calls to it at the same time.
    pub max_parallel: Option<u32>,
    /// Share in the draw among the deployments of its group and order.
    pub weight: u64,
    /// Tier: the lowest that can serve does.
    pub order: u32,
    /// Guardrails of every call that may come here.
    pub guardrails: Vec<String>,
    /// Leave out what the provider cannot be told instead of refusing the call; the answer names it.
    pub drop_params: bool,
    /// Members that are always left out for this deployment.
    pub additional_drop_params: Vec<String>,
    /// Members that are sent though the provider is known to refuse them or its format does not know them.
    pub allowed_params: Vec<String>,
    /// Members that requests get which do not say them.
    pub defaults: Vec<DefaultMember>,
    /// The model behind the provider's name of the deployment, for the list of prices.
    pub base_model: Option<String>,
    /// Whether gateway fields such as `metadata` are forwarded to it.
    pub forward_metadata: bool,
    /// Tags by which requests choose it.
    pub tags: Vec<String>,
    /// Access groups of its model group: a key that lists one may use the model.
    pub access_groups: Vec<String>,
    /// Longest prompt in tokens.
    pub max_input_tokens: Option<u64>,
    /// Repetitions after a failure; wins over the router's number.
    pub retries: Option<u32>,
    /// How long it is left alone after failures; wins over the router's time.
    pub cooldown: Option<Duration>,
    /// Failures in a minute that do not cool it down; wins over the router's number.
    pub allowed_fails: Option<u32>,
    /// What it takes at most, where that is enforced.
    pub limits: TargetLimits,
    /// Tokens and requests a minute as configured.
    pub(super) capacity: Capacity,
    /// Its limits, if it has any.
    pub caps: Option<Box<policy::budget::Caps>>,
    /// Most output tokens of an answer where the request does not say (`max_tokens` of the deployment, else
    /// `model_info.max_output_tokens`).
    pub max_output: Option<u64>,
    /// Where its entry stands.
    pub(super) place: Place,
}

/// An application of Microsoft Entra ID.
pub struct EntraClient {
    /// `tenant_id`.
    pub tenant: String,
    /// `client_id`.
    pub client_id: String,
    /// `client_secret`.
    pub client_secret: Secret,
    /// What the token is for.
    pub scope: String,
    /// Address of the identity provider, without a slash at its end.
    pub authority: BaseUrl,
}

/// Capacity as it was configured, for the effective view and the weights.
#[derive(Clone, Copy, Default)]
pub(super) struct Capacity {
    pub(super) weight: Option<u64>,
    pub(super) rpm: Option<u64>,
    pub(super) tpm: Option<u64>,
    pub(super) itpm: Option<u64>,
    pub(super) otpm: Option<u64>,
}

/// What a deployment serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Not said: whatever it is asked.
    Any,
    /// Chat completions, and what is translated to them: messages, responses, completions.
    Chat,
    /// Embeddings.
    Embedding,
    /// Text completions.
    Completion,
    /// Responses.
    Responses,
    /// Moderations.
    Moderation,
    /// Something that has no route here.
    Other,
}

/// The upstream's name of a model, possibly with a part that the call fills in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamModel {
    /// Always the same.
    Fixed(String),
    /// `head*tail`: the star is what the group's star stood for.
    Pattern {
        /// Before the star.
        head: String,
        /// After the star.
        tail: String,
        /// The provider's prefix, cut from a name that still carries it.
        provider: String,
    },
}

impl UpstreamModel {
    /// The name to send. `wildcard` is what the star of the model group stood for.
    #[must_use]
    pub fn name(&self, wildcard: Option<&str>) -> Cow<'_, str> {
        match self {
            Self::Fixed(name) => Cow::Borrowed(name),
            Self::Pattern {
                head,
                tail,
                provider,
            } => {
                let part = wildcard.unwrap_or_default();
                let prefix = part.strip_prefix(provider.as_str());
                let bare = prefix.and_then(|rest| rest.strip_prefix('/'));
                Cow::Owned(format!("{head}{}{tail}", bare.unwrap_or(part)))
            }
        }
    }
}

/// What the models of a file are read with.
pub(super) struct Reading<'r> {
    pub(super) table: &'r Table,
    pub(super) variables: &'r Variables<'r>,
    pub(super) timeout: Duration,
    pub(super) stream_timeout: Duration,
    /// `litellm_settings.drop_params`.
    pub(super) drop_params: bool,
    pub(super) egress: &'r mut Egress,
    pub(super) report: &'r mut Report,
}

/// Reads `model_list`, `credential_list` and the aliases of `router_settings`.
pub(super) fn read(
    root: &Section<'_>,
    router: &Section<'_>,
    settings: Settings,
    reading: &mut Reading<'_>,
) -> Router<Arc<Deployment>> {
    let credentials = credentials(root, reading);
    let mut drafts: Vec<Deployment> = Vec::new();
    let shared = router.section("default_litellm_params", reading.report);
    let list = root.list("model_list", reading.report);
    let list: Vec<Node> = list.iter().map(|node| completed(node, &shared)).collect();
    for (index, node) in list.iter().enumerate() {
        let path = format!("model_list[{index}]");
        let entry = Section::of(Some(node), path, &root.place, reading.report);
        entry.judge(reading.table, "model_list", reading.report);
        let draft = Draft::new(&entry, &credentials, reading);
        if let Some(deployment) = deployment::read(&draft, reading) {
            drafts.push(deployment);
        }
    }
    unique_ids(&mut drafts, reading.report);
    let weights = weights(&drafts);
    let mut builder = RouterBuilder::default();
    let enforce = settings.enforce_limits;
    let parallel = router.count("default_max_parallel_requests", 1, reading.report);
    for (mut deployment, weight) in drafts.into_iter().zip(weights) {
        deployment.weight = weight;
        let group = deployment.group.clone();
        builder.deployment(&group, target(deployment, enforce, parallel));
    }
    builder.settings(settings);
    aliases(router, &mut builder, reading.report);
    builder.build()
}

/// An entry whose `litellm_params` say what `router_settings.default_litellm_params` says, where they say nothing themselves.
fn completed(node: &Node, shared: &Section<'_>) -> Node {
    let mut node = node.clone();
    if shared.entries().is_empty() {
        return node;
    }
    if let Value::Map(entries) = &mut node.value
        && let Some(params) = entries
            .iter_mut()
            .find(|entry| entry.key == "litellm_params")
        && let Value::Map(params) = &mut params.value.value
    {
        for entry in shared.entries() {
            if !params.iter().any(|own| own.key == entry.key) {
                params.push(entry.clone());
            }
        }
    }
    node
}

/// A deployment as the router sees it.
fn target(deployment: Deployment, enforce: bool, parallel: Option<u32>) -> Target<Arc<Deployment>> {
    let (price, capacity) = (deployment.price, deployment.capacity);
    let enforced = |limit: Option<u64>| limit.filter(|_| enforce);
    let limits = TargetLimits {
        parallel: deployment.max_parallel.or(parallel),
        rpm: enforced(capacity.rpm),
        tpm: enforced(capacity.tpm),
        itpm: enforced(capacity.itpm),
        otpm: enforced(capacity.otpm),
    };
    let deployment = Deployment {
        limits,
        ..deployment
    };
    let both = price.input.zip(price.output);
    Target {
        weight: deployment.weight,
        order: deployment.order,
        limits,
        tags: deployment.tags.clone(),
        // Embeddings have an input price only.
        price: both
            .map(|(input, output)| input.pico().saturating_add(output.pico()))
            .or(price.input.map(Rate::pico)),
        max_input: deployment.max_input_tokens,
        retries: deployment.retries,
        cooldown: deployment.cooldown.map(super::routing::micros),
        allowed_fails: deployment.allowed_fails,
        ..Target::new(Arc::new(deployment))
    }
}

/// Values of `credential_list` by name.
fn credentials<'n>(
    root: &Section<'n>,
    reading: &mut Reading<'_>,
) -> BTreeMap<&'n str, Section<'n>> {
    let mut found = BTreeMap::new();
    for (index, node) in root
        .list("credential_list", reading.report)
        .iter()
        .enumerate()
    {
        let path = format!("credential_list[{index}]");
        let entry = Section::of(Some(node), path, &root.place, reading.report);
        entry.judge(reading.table, "credential_list", reading.report);
        let values = entry.section("credential_values", reading.report);
        match entry.text("credential_name", reading.report) {
            Some(name) => {
                found.insert(name, values);
            }
            None => reading.report.problem(
                &entry.place,
                &entry.path_of("credential_name"),
                "a credential needs a name",
            ),
        }
    }
    found
}

/// Written ids must differ; computed ones of equal deployments are numbered.
fn unique_ids(deployments: &mut [Deployment], report: &mut Report) {
    let mut seen = BTreeSet::new();
    for deployment in deployments {
        if seen.insert(deployment.id.clone()) {
            continue;
        }
        let message = "a second deployment with the same id or the same settings in this group";
        report.note(Severity::Warning, &deployment.place, "model_list", message);
        let mut number = 2u32;
        while !seen.insert(format!("{}-{number}", deployment.id)) {
            number = number.saturating_add(1);
        }
        deployment.id = format!("{}-{number}", deployment.id);
    }
}

/// Shares inside each group: by `weight` where one is written, else by `rpm`,
/// else by `tpm`, else equal. A deployment without the measure that the group
/// goes by has no share.
fn weights(deployments: &[Deployment]) -> Vec<u64> {
    let measures: [fn(&Capacity) -> Option<u64>; 3] = [|c| c.weight, |c| c.rpm, |c| c.tpm];
    let weight = |deployment: &Deployment| {
        let group = || deployments.iter().filter(|d| d.group == deployment.group);
        let measure = measures
            .iter()
            .find(|measure| group().any(|d| measure(&d.capacity).is_some()));
        measure.map_or(1, |measure| measure(&deployment.capacity).unwrap_or(0))
    };
    deployments.iter().map(weight).collect()
}

/// `model_group_alias`: `{alias: group}` or `{alias: {model, hidden}}`.
fn aliases(
    router: &Section<'_>,
    builder: &mut RouterBuilder<Arc<Deployment>>,
    report: &mut Report,
) {
    let section = router.section("model_group_alias", report);
    for entry in section.entries() {
        let path = section.path_of(&entry.key);
        let Some((group, hidden)) = alias(&entry.value, &path, report) else {
            continue;
        };
        if builder.has_group(&entry.key) {
            let message = "a model group has the same name and wins over the alias";
            report.note(Severity::Warning, &entry.place, &path, message);
        }
        if !builder.has_group(&group) {
            let message = "no model group has exactly the name that the alias leads to";
            report.note(Severity::Warning, &entry.place, &path, message);
        }
        builder.alias(&entry.key, &group, hidden);
    }
}

fn alias(node: &Node, path: &str, report: &mut Report) -> Option<(String, bool)> {
    match &node.value {
        Value::Text(group) => Some((group.clone(), false)),
        Value::Map(_) => {
            let section = Section::of(Some(node), path.to_owned(), &node.place, report);
            let hidden = section.flag("hidden", report).unwrap_or(false);
            match section.text("model", report) {
                Some(group) => Some((group.to_owned(), hidden)),
                None => {
                    report.problem(&node.place, path, "an alias needs the `model` it leads to");
                    None
                }
            }
        }
        _ => {
            report.problem(&node.place, path, "expected the name of a model group");
            None
        }
    }
}

#[cfg(test)]
#[path = "tests/models.rs"]
mod tests;
