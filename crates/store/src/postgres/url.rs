//! Where a server is and how to speak to it, from a `postgresql://` URL with LiteLLM's and libpq's parameters.

use std::{fmt, path::PathBuf, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

/// How long a connection may take when the URL does not say.
const CONNECT: Duration = Duration::from_secs(5);

/// A database, ready to be connected to. What it shows of itself is host and database, never a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(super) config: Config,
    pub(super) tls: Tls,
    place: String,
}

/// What of TLS the URL asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Tls {
    /// None.
    Off,
    /// Encrypted without looking at the certificate (`prefer`, or `sslaccept=accept_invalid_certs`).
    Unverified,
    /// Certificate chain and name are verified, against this file of roots or the public ones.
    Verified(Option<PathBuf>),
}

/// A URL that cannot be used. Never quotes the URL, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not begin with `postgresql://` or `postgres://`.
    #[error("a database URL begins with postgresql://")]
    Scheme,
    /// It cannot be read.
    #[error(
        "the database URL cannot be read; characters such as @ / : ? in user or password are written as %40 and so on"
    )]
    Unreadable,
    /// It names no database.
    #[error("the database URL names no database: postgresql://USER:PASSWORD@HOST:5432/DATABASE")]
    NoDatabase,
    /// A parameter has a value that is not known.
    #[error("the database URL's parameter {name} must be one of {wanted}")]
    Value {
        /// Its name.
        name: &'static str,
        /// What it may be.
        wanted: &'static str,
    },
    /// A parameter that is not built, or that cannot work.
    #[error("the database URL's parameter {name}: {reason}")]
    Refused {
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: &'static str,
    },
}

/// Parameters of LiteLLM's client that mean nothing here.
const IGNORED: [&str; 5] = [
    "connection_limit",
    "pool_timeout",
    "socket_timeout",
    "statement_cache_size",
    "max_connection_lifetime",
];

impl Target {
    /// Reads a URL.
    ///
    /// `sslmode=require`, `verify-ca` and `verify-full` encrypt and verify the server's certificate and name, against
    /// `sslrootcert` or the public roots; `sslaccept=accept_invalid_certs` leaves the verification out. `prefer` encrypts
    /// without verification where the server offers it. No `sslmode`, `allow` and `disable`: no TLS.
    ///
    /// # Errors
    /// [`UrlError`].
    pub fn parse(url: &str) -> Result<Target, UrlError> {
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(UrlError::Scheme);
        }
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let mut parameters = Parameters::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.take(name, value)?;
        }
        let kept = match parameters.kept.is_empty() {
            true => base.to_owned(),
            false => format!("{base}?{}", parameters.kept.join("&")),
        };
        // The parser's own message may quote the URL.
        let mut config: Config = kept.parse().map_err(|_| UrlError::Unreadable)?;
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(UrlError::NoDatabase);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.application_name("sealgate");
        if let Some(schema) = &parameters.schema {
            let before = config.get_options().unwrap_or_default().to_owned();
            config.options(format!("{before} -c search_path={schema}"));
        }
        let tls = parameters.tls()?;
        config.ssl_mode(match (&tls, parameters.mode.as_deref()) {
            (Tls::Off, _) => SslMode::Disable,
            (_, Some("prefer")) => SslMode::Prefer,
            _ => SslMode::Require,
        });
        let place = place(&config);
        Ok(Target { config, tls, place })
    }

    /// The password of a URL that names none.
    #[must_use]
    pub fn or_password(mut self, password: Option<&str>) -> Target {
        if let (None, Some(password)) = (self.config.get_password(), password) {
            self.config.password(password);
        }
        self
    }

    /// Host and database, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether a certificate of anybody would be accepted although TLS was asked for.
    #[must_use]
    pub fn accepts_any_certificate(&self) -> bool {
        self.tls == Tls::Unverified
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.place)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.place)
    }
}

fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    format!("postgresql://{host}/{}", config.get_dbname().unwrap_or(""))
}

#[derive(Default)]
struct Parameters {
    mode: Option<String>,
    accept: Option<String>,
    roots: Option<PathBuf>,
    schema: Option<String>,
    kept: Vec<String>,
}

impl Parameters {
    fn take(&mut self, name: &str, value: &str) -> Result<(), UrlError> {
        let refused = |reason| {
            Err(UrlError::Refused {
                name: name.to_owned(),
                reason,
            })
        };
        match name {
            "sslmode" => self.mode = Some(value.to_owned()),
            "sslaccept" => self.accept = Some(value.to_owned()),
            "sslrootcert" => self.roots = Some(PathBuf::from(decoded(value))),
            "schema" => {
                let schema = decoded(value);
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if schema.is_empty() || !schema.chars().all(plain) {
                    return refused("only letters, digits and _ are supported");
                }
                self.schema = Some(schema);
            }
            "pgbouncer" if value == "true" => {
                return refused(
                    "a pooler that shares connections between transactions cannot be used; connect to the server",
                );
            }
            "sslcert" | "sslkey" | "sslidentity" | "sslpassword" => {
                return refused("client certificates are not supported");
            }
            "pgbouncer" => {}
            "application_name"
            | "channel_binding"
            | "connect_timeout"
            | "hostaddr"
            | "keepalives"
            | "keepalives_idle"
            | "keepalives_interval"
            | "keepalives_retries"
            | "options"
            | "tcp_user_timeout" => self.kept.push(format!("{name}={value}")),
            "target_session_attrs" => {}
            _ if IGNORED.contains(&name) => {}
            _ => return refused("is not known"),
        }
        Ok(())
    }

    fn tls(&self) -> Result<Tls, UrlError> {
        let unverified = match self.accept.as_deref() {
            None | Some("strict") => false,
            Some("accept_invalid_certs") => true,
            Some(_) => {
                let wanted = "strict, accept_invalid_certs";
                return Err(UrlError::Value {
                    name: "sslaccept",
                    wanted,
                });
            }
        };
        match self.mode.as_deref() {
            None | Some("disable" | "allow") => Ok(Tls::Off),
            Some("prefer") => Ok(Tls::Unverified),
            Some("require" | "verify-ca" | "verify-full") if unverified => Ok(Tls::Unverified),
            Some("require" | "verify-ca" | "verify-full") => Ok(Tls::Verified(self.roots.clone())),
            Some(_) => Err(UrlError::Value {
                name: "sslmode",
                wanted: "disable, allow, prefer, require, verify-ca, verify-full",
            }),
        }
    }
}

/// Percent-decoding; what is no encoding stays as it is.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = (*first == b'%')
            .then(|| after.split_at_checked(2))
            .flatten();
        let byte = pair.and_then(|(hex, tail)| {
            let hex = std::str::from_utf8(hex).ok()?;
            Some((u8::from_str_radix(hex, 16).ok()?, tail))
        });
        let (byte, tail) = byte.unwrap_or((*first, after));
        out.push(byte);
        rest = tail;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(query: &str) -> Result<Tls, UrlError> {
        Target::parse(&format!("postgresql://u:p@db.example/x{query}")).map(|target| target.tls)
    }

    #[test]
    fn what_sslmode_means() {
        let roots = || Some(PathBuf::from("/etc/my roots.pem"));
        for (query, expected) in [
            ("", Tls::Off),
            ("?sslmode=disable", Tls::Off),
            ("?sslmode=prefer", Tls::Unverified),
            ("?sslmode=require", Tls::Verified(None)),
            (
                "?sslmode=verify-full&sslrootcert=/etc/my%20roots.pem",
                Tls::Verified(roots()),
            ),
            (
                "?sslmode=require&sslaccept=accept_invalid_certs",
                Tls::Unverified,
            ),
            (
                "?sslmode=require&sslaccept=strict&connection_limit=10&pool_timeout=60",
                Tls::Verified(None),
            ),
        ] {
            assert_eq!(tls(query), Ok(expected), "{query}");
        }
        for query in [
            "?sslmode=yes",
            "?sslaccept=maybe",
            "?sslcert=a",
            "?pgbouncer=true",
            "?nonsense=1",
            "?schema=a;b",
        ] {
            assert!(tls(query).is_err(), "{query}");
        }
    }

    #[test]
    fn no_error_and_no_rendering_holds_a_secret() {
        for url in [
            "postgresql://u:canary-7d1f@h:notaport/db",
            "postgresql://u:canary-7d1f@h",
            "mysql://u:canary-7d1f@h/db",
            "postgresql://u:canary-7d1f@h/db?sslmode=canary-7d1f",
        ] {
            let error = Target::parse(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        let target = Target::parse("postgresql://u:canary-7d1f@h:5433/db").unwrap();
        assert_eq!(
            format!("{target} {target:?}"),
            "postgresql://h/db postgresql://h/db"
        );
    }
}
