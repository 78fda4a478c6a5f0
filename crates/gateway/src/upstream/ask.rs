//! The way out to the services of checks: as for providers, nothing is sent without what an open call gives.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use super::client::SendError;
use super::link::RelayBody;
use crate::guardrails::remote::Permit;

/// Sends one question and waits for the head of the answer. Redirects are answers like any other.
///
/// # Errors
/// When no connection is made, the address may not be dialled, or the connection breaks before the head is complete.
pub(crate) async fn ask(
    permit: &Permit,
    request: Request<Full<Bytes>>,
) -> Result<Response<RelayBody>, SendError> {
    permit.app.upstream.send(request).await
}
