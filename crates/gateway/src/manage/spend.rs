//! `/spend/*` and `/global/spend`.

use policy::Billed;
use policy::identity::{Entity, Kind, Need, Reach};
use policy::price_table;
use serde_json::{Value, json};
use store::identity::{SpendFilter, SpendRow};
use store::reader::Reader;

use super::body::Fields;
use super::keys::{known, reachable};
use super::{Call, ManageError, show};

const DAY: i64 = 86_400_000_000;

/// A day of a query, microseconds since the Unix epoch.
pub(super) fn day(call: &Call<'_>, name: &str) -> Result<Option<i64>, ManageError> {
    let Some(text) = call.param(name) else {
        return Ok(None);
    };
    let value = json!(text);
    super::body::instant(name, &value)
        .map(Some)
        .map_err(|_| ManageError::field("query", name, "expected a day such as 2026-12-31"))
}

/// Runs a read of the database where it may block.
pub(super) async fn stored<T: Send + 'static>(
    call: &Call<'_>,
    read: impl FnOnce(Reader) -> Result<T, store::reader::ReadError> + Send + 'static,
) -> Result<T, ManageError> {
    let path = call
        .app
        .identity
        .database
        .clone()
        .ok_or(ManageError::NoDatabase)?;
    let done = tokio::task::spawn_blocking(move || Reader::at(&path).and_then(read)).await;
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::error!(%error, "the store could not be read for the management API");
            Err(ManageError::Store)
        }
        Err(_) => Err(ManageError::Store),
    }
}

fn row(stored: &SpendRow) -> Value {
    let (id, spend) = stored;
    let status = match spend.status {
        store::spend::Status::Success | store::spend::Status::Partial => "success",
        store::spend::Status::Refused => "error",
        _ => "failure",
    };
    let tags: Vec<&str> = spend
        .tags
        .split('\u{1f}')
        .filter(|tag| !tag.is_empty())
        .collect();
    json!({
        "request_id": id,
        "litellm_call_id": id,
        "call_type": spend.call_type,
        "api_key": spend.key,
        "spend": spend.cost_micro_usd.unwrap_or(0) as f64 / 1e6,
        "cost_source": spend.cost_source.as_str(),
        "estimated": spend.estimated,
        "total_tokens": spend.tokens_in.saturating_add(spend.tokens_out),
        "prompt_tokens": spend.tokens_in,
        "completion_tokens": spend.tokens_out,
        "startTime": show::instant(spend.at),
        "endTime": show::instant(spend.at.saturating_add(i64::try_from(spend.duration_ms).unwrap_or(0).saturating_mul(1_000))),
        "request_duration_ms": spend.duration_ms,
        "model": spend.model,
        "model_group": spend.model,
        "model_id": spend.deployment,
        "custom_llm_provider": spend.provider,
        "user": spend.user,
        "team_id": spend.team,
        "organization_id": spend.organization,
        "end_user": spend.end_user,
        "request_tags": tags,
        "requester_ip_address": spend.address,
        "status": status,
        "outcome": spend.status.as_str(),
        "metadata": {},
        "messages": {},
        "response": {},
    })
}

/// `GET /spend/logs`
pub(super) async fn logs(call: &Call<'_>) -> Result<Value, ManageError> {
    known(
        call,
        &[
            "api_key",
            "user_id",
            "request_id",
            "start_date",
            "end_date",
            "summarize",
        ],
    )?;
    let (from, until) = (day(call, "start_date")?, day(call, "end_date")?);
    let dated = from.is_some() || until.is_some();
    let everything = call.caller.role().reach(Need::SpendRead) == Reach::All;
    let own: Option<Vec<Box<str>>> = (!everything).then(|| {
        let tables = call.app.identity.directory.read();
        reachable(call, &tables)
            .iter()
            .map(|row| row.id.clone())
            .collect()
    });
    let key = match call.param("api_key") {
        None => None,
        Some(text) if text.len() == 32 => Some(text.to_owned()),
        Some(text) => {
            let digest = call.app.identity.secrets.of_key(text);
            Some(crate::identity::secret::public_id(&digest))
        }
    };
    let filter = SpendFilter {
        key,
        user: call.param("user_id").map(str::to_owned),
        request: call.param("request_id").map(str::to_owned),
        tenant: call.caller.key().map(|_| call.caller.tenant().to_owned()),
        from,
        until: until.map(|at| at.saturating_add(DAY)),
        limit: 10_000,
    };
    let rows = stored(call, move |reader| reader.spend_rows(&filter)).await?;
    let rows: Vec<SpendRow> = rows
        .into_iter()
        .filter(|(_, spend)| {
            own.as_ref()
                .is_none_or(|own| own.iter().any(|id| **id == *spend.key))
        })
        .collect();
    let summarize = call
        .param("summarize")
        .is_none_or(|text| text.eq_ignore_ascii_case("true"));
    if !(dated && summarize) {
        return Ok(json!(rows.iter().map(row).collect::<Vec<_>>()));
    }
    let mut days: std::collections::BTreeMap<i64, i64> = std::collections::BTreeMap::new();
    for (_, spend) in &rows {
        let sum = days.entry(spend.at.div_euclid(DAY)).or_default();
        *sum = sum.saturating_add(spend.cost_micro_usd.unwrap_or(0));
    }
    let shown = days.into_iter().map(|(day, sum)| json!({ "startTime": show::instant(day.saturating_mul(DAY)), "spend": sum as f64 / 1e6 }));
    Ok(json!(shown.collect::<Vec<_>>()))
}

fn spenders(call: &Call<'_>, rows: &[std::sync::Arc<Entity>]) -> Value {
    let mut shown: Vec<_> = rows
        .iter()
        .map(|row| (show::usage(call.app, row).total, row))
        .collect();
    shown.sort_by_key(|entry| std::cmp::Reverse(entry.0));
    let limit = call
        .param("limit")
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_usize)
        .min(1_000);
    json!(
        shown
            .into_iter()
            .take(limit)
            .map(|(_, row)| Value::Object(show::row(call.app, row)))
            .collect::<Vec<_>>()
    )
}

/// `GET /spend/keys`
pub(super) fn keys(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &["limit"])?;
    let rows = reachable(call, &call.app.identity.directory.read());
    Ok(spenders(call, &rows))
}

/// `GET /spend/users`
pub(super) fn users(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &["user_id", "limit"])?;
    let tables = call.app.identity.directory.read();
    let rows: Vec<_> = tables
        .all(Kind::User)
        .filter(|row| call.caller.reaches(Need::SpendGlobal, row))
        .filter(|row| call.param("user_id").is_none_or(|id| *row.id == *id))
        .cloned()
        .collect();
    drop(tables);
    Ok(spenders(call, &rows))
}

/// `POST /spend/calculate`: the price of tokens, without a call.
pub(super) fn calculate(call: &Call<'_>) -> Result<Value, ManageError> {
    let mut fields = Fields::of(&call.body);
    let model = fields.required("model")?;
    let messages = fields.some("messages").cloned();
    let answer = fields.some("completion_response").cloned();
    fields.end()?;
    let tokens = |name: &str| {
        answer
            .as_ref()
            .and_then(|answer| answer.get("usage")?.get(name)?.as_u64())
    };
    let text = messages.map_or(0, |messages| messages.to_string().len() as u64);
    let billed = Billed {
        input: tokens("prompt_tokens").unwrap_or(text / 4),
        output: tokens("completion_tokens").unwrap_or(0),
        ..Billed::default()
    };
    let snapshot = call.app.snapshot();
    let configured = snapshot
        .config
        .models
        .deployments()
        .find(|(group, _)| *group == model);
    let of_deployment = configured
        .map(|(_, deployment)| deployment.price)
        .filter(policy::Price::is_known);
    let (provider, name) = model.split_once('/').unwrap_or(("openai", &model));
    let price = of_deployment.or_else(|| Some(price_table::find(provider, name)?.price));
    let cost = price.and_then(|price| price.cost(&billed).ok()?.amount);
    let cost =
        cost.ok_or_else(|| ManageError::Invalid("the model has no known price".to_owned()))?;
    Ok(json!({ "cost": show::usd(cost) }))
}

/// `GET /global/spend`
pub(super) fn global(call: &Call<'_>) -> Value {
    let tables = call.app.identity.directory.read();
    let rows: Vec<_> = tables
        .all(Kind::Key)
        .filter(|row| call.caller.reaches(Need::SpendGlobal, row))
        .cloned()
        .collect();
    drop(tables);
    let sum: i64 = rows
        .iter()
        .map(|row| show::usage(call.app, row).total.micro())
        .fold(0, i64::saturating_add);
    let max = call.app.snapshot().config.budgets.global.max_budget;
    json!({ "spend": sum as f64 / 1e6, "max_budget": max.map_or(json!(0.0), show::usd) })
}

/// `POST /global/spend/reset`
pub(super) fn reset(_call: &Call<'_>) -> Result<Value, ManageError> {
    Err(ManageError::Forbidden(
        "spend is the sum of sealed records and is not reset as a whole; POST /key/{key}/reset_spend sets what one key has spent".to_owned(),
    ))
}
