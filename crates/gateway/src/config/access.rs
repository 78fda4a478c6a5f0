//! Access groups: names under which administrators put models, so that a list of models may name many at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::Router;

use super::models::Deployment;

/// The access groups of each model group (`model_info.access_groups` of its deployments). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AccessGroups(Arc<BTreeMap<String, Vec<String>>>);

impl AccessGroups {
    /// Those of all deployments.
    pub(super) fn new(models: &Router<Arc<Deployment>>) -> Self {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (group, deployment) in models.deployments() {
            for name in &deployment.access_groups {
                let known = groups.entry(group.to_owned()).or_default();
                if !known.contains(name) {
                    known.push(name.clone());
                }
            }
        }
        Self(Arc::new(groups))
    }

    /// The access groups that a model group belongs to.
    #[must_use]
    pub fn of(&self, group: &str) -> &[String] {
        self.0.get(group).map_or(&[], Vec::as_slice)
    }

    /// Whether any model group belongs to an access group of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.values().flatten().any(|known| known == name)
    }
}
