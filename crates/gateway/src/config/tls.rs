//! `sealgate.tls`, and LiteLLM's names for the same two files.

use std::path::{Path, PathBuf};

use super::Overrides;
use super::env::Variables;
use super::problems::{Place, Report};
use super::reader::Section;
use super::states::Table;

/// The files that a listener needs to speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain in PEM, the listener's own first.
    pub certificate: PathBuf,
    /// Private key in PEM: PKCS #8, PKCS #1 or SEC 1, without a passphrase.
    pub key: PathBuf,
    /// Whether HTTP/2 is offered beside HTTP/1.1.
    pub http2: bool,
}

/// Reads the section; else `--ssl_certfile_path` and `--ssl_keyfile_path`, else `SSL_CERTFILE_PATH` and
/// `SSL_KEYFILE_PATH`. `folder` is where relative paths of the file start.
pub(super) fn read(
    root: &Section<'_>,
    folder: &Path,
    overrides: &Overrides,
    variables: &Variables<'_>,
    table: &Table,
    report: &mut Report,
) -> Option<TlsFiles> {
    let section = root.section("sealgate", report).section("tls", report);
    section.judge_strictly(table, "sealgate.tls", report);
    let http2 = section.flag("http2", report).unwrap_or(true);
    let of_file =
        |key: &str, report: &mut Report| section.text(key, report).map(|path| folder.join(path));
    let (certificate, key) = (of_file("cert_file", report), of_file("key_file", report));
    let (place, certificate, key) = if certificate.is_some() || key.is_some() {
        (section.place.clone(), certificate, key)
    } else {
        let of = |flag: &Option<PathBuf>, name: &str| {
            let variable = || variables.get(name).map(PathBuf::from);
            flag.clone().or_else(variable)
        };
        (
            Place::outside("command line or environment"),
            of(&overrides.ssl_certfile, "SSL_CERTFILE_PATH"),
            of(&overrides.ssl_keyfile, "SSL_KEYFILE_PATH"),
        )
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate,
            key,
            http2,
        }),
        (None, None) => None,
        _ => {
            let message = "TLS needs a certificate and a key: cert_file and key_file";
            report.problem(&place, "sealgate.tls", message);
            None
        }
    }
}
