//! What a crash leaves behind: the bytes an intent carries, and the record that is made of them at the next start.

use capsule::json::{Object, Value};
use capsule::{Authority, Capsule, CapsuleType, Context, Execution, Outcome, Trigger};
use ledger::OpenIntent;
use store::identity::Spent;
use store::spend::{CostSource, Spend, Status};

use super::admit::Admitted;
use super::reserve::{Billing, Held};

/// Between the fields of a payload. Configured names that hold it come back cut, in the record of a crashed call only.
const SEPARATOR: char = '\u{1f}';

/// The payload of an intent: which call it was and what it may cost at most. Written for every call and read after a crash
/// only, so it is plain joined text.
pub(crate) fn payload(
    admitted: &Admitted,
    held: &Held,
    billing: &Billing,
    route: &'static str,
) -> Vec<u8> {
    let call_type = admitted.request.protocol.call_type();
    let cost = held
        .ceiling
        .map_or_else(String::new, |most| most.micro().to_string());
    let tags = billing.tags.replace(SEPARATOR, "\u{1e}");
    let parts = [
        route,
        call_type,
        admitted.caller.key_id().as_str(),
        billing.model.as_str(),
        admitted.destination.deployment.id.as_str(),
        cost.as_str(),
        admitted.caller.tenant(),
        &billing.team,
        &billing.user,
        &billing.organization,
        &billing.end_user,
        &tags,
    ];
    let mut out = String::with_capacity(128);
    for part in parts {
        out.push_str(part);
        out.push(SEPARATOR);
    }
    out.into_bytes()
}

/// Who an open call counts against, and what it may cost at most, as its intent says.
pub(crate) fn bill(intent: &OpenIntent) -> (Spent, Option<i64>) {
    let payload = String::from_utf8_lossy(&intent.payload);
    let mut parts = payload.split(SEPARATOR).map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let (_route, _call_type, key, model, deployment) = (next(), next(), next(), next(), next());
    let cost: Option<i64> = next().parse().ok();
    let spent = Spent {
        at: intent.opened_at.micros(),
        key,
        model,
        deployment,
        tenant: next(),
        team: next(),
        user: next(),
        organization: next(),
        end_user: next(),
        tags: next().replace('\u{1e}', "\u{1f}"),
        cost: cost.unwrap_or(0),
    };
    (spent, cost)
}

/// Record and spend of a call whose process died: outcome unknown, cost = the reservation, flagged as estimated.
pub(crate) fn recover(intent: &OpenIntent, domain: &str, host: &str) -> (Capsule, Option<Vec<u8>>) {
    let payload = String::from_utf8_lossy(&intent.payload);
    let mut parts = payload.split(SEPARATOR).map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    let (route, call_type, key, group, deployment) = (next(), next(), next(), next(), next());
    let cost: Option<i64> = next().parse().ok();
    let (tenant, team, user, organization) = (next(), next(), next(), next());
    let (end_user, tags) = (next(), next().replace('\u{1e}', "\u{1f}"));
    let mut env = Object::new();
    env.insert(
        "cost_source",
        if cost.is_some() {
            "reservation"
        } else {
            "none"
        },
    );
    env.insert("deployment", deployment.as_str());
    env.insert("key_id", key.as_str());
    env.insert("model_group", group.as_str());
    env.insert("observed", true);
    let mut metrics = Object::new();
    if let Some(cost) = cost {
        metrics.insert("cost_micro_usd", cost);
        metrics.insert("estimated", true);
    }
    let capsule = Capsule {
        id: intent.id,
        capsule_type: CapsuleType::Chat,
        domain: domain.to_owned(),
        parent_id: None,
        trigger: Trigger {
            trigger_type: "user_request".into(),
            source: route,
            timestamp: intent.opened_at,
            ..Trigger::default()
        },
        context: Context {
            agent_id: host.to_owned(),
            session_id: None,
            environment: env,
        },
        authority: Authority::default(),
        execution: Execution {
            resources_used: metrics.clone(),
            ..Execution::default()
        },
        outcome: Outcome {
            status: "unknown".into(),
            result: Value::Null,
            summary: "The process ended before this call was settled".to_owned(),
            error: Some("recovered".to_owned()),
            metrics,
            ..Outcome::default()
        },
        ..Capsule::default()
    };
    let spend = Spend {
        at: intent.opened_at.micros(),
        status: Status::Unknown,
        call_type,
        model: group,
        deployment,
        key,
        tenant,
        team,
        user,
        organization,
        end_user,
        tags,
        cost_micro_usd: cost,
        cost_source: if cost.is_some() {
            CostSource::Reservation
        } else {
            CostSource::None
        },
        estimated: true,
        ..Spend::default()
    };
    (capsule, Some(spend.encode()))
}
