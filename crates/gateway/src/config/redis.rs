//! Where Redis is, under LiteLLM's names for it, and what `sealgate.redis` says about its use.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use policy::Secret;
use store::redis::Settings;
use zeroize::Zeroizing;

use super::env::{Variables, boolean};
use super::problems::{Place, Report, Severity};
use super::reader::Section;
use super::states::Table;
use crate::replicas::WhenLost;

/// Redis, as it is configured.
#[derive(Clone, Debug)]
pub struct Redis {
    /// The connection. Shows no password.
    pub settings: Arc<Settings>,
    /// What happens to calls while it is away.
    pub when_lost: WhenLost,
    /// After how much silence a process counts as dead.
    pub lease: Duration,
}

/// The names of one place where Redis can be configured.
struct Found {
    place: Place,
    path: String,
    url: Option<Secret>,
    host: Option<String>,
    port: Option<u64>,
    user: Option<String>,
    password: Option<Secret>,
    database: Option<u64>,
    tls: bool,
}

/// Reads every place in order of precedence: `sealgate.redis`, `general_settings.coordination_redis`, `router_settings`,
/// `litellm_settings.cache_params`, the environment. The first that names a host or URL is used whole.
pub(super) fn read(
    root: &Section<'_>,
    folder: &Path,
    variables: &Variables<'_>,
    table: &Table,
    report: &mut Report,
) -> Option<Redis> {
    let own = root.section("sealgate", report).section("redis", report);
    own.judge_strictly(table, "sealgate.redis", report);
    let general = root.section("general_settings", report);
    let coordination = general.section("coordination_redis", report);
    let router = root.section("router_settings", report);
    let litellm = root.section("litellm_settings", report);
    let cache = litellm.section("cache_params", report);
    let is_redis = cache.get("type").is_none()
        || cache
            .text("type", report)
            .is_some_and(|kind| kind.starts_with("redis"));
    let found = in_section(&own, "", report)
        .or_else(|| in_section(&coordination, "", report))
        .or_else(|| in_section(&router, "redis_", report))
        .or_else(|| in_section(&cache, "", report).filter(|_| is_redis))
        .or_else(|| in_environment(variables, report))?;
    let when = [
        ("refuse", WhenLost::Refuse),
        ("count_alone", WhenLost::Local),
    ];
    let when_lost = own.choice("when_lost", &when, report);
    if when_lost == Some(WhenLost::Local) {
        let (place, path) = (own.place_of("when_lost"), own.path_of("when_lost"));
        let message = "while Redis is away every process counts alone: budgets and rates can be passed by the number of \
                       processes; each record says limits_alone";
        report.note(Severity::Warning, &place, &path, message);
    }
    let (place, path) = (found.place.clone(), found.path.clone());
    let settings = settings(found)
        .and_then(|settings| match own.text("ca_file", report) {
            Some(file) => settings
                .with_tls(Some(&folder.join(file)))
                .map_err(|error| error.to_string()),
            None => Ok(settings),
        })
        .map_err(|message| report.problem(&place, &path, message))
        .ok()?;
    Some(Redis {
        settings: Arc::new(Settings {
            timeout: own.seconds("timeout", report).unwrap_or(settings.timeout),
            ..settings
        }),
        when_lost: when_lost.unwrap_or(WhenLost::Refuse),
        lease: own
            .seconds("lease", report)
            .map_or(Duration::from_secs(10), |lease| {
                lease.max(Duration::from_secs(3))
            }),
    })
}

fn in_section(section: &Section<'_>, prefix: &str, report: &mut Report) -> Option<Found> {
    let key = |name: &str| format!("{prefix}{name}");
    let named = ["url", "host"]
        .into_iter()
        .map(key)
        .find(|key| section.get(key).is_some())?;
    let mut text = |name: &str| section.text(&key(name), report).map(str::to_owned);
    let (url, host, user) = (text("url"), text("host"), text("username"));
    let password = section.secret(&key("password"), report);
    Some(Found {
        place: section.place_of(&named),
        path: section.path_of(&named),
        url: url.map(Secret::new),
        host,
        port: section.whole(&key("port"), 1, report),
        user,
        password,
        database: section.whole(&key("db"), 0, report),
        tls: section.flag(&key("ssl"), report).unwrap_or(false),
    })
}

fn in_environment(variables: &Variables<'_>, report: &mut Report) -> Option<Found> {
    let named = ["REDIS_URL", "REDIS_HOST"]
        .into_iter()
        .find(|name| variables.get(name).is_some())?;
    let place = Place::outside("environment");
    let mut number = |name: &str| {
        let text = variables.get(name)?;
        let number = text.parse().ok();
        if number.is_none() {
            report.problem(&place, name, "expected a whole number");
        }
        number
    };
    let (port, database) = (number("REDIS_PORT"), number("REDIS_DB"));
    let tls = variables.get("REDIS_SSL").and_then(|text| boolean(&text));
    Some(Found {
        path: named.to_owned(),
        url: variables.get("REDIS_URL").map(Secret::new),
        host: variables.get("REDIS_HOST"),
        port,
        user: variables.get("REDIS_USERNAME"),
        password: variables.get("REDIS_PASSWORD").map(Secret::new),
        database,
        tls: tls.unwrap_or(false),
        place,
    })
}

fn settings(found: Found) -> Result<Settings, String> {
    let mut settings = match &found.url {
        Some(url) => Settings::from_url(url.expose()).map_err(|error| error.to_string())?,
        None => Settings {
            host: found.host.clone().unwrap_or_default(),
            ..Settings::default()
        },
    };
    if found.url.is_none() {
        if let Some(port) = found.port {
            settings.port = u16::try_from(port).map_err(|_| "the port is too large".to_owned())?;
        }
        if let Some(database) = found.database {
            settings.database =
                u32::try_from(database).map_err(|_| "the database is too large".to_owned())?;
        }
        if found.tls {
            settings = settings.with_tls(None).map_err(|error| error.to_string())?;
        }
    }
    settings.user = settings.user.or(found.user);
    if settings.password.is_none() {
        let password = found.password.filter(|password| !password.is_empty());
        settings.password = password.map(|password| Zeroizing::new(password.expose().to_owned()));
    }
    Ok(settings)
}
