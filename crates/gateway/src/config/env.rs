//! The environment, and the one rule for what a value in it means.

use std::collections::BTreeMap;

/// Where named values come from.
pub trait Env {
    /// The value of a name, as it stands.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// A fixed set of values.
#[derive(Clone, Default)]
pub struct MapEnv(pub BTreeMap<String, String>);

impl Env for MapEnv {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}

/// All sources of named values, in order of precedence.
pub(crate) struct Variables<'e> {
    process: &'e dyn Env,
    /// Pairs of `environment_variables:`; they win, as where they come from.
    pub(super) section: BTreeMap<String, String>,
    /// Pairs of `--env-file` and `.env`, the first file winning; they never
    /// override the real environment.
    pub(super) files: BTreeMap<String, String>,
}

impl<'e> Variables<'e> {
    pub(super) fn new(process: &'e dyn Env) -> Self {
        Self {
            process,
            section: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }

    /// The value of a name after the rule; nothing when it is unset or empty.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.section
            .get(name)
            .cloned()
            .or_else(|| self.process.get(name).as_deref().and_then(meaning))
            .or_else(|| self.files.get(name).cloned())
    }

    /// A boolean of the environment.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        boolean(&value)
            .map(Some)
            .ok_or_else(|| format!("{name} is no boolean; write true or false"))
    }

    /// Whether the real environment holds the name.
    pub(super) fn in_process(&self, name: &str) -> bool {
        self.process
            .get(name)
            .as_deref()
            .and_then(meaning)
            .is_some()
    }
}

/// The rule: a value is trimmed, an inline comment (` # ...`) is cut, and what
/// is empty then counts as unset.
pub(super) fn meaning(raw: &str) -> Option<String> {
    let cut = if raw.trim_start().starts_with('#') {
        ""
    } else {
        let comment = raw
            .char_indices()
            .zip(raw.chars().skip(1))
            .find(|((_, space), hash)| space.is_whitespace() && *hash == '#');
        match comment {
            Some(((at, _), _)) => raw.get(..at).unwrap_or(raw),
            None => raw,
        }
    };
    let value = cut.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// A boolean as people write one.
pub(super) fn boolean(text: &str) -> Option<bool> {
    const TRUE: [&str; 4] = ["true", "1", "yes", "on"];
    const FALSE: [&str; 4] = ["false", "0", "no", "off"];
    let is = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(TRUE) {
        Some(true)
    } else if is(FALSE) {
        Some(false)
    } else {
        None
    }
}

/// Reads the lines of an environment file: `NAME=value`, an optional `export `,
/// comments, values in single or double quotes taken whole.
///
/// # Errors
/// The number of the first line that is none of these.
pub(super) fn parse_file(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let mut pairs = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let number = index.saturating_add(1);
        let (name, value) = line.split_once('=').ok_or(number)?;
        let name = name.trim();
        let named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-';
        if name.is_empty() || !name.chars().all(named) {
            return Err(number);
        }
        let value = match quoted(value.trim()) {
            Some(inside) => Some(inside),
            None => meaning(value),
        };
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            pairs.insert(name.to_owned(), value);
        }
    }
    Ok(pairs)
}

/// The inside of a quoted value; in double quotes `\n`, `\"` and `\\` are escapes.
fn quoted(value: &str) -> Option<String> {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut inside = String::new();
    let mut characters = value.chars();
    characters.next();
    while let Some(character) = characters.next() {
        if character == quote {
            let after = characters.as_str().trim();
            return (after.is_empty() || after.starts_with('#')).then_some(inside);
        }
        if quote == '"' && character == '\\' {
            match characters.next()? {
                'n' => inside.push('\n'),
                escaped @ ('"' | '\\') => inside.push(escaped),
                other => inside.extend(['\\', other]),
            }
        } else {
            inside.push(character);
        }
    }
    None
}

#[cfg(test)]
#[path = "tests/env.rs"]
mod tests;
