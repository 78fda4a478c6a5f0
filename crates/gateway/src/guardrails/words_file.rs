//! Words from files, and categories of words.

use std::sync::Arc;

use guard::{Action, BlockedWords, Check, Severity, Word};

use super::registry::Reading;
use crate::config::reader::Section;
use crate::config::yaml::{self, Node, Value};
use crate::config::{BlockedWord, WordAction};

/// Most words of one file.
const MOST: usize = 100_000;

/// Our own categories: `category severity phrase` per line.
const CATEGORIES: &str = include_str!("categories.txt");

/// `blocked_words_file`: YAML or JSON with `blocked_words`, a list of such entries, or of plain words; in a `.txt` file one
/// word per line. Words without an action block.
pub(crate) fn words(reading: &mut Reading<'_, '_>) -> Option<Vec<BlockedWord>> {
    const KEY: &str = "blocked_words_file";
    let bytes = reading.file(KEY)?;
    let name = reading.params.text(KEY, reading.report).unwrap_or_default();
    let found = match name.ends_with(".txt") {
        true => lines(&bytes),
        false => entries(&bytes),
    };
    match found {
        Ok(found) if found.len() > MOST => {
            reading.problem(
                KEY,
                format!("{} words; at most {MOST} are possible", found.len()),
            );
            None
        }
        Ok(found) if found.is_empty() => {
            reading.problem(KEY, "the file holds no words");
            None
        }
        Ok(found) => Some(found),
        Err(message) => {
            reading.problem(KEY, message);
            None
        }
    }
}

fn word(keyword: &str) -> BlockedWord {
    BlockedWord {
        keyword: keyword.to_owned(),
        action: WordAction::Block,
        description: None,
    }
}

fn lines(bytes: &[u8]) -> Result<Vec<BlockedWord>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())?;
    let words = text.lines().map(str::trim);
    let words = words.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(words.map(word).collect())
}

fn entries(bytes: &[u8]) -> Result<Vec<BlockedWord>, String> {
    let root = yaml::parse_long(bytes, &Arc::from("blocked_words_file")).map_err(|problems| {
        let first = problems.first().map(ToString::to_string);
        first.unwrap_or_else(|| "not YAML".to_owned())
    })?;
    let list = match &root.value {
        Value::List(items) => items,
        _ => match root.get("blocked_words").map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => return Err("expected blocked_words, a list".to_owned()),
        },
    };
    list.iter().enumerate().map(entry).collect()
}

fn entry((index, node): (usize, &Node)) -> Result<BlockedWord, String> {
    let text = |key: &str| match node.get(key).map(|node| &node.value) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    if let Value::Text(keyword) = &node.value {
        return Ok(word(keyword));
    }
    let keyword = text("keyword").ok_or_else(|| format!("entry {index} has no keyword"))?;
    let action = match text("action").map(str::to_ascii_uppercase).as_deref() {
        None | Some("BLOCK") => WordAction::Block,
        Some("MASK") => WordAction::Mask,
        Some(_) => return Err(format!("entry {index}: the action is BLOCK or MASK")),
    };
    Ok(BlockedWord {
        keyword: keyword.to_owned(),
        action,
        description: text("description").map(str::to_owned),
    })
}

/// `categories`: words of our own lists, or of a `category_file`, from a severity on.
pub(crate) fn categories(reading: &mut Reading<'_, '_>) -> Vec<Arc<dyn Check>> {
    let params = reading.params;
    let mut checks: Vec<Arc<dyn Check>> = Vec::new();
    for (index, node) in params.list("categories", reading.report).iter().enumerate() {
        let path = format!("{}[{index}]", params.path_of("categories"));
        let entry = Section::of(Some(node), path, &params.place, reading.report);
        if entry.flag("enabled", reading.report) == Some(false) {
            continue;
        }
        checks.extend(category(&entry, reading));
    }
    checks
}

fn category(entry: &Section<'_>, reading: &mut Reading<'_, '_>) -> Option<Arc<dyn Check>> {
    let known = [
        "category",
        "enabled",
        "action",
        "severity_threshold",
        "category_file",
    ];
    for other in entry.entries() {
        if !known.contains(&other.key.as_str()) {
            let path = entry.path_of(&other.key);
            reading.report.problem(&other.place, &path, "unknown key");
        }
    }
    let severities = [
        ("low", Severity::Low),
        ("medium", Severity::Medium),
        ("high", Severity::High),
    ];
    let actions = [("BLOCK", Action::Block), ("MASK", Action::Mask)];
    let least = entry.choice("severity_threshold", &severities, reading.report);
    let least = least.unwrap_or(Severity::Medium);
    let action = entry
        .choice("action", &actions, reading.report)
        .unwrap_or(Action::Block);
    let Some(name) = entry.text("category", reading.report) else {
        reading
            .report
            .problem(&entry.place, &entry.path_of("category"), "missing");
        return None;
    };
    let phrases: Vec<String> = match entry.text("category_file", reading.report) {
        Some(file) => own(entry, file, least, &severities, reading)?,
        None => built_in(name, least, &severities),
    };
    if phrases.is_empty() {
        let names = CATEGORIES.lines().filter_map(|line| line.split(' ').next());
        let (place, path) = (entry.place_of("category"), entry.path_of("category"));
        match crate::config::suggest::nearest(name, names) {
            Some(meant) if meant != name => {
                reading
                    .report
                    .misspelt(&place, &path, "unknown category", meant)
            }
            _ => reading.not_built(
                "categories",
                "a category without words here; give a category_file",
            ),
        }
        return None;
    }
    let word = |keyword: String| Word {
        keyword,
        action,
        description: None,
    };
    let tag = format!("[{}_REDACTED]", name.to_uppercase());
    let words = phrases.into_iter().map(word).collect();
    match BlockedWords::new(reading.name, words, Some(&tag)) {
        Ok(words) => Some(Arc::new(words.with_kind(name))),
        Err(error) => {
            reading
                .report
                .problem(&entry.place, &entry.path, error.to_string());
            None
        }
    }
}

fn built_in(name: &str, least: Severity, severities: &[(&str, Severity)]) -> Vec<String> {
    let phrase = |line: &str| {
        let (category, rest) = line.split_once(' ')?;
        let (severity, phrase) = rest.split_once(' ')?;
        let severity = severities.iter().find(|(word, _)| *word == severity)?.1;
        (category == name && severity >= least).then(|| phrase.to_owned())
    };
    CATEGORIES.lines().filter_map(phrase).collect()
}

/// A file of the operator's own: `keywords` of `{keyword, severity}` or of plain words.
fn own(
    entry: &Section<'_>,
    file: &str,
    least: Severity,
    severities: &[(&str, Severity)],
    reading: &mut Reading<'_, '_>,
) -> Option<Vec<String>> {
    let bytes = match reading.open(file) {
        Ok(bytes) => bytes,
        Err(message) => {
            reading
                .report
                .problem(&entry.place, &entry.path_of("category_file"), message);
            return None;
        }
    };
    let root = yaml::parse_long(&bytes, &Arc::from("category_file")).ok();
    let Some(Value::List(items)) = root
        .as_ref()
        .and_then(|root| root.get("keywords"))
        .map(|node| &node.value)
    else {
        reading.report.problem(
            &entry.place,
            &entry.path_of("category_file"),
            "expected keywords, a list",
        );
        return None;
    };
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let phrase = |node: &Node| {
        if let Some(word) = text(node) {
            return Some(word);
        }
        let severity = node
            .get("severity")
            .and_then(text)
            .unwrap_or_else(|| "high".to_owned());
        let severity = severities.iter().find(|(word, _)| *word == severity)?.1;
        (severity >= least)
            .then(|| node.get("keyword").and_then(text))
            .flatten()
    };
    Some(items.iter().filter_map(phrase).collect())
}
