//! Changing a document: splices over the bytes as received.
//!
//! Untouched bytes stay as they came; without edits the result is the same buffer, not
//! a copy. Edits are collected against one [`Doc`] and applied at once. A later
//! replacement of the same token wins, an edit inside a removed or replaced value
//! disappears with it.

use crate::json;
use crate::scan::{Doc, Kind, Node, NodeId};
use bytes::Bytes;
use std::ops::Range;

/// Why edits could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The token is not an object.
    #[error("members can be changed only in an object")]
    NotAnObject,
    /// The token is not a string.
    #[error("only a string token can be replaced by a text")]
    NotAString,
    /// Edits made against another document.
    #[error("the edit points outside of the document")]
    OutOfRange,
}

/// A set of changes to one document.
#[derive(Clone, Default)]
pub struct Edits {
    /// Token replacements in the order they were asked for: range and new bytes.
    replaced: Vec<(Range<usize>, Vec<u8>)>,
    /// Member changes by object.
    objects: Vec<(NodeId, Members)>,
}

#[derive(Clone, Default)]
struct Members {
    /// Ids of the keys of removed members, sorted.
    removed: Vec<NodeId>,
    /// Key and raw value of new members, in order.
    inserted: Vec<(String, Vec<u8>)>,
}

/// One splice: replace `range` by `with`.
struct Splice<'a> {
    range: Range<usize>,
    with: &'a [u8],
}

impl std::fmt::Debug for Edits {
    /// Counts only: what is written is content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (replaced, objects) = (self.replaced.len(), self.objects.len());
        write!(f, "Edits({replaced} values, {objects} objects)")
    }
}

impl Edits {
    /// No changes.
    #[must_use]
    pub fn new() -> Edits {
        Edits::default()
    }

    /// Whether nothing will change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty() && self.objects.iter().all(|(_, members)| members.is_empty())
    }

    /// Replaces a whole string token (a value or a key) by `text`.
    ///
    /// # Errors
    /// [`EditError::NotAString`].
    pub fn replace_text(&mut self, node: Node<'_>, text: &str) -> Result<(), EditError> {
        if node.kind() != Kind::String {
            return Err(EditError::NotAString);
        }
        self.replace_raw(node, json::string(text));
        Ok(())
    }

    /// Replaces a whole value by `raw`, which must be one JSON value.
    pub fn replace_raw(&mut self, node: Node<'_>, raw: impl Into<Vec<u8>>) {
        self.replaced.push((node.span(), raw.into()));
    }

    /// The member changes of one object; few objects of a document are changed.
    fn members(&mut self, object: NodeId) -> Option<&mut Members> {
        let found = self.objects.iter().position(|(id, _)| *id == object);
        let place = found.unwrap_or(self.objects.len());
        if found.is_none() {
            self.objects.push((object, Members::default()));
        }
        self.objects.get_mut(place).map(|(_, members)| members)
    }

    /// Removes the member `key`; nothing happens if there is none.
    ///
    /// # Errors
    /// [`EditError::NotAnObject`].
    pub fn remove_member(&mut self, object: Node<'_>, key: &str) -> Result<(), EditError> {
        if object.kind() != Kind::Object {
            return Err(EditError::NotAnObject);
        }
        if let Some((key, _)) = object.entry(key) {
            self.remove_entry(object, key);
        }
        let object = object.id();
        if let Some((_, members)) = self.objects.iter_mut().find(|(id, _)| *id == object) {
            members.inserted.retain(|(name, _)| name != key);
        }
        Ok(())
    }

    /// Removes the member whose key token is `key`.
    pub(crate) fn remove_entry(&mut self, object: Node<'_>, key: Node<'_>) {
        let key = key.id();
        let Some(members) = self.members(object.id()) else {
            return;
        };
        if let Err(place) = members.removed.binary_search(&key) {
            members.removed.insert(place, key);
        }
    }

    /// Removes the elements of an array that `keep` refuses; the others stay as they are.
    pub(crate) fn retain_items(&mut self, array: Node<'_>, keep: impl Fn(Node<'_>) -> bool) {
        let open = array.span().start.saturating_add(1);
        // End of the last kept element; end of the run of removed ones after it.
        let (mut kept_end, mut run): (Option<usize>, Option<usize>) = (None, None);
        for item in array.items() {
            let span = item.span();
            if !keep(item) {
                run = Some(span.end);
                continue;
            }
            if let Some(end) = run.take() {
                // The comma before the run goes with it, or the one after it.
                let range = match kept_end {
                    Some(before) => before..end,
                    None => open..span.start,
                };
                self.replaced.push((range, Vec::new()));
            }
            kept_end = Some(span.end);
        }
        if let Some(end) = run {
            self.replaced
                .push((kept_end.unwrap_or(open)..end, Vec::new()));
        }
    }

    /// Sets the member `key` to `raw` (one JSON value): replaces the value that is
    /// there, else adds the member at the end.
    ///
    /// # Errors
    /// [`EditError::NotAnObject`].
    pub fn set_member(
        &mut self,
        object: Node<'_>,
        key: &str,
        raw: impl Into<Vec<u8>>,
    ) -> Result<(), EditError> {
        if object.kind() != Kind::Object {
            return Err(EditError::NotAnObject);
        }
        let existing = object.entry(key);
        let Some(members) = self.members(object.id()) else {
            return Err(EditError::NotAnObject);
        };
        match existing {
            Some((name, value)) if !members.is_removed(name.id()) => self.replace_raw(value, raw),
            _ => {
                members.inserted.retain(|(name, _)| name != key);
                members.inserted.push((key.to_owned(), raw.into()));
            }
        }
        Ok(())
    }

    /// Makes the changes. Without changes the same buffer comes back.
    ///
    /// # Errors
    /// [`EditError::OutOfRange`] if the edits belong to another document.
    pub fn apply(&self, doc: &Doc) -> Result<Bytes, EditError> {
        if self.is_empty() {
            return Ok(doc.bytes().clone());
        }
        let mut out = Vec::new();
        self.apply_into(doc, &mut out)?;
        Ok(Bytes::from(out))
    }

    /// Appends the changed document to `out`.
    ///
    /// # Errors
    /// As [`Edits::apply`]; `out` is then unspecified.
    pub fn apply_into(&self, doc: &Doc, out: &mut Vec<u8>) -> Result<(), EditError> {
        let inserted: Vec<Vec<u8>> = self
            .objects
            .iter()
            .map(|change| addition(doc, change))
            .collect();
        let mut splices: Vec<Splice<'_>> =
            Vec::with_capacity(self.replaced.len().saturating_add(8));
        // The newest first, so that it wins over older ones of the same range.
        for (range, with) in self.replaced.iter().rev() {
            let range = range.clone();
            splices.push(Splice { range, with });
        }
        for ((object, members), addition) in self.objects.iter().zip(&inserted) {
            member_splices(doc.node(*object), members, addition, &mut splices);
        }
        // Insertions before removals at the same place; outer splices before inner ones.
        splices.sort_by_key(|splice| {
            let covers = !splice.range.is_empty();
            (
                splice.range.start,
                covers,
                std::cmp::Reverse(splice.range.end),
            )
        });
        let grown: usize = splices.iter().map(|splice| splice.with.len()).sum();
        out.reserve(doc.bytes().len().saturating_add(grown));
        splice_all(doc.bytes(), &splices, out)
    }
}

impl Members {
    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.inserted.is_empty()
    }

    fn is_removed(&self, key: NodeId) -> bool {
        self.removed.binary_search(&key).is_ok()
    }
}

/// The text `"key":value,"key":value` for one object, with a leading comma where a member
/// is kept before it.
fn addition(doc: &Doc, (object, members): &(NodeId, Members)) -> Vec<u8> {
    let mut text = Vec::new();
    if members.inserted.is_empty() {
        return text;
    }
    let mut entries = doc.node(*object).entries();
    let mut comma = entries.any(|(key, _)| !members.is_removed(key.id()));
    for (key, raw) in &members.inserted {
        if comma {
            text.push(b',');
        }
        json::write_string(&mut text, key);
        text.push(b':');
        text.extend_from_slice(raw);
        comma = true;
    }
    text
}

/// Removals keep exactly one comma between the members that stay.
fn member_splices<'a>(
    object: Node<'_>,
    members: &Members,
    addition: &'a [u8],
    splices: &mut Vec<Splice<'a>>,
) {
    let open = object.span().start.saturating_add(1);
    // End of the last kept value; start of the run of removed members after it.
    let mut kept_end: Option<usize> = None;
    let mut run: Option<Range<usize>> = None;
    for (key, value) in object.entries() {
        let (start, end) = (key.span().start, value.span().end);
        if members.is_removed(key.id()) {
            let from = run.as_ref().map_or(start, |run| run.start);
            run = Some(from..end);
            continue;
        }
        if let Some(run) = run.take() {
            let range = match kept_end {
                Some(before) => before..run.end,
                None => run.start..start,
            };
            splices.push(Splice { range, with: &[] });
        }
        kept_end = Some(end);
    }
    if let Some(run) = run {
        let range = kept_end.unwrap_or(run.start)..run.end;
        splices.push(Splice { range, with: &[] });
    }
    if !addition.is_empty() {
        let at = kept_end.unwrap_or(open);
        splices.push(Splice {
            range: at..at,
            with: addition,
        });
    }
}

fn splice_all(bytes: &[u8], splices: &[Splice<'_>], out: &mut Vec<u8>) -> Result<(), EditError> {
    let mut done = 0_usize;
    for splice in splices {
        let Range { start, end } = splice.range;
        // Inside something that is already gone.
        if start < done {
            continue;
        }
        let before = bytes.get(done..start).ok_or(EditError::OutOfRange)?;
        out.extend_from_slice(before);
        out.extend_from_slice(splice.with);
        done = end;
    }
    out.extend_from_slice(bytes.get(done..).ok_or(EditError::OutOfRange)?);
    Ok(())
}
