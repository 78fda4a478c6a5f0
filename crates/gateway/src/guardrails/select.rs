//! The checks that are configured, and which of them a call selects.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use guard::Vault;
use llm::scan::Doc;
use llm::transcript::{Role, Transcript};

use super::{Engine, Local, Own, Remote, Restore};
use crate::config::{Config, Guardrail, InactiveChecks, Modes, Selection};
use crate::digest::{DigestKey, Purpose};
use crate::error::Error;

/// One configured check that is built.
#[derive(Clone)]
pub(crate) struct Check {
    pub(crate) name: Arc<str>,
    pub(crate) engine: Engine,
    default_on: bool,
    pub(crate) modes: Modes,
    selection: Selection,
}

/// What a call is, as far as it selects checks. Nothing of it comes from the body but tags and names, which only add.
pub(crate) struct Selecting<'s> {
    /// Names that the request, its key and its team give.
    pub(crate) named: Vec<String>,
    /// Tags of the request, its key and its team.
    pub(crate) tags: Vec<String>,
    /// Id and alias of the team.
    pub(crate) team: [Option<&'s str>; 2],
    /// Agents that the key is bound to.
    pub(crate) agents: Vec<&'s str>,
    /// The model group.
    pub(crate) group: &'s str,
    /// Model groups that the request names as fallbacks: their checks run too, before anything is sent.
    pub(crate) fallbacks: Vec<String>,
}

impl Selecting<'_> {
    /// `reached`: the model groups at which the call may end.
    fn selects(&self, selection: &Selection, reached: &[&str]) -> bool {
        let tagged = |tag: &String| self.tags.contains(tag);
        selection.tags.iter().any(tagged)
            || selection.modes.iter().any(|(tag, _)| tagged(tag))
            || selection
                .models
                .iter()
                .any(|model| reached.contains(&model.as_str()))
            || selection
                .agents
                .iter()
                .any(|agent| self.agents.contains(&agent.as_str()))
            || selection
                .teams
                .iter()
                .any(|team| self.team.contains(&Some(team.as_str())))
    }

    /// The modes by tag, put together; `None` where no tag says any.
    fn modes(&self, selection: &Selection) -> Option<Modes> {
        let mut all = selection
            .modes
            .iter()
            .filter(|(tag, _)| self.tags.contains(tag));
        let (_, first) = all.next()?;
        Some(all.fold(*first, |modes, (_, more)| Modes {
            pre_call: modes.pre_call || more.pre_call,
            during_call: modes.during_call || more.during_call,
            post_call: modes.post_call || more.post_call,
            logging_only: modes.logging_only || more.logging_only,
        }))
    }
}

impl Check {
    /// Reads the request.
    pub(crate) fn on_request(&self) -> bool {
        self.modes.pre_call || self.modes.during_call || self.modes.logging_only
    }

    /// Reads the answer.
    pub(crate) fn on_answer(&self) -> bool {
        self.modes.post_call || self.modes.logging_only
    }

    /// The check, if it runs here.
    pub(crate) fn local(&self) -> Option<&dyn Local> {
        match &self.engine {
            Engine::Local(local) => Some(local.0.as_ref()),
            Engine::Remote(_) => None,
        }
    }

    /// The check, if it asks a service.
    pub(crate) fn remote(&self) -> Option<&Arc<dyn Remote>> {
        match &self.engine {
            Engine::Local(_) => None,
            Engine::Remote(remote) => Some(&remote.0),
        }
    }

    /// The word of the mode in which it reads requests (or answers).
    pub(crate) fn mode(&self, answer: bool) -> &'static str {
        match (answer, self.modes) {
            (false, Modes { pre_call: true, .. }) => "pre_call",
            (
                false,
                Modes {
                    during_call: true, ..
                },
            ) => "during_call",
            (
                true,
                Modes {
                    post_call: true, ..
                },
            ) => "post_call",
            _ => "logging_only",
        }
    }
}

/// All checks of a configuration.
#[derive(Default)]
pub(crate) struct Checks {
    built: Vec<Arc<Check>>,
    /// Names of the checks that a model group brings, by deployments of its own and of its fallbacks.
    bound: BTreeMap<String, BTreeSet<String>>,
    /// The model groups that a group's calls may end at, itself included; empty where no check is selected by model.
    reached: BTreeMap<String, Vec<String>>,
    by_tag: bool,
}

/// The checks of one call, in configured order.
#[derive(Clone, Default)]
pub(crate) struct Selected {
    pub(crate) checks: Vec<Arc<Check>>,
    /// Selected, not built, let pass by `sealgate.inactive_checks: pass`: name and reason.
    pub(crate) not_run: Vec<(Arc<str>, &'static str)>,
    /// Where masked values wait for the answer, if a selected check gives them back.
    pub(crate) vault: Option<Restoring>,
}

/// The way back of masked values.
#[derive(Clone)]
pub(crate) struct Restoring {
    pub(crate) vault: Arc<Vault>,
    /// The first check that gives values back: it answers for the placeholders.
    pub(crate) check: Arc<str>,
    pub(crate) how: Restore,
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
    /// Takes every check that the configuration built.
    pub(crate) fn build(config: &Config) -> Result<Self, BuildError> {
        let mut built = Vec::new();
        for guardrail in &config.guardrails {
            let Some(engine) = &guardrail.engine else {
                if guardrail.missing.is_empty() {
                    return Err(BuildError {
                        name: guardrail.name.clone(),
                        reason: "it is neither built nor known to be missing".to_owned(),
                    });
                }
                continue;
            };
            built.push(Arc::new(Check {
                name: Arc::from(guardrail.name.as_str()),
                engine: engine.clone(),
                default_on: guardrail.default_on,
                modes: guardrail.modes,
                selection: guardrail.selection.clone(),
            }));
        }
        for check in &built {
            let Some(other) = check
                .remote()
                .and_then(|remote| remote.manner().cascades_from())
            else {
                continue;
            };
            let local = |other: &Guardrail| {
                other
                    .engine
                    .as_ref()
                    .is_some_and(|engine| matches!(engine, Engine::Local(_)))
            };
            if !config.guardrail(other).is_some_and(local) {
                return Err(BuildError {
                    name: check.name.to_string(),
                    reason: format!("its cascade names `{other}`, which is no local guardrail"),
                });
            }
        }
        let by_tag = config
            .guardrails
            .iter()
            .any(|guardrail| guardrail.selection.by_tag());
        let bound = bound(config);
        for (group, names) in &bound {
            if let Some(unknown) = names.iter().find(|name| config.guardrail(name).is_none()) {
                return Err(BuildError {
                    name: unknown.clone(),
                    reason: format!(
                        "a deployment that serves `{group}` names it, and no guardrail has this name"
                    ),
                });
            }
        }
        Ok(Self {
            built,
            bound,
            reached: ways(config),
            by_tag,
        })
    }

    /// The check of a name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Check>> {
        self.built.iter().find(|check| &*check.name == name)
    }

    /// Whether the tags of a call have to be known.
    pub(crate) fn by_tag(&self) -> bool {
        self.by_tag
    }

    /// The checks of a call: all that are on by default, and those it names. Naming can only add.
    ///
    /// # Errors
    /// An unknown name; a selected check that is not built, unless the configuration lets such calls pass.
    pub(crate) fn select(&self, config: &Config, by: &Selecting<'_>) -> Result<Selected, Error> {
        for name in &by.named {
            if config.guardrail(name).is_none() {
                return Err(Error::UnknownGuardrail(name.chars().take(100).collect()));
            }
        }
        if config.guardrails.is_empty() && config.callbacks.is_empty() {
            return Ok(Selected::default());
        }
        let models = &config.models;
        let named = by.fallbacks.iter().map(String::as_str);
        let named = named.map(|name| models.group_of(name).unwrap_or(name));
        let groups: Vec<&str> = named.chain([by.group]).collect();
        let bound: Vec<_> = groups
            .iter()
            .filter_map(|group| self.bound.get(*group))
            .collect();
        let further = groups
            .iter()
            .filter_map(|group| self.reached.get(*group))
            .flatten();
        let mut reached: Vec<&str> = further.map(String::as_str).collect();
        reached.extend(&groups);
        let is_selected = |name: &str, selection: &Selection| {
            by.named.iter().any(|other| other == name)
                || bound.iter().any(|bound| bound.contains(name))
                || by.selects(selection, &reached)
        };
        let missing: Vec<Arc<str>> = config
            .always_selected_missing()
            .map(|missing| Arc::from(missing.name))
            .chain(
                config
                    .guardrails
                    .iter()
                    .filter(|guardrail| {
                        !guardrail.default_on
                            && !guardrail.missing.is_empty()
                            && is_selected(&guardrail.name, &guardrail.selection)
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
        let selected = self
            .built
            .iter()
            .filter(|check| check.default_on || is_selected(&check.name, &check.selection));
        let with_modes = |check: &Arc<Check>| match by.modes(&check.selection) {
            None => check.clone(),
            Some(modes) => Arc::new(Check {
                modes,
                ..Check::clone(check)
            }),
        };
        Ok(Selected {
            checks: selected.map(with_modes).collect(),
            not_run: missing.into_iter().map(|name| (name, NOT_BUILT)).collect(),
            vault: None,
        })
    }
}

/// The checks that each model group brings. A call may end at any deployment of its group or of the fallbacks, so it runs the
/// checks of all of them: what a fallback demands was done before anything was sent.
fn bound(config: &Config) -> BTreeMap<String, BTreeSet<String>> {
    let mut own: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (group, deployment) in config.models.deployments() {
        own.entry(group)
            .or_default()
            .extend(deployment.guardrails.iter().cloned());
    }
    if own.values().all(BTreeSet::is_empty) {
        return BTreeMap::new();
    }
    let mut all = BTreeMap::new();
    for group in own.keys() {
        let reached = reached(config, group);
        let names = reached
            .iter()
            .filter_map(|group| own.get(group))
            .flatten()
            .cloned();
        all.insert((*group).to_owned(), names.collect());
    }
    all
}

/// The model groups at which the calls of each group may end. Empty where no check asks.
fn ways(config: &Config) -> BTreeMap<String, Vec<String>> {
    let by_model = |guardrail: &crate::config::Guardrail| !guardrail.selection.models.is_empty();
    if !config.guardrails.iter().any(by_model) {
        return BTreeMap::new();
    }
    let groups: BTreeSet<&str> = config
        .models
        .deployments()
        .map(|(group, _)| group)
        .collect();
    let ways = groups.into_iter().map(|group| {
        let reached = reached(config, group).into_iter();
        (group.to_owned(), reached.map(str::to_owned).collect())
    });
    ways.collect()
}

/// A group and every group that its fallbacks lead to.
fn reached<'c>(config: &'c Config, group: &'c str) -> Vec<&'c str> {
    let settings = config.models.settings();
    let lists = [
        &settings.fallbacks,
        &settings.context_window_fallbacks,
        &settings.content_policy_fallbacks,
    ];
    let mut reached: Vec<&str> = vec![group];
    let mut at = 0;
    while let Some(next) = reached.get(at).copied() {
        at += 1;
        let listed = lists.iter().filter_map(|list| list.of(&[next])).flatten();
        for name in listed.chain(&settings.default_fallbacks) {
            let name = config.models.group_of(name).unwrap_or(name);
            if !reached.contains(&name) {
                reached.push(name);
            }
        }
    }
    reached
}

impl Selected {
    /// The selected checks that ask a service about requests (or answers).
    pub(crate) fn remote(&self, answer: bool) -> impl Iterator<Item = &Arc<Check>> {
        self.checks.iter().filter(move |check| {
            let reads = match answer {
                true => check.on_answer(),
                false => check.on_request(),
            };
            reads && check.remote().is_some()
        })
    }

    /// Makes ready what belongs to one call: checks that depend on its own texts, and the vault for masked values. `scope`
    /// is whose placeholders are the same: the session, else the key.
    pub(crate) fn prepare(
        &mut self,
        digests: &Arc<DigestKey>,
        (tenant, scope): (&str, &str),
        (doc, transcript): (&Doc, &Transcript),
    ) {
        if self.checks.is_empty() {
            return;
        }
        let said = |role| matches!(role, Role::System | Role::Developer);
        let texts = transcript.texts.iter();
        let instructions: Vec<_> = texts
            .filter(|text| said(text.origin.role))
            .map(|text| text.decode(doc))
            .collect();
        let own = Own {
            instructions: &instructions,
        };
        for check in &mut self.checks {
            if let Some(local) = check.local().and_then(|local| local.for_call(&own)) {
                let engine = Engine::Local(super::LocalEngine(local));
                *check = Arc::new(Check {
                    engine,
                    ..Check::clone(check)
                });
            }
        }
        let restores = |check: &Arc<Check>| {
            let how = match &check.engine {
                Engine::Local(local) => local.0.restores(),
                Engine::Remote(remote) => remote.0.restores(),
            };
            let how = how.filter(|_| check.modes.pre_call)?;
            Some((check.name.clone(), how))
        };
        let mut all = self.checks.iter().filter_map(restores);
        let Some((check, mut how)) = all.next() else {
            return;
        };
        // What one check keeps from tools, another does not give them.
        how.tool_arguments &= all.all(|(_, how)| how.tool_arguments);
        let (digests, tenant, scope) = (digests.clone(), tenant.to_owned(), scope.to_owned());
        let name = move |kind: &str, value: &str| {
            let mut running = digests.begin("", Purpose::Placeholder);
            for part in [&tenant, &scope, kind, value] {
                running.update_item(part);
            }
            let digest = running.finish();
            let first = digest.bytes().first_chunk::<8>().copied();
            u64::from_be_bytes(first.unwrap_or_default())
        };
        self.vault = Some(Restoring {
            vault: Vault::new(Box::new(name)),
            check,
            how,
        });
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check")
            .field("name", &self.name)
            .field("modes", &self.modes)
            .finish_non_exhaustive()
    }
}
