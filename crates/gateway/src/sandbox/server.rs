//! The listener and its end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::journal::{Journal, Recorded};
use super::provider::Provider;

/// How a sandbox is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Address to bind; loopback with a free port when absent.
    pub address: Option<SocketAddr>,
    /// Bearer token that callers must present; any when absent.
    pub api_key: Option<String>,
}

/// A running sandbox. Stops when dropped; [`Sandbox::stop`] waits for the end.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    journal: Journal,
    task: JoinHandle<()>,
}

impl Sandbox {
    /// Starts on a free loopback port and accepts any key.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> io::Result<Self> {
        Self::with(Options::default()).await
    }

    /// Starts as told.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn with(options: Options) -> io::Result<Self> {
        let address = options
            .address
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let journal = Journal::new();
        let provider = Arc::new(Provider::new(options.api_key, journal.clone()));
        Ok(Self {
            address,
            journal,
            task: tokio::spawn(accept(listener, provider)),
        })
    }

    /// Address that is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Value for `api_base`: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.journal.requests()
    }

    /// The journal itself, for waiting; it outlives the sandbox.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Closes the listener and all connections, and waits until they are closed.
    pub async fn stop(mut self) {
        self.task.abort();
        // The only outcome of an aborted task is the cancellation just asked for.
        let _cancelled = (&mut self.task).await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, provider: Arc<Provider>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(serve(stream, provider.clone()));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn serve(stream: TcpStream, provider: Arc<Provider>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| {
        let provider = provider.clone();
        async move { provider.answer(request).await }
    });
    // A caller that goes away, or a break made on purpose, is an error of the connection and part of the play.
    let ended = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = ended {
        tracing::trace!(%error, "sandbox connection ended");
    }
}
