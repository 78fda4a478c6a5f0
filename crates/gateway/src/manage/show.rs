//! Entities as LiteLLM's API shows them. No answer holds a digest of a credential.

use policy::budget::{Caps, Usage};
use policy::identity::{Entity, Kind, Tables};
use policy::{MicroUsd, identity::Member};
use serde_json::{Map, Value, json};

use crate::app::App;

/// An amount as a number of USD.
pub(super) fn usd(amount: MicroUsd) -> Value {
    // Micro-dollars are exact in a double up to nine billion dollars.
    json!(amount.micro() as f64 / 1e6)
}

fn maybe_usd(amount: Option<MicroUsd>) -> Value {
    amount.map_or(Value::Null, usd)
}

/// An instant as RFC 3339 text.
pub(super) fn instant(micros: i64) -> Value {
    jiff::Timestamp::from_microsecond(micros).map_or(Value::Null, |at| json!(at.to_string()))
}

fn caps(caps: &Caps, out: &mut Map<String, Value>) {
    let models: Map<String, Value> = caps
        .model_max_budget
        .iter()
        .map(|(model, cap)| {
            let period = cap.budget_duration.map(|period| period.to_string());
            (
                model.to_string(),
                json!({ "max_budget": usd(cap.max_budget), "budget_duration": period }),
            )
        })
        .collect();
    let windows: Vec<Value> = caps
        .budget_limits
        .iter()
        .map(|cap| json!({ "budget_duration": cap.budget_duration.to_string(), "max_budget": usd(cap.max_budget) }))
        .collect();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("max_budget", maybe_usd(caps.max_budget));
    put("soft_budget", maybe_usd(caps.soft_budget));
    put(
        "budget_duration",
        json!(caps.budget_duration.map(|period| period.to_string())),
    );
    put("budget_limits", json!(windows));
    put("max_spend_per_minute", maybe_usd(caps.max_spend_per_minute));
    put("model_max_budget", Value::Object(models));
    put("rpm_limit", json!(caps.rpm_limit));
    put("tpm_limit", json!(caps.tpm_limit));
    put("tpd_limit", json!(caps.tpd_limit));
    put("max_parallel_requests", json!(caps.max_parallel_requests));
    put("model_rpm_limit", json!(caps.model_rpm_limit));
    put("model_tpm_limit", json!(caps.model_tpm_limit));
    if caps.temp_budget_increase.is_some() {
        put("temp_budget_increase", maybe_usd(caps.temp_budget_increase));
        put(
            "temp_budget_expiry",
            caps.temp_budget_expiry.map_or(Value::Null, instant),
        );
    }
}

/// What an entity spent, by the book.
pub(super) fn usage(app: &App, row: &Entity) -> Usage {
    let now = app.clock.now().micros();
    let Some(object) = Tables::object(row) else {
        return Usage::default();
    };
    match &app.identity.replicas {
        None => app.identity.shelf.book().usage(&object, now),
        // Whoever asks was let in because the shared book could be asked a moment ago.
        Some(replicas) => replicas.usage(&object),
    }
}

/// A row in the words of LiteLLM's table.
pub(super) fn row(app: &App, row: &Entity) -> Map<String, Value> {
    let mut out = Map::new();
    caps(row.caps.as_deref().unwrap_or(&Caps::default()), &mut out);
    let usage = usage(app, row);
    // `spend` is the current window's where there is one.
    let period = row.caps.as_deref().and_then(|caps| caps.budget_duration);
    let window = usage
        .windows
        .iter()
        .find(|window| window.0 == period && period.is_some());
    let reset = window.map(|window| window.1.end);
    let spend = match (period, window) {
        (Some(_), window) => window.map_or(MicroUsd::ZERO, |window| window.2),
        (None, _) => usage.total,
    };
    let metadata = row
        .metadata
        .as_deref()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("spend", usd(spend));
    put("total_spend", usd(usage.total));
    put("budget_reset_at", reset.map_or(Value::Null, instant));
    put("models", json!(row.models));
    put("metadata", metadata.unwrap_or_else(|| json!({})));
    put("tags", json!(row.tags));
    put("guardrails", json!(row.guardrails));
    put("blocked", json!(row.blocked || row.damaged));
    put("budget_id", json!(row.budget));
    put("organization_id", json!(row.organization));
    put("created_at", instant(row.created_at));
    put("created_by", json!(row.created_by));
    put("updated_at", instant(row.updated_at));
    put("updated_by", json!(row.updated_by));
    if !row.tenant.is_empty() {
        put("tenant_id", json!(row.tenant));
    }
    if row.damaged {
        put("damaged", json!(true));
    }
    match row.kind {
        Kind::Key => key(row, &mut out),
        Kind::Team => team(row, &mut out),
        Kind::User => user(row, &mut out),
        Kind::Organization => {
            named(row, "organization_id", "organization_alias", &mut out);
            out.insert("members".to_owned(), members(row));
        }
        Kind::Customer => named(row, "user_id", "alias", &mut out),
        Kind::Budget => named(row, "budget_id", "budget_alias", &mut out),
        Kind::Tag => named(row, "name", "description", &mut out),
        Kind::Tenant => named(row, "tenant_id", "tenant_alias", &mut out),
        // Consents have a form of their own.
        Kind::Consent => named(row, "subject", "alias", &mut out),
    }
    out
}

fn named(row: &Entity, id: &str, alias: &str, out: &mut Map<String, Value>) {
    out.insert(id.to_owned(), json!(row.id));
    out.insert(alias.to_owned(), json!(row.alias));
}

fn key(row: &Entity, out: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("token", json!(row.id));
    put("key_alias", json!(row.alias));
    put("team_id", json!(row.team));
    put("user_id", json!(row.user));
    put("aliases", json!(row.aliases));
    let Some(part) = row.key.as_deref() else {
        return;
    };
    put("key_name", json!(part.name));
    put("expires", part.expires.map_or(Value::Null, instant));
    put("allowed_routes", json!(part.allowed_routes));
    put(
        "key_type",
        json!(part.key_type.as_deref().unwrap_or("default")),
    );
    put("allowed_addresses", json!(part.allowed_addresses));
    put("agents", json!(part.agents));
    put("environment", json!(part.environment));
    put("rotation_count", json!(part.rotations));
    if let Some(until) = part.old_until {
        put("previous_key_valid_until", instant(until));
    }
}

fn member(member: &Member) -> Value {
    let role = match member.role {
        policy::identity::MemberRole::Admin => "admin",
        policy::identity::MemberRole::User => "user",
    };
    json!({ "user_id": member.user, "role": role })
}

fn members(row: &Entity) -> Value {
    let members = row.group.as_deref().map(|part| &part.members);
    Value::Array(members.into_iter().flatten().map(member).collect())
}

fn team(row: &Entity, out: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("team_id", json!(row.id));
    put("team_alias", json!(row.alias));
    put("model_aliases", json!(row.aliases));
    put("members_with_roles", members(row));
    let part = row.group.as_deref();
    put(
        "team_member_permissions",
        json!(part.map(|part| &part.member_permissions)),
    );
    let default = part.and_then(|part| part.member_caps.as_deref());
    put(
        "team_member_budget",
        maybe_usd(default.and_then(|caps| caps.max_budget)),
    );
}

/// What members may spend in a team.
pub(super) fn memberships(row: &Entity) -> Value {
    let members = row.group.as_deref().map(|part| &part.members);
    let one = |member: &Member| {
        let mut out = Map::new();
        out.insert("user_id".to_owned(), json!(member.user));
        out.insert("team_id".to_owned(), json!(row.id));
        let mut budget = Map::new();
        caps(
            member.caps.as_deref().unwrap_or(&Caps::default()),
            &mut budget,
        );
        out.insert("litellm_budget_table".to_owned(), Value::Object(budget));
        Value::Object(out)
    };
    Value::Array(members.into_iter().flatten().map(one).collect())
}

fn user(row: &Entity, out: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("user_id", json!(row.id));
    put("user_alias", json!(row.alias));
    let Some(part) = row.person.as_deref() else {
        return;
    };
    put("user_role", json!(part.role.as_str()));
    put("user_email", json!(part.email));
    put("sso_user_id", json!(part.sso_id));
}
