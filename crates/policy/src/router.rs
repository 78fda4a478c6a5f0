//! Which deployment serves a call.

use std::collections::BTreeMap;

/// A deployment as the router sees it: an opaque value with a weight.
#[derive(Clone, Debug)]
pub struct Target<D> {
    /// What the gateway calls.
    pub deployment: D,
    /// Share among the deployments of the same tier; 0 is never drawn unless
    /// nothing else is left.
    pub weight: u64,
    /// Tier: the lowest that has a usable deployment serves.
    pub order: u32,
}

/// Why a deployment of the group was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Another deployment was drawn.
    NotDrawn,
    /// A lower tier has a usable deployment.
    HigherTier,
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
            Self::HigherTier => "a lower order has a usable deployment",
            Self::ProviderNotBuilt => "provider is not available",
            Self::OtherMode => "deployment serves another kind of call",
        }
    }
}

/// One deployment that was looked at.
#[derive(Debug)]
pub struct Considered<'r, D> {
    /// The deployment.
    pub deployment: &'r D,
    /// Why it was not taken; nothing for the one that was.
    pub rejected: Option<Rejection>,
}

/// The outcome of a choice.
#[derive(Debug)]
pub struct Choice<'r, D> {
    /// The deployment to call.
    pub deployment: &'r D,
    /// The model group that serves, after aliases.
    pub group: &'r str,
    /// What the `*` of a wildcard group stands for in this call.
    pub wildcard: Option<String>,
    /// All deployments of the group in configured order, the chosen one included.
    pub considered: Vec<Considered<'r, D>>,
}

/// Why no deployment serves.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No group, alias or wildcard has this name.
    #[error("no model group has this name")]
    UnknownModel,
    /// The group exists, but each of its deployments was rejected for the reason given.
    #[error("no deployment of the group can serve: {}", .0.as_str())]
    NoneUsable(Rejection),
}

#[derive(Debug)]
struct Wildcard<D> {
    name: String,
    targets: Vec<Target<D>>,
}

#[derive(Clone, Debug)]
struct Alias {
    group: String,
    hidden: bool,
}

/// A group's name, its deployments, and what its `*` stands for.
type Found<'r, D> = (&'r str, &'r [Target<D>], Option<String>);

/// Model groups, aliases and wildcards. Immutable once built.
#[derive(Debug)]
pub struct Router<D> {
    groups: BTreeMap<String, Vec<Target<D>>>,
    /// Longest literal part first.
    wildcards: Vec<Wildcard<D>>,
    aliases: BTreeMap<String, Alias>,
}

/// Collects deployments and aliases for a [`Router`].
#[derive(Debug)]
pub struct RouterBuilder<D> {
    groups: BTreeMap<String, Vec<Target<D>>>,
    aliases: BTreeMap<String, Alias>,
}

impl<D> Default for RouterBuilder<D> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            aliases: BTreeMap::new(),
        }
    }
}

impl<D> RouterBuilder<D> {
    /// Adds a deployment to a group. A group whose name holds one `*` serves
    /// every name that fits.
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

    /// Whether a group of exactly this name exists.
    #[must_use]
    pub fn has_group(&self, group: &str) -> bool {
        self.groups.contains_key(group)
    }

    /// The finished router.
    #[must_use]
    pub fn build(self) -> Router<D> {
        let (wild, groups): (BTreeMap<_, _>, BTreeMap<_, _>) = self
            .groups
            .into_iter()
            .partition(|(name, _)| name.contains('*'));
        let mut wildcards: Vec<_> = wild
            .into_iter()
            .map(|(name, targets)| Wildcard { name, targets })
            .collect();
        wildcards.sort_by(|a, b| b.name.len().cmp(&a.name.len()).then(a.name.cmp(&b.name)));
        Router {
            groups,
            wildcards,
            aliases: self.aliases,
        }
    }
}

impl<D> Router<D> {
    /// Chooses a deployment for the model a client named.
    ///
    /// `judge` says for each deployment of the group why it cannot serve, if so.
    /// `draw` is a uniformly random number from the caller; among the usable
    /// deployments of the lowest order it picks by weight.
    ///
    /// # Errors
    /// [`RouteError`] when the name is unknown or nothing can serve it.
    pub fn choose(
        &self,
        model: &str,
        draw: u64,
        judge: impl Fn(&D) -> Option<Rejection>,
    ) -> Result<Choice<'_, D>, RouteError> {
        let (group, targets, wildcard) = self.find(model).ok_or(RouteError::UnknownModel)?;
        let verdicts: Vec<Option<Rejection>> =
            targets.iter().map(|t| judge(&t.deployment)).collect();
        let tier = targets
            .iter()
            .zip(&verdicts)
            .filter(|(_, verdict)| verdict.is_none())
            .map(|(target, _)| target.order)
            .min();
        let Some(tier) = tier else {
            let first = verdicts.iter().flatten().next().copied();
            return Err(first.map_or(RouteError::UnknownModel, RouteError::NoneUsable));
        };
        let usable = |(index, target): (usize, &Target<D>)| {
            let open = verdicts.get(index).is_some_and(Option::is_none);
            (open && target.order == tier).then_some((index, target.weight))
        };
        let usable: Vec<(usize, u64)> = targets.iter().enumerate().filter_map(usable).collect();
        let chosen = draw_by_weight(&usable, draw).ok_or(RouteError::UnknownModel)?;
        let mut deployment = None;
        let mut considered = Vec::with_capacity(targets.len());
        for (index, (target, verdict)) in targets.iter().zip(verdicts).enumerate() {
            let rejected = if index == chosen {
                deployment = Some(&target.deployment);
                None
            } else if target.order > tier {
                verdict.or(Some(Rejection::HigherTier))
            } else {
                verdict.or(Some(Rejection::NotDrawn))
            };
            considered.push(Considered {
                deployment: &target.deployment,
                rejected,
            });
        }
        Ok(Choice {
            deployment: deployment.ok_or(RouteError::UnknownModel)?,
            group,
            wildcard,
            considered,
        })
    }

    /// Whether a name leads to a group.
    #[must_use]
    pub fn knows(&self, model: &str) -> bool {
        self.find(model).is_some()
    }

    /// The names to list: groups, wildcards and aliases that are not hidden, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let shown = self.aliases.iter().filter(|(_, alias)| !alias.hidden);
        let mut names: Vec<&str> = self
            .groups
            .keys()
            .map(String::as_str)
            .chain(self.wildcards.iter().map(|w| w.name.as_str()))
            .chain(shown.map(|(name, _)| name.as_str()))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Every deployment with its group, sorted by group.
    pub fn deployments(&self) -> impl Iterator<Item = (&str, &D)> {
        let groups = self.groups.iter().map(|(name, t)| (name.as_str(), t));
        let wildcards = self.wildcards.iter().map(|w| (w.name.as_str(), &w.targets));
        groups
            .chain(wildcards)
            .flat_map(|(name, targets)| targets.iter().map(move |t| (name, &t.deployment)))
    }

    fn find(&self, model: &str) -> Option<Found<'_, D>> {
        // A group wins over an alias of the same name; an alias leads one step.
        let name = match self.aliases.get(model) {
            Some(alias) if !self.groups.contains_key(model) => alias.group.as_str(),
            _ => model,
        };
        if let Some((group, targets)) = self.groups.get_key_value(name) {
            return Some((group, targets, None));
        }
        self.wildcards.iter().find_map(|wildcard| {
            let part = fits(&wildcard.name, name)?;
            Some((
                wildcard.name.as_str(),
                wildcard.targets.as_slice(),
                Some(part.to_owned()),
            ))
        })
    }
}

/// What the first `*` of the pattern stands for in the name; never nothing.
fn fits<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    let (head, tail) = pattern.split_once('*')?;
    let part = name.strip_prefix(head)?.strip_suffix(tail)?;
    (!part.is_empty()).then_some(part)
}

fn draw_by_weight(usable: &[(usize, u64)], draw: u64) -> Option<usize> {
    let total: u64 = usable.iter().fold(0, |sum, (_, w)| sum.saturating_add(*w));
    if total == 0 {
        let count = u64::try_from(usable.len()).ok()?;
        let index = usize::try_from(draw.checked_rem(count)?).ok()?;
        return usable.get(index).map(|(index, _)| *index);
    }
    let mut left = draw % total;
    for (index, weight) in usable {
        if left < *weight {
            return Some(*index);
        }
        left -= *weight;
    }
    None
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
