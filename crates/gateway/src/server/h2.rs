//! HTTP/2 on a TLS connection, with a limit for everything that one connection can ask for.
//!
//! hyper and h2 bound streams, header lists and CONTINUATION frames. What they leave open is bounded here: frames that cost
//! the peer nothing (resets, pings, settings, empty frames), connections on which nothing happens, and streams that are
//! answered and not read.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::accept::{ServerLimits, stopped};
use super::body::Body;
use super::frames::Metered;
use super::reply::Reply;

/// Requests under way on one connection; more are refused with REFUSED_STREAM, which clients repeat.
const MAX_STREAMS: u32 = 100;
/// Streams that the peer reset before they were looked at.
const MAX_UNSEEN_RESETS: usize = 20;
/// Streams that were reset because the peer broke the protocol.
const MAX_BROKEN_STREAMS: usize = 100;
/// Bytes in flight on one stream, and on all of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// Bytes of an answer that wait in memory for the peer's window.
const SEND_BUFFER: usize = 256 * 1024;
/// How long a connection may be without a request, and a frame of an answer without being taken.
const IDLE: Duration = Duration::from_secs(75);
const UNREAD: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Time for a closing connection to say so.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves one connection to its end.
pub(super) async fn serve<S, H, F>(
    stream: S,
    limits: ServerLimits,
    mut stop: watch::Receiver<bool>,
    handler: Arc<H>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(http::Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let streams = Arc::new(Streams::default());
    let service = {
        let streams = streams.clone();
        service_fn(move |mut request: http::Request<Incoming>| {
            let open = streams.begin();
            name_host(&mut request);
            let reply = handler(request);
            async move { Ok::<_, Infallible>(reply.await.map(|body| Taken { body, open })) }
        })
    };
    let head = u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(head)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(MAX_BROKEN_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20))
        .serve_connection(TokioIo::new(Metered::new(stream)), service);
    let mut connection = std::pin::pin!(connection);
    let mut look = tokio::time::interval(LOOK);
    let why = loop {
        tokio::select! {
            result = connection.as_mut() => return log_end(result),
            () = stopped(&mut stop) => break None,
            _ = look.tick() => if let Some(why) = streams.stuck(Instant::now()) { break Some(why) },
        }
    };
    connection.as_mut().graceful_shutdown();
    let Some(why) = why else {
        return log_end(connection.await);
    };
    tracing::debug!(why, "closing an HTTP/2 connection");
    let _gone = tokio::time::timeout(GOODBYE, connection).await;
}

fn log_end(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

/// `:authority` is the host header of HTTP/2; everything behind this reads one place.
fn name_host(request: &mut http::Request<Incoming>) {
    if request.headers().contains_key(header::HOST) {
        return;
    }
    let authority = request.uri().authority();
    if let Some(host) = authority.and_then(|name| HeaderValue::from_str(name.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// The streams of one connection that are under way.
struct Streams {
    next: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// Each stream, with the time since which a frame of its answer waits to be taken.
    open: HashMap<u64, Option<Instant>>,
    /// When the last stream ended.
    quiet_since: Instant,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(0),
            state: Mutex::new(State {
                open: HashMap::new(),
                quiet_since: Instant::now(),
            }),
        }
    }
}

impl Streams {
    fn begin(self: &Arc<Self>) -> OpenStream {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().open.insert(id, None);
        OpenStream {
            id,
            streams: self.clone(),
        }
    }

    /// Why the connection should be closed.
    fn stuck(&self, now: Instant) -> Option<&'static str> {
        let state = self.lock();
        if state.open.is_empty() {
            return (now.duration_since(state.quiet_since) > IDLE).then_some("no request");
        }
        let mut waiting = state.open.values().flatten();
        waiting
            .any(|since| now.duration_since(*since) > UNREAD)
            .then_some("an answer is not read")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream in [`Streams`].
struct OpenStream {
    id: u64,
    streams: Arc<Streams>,
}

impl OpenStream {
    /// A frame was handed over (`Some`), or the peer has taken all there was.
    fn waits(&self, since: Option<Instant>) {
        self.streams.lock().open.insert(self.id, since);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut state = self.streams.lock();
        state.open.remove(&self.id);
        state.quiet_since = Instant::now();
    }
}

/// An answer's body that notes when the connection asks for more: it does so only when the peer has room.
struct Taken {
    body: Body,
    open: OpenStream,
}

impl http_body::Body for Taken {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let handed = matches!(polled, Poll::Ready(Some(_)));
        self.open.waits(handed.then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_requests_or_with_an_unread_answer_is_closed() {
        let streams = Arc::new(Streams::default());
        let stuck = |after: u64| streams.stuck(Instant::now() + Duration::from_secs(after));
        assert_eq!(stuck(70), None);
        assert_eq!(stuck(80), Some("no request"));
        let one = streams.begin();
        assert_eq!(stuck(600), None, "a call may take its time");
        one.waits(Some(Instant::now()));
        assert_eq!(stuck(50), None);
        assert_eq!(stuck(70), Some("an answer is not read"));
        one.waits(None);
        assert_eq!(stuck(600), None);
        drop(one);
        assert_eq!(stuck(70), None);
        assert_eq!(stuck(80), Some("no request"));
    }
}
