//! The structural edits between the body as received and the body that is sent on.

use super::fields;
use crate::edit::Edits;
use crate::json;
use crate::provider::{Provider, StreamUsage};
use crate::scan::{Doc, Kind, Node};
use crate::translate::THOUGHT;

/// Where a request goes: what the edits depend on.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The model name of the provider.
    pub model: &'a str,
    /// The provider's rules.
    pub provider: &'a Provider,
    /// Send the client's `metadata` on; it is the gateway's otherwise.
    pub forward_metadata: bool,
    /// Members that are sent though the provider is known to refuse them.
    pub allowed: &'a [String],
}

/// Edits common to all routes: model, gateway members, the provider's quirks.
pub(crate) fn edits(doc: &Doc, target: &Target<'_>) -> Edits {
    let mut edits = Edits::new();
    let root = doc.root();
    let quirks = &target.provider.quirks;
    let mut has_model = false;
    for (key, value) in root.entries() {
        let name = key.as_str().unwrap_or_default();
        if name == "model" {
            has_model = true;
            if !value.is_str(target.model) {
                edits.replace_raw(value, json::string(target.model));
            }
        } else if target.forward_metadata && name == "metadata" {
            // The deployment asks for it.
        } else if fields::gateway_extra(&name)
            || (quirks.dropped.contains(&&*name) && !target.allowed.iter().any(|own| *own == name))
        {
            edits.remove_entry(root, key);
        } else if let Some((_, new)) = quirks.renamed.iter().find(|(old, _)| *old == name) {
            rename(&mut edits, root, key, new);
        }
    }
    if !has_model {
        // The root is an object: checked when the request was parsed.
        let _ = edits.set_member(root, "model", json::string(target.model));
    }
    edits
}

/// Gives a member its other name, unless the body has that one already: then the
/// member under the other name counts and this one goes.
fn rename(edits: &mut Edits, root: Node<'_>, key: Node<'_>, new: &str) {
    if root.get(new).is_some() {
        edits.remove_entry(root, key);
    } else {
        edits.replace_raw(key, json::string(new));
    }
}

/// Takes out of ids of tool calls what Gemini's answers carry along in them ([`THOUGHT`]): who serves this turn has no use
/// for it, and OpenAI takes short ids only.
pub(crate) fn plain_ids<'a>(edits: &mut Edits, doc: &Doc, ids: impl Iterator<Item = Node<'a>>) {
    if memchr::memmem::find(doc.bytes(), THOUGHT.as_bytes()).is_none() {
        return;
    }
    for node in ids {
        let text = node.as_str().unwrap_or_default();
        if let Some((id, _)) = text.split_once(THOUGHT) {
            edits.replace_raw(node, json::string(id));
        }
    }
}

/// Asks for usage on streams, in the way in which the provider is asked.
pub(crate) fn usage_on_streams(
    edits: &mut Edits,
    root: Node<'_>,
    stream: bool,
    target: &Target<'_>,
) {
    match (stream, target.provider.quirks.stream_usage) {
        (true, StreamUsage::OnRequest) => force_usage(edits, root),
        (true, StreamUsage::Always) => {
            let _ = edits.remove_member(root, "stream_options");
        }
        (false, _) => {}
    }
}

/// Makes the upstream send usage with a stream.
fn force_usage(edits: &mut Edits, root: Node<'_>) {
    match root.get("stream_options") {
        Some(options) if options.kind() == Kind::Object => {
            let asked = options.get("include_usage").and_then(|v| v.as_bool());
            if asked != Some(true) {
                let _ = edits.set_member(options, "include_usage", *b"true");
            }
        }
        _ => {
            let _ = edits.set_member(root, "stream_options", *b"{\"include_usage\":true}");
        }
    }
}
