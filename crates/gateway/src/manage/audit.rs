//! `GET /audit`: every change of identity, with the record that seals it.

use serde_json::{Value, json};
use store::change::AuditRow;
use store::identity::AuditFilter;

use super::keys::known;
use super::spend::{day, stored};
use super::{Call, ManageError, show};

const DAY: i64 = 86_400_000_000;

fn row(row: &AuditRow) -> Value {
    let parsed = |text: &Option<String>| {
        text.as_deref()
            .and_then(|text| serde_json::from_str::<Value>(text).ok())
    };
    json!({
        "id": row.id,
        "updated_at": show::instant(row.at),
        "changed_by": row.changed_by,
        "changed_by_api_key": row.changed_by_key,
        "action": row.action,
        "table_name": row.table_name,
        "object_id": row.object_id,
        "before_value": parsed(&row.before_value),
        "updated_values": parsed(&row.updated_values),
    })
}

fn filter(call: &Call<'_>) -> AuditFilter {
    let text = |name: &str| call.param(name).map(str::to_owned);
    AuditFilter {
        tenant: call.caller.key().map(|_| call.caller.tenant().to_owned()),
        changed_by: text("changed_by"),
        changed_by_key: text("changed_by_api_key"),
        action: text("action"),
        table_name: text("table_name"),
        object_id: text("object_id"),
        ..AuditFilter::default()
    }
}

/// `GET /audit`
pub(super) async fn list(call: &Call<'_>) -> Result<Value, ManageError> {
    known(
        call,
        &[
            "page",
            "page_size",
            "changed_by",
            "changed_by_api_key",
            "action",
            "table_name",
            "object_id",
            "start_date",
            "end_date",
            "sort_by",
            "sort_order",
        ],
    )?;
    let (page, size) = call.page("page_size", 10, 100)?;
    if call
        .param("sort_by")
        .is_some_and(|name| name != "updated_at")
    {
        return Err(ManageError::field(
            "query",
            "sort_by",
            "expected updated_at",
        ));
    }
    let ascending = match call.param("sort_order") {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => {
            return Err(ManageError::field(
                "query",
                "sort_order",
                "expected asc or desc",
            ));
        }
    };
    let filter = AuditFilter {
        from: day(call, "start_date")?,
        until: day(call, "end_date")?.map(|at| at.saturating_add(DAY)),
        ascending,
        offset: page.saturating_sub(1).saturating_mul(size),
        limit: size,
        ..filter(call)
    };
    let (rows, total) = stored(call, move |reader| reader.audit(&filter)).await?;
    Ok(json!({
        "audit_logs": rows.iter().map(row).collect::<Vec<_>>(),
        "total": total,
        "page": page,
        "page_size": size,
        "total_pages": total.div_ceil(size),
    }))
}

/// `GET /audit/{id}`
pub(super) async fn one(call: &Call<'_>) -> Result<Value, ManageError> {
    let filter = AuditFilter {
        id: call.variable.clone(),
        limit: 1,
        ..filter(call)
    };
    let (rows, _) = stored(call, move |reader| reader.audit(&filter)).await?;
    let found = rows
        .first()
        .ok_or_else(|| ManageError::NotFound("Audit log not found".to_owned()))?;
    Ok(row(found))
}
