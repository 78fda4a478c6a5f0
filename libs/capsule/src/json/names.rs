//! Keys that every record holds, so that reading one does not copy them.

use std::borrow::Cow;

/// The key as a literal when it is one that the protocol names, else a copy.
pub(super) fn key(text: &str) -> Cow<'static, str> {
    let candidates: &[&'static str] = match text.len() {
        2 => &["id"],
        4 => &["type", "hash", "pros", "cons", "tool"],
        5 => &["chain", "error", "model", "risks"],
        6 => &["domain", "source", "status", "result"],
        7 => &[
            "context", "trigger", "outcome", "request", "options", "success", "user_id", "summary",
            "metrics",
        ],
        8 => &["sequence", "analysis", "agent_id", "approver", "selected"],
        9 => &[
            "authority",
            "execution",
            "reasoning",
            "parent_id",
            "timestamp",
            "arguments",
            "signature",
            "signed_at",
            "signed_by",
            "tokens_in",
        ],
        10 => &[
            "session_id",
            "confidence",
            "tool_calls",
            "tokens_out",
            "latency_ms",
        ],
        11 => &[
            "environment",
            "prompt_hash",
            "duration_ms",
            "description",
            "feasibility",
        ],
        12 => &["spec_version", "side_effects", "signature_pq"],
        13 => &["previous_hash"],
        14 => &["correlation_id", "resources_used"],
        15 => &["selected_option"],
        16 => &["policy_reference", "estimated_impact", "rejection_reason"],
        17 => &["escalation_reason"],
        18 => &["options_considered"],
        _ => &[],
    };
    match candidates.iter().find(|candidate| **candidate == text) {
        Some(candidate) => Cow::Borrowed(candidate),
        None => Cow::Owned(text.to_owned()),
    }
}
