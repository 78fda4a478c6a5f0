//! An accepted connection: socket options, and a memory of what was read since the last request.
//!
//! hyper drops `content-length` when a request also has `transfer-encoding`, which is safe here but not in front of a proxy
//! that decides otherwise. Such a request is refused, so its raw head must still be visible.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A peer that acknowledges nothing for this long is gone.
const SILENT_PEER: Duration = Duration::from_secs(60);
/// Bytes remembered of one request; heads are shorter.
const REMEMBERED: usize = 16 * 1024;

/// What was read since the last request was handled.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    /// True when a line of what was read names `content-length`; forgets everything.
    ///
    /// Asked only about requests with a transfer coding, whose head must not hold such a line.
    pub(crate) fn had_content_length(&self) -> bool {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        bytes.split(|byte| *byte == b'\n').any(|line| {
            const NAME: &[u8] = b"content-length";
            line.get(..NAME.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(NAME))
        })
    }

    /// Forgets everything: the request needs no second look.
    pub(crate) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn add(&self, bytes: &[u8]) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = REMEMBERED.saturating_sub(seen.len());
        seen.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
    }
}

/// The stream of one connection.
pub(crate) struct Watched {
    stream: TcpStream,
    seen: Seen,
}

impl Watched {
    /// Sets the socket options. TCP_NODELAY: without it every small write after the first waits for the peer's delayed
    /// acknowledgement (about 40 ms). User timeout: a vanished client frees its slots.
    pub(crate) fn new(stream: TcpStream, seen: Seen) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&stream);
        socket.set_tcp_user_timeout(Some(SILENT_PEER))?;
        socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(SILENT_PEER))?;
        Ok(Self { stream, seen })
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.seen
            .add(buffer.filled().get(before..).unwrap_or_default());
        result
    }
}

impl AsyncWrite for Watched {
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
        let watched = Watched::new(accepted, Seen::default()).expect("options");
        assert!(watched.stream.nodelay().expect("readable"));
        let socket = socket2::SockRef::from(&watched.stream);
        assert_eq!(
            socket.tcp_user_timeout().expect("readable"),
            Some(SILENT_PEER)
        );
        drop(client);
    }

    #[test]
    fn http_01_content_length_beside_a_transfer_coding_is_seen_once() {
        let seen = Seen::default();
        seen.add(b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nCONTENT-Length: 5\r\n\r\n");
        assert!(seen.had_content_length());
        assert!(!seen.had_content_length());
        seen.add(&[b'x'; 40_000]);
        assert!(!seen.had_content_length());
    }
}
