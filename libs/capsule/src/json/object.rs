//! Objects whose members are ordered by the code points of their keys.

use std::borrow::Cow;

use super::Value;

/// Up to this many members a search from the start is faster than one by halves.
const SMALL: usize = 16;

/// A JSON object: members ordered by key, each key once.
///
/// Kept as a sorted list: a record's objects are small, and the canonical writer walks them in order.
/// Inserting in key order costs constant time, elsewhere time linear in the object's size.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object {
    members: Vec<(Cow<'static, str>, Value)>,
}

impl Object {
    /// An empty object; allocates nothing.
    #[must_use]
    pub const fn new() -> Object {
        Object {
            members: Vec::new(),
        }
    }

    /// An empty object with room for `capacity` members.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Object {
        Object {
            members: Vec::with_capacity(capacity),
        }
    }

    /// Sets a member and returns the value that it replaced. A literal key is not copied.
    pub fn insert(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
    ) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        if self.members.last().is_none_or(|(last, _)| *last < key) {
            self.members.push((key, value));
            return None;
        }
        match self.find(&key) {
            Ok(at) => self
                .members
                .get_mut(at)
                .map(|slot| std::mem::replace(&mut slot.1, value)),
            Err(at) => {
                self.members.insert(at, (key, value));
                None
            }
        }
    }

    /// The member of that key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        if self.members.len() > SMALL {
            let at = self.find(key).ok()?;
            return self.members.get(at).map(|(_, value)| value);
        }
        // Keys of another length are told apart without looking at their bytes.
        let mut members = self.members.iter();
        members
            .find(|(member, _)| **member == *key)
            .map(|(_, value)| value)
    }

    /// The member of that key, to be changed in place.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let at = self.find(key).ok()?;
        self.members.get_mut(at).map(|(_, value)| value)
    }

    /// Removes and returns the member of that key.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.find(key).ok()?;
        Some(self.members.remove(at).1)
    }

    /// Whether there is a member of that key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.find(key).is_ok()
    }

    /// The number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members in key order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + DoubleEndedIterator {
        self.members.iter().map(|(key, value)| (&**key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &str> + DoubleEndedIterator {
        self.members.iter().map(|(key, _)| &**key)
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.members
            .binary_search_by(|(member, _)| (**member).cmp(key))
    }

    /// From members in any order; a later member of the same key wins.
    pub(super) fn from_members(mut members: Vec<(Cow<'static, str>, Value)>) -> Object {
        // A stable sort keeps equal keys in the order in which they came.
        members.sort_by(|left, right| left.0.cmp(&right.0));
        members.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Object { members }
    }

    /// From members whose keys strictly ascend, which the caller has checked.
    pub(super) fn from_sorted(members: Vec<(Cow<'static, str>, Value)>) -> Object {
        debug_assert!(members.is_sorted_by(|left, right| left.0 < right.0));
        Object { members }
    }
}

impl<K: Into<Cow<'static, str>>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        Object::from_members(
            members
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

impl<K: Into<Cow<'static, str>>, V: Into<Value>, const N: usize> From<[(K, V); N]> for Object {
    fn from(members: [(K, V); N]) -> Self {
        members.into_iter().collect()
    }
}

impl IntoIterator for Object {
    type Item = (Cow<'static, str>, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_ordered_and_the_last_of_a_key_wins() {
        let object = Object::from([("b", 1), ("a", 2), ("b", 3), ("b", 4), ("a", 5)]);
        let members: Vec<_> = object.iter().map(|(k, v)| (k, v.as_i64())).collect();
        assert_eq!(members, [("a", Some(5)), ("b", Some(4))]);
    }

    #[test]
    fn insert_replaces_and_keeps_order() {
        let mut object = Object::new();
        assert_eq!(object.insert("b", 1), None);
        assert_eq!(object.insert("a", true), None);
        assert_eq!(object.insert(String::from("b"), "x"), Some(Value::from(1)));
        assert_eq!(object.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(object.remove("a"), Some(Value::Bool(true)));
        assert_eq!(object.get("a"), None);
        assert_eq!(object.len(), 1);
    }
}
