//! An accepted connection: socket options, and a memory of what was read since the last request.
//!
//! hyper drops `content-length` when a request also has `transfer-encoding`, which is safe here but not in front of a proxy
//! that decides otherwise. Such a request is refused, so its raw head must still be visible.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A peer that acknowledges nothing for this long is gone.
const SILENT_PEER: Duration = Duration::from_secs(60);
/// Bytes remembered of one request: more than the longest head that is accepted.
const REMEMBERED: usize = 80 * 1024;

/// What was read since the last request was handled, and since when a head is arriving.
#[derive(Clone)]
pub(crate) struct Seen {
    state: Arc<Mutex<State>>,
    head_time: Duration,
}

#[derive(Default)]
struct State {
    /// What arrived since the end of the last request, up to [`REMEMBERED`] bytes.
    bytes: Vec<u8>,
    /// How many bytes that was.
    total: u64,
    /// Bytes of the current request's body that have not arrived yet.
    body_left: u64,
    /// First byte of a head that is not complete yet.
    head_since: Option<Instant>,
    /// A handler is at work: what arrives is a body, or a request that waits its turn.
    handling: bool,
}

/// How the body of a request is framed, as the parser understood it.
#[derive(Clone, Copy)]
pub(crate) enum Framing {
    /// By length, 0 without a body.
    Length(u64),
    /// By a transfer coding.
    Coded,
}

impl Seen {
    /// `head_time`: how long a head may take from its first byte to its last.
    pub(crate) fn new(head_time: Duration) -> Self {
        Self {
            state: Arc::default(),
            head_time,
        }
    }

    /// The head of a request is complete and goes to its handler. True when it has a transfer coding and a line of what was
    /// read names `content-length` all the same, or when that cannot be told.
    pub(crate) fn begin_request(&self, framing: Framing) -> bool {
        let mut state = self.lock();
        state.handling = true;
        state.head_since = None;
        let truncated = state.total > state.bytes.len() as u64;
        let Framing::Length(length) = framing else {
            let found = truncated || names_content_length(&state.bytes);
            // Where its body ends is only known to the parser; the connection closes after it.
            *state = State {
                handling: true,
                ..State::default()
            };
            return found;
        };
        let end_of_head =
            memchr::memmem::find(&state.bytes, b"\r\n\r\n").map_or(state.bytes.len(), |at| at + 4);
        let end = (end_of_head as u64).saturating_add(length);
        if end >= state.total {
            state.body_left = end - state.total;
            state.bytes.clear();
            state.total = 0;
        } else {
            // The next request has begun already: its head stays in memory.
            let cut = usize::try_from(end).unwrap_or(usize::MAX);
            let cut = cut.min(state.bytes.len());
            state.bytes.drain(..cut);
            state.total -= end;
        }
        false
    }

    /// The handler has answered: the next bytes belong to the next request.
    pub(crate) fn end_request(&self) {
        self.lock().handling = false;
    }

    /// Takes note of bytes; false when the head they belong to has taken too long.
    fn add(&self, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        let mut state = self.lock();
        let of_body = state.body_left.min(bytes.len() as u64);
        state.body_left -= of_body;
        let next = usize::try_from(of_body)
            .ok()
            .and_then(|at| bytes.get(at..))
            .unwrap_or_default();
        state.total = state.total.saturating_add(next.len() as u64);
        let room = REMEMBERED.saturating_sub(state.bytes.len());
        state
            .bytes
            .extend_from_slice(next.get(..next.len().min(room)).unwrap_or_default());
        if state.handling {
            return true;
        }
        let since = *state.head_since.get_or_insert_with(Instant::now);
        since.elapsed() <= self.head_time
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn names_content_length(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    bytes.split(|byte| *byte == b'\n').any(|line| {
        line.get(..NAME.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(NAME))
    })
}

/// The stream of one connection.
pub(crate) struct Watched<S> {
    stream: S,
    seen: Seen,
}

/// Sets the socket options. TCP_NODELAY: without it every small write after the first waits for the peer's delayed
/// acknowledgement (about 40 ms). User timeout: a vanished client frees its slots.
pub(crate) fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_user_timeout(Some(SILENT_PEER))?;
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(SILENT_PEER))
}

impl<S> Watched<S> {
    /// Over a stream of what the client sends in clear, below TLS or not.
    pub(crate) fn new(stream: S, seen: Seen) -> Self {
        Self { stream, seen }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let new = buffer.filled().get(before..).unwrap_or_default();
        if !self.seen.add(new) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn options_are_set() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound"))
            .await
            .expect("connects");
        let (accepted, _) = listener.accept().await.expect("accepts");
        set_options(&accepted).expect("options");
        assert!(accepted.nodelay().expect("readable"));
        let socket = socket2::SockRef::from(&accepted);
        assert_eq!(
            socket.tcp_user_timeout().expect("readable"),
            Some(SILENT_PEER)
        );
        drop(client);
    }

    const TWICE: &[u8] =
        b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nCONTENT-Length: 5\r\n\r\n";

    #[test]
    fn http_01_content_length_beside_a_transfer_coding_is_seen() {
        let seen = Seen::new(Duration::from_secs(10));
        assert!(seen.add(TWICE));
        assert!(seen.begin_request(Framing::Coded));
        seen.end_request();
        seen.add(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(!seen.begin_request(Framing::Coded));
        seen.end_request();
        seen.add(&[b'x'; REMEMBERED + 1]);
        assert!(
            seen.begin_request(Framing::Coded),
            "what was not seen is not trusted"
        );
    }

    #[test]
    fn http_01_also_behind_a_request_in_the_same_read() {
        let seen = Seen::new(Duration::from_secs(10));
        let mut both = b"POST /x HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc".to_vec();
        both.extend_from_slice(TWICE);
        seen.add(&both);
        assert!(!seen.begin_request(Framing::Length(3)));
        seen.end_request();
        assert!(seen.begin_request(Framing::Coded));
    }

    #[test]
    fn a_body_that_comes_later_is_not_taken_for_a_head() {
        let seen = Seen::new(Duration::from_secs(10));
        seen.add(b"POST /x HTTP/1.1\r\ncontent-length: 18\r\n\r\nabc");
        assert!(!seen.begin_request(Framing::Length(18)));
        seen.add(b"\ncontent-length");
        seen.end_request();
        seen.add(b"POST /y HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
        assert!(!seen.begin_request(Framing::Coded));
    }

    #[test]
    fn a_head_may_not_drip_but_a_body_may() {
        let seen = Seen::new(Duration::ZERO);
        assert!(seen.add(b"") && seen.lock().head_since.is_none());
        seen.lock().head_since = Some(Instant::now() - Duration::from_millis(1));
        assert!(!seen.add(b"x"));
        seen.begin_request(Framing::Length(4));
        assert!(seen.add(b"body"));
        seen.end_request();
        seen.lock().head_since = Some(Instant::now() - Duration::from_millis(1));
        assert!(!seen.add(b"next head"));
    }
}
