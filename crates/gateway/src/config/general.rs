//! The master key, the address to listen on, logging: `general_settings`,
//! `litellm_settings`, the environment and the command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use policy::{Authenticator, MasterKey, MasterKeyRefusal, Secret};

use super::Overrides;
use super::env::Variables;
use super::problems::{Place, Report, Severity};
use super::reader::Section;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// What needs somebody.
    Error,
    /// What may need somebody.
    Warn,
    /// What happens.
    Info,
    /// More of what happens; secrets are still hidden.
    Debug,
}

/// Logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// How much is logged.
    pub level: LogLevel,
    /// Whether the access log has its additional fields.
    pub debug_fields: bool,
}

const DEFAULT_PORT: u16 = 4000;

/// The authenticator, when a master key is there and strong.
pub(super) fn authenticator(
    general: &Section<'_>,
    overrides: &Overrides,
    variables: &Variables<'_>,
    report: &mut Report,
) -> Option<Authenticator> {
    const KEY: &str = "master_key";
    let path = general.path_of(KEY);
    let from_environment = || {
        let value = variables.get("LITELLM_MASTER_KEY")?;
        Some((Secret::new(value), Place::outside("environment")))
    };
    let found = if let Some(key) = &overrides.master_key {
        let place = Place::outside("command line");
        let message = "arguments are visible to everybody on the machine; use the environment";
        report.note(Severity::Warning, &place, &path, message);
        Some((key.clone(), place))
    } else if general.get(KEY).is_some() {
        let key = general.secret(KEY, report)?;
        Some((key, general.place_of(KEY)))
    } else {
        from_environment()
    };
    let Some((key, place)) = found else {
        let refusal = MasterKeyRefusal::Missing.to_string();
        report.problem(&general.place_of(KEY), &path, refusal);
        return None;
    };
    match MasterKey::parse(key.expose()) {
        Ok(key) => Some(Authenticator::new(key)),
        Err(refusal) => {
            report.problem(&place, &path, refusal.to_string());
            None
        }
    }
}

/// `litellm_key_header_name`, in lower case.
pub(super) fn key_header(general: &Section<'_>, report: &mut Report) -> Option<String> {
    const KEY: &str = "litellm_key_header_name";
    let name = general.text(KEY, report)?.to_ascii_lowercase();
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        report.problem(
            &general.place_of(KEY),
            &general.path_of(KEY),
            "not the name of a header",
        );
        return None;
    }
    // The usual header keeps its usual rules.
    (name != "authorization").then_some(name)
}

/// Where to listen: command line, then `HOST` and `PORT`, then 127.0.0.1:4000.
pub(super) fn listen(
    general: &Section<'_>,
    overrides: &Overrides,
    variables: &Variables<'_>,
    tls: bool,
    report: &mut Report,
) -> SocketAddr {
    let (host, host_place) = sourced(overrides.host.clone(), "HOST", variables);
    let address = match host.as_deref() {
        None | Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(text) => {
            let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
            bare.unwrap_or(text).parse().unwrap_or_else(|_| {
                let message = "the host to listen on is no IP address";
                report.problem(&host_place, "host", message);
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            })
        }
    };
    let port = overrides.port.unwrap_or_else(|| {
        variables.get("PORT").map_or(DEFAULT_PORT, |text| {
            text.parse().unwrap_or_else(|_| {
                let place = Place::outside("environment");
                report.problem(&place, "PORT", "no number from 0 to 65535");
                DEFAULT_PORT
            })
        })
    });
    let proxied = !general.list("trusted_proxy_ranges", report).is_empty();
    if !address.is_loopback() && !proxied && !tls {
        let message = "plain http off this machine: keys and prompts are readable on the way; set \
                       sealgate.tls, or end TLS in a proxy in front and name it in \
                       general_settings.trusted_proxy_ranges";
        report.note(Severity::Failing, &host_place, "host", message);
    }
    SocketAddr::new(address, port)
}

fn sourced(flag: Option<String>, name: &str, variables: &Variables<'_>) -> (Option<String>, Place) {
    match flag {
        Some(host) => (Some(host), Place::outside("command line")),
        None => (variables.get(name), Place::outside("environment")),
    }
}

/// `sealgate.health_listen`.
pub(super) fn health_listen(root: &Section<'_>, report: &mut Report) -> Option<SocketAddr> {
    const KEY: &str = "health_listen";
    let section = root.section("sealgate", report);
    let text = section.text(KEY, report)?.trim();
    let with_host = text
        .parse::<u16>()
        .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    match with_host.or_else(|_| text.parse()) {
        Ok(address) => Some(address),
        Err(_) => {
            let (place, path) = (section.place_of(KEY), section.path_of(KEY));
            report.problem(&place, &path, "expected an address and a port, or a port");
            None
        }
    }
}

/// `LITELLM_LOG`, `set_verbose`, `detailed_debug`.
pub(super) fn log(
    general: &Section<'_>,
    litellm: &Section<'_>,
    overrides: &Overrides,
    variables: &Variables<'_>,
    report: &mut Report,
) -> Log {
    let place = Place::outside("environment");
    let level = match variables
        .get("LITELLM_LOG")
        .map(|text| text.to_ascii_uppercase())
    {
        None => LogLevel::Info,
        Some(text) => match text.as_str() {
            "DEBUG" => LogLevel::Debug,
            "INFO" => LogLevel::Info,
            "WARN" | "WARNING" => LogLevel::Warn,
            "ERROR" | "CRITICAL" => LogLevel::Error,
            _ => {
                let message = "expected one of DEBUG, INFO, WARNING, ERROR";
                report.problem(&place, "LITELLM_LOG", message);
                LogLevel::Info
            }
        },
    };
    if level == LogLevel::Debug {
        let message = "debug logging is on; secrets stay hidden, but turn it off in production";
        report.note(Severity::Warning, &place, "LITELLM_LOG", message);
    }
    let detailed = general.flag("detailed_debug", report).unwrap_or(false);
    let verbose = litellm.flag("set_verbose", report).unwrap_or(false);
    Log {
        level,
        debug_fields: detailed || verbose || overrides.debug,
    }
}

/// Whether `/metrics` needs a key; it does unless the file says otherwise.
pub(super) fn metrics_need_key(litellm: &Section<'_>, report: &mut Report) -> bool {
    const KEY: &str = "require_auth_for_metrics_endpoint";
    let needed = litellm.flag(KEY, report).unwrap_or(true);
    if !needed {
        let message = "metrics are readable without a key";
        report.note(
            Severity::Warning,
            &litellm.place_of(KEY),
            &litellm.path_of(KEY),
            message,
        );
    }
    needed
}

/// What databases the environment and the command line name: said, not used.
pub(super) fn unused_stores(variables: &Variables<'_>, report: &mut Report) {
    let place = Place::outside("environment");
    for name in ["REDIS_URL", "REDIS_HOST"] {
        if variables.get(name).is_some() {
            let message = "Redis shares limits when the database is PostgreSQL; with the SQLite file they are those of this process";
            report.note(Severity::Warning, &place, name, message);
        }
    }
    const WEAK: &str = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY";
    match variables.flag(WEAK) {
        Ok(Some(true)) => {
            report.problem(
                &place,
                WEAK,
                "there is no start without a strong master key",
            );
        }
        Ok(_) => {}
        Err(message) => report.problem(&place, WEAK, message),
    }
}
