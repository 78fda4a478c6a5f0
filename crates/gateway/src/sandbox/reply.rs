//! Heads of the sandbox's answers, and OpenAI's error envelope.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::script::Script;

pub(super) type Reply = Response<Script>;

/// A JSON answer.
pub(super) fn json_reply(status: u16, body: &Value) -> Reply {
    raw(status, "application/json", body.to_string())
}

/// A whole answer of any type.
pub(super) fn raw(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    with_script(status, content_type, Script::whole(body))
}

/// An event stream.
pub(super) fn stream(script: Script) -> Reply {
    let mut reply = with_script(200, "text/event-stream; charset=utf-8", script);
    reply
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

/// An answer with any body.
pub(super) fn with_script(status: u16, content_type: &'static str, script: Script) -> Reply {
    let mut reply = Response::new(script);
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(
        HeaderName::from_static("openai-processing-ms"),
        HeaderValue::from_static("7"),
    );
    headers.insert(
        HeaderName::from_static("x-request-id"),
        HeaderValue::from_static("req_sandbox"),
    );
    reply
}

/// OpenAI's error envelope.
pub(super) fn error(
    status: u16,
    kind: &str,
    code: Option<&str>,
    param: Option<&str>,
    message: &str,
) -> Reply {
    json_reply(
        status,
        &json!({ "error": { "message": message, "type": kind, "param": param, "code": code } }),
    )
}

/// What OpenAI sends with `status`.
pub(super) fn failure(status: u16) -> Reply {
    let (kind, code, param, message) = match status {
        400 => (
            "invalid_request_error",
            Some("invalid_value"),
            Some("messages"),
            "Invalid value for 'messages'.",
        ),
        401 => (
            "invalid_request_error",
            Some("invalid_api_key"),
            None,
            "Incorrect API key provided.",
        ),
        403 => (
            "invalid_request_error",
            Some("unsupported_country_region_territory"),
            None,
            "Not allowed.",
        ),
        404 => (
            "invalid_request_error",
            Some("model_not_found"),
            None,
            "The model does not exist.",
        ),
        413 => (
            "invalid_request_error",
            Some("context_length_exceeded"),
            Some("messages"),
            "This model's maximum context length is 8 tokens.",
        ),
        429 => (
            "requests",
            Some("rate_limit_exceeded"),
            None,
            "Rate limit reached for requests.",
        ),
        503 => (
            "server_error",
            None,
            None,
            "The engine is currently overloaded, please try again later.",
        ),
        _ => (
            "server_error",
            None,
            None,
            "The server had an error while processing your request.",
        ),
    };
    // 413 stands for the 400 that OpenAI gives when the context is too long.
    let wire = if status == 413 { 400 } else { status };
    let mut reply = error(wire, kind, code, param, message);
    if status == 429 {
        let headers = reply.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("7"));
        headers.insert(
            HeaderName::from_static("x-ratelimit-remaining-requests"),
            HeaderValue::from_static("0"),
        );
    }
    reply
}
