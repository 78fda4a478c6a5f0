//! Addresses of upstreams: one parser, strict, and what it leaves is all that is used.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The host of an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name in lower case, without a final dot.
    Name(String),
    /// An address; an IPv4 address inside an IPv6 one is taken out.
    Ip(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// The base address of an upstream. It holds no user, query or fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// Whether the connection is encrypted (`https`).
    pub tls: bool,
    /// The host.
    pub host: Host,
    /// The port, the scheme's default included.
    pub port: u16,
    /// The path without a final slash: empty or `/v1`.
    pub path: String,
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != default_port(self.tls) {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

/// Why a text is no base address. It never holds the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The scheme is missing or another one.
    #[error("an address starts with https:// or http://")]
    Scheme,
    /// Characters that readers of addresses treat differently.
    #[error("an address holds visible ASCII only, without `\\`, quotes or angle brackets")]
    Characters,
    /// `user@host`.
    #[error("an address must not hold a user or a password")]
    User,
    /// `?query` or `#fragment`.
    #[error("a base address has no query and no fragment")]
    Query,
    /// The host is missing or no host.
    #[error("the host is no name and no IP address")]
    Host,
    /// The port is no port.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// `.` or `..` in the path, empty segments, or broken escapes.
    #[error("the path must not hold `.`, `..` or empty segments")]
    Path,
}

impl BaseUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// [`UrlError`]: whatever two readers could understand differently is refused.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let odd = |c: char| !c.is_ascii_graphic() || "\\\"'<>`{}|^".contains(c);
        if text.chars().any(odd) {
            return Err(UrlError::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError::Scheme),
        };
        if rest.contains(['?', '#']) {
            return Err(UrlError::Query);
        }
        let split = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(split).ok_or(UrlError::Host)?;
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => default_port(tls),
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|port| *port > 0 && digits.bytes().all(|b| b.is_ascii_digit()))
                .ok_or(UrlError::Port)?,
        };
        Ok(Self {
            tls,
            host: parse_host(host)?,
            port,
            path: parse_path(path)?,
        })
    }
}

const fn default_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
pub(super) fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlError> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(UrlError::Host)?;
        let (host, rest) = authority
            .split_at_checked(end.saturating_add(1))
            .ok_or(UrlError::Host)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(UrlError::Port),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

/// A host. Numbers that only some readers take for an address (`0x7f.1`,
/// `2130706433`, `127.1`) are refused.
pub(super) fn parse_host(text: &str) -> Result<Host, UrlError> {
    if let Some(inside) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        let address: Ipv6Addr = inside.parse().map_err(|_| UrlError::Host)?;
        return Ok(Host::Ip(unmapped(IpAddr::V6(address))));
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(IpAddr::V4(address)));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    if name.len() > 253 || !name.split('.').all(label) || numeric {
        return Err(UrlError::Host);
    }
    Ok(Host::Name(name))
}

/// The IPv4 address inside an IPv6 one, where there is one.
pub(super) fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn parse_path(path: &str) -> Result<String, UrlError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let bad = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain.is_empty() || plain == "." || plain == ".." || !escapes_are_whole(segment)
    };
    if path.split('/').skip(1).any(bad) {
        return Err(UrlError::Path);
    }
    Ok(path.to_owned())
}

/// Whether every `%` starts a two-digit escape that is no control character and no slash.
fn escapes_are_whole(segment: &str) -> bool {
    segment.split('%').skip(1).all(|rest| {
        rest.get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .is_some_and(|byte| byte > 0x20 && byte != 0x7f && byte != b'/' && byte != b'\\')
    })
}

#[cfg(test)]
#[path = "tests/url.rs"]
mod tests;
