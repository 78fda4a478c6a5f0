//! Reading bodies whole, with a size and a time limit.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::reply::Reply;

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// More bytes than the limit.
    TooLarge,
    /// Not complete in time.
    Timeout,
    /// The peer closed or broke the framing.
    Incomplete,
}

/// Slowest body that is waited for, in bytes a second, once the time is over.
const SLOWEST: u64 = 16 * 1024;

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Longest silence between two pieces.
    pub(crate) idle: Duration,
    /// Longest time for the whole, plus one second for each [`SLOWEST`] bytes of its announced length.
    pub(crate) whole: Duration,
}

/// Reads `body` to its end.
///
/// # Errors
/// When it is larger than `limit` bytes (also when only announced), cut, silent or slow.
pub(crate) async fn whole<B>(body: B, limit: usize, patience: Patience) -> Result<Bytes, ReadError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(ReadError::TooLarge);
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let time = patience.whole + Duration::from_secs(body.size_hint().lower() / SLOWEST);
    tokio::time::timeout(time, collect(body, limit, patience.idle))
        .await
        .map_err(|_| ReadError::Timeout)?
}

/// Largest body that is read only to be thrown away, and how long that may take.
const LARGEST_DISCARD: usize = 64 * 1024;
const LONGEST_DISCARD: Duration = Duration::from_secs(1);

/// Reads and forgets the body of a request that is refused without a look at it, so that the answer reaches a client that
/// is still sending and its connection stays usable. With too much of it, or a client that waits for permission to send,
/// the answer says that the connection closes.
pub(crate) async fn discard(headers: &HeaderMap, body: Incoming, mut reply: Reply) -> Reply {
    let patience = Patience {
        idle: LONGEST_DISCARD,
        whole: LONGEST_DISCARD,
    };
    let small = body.size_hint().lower() <= LARGEST_DISCARD as u64;
    let usable = small
        && !headers.contains_key(header::EXPECT)
        && whole(body, LARGEST_DISCARD, patience).await.is_ok();
    if !usable {
        let close = HeaderValue::from_static("close");
        reply.headers_mut().insert(header::CONNECTION, close);
    }
    reply
}

async fn collect<B>(mut body: B, limit: usize, idle: Duration) -> Result<Bytes, ReadError>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    // Most bodies come in one piece, which is then passed on without a copy.
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    while let Some(frame) = tokio::time::timeout(idle, body.frame())
        .await
        .map_err(|_| ReadError::Timeout)?
    {
        let frame = frame.map_err(|_| ReadError::Incomplete)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.as_ref().map_or(0, Bytes::len) + rest.len() + data.len() > limit {
            return Err(ReadError::TooLarge);
        }
        if first.is_none() && rest.is_empty() {
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            rest.reserve((body.size_hint().lower() as usize).min(limit) + first.len() + data.len());
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(first.unwrap_or_else(|| rest.freeze()))
}
