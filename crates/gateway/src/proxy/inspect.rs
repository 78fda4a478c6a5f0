//! Stage 2: what is asked. Reads the body once, strictly, and finds every text in it.

use std::time::Instant;

use bytes::Bytes;
use capsule::Timestamp;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use hyper::body::Incoming;
use llm::protocol::{Protocol, RequestError, RequestErrorKind, StoredRequest};
use policy::Caller;

use super::headers;
use super::stored::{self, Stored};
use crate::app::{App, Snapshot};
use crate::error::Error;
use crate::server::read::{self, Patience, ReadError};

/// An inspected request.
pub(crate) struct Request {
    /// What the client speaks.
    pub(crate) protocol: Protocol,
    pub(crate) body: Box<dyn llm::protocol::Request>,
    /// Bytes as received.
    pub(crate) received: Bytes,
    /// Model named by the body, else by the path.
    pub(crate) model: Option<String>,
    /// What it refers to that a provider stored earlier: only that deployment can serve it.
    pub(crate) stored: Option<Stored>,
    /// Headers of the client that go to providers of its own format.
    pub(crate) relayed: Vec<(HeaderName, HeaderValue)>,
    /// Output tokens to ask the provider for at most, set where a budget needs a bound and the request has none.
    pub(crate) output_cap: Option<u64>,
    pub(crate) arrival: Timestamp,
    pub(crate) started: Instant,
}

/// Where a request came in.
pub(crate) struct Place<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) route: &'static str,
    /// The variable part of the path, as written.
    pub(crate) in_path: Option<&'a str>,
    pub(crate) head: &'a Parts,
    pub(crate) caller: &'a Caller,
}

/// Reads and inspects the body of a governed route.
///
/// # Errors
/// 413, 408 and 400 for the transfer; 400 and 422 with the field for the content.
pub(crate) async fn inspect(
    app: &App,
    snapshot: &Snapshot,
    place: &Place<'_>,
    arrival: (Timestamp, Instant),
    body: Incoming,
) -> Result<Request, Error> {
    let protocol = place.protocol;
    let received = match protocol.is_stored() {
        true => Bytes::new(),
        false => receive(snapshot, body).await?,
    };
    let limits = &snapshot.config.limits;
    let body = llm::protocol::request(protocol, received.clone(), &snapshot.scan)
        .map_err(|error| public(error, place.route, limits.max_request_bytes))?;
    if snapshot.config.strict_fields {
        strict(body.as_ref())?;
    }
    let query = place.head.uri.query();
    let stored = stored::referred(
        &app.digests,
        place.caller,
        protocol,
        place.in_path,
        query,
        body.as_ref(),
    )?;
    let body = match &stored {
        Some(stored) if protocol.is_stored() && stored.streams() => again(snapshot)?,
        _ => body,
    };
    let model = match (body.model(), protocol.is_stored()) {
        (_, true) => None,
        (Some(model), _) => Some(model.to_owned()),
        (None, _) => place.in_path.map(percent_decoded),
    };
    Ok(Request {
        protocol,
        body,
        received,
        model,
        stored,
        relayed: headers::forwarded(&place.head.headers, protocol),
        output_cap: None,
        arrival: arrival.0,
        started: arrival.1,
    })
}

/// The request for a stored response that comes as a stream.
fn again(snapshot: &Snapshot) -> Result<Box<dyn llm::protocol::Request>, Error> {
    let request = StoredRequest::new(&snapshot.scan).map_err(|_| Error::Internal)?;
    Ok(Box::new(request.streamed()))
}

/// Reads a body whole, within the limits of the configuration.
///
/// # Errors
/// 413, 408 and 400.
pub(crate) async fn receive(snapshot: &Snapshot, body: Incoming) -> Result<Bytes, Error> {
    let limits = &snapshot.config.limits;
    let patience = Patience {
        idle: limits.body_idle_timeout,
        whole: limits.body_idle_timeout,
    };
    read::whole(body, limits.max_request_bytes, patience)
        .await
        .map_err(|error| match error {
            ReadError::TooLarge => Error::BodyTooLarge {
                limit: limits.max_request_bytes,
            },
            ReadError::Timeout => Error::BodyTimeout {
                seconds: limits.body_idle_timeout.as_secs(),
            },
            ReadError::Incomplete => Error::BodyIncomplete,
        })
}

fn strict(body: &dyn llm::protocol::Request) -> Result<(), Error> {
    let unknown = body.unknown_members().into_iter().next();
    match unknown {
        None => Ok(()),
        Some(field) => Err(Error::InvalidField {
            message: format!(
                "'{field}' is not a known parameter, and this gateway accepts known parameters only."
            ),
            field,
            status: 400,
            kind: "invalid_request_error",
        }),
    }
}

/// The error for a client whose body was refused.
pub(crate) fn public(error: RequestError, route: &'static str, limit: usize) -> Error {
    let status = error.status();
    let kind = error.error_type();
    let field = error.param.unwrap_or_default();
    match error.kind {
        RequestErrorKind::Json(_) | RequestErrorKind::NotAnObject if status == 413 => {
            Error::BodyTooLarge { limit }
        }
        RequestErrorKind::Json(_) | RequestErrorKind::NotAnObject => {
            Error::InvalidJson(error.message)
        }
        RequestErrorKind::Refused => Error::RefusedField { field },
        RequestErrorKind::Missing => Error::InvalidField {
            message: format!("{route}: {}", error.message),
            field,
            status,
            kind,
        },
        _ => Error::InvalidField {
            message: error.message,
            field,
            status,
            kind,
        },
    }
}

/// The model part of a path. A broken escape stays as it is: the name is then unknown and refused by name.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = (byte == b'%')
            .then(|| {
                tail.get(..2)
                    .and_then(|pair| std::str::from_utf8(pair).ok())
            })
            .flatten()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match hex {
            Some(decoded) => {
                out.push(decoded);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
