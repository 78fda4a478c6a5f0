//! Building responses: the headers that every answer carries, JSON bodies, errors.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use llm::protocol::Family;

use super::body::Body;
use crate::error::Error;

/// Response type of the whole gateway.
pub(crate) type Reply = Response<Body>;

pub(crate) const CALL_ID: HeaderName = HeaderName::from_static("x-litellm-call-id");
/// Where the sealed record of the call is.
pub(crate) const CAPSULE: HeaderName = HeaderName::from_static("x-sealgate-capsule");
const FRAME: HeaderName = header::X_FRAME_OPTIONS;

/// A JSON answer with the security headers.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    with_type(
        status,
        body.into(),
        HeaderValue::from_static("application/json"),
    )
}

/// A plain-text answer with the security headers.
pub(crate) fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Reply {
    with_type(status, body.into(), HeaderValue::from_static(content_type))
}

fn with_type(status: StatusCode, body: Bytes, content_type: HeaderValue) -> Reply {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    security(response.headers_mut());
    response
}

/// Headers against framing and sniffing: on every response.
pub(crate) fn security(headers: &mut HeaderMap) {
    headers.insert(FRAME, HeaderValue::from_static("DENY"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("frame-ancestors 'none'"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
}

/// An error answer in OpenAI's envelope; `call_id` when the call has one.
pub(crate) fn error(error: &Error, call_id: Option<&str>) -> Reply {
    error_in(Family::OpenAi, error, call_id)
}

/// An error answer in the envelope of the client's protocol.
pub(crate) fn error_in(family: Family, error: &Error, call_id: Option<&str>) -> Reply {
    let public = error.public();
    let mut response = json(public.status, error.body_in(family, call_id));
    let headers = response.headers_mut();
    if let Some(value) = call_id.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(CALL_ID, value);
    }
    let capsule = call_id.map(|id| format!("capsule://{id}"));
    if let Some(value) = capsule.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(CAPSULE, value);
    }
    if let Some(seconds) = public.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    match error {
        Error::Exceeded { exceeded, .. } => {
            if exceeded.dimension != policy::budget::Dimension::Budget {
                let kind = HeaderValue::from_static(exceeded.dimension.as_str());
                headers.insert("rate_limit_type", kind);
            }
            let reset = exceeded.reset_text();
            if let Some(value) = reset.and_then(|text| HeaderValue::from_str(&text).ok()) {
                headers.insert("reset_at", value);
            }
        }
        Error::TooManyParallel { .. } => {
            let kind = HeaderValue::from_static("max_parallel_requests");
            headers.insert("rate_limit_type", kind);
        }
        Error::MethodNotAllowed { allow } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        Error::Auth(_) => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The rest of the body is not read, so the connection cannot be used again.
        Error::BadFraming(_) | Error::BodyTooLarge { .. } | Error::BodyTimeout { .. } => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}
