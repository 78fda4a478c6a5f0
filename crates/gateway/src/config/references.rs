//! `os.environ/NAME` values, and references that nothing here resolves.

use super::env::Variables;
use super::problems::{Report, Severity};
use super::reader::join;
use super::secrets::looks_secret;
use super::yaml::{Node, Origin, Value};

const ENVIRONMENT: &str = "os.environ/";

/// Beginnings of references to secret stores. None is resolved here, and none
/// is ever sent to a provider as if it were a key.
const STORES: [&str; 12] = [
    "op://",
    "oidc/",
    "vault://",
    "arn:aws:secretsmanager:",
    "arn:aws:ssm:",
    "secretsmanager://",
    "aws-sm://",
    "gcp-sm://",
    "sm://",
    "keyvault://",
    "azurekeyvault://",
    "doppler://",
];

/// Beginnings that are references only where a secret is expected.
const STORES_OF_SECRETS: [&str; 4] = [
    "vault/",
    "aws_secret_manager/",
    "hashicorp_vault/",
    "conjur/",
];

/// Replaces every reference to the environment below a node and refuses every
/// other reference. `managed` says that a secret manager is configured.
pub(super) fn resolve(
    node: &mut Node,
    path: &str,
    variables: &Variables<'_>,
    managed: bool,
    report: &mut Report,
) {
    let mut walk = Walk {
        variables,
        managed,
        report,
    };
    walk.node(node, path, "");
}

struct Walk<'w, 'e> {
    variables: &'w Variables<'e>,
    managed: bool,
    report: &'w mut Report,
}

impl Walk<'_, '_> {
    fn node(&mut self, node: &mut Node, path: &str, key: &str) {
        match &mut node.value {
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.node(item, &format!("{path}[{index}]"), key);
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    let path = join(path, &entry.key);
                    self.node(&mut entry.value, &path, &entry.key);
                }
            }
            Value::Text(_) => self.text(node, path, key),
            Value::Null | Value::Bool(..) => {}
        }
    }

    fn text(&mut self, node: &mut Node, path: &str, key: &str) {
        let Value::Text(text) = &node.value else {
            return;
        };
        if let Some(name) = text.trim().strip_prefix(ENVIRONMENT) {
            let name = name.to_owned();
            self.environment(node, path, key, &name);
        } else if text.contains(ENVIRONMENT) {
            let message = "a reference to the environment is the whole value, `os.environ/NAME`";
            self.refuse(node, path, message);
        } else if let Some(store) = store_of(text, key) {
            let message = format!(
                "a secret reference (`{store}...`) that nothing here resolves; \
                 put the value into the environment and write os.environ/NAME"
            );
            self.refuse(node, path, &message);
        }
    }

    /// Says what is wrong; the value counts as absent, so that it is said once.
    fn refuse(&mut self, node: &mut Node, path: &str, message: &str) {
        self.report.problem(&node.place, path, message);
        node.value = Value::Null;
    }

    fn environment(&mut self, node: &mut Node, path: &str, key: &str, name: &str) {
        let valid = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || name.len() > 128 || !name.chars().all(valid) {
            let message = "os.environ/ is followed by the name of one environment variable";
            self.refuse(node, path, message);
            return;
        }
        node.origin = Origin::Environment(name.to_owned());
        match self.variables.get(name) {
            Some(value) => match store_of(&value, key) {
                Some(store) => {
                    let message = format!(
                        "{name} holds a secret reference (`{store}...`) that nothing here resolves"
                    );
                    self.refuse(node, path, &message);
                }
                None => node.value = Value::Text(value),
            },
            None if self.managed => {
                let message = format!(
                    "{name} is not in the environment, and the configured secret manager is not built"
                );
                self.refuse(node, path, &message);
            }
            None => {
                let message = format!("{name} is not set; the value counts as absent");
                let severity = Severity::Warning;
                self.report.note(severity, &node.place, path, message);
                node.value = Value::Null;
            }
        }
    }
}

/// The beginning that makes a text a reference to a secret store.
fn store_of(text: &str, key: &str) -> Option<&'static str> {
    let starts = |store: &&&str| text.starts_with(**store);
    STORES.iter().find(starts).copied().or_else(|| {
        STORES_OF_SECRETS
            .iter()
            .find(starts)
            .copied()
            .filter(|_| looks_secret(key).is_some())
    })
}

#[cfg(test)]
#[path = "tests/references.rs"]
mod tests;
