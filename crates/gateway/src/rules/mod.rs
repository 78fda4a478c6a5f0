//! Rules over the facts of a call: asked once the local checks have run, before anything leaves, and again for every other
//! deployment that is tried.

mod consent;

use std::sync::Arc;

use llm::protocol::Request;
use llm::scan::{Kind, Node};
use policy::identity::Principal;
use policy::rules::{Decision, Facts, Rule, RuleError, Rules};

use crate::config::{Config, Deployment};
use crate::error::Error;
use crate::proxy::facts::{Destination, Facts as CallFacts};

/// Days since a consent of which nobody says when it was given.
const NEVER: i64 = 1_000_000_000;

const DAY: i64 = 86_400_000_000;

/// Compiles the rules of a configuration.
///
/// # Errors
/// A rule that was taken when the configuration was read is taken here.
pub(crate) fn build(config: &Config) -> Result<Rules, RuleError> {
    let rules = config.rules.iter().map(Rule::compile);
    Ok(Rules::new(rules.collect::<Result<_, _>>()?))
}

/// The facts of a call that its request and its caller give; `None` when no rule asks.
pub(crate) fn facts(
    rules: &Rules,
    caller: &Principal,
    body: &dyn Request,
    call: &CallFacts,
) -> Option<Box<Facts>> {
    if rules.is_empty() {
        return None;
    }
    let at = call.arrival.micros();
    let metadata = body.member("metadata");
    let said = |name: &str| metadata.and_then(|metadata| metadata.get(name));
    let days = at.div_euclid(DAY);
    let rest = at.rem_euclid(DAY);
    let team = caller.team();
    let rows = [caller.key(), team];
    let mut facts = Facts {
        agent: call.agent.as_deref().unwrap_or_default().to_owned(),
        allowed_purposes: rows
            .into_iter()
            .flatten()
            .flat_map(|row| purposes(row.metadata.as_deref()))
            .collect(),
        end_user: body.user().is_some(),
        hour: rest.div_euclid(3_600_000_000),
        minute: rest.div_euclid(60_000_000) % 60,
        // 1970-01-01 was a Thursday.
        weekday: (days + 3).rem_euclid(7) + 1,
        key: call.key_id.to_string(),
        metadata: metadata.map(texts).unwrap_or_default(),
        purpose: said("purpose")
            .and_then(|node| node.as_str())
            .map(|text| text.into_owned())
            .unwrap_or_default(),
        route: call.route.to_owned(),
        tags: crate::identity::tags(caller).map(str::to_owned).collect(),
        team: call.billing.team.clone(),
        tools: tools(body),
        data: data(call),
        ..Facts::default()
    };
    let claims = consent::Claims {
        given: claimed(metadata),
        age: consent_age(said("consent_date"), at),
    };
    let settings = &call.snapshot.config.consent;
    consent::fill(&mut facts, settings, call.consent.as_deref(), &claims, at);
    place(&mut facts, &call.destination, &call.destination.deployment);
    Some(Box::new(facts))
}

/// The facts that change with the deployment.
fn place(facts: &mut Facts, destination: &Destination, deployment: &Deployment) {
    facts.model = destination.requested.to_string();
    facts.model_group = destination.group.to_string();
    facts.deployment = deployment.id.clone();
    facts.provider = deployment.provider.clone();
    facts.region = deployment.region.clone().unwrap_or_default();
    facts.baa = deployment.baa;
}

/// Asks the rules about a call at the deployment that its facts name; notes in the facts which of them applied.
///
/// # Errors
/// [`Error::RuleRefused`] with the first one that refuses, or that cannot be evaluated.
pub(crate) fn ask(rules: &Rules, call: &mut CallFacts) -> Result<(), Error> {
    let Some(mut facts) = call.rule_facts.take() else {
        return Ok(());
    };
    place(&mut facts, &call.destination, &call.destination.deployment);
    let decision = rules.decide(&facts);
    call.rule_facts = Some(facts);
    match decision {
        Decision::Allowed(applied) => {
            call.rules = applied;
            Ok(())
        }
        Decision::Refused { rule, failed } => {
            if failed {
                tracing::warn!(rule = %rule, id = %call.id, "a rule could not be evaluated and refuses the call");
            }
            call.rules = vec![rule.clone()];
            Err(Error::RuleRefused {
                rule: rule.to_string(),
            })
        }
    }
}

/// What the record calls a rule that refused.
pub(crate) fn named(rule: &str) -> Arc<str> {
    Arc::from(format!("rule:{rule}"))
}

/// `allowed_purposes` of the metadata that a key or team was given.
fn purposes(metadata: Option<&str>) -> Vec<String> {
    let metadata = metadata.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    let items = metadata
        .as_ref()
        .and_then(|metadata| metadata.get("allowed_purposes")?.as_array());
    let texts = items.into_iter().flatten().filter_map(|item| item.as_str());
    texts.map(str::to_owned).collect()
}

/// `metadata.user_consent`: `analytics:true,storage:false`, or an object of booleans. What is neither true nor false is no
/// consent that a rule can see.
fn claimed(metadata: Option<Node<'_>>) -> Vec<(String, bool)> {
    let Some(consent) = metadata.and_then(|metadata| metadata.get("user_consent")) else {
        return Vec::new();
    };
    let flag = |text: &str| match text.trim() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    match consent.kind() {
        Kind::String => consent
            .as_str()
            .unwrap_or_default()
            .split(',')
            .filter_map(|pair| pair.split_once([':', '=']))
            .filter_map(|(name, value)| Some((name.trim().to_owned(), flag(value)?)))
            .collect(),
        Kind::Object => consent
            .entries()
            .filter_map(|(name, value)| Some((name.as_str()?.into_owned(), value.as_bool()?)))
            .collect(),
        _ => Vec::new(),
    }
}

/// Days from a date such as `2026-01-31` (or a longer ISO time) to an instant; a date in the future is no date.
fn consent_age(node: Option<Node<'_>>, at: i64) -> i64 {
    let given = node
        .and_then(|node| node.as_str())
        .and_then(|text| text.get(..10)?.parse::<jiff::civil::Date>().ok())
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp().as_microsecond());
    match given {
        Some(given) if given <= at => (at - given).div_euclid(DAY),
        _ => NEVER,
    }
}

fn texts(metadata: Node<'_>) -> Vec<(String, String)> {
    metadata
        .entries()
        .filter_map(|(name, value)| {
            let text = match value.kind() {
                Kind::String => value.as_str()?.into_owned(),
                Kind::Object | Kind::Array => return None,
                _ => String::from_utf8_lossy(value.raw()).into_owned(),
            };
            Some((name.as_str()?.into_owned(), text))
        })
        .collect()
}

/// Names of the offered tools, in the forms of the protocols; a tool without a name counts as `unnamed`.
fn tools(body: &dyn Request) -> Vec<String> {
    let tools = body.member("tools");
    let items = tools.into_iter().flat_map(|tools| tools.items());
    items
        .map(|tool| {
            let inner = tool.get("function").and_then(|inner| inner.get("name"));
            inner
                .or_else(|| tool.get("name"))
                .or_else(|| tool.get("type"))
                .and_then(|name| name.as_str())
                .map_or_else(|| "unnamed".to_owned(), |name| name.into_owned())
        })
        .collect()
}

/// Kinds of what the checks found in the request.
fn data(call: &CallFacts) -> Vec<String> {
    let mut kinds: Vec<String> = call
        .coverage
        .iter()
        .flat_map(|entry| entry.findings.iter().map(|found| found.kind.to_string()))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}
