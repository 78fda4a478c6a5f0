//! What is looked for and what is done about it.

use std::collections::{BTreeMap, HashSet};

use super::entity::Entity;
use crate::Action;

/// Lowest score that counts unless configured otherwise.
const DEFAULT_THRESHOLD: u8 = 50;

/// What is done about one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityRule {
    /// What to do.
    pub action: Action,
    /// Lowest score that counts, 0 to 100.
    pub threshold: u8,
}

/// The settings of the check for personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PiiSettings {
    /// The kinds that are looked for.
    pub rules: BTreeMap<Entity, EntityRule>,
    /// Texts that are never reported, exactly as written.
    pub allow: HashSet<String>,
    /// The same for one kind.
    pub allow_of: BTreeMap<Entity, HashSet<String>>,
}

impl Default for PiiSettings {
    /// All kinds that are on by default, masked, from a score of 50.
    fn default() -> PiiSettings {
        PiiSettings::of(Entity::ALL.iter().copied().filter(|e| e.default_on()))
    }
}

impl PiiSettings {
    /// These kinds, masked, from a score of 50.
    #[must_use]
    pub fn of(entities: impl IntoIterator<Item = Entity>) -> PiiSettings {
        let rule = EntityRule {
            action: Action::Mask,
            threshold: DEFAULT_THRESHOLD,
        };
        PiiSettings {
            rules: entities.into_iter().map(|entity| (entity, rule)).collect(),
            allow: HashSet::new(),
            allow_of: BTreeMap::new(),
        }
    }

    /// The same with another action for every kind.
    #[must_use]
    pub fn with_action(mut self, action: Action) -> PiiSettings {
        for rule in self.rules.values_mut() {
            rule.action = action;
        }
        self
    }
}
