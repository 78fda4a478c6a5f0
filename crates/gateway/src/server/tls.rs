//! TLS on the listener: certificate and key from files, read again on a reload.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsFiles;

/// Certificate or key cannot be used. Says which file and never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read, or is no PEM file of that kind.
    #[error("{path}: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The two do not belong together, or the library refuses them.
    #[error("certificate {certificate} and key {key}: {reason}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the library says.
        reason: String,
    },
}

/// What a listener needs to speak TLS.
pub(crate) struct Tls(ArcSwap<ServerConfig>);

impl Tls {
    /// Reads certificate and key.
    pub(crate) fn load(files: &TlsFiles) -> Result<Tls, TlsError> {
        server_config(files).map(|config| Tls(ArcSwap::from_pointee(config)))
    }

    /// Takes what was read for a reload; connections that are open keep what they began with.
    pub(crate) fn replace(&self, other: &Tls) {
        self.0.store(other.0.load_full());
    }

    /// The handshake. The caller limits its time.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.0.load_full()).accept(stream).await
    }
}

/// Whether the peers agreed on HTTP/2.
pub(crate) fn speaks_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

fn server_config(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let unreadable = |path: &PathBuf| {
        let path = path.clone();
        move |error: pem::Error| TlsError::File {
            path,
            reason: match error {
                pem::Error::Io(error) => error.to_string(),
                pem::Error::NoItemsFound => "nothing of that kind in it (PEM)".to_owned(),
                _ => "not a PEM file".to_owned(),
            },
        }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(&files.certificate))?;
    if chain.is_empty() {
        return Err(unreadable(&files.certificate)(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable(&files.key))?;
    let refused = |error: rustls::Error| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        reason: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(refused)?;
    config.alpn_protocols = match files.http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    // A resumed session costs memory here for each client, and nothing else.
    config.max_early_data_size = 0;
    Ok(config)
}
