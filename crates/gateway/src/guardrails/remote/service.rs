//! A service over HTTP: where it is, with which key it is asked, and how much of its answer is read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::time::Instant;

use super::{Permit, Silence};
use crate::config::problems::Severity;
use crate::config::reader::Section;
use crate::config::{BaseUrl, Host};
use crate::guardrails::registry::Reading;
use crate::server::read::{self, Patience, ReadError};
use crate::upstream::ask::ask;

/// Largest answer that is read, where nothing is said.
const LARGEST_ANSWER: u64 = 1024 * 1024;

/// Which header carries the key of a service.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeyHeader {
    /// `Authorization: Bearer`
    Bearer,
    /// `x-api-key`
    XApiKey,
}

/// One service.
#[derive(Debug)]
pub(super) struct Service {
    base: BaseUrl,
    /// Host and port, for records.
    pub(super) host: Arc<str>,
    headers: HeaderMap,
    largest: usize,
}

impl Service {
    /// Reads the address under `key` (or the variable of the environment, or the default), `api_key`, `headers` and
    /// `max_answer_bytes`. The host may be dialled from then on: it stands in the configuration.
    pub(super) fn read(
        reading: &mut Reading<'_, '_>,
        (key, variable): (&str, &str),
        default: Option<&str>,
        bearer: KeyHeader,
    ) -> Option<Self> {
        let params = reading.params;
        let written = params.text(key, reading.report).map(str::to_owned);
        let text = written
            .or_else(|| reading.variables.get(variable))
            .or_else(|| default.map(str::to_owned));
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            let message = format!("missing: where is the service? (or set {variable})");
            reading.problem(key, message);
            return None;
        };
        let base = match BaseUrl::parse(&text) {
            Ok(base) => base,
            Err(error) => {
                reading.problem(key, error.to_string());
                return None;
            }
        };
        if !reading.may_dial(&base, key) {
            return None;
        }
        let mut headers = HeaderMap::new();
        let fixed = [
            (header::CONTENT_TYPE, "application/json"),
            (header::ACCEPT, "application/json"),
            (header::ACCEPT_ENCODING, "identity"),
            (
                header::USER_AGENT,
                concat!("sealgate/", env!("CARGO_PKG_VERSION")),
            ),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let section = params.section("headers", reading.report);
        for entry in section.entries() {
            own_header(&section, &entry.key, reading, &mut headers);
        }
        let api_key = params.secret("api_key", reading.report);
        if let Some(api_key) = api_key.filter(|key| !key.is_empty()) {
            let (name, value) = match bearer {
                KeyHeader::Bearer => (
                    header::AUTHORIZATION,
                    format!("Bearer {}", api_key.expose()),
                ),
                KeyHeader::XApiKey => (
                    HeaderName::from_static("x-api-key"),
                    api_key.expose().to_owned(),
                ),
            };
            match HeaderValue::from_str(&value) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                Err(_) => reading.problem("api_key", "a key is visible ASCII without spaces"),
            }
            plain_http(&base, key, reading);
        }
        let largest = params.whole("max_answer_bytes", 1, reading.report);
        let host = match base.port {
            443 | 80 => base.host.to_string(),
            port => format!("{}:{port}", base.host),
        };
        Some(Self {
            base,
            host: Arc::from(host),
            headers,
            largest: usize::try_from(largest.unwrap_or(LARGEST_ANSWER)).unwrap_or(usize::MAX),
        })
    }

    /// Whether a key or a header of its own authenticates the gateway.
    pub(super) fn has_key(&self) -> bool {
        self.headers.contains_key(header::AUTHORIZATION)
            || self.headers.contains_key("x-api-key")
            || self.headers.contains_key("api-key")
    }

    /// Adds the key that the environment has for the service's public address.
    pub(super) fn add_bearer(&mut self, key: &str) {
        if let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {key}")) {
            value.set_sensitive(true);
            self.headers.insert(header::AUTHORIZATION, value);
        }
    }

    /// Whether it is the service of the provider that the name says.
    pub(super) fn is_at(&self, host: &str) -> bool {
        matches!(&self.base.host, Host::Name(name) if name == host)
    }

    /// The base without a suffix that people write although it is added.
    pub(super) fn without_suffix(mut self, suffix: &str) -> Self {
        if let Some(path) = self.base.path.strip_suffix(suffix) {
            self.base.path = path.to_owned();
        }
        self
    }

    /// Asks once: JSON goes out, the bytes of a 200 come back. No redirect is followed.
    pub(super) async fn post(
        &self,
        permit: &Permit,
        path: &str,
        body: Vec<u8>,
        until: Instant,
    ) -> Result<Bytes, Silence> {
        let uri: Uri = format!("{}{path}", self.base)
            .parse()
            .map_err(|_| Silence::Unreachable)?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        let response = ask(permit, request).await.map_err(|error| {
            tracing::warn!(host = %self.host, %error, "a check's service could not be reached");
            Silence::Unreachable
        })?;
        let status = response.status();
        if status != StatusCode::OK {
            tracing::warn!(host = %self.host, status = status.as_u16(), "a check's service did not answer 200");
            return Err(match status.as_u16() {
                401 | 403 => Silence::Denied,
                408 | 429 | 500.. => Silence::Unreachable,
                // A redirect too: where it leads was never allowed.
                _ => Silence::Malformed,
            });
        }
        let encoding = response.headers().get(header::CONTENT_ENCODING);
        if encoding.is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Silence::Malformed);
        }
        let left = until.saturating_duration_since(Instant::now());
        let patience = Patience {
            idle: left.max(Duration::from_millis(1)),
            whole: left.max(Duration::from_millis(1)),
        };
        read::whole(response.into_body(), self.largest, patience)
            .await
            .map_err(|error| match error {
                ReadError::TooLarge => Silence::Malformed,
                ReadError::Timeout => Silence::Timeout,
                ReadError::Incomplete => Silence::Unreachable,
            })
    }
}

impl Reading<'_, '_> {
    /// Allows the host of a service that the configuration names.
    pub(crate) fn may_dial(&mut self, base: &BaseUrl, key: &str) -> bool {
        let (place, path) = (self.params.place_of(key), self.params.path_of(key));
        let before = self.report.problems.len();
        self.egress.check_base(base, &place, &path, self.report);
        let good = self.report.problems.len() == before;
        if good {
            self.egress.add_base(base);
        }
        good
    }
}

/// Headers that belong to the connection or to the format.
const RESERVED: [&str; 8] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "accept-encoding",
    "connection",
    "upgrade",
    "expect",
];

/// A header of the configuration for the service.
fn own_header(
    section: &Section<'_>,
    key: &str,
    reading: &mut Reading<'_, '_>,
    headers: &mut HeaderMap,
) {
    let Some(value) = section.text(key, reading.report) else {
        return;
    };
    let name = HeaderName::from_bytes(key.to_ascii_lowercase().as_bytes());
    match (name, HeaderValue::from_str(value)) {
        (Ok(name), Ok(mut value)) if !RESERVED.contains(&name.as_str()) => {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        _ => {
            let (place, path) = (section.place_of(key), section.path_of(key));
            let message = "not a header that can be set";
            reading.report.problem(&place, &path, message);
        }
    }
}

/// A key on a plain connection that leaves the machine is said.
fn plain_http(base: &BaseUrl, key: &str, reading: &mut Reading<'_, '_>) {
    let local = match &base.host {
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ip(address) => address.is_loopback(),
    };
    if !base.tls && !local {
        let message = "plain http to another machine: texts and the key are readable on the way";
        let (place, path) = (reading.params.place_of(key), reading.params.path_of(key));
        reading
            .report
            .note(Severity::Warning, &place, &path, message);
    }
}
