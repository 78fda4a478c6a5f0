//! The checks that are configured, and which of them a call selects.

use std::sync::Arc;

use guard::BlockedWords;

use crate::config::{Config, Guardrail, InactiveChecks, WordAction};
use crate::error::Error;

/// One configured check that is built.
pub(crate) struct Check {
    pub(crate) name: Arc<str>,
    pub(crate) words: BlockedWords,
    default_on: bool,
    /// Runs on the request before it is sent, and may edit it.
    pub(crate) pre_call: bool,
    /// Judges the request; may block, does not edit.
    pub(crate) during_call: bool,
    /// Runs on the answer, and may edit it.
    pub(crate) post_call: bool,
    /// Only looks.
    pub(crate) logging_only: bool,
}

/// All checks of a configuration.
#[derive(Default)]
pub(crate) struct Checks {
    built: Vec<Arc<Check>>,
}

/// The checks of one call, in configured order.
#[derive(Clone, Default)]
pub(crate) struct Selected {
    pub(crate) checks: Vec<Arc<Check>>,
    /// Selected, not built, let pass by `sealgate.inactive_checks: pass`: name and reason.
    pub(crate) not_run: Vec<(Arc<str>, &'static str)>,
}

/// A check could not be built from its configuration.
#[derive(Debug, thiserror::Error)]
#[error("guardrail `{name}`: {reason}")]
pub struct BuildError {
    name: String,
    reason: String,
}

/// Why a check that is configured but not built did not run; the only reason there is.
const NOT_BUILT: &str = "not available in this version";

impl Checks {
    /// Builds every check that the configuration holds and this version can run.
    pub(crate) fn build(config: &Config) -> Result<Self, BuildError> {
        let mut built = Vec::new();
        for guardrail in &config.guardrails {
            if let Some(words) = words(guardrail)? {
                built.push(Arc::new(Check {
                    name: Arc::from(guardrail.name.as_str()),
                    words,
                    default_on: guardrail.default_on,
                    pre_call: guardrail.modes.pre_call,
                    during_call: guardrail.modes.during_call,
                    post_call: guardrail.modes.post_call,
                    logging_only: guardrail.modes.logging_only,
                }));
            }
        }
        Ok(Self { built })
    }

    /// The checks of a call: all that are on by default, and those it names. Naming can only add.
    ///
    /// # Errors
    /// An unknown name; a selected check that is not built, unless the configuration lets such calls pass.
    pub(crate) fn select(&self, config: &Config, named: &[String]) -> Result<Selected, Error> {
        for name in named {
            if config.guardrail(name).is_none() {
                return Err(Error::UnknownGuardrail(name.chars().take(100).collect()));
            }
        }
        let is_named = |name: &str| named.iter().any(|other| other == name);
        let missing: Vec<Arc<str>> = config
            .always_selected_missing()
            .map(|missing| Arc::from(missing.name))
            .chain(
                config
                    .guardrails
                    .iter()
                    .filter(|guardrail| {
                        !guardrail.default_on
                            && is_named(&guardrail.name)
                            && !guardrail.missing.is_empty()
                    })
                    .map(|guardrail| Arc::from(guardrail.name.as_str())),
            )
            .collect();
        if let Some(first) = missing.first()
            && config.inactive_checks == InactiveChecks::Refuse
        {
            return Err(Error::CheckNotAvailable {
                check: first.to_string(),
            });
        }
        Ok(Selected {
            checks: self
                .built
                .iter()
                .filter(|check| check.default_on || is_named(&check.name))
                .cloned()
                .collect(),
            not_run: missing.into_iter().map(|name| (name, NOT_BUILT)).collect(),
        })
    }
}

fn words(guardrail: &Guardrail) -> Result<Option<BlockedWords>, BuildError> {
    let Some(words) = &guardrail.words else {
        return Ok(None);
    };
    let entries = words.entries.iter().map(|entry| guard::Word {
        keyword: entry.keyword.clone(),
        action: match entry.action {
            WordAction::Block => guard::Action::Block,
            WordAction::Mask => guard::Action::Mask,
        },
        description: entry.description.clone(),
    });
    BlockedWords::new(&guardrail.name, entries.collect(), Some(&words.tag))
        .map(Some)
        .map_err(|error| BuildError {
            name: guardrail.name.clone(),
            reason: error.to_string(),
        })
}
