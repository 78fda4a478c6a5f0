//! The HTTP client of the relay: kept-alive connections, TLS by rustls, no redirects, no decompression.
//!
//! A connection has no task of its own: the call that uses it drives it (see [`super::link`]), so an answer reaches the
//! call without a wake-up of another task and without a channel that hands over one piece per turn of the scheduler.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_rustls::HttpsConnector;
use tower_service::Service;

use super::dialer::Dialer;
use super::link::{Failed, Io, Link, RelayBody, exchange};
use super::pool::{Origin, Pool};
use crate::config::Egress;

/// Largest head of an answer.
const LARGEST_HEAD: usize = 256 * 1024;

/// Client with a pool. Cheap to clone; one per process.
#[derive(Clone)]
pub(crate) struct Upstream {
    connector: HttpsConnector<Dialer>,
    pool: Arc<Pool>,
    egress: Arc<ArcSwap<Egress>>,
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection was made, so nothing was sent.
    #[error("connecting failed")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// The URL has no host.
    #[error("the URL has no host")]
    NoHost,
    /// The connection broke before the head of the answer was complete.
    #[error("the connection ended without an answer")]
    Broken(#[source] hyper::Error),
    /// The connection was closed on us in a way that left no error.
    #[error("the connection was closed")]
    Closed,
}

impl SendError {
    /// True when nothing of the request can have reached the provider.
    pub(crate) fn is_connect(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::NoHost)
    }
}

impl Upstream {
    /// `connect_timeout` bounds name resolution and connecting; idle connections are kept for 90 s.
    pub(crate) fn new(egress: Egress, connect_timeout: Duration) -> Self {
        let egress = Arc::new(ArcSwap::from_pointee(egress));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dialer::new(egress.clone(), connect_timeout));
        let pool = Pool::new();
        Self {
            connector,
            pool,
            egress,
        }
    }

    /// Replaces the allow-list for connections opened from now on.
    pub(crate) fn set_egress(&self, egress: &Egress) {
        self.egress.store(Arc::new(egress.clone()));
    }

    /// Sends one request and waits for the response head. Only the forward stage calls this.
    ///
    /// A kept connection may be closed by the provider at the very moment of use. Then the request goes out on another
    /// one, but only if no byte of it was written: a provider never sees a request twice.
    ///
    /// # Errors
    /// When no connection is made, or it breaks before the head of the answer is complete.
    pub(super) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<RelayBody>, SendError> {
        let origin = Origin::of(request.uri()).ok_or(SendError::NoHost)?;
        let uri = std::mem::take(request.uri_mut());
        *request.uri_mut() = in_origin_form(&uri);
        let host = self.pool.host(&origin);
        request.headers_mut().insert(http::header::HOST, host);
        while let Some(link) = self.pool.take(&origin) {
            match exchange(link, request).await {
                Ok((response, link)) => return Ok(self.relayed(response, link, origin)),
                Err(Failed::Unsent(unsent)) => request = *unsent,
                Err(Failed::Broken(error)) => return Err(SendError::Broken(error)),
                Err(Failed::Closed) => return Err(SendError::Closed),
            }
        }
        let link = self.connect(&uri).await?;
        match exchange(link, request).await {
            Ok((response, link)) => Ok(self.relayed(response, link, origin)),
            Err(Failed::Broken(error)) => Err(SendError::Broken(error)),
            Err(Failed::Unsent(_) | Failed::Closed) => Err(SendError::Closed),
        }
    }

    /// Connections that wait for their next use.
    #[cfg(test)]
    pub(super) fn idle(&self, origin: &Origin) -> usize {
        self.pool.idle(origin)
    }

    fn relayed(
        &self,
        response: Response<hyper::body::Incoming>,
        link: Link,
        origin: Origin,
    ) -> Response<RelayBody> {
        let pool = self.pool.clone();
        response.map(|incoming| RelayBody::new(incoming, link, pool, origin))
    }

    async fn connect(&self, uri: &Uri) -> Result<Link, SendError> {
        let io: Io = self
            .connector
            .clone()
            .call(uri.clone())
            .await
            .map_err(SendError::Connect)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(LARGEST_HEAD)
            .handshake(io)
            .await
            .map_err(|error| SendError::Connect(error.into()))?;
        Ok(Link::new(sender, connection))
    }
}

/// The path and query: what HTTP/1.1 sends to an origin server (RFC 9112 section 3.2.1).
fn in_origin_form(uri: &Uri) -> Uri {
    uri.path_and_query()
        .cloned()
        .map_or_else(|| Uri::from_static("/"), Uri::from)
}
