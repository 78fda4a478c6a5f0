//! Error envelopes.

use crate::json;
use crate::sse;
use bytes::Bytes;

/// `param` of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param<'a> {
    /// JSON null.
    Null,
    /// The text `None`, which authentication failures carry.
    NoneText,
    /// A member of the request.
    Name(&'a str),
}

/// The error envelope `{"error":{message,type,param,code}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// For the client.
    pub message: &'a str,
    /// `type`, such as `invalid_request_error`; null if absent.
    pub kind: Option<&'a str>,
    /// The request member.
    pub param: Param<'a>,
    /// The code, written as a string: usually the HTTP status.
    pub code: &'a str,
    /// Raw JSON object for `provider_specific_fields`, if any.
    pub provider_specific_fields: Option<&'a [u8]>,
}

impl Envelope<'_> {
    /// The body.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.message.len().saturating_add(128));
        out.extend_from_slice(b"{\"error\":{\"message\":");
        json::write_string(&mut out, self.message);
        out.extend_from_slice(b",\"type\":");
        match self.kind {
            Some(kind) => json::write_string(&mut out, kind),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"param\":");
        match self.param {
            Param::Null => out.extend_from_slice(b"null"),
            Param::NoneText => out.extend_from_slice(b"\"None\""),
            Param::Name(name) => json::write_string(&mut out, name),
        }
        out.extend_from_slice(b",\"code\":");
        json::write_string(&mut out, self.code);
        if let Some(fields) = self.provider_specific_fields {
            out.extend_from_slice(b",\"provider_specific_fields\":");
            out.extend_from_slice(fields);
        }
        out.extend_from_slice(b"}}");
        out
    }

    /// The one event that ends a stream that has begun: no `[DONE]` follows.
    #[must_use]
    pub fn frame(&self) -> Bytes {
        sse::data_frame(&self.render())
    }
}
