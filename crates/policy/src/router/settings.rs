//! What the configuration says about choosing, repeating and giving up. Times are microseconds.

use std::collections::BTreeMap;

use super::class::FailureClass;
use super::window::SECOND;

/// How one of several usable deployments is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// At random, by weight.
    #[default]
    SimpleShuffle,
    /// The one with the fewest calls in flight.
    LeastBusy,
    /// The one that answered fastest lately.
    Latency,
    /// The one with the lowest price per token.
    Cost,
    /// The one with the fewest tokens in the last minute.
    Usage,
}

impl Strategy {
    /// LiteLLM's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SimpleShuffle => "simple-shuffle",
            Self::LeastBusy => "least-busy",
            Self::Latency => "latency-based-routing",
            Self::Cost => "cost-based-routing",
            Self::Usage => "usage-based-routing",
        }
    }
}

/// A number for each class of failures; classes that are not named have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerClass([Option<u32>; FailureClass::COUNT]);

impl PerClass {
    /// Sets the number of a class.
    pub fn set(&mut self, class: FailureClass, number: u32) {
        if let Some(slot) = self.0.get_mut(class.index()) {
            *slot = Some(number);
        }
    }

    /// The number of a class, if it is named.
    #[must_use]
    pub fn get(&self, class: FailureClass) -> Option<u32> {
        self.0.get(class.index()).copied().flatten()
    }

    /// Whether no class is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Groups that serve when a group cannot, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FallbackLists {
    by_group: BTreeMap<String, Vec<String>>,
}

impl FallbackLists {
    /// Adds the list of a group; `*` stands for every group without one.
    pub fn add(&mut self, group: &str, fallbacks: Vec<String>) {
        self.by_group.insert(group.to_owned(), fallbacks);
    }

    /// The list of the first of `names` that has one, else that of `*`.
    #[must_use]
    pub fn of(&self, names: &[&str]) -> Option<&[String]> {
        if self.by_group.is_empty() {
            return None;
        }
        let named = names.iter().find_map(|name| self.by_group.get(*name));
        named.or_else(|| self.by_group.get("*")).map(Vec::as_slice)
    }

    /// Groups with their lists, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.by_group
            .iter()
            .map(|(group, list)| (group.as_str(), list.as_slice()))
    }
}

/// All settings of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a deployment is chosen.
    pub strategy: Strategy,
    /// With [`Strategy::Latency`]: how much slower than the fastest still counts as fast, in thousandths of its latency.
    pub latency_buffer: u32,
    /// With [`Strategy::Latency`]: age from which a measured latency is forgotten.
    pub latency_ttl: u64,
    /// Repetitions of a failed attempt inside one group.
    pub retries: u32,
    /// Repetitions by class of the failure; wins over `retries`.
    pub retry_policy: PerClass,
    /// The same for one group; wins over `retry_policy`.
    pub group_retry_policy: BTreeMap<String, PerClass>,
    /// Least wait before a repetition.
    pub least_wait: u64,
    /// Longest wait before a repetition, whatever the provider's `Retry-After` says.
    pub longest_wait: u64,
    /// Repetitions in a minute, in percent of the calls of the group in that minute.
    pub budget_percent: u32,
    /// Repetitions in a minute that are always allowed.
    pub budget_floor: u32,
    /// How long a deployment that fails is left alone.
    pub cooldown: u64,
    /// Failures in a minute that do not cool down, when the configuration names a number; without one the rate decides.
    pub allowed_fails: Option<u32>,
    /// The same by class.
    pub allowed_fails_policy: PerClass,
    /// Whether no deployment ever cools down.
    pub no_cooldowns: bool,
    /// Fallbacks after any failure.
    pub fallbacks: FallbackLists,
    /// Fallbacks when the prompt is too long; `fallbacks` where a group has none here.
    pub context_window_fallbacks: FallbackLists,
    /// Fallbacks when a content policy refused; `fallbacks` where a group has none here.
    pub content_policy_fallbacks: FallbackLists,
    /// Fallbacks of every group that has none of its own.
    pub default_fallbacks: Vec<String>,
    /// Groups after the first one that a call may go to.
    pub max_fallbacks: u32,
    /// Whether deployments are passed over whose context window is too small for the prompt.
    pub context_check: bool,
    /// Whether tags of the request choose deployments.
    pub tag_filtering: bool,
    /// Whether one common tag is enough; else the deployment must have all of the request's.
    pub match_any_tag: bool,
    /// Whether `rpm` and `tpm` of a deployment are limits, and not only weights.
    pub enforce_limits: bool,
}

/// Failures and answers in the window from which on a rate means something.
pub(super) const LEAST_TRAFFIC: u64 = 5;
/// The same for the only deployment of a group, which is cooled down when every call fails.
pub(super) const LEAST_TRAFFIC_ALONE: u64 = 1_000;
/// Longest cooldown that a provider's `Retry-After` can bring about.
pub(super) const LONGEST_COOLDOWN: u64 = 60 * SECOND;
/// First wait before a repetition at a deployment that just failed; doubled each time.
pub(super) const FIRST_WAIT: u64 = SECOND / 2;
/// Longest wait that doubling leads to.
pub(super) const LONGEST_BACKOFF: u64 = 8 * SECOND;

impl Default for Settings {
    /// LiteLLM's defaults where it has the setting.
    fn default() -> Self {
        Self {
            strategy: Strategy::SimpleShuffle,
            latency_buffer: 0,
            latency_ttl: 3_600 * SECOND,
            retries: 2,
            retry_policy: PerClass::default(),
            group_retry_policy: BTreeMap::new(),
            least_wait: 0,
            longest_wait: 30 * SECOND,
            budget_percent: 20,
            budget_floor: 30,
            cooldown: 5 * SECOND,
            allowed_fails: None,
            allowed_fails_policy: PerClass::default(),
            no_cooldowns: false,
            fallbacks: FallbackLists::default(),
            context_window_fallbacks: FallbackLists::default(),
            content_policy_fallbacks: FallbackLists::default(),
            default_fallbacks: Vec::new(),
            max_fallbacks: 5,
            context_check: false,
            tag_filtering: false,
            match_any_tag: true,
            enforce_limits: true,
        }
    }
}

impl Settings {
    /// Repetitions after a failure of this class in this group, and whether a policy names the class.
    pub(super) fn retries_after(
        &self,
        group: &str,
        class: FailureClass,
        own: Option<u32>,
    ) -> (u32, bool) {
        let of_group = self
            .group_retry_policy
            .get(group)
            .and_then(|policy| policy.get(class));
        match of_group.or_else(|| self.retry_policy.get(class)) {
            Some(number) => (number, true),
            None => (own.unwrap_or(self.retries), false),
        }
    }

    /// The groups to go to after a failure of a class that has fallbacks of its own.
    fn special(&self, names: &[&str], class: FailureClass) -> Option<&[String]> {
        match class {
            FailureClass::ContextWindow => self.context_window_fallbacks.of(names),
            FailureClass::ContentPolicy => self.content_policy_fallbacks.of(names),
            _ => None,
        }
    }

    /// Whether a group has fallbacks for failures of this class alone.
    pub(super) fn has_special(&self, names: &[&str], class: FailureClass) -> bool {
        self.special(names, class).is_some()
    }

    /// The groups to go to after a failure.
    pub(super) fn fallbacks_after(&self, names: &[&str], class: FailureClass) -> &[String] {
        self.special(names, class)
            .or_else(|| self.fallbacks.of(names))
            .unwrap_or(&self.default_fallbacks)
    }
}
