//! Which deployment serves a call, and what comes after a failed attempt.
//!
//! Pure: times are microseconds of a monotonic clock that the caller reads, random numbers are arguments. The configured
//! part ([`Router`]) does not change; what is learned from traffic ([`Health`]) is shared by all calls and goes over to the
//! router that a reload builds. A call has a [`Course`]: [`Router::begin`] chooses its first deployment, [`Router::next`] the
//! one after a failure, and [`Router::failed`] and [`Lease::answered`] teach the deployment's health.

mod choose;
mod class;
mod course;
mod health;
mod settings;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use class::FailureClass;
pub use course::{Ask, Considered, Course, Pick, Step};
pub use health::{Failure, Health, HealthView, Lease, RetryBudget, Sample};
pub use settings::{FallbackLists, PerClass, Settings, Strategy};

use health::CooldownRule;

/// What a deployment takes at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetLimits {
    /// Calls at the same time.
    pub parallel: Option<u32>,
    /// Requests in any minute.
    pub rpm: Option<u64>,
    /// Tokens in any minute, in and out.
    pub tpm: Option<u64>,
    /// Tokens of prompts in any minute.
    pub itpm: Option<u64>,
    /// Tokens of answers in any minute.
    pub otpm: Option<u64>,
}

impl TargetLimits {
    /// Whether anything is counted by the minute.
    #[must_use]
    pub fn by_minute(&self) -> bool {
        self.rpm.is_some() || self.counts_tokens()
    }

    /// Whether tokens are limited.
    #[must_use]
    pub fn counts_tokens(&self) -> bool {
        self.tpm.is_some() || self.itpm.is_some() || self.otpm.is_some()
    }
}

/// A deployment as the router sees it: an opaque value and what choosing needs to know.
#[derive(Clone, Debug)]
pub struct Target<D> {
    /// What the gateway calls.
    pub deployment: D,
    /// Share among the deployments of the same tier; 0 is never drawn unless nothing else is left.
    pub weight: u64,
    /// Tier: the lowest that has a usable deployment serves.
    pub order: u32,
    /// Limits that are enforced.
    pub limits: TargetLimits,
    /// Tags that requests choose by; `default` stands for requests without a matching one.
    pub tags: Vec<String>,
    /// Price of one token in and one out in pico-dollars, if both are known.
    pub price: Option<u64>,
    /// Longest prompt in tokens.
    pub max_input: Option<u64>,
    /// Repetitions after a failure of this deployment; wins over the router's number.
    pub retries: Option<u32>,
    /// Microseconds for which it cools down; wins over the router's time.
    pub cooldown: Option<u64>,
    /// Failures in a minute that do not cool it down; wins over the router's number.
    pub allowed_fails: Option<u32>,
    /// What is learned about it.
    pub health: Arc<Health>,
}

impl<D> Target<D> {
    /// A deployment of the lowest tier with weight 1 and no limits.
    #[must_use]
    pub fn new(deployment: D) -> Self {
        Self {
            deployment,
            weight: 1,
            order: 0,
            limits: TargetLimits::default(),
            tags: Vec::new(),
            price: None,
            max_input: None,
            retries: None,
            cooldown: None,
            allowed_fails: None,
            health: Arc::default(),
        }
    }
}

/// Why a deployment did not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rejection {
    /// Another deployment was drawn.
    NotDrawn,
    /// Another deployment has fewer calls in flight.
    Busier,
    /// Another deployment answered faster lately.
    Slower,
    /// Another deployment is cheaper.
    Costlier,
    /// Another deployment had fewer tokens in the last minute.
    MoreUsed,
    /// A lower tier has a usable deployment.
    HigherTier,
    /// It was tried in this call and failed.
    Failed(FailureClass),
    /// It failed too often and is left alone for a while.
    CoolingDown,
    /// Its requests per minute are used up.
    RequestLimit,
    /// Its tokens per minute are used up.
    TokenLimit,
    /// It has as many calls in flight as it takes.
    ParallelLimit,
    /// Its budget, or its provider's, has no room for the call.
    Budget,
    /// The prompt is longer than it takes.
    ContextWindow,
    /// Its tags are not those of the request.
    TagMismatch,
    /// The caller may not use its model group.
    NotPermitted,
    /// It does not hold what the request refers to.
    NotHolder,
    /// It could serve, but no repetition was allowed: the retry budget or the time was used up.
    NoRepetition,
    /// Its provider is not built.
    ProviderNotBuilt,
    /// It does not serve this kind of call.
    OtherMode,
}

impl Rejection {
    /// The reason as it stands in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotDrawn => "another deployment was drawn",
            Self::Busier => "another deployment is less busy",
            Self::Slower => "another deployment is faster",
            Self::Costlier => "another deployment is cheaper",
            Self::MoreUsed => "another deployment is less used",
            Self::HigherTier => "a lower order has a usable deployment",
            Self::Failed(class) => class.as_rejection(),
            Self::CoolingDown => "cooling down after failures",
            Self::RequestLimit => "requests per minute are used up",
            Self::TokenLimit => "tokens per minute are used up",
            Self::ParallelLimit => "parallel requests are used up",
            Self::Budget => "its budget has no room for the call",
            Self::ContextWindow => "the prompt is longer than it takes",
            Self::TagMismatch => "its tags are not those of the request",
            Self::NotPermitted => "the caller may not use its model group",
            Self::NotHolder => "it does not hold what the request refers to",
            Self::NoRepetition => "no repetition was allowed",
            Self::ProviderNotBuilt => "provider is not available",
            Self::OtherMode => "deployment serves another kind of call",
        }
    }

    /// Which of several reasons names a group that cannot serve: what passes with time comes first.
    const fn rank(self) -> u8 {
        match self {
            Self::CoolingDown => 0,
            Self::RequestLimit => 1,
            Self::TokenLimit => 2,
            Self::ParallelLimit => 3,
            Self::Budget => 4,
            Self::Failed(_) => 5,
            Self::ContextWindow => 6,
            Self::TagMismatch => 7,
            Self::NotPermitted => 8,
            Self::ProviderNotBuilt => 9,
            _ => 10,
        }
    }
}

/// Why no deployment serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No group, alias or wildcard has this name.
    #[error("no model group has this name")]
    UnknownModel,
    /// The group exists, but each of its deployments was rejected.
    #[error("no deployment of the group can serve: {}", .reason.as_str())]
    NoneUsable {
        /// The reason that says most.
        reason: Rejection,
        /// When a deployment may be usable again, for reasons that pass.
        retry_at: Option<u64>,
    },
}

#[derive(Debug)]
struct Group<D> {
    name: String,
    targets: Vec<Target<D>>,
    budget: Arc<RetryBudget>,
}

#[derive(Clone, Debug)]
struct Alias {
    group: String,
    hidden: bool,
}

/// A group, and what its `*` stands for in a name.
struct Found<'r, D> {
    index: usize,
    group: &'r Group<D>,
    wildcard: Option<String>,
}

/// Model groups, aliases, wildcards and settings. Immutable once built.
#[derive(Debug)]
pub struct Router<D> {
    /// Plain names sorted, then patterns, longest first.
    groups: Vec<Group<D>>,
    by_name: HashMap<String, usize>,
    /// Index of the first pattern.
    patterns: usize,
    aliases: BTreeMap<String, Alias>,
    settings: Settings,
    counts_tokens: bool,
}

/// Collects deployments and aliases for a [`Router`].
#[derive(Debug)]
pub struct RouterBuilder<D> {
    groups: BTreeMap<String, Vec<Target<D>>>,
    aliases: BTreeMap<String, Alias>,
    settings: Settings,
}

impl<D> Default for RouterBuilder<D> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            aliases: BTreeMap::new(),
            settings: Settings::default(),
        }
    }
}

impl<D> RouterBuilder<D> {
    /// Adds a deployment to a group. A group whose name holds one `*` serves every name that fits.
    pub fn deployment(&mut self, group: &str, target: Target<D>) {
        self.groups
            .entry(group.to_owned())
            .or_default()
            .push(target);
    }

    /// Adds another name for a group; hidden ones are not listed.
    pub fn alias(&mut self, alias: &str, group: &str, hidden: bool) {
        let group = group.to_owned();
        self.aliases
            .insert(alias.to_owned(), Alias { group, hidden });
    }

    /// How deployments are chosen and failures treated.
    pub fn settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Whether a group of exactly this name exists.
    #[must_use]
    pub fn has_group(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// The finished router.
    #[must_use]
    pub fn build(self) -> Router<D> {
        let (wild, plain): (Vec<_>, Vec<_>) = self
            .groups
            .into_iter()
            .partition(|(name, _)| name.contains('*'));
        let patterns = plain.len();
        let mut wild = wild;
        wild.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then(a.cmp(b)));
        let groups: Vec<Group<D>> = plain
            .into_iter()
            .chain(wild)
            .map(|(name, targets)| Group {
                name,
                targets,
                budget: Arc::default(),
            })
            .collect();
        let by_name = groups
            .iter()
            .enumerate()
            .map(|(index, group)| (group.name.clone(), index))
            .collect();
        let mut targets = groups.iter().flat_map(|group| &group.targets);
        let counts_tokens = self.settings.context_check
            || self.settings.strategy == Strategy::Usage
            || targets.any(|target| target.limits.counts_tokens());
        Router {
            counts_tokens,
            groups,
            by_name,
            patterns,
            aliases: self.aliases,
            settings: self.settings,
        }
    }
}

impl<D> Router<D> {
    /// How deployments are chosen and failures treated.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether a choice reads the tokens of a call: [`Ask::prompt_tokens`] and [`Ask::tokens`] may be 0 otherwise.
    #[must_use]
    pub fn counts_tokens(&self) -> bool {
        self.counts_tokens
    }

    /// Whether a name leads to a group.
    #[must_use]
    pub fn knows(&self, model: &str) -> bool {
        self.find(model).is_some()
    }

    /// The group that a name leads to, after aliases.
    #[must_use]
    pub fn group_of(&self, model: &str) -> Option<&str> {
        self.find(model).map(|found| found.group.name.as_str())
    }

    /// The deployments behind a name, in configured order.
    pub fn behind(&self, model: &str) -> impl Iterator<Item = &Target<D>> {
        self.find(model)
            .into_iter()
            .flat_map(|found| &found.group.targets)
    }

    /// The names to list: groups, wildcards and aliases that are not hidden, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let shown = self.aliases.iter().filter(|(_, alias)| !alias.hidden);
        let mut names: Vec<&str> = self
            .groups
            .iter()
            .map(|group| group.name.as_str())
            .chain(shown.map(|(name, _)| name.as_str()))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Every deployment with its group, sorted by group.
    pub fn deployments(&self) -> impl Iterator<Item = (&str, &D)> {
        self.targets()
            .map(|(group, target)| (group, &target.deployment))
    }

    /// Every target with its group, sorted by group.
    pub fn targets(&self) -> impl Iterator<Item = (&str, &Target<D>)> {
        self.groups
            .iter()
            .flat_map(|group| group.targets.iter().map(|t| (group.name.as_str(), t)))
    }

    /// Takes over what `old` learned: deployments are the same when group and id are.
    pub fn inherit(&mut self, old: &Self, id: impl Fn(&D) -> &str) {
        let known: HashMap<(&str, &str), &Arc<Health>> = old
            .targets()
            .map(|(group, target)| ((group, id(&target.deployment)), &target.health))
            .collect();
        for group in &mut self.groups {
            if let Some(index) = old.by_name.get(&group.name)
                && let Some(same) = old.groups.get(*index)
            {
                group.budget = Arc::clone(&same.budget);
            }
            for target in &mut group.targets {
                if let Some(health) = known.get(&(group.name.as_str(), id(&target.deployment))) {
                    target.health = Arc::clone(health);
                }
            }
        }
    }

    fn find(&self, model: &str) -> Option<Found<'_, D>> {
        let at = |index: usize, wildcard| {
            self.groups.get(index).map(|group| Found {
                index,
                group,
                wildcard,
            })
        };
        let plain = |name: &str| {
            self.by_name
                .get(name)
                .filter(|index| **index < self.patterns)
        };
        if let Some(index) = plain(model) {
            return at(*index, None);
        }
        // A group wins over an alias of the same name; an alias leads one step.
        let name = self
            .aliases
            .get(model)
            .map_or(model, |alias| alias.group.as_str());
        if let Some(index) = plain(name) {
            return at(*index, None);
        }
        let patterns = self.groups.iter().enumerate().skip(self.patterns);
        let mut patterns = patterns;
        patterns.find_map(|(index, group)| {
            let part = fits(&group.name, name)?;
            at(index, Some(part.to_owned()))
        })
    }

    fn rule<'s>(&'s self, group: &Group<D>, target: &Target<D>) -> CooldownRule<'s> {
        CooldownRule {
            settings: &self.settings,
            time: target.cooldown.unwrap_or(self.settings.cooldown),
            allowed: target.allowed_fails,
            alone: group.targets.len() == 1,
        }
    }
}

/// What the first `*` of the pattern stands for in the name; never nothing.
fn fits<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    let (head, tail) = pattern.split_once('*')?;
    let part = name.strip_prefix(head)?.strip_suffix(tail)?;
    (!part.is_empty()).then_some(part)
}

#[cfg(test)]
mod tests;
