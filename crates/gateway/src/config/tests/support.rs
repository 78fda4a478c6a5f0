//! What the tests of the configuration share.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::{Config, MapEnv, MapFiles, Overrides, Problem, Rejected, load_with};

/// A master key that nothing but tests uses.
pub(crate) const MASTER_KEY: &str = "sk-Zq8vN3xR7tLw2KpY9sMd4HbF6jGc1VaE";

/// An environment with a strong master key and the given pairs.
pub(crate) fn environment(pairs: &[(&str, &str)]) -> MapEnv {
    let mut map = BTreeMap::from([("LITELLM_MASTER_KEY".to_owned(), MASTER_KEY.to_owned())]);
    for (name, value) in pairs {
        map.insert((*name).to_owned(), (*value).to_owned());
    }
    MapEnv(map)
}

/// Loads a text as `config.yaml`.
pub(crate) fn load_in(text: &str, env: &MapEnv) -> Result<Config, Rejected> {
    load_files(&[("config.yaml", text)], &Overrides::default(), env)
}

/// Loads a text with nothing but a master key in the environment.
pub(crate) fn load_text(text: &str) -> Result<Config, Rejected> {
    load_in(text, &environment(&[]))
}

/// Loads `config.yaml` among other files.
pub(crate) fn load_files(
    files: &[(&str, &str)],
    overrides: &Overrides,
    env: &MapEnv,
) -> Result<Config, Rejected> {
    let files = files
        .iter()
        .map(|(name, text)| (Path::new(name).to_owned(), (*text).to_owned()))
        .collect();
    load_with(Path::new("config.yaml"), overrides, env, &MapFiles(files))
}

/// `line path` of each problem.
pub(crate) fn where_of(problems: &[Problem]) -> Vec<String> {
    problems
        .iter()
        .map(|problem| format!("{} {}", problem.place.line, problem.path))
        .collect()
}

/// Whether a note on this path holds this text.
pub(crate) fn noted(config: &Config, path: &str, text: &str) -> bool {
    config
        .notes
        .iter()
        .any(|note| note.path == path && note.to_string().contains(text))
}
