//! Writing the events of a Messages stream.

use crate::json;

/// Appends an event; `data` writes its JSON on one line.
pub(crate) fn event(out: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    data(out);
    out.extend_from_slice(b"\n\n");
}

/// Which text a delta carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delta {
    /// `text_delta`
    Text,
    /// `thinking_delta`
    Thinking,
    /// `signature_delta`
    Signature,
    /// `input_json_delta`
    Input,
}

impl Delta {
    fn lead(self) -> &'static [u8] {
        match self {
            Delta::Text => b",\"delta\":{\"type\":\"text_delta\",\"text\":",
            Delta::Thinking => b",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":",
            Delta::Signature => b",\"delta\":{\"type\":\"signature_delta\",\"signature\":",
            Delta::Input => b",\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":",
        }
    }
}

/// Appends a `content_block_delta` whose text is given as a JSON string token.
pub(crate) fn delta(out: &mut Vec<u8>, block: u32, kind: Delta, token: &[u8]) {
    out.extend_from_slice(
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
    );
    json::write_u64(out, u64::from(block));
    out.extend_from_slice(kind.lead());
    out.extend_from_slice(token);
    out.extend_from_slice(b"}}\n\n");
}

/// Appends a `content_block_start` with the members of the block (after its `type`).
pub(crate) fn block_start(
    out: &mut Vec<u8>,
    block: u32,
    kind: &str,
    members: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(
        b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":",
    );
    json::write_u64(out, u64::from(block));
    out.extend_from_slice(b",\"content_block\":{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.push(b'"');
    members(out);
    out.extend_from_slice(b"}}\n\n");
}

/// Appends a `content_block_stop`.
pub(crate) fn block_stop(out: &mut Vec<u8>, block: u32) {
    out.extend_from_slice(
        b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":",
    );
    json::write_u64(out, u64::from(block));
    out.extend_from_slice(b"}\n\n");
}

/// Appends a `ping`.
pub(crate) fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

/// Appends `message_stop`.
pub(crate) fn message_stop(out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}
