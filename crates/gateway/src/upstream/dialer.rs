//! The only place that opens a connection: resolves, asks the egress guard about each address, connects, sets TCP_NODELAY.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::config::{Egress, Host};

/// Connector for the HTTP client. Every new connection passes [`Egress::allows`] with the address it will really use.
#[derive(Clone)]
pub(crate) struct Dialer {
    egress: Arc<ArcSwap<Egress>>,
    timeout: Duration,
}

impl Dialer {
    /// `timeout` bounds name resolution and connecting together.
    pub(crate) fn new(egress: Arc<ArcSwap<Egress>>, timeout: Duration) -> Self {
        Self { egress, timeout }
    }
}

/// A connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The egress guard refused the address.
    #[error(
        "`{0}` resolves to an address that is not allowed; name it under sealgate.egress.allow if this is intended"
    )]
    Refused(String),
    /// The name has no address.
    #[error("`{0}` has no address")]
    NoAddress(String),
    /// The URL has no host.
    #[error("the URL has no host")]
    NoHost,
    /// Resolving or connecting took longer than allowed.
    #[error("connecting took longer than {0:?}")]
    Timeout(Duration),
    /// The operating system refused.
    #[error("connecting failed: {}", .0.kind())]
    Io(#[from] io::Error),
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (egress, timeout) = (self.egress.load_full(), self.timeout);
        Box::pin(async move {
            tokio::time::timeout(timeout, connect(&egress, &uri))
                .await
                .map_err(|_| DialError::Timeout(timeout))?
        })
    }
}

async fn connect(egress: &Egress, uri: &Uri) -> Result<TokioIo<TcpStream>, DialError> {
    let name = uri
        .host()
        .ok_or(DialError::NoHost)?
        .trim_matches(|c| c == '[' || c == ']')
        .to_ascii_lowercase();
    let port = uri
        .port_u16()
        .unwrap_or(if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        });
    let (host, addresses) = match name.parse::<IpAddr>() {
        Ok(ip) => (Host::Ip(ip), vec![SocketAddr::new(ip, port)]),
        Err(_) => {
            let resolved = tokio::net::lookup_host((name.as_str(), port))
                .await?
                .collect();
            (Host::Name(name.clone()), resolved)
        }
    };
    // A name with one closed address is refused whole: mixed answers are how rebinding gets a second try.
    if addresses
        .iter()
        .any(|address: &SocketAddr| !egress.allows(&host, port, address.ip()))
    {
        return Err(DialError::Refused(name));
    }
    let mut last = DialError::NoAddress(name);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(TokioIo::new(stream));
            }
            Err(error) => last = DialError::Io(error),
        }
    }
    Err(last)
}
