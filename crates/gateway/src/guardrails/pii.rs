//! `presidio`: personal data, by the recognisers that are built in, under Presidio's names and keys.

use std::collections::{BTreeMap, HashSet};

use guard::{AdHoc, Entity, EntityRule, NOT_RECOGNISED, PatternCheck, PiiSettings};

use super::operators;
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
    let mut own = recognisers(reading);
    own.extend(deny_lists(reading));
    let mut rules = OwnRules::new(own.iter().map(AdHoc::entity));
    let mut settings = entities(reading, &mut rules)?;
    thresholds(reading, &mut settings, &mut rules);
    let denied = reading
        .params
        .texts("presidio_entities_deny_list", reading.report);
    for (name, _) in denied {
        match Entity::of(name) {
            _ if rules.leave_out(name) => {}
            Some(entity) => {
                settings.rules.remove(&entity);
            }
            None if NOT_RECOGNISED.contains(&name) => {}
            None => reading.problem("presidio_entities_deny_list", "an entity that nobody knows"),
        }
    }
    allowed(reading, &mut settings);
    language(reading);
    let known = |name: &str| Entity::of(name).is_some() || rules.knows(name);
    let operators = operators::read(reading, &known);
    let mut check = PatternCheck::pii(reading.name, settings.clone());
    let own = rules.apply(own, &settings);
    if !own.is_empty() {
        check = check.with_recognisers(own, guard::Action::Mask);
    }
    if let Some(operators) = operators {
        check = check.with_replacer(std::sync::Arc::new(operators));
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

/// What is said about kinds that only recognisers of the operator's own find.
struct OwnRules(BTreeMap<String, OwnRule>);

#[derive(Default)]
struct OwnRule {
    action: Option<guard::Action>,
    threshold: Option<u8>,
    left_out: bool,
}

impl OwnRules {
    fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        Self(
            names
                .map(|name| (name.to_owned(), OwnRule::default()))
                .collect(),
        )
    }

    fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn get(&mut self, name: &str) -> Option<&mut OwnRule> {
        self.0.get_mut(name)
    }

    /// Whether it was one of these, which is then not looked for; a kind that is built in is left out as well.
    fn leave_out(&mut self, name: &str) -> bool {
        let rule = self.0.get_mut(name);
        let own = rule.is_some() && Entity::of(name).is_none();
        if let Some(rule) = rule {
            rule.left_out = true;
        }
        own
    }

    /// The recognisers with their rules. One that finds a kind that is built in follows its rule.
    fn apply(&self, own: Vec<AdHoc>, settings: &PiiSettings) -> Vec<AdHoc> {
        let rules = own.into_iter().filter_map(|one| {
            let rule = self.0.get(one.entity()).filter(|rule| !rule.left_out)?;
            let built_in = Entity::of(one.entity()).and_then(|entity| settings.rules.get(&entity));
            let action = rule.action.or(built_in.map(|rule| rule.action));
            Some(one.with_rule(action, rule.threshold))
        });
        rules.collect()
    }
}

/// `allow_list` for every kind, `allow_lists` by kind: texts that are no finding, exactly as written.
fn allowed(reading: &mut Reading<'_, '_>, settings: &mut PiiSettings) {
    let allow = reading.params.texts("allow_list", reading.report);
    settings
        .allow
        .extend(allow.into_iter().map(|(text, _)| text.to_owned()));
    let section = reading.params.section("allow_lists", reading.report);
    for entry in section.entries() {
        let texts = section.texts(&entry.key, reading.report);
        let texts: HashSet<String> = texts.iter().map(|(text, _)| (*text).to_owned()).collect();
        match Entity::of(&entry.key) {
            Some(entity) => {
                settings.allow_of.insert(entity, texts);
            }
            None => {
                let path = section.path_of(&entry.key);
                let message = "unknown entity; allow_list is for all of them";
                reading.report.problem(&entry.place, &path, message);
            }
        }
    }
}

/// `deny_lists`: words that are always found as their kind, which may be one of the operator's own.
fn deny_lists(reading: &mut Reading<'_, '_>) -> Vec<AdHoc> {
    const KEY: &str = "deny_lists";
    let section = reading.params.section(KEY, reading.report);
    let mut found = Vec::new();
    for entry in section.entries() {
        let words = section.texts(&entry.key, reading.report);
        let words: Vec<String> = words.iter().map(|(word, _)| (*word).to_owned()).collect();
        let made = match is_name(&entry.key) {
            true if words.iter().any(|word| word.trim().is_empty()) => {
                Err("an empty word".to_owned())
            }
            true => AdHoc::new(&entry.key, &entry.key, &[], &words, &[]).map_err(|e| e.to_string()),
            false => Err("this is no name of an entity".to_owned()),
        };
        match made {
            Ok(one) => found.push(one),
            Err(message) => {
                let path = section.path_of(&entry.key);
                reading.report.problem(&entry.place, &path, message);
            }
        }
    }
    found
}

/// Whether a text can name a kind.
fn is_name(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.len() <= 48 && text.chars().all(known)
}

/// The kinds that are looked for: those of `pii_entities_config`, else all that are on by default.
fn entities(reading: &mut Reading<'_, '_>, own: &mut OwnRules) -> Option<PiiSettings> {
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
        if let Some(rule) = own.get(&entry.key) {
            rule.action = Some(action);
        }
        match Entity::of(&entry.key) {
            None if own.knows(&entry.key) => {}
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
fn thresholds(reading: &mut Reading<'_, '_>, settings: &mut PiiSettings, own: &mut OwnRules) {
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
        if let Some(rule) = own.get(&entry.key) {
            rule.threshold = Some(threshold);
        }
        match (entry.key.as_str(), Entity::of(&entry.key)) {
            ("ALL" | "DEFAULT", _) => {
                for rule in own.0.values_mut() {
                    rule.threshold.get_or_insert(threshold);
                }
                for rule in settings.rules.values_mut() {
                    rule.threshold = threshold;
                }
            }
            (_, Some(entity)) => {
                if let Some(rule) = settings.rules.get_mut(&entity) {
                    rule.threshold = threshold;
                }
            }
            (name, None) if NOT_RECOGNISED.contains(&name) || own.knows(name) => {}
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
    if !is_name(&entity) {
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
    let action = match text(node, "action").map(|word| word.to_ascii_uppercase()) {
        None => None,
        Some(word) => {
            let known = ACTIONS.iter().find(|(name, _)| *name == word);
            let known = known.ok_or_else(|| {
                format!("recognizer `{name}`: expected an action of MASK, BLOCK or ALERT")
            })?;
            Some(known.1)
        }
    };
    AdHoc::new(
        &name,
        &entity,
        &patterns,
        &texts("deny_list"),
        &texts("context"),
    )
    .map(|made| made.with_rule(action, None))
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
