//! `litellm_content_filter`: words, patterns and categories, each blocked or masked.

use std::collections::BTreeMap;
use std::sync::Arc;

use guard::{
    Action, Check, Entity, EntityRule, Expression, Expressions, PatternCheck, PiiSettings,
};
use guard::{Replacer, SecretSettings, Severity};

use super::registry::Reading;
use super::{Engine, Local, Place, Refusal, Refused, words_file};
use crate::config::problems::Severity as Weight;
use crate::config::reader::Section;
use crate::config::words;
use crate::config::yaml::{Node, Value};

/// Parts of the content filter that are not built.
const MISSING_PARTS: [&str; 3] = [
    "image_model",
    "on_sensitive_data",
    "end_session_after_n_fails",
];

/// LiteLLM's names of patterns, and the recogniser that finds each here: an entity, `secret`, or an expression.
const PREBUILT: &str = include_str!("prebuilt.txt");

/// What the finding of a kind is called in LiteLLM's words.
type Names = BTreeMap<String, String>;

/// The filter.
struct ContentFilter {
    readers: Vec<Arc<dyn Check>>,
    /// What the finding of a kind is called in LiteLLM's words.
    names: BTreeMap<String, String>,
}

/// Reads the parameters.
pub(crate) fn build(reading: &mut Reading<'_, '_>) -> Option<Engine> {
    let params = reading.params;
    for part in MISSING_PARTS {
        if is_on(params.get(part)) {
            reading.not_built(part, "not built");
        }
    }
    let mut readers: Vec<Arc<dyn Check>> = Vec::new();
    let mut words = words::read(reading.name, params, reading.report);
    if params.get("blocked_words_file").is_some() {
        words.entries.extend(words_file::words(reading)?);
    }
    if !words.entries.is_empty() {
        match words.build(reading.name) {
            Ok(built) => readers.push(Arc::new(built)),
            // What cannot work in the configuration was said by the reader of the words.
            Err(error) => reading.problem("blocked_words", error.to_string()),
        }
    }
    words
        .entries
        .truncate(params.list("blocked_words", reading.report).len());
    reading.words = Some(words);
    let mut patterns = Patterns::default();
    patterns.read(reading);
    let (more, names) = patterns.build(reading)?;
    readers.extend(more);
    readers.extend(words_file::categories(reading));
    if readers.is_empty() && reading.missing.is_empty() {
        let message =
            "the content filter has no blocked_words, patterns or categories and checks nothing";
        let (place, path) = (&params.place, &params.path);
        reading.report.note(Weight::Failing, place, path, message);
    }
    Some(Engine::local(ContentFilter { readers, names }))
}

/// The patterns of a filter, by the check that finds them.
#[derive(Default)]
struct Patterns {
    entities: BTreeMap<Entity, (Action, String)>,
    secrets: Option<(Action, String)>,
    expressions: Vec<Expression>,
}

impl Patterns {
    fn read(&mut self, reading: &mut Reading<'_, '_>) {
        let params = reading.params;
        for (index, node) in params.list("patterns", reading.report).iter().enumerate() {
            let path = format!("{}[{index}]", params.path_of("patterns"));
            let entry = Section::of(Some(node), path, &params.place, reading.report);
            self.one(&entry, reading);
        }
    }

    fn one(&mut self, entry: &Section<'_>, reading: &mut Reading<'_, '_>) {
        let known = [
            "pattern_type",
            "pattern_name",
            "pattern",
            "name",
            "action",
            "description",
        ];
        for other in entry.entries() {
            if !known.contains(&other.key.as_str()) {
                let path = entry.path_of(&other.key);
                reading.report.problem(&other.place, &path, "unknown key");
            }
        }
        let actions = [("BLOCK", Action::Block), ("MASK", Action::Mask)];
        let kinds = [("prebuilt", true), ("regex", false)];
        let prebuilt = entry.choice("pattern_type", &kinds, reading.report);
        let action = entry.choice("action", &actions, reading.report);
        let name = entry.text("pattern_name", reading.report);
        let name = name.or_else(|| entry.text("name", reading.report));
        for key in ["pattern_type", "action"] {
            if entry.get(key).is_none() {
                reading
                    .report
                    .problem(&entry.place, &entry.path_of(key), "missing");
            }
        }
        let (Some(prebuilt), Some(action)) = (prebuilt, action) else {
            return;
        };
        match (prebuilt, name, entry.text("pattern", reading.report)) {
            (true, Some(name), _) => self.prebuilt(name, action, entry, reading),
            (false, name, Some(pattern)) => self.expressions.push(Expression {
                category: name.unwrap_or("custom").to_owned(),
                pattern: pattern.to_owned(),
                severity: Severity::High,
                action,
            }),
            (prebuilt, ..) => {
                let key = if prebuilt { "pattern_name" } else { "pattern" };
                reading
                    .report
                    .problem(&entry.place, &entry.path_of(key), "missing");
            }
        }
    }

    fn prebuilt(
        &mut self,
        name: &str,
        action: Action,
        entry: &Section<'_>,
        reading: &mut Reading<'_, '_>,
    ) {
        let rows = || PREBUILT.lines().filter_map(|line| line.split_once(' '));
        let row = rows().find(|(known, _)| *known == name);
        // Presidio's own names are understood too.
        let entity = Entity::of(name).or_else(|| row.and_then(|(_, what)| Entity::of(what)));
        match (entity, row) {
            (Some(entity), _) => {
                let slot = self.entities.entry(entity);
                let slot = slot.or_insert_with(|| (action, name.to_owned()));
                slot.0 = slot.0.max(action);
            }
            (None, Some((_, "secret"))) => match &mut self.secrets {
                Some(slot) => {
                    slot.0 = slot.0.max(action);
                    "secret".clone_into(&mut slot.1);
                }
                None => self.secrets = Some((action, name.to_owned())),
            },
            (None, Some((_, pattern))) => self.expressions.push(Expression {
                category: name.to_owned(),
                pattern: pattern.to_owned(),
                severity: Severity::High,
                action,
            }),
            (None, None) => {
                let (place, path) = (
                    entry.place_of("pattern_name"),
                    entry.path_of("pattern_name"),
                );
                let names = rows().map(|(name, _)| name);
                match crate::config::suggest::nearest(name, names) {
                    Some(meant) => reading
                        .report
                        .misspelt(&place, &path, "unknown pattern", meant),
                    None => reading.not_built("patterns", "a pattern that is not built"),
                }
            }
        }
    }

    /// The checks, and what their kinds are called.
    fn build(self, reading: &mut Reading<'_, '_>) -> Option<(Vec<Arc<dyn Check>>, Names)> {
        let format = reading
            .params
            .text("pattern_redaction_format", reading.report);
        let format = format.unwrap_or("[{pattern_name}_REDACTED]").to_owned();
        if format.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
            reading.problem(
                "pattern_redaction_format",
                "quotes, backslashes and control characters are not possible",
            );
        }
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for (entity, (_, name)) in &self.entities {
            names.insert(entity.name().to_owned(), name.clone());
        }
        if let Some((_, name)) = &self.secrets {
            for kind in guard::SecretKind::ALL {
                names.insert(kind.name().to_owned(), name.clone());
            }
        }
        for expression in &self.expressions {
            names.insert(expression.category.clone(), expression.category.clone());
        }
        let tags: Arc<dyn Replacer> = Arc::new(PatternTags {
            format,
            names: names.clone(),
        });
        let mut readers: Vec<Arc<dyn Check>> = Vec::new();
        if !self.entities.is_empty() {
            let mut settings = PiiSettings::of([]);
            let rule = |action| EntityRule {
                action,
                threshold: 50,
            };
            let rules = self.entities.into_iter();
            settings
                .rules
                .extend(rules.map(|(entity, (action, _))| (entity, rule(action))));
            let check = PatternCheck::pii(reading.name, settings);
            readers.push(Arc::new(check.with_replacer(tags.clone())));
        }
        if let Some((action, _)) = self.secrets {
            let settings = SecretSettings {
                action,
                ..SecretSettings::default()
            };
            let check = PatternCheck::secrets(reading.name, settings);
            readers.push(Arc::new(check.with_replacer(tags.clone())));
        }
        if !self.expressions.is_empty() {
            match Expressions::new(reading.name, self.expressions, Severity::Low) {
                Ok(check) => readers.push(Arc::new(check.with_replacer(tags))),
                Err(error) => {
                    reading.problem("patterns", error.to_string());
                    return None;
                }
            }
        }
        Some((readers, names))
    }
}

/// `[EMAIL_REDACTED]`, or as configured.
#[derive(Debug)]
struct PatternTags {
    format: String,
    names: BTreeMap<String, String>,
}

impl Replacer for PatternTags {
    fn replace(&self, kind: &str, _value: &str) -> String {
        let name = self.names.get(kind).map_or(kind, String::as_str);
        self.format.replace("{pattern_name}", &name.to_uppercase())
    }
}

/// Whether a value asks for something.
pub(crate) fn is_on(node: Option<&Node>) -> bool {
    node.is_some_and(|node| match &node.value {
        Value::Null | Value::Bool(false, _) => false,
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        Value::Bool(true, _) => true,
        // What is sensitive is blocked anyway; another word asks for more.
        Value::Text(text) => !text.is_empty() && text != "block",
    })
}

impl Local for ContentFilter {
    fn readers(&self, _place: Place) -> &[Arc<dyn Check>] {
        &self.readers
    }

    /// LiteLLM's words. A keyword itself is not named: it is the text that was blocked.
    fn refusal(&self, refused: &Refused<'_>) -> Refusal {
        let mut more = Vec::new();
        let what = match self.names.get(refused.kind) {
            Some(name) => {
                more.push(("pattern", name.as_str()));
                format!("{name} pattern detected")
            }
            None if refused.kind == "KEYWORD" => "keyword detected".to_owned(),
            None => {
                more.push(("category", refused.kind));
                format!("{} category keyword detected", refused.kind)
            }
        };
        more.extend(refused.description.map(|text| ("description", text)));
        let place = if refused.answer { " in the answer" } else { "" };
        refused.with_fields(format!("Content blocked: {what}{place}"), &more)
    }
}
