//! Where Redis is and how it is spoken to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;
use zeroize::Zeroizing;

use super::tls;

/// Connection settings. The password is in no text that this makes.
#[derive(Clone)]
pub struct Settings {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the user; Redis' default one when absent.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Zeroizing<String>>,
    /// Number of the database.
    pub database: u32,
    /// Set for `rediss://`.
    pub tls: Option<Arc<ClientConfig>>,
    /// The longest a connection takes to open.
    pub connect_timeout: Duration,
    /// The longest a call waits for its reply.
    pub timeout: Duration,
}

/// A URL that names no Redis. It says nothing of the URL itself, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not `redis://` or `rediss://`.
    #[error("expected redis://[[user]:password@]host[:port][/database] or rediss://...")]
    Form,
    /// Not a port.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// Not a database.
    #[error("the database is not a whole number")]
    Database,
    /// A percent sign without two hexadecimal digits.
    #[error("a percent sign in user or password is not followed by two hexadecimal digits")]
    Percent,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 6_379,
            user: None,
            password: None,
            database: 0,
            tls: None,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Host and port, for errors.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Reads `redis://[[user]:password@]host[:port][/database]`; `rediss://` speaks TLS.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn from_url(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(UrlError::Form)?;
        let mut settings = Self::default();
        match scheme {
            "redis" => {}
            "rediss" => settings.tls = Some(tls::client(None).map_err(UrlError::Tls)?),
            _ => return Err(UrlError::Form),
        }
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(login), host),
            None => (None, authority),
        };
        if let Some(login) = login {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            settings.user = Some(unescape(user)?).filter(|user| !user.is_empty());
            settings.password =
                Some(Zeroizing::new(unescape(password)?)).filter(|password| !password.is_empty());
        }
        let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
            Some((inner, port)) => (inner, port.strip_prefix(':')),
            None => match host.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host, None),
            },
        };
        if host.is_empty() {
            return Err(UrlError::Form);
        }
        settings.host = host.to_owned();
        if let Some(port) = port {
            settings.port = port
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(UrlError::Port)?;
        }
        if !path.is_empty() {
            settings.database = path.parse().map_err(|_| UrlError::Database)?;
        }
        Ok(settings)
    }

    /// Speaks TLS, with the roots of the PEM file, or the public ones.
    ///
    /// # Errors
    /// [`UrlError::Tls`].
    pub fn with_tls(mut self, roots: Option<&std::path::Path>) -> Result<Self, UrlError> {
        self.tls = Some(tls::client(roots).map_err(UrlError::Tls)?);
        Ok(self)
    }
}

fn unescape(text: &str) -> Result<String, UrlError> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || {
            let byte = bytes.next().ok_or(UrlError::Percent)?;
            char::from(byte).to_digit(16).ok_or(UrlError::Percent)
        };
        let value = digit()? * 16 + digit()?;
        out.push(u8::try_from(value).map_err(|_| UrlError::Percent)?);
    }
    String::from_utf8(out).map_err(|_| UrlError::Percent)
}

#[cfg(test)]
mod tests {
    use super::{Settings, UrlError};

    #[test]
    fn urls_are_read_as_written() {
        let read = |url: &str| Settings::from_url(url).unwrap();
        let plain = read("redis://cache.example");
        assert_eq!(
            (plain.address(), plain.database),
            ("cache.example:6379".to_owned(), 0)
        );
        let full = read("redis://me:p%40ss%2F@[::1]:7000/3");
        assert_eq!(
            (full.host.as_str(), full.port, full.database),
            ("::1", 7000, 3)
        );
        assert_eq!(full.user.as_deref(), Some("me"));
        assert_eq!(full.password.as_deref().map(String::as_str), Some("p@ss/"));
        let password_only = read("rediss://:secret@h/0");
        assert_eq!(password_only.user, None);
        assert!(password_only.tls.is_some());
        assert!(!format!("{password_only:?}").contains("secret"));
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for (url, error) in [
            ("", UrlError::Form),
            ("http://:canary@h", UrlError::Form),
            ("redis://", UrlError::Form),
            ("redis://:canary@h:99999", UrlError::Port),
            ("redis://:canary@h/x", UrlError::Database),
            ("redis://:can%zzary@h", UrlError::Percent),
        ] {
            let got = Settings::from_url(url).unwrap_err();
            assert_eq!(got, error, "{url}");
            assert!(!got.to_string().contains("can"), "{got}");
        }
    }
}
