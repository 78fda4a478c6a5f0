//! TLS to Redis.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// A client that trusts the certificates of a PEM file, or the public roots.
pub(super) fn client(roots: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut store = RootCertStore::empty();
    match roots {
        None => store
            .roots
            .extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unreadable = || format!("{} is no PEM file of certificates", path.display());
            let found = CertificateDer::pem_file_iter(path).map_err(|_| unreadable())?;
            for certificate in found {
                let certificate = certificate.map_err(|_| unreadable())?;
                store
                    .add(certificate)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
            }
            if store.is_empty() {
                return Err(unreadable());
            }
        }
    }
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The handshake.
pub(super) async fn wrap(
    stream: TcpStream,
    host: &str,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(config.clone())
        .connect(name, stream)
        .await
}
