//! Keys that every record holds, so that reading one does not copy them.

use std::borrow::Cow;

/// The keys that the protocol names.
const NAMES: [&str; 60] = [
    "agent_id",
    "analysis",
    "approver",
    "arguments",
    "authority",
    "chain",
    "confidence",
    "cons",
    "context",
    "correlation_id",
    "description",
    "domain",
    "duration_ms",
    "environment",
    "error",
    "escalation_reason",
    "estimated_impact",
    "execution",
    "feasibility",
    "hash",
    "id",
    "latency_ms",
    "metrics",
    "model",
    "options",
    "options_considered",
    "outcome",
    "parent_id",
    "policy_reference",
    "previous_hash",
    "prompt_hash",
    "pros",
    "reasoning",
    "rejection_reason",
    "request",
    "resources_used",
    "result",
    "risks",
    "selected",
    "selected_option",
    "sequence",
    "session_id",
    "side_effects",
    "signature",
    "signature_pq",
    "signed_at",
    "signed_by",
    "source",
    "spec_version",
    "status",
    "success",
    "summary",
    "timestamp",
    "tokens_in",
    "tokens_out",
    "tool",
    "tool_calls",
    "trigger",
    "type",
    "user_id",
];

/// Marks a slot without a name.
const NONE: u8 = u8::MAX;

/// Which name, if any, the keys of a slot can be.
const SLOTS: [u8; 256] = fill();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated when compiled, where an index out of range is an error"
)]
const fn fill() -> [u8; 256] {
    let mut slots = [NONE; 256];
    let mut at = 0;
    while at < NAMES.len() {
        let name = NAMES[at].as_bytes();
        let slot = slot(
            name.len(),
            name[0],
            name[name.len() / 2],
            name[name.len() - 1],
        ) as usize;
        assert!(
            slots[slot] == NONE,
            "two names share a slot: choose other factors"
        );
        slots[slot] = at as u8;
        at += 1;
    }
    slots
}

/// The factors were found by search: they give each name a slot of its own.
const fn slot(length: usize, first: u8, middle: u8, last: u8) -> u8 {
    (length as u8)
        .wrapping_add(first.wrapping_mul(3))
        .wrapping_add(middle.wrapping_mul(15))
        .wrapping_add(last.wrapping_mul(25))
}

/// The key as a literal when it is one that the protocol names, else a copy.
pub(super) fn key(text: &str) -> Cow<'static, str> {
    match known(text) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(text.to_owned()),
    }
}

fn known(text: &str) -> Option<&'static str> {
    let bytes = text.as_bytes();
    let (first, last) = (*bytes.first()?, *bytes.last()?);
    let middle = *bytes.get(bytes.len() / 2)?;
    let slot = slot(bytes.len(), first, middle, last);
    let name = SLOTS.get(usize::from(slot))?;
    let name = *NAMES.get(usize::from(*name))?;
    (name == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_nothing_else() {
        for name in NAMES {
            assert!(matches!(key(name), Cow::Borrowed(found) if found == name));
        }
        for other in ["", "i", "ids", "typ\u{e9}", "Type"] {
            assert!(matches!(key(other), Cow::Owned(copy) if copy == other));
        }
    }
}
