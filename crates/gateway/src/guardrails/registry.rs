//! The kinds of guardrails: one row each.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Engine, content_filter, injection, pii, prompt_leak, remote, secrets, shape, tools};
use crate::config::env::Variables;
use crate::config::problems::{KeyState, Report};
use crate::config::reader::Section;
use crate::config::states::Table;
use crate::config::yaml;
use crate::config::{Deployment, Egress, Files, Modes};

/// One kind of guardrail.
pub(crate) struct Kind {
    /// What `litellm_params.guardrail` says.
    pub(crate) integration: &'static str,
    /// The section of `keys.txt` that lists its parameters.
    pub(crate) keys: &'static str,
    /// Builds it from its parameters.
    pub(crate) build: fn(&mut Reading<'_, '_>) -> Option<Engine>,
}

/// Every kind that is built. Names that LiteLLM knows and that do not stand here load, and calls that select such a guardrail
/// answer 503.
pub(crate) const KINDS: &[Kind] = &[
    Kind {
        integration: "generic_guardrail_api",
        keys: "guardrail.generic_guardrail_api",
        build: remote::generic,
    },
    Kind {
        integration: "openai_moderation",
        keys: "guardrail.openai_moderation",
        build: remote::moderation,
    },
    Kind {
        integration: "llm_as_a_judge",
        keys: "guardrail.judge",
        build: remote::model,
    },
    Kind {
        integration: "llama_guard",
        keys: "guardrail.judge",
        build: remote::model,
    },
    Kind {
        integration: "litellm_content_filter",
        keys: "guardrail.litellm_content_filter",
        build: content_filter::build,
    },
    Kind {
        integration: "presidio",
        keys: "guardrail.presidio",
        build: pii::build,
    },
    Kind {
        integration: "hide-secrets",
        keys: "guardrail.hide-secrets",
        build: secrets::build,
    },
    Kind {
        integration: "detect_prompt_injection",
        keys: "guardrail.detect_prompt_injection",
        build: injection::build,
    },
    Kind {
        integration: "prompt_leak",
        keys: "guardrail.prompt_leak",
        build: prompt_leak::build,
    },
    Kind {
        integration: "tool_permission",
        keys: "guardrail.tool_permission",
        build: tools::build,
    },
    Kind {
        integration: "text_limits",
        keys: "guardrail.text_limits",
        build: shape::limits,
    },
    Kind {
        integration: "insecure_code",
        keys: "guardrail.insecure_code",
        build: shape::code,
    },
];

/// The kind of a name.
pub(crate) fn kind(integration: &str) -> Option<&'static Kind> {
    // LiteLLM writes it both ways.
    let integration = match integration {
        "hide_secrets" => "hide-secrets",
        other => other,
    };
    KINDS.iter().find(|kind| kind.integration == integration)
}

/// What a kind reads its parameters from.
pub(crate) struct Reading<'r, 'n> {
    /// Name of the guardrail.
    pub(crate) name: &'r str,
    /// Its `litellm_params`.
    pub(crate) params: &'r Section<'n>,
    /// When it runs.
    pub(crate) modes: Modes,
    /// The folder that relative paths count from.
    pub(crate) folder: &'r Path,
    pub(crate) files: &'r dyn Files,
    /// Named values beside the file.
    pub(crate) variables: &'r Variables<'r>,
    /// Which addresses may be dialled: a service that the configuration names is added.
    pub(crate) egress: &'r mut Egress,
    /// Models and groups of the configuration.
    pub(crate) models: &'r policy::Router<Arc<Deployment>>,
    pub(crate) table: &'r Table,
    /// Longest time of a call.
    pub(crate) timeout: Duration,
    pub(crate) report: &'r mut Report,
    /// Parts that are asked for and not built: calls that select the guardrail answer 503.
    pub(crate) missing: Vec<String>,
    /// The words of a content filter, for those who ask the configuration.
    pub(crate) words: Option<crate::config::Words>,
    /// Content of files that were read, for the digest of the configuration.
    pub(crate) read: Vec<(String, [u8; 32])>,
    /// Deployments that only this guardrail uses.
    pub(crate) own: Vec<Arc<Deployment>>,
}

impl Reading<'_, '_> {
    /// Says what is wrong with a key.
    pub(crate) fn problem(&mut self, key: &str, message: impl Into<String>) {
        let (place, path) = (self.params.place_of(key), self.params.path_of(key));
        self.report.problem(&place, &path, message);
    }

    /// Says that a key is read and has no effect, which is no loss of protection.
    pub(crate) fn inactive(&mut self, key: &str, message: &str) {
        let (place, path) = (self.params.place_of(key), self.params.path_of(key));
        self.report
            .state(&place, &path, KeyState::AcceptedInactive, message);
    }

    /// Says that a key asks for a part that is not built: calls that select the guardrail are refused.
    pub(crate) fn not_built(&mut self, key: &str, why: &str) {
        let message =
            format!("{why}; calls that select this guardrail answer 503 check_not_available");
        self.inactive(key, &message);
        self.missing.push(key.to_owned());
    }

    /// Numbers from 0 to 1 by name.
    pub(crate) fn shares(&mut self, key: &str) -> BTreeMap<String, f64> {
        let section = self.params.section(key, self.report);
        let mut found = BTreeMap::new();
        for entry in section.entries() {
            let share = match &entry.value.value {
                yaml::Value::Text(text) => text.trim().parse::<f64>().ok(),
                _ => None,
            };
            match share.filter(|share| (0.0..=1.0).contains(share)) {
                Some(share) => {
                    found.insert(entry.key.clone(), share);
                }
                None => {
                    let path = section.path_of(&entry.key);
                    let message = "expected a number from 0 to 1";
                    self.report.problem(&entry.place, &path, message);
                }
            }
        }
        found
    }

    /// The file that a key names, read; its content becomes part of the digest of the configuration.
    pub(crate) fn file(&mut self, key: &str) -> Option<Vec<u8>> {
        let name = self.params.text(key, self.report)?;
        match self.open(name) {
            Ok(bytes) => Some(bytes),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    /// The same by its name.
    pub(crate) fn open(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let bytes = self.files.read(&self.folder.join(name));
        let bytes = bytes.map_err(|error| format!("cannot read `{name}`: {}", error.kind()))?;
        self.read
            .push((name.to_owned(), *blake3::hash(&bytes).as_bytes()));
        Ok(bytes)
    }
}
