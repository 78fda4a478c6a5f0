//! Accepting connections and draining them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::header::{self, HeaderValue};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::addresses::{Door, Entered};
use super::framing::TwoFramings;
use super::h2;
use super::reply::Reply;
use super::tls::{self, Tls};
use super::watched::{self, Framing, Seen, Watched};
use crate::identity::address::Peer;

/// How long a connection may be without a request. Longer than the 60 s for which proxies in front keep theirs, so that
/// it is they who close and no request meets a closing connection.
const IDLE: Duration = Duration::from_secs(75);

/// Limits of a listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerLimits {
    /// Longest head in bytes; a larger one is answered 431.
    pub(crate) max_head_bytes: usize,
    /// Time from the first byte of a head to its last.
    pub(crate) head_timeout: Duration,
    /// Connections beyond this are closed at once.
    pub(crate) max_connections: usize,
}

/// Serves until `stop` turns true, then lets open calls finish for `grace` before the remaining connections are dropped.
pub(crate) async fn serve<H, F>(
    listener: TcpListener,
    limits: ServerLimits,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
    tls: Option<Arc<Tls>>,
    door: Arc<Door>,
    handler: Arc<H>,
) where
    H: Fn(http::Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let open = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if open.load(Ordering::Relaxed) < limits.max_connections => {
                    let Some(entered) = door.enter(peer.ip()) else {
                        tracing::debug!("connection refused: too many open from its address");
                        continue;
                    };
                    let connection = Connection { limits, stop: stop.clone(), handler: handler.clone(), tls: tls.clone(), open: Counted::new(&open, entered) };
                    tasks.spawn(connection.run(stream));
                }
                Ok(_) => tracing::warn!(max = limits.max_connections, "connection refused: too many open"),
                Err(error) => pause_after(&error).await,
            },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            _ = stopped(&mut stop) => break,
        }
    }
    drop(listener);
    let drained =
        tokio::time::timeout(grace, async { while tasks.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(
            open = tasks.len(),
            "drain time is over; closing the remaining connections"
        );
        tasks.shutdown().await;
    }
}

pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Out of file descriptors: accepting again at once would spin.
async fn pause_after(error: &io::Error) {
    tracing::error!(kind = ?error.kind(), "accept failed");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

struct Connection<H> {
    limits: ServerLimits,
    stop: watch::Receiver<bool>,
    handler: Arc<H>,
    tls: Option<Arc<Tls>>,
    open: Counted,
}

impl<H, F> Connection<H>
where
    H: Fn(http::Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    /// Serves the connection; each request carries the address of its other end.
    async fn run(self, stream: TcpStream) {
        let peer = stream.peer_addr().ok().map(Peer);
        let Self {
            limits,
            stop,
            handler,
            tls,
            open,
        } = self;
        let handler = Arc::new(move |mut request: http::Request<Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            handler(request)
        });
        let named = Connection {
            limits,
            stop,
            handler,
            tls,
            open,
        };
        named.accepted(stream).await;
    }

    async fn accepted(self, stream: TcpStream) {
        if let Err(error) = watched::set_options(&stream) {
            tracing::debug!(kind = ?error.kind(), "connection ended before it began");
            return;
        }
        let Some(tls) = self.tls.clone() else {
            return self.http1(stream).await;
        };
        let shaken = tokio::time::timeout(self.limits.head_timeout, tls.accept(stream)).await;
        match shaken {
            Ok(Ok(stream)) if tls::speaks_http2(&stream) => {
                // The count of open connections goes down when this future ends.
                let Self {
                    limits,
                    stop,
                    handler,
                    open: _open,
                    ..
                } = self;
                Box::pin(h2::serve(stream, limits, stop, handler)).await;
            }
            Ok(Ok(stream)) => self.http1(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_) => tracing::debug!("TLS handshake took too long"),
        }
    }

    async fn http1<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            limits,
            mut stop,
            handler,
            open,
            ..
        } = self;
        let seen = Seen::new(limits.head_timeout);
        let stream = Watched::new(stream, seen.clone());
        let service = service_fn(move |mut request: http::Request<Incoming>| {
            let headers = request.headers();
            let coded = headers.contains_key(header::TRANSFER_ENCODING);
            let length = headers
                .get(header::CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            let framing = match coded {
                true => Framing::Coded,
                false => Framing::Length(length.unwrap_or(0)),
            };
            if seen.begin_request(framing) {
                request.extensions_mut().insert(TwoFramings);
            }
            let (reply, seen) = (handler(request), seen.clone());
            async move {
                let mut reply = reply.await;
                seen.end_request();
                if coded {
                    // What follows a coded body cannot be watched, so nothing may follow it.
                    let close = HeaderValue::from_static("close");
                    reply.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(reply)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(limits.max_head_bytes.max(8192))
            .keep_alive(true)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            result = connection.as_mut() => log_end(result),
            () = stopped(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                log_end(connection.await);
            }
        }
        drop(open);
    }
}

fn log_end(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection ended");
    }
}

/// One open connection in the counts: of all, and of its address where those are counted.
struct Counted {
    all: Arc<AtomicUsize>,
    _of_address: Option<Entered>,
}

impl Counted {
    fn new(count: &Arc<AtomicUsize>, entered: Option<Entered>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self {
            all: count.clone(),
            _of_address: entered,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}
