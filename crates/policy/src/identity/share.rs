//! What many entities have in common is kept once: keys of one team name the same team, models and limits.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use super::entity::Entity;
use super::list::List;
use crate::budget::Caps;

/// Most of a kind that are remembered; what differs from entity to entity is not worth remembering.
const MOST: usize = 4_096;

/// Remembers while many entities are read, and is dropped afterwards.
#[derive(Debug, Default)]
pub struct Sharer {
    texts: HashSet<Arc<str>>,
    lists: HashSet<List<Box<str>>>,
    caps: HashSet<Arc<Caps>>,
}

impl Sharer {
    /// Lets an entity share what an earlier one has too. The entity is the same as before.
    pub fn share(&mut self, entity: &mut Entity) {
        let texts = [
            &mut entity.team,
            &mut entity.user,
            &mut entity.organization,
            &mut entity.budget,
        ];
        for text in texts.into_iter().flatten() {
            of(&mut self.texts, text);
        }
        of(&mut self.texts, &mut entity.created_by);
        of(&mut self.texts, &mut entity.updated_by);
        of(&mut self.lists, &mut entity.models);
        of(&mut self.lists, &mut entity.tags);
        of(&mut self.lists, &mut entity.guardrails);
        if let Some(caps) = &mut entity.caps {
            of(&mut self.caps, caps);
        }
        if let Some(part) = &mut entity.key {
            of(&mut self.lists, &mut part.allowed_routes);
            of(&mut self.lists, &mut part.agents);
        }
    }
}

fn of<T: Clone + Eq + Hash>(known: &mut HashSet<T>, value: &mut T) {
    match known.get(value) {
        Some(there) => *value = there.clone(),
        None if known.len() < MOST => {
            known.insert(value.clone());
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_equal_and_kept_once() {
        let entity = || {
            let text = r#"{"kind":"key","id":"k","team":"t","models":["a","b"],"caps":{"rpm_limit":3},"tags":["x"],
                           "created_by":"m","key":{"agents":["bot"]}}"#;
            serde_json::from_str::<Entity>(text).unwrap()
        };
        let (mut one, mut two, mut sharer) = (entity(), entity(), Sharer::default());
        sharer.share(&mut one);
        sharer.share(&mut two);
        assert_eq!((&one, &two), (&entity(), &entity()));
        assert!(Arc::ptr_eq(
            one.caps.as_ref().unwrap(),
            two.caps.as_ref().unwrap()
        ));
        assert!(std::ptr::eq(
            &raw const one.models[0],
            &raw const two.models[0]
        ));
        assert!(Arc::ptr_eq(&one.created_by, &two.created_by));
        // A change of one is none of the other.
        Arc::make_mut(two.caps.as_mut().unwrap()).rpm_limit = Some(4);
        two.models.edit().clear();
        assert_eq!(one, entity());
    }
}
