//! Bodies of management requests: strict JSON objects whose every field is known, read into entities.

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::MicroUsd;
use policy::budget::{Caps, ModelCap, Period, WindowCap};
use policy::identity::{Entity, Kind, List};
use serde_json::{Map, Value};

use super::ManageError;

/// Fields of LiteLLM that do nothing here. They may be there with an empty value; any other is refused, so that nobody
/// believes in a limit that does not hold.
const WITHOUT_EFFECT: [&str; 34] = [
    "access_group_ids",
    "allowed_cache_controls",
    "allowed_passthrough_routes",
    "allowed_vector_store_indexes",
    "auto_rotate",
    "budget_fallbacks",
    "config",
    "default_team_member_models",
    "denied_passthrough_routes",
    "disable_global_guardrails",
    "end_user_budget_id",
    "enforced_params",
    "enforced_batch_output_expires_after",
    "mcp_rpm_limit",
    "object_permission",
    "organizations",
    "password",
    "permissions",
    "policies",
    "project_id",
    "prompts",
    "rotation_interval",
    "router_settings",
    "rpm_limit_type",
    "send_invite_email",
    "tag_rpm_limit",
    "tpm_limit_type",
    "allow_team_guardrail_config",
    "model_id",
    "admins",
    "members",
    "secret_manager_settings",
    "allowed_model_region",
    "default_model",
];

/// Longest text of a field.
const LONGEST: usize = 10_000;
/// Most entries of a list or object.
const MOST: usize = 1_000;

/// Reads a body: nothing, or a strict JSON object.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, crate::error::Error> {
    if bytes.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let limits = llm::scan::Limits {
        max_bytes: super::LARGEST_BODY,
        max_depth: 32,
        ..llm::scan::Limits::default()
    };
    // The strict scanner refuses doubled names, which the reader below would let win.
    let invalid =
        |error: String| crate::error::Error::InvalidJson(format!("Invalid JSON payload: {error}"));
    llm::scan::Doc::parse(bytes::Bytes::copy_from_slice(bytes), &limits)
        .map_err(|error| invalid(error.to_string()))?;
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(invalid("expected an object".to_owned())),
        Err(error) => Err(invalid(error.to_string())),
    }
}

/// The fields of a body, taken one by one; what is left at the end is unknown.
pub(super) struct Fields<'a> {
    left: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(body: &'a Value) -> Self {
        let members = body.as_object().into_iter().flatten();
        Self {
            left: members
                .map(|(name, value)| (name.as_str(), value))
                .collect(),
        }
    }

    /// A field that is there, null included.
    pub(super) fn take(&mut self, name: &str) -> Option<&'a Value> {
        self.left.remove(name)
    }

    /// A field that is there and not null.
    pub(super) fn some(&mut self, name: &str) -> Option<&'a Value> {
        self.take(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ManageError> {
        self.some(name).map(|value| text(name, value)).transpose()
    }

    pub(super) fn required(&mut self, name: &str) -> Result<String, ManageError> {
        self.text(name)?.ok_or_else(|| ManageError::missing(name))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<Option<bool>, ManageError> {
        self.some(name)
            .map(|value| {
                value
                    .as_bool()
                    .ok_or_else(|| ManageError::field("body", name, "expected true or false"))
            })
            .transpose()
    }

    /// Whether a field is there at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Result<Option<Vec<Box<str>>>, ManageError> {
        self.some(name).map(|value| texts(name, value)).transpose()
    }

    /// Refuses what nobody took.
    pub(super) fn end(self) -> Result<(), ManageError> {
        for (name, value) in self.left {
            if WITHOUT_EFFECT.contains(&name) {
                let empty = match value {
                    Value::Null | Value::Bool(false) => true,
                    Value::Array(items) => items.is_empty(),
                    Value::Object(members) => members.is_empty(),
                    _ => false,
                };
                if empty {
                    continue;
                }
                return Err(ManageError::unknown(
                    name,
                    "this field has no effect on this gateway; leave it out",
                ));
            }
            return Err(ManageError::unknown(name, "unknown field"));
        }
        Ok(())
    }
}

pub(super) fn text(name: &str, value: &Value) -> Result<String, ManageError> {
    let wrong = |message: &str| ManageError::field("body", name, message);
    let text = value.as_str().ok_or_else(|| wrong("expected a text"))?;
    if text.len() > LONGEST {
        return Err(wrong("too long"));
    }
    if text
        .chars()
        .any(|letter| letter.is_control() && letter != '\n' && letter != '\t')
    {
        return Err(wrong("holds control characters"));
    }
    Ok(text.to_owned())
}

pub(super) fn texts(name: &str, value: &Value) -> Result<Vec<Box<str>>, ManageError> {
    let items = value
        .as_array()
        .filter(|items| items.len() <= MOST)
        .ok_or_else(|| ManageError::field("body", name, "expected a list of texts"))?;
    items
        .iter()
        .map(|item| text(name, item).map(String::into_boxed_str))
        .collect()
}

/// An amount in USD, exact; LiteLLM sends a number.
pub(super) fn money(name: &str, value: &Value) -> Result<MicroUsd, ManageError> {
    let wrong = || ManageError::Invalid(format!("{name} must be a number of USD of at least 0"));
    match value {
        Value::Number(number) => MicroUsd::parse_usd(&number.to_string()).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

pub(super) fn period(name: &str, value: &Value) -> Result<Period, ManageError> {
    let text = value
        .as_str()
        .ok_or_else(|| ManageError::field("body", name, "expected a period such as 30d"))?;
    Period::parse(text).map_err(|error| ManageError::Invalid(format!("{name}: {error}")))
}

fn whole(name: &str, value: &Value) -> Result<u64, ManageError> {
    let number = value
        .as_u64()
        .filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| ManageError::field("body", name, "expected a whole number of at least 0"))
}

fn members<'v>(name: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ManageError> {
    value
        .as_object()
        .filter(|map| map.len() <= MOST)
        .ok_or_else(|| ManageError::field("body", name, "expected an object"))
}

/// Sets limits from the fields that are there; null clears.
pub(super) fn caps(fields: &mut Fields<'_>, caps: &mut Caps) -> Result<(), ManageError> {
    for (name, slot) in [
        ("max_budget", &mut caps.max_budget),
        ("soft_budget", &mut caps.soft_budget),
        ("max_spend_per_minute", &mut caps.max_spend_per_minute),
        ("temp_budget_increase", &mut caps.temp_budget_increase),
    ] {
        if let Some(value) = fields.take(name) {
            *slot = (!value.is_null()).then(|| money(name, value)).transpose()?;
        }
    }
    if let Some(value) = fields.take("budget_duration") {
        caps.budget_duration = (!value.is_null())
            .then(|| period("budget_duration", value))
            .transpose()?;
    }
    for (name, slot) in [
        ("rpm_limit", &mut caps.rpm_limit),
        ("tpm_limit", &mut caps.tpm_limit),
        ("tpd_limit", &mut caps.tpd_limit),
    ] {
        if let Some(value) = fields.take(name) {
            *slot = (!value.is_null()).then(|| whole(name, value)).transpose()?;
        }
    }
    if let Some(value) = fields.take("max_parallel_requests") {
        const NAME: &str = "max_parallel_requests";
        let number = (!value.is_null()).then(|| whole(NAME, value)).transpose()?;
        let fits = |number| {
            u32::try_from(number).map_err(|_| ManageError::field("body", NAME, "too large"))
        };
        caps.max_parallel_requests = number.map(fits).transpose()?;
    }
    if let Some(value) = fields.take("budget_limits") {
        caps.budget_limits = if value.is_null() {
            Vec::new()
        } else {
            windows(value)?
        };
    }
    if let Some(value) = fields.take("model_max_budget") {
        caps.model_max_budget = if value.is_null() {
            BTreeMap::new()
        } else {
            models(value)?
        };
    }
    for (name, slot) in [
        ("model_rpm_limit", &mut caps.model_rpm_limit),
        ("model_tpm_limit", &mut caps.model_tpm_limit),
    ] {
        if let Some(value) = fields.take(name) {
            slot.clear();
            if !value.is_null() {
                for (model, limit) in members(name, value)? {
                    slot.insert(model.as_str().into(), whole(name, limit)?);
                }
            }
        }
    }
    if let Some(value) = fields.take("temp_budget_expiry") {
        caps.temp_budget_expiry = (!value.is_null())
            .then(|| instant("temp_budget_expiry", value))
            .transpose()?;
    }
    if caps.temp_budget_increase.is_some() != caps.temp_budget_expiry.is_some() {
        let message = "temp_budget_increase and temp_budget_expiry go together";
        return Err(ManageError::Invalid(message.to_owned()));
    }
    Ok(())
}

/// An instant as RFC 3339 text, microseconds since the Unix epoch.
pub(super) fn instant(name: &str, value: &Value) -> Result<i64, ManageError> {
    let text = value.as_str().unwrap_or_default();
    let text = if text.len() == 10 {
        format!("{text}T00:00:00Z")
    } else {
        text.to_owned()
    };
    let with_zone = if text.len() == 19 {
        format!("{text}Z")
    } else {
        text
    };
    let parsed: Result<jiff::Timestamp, _> = with_zone.parse();
    parsed.map(|at| at.as_microsecond()).map_err(|_| {
        ManageError::field("body", name, "expected a time such as 2026-12-31T00:00:00Z")
    })
}

fn windows(value: &Value) -> Result<Vec<WindowCap>, ManageError> {
    const NAME: &str = "budget_limits";
    let wrong = || {
        ManageError::field(
            "body",
            NAME,
            "expected a list of {budget_duration, max_budget}",
        )
    };
    let items = value
        .as_array()
        .filter(|items| items.len() <= 16)
        .ok_or_else(wrong)?;
    let one = |item: &Value| {
        let map = item
            .as_object()
            .filter(|map| map.len() == 2)
            .ok_or_else(wrong)?;
        let (duration, budget) = map
            .get("budget_duration")
            .zip(map.get("max_budget"))
            .ok_or_else(wrong)?;
        Ok(WindowCap {
            budget_duration: period(NAME, duration)?,
            max_budget: money(NAME, budget)?,
        })
    };
    items.iter().map(one).collect()
}

fn models(value: &Value) -> Result<BTreeMap<Box<str>, ModelCap>, ManageError> {
    const NAME: &str = "model_max_budget";
    let mut out = BTreeMap::new();
    for (model, cap) in members(NAME, value)? {
        let map = members(NAME, cap)?;
        let limit = map.get("max_budget").or_else(|| map.get("budget_limit"));
        let limit = limit.ok_or_else(|| {
            ManageError::field("body", NAME, "expected max_budget for each model")
        })?;
        let duration = map
            .get("budget_duration")
            .or_else(|| map.get("time_period"));
        let duration = duration.filter(|value| !value.is_null());
        let cap = ModelCap {
            max_budget: money(NAME, limit)?,
            budget_duration: duration.map(|value| period(NAME, value)).transpose()?,
        };
        out.insert(model.as_str().into(), cap);
    }
    Ok(out)
}

/// Sets what entities of every kind have: limits, models, metadata, tags, guardrails, state.
pub(super) fn common(fields: &mut Fields<'_>, row: &mut Entity) -> Result<(), ManageError> {
    let mut limits = row
        .caps
        .take()
        .map(Arc::unwrap_or_clone)
        .unwrap_or_default();
    caps(fields, &mut limits)?;
    row.caps = (!limits.is_empty()).then(|| Arc::new(limits));
    if let Some(value) = fields.take("models") {
        row.models = if value.is_null() {
            List::default()
        } else {
            texts("models", value)?.into()
        };
    }
    for name in ["aliases", "model_aliases"] {
        if let Some(value) = fields.take(name) {
            row.aliases.clear();
            if !value.is_null() {
                for (alias, model) in members(name, value)? {
                    row.aliases
                        .insert(alias.as_str().into(), text(name, model)?.into());
                }
            }
        }
    }
    for (name, slot) in [("tags", &mut row.tags), ("guardrails", &mut row.guardrails)] {
        if let Some(value) = fields.take(name) {
            *slot = if value.is_null() {
                List::default()
            } else {
                texts(name, value)?.into()
            };
        }
    }
    if row.tags.iter().any(|tag| tag.contains('\u{1f}')) {
        return Err(ManageError::field(
            "body",
            "tags",
            "holds control characters",
        ));
    }
    if let Some(value) = fields.take("metadata") {
        let map = if value.is_null() {
            None
        } else {
            Some(members("metadata", value)?)
        };
        row.metadata = map
            .filter(|map| !map.is_empty())
            .map(|map| Value::Object(map.clone()).to_string().into());
    }
    if let Some(blocked) = fields.flag("blocked")? {
        // Nothing calls by them, so there is nothing to refuse.
        if blocked && matches!(row.kind, Kind::Tag | Kind::Budget) {
            return Err(ManageError::unknown(
                "blocked",
                "this field has no effect on tags and budgets; block the key, team, user or customer",
            ));
        }
        row.blocked = blocked;
    }
    for (name, slot) in [
        ("organization_id", &mut row.organization),
        ("budget_id", &mut row.budget),
    ] {
        if let Some(value) = fields.take(name) {
            *slot = (!value.is_null())
                .then(|| text(name, value))
                .transpose()?
                .map(Into::into);
        }
    }
    Ok(())
}
