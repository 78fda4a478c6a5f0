//! Where a deployment's calls go, and with which credentials.

use llm::provider::{KeyRule, Provider};
use policy::Secret;

use super::deployment::Draft;
use super::models::{EntraClient, Reading};
use super::problems::{Place, Severity};
use super::reader::Section;
use super::url::{BaseUrl, Host};

/// A base address, and whether it is the provider's own.
pub(super) struct Base {
    pub(super) url: BaseUrl,
    own: bool,
}

/// Where calls go: written, from the provider's customary variable, or the
/// provider's public address.
pub(super) fn api_base(
    draft: &Draft<'_>,
    profile: &Provider,
    reading: &mut Reading<'_>,
) -> Option<Base> {
    let written = ["api_base", "base_url"].into_iter().find_map(|key| {
        let section = draft.home(key)?;
        let text = section.text(key, reading.report)?;
        Some((
            text.to_owned(),
            section.place_of(key),
            section.path_of(key),
            false,
        ))
    });
    let (place, path) = (draft.params.place.clone(), draft.params.path_of("api_base"));
    let from_environment = || {
        let name = profile
            .base_env
            .iter()
            .find(|name| reading.variables.get(name).is_some())?;
        let text = reading.variables.get(name)?;
        Some((text, place.clone(), path.clone(), true))
    };
    let by_default = || {
        let text = profile.api_base?.to_owned();
        Some((text, place.clone(), path.clone(), true))
    };
    let Some((text, place, path, own)) = written.or_else(from_environment).or_else(by_default)
    else {
        let message = format!(
            "provider `{}` has no public address; set api_base",
            profile.name
        );
        reading.report.problem(&place, &path, message);
        return None;
    };
    let mut url = match BaseUrl::parse(&text) {
        Ok(url) => url,
        Err(error) => {
            reading.report.problem(&place, &path, error.to_string());
            return None;
        }
    };
    // Ollama's own address has no path; its OpenAI-compatible routes lie below /v1.
    if profile.name.starts_with("ollama") && url.path.is_empty() {
        url.path = "/v1".to_owned();
    }
    reading
        .egress
        .check_base(&url, &place, &path, reading.report);
    reading.egress.add_base(&url);
    plain_http(&url, &place, &path, reading);
    Some(Base { url, own })
}

/// A key on a plain connection that leaves the machine is said.
fn plain_http(url: &BaseUrl, place: &Place, path: &str, reading: &mut Reading<'_>) {
    let local = match &url.host {
        Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ip(address) => address.is_loopback(),
    };
    if !url.tls && !local {
        let message = "plain http to another machine: prompts and the key are readable on the way";
        reading.report.note(Severity::Warning, place, path, message);
    }
}

/// The key: written, or the provider's customary variable. That variable is
/// only used for the provider's own address, so that a key never goes to a
/// host it was not made for.
pub(super) fn api_key(
    draft: &Draft<'_>,
    profile: Option<&Provider>,
    base: Option<&Base>,
    reading: &mut Reading<'_>,
) -> Option<Secret> {
    if let Some(section) = draft.home("api_key") {
        let secret = section.secret("api_key", reading.report)?;
        if !secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = "a key is visible ASCII without spaces";
            let place = section.place_of("api_key");
            reading
                .report
                .problem(&place, &section.path_of("api_key"), message);
            return None;
        }
        return Some(secret);
    }
    let (profile, base) = (profile?, base?);
    let (place, path) = (draft.params.place.clone(), draft.params.path_of("api_key"));
    let names = [profile.key_env]
        .into_iter()
        .chain(profile.other_key_env.iter().copied());
    let set = names
        .clone()
        .find(|name| reading.variables.get(name).is_some());
    let customary = set
        .or_else(|| names.clone().next())
        .filter(|name| !name.is_empty());
    let value = customary.and_then(|name| reading.variables.get(name));
    if base.own {
        if let (Some(name), Some(value)) = (customary, &value) {
            let message = format!("taken from the environment variable {name}");
            reading.report.note(Severity::Info, &place, &path, message);
            return Some(Secret::new(value.clone()));
        }
        if profile.key == KeyRule::Required {
            let message = "no key: the provider will refuse the calls";
            reading
                .report
                .note(Severity::Warning, &place, &path, message);
        }
        return None;
    }
    if let (Some(name), true) = (customary, value.is_some()) {
        let message =
            format!("no key is sent: {name} is not sent to an address of your own; write api_key");
        reading
            .report
            .note(Severity::Warning, &place, &path, message);
    }
    None
}

/// Where tokens of Entra ID come from, if nothing else is said.
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// What they are for.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// The application that fetches tokens: all three of tenant, client and secret, or none.
pub(super) fn entra(draft: &Draft<'_>, reading: &mut Reading<'_>) -> Option<EntraClient> {
    const NAMES: [&str; 3] = ["tenant_id", "client_id", "client_secret"];
    let homes = NAMES.map(|name| draft.home(name));
    if homes.iter().all(Option::is_none) {
        return None;
    }
    let mut text = |name: &str| {
        let text = draft.home(name)?.text(name, reading.report)?;
        Some(text.to_owned()).filter(|text| !text.trim().is_empty())
    };
    let (tenant, client_id) = (text("tenant_id"), text("client_id"));
    let scope = text("azure_scope").unwrap_or_else(|| SCOPE.to_owned());
    let authority = text("azure_authority_host").unwrap_or_else(|| AUTHORITY.to_owned());
    let secret = draft.home("client_secret");
    let secret = secret.and_then(|section| section.secret("client_secret", reading.report));
    let (place, path) = (
        draft.params.place.clone(),
        draft.params.path_of("tenant_id"),
    );
    let (Some(tenant), Some(client_id), Some(client_secret)) = (tenant, client_id, secret) else {
        let message =
            "tenant_id, client_id and client_secret belong together; one is missing or empty";
        reading.report.problem(&place, &path, message);
        return None;
    };
    let path = draft.params.path_of("azure_authority_host");
    let authority = match BaseUrl::parse(authority.trim_end_matches('/')) {
        Ok(url) => url,
        Err(error) => {
            reading.report.problem(&place, &path, error.to_string());
            return None;
        }
    };
    reading
        .egress
        .check_base(&authority, &place, &path, reading.report);
    reading.egress.add_base(&authority);
    plain_http(&authority, &place, &path, reading);
    Some(EntraClient {
        tenant,
        client_id,
        client_secret,
        scope,
        authority,
    })
}

/// Headers that belong to the connection or to the gateway.
const RESERVED: [&str; 14] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "accept-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-connection",
    "proxy-authorization",
];

/// `headers` and `extra_headers`.
pub(super) fn headers(params: &Section<'_>, reading: &mut Reading<'_>) -> Vec<(String, Secret)> {
    let mut headers = Vec::new();
    for key in ["headers", "extra_headers"] {
        let section = params.section(key, reading.report);
        for entry in section.entries() {
            let path = section.path_of(&entry.key);
            let Some(value) = section.text(&entry.key, reading.report) else {
                continue;
            };
            let name = entry.key.to_ascii_lowercase();
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                reading
                    .report
                    .problem(&entry.place, &path, "not the name of a header");
            } else if RESERVED.contains(&name.as_str()) {
                let message = "this header belongs to the connection and cannot be set";
                reading.report.problem(&entry.place, &path, message);
            } else if http::HeaderValue::from_str(value).is_err() || !value.is_ascii() {
                reading
                    .report
                    .problem(&entry.place, &path, "not the value of a header");
            } else {
                headers.push((name, Secret::new(value)));
            }
        }
    }
    headers
}
