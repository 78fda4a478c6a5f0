//! A model that a check asks: one of `model_list`, or a deployment of the check's own.

use std::sync::Arc;

use super::deployment;
use super::models;
use super::reader::Section;
use super::yaml::{Entry, Node};
use crate::guardrails::registry::Reading;
use crate::proxy::child::Target;

/// Parameters of the check that are the deployment's.
const PARAMS: [&str; 7] = [
    "api_base",
    "api_key",
    "api_version",
    "custom_llm_provider",
    "headers",
    "input_cost_per_token",
    "output_cost_per_token",
];
/// Those of its `model_info`.
const INFO: [&str; 2] = ["region", "baa"];

/// Where the calls of a check go. A model of `model_list` by its own name comes first, then `provider/model`, then a name that
/// a pattern of `model_list` stands for.
pub(crate) fn target(reading: &mut Reading<'_, '_>, model: &str, key: &str) -> Option<Target> {
    let group = reading.models.group_of(model);
    let written = reading.params.get("api_base").is_some();
    let exact = group.is_some_and(|group| !group.contains('*'));
    if exact && !written {
        return Some(Target::Group);
    }
    if written || llm::provider::resolve(model, None).is_ok() {
        return own(reading, model).map(Target::Own);
    }
    if group.is_some() {
        return Some(Target::Group);
    }
    let message = "no model of model_list has this name, and it is no `provider/model`";
    reading.problem(key, message);
    None
}

fn own(reading: &mut Reading<'_, '_>, model: &str) -> Option<Arc<models::Deployment>> {
    let params = reading.params;
    let place = params.place.clone();
    let text = |text: &str| Node::text(place.clone(), text);
    let copied = |keys: &[&str]| -> Vec<Entry> {
        let given = keys.iter().filter_map(|key| Some((*key, params.get(key)?)));
        given
            .map(|(key, node)| Entry::new(key, node.clone()))
            .collect()
    };
    let mut inner = copied(&PARAMS);
    inner.push(Entry::new("model", text(model)));
    // A model on one's own machine costs nothing.
    if model.starts_with("ollama") {
        for price in ["input_cost_per_token", "output_cost_per_token"] {
            if params.get(price).is_none() {
                inner.push(Entry::new(price, text("0")));
            }
        }
    }
    let name = format!("guardrail:{}", reading.name);
    let root = Node::map(
        place.clone(),
        vec![
            Entry::new("model_name", text(&name)),
            Entry::new("litellm_params", Node::map(place.clone(), inner)),
            Entry::new("model_info", Node::map(place.clone(), copied(&INFO))),
        ],
    );
    let entry = Section::of(
        Some(&root),
        params.path.clone(),
        &params.place,
        reading.report,
    );
    let mut models = models::Reading {
        drop_params: false,
        table: reading.table,
        variables: reading.variables,
        timeout: reading.timeout,
        stream_timeout: reading.timeout,
        egress: reading.egress,
        report: reading.report,
    };
    let draft = deployment::Draft::new(&entry, &std::collections::BTreeMap::new(), &mut models);
    let deployment = Arc::new(deployment::read(&draft, &mut models)?);
    reading.own.push(deployment.clone());
    Some(deployment)
}
