//! Requests whose framing or target two parsers could read in two ways are refused and the connection is closed.

use http::request::Parts;
use http::{Version, header};

use crate::error::Error;

/// Mark of a request that came with both a length and a transfer coding.
#[derive(Clone, Copy)]
pub(crate) struct TwoFramings;

/// Checks host, target form and transfer coding.
///
/// # Errors
/// [`Error::BadFraming`]; the caller closes the connection after the answer.
pub(crate) fn check(head: &Parts) -> Result<(), Error> {
    if head.extensions.get::<TwoFramings>().is_some() {
        return Err(Error::BadFraming("content-length beside transfer-encoding"));
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Error::BadFraming("more than one host header"));
    }
    match host.map(|value| value.as_bytes()) {
        None if head.version == Version::HTTP_11 => {
            return Err(Error::BadFraming("no host header"));
        }
        Some(value) if !is_host(value) => {
            return Err(Error::BadFraming("the host header is not a host"));
        }
        _ => {}
    }
    if let Some(authority) = head.uri.authority() {
        let same = host.is_some_and(|value| {
            value
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes())
        });
        if !same {
            return Err(Error::BadFraming(
                "the target names another host than the host header",
            ));
        }
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next()
        && (codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(Error::BadFraming("transfer-encoding other than chunked"));
    }
    Ok(())
}

fn is_host(value: &[u8]) -> bool {
    !value.is_empty()
        && value.iter().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(http::Request::builder())
            .body(())
            .expect("a request")
            .into_parts()
            .0
    }

    #[test]
    fn http_17_hosts() {
        assert!(check(&parts(|b| b.uri("/x").header("host", "a:4000"))).is_ok());
        assert!(check(&parts(|b| b.uri("/x").header("host", "[::1]:4000"))).is_ok());
        assert!(check(&parts(|b| b.uri("/x"))).is_err());
        assert!(check(&parts(|b| b.uri("/x").header("host", ""))).is_err());
        assert!(
            check(&parts(|b| b
                .uri("/x")
                .header("host", "a")
                .header("host", "a")))
            .is_err()
        );
        assert!(
            check(&parts(|b| b
                .uri("/x")
                .header("host", "localhost:4000/#@attacker.example")))
            .is_err()
        );
        assert!(check(&parts(|b| b.uri("http://b/x").header("host", "a"))).is_err());
        assert!(check(&parts(|b| b.uri("http://a/x").header("host", "a"))).is_ok());
    }

    #[test]
    fn http_03_transfer_codings() {
        for coding in ["xchunked", "chunked, identity", "gzip, chunked", "identity"] {
            let head = parts(|b| {
                b.uri("/x")
                    .header("host", "a")
                    .header("transfer-encoding", coding)
            });
            assert!(check(&head).is_err(), "{coding}");
        }
        assert!(
            check(&parts(|b| b
                .uri("/x")
                .header("host", "a")
                .header("transfer-encoding", "Chunked")))
            .is_ok()
        );
    }
}
