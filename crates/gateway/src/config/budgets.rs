//! Budgets, rates and addresses: what `litellm_settings`, `general_settings`, `router_settings` and `sealgate` say about them.

use std::collections::BTreeMap;

use ipnet::IpNet;
use policy::MicroUsd;
use policy::budget::{Calendar, Caps, Period, Rules, SpanError, TokenKind};
use policy::price::Rate;

use super::problems::{Report, Severity};
use super::reader::Section;

/// Settings of budgets and of what they are decided by.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// Whether a reservation is a ceiling that no answer can pass (`strict`), or an estimate.
    pub strict: bool,
    /// Output tokens that are reserved, and in strict mode asked for at most, where neither the request nor the model says.
    pub default_output: u64,
    /// Price per token of models without one, where a budget applies; absent: such calls are refused.
    pub unpriced: Option<Rate>,
    /// Status of a spent budget.
    pub exceeded_status: u16,
    /// Where days begin and which tokens count.
    pub rules: Rules,
    /// Limits of the whole gateway.
    pub global: Caps,
    /// Budgets of providers, by their names in `litellm_params.model`.
    pub providers: BTreeMap<String, Caps>,
    /// Proxies whose word about addresses counts.
    pub proxies: Vec<IpNet>,
    /// Whether it is asked for.
    pub use_forwarded: bool,
    /// Whether new keys are written in the form that scanners recognise.
    pub scannable_keys: bool,
    /// Whether callers may choose the text of a key.
    pub custom_keys: bool,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            strict: true,
            default_output: 4_096,
            unpriced: None,
            exceeded_status: 422,
            rules: Rules::default(),
            global: Caps::default(),
            providers: BTreeMap::new(),
            proxies: Vec::new(),
            use_forwarded: false,
            scannable_keys: false,
            custom_keys: true,
        }
    }
}

/// Reads the settings.
pub(super) fn read(root: &Section<'_>, report: &mut Report) -> Budgets {
    let general = root.section("general_settings", report);
    let litellm = root.section("litellm_settings", report);
    let router = root.section("router_settings", report);
    let own = root.section("sealgate", report);
    let modes = [("strict", true), ("estimate", false)];
    let strict = own.choice("budget_mode", &modes, report).unwrap_or(true);
    if !strict {
        let message = "budgets hold up to an estimate: an answer longer than estimated is charged in full, so one call can \
                       pass the limit by the price of its model's longest answer";
        report.note(
            Severity::Warning,
            &own.place_of("budget_mode"),
            &own.path_of("budget_mode"),
            message,
        );
    }
    let kinds = [
        ("total", TokenKind::Total),
        ("input", TokenKind::Input),
        ("output", TokenKind::Output),
    ];
    let forms = [("sk", false), ("scannable", true)];
    let default = Budgets::default();
    let without_text = general
        .flag("disable_custom_api_keys", report)
        .unwrap_or(false)
        || litellm
            .flag("disable_custom_api_keys", report)
            .unwrap_or(false);
    Budgets {
        strict,
        default_output: own
            .whole("default_max_output_tokens", 1, report)
            .unwrap_or(default.default_output),
        unpriced: unpriced(&own, report),
        exceeded_status: status(&litellm, report),
        rules: Rules {
            calendar: calendar(&litellm, report),
            tokens: general
                .choice("token_rate_limit_type", &kinds, report)
                .unwrap_or_default(),
        },
        global: global(&litellm, &router, report),
        providers: providers(&router, report),
        proxies: proxies(&general, report),
        use_forwarded: general.flag("use_x_forwarded_for", report).unwrap_or(false),
        scannable_keys: own.choice("key_format", &forms, report).unwrap_or(false),
        custom_keys: !without_text,
    }
}

fn unpriced(own: &Section<'_>, report: &mut Report) -> Option<Rate> {
    const KEY: &str = "unpriced_cost_per_token";
    let text = own.text(KEY, report)?;
    match Rate::parse(text) {
        Ok((rate, _)) if rate.pico() > 0 => Some(rate),
        _ => {
            let message = "expected a price above zero in USD for a token, such as 0.0001";
            report.problem(&own.place_of(KEY), &own.path_of(KEY), message);
            None
        }
    }
}

fn status(litellm: &Section<'_>, report: &mut Report) -> u16 {
    const KEY: &str = "budget_exceeded_status_code";
    let said = litellm.whole(KEY, 400, report);
    match said.map(u16::try_from) {
        None => 422,
        Some(Ok(status @ (400 | 402 | 403 | 422 | 429))) => status,
        Some(_) => {
            let message = "expected one of 400, 402, 403, 422, 429";
            report.problem(&litellm.place_of(KEY), &litellm.path_of(KEY), message);
            422
        }
    }
}

fn calendar(litellm: &Section<'_>, report: &mut Report) -> Calendar {
    let zone = litellm.text("timezone", report).unwrap_or("UTC");
    let reset = litellm.text("budget_reset_time", report).unwrap_or("00:00");
    match Calendar::new(zone, reset) {
        Ok(calendar) => calendar,
        Err(error) => {
            let key = match error {
                SpanError::Time => "budget_reset_time",
                _ => "timezone",
            };
            report.problem(
                &litellm.place_of(key),
                &litellm.path_of(key),
                error.to_string(),
            );
            Calendar::default()
        }
    }
}

fn global(litellm: &Section<'_>, router: &Section<'_>, report: &mut Report) -> Caps {
    Caps {
        max_budget: money(litellm, "max_budget", report),
        budget_duration: period(litellm, "budget_duration", report),
        rpm_limit: router.whole("rpm_limit", 1, report),
        tpm_limit: router.whole("tpm_limit", 1, report),
        ..Caps::default()
    }
}

/// `provider_budget_config`: for each provider `budget_limit` and `time_period`, or what they are called elsewhere.
fn providers(router: &Section<'_>, report: &mut Report) -> BTreeMap<String, Caps> {
    const KEY: &str = "provider_budget_config";
    let mut budgets = BTreeMap::new();
    let listed = router.section(KEY, report);
    for entry in listed.entries() {
        let path = listed.path_of(&entry.key);
        let section = Section::of(Some(&entry.value), path.clone(), &entry.place, report);
        let either = |new: &'static str, old: &'static str| match section.get(new) {
            Some(_) => new,
            None => old,
        };
        for inner in section.entries() {
            let known = [
                "budget_limit",
                "time_period",
                "max_budget",
                "budget_duration",
            ];
            if !known.contains(&inner.key.as_str()) {
                let message = "expected budget_limit and time_period";
                report.problem(&inner.place, &section.path_of(&inner.key), message);
            }
        }
        let caps = Caps {
            max_budget: money(&section, either("budget_limit", "max_budget"), report),
            budget_duration: period(&section, either("time_period", "budget_duration"), report),
            ..Caps::default()
        };
        if caps.max_budget.is_none() {
            report.problem(&entry.place, &path, "budget_limit is missing");
        }
        budgets.insert(entry.key.clone(), caps);
    }
    budgets
}

/// An amount in USD.
pub(super) fn money(section: &Section<'_>, key: &str, report: &mut Report) -> Option<MicroUsd> {
    let text = section.text(key, report)?;
    match MicroUsd::parse_usd(text) {
        Ok(amount) => Some(amount),
        Err(error) => {
            let message = format!("not an amount in USD: {error}");
            report.problem(&section.place_of(key), &section.path_of(key), message);
            None
        }
    }
}

/// A period of a budget.
pub(super) fn period(section: &Section<'_>, key: &str, report: &mut Report) -> Option<Period> {
    let text = section.text(key, report)?;
    match Period::parse(text) {
        Ok(period) => Some(period),
        Err(error) => {
            report.problem(
                &section.place_of(key),
                &section.path_of(key),
                error.to_string(),
            );
            None
        }
    }
}

fn proxies(general: &Section<'_>, report: &mut Report) -> Vec<IpNet> {
    const KEY: &str = "trusted_proxy_ranges";
    let mut out = Vec::new();
    for (text, place) in general.texts(KEY, report) {
        let net = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        match net {
            Ok(net) => out.push(net),
            Err(_) => report.problem(
                &place,
                &general.path_of(KEY),
                "expected addresses such as 10.0.0.0/8",
            ),
        }
    }
    out
}
