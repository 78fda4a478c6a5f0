//! Tokens of Microsoft Entra ID for Azure deployments: the client-credentials grant of OAuth 2.0 (RFC 6749 section 4.4).
//!
//! A token is fetched when a call first needs it, kept until shortly before its end, and fetched by one call at a time: the
//! others go on with the old token while it is still good, and wait only when there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;
use tokio::sync::Mutex;

use super::client::Upstream;
use crate::config::EntraClient;
use crate::error::Error;
use crate::server::read::{self, Patience};

/// A token is renewed this long before it ends.
const EARLY: Duration = Duration::from_secs(300);
/// Longest wait for the identity provider.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest answer of the identity provider.
const LARGEST: usize = 64 * 1024;

/// The credentials of one deployment and the newest token they gave.
pub(crate) struct Entra {
    uri: Uri,
    form: Bytes,
    token: ArcSwapOption<Token>,
    fetching: Mutex<()>,
}

struct Token {
    value: HeaderValue,
    renew_at: Instant,
    ends_at: Instant,
}

impl Entra {
    /// `None` if the address is no URL, which the configuration has checked.
    pub(crate) fn new(client: &EntraClient) -> Option<Self> {
        let tenant = escaped(&client.tenant);
        let uri = format!("{}/{tenant}/oauth2/v2.0/token", client.authority);
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
            escaped(&client.client_id),
            escaped(client.client_secret.expose()),
            escaped(&client.scope),
        );
        Some(Self {
            uri: uri.parse().ok()?,
            form: Bytes::from(form),
            token: ArcSwapOption::empty(),
            fetching: Mutex::new(()),
        })
    }

    /// Puts a token that is still good into `headers`.
    ///
    /// # Errors
    /// When there is none and the identity provider gives none.
    pub(crate) async fn authorize(
        &self,
        upstream: &Upstream,
        headers: &mut HeaderMap,
    ) -> Result<(), Error> {
        let token = self.good(upstream).await?;
        headers.insert(header::AUTHORIZATION, token.value.clone());
        Ok(())
    }

    async fn good(&self, upstream: &Upstream) -> Result<Arc<Token>, Error> {
        let now = Instant::now();
        let kept = self.token.load_full().filter(|token| now < token.ends_at);
        let guard = match kept {
            Some(token) if now < token.renew_at => return Ok(token),
            Some(token) => match self.fetching.try_lock() {
                Ok(guard) => guard,
                // Somebody renews it already.
                Err(_) => return Ok(token),
            },
            None => self.fetching.lock().await,
        };
        // It may have come while this call waited.
        let now = Instant::now();
        if let Some(token) = self.token.load_full().filter(|token| now < token.renew_at) {
            return Ok(token);
        }
        let fetched = match tokio::time::timeout(PATIENCE, self.fetch(upstream)).await {
            Ok(Ok(token)) => Ok(Arc::new(token)),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err("it did not answer in time"),
        };
        drop(guard);
        match fetched {
            Ok(token) => {
                self.token.store(Some(token.clone()));
                Ok(token)
            }
            Err(reason) => {
                tracing::warn!(reason, "the identity provider gave no token");
                let old = self.token.load_full().filter(|token| now < token.ends_at);
                old.ok_or_else(|| {
                    Error::UpstreamUnreachable(format!(
                        "the identity provider gave no token: {reason}"
                    ))
                })
            }
        }
    }

    /// The reason of a failure never holds what the identity provider wrote.
    async fn fetch(&self, upstream: &Upstream) -> Result<Token, &'static str> {
        let mut request = Request::new(Full::new(self.form.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(self.form.len()));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let asked = Instant::now();
        let response = upstream
            .send(request)
            .await
            .map_err(|_| "it could not be reached")?;
        if !response.status().is_success() {
            return Err("it refused the credentials");
        }
        let patience = Patience {
            idle: PATIENCE,
            whole: PATIENCE,
        };
        let body = read::whole(response.into_body(), LARGEST, patience)
            .await
            .map_err(|_| "its answer was cut")?;
        let answer: serde_json::Value =
            serde_json::from_slice(&body).map_err(|_| "its answer is not JSON")?;
        let text = answer
            .get("access_token")
            .and_then(serde_json::Value::as_str);
        let seconds = answer.get("expires_in").and_then(serde_json::Value::as_u64);
        let (Some(text), Some(seconds)) = (text, seconds) else {
            return Err("its answer holds no token");
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {text}"))
            .map_err(|_| "its token cannot be sent")?;
        value.set_sensitive(true);
        let life = Duration::from_secs(seconds.min(24 * 3600));
        // A token that lives shorter than the margin is renewed at half its life.
        let margin = EARLY.min(life / 2);
        Ok(Token {
            value,
            renew_at: asked + life.saturating_sub(margin),
            ends_at: asked + life,
        })
    }
}

/// A value of a form or a path segment.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
