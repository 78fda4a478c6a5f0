//! One HTTP/1.1 connection to a provider, driven by whoever uses it.
//!
//! hyper splits a connection into a future that does the I/O and handles that talk to it through channels. Usually the
//! future gets a task of its own. Here the user of the handles polls it: every poll of the answer drives the connection
//! first. As nobody else can fill those channels, the handles are polled with a waker that does nothing; the connection
//! alone is polled with the real one, and only the socket wakes the call.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::pool::{Origin, Pool};

/// Most bytes after the end of an answer that are read for the sake of the connection, and how long they may take.
const MOST_SURPLUS: usize = 16 * 1024;
const LONGEST_RELEASE: Duration = Duration::from_secs(1);

/// What a connection reads and writes.
pub(super) type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// An open connection.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection<Io, Full<Bytes>>>>,
    /// The connection's future has ended; it must not be polled again.
    over: bool,
    /// When it was last given back.
    pub(super) idle_since: Instant,
}

impl Link {
    pub(super) fn new(
        sender: SendRequest<Full<Bytes>>,
        connection: Connection<Io, Full<Bytes>>,
    ) -> Self {
        Self {
            sender,
            connection: Box::pin(connection),
            over: false,
            idle_since: Instant::now(),
        }
    }

    /// Does whatever I/O is possible now.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if self.over {
            return;
        }
        if let Poll::Ready(result) = self.connection.as_mut().poll(cx) {
            self.over = true;
            if let Err(error) = result {
                tracing::debug!(%error, "connection to a provider ended");
            }
        }
    }

    /// Whether another request can go out. Notices a peer that has closed meanwhile; takes the waker of the last user out
    /// of the socket.
    pub(super) fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.over && self.sender.is_ready()
    }
}

/// Why there is no answer.
pub(super) enum Failed {
    /// The connection was gone before a byte was written; here is the request.
    Unsent(Box<Request<Full<Bytes>>>),
    Broken(hyper::Error),
    Closed,
}

/// Sends a request and waits for the head of its answer.
pub(super) async fn exchange(
    mut link: Link,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, Link), Failed> {
    let answer = link.sender.try_send_request(request);
    let result = {
        let mut answer = pin!(answer);
        poll_fn(|cx| {
            link.drive(cx);
            match answer
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
            {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if link.over => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    };
    match result {
        Some(Ok(response)) => Ok((response, link)),
        Some(Err(mut error)) => Err(match error.take_message() {
            Some(request) => Failed::Unsent(Box::new(request)),
            None => Failed::Broken(error.into_error()),
        }),
        None => Err(Failed::Closed),
    }
}

/// Body of a provider's answer. Read to its end it gives the connection back; dropped before, it closes it, which is how
/// a provider learns that nobody listens any more.
pub(crate) struct RelayBody {
    incoming: Incoming,
    /// `None` once given back or closed.
    link: Option<Link>,
    pool: Arc<Pool>,
    origin: Option<Origin>,
}

impl RelayBody {
    pub(super) fn new(incoming: Incoming, link: Link, pool: Arc<Pool>, origin: Origin) -> Self {
        Self {
            incoming,
            link: Some(link),
            pool,
            origin: Some(origin),
        }
    }

    /// For an answer that is complete by its own words (`[DONE]`) while its framing is not yet: reads the little that is
    /// left, in the background if it is not here, so that the connection can be used again.
    pub(crate) fn release(mut self) {
        let mut surplus = 0;
        let mut noop = Context::from_waker(Waker::noop());
        if self.poll_out(&mut surplus, &mut noop).is_pending() {
            let rest = poll_fn(move |cx| self.poll_out(&mut surplus, cx));
            tokio::spawn(tokio::time::timeout(LONGEST_RELEASE, rest));
        }
    }

    /// Reads to the end, or to [`MOST_SURPLUS`] bytes; a peer that sends more loses its connection.
    fn poll_out(&mut self, surplus: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(frame) = ready!(Pin::new(&mut *self).poll_frame(cx)) {
            let length = frame
                .ok()
                .and_then(|frame| frame.data_ref().map(Bytes::len));
            *surplus += length.unwrap_or(0);
            if length.is_none() || *surplus > MOST_SURPLUS {
                self.link = None;
                break;
            }
        }
        Poll::Ready(())
    }

    fn give_back(&mut self) {
        if let (Some(mut link), Some(origin)) = (self.link.take(), self.origin.take())
            && link.is_usable()
        {
            self.pool.put(origin, link);
        }
    }
}

impl http_body::Body for RelayBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let mut noop = Context::from_waker(Waker::noop());
        let mut next = Pin::new(&mut this.incoming).poll_frame(&mut noop);
        if next.is_pending()
            && let Some(link) = &mut this.link
        {
            link.drive(cx);
            next = Pin::new(&mut this.incoming).poll_frame(&mut noop);
        }
        match &next {
            Poll::Ready(None) => this.give_back(),
            Poll::Ready(Some(Err(_))) => this.link = None,
            _ => {}
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
