//! `presidio`: personal data, by the recognisers that are built in, under Presidio's names and keys.

use guard::{AdHoc, Entity, EntityRule, NOT_RECOGNISED, PatternCheck, PiiSettings};

use super::plain::Plain;
use super::registry::Reading;
use super::remote;
use super::{Engine, Refusal, Refused, Restore};
use crate::config::problems::KeyState;
use crate::config::yaml::{Node, Value};

/// What LiteLLM says in `pii_entities_config`, and what that means here.
const ACTIONS: [(&str, guard::Action); 3] = [
    ("MASK", guard::Action::Mask),
    ("BLOCK", guard::Action::Block),
    ("ALERT", guard::Action::Alert),
];

/// Reads the parameters.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    if remote::presidio::is_configured(reading) {
        return remote::presidio::build(reading);
    }
    let mut settings = entities(reading)?;
    thresholds(reading, &mut settings);
    let denied = reading
        .params
        .texts("presidio_entities_deny_list", reading.report);
    for (name, _) in denied {
        match Entity::of(name) {
            Some(entity) => {
                settings.rules.remove(&entity);
            }
            None if NOT_RECOGNISED.contains(&name) => {}
            None => reading.problem("presidio_entities_deny_list", "an entity that nobody knows"),
        }
    }
    let allow = reading.params.texts("allow_list", reading.report);
    settings
        .allow
        .extend(allow.into_iter().map(|(text, _)| text.to_owned()));
    language(reading);
    let own = recognisers(reading);
    let mut check = PatternCheck::pii(reading.name, settings);
    if !own.is_empty() {
        check = check.with_recognisers(own, guard::Action::Mask);
    }
    let restore = reading.params.flag("output_parse_pii", reading.report);
    let tools = reading
        .params
        .flag("restore_tool_arguments", reading.report);
    let mut plain = Plain::new(check, refusal);
    plain.restore = restore.unwrap_or(false).then_some(Restore {
        tool_arguments: tools.unwrap_or(false),
    });
    Some(Engine::local(plain))
}

/// The kinds that are looked for: those of `pii_entities_config`, else all that are on by default.
fn entities(reading: &mut Reading<'_, '_>) -> Option<PiiSettings> {
    const KEY: &str = "pii_entities_config";
    if reading.params.get(KEY).is_none() {
        return Some(PiiSettings::default());
    }
    let section = reading.params.section(KEY, reading.report);
    let mut settings = PiiSettings::of([]);
    for entry in section.entries() {
        let Some(action) = section.choice(&entry.key, &ACTIONS, reading.report) else {
            continue;
        };
        match Entity::of(&entry.key) {
            Some(entity) => {
                let rule = EntityRule {
                    action,
                    threshold: 50,
                };
                settings.rules.insert(entity, rule);
            }
            None if NOT_RECOGNISED.contains(&entry.key.as_str()) => {
                let why =
                    "names have no form that could be checked here; it takes a Presidio analyzer";
                let (place, path) = (entry.place.clone(), section.path_of(&entry.key));
                let message = format!("{why}; calls that select it answer 503 check_not_available");
                let state = KeyState::AcceptedInactive;
                reading.report.state(&place, &path, state, message);
                reading.missing.push(format!("{KEY}.{}", entry.key));
            }
            None => {
                let names = Entity::ALL.iter().map(|entity| entity.name());
                let (place, path) = (entry.place.clone(), section.path_of(&entry.key));
                match crate::config::suggest::nearest(&entry.key, names) {
                    Some(meant) => reading
                        .report
                        .misspelt(&place, &path, "unknown entity", meant),
                    None => reading.report.problem(&place, &path, "unknown entity"),
                }
            }
        }
    }
    Some(settings)
}

/// `presidio_score_thresholds`: lowest scores by entity; `ALL` or `DEFAULT` for all of them.
fn thresholds(reading: &mut Reading<'_, '_>, settings: &mut PiiSettings) {
    const KEY: &str = "presidio_score_thresholds";
    let section = reading.params.section(KEY, reading.report);
    for entry in section.entries() {
        let score = match &entry.value.value {
            Value::Text(text) => text.trim().parse::<f64>().ok(),
            _ => None,
        };
        let Some(score) = score.filter(|score| (0.0..=1.0).contains(score)) else {
            let path = section.path_of(&entry.key);
            reading
                .report
                .problem(&entry.place, &path, "expected a number from 0 to 1");
            continue;
        };
        let threshold = (score * 100.0).round() as u8;
        match (entry.key.as_str(), Entity::of(&entry.key)) {
            ("ALL" | "DEFAULT", _) => {
                for rule in settings.rules.values_mut() {
                    rule.threshold = threshold;
                }
            }
            (_, Some(entity)) => {
                if let Some(rule) = settings.rules.get_mut(&entity) {
                    rule.threshold = threshold;
                }
            }
            (name, None) if NOT_RECOGNISED.contains(&name) => {}
            (_, None) => {
                let path = section.path_of(&entry.key);
                reading
                    .report
                    .problem(&entry.place, &path, "unknown entity");
            }
        }
    }
}

fn language(reading: &mut Reading<'_, '_>) {
    let language = reading.params.text("presidio_language", reading.report);
    if language.is_some_and(|language| language != "en") {
        let message = "the recognisers are the same for every language";
        let (place, path) = (
            reading.params.place_of("presidio_language"),
            reading.params.path_of("presidio_language"),
        );
        reading
            .report
            .state(&place, &path, KeyState::AcceptedInactive, message);
    }
}

/// `presidio_ad_hoc_recognizers`: a file, JSON or YAML, in the form that Presidio's analyzer takes.
fn recognisers(reading: &mut Reading<'_, '_>) -> Vec<AdHoc> {
    const KEY: &str = "presidio_ad_hoc_recognizers";
    let Some(bytes) = reading.file(KEY) else {
        return Vec::new();
    };
    // JSON is YAML.
    let root = match crate::config::yaml::parse(&bytes, &std::sync::Arc::from(KEY)) {
        Ok(root) => root,
        Err(_) => {
            reading.problem(KEY, "the file is neither JSON nor YAML");
            return Vec::new();
        }
    };
    let list = match &root.value {
        Value::List(items) => items.clone(),
        Value::Map(_) => match root.get("recognizers").map(|node| &node.value) {
            Some(Value::List(items)) => items.clone(),
            _ => vec![root],
        },
        _ => {
            reading.problem(KEY, "expected a list of recognizers");
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for node in &list {
        match recogniser(node) {
            Ok(recogniser) => found.push(recogniser),
            Err(message) => reading.problem(KEY, message),
        }
    }
    found
}

fn recogniser(node: &Node) -> Result<AdHoc, String> {
    let text = |node: &Node, key: &str| match node.get(key).map(|node| &node.value) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    };
    let texts = |key: &str| -> Vec<String> {
        let items = match node.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        let words = items.iter().filter_map(|item| match &item.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        });
        words.collect()
    };
    let name = text(node, "name").unwrap_or_else(|| "unnamed".to_owned());
    let entity = text(node, "supported_entity")
        .ok_or_else(|| format!("recognizer `{name}` has no supported_entity"))?;
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if entity.is_empty() || entity.len() > 48 || !entity.chars().all(known) {
        return Err(format!("recognizer `{name}`: supported_entity is no name"));
    }
    let mut patterns = Vec::new();
    if let Some(Value::List(items)) = node.get("patterns").map(|node| &node.value) {
        for item in items {
            let regex = text(item, "regex").or_else(|| text(item, "pattern"));
            let score = text(item, "score").and_then(|score| score.trim().parse::<f64>().ok());
            match (regex, score) {
                (Some(regex), Some(score)) => patterns.push((regex, score)),
                _ => {
                    return Err(format!(
                        "recognizer `{name}`: a pattern needs regex and score"
                    ));
                }
            }
        }
    }
    AdHoc::new(
        &name,
        &entity,
        &patterns,
        &texts("deny_list"),
        &texts("context"),
    )
    .map_err(|error| error.to_string())
}

/// LiteLLM's words.
pub(crate) fn refusal(refused: &Refused<'_>) -> Refusal {
    let (kind, name) = (refused.kind, refused.guardrail);
    Refusal {
        message: format!(
            "Blocked entity detected: {kind} by Guardrail: {name}. This entity is not allowed to be used in this request."
        ),
        fields: Vec::new(),
    }
}
