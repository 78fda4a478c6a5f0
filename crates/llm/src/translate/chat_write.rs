//! Writing chat completions: what the translations from other formats share.

use crate::json;
use crate::openai::stream::Head;
use crate::usage::Usage;

/// Appends a usage block in the words of chat completions.
pub(crate) fn usage(out: &mut Vec<u8>, usage: &Usage) {
    let mut number = |name: &[u8], value: u64| {
        out.extend_from_slice(name);
        json::write_u64(out, value);
    };
    number(b"{\"prompt_tokens\":", usage.input);
    number(b",\"completion_tokens\":", usage.output);
    number(b",\"total_tokens\":", usage.total);
    number(
        b",\"prompt_tokens_details\":{\"cached_tokens\":",
        usage.cached_input,
    );
    number(b",\"cache_write_tokens\":", usage.cache_write);
    number(
        b"},\"completion_tokens_details\":{\"reasoning_tokens\":",
        usage.reasoning,
    );
    out.extend_from_slice(b"}}");
}

/// Appends `{"id":..,"object":..,"created":..,"model":..` without the closing brace.
pub(crate) fn open(out: &mut Vec<u8>, head: &Head, object: &str) {
    out.extend_from_slice(b"{\"id\":");
    json::write_string(out, &head.id);
    out.extend_from_slice(b",\"object\":\"");
    out.extend_from_slice(object.as_bytes());
    out.extend_from_slice(b"\",\"created\":");
    json::write_u64(out, head.created);
    out.extend_from_slice(b",\"model\":");
    json::write_string(out, &head.model);
}

/// Writes the chunks of one stream with a single choice.
pub(crate) struct Chunks {
    /// Everything before the delta.
    lead: Vec<u8>,
    /// Everything before `choices`.
    head: Vec<u8>,
}

impl Chunks {
    pub(crate) fn new(head: &Head) -> Chunks {
        let mut own = b"data: ".to_vec();
        open(&mut own, head, "chat.completion.chunk");
        let mut lead = own.clone();
        lead.extend_from_slice(b",\"choices\":[{\"index\":0,\"delta\":{");
        Chunks { lead, head: own }
    }

    /// Appends a chunk; `members` writes what stands between the braces of its delta.
    pub(crate) fn delta(&self, out: &mut Vec<u8>, members: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.lead);
        members(out);
        out.extend_from_slice(b"},\"finish_reason\":null}]}\n\n");
    }

    /// Appends a chunk whose delta is one member with a string token.
    pub(crate) fn text(&self, out: &mut Vec<u8>, member: &[u8], token: &[u8]) {
        self.delta(out, |out| {
            out.extend_from_slice(member);
            out.extend_from_slice(token);
        });
    }

    /// Appends a chunk with a piece of the arguments of a tool call, as a string token.
    pub(crate) fn arguments(&self, out: &mut Vec<u8>, call: u64, token: &[u8]) {
        self.delta(out, |out| {
            out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
            json::write_u64(out, call);
            out.extend_from_slice(b",\"function\":{\"arguments\":");
            out.extend_from_slice(token);
            out.extend_from_slice(b"}}]");
        });
    }

    /// Appends the chunk that ends the choice.
    pub(crate) fn finish(&self, out: &mut Vec<u8>, reason: &str) {
        out.extend_from_slice(&self.lead);
        out.extend_from_slice(b"},\"finish_reason\":\"");
        out.extend_from_slice(reason.as_bytes());
        out.extend_from_slice(b"\"}]}\n\n");
    }

    /// Appends the chunk with the usage of the whole answer.
    pub(crate) fn usage(&self, out: &mut Vec<u8>, counts: &Usage) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b",\"choices\":[],\"usage\":");
        usage(out, counts);
        out.extend_from_slice(b"}\n\n");
    }
}

/// Appends an error as an event of a chat stream; the texts are the provider's.
pub(crate) fn error(out: &mut Vec<u8>, message: &str, kind: Option<&str>, code: Option<&str>) {
    let envelope = crate::openai::error::Envelope {
        message,
        kind,
        param: crate::openai::error::Param::Null,
        code: code.or(kind).unwrap_or("upstream_error"),
        provider_specific_fields: None,
    };
    out.extend_from_slice(&envelope.frame());
}
