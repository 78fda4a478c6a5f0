//! The HTTP client of the relay: pooled keep-alive connections, TLS by rustls, no redirects, no decompression.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::dialer::Dialer;
use crate::config::Egress;

/// Pooled client. Cheap to clone; one per process.
#[derive(Clone)]
pub(crate) struct Upstream {
    client: Client<HttpsConnector<Dialer>, Full<Bytes>>,
    egress: Arc<ArcSwap<Egress>>,
}

impl Upstream {
    /// `connect_timeout` bounds name resolution and connecting; idle connections are kept for 90 s.
    pub(crate) fn new(egress: Egress, connect_timeout: Duration) -> Self {
        let egress = Arc::new(ArcSwap::from_pointee(egress));
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dialer::new(egress.clone(), connect_timeout));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_max_idle_per_host(1024)
            // A request on a connection that the peer just closed is sent again only if no byte of it was written.
            .retry_canceled_requests(true)
            .http1_max_buf_size(256 * 1024)
            .build(https);
        Self { client, egress }
    }

    /// Replaces the allow-list for connections opened from now on.
    pub(crate) fn set_egress(&self, egress: &Egress) {
        self.egress.store(Arc::new(egress.clone()));
    }

    /// Sends one request and waits for the response head. Only the forward stage calls this.
    pub(super) async fn send(
        &self,
        request: http::Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, Error> {
        self.client.request(request).await
    }
}
