//! What rules see of a call.

use std::collections::HashMap;

use cel::Value;

/// Longest text of a fact, in bytes.
const LONGEST: usize = 1_000;

/// Most items of a list or map.
const MOST: usize = 256;

/// The names that expressions may use.
pub const NAMES: [&str; 28] = [
    "agent",
    "allowed_purposes",
    "baa",
    "consent",
    "consent_age_days",
    "consent_source",
    "consent_withdrawn",
    "consented",
    "data",
    "deployment",
    "end_user",
    "hour",
    "key",
    "metadata",
    "minute",
    "model",
    "model_group",
    "notice",
    "notice_current",
    "notice_language",
    "provider",
    "purpose",
    "region",
    "route",
    "tags",
    "team",
    "tools",
    "weekday",
];

/// The facts of one call. Texts that a caller claims (consent, purpose, metadata) are claims; the others are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The agent that the key is bound to; empty without.
    pub agent: String,
    /// Purposes that the key or its team may name.
    pub allowed_purposes: Vec<String>,
    /// Whether the deployment's provider has signed an agreement about health data (`model_info.baa`).
    pub baa: bool,
    /// Consents by name. A name that is absent is an error in a rule, so it refuses; `has(consent.NAME)` asks first.
    pub consent: Vec<(String, bool)>,
    /// Days since the consent was given; a very large number when nobody says when.
    pub consent_age_days: i64,
    /// Who says so about the call's purpose: `registry`, `claim` (the caller) or `none`.
    pub consent_source: String,
    /// Somebody said no to the call's purpose: the registry, or the caller.
    pub consent_withdrawn: bool,
    /// There is a consent for the call's purpose that counts.
    pub consented: bool,
    /// Kinds of personal data and secrets that the checks found in the request, such as `EMAIL_ADDRESS`.
    pub data: Vec<String>,
    /// The chosen deployment.
    pub deployment: String,
    /// Whether the request names an end user.
    pub end_user: bool,
    /// Hour of the day, 0 to 23, UTC.
    pub hour: i64,
    /// Public id of the key, `master` for the master key.
    pub key: String,
    /// Texts, booleans and whole numbers of the request's metadata, as texts.
    pub metadata: Vec<(String, String)>,
    /// Minute of the hour.
    pub minute: i64,
    /// The model that was asked for.
    pub model: String,
    /// The model group that serves.
    pub model_group: String,
    /// Version of the notice that was shown when the registry's consent for the call's purpose was given; empty without.
    pub notice: String,
    /// That is the version in force.
    pub notice_current: bool,
    /// Its language; empty without.
    pub notice_language: String,
    /// The provider of the deployment.
    pub provider: String,
    /// Why the call is made (`metadata.purpose`); empty when it does not say.
    pub purpose: String,
    /// Where the deployment is; empty when unknown, which is outside of every region.
    pub region: String,
    /// The route.
    pub route: String,
    /// Tags of key and team.
    pub tags: Vec<String>,
    /// The team; empty without.
    pub team: String,
    /// Names of the tools that the request offers.
    pub tools: Vec<String>,
    /// Day of the week, 1 (Monday) to 7.
    pub weekday: i64,
}

/// A fact that is larger than any rule may have to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Facts {
    /// The facts as values, in the order of [`NAMES`].
    pub(super) fn values(&self) -> Result<Vec<(&'static str, Value)>, TooLarge> {
        Ok(vec![
            ("agent", text(&self.agent)?),
            ("allowed_purposes", list(&self.allowed_purposes)?),
            ("baa", Value::Bool(self.baa)),
            (
                "consent",
                map(&self.consent, |given| Ok(Value::Bool(*given)))?,
            ),
            ("consent_age_days", Value::Int(self.consent_age_days)),
            ("consent_source", text(&self.consent_source)?),
            ("consent_withdrawn", Value::Bool(self.consent_withdrawn)),
            ("consented", Value::Bool(self.consented)),
            ("data", list(&self.data)?),
            ("deployment", text(&self.deployment)?),
            ("end_user", Value::Bool(self.end_user)),
            ("hour", Value::Int(self.hour)),
            ("key", text(&self.key)?),
            ("metadata", map(&self.metadata, |value| text(value))?),
            ("minute", Value::Int(self.minute)),
            ("model", text(&self.model)?),
            ("model_group", text(&self.model_group)?),
            ("notice", text(&self.notice)?),
            ("notice_current", Value::Bool(self.notice_current)),
            ("notice_language", text(&self.notice_language)?),
            ("provider", text(&self.provider)?),
            ("purpose", text(&self.purpose)?),
            ("region", text(&self.region)?),
            ("route", text(&self.route)?),
            ("tags", list(&self.tags)?),
            ("team", text(&self.team)?),
            ("tools", list(&self.tools)?),
            ("weekday", Value::Int(self.weekday)),
        ])
    }
}

fn text(text: &str) -> Result<Value, TooLarge> {
    match text.len() <= LONGEST {
        true => Ok(Value::from(text)),
        false => Err(TooLarge),
    }
}

fn list(items: &[String]) -> Result<Value, TooLarge> {
    if items.len() > MOST {
        return Err(TooLarge);
    }
    let items = items.iter().map(|item| text(item));
    Ok(Value::List(items.collect::<Result<Vec<_>, _>>()?.into()))
}

fn map<T>(
    entries: &[(String, T)],
    value: impl Fn(&T) -> Result<Value, TooLarge>,
) -> Result<Value, TooLarge> {
    if entries.len() > MOST {
        return Err(TooLarge);
    }
    let mut out = HashMap::with_capacity(entries.len());
    for (name, entry) in entries {
        if name.len() > LONGEST {
            return Err(TooLarge);
        }
        out.insert(name.clone(), value(entry)?);
    }
    Ok(Value::Map(out.into()))
}
