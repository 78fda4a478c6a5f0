//! Anthropic's error envelope.

use crate::json;

/// The `type` that fits an HTTP status.
#[must_use]
pub fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// `{"type":"error","error":{"type","message"},"request_id"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// One of the API's types, see [`kind`].
    pub kind: &'a str,
    /// For the client.
    pub message: &'a str,
    /// The id of the call, if it has one.
    pub request_id: Option<&'a str>,
    /// Raw JSON object for `error.provider_specific_fields`, if any.
    pub provider_specific_fields: Option<&'a [u8]>,
}

impl Envelope<'_> {
    /// The body.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.message.len().saturating_add(128));
        out.extend_from_slice(b"{\"type\":\"error\",\"error\":{\"type\":");
        json::write_string(&mut out, self.kind);
        out.extend_from_slice(b",\"message\":");
        json::write_string(&mut out, self.message);
        if let Some(fields) = self.provider_specific_fields {
            out.extend_from_slice(b",\"provider_specific_fields\":");
            out.extend_from_slice(fields);
        }
        out.push(b'}');
        if let Some(id) = self.request_id {
            out.extend_from_slice(b",\"request_id\":");
            json::write_string(&mut out, id);
        }
        out.push(b'}');
        out
    }

    /// The event that ends a stream that has begun.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut out = Vec::new();
        super::write::event(&mut out, "error", |out| {
            out.extend_from_slice(&self.render())
        });
        out
    }
}
