//! Organizations, end users, budgets, tags and tenants: kinds that differ in little but their names.

use std::sync::Arc;

use policy::identity::{Entity, Kind, Manage, Need, Tables};
use serde_json::{Map, Value, json};

use super::body::{self, Fields};
use super::keys::{gone, known, spend, tenant};
use super::teams::{checked_id, lookup, new_id};
use super::{Call, ManageError, show};
use crate::identity::{Action, Edited};

/// How a kind is called in bodies, queries and answers.
struct Names {
    kind: Kind,
    read: Need,
    id: &'static str,
    alias: &'static str,
    ids: &'static str,
    what: &'static str,
}

const ORGANIZATION: Names = Names {
    kind: Kind::Organization,
    read: Need::OrganizationRead,
    id: "organization_id",
    alias: "organization_alias",
    ids: "organization_ids",
    what: "Organization",
};
const CUSTOMER: Names = Names {
    kind: Kind::Customer,
    read: Need::CustomerRead,
    id: "user_id",
    alias: "alias",
    ids: "user_ids",
    what: "End user",
};
const BUDGET: Names = Names {
    kind: Kind::Budget,
    read: Need::BudgetRead,
    id: "budget_id",
    alias: "budget_alias",
    ids: "budgets",
    what: "Budget",
};
const TAG: Names = Names {
    kind: Kind::Tag,
    read: Need::TagRead,
    id: "name",
    alias: "description",
    ids: "names",
    what: "Tag",
};
const TENANT: Names = Names {
    kind: Kind::Tenant,
    read: Need::TenantRead,
    id: "tenant_id",
    alias: "tenant_alias",
    ids: "tenant_ids",
    what: "Tenant",
};

pub(super) async fn handle(call: &Call<'_>) -> Result<Value, ManageError> {
    use Manage as M;
    match call.route.id {
        M::OrganizationNew => new(call, &ORGANIZATION).await,
        M::OrganizationUpdate => update(call, &ORGANIZATION).await,
        M::OrganizationDelete => delete(call, &ORGANIZATION).await,
        M::OrganizationInfo => info(call, &ORGANIZATION),
        M::OrganizationList => list(call, &ORGANIZATION),
        M::CustomerNew => new(call, &CUSTOMER).await,
        M::CustomerUpdate => update(call, &CUSTOMER).await,
        M::CustomerDelete => {
            let gone = delete(call, &CUSTOMER).await?;
            let count = gone.as_array().map_or(0, Vec::len);
            Ok(
                json!({ "deleted_customers": count, "message": format!("Successfully deleted {count} customers") }),
            )
        }
        M::CustomerInfo => info(call, &CUSTOMER),
        M::CustomerList => list(call, &CUSTOMER),
        M::CustomerBlock => block_many(call, true).await,
        M::CustomerUnblock => block_many(call, false).await,
        M::BudgetNew => new(call, &BUDGET).await,
        M::BudgetUpdate => update(call, &BUDGET).await,
        M::BudgetDelete => delete_budget(call).await,
        M::BudgetInfo => budgets(call),
        M::BudgetSettings => info(call, &BUDGET),
        M::BudgetList => list(call, &BUDGET),
        M::TagNew => new(call, &TAG).await,
        M::TagUpdate => update(call, &TAG).await,
        M::TagDelete => delete(call, &TAG).await,
        M::TagInfo => tags(call),
        M::TagList => list(call, &TAG),
        M::TenantNew => new(call, &TENANT).await,
        M::TenantBlock => block_one(call, &TENANT, true).await,
        M::TenantUnblock => block_one(call, &TENANT, false).await,
        M::TenantList => list(call, &TENANT),
        // Every other route has a handler of its own; the router sends none of them here.
        _ => Err(ManageError::Store),
    }
}

fn find(call: &Call<'_>, names: &Names, id: &str) -> Result<Arc<Entity>, ManageError> {
    let tables = call.app.identity.directory.read();
    let row = match names.kind {
        Kind::Tenant => tables.get(Kind::Tenant, "", id).cloned(),
        kind => lookup(call, &tables, kind, id),
    };
    row.filter(|row| call.caller.reaches(call.route.need, row))
        .ok_or_else(|| ManageError::NotFound(format!("{} not found.", names.what)))
}

/// What a row refers to must be there.
pub(super) fn links(tables: &Tables, row: &Entity) -> Result<(), ManageError> {
    for (kind, id, what) in [
        (Kind::Organization, &row.organization, "Organization"),
        (Kind::Budget, &row.budget, "Budget"),
    ] {
        if let Some(id) = id.as_deref()
            && tables.get(kind, &row.tenant, id).is_none()
        {
            return Err(ManageError::NotFound(format!("{what} not found.")));
        }
    }
    Ok(())
}

fn set(
    call: &Call<'_>,
    names: &Names,
    fields: &mut Fields<'_>,
    row: &mut Entity,
) -> Result<(), ManageError> {
    if let Some(value) = fields.take(names.alias) {
        row.alias = (!value.is_null())
            .then(|| body::text(names.alias, value))
            .transpose()?
            .map(Into::into);
    }
    body::common(fields, row)?;
    if names.kind != Kind::Tenant {
        tenant(call, fields, row)?;
    }
    Ok(())
}

async fn new(call: &Call<'_>, names: &Names) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = match fields.text(names.id)? {
        Some(id) => checked_id(names.id, id)?,
        None if matches!(names.kind, Kind::Customer | Kind::Tag | Kind::Tenant) => {
            return Err(ManageError::missing(names.id));
        }
        None => new_id(call)?,
    };
    // Records hold the tenant in a column of this length.
    if names.kind == Kind::Tenant
        && (id.len() > 36 || !id.bytes().all(|byte| byte.is_ascii_graphic()))
    {
        return Err(ManageError::field(
            "body",
            names.id,
            "expected at most 36 visible characters",
        ));
    }
    let mut row = Entity {
        kind: names.kind,
        tenant: if names.kind == Kind::Tenant {
            "".into()
        } else {
            call.caller.tenant().into()
        },
        id: id.into(),
        ..Entity::default()
    };
    set(call, names, &mut fields, &mut row)?;
    spend(call, &mut fields, &mut row, editor.now())?;
    fields.end()?;
    if names.kind == Kind::Organization && row.alias.is_none() {
        return Err(ManageError::missing(names.alias));
    }
    {
        let tables = call.app.identity.directory.read();
        if tables.get(row.kind, &row.tenant, &row.id).is_some() {
            return Err(ManageError::Invalid(format!(
                "{} {} already exists",
                names.what, row.id
            )));
        }
        links(&tables, &row)?;
    }
    let row = editor.put(Action::Created, None, row).await?;
    Ok(Value::Object(show::row(call.app, &row)))
}

async fn update(call: &Call<'_>, names: &Names) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.required(names.id)?;
    let before = find(call, names, &id)?;
    let mut row = Entity::clone(&before);
    set(call, names, &mut fields, &mut row)?;
    spend(call, &mut fields, &mut row, editor.now())?;
    fields.end()?;
    links(&call.app.identity.directory.read(), &row)?;
    let action = super::keys::action(&before, &row);
    let row = editor.put(action, Some(before), row).await?;
    Ok(Value::Object(show::row(call.app, &row)))
}

async fn delete(call: &Call<'_>, names: &Names) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let ids = match names.kind {
        Kind::Tag => vec![fields.required(names.id)?.into_boxed_str()],
        _ => fields
            .texts(names.ids)?
            .ok_or_else(|| ManageError::missing(names.ids))?,
    };
    fields.end()?;
    let rows = ids
        .iter()
        .map(|id| find(call, names, id))
        .collect::<Result<Vec<_>, _>>()?;
    if names.kind == Kind::Organization {
        let tables = call.app.identity.directory.read();
        let used = |id: &str| {
            let of = |row: &Arc<Entity>| row.organization.as_deref() == Some(id);
            tables.all(Kind::Team).any(of) || tables.all(Kind::Key).any(of)
        };
        if rows.iter().any(|row| used(&row.id)) {
            return Err(ManageError::Invalid(
                "the organization has teams or keys; delete or move them first".to_owned(),
            ));
        }
    }
    editor.commit(rows.iter().map(gone).collect()).await?;
    let shown: Vec<Map<String, Value>> = rows.iter().map(|row| show::row(call.app, row)).collect();
    Ok(json!(shown))
}

/// A budget that something refers to stays: without it that would be unlimited.
async fn delete_budget(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.required("id")?;
    fields.end()?;
    let row = find(call, &BUDGET, &id)?;
    {
        let tables = call.app.identity.directory.read();
        let kinds = [
            Kind::Key,
            Kind::Team,
            Kind::User,
            Kind::Organization,
            Kind::Customer,
            Kind::Tag,
        ];
        let used = |kind| {
            tables.all(kind).any(|other: &Arc<Entity>| {
                other.budget.as_deref() == Some(&*row.id) && other.tenant == row.tenant
            })
        };
        if kinds.into_iter().any(used) {
            return Err(ManageError::Invalid(
                "the budget is in use; detach it first".to_owned(),
            ));
        }
    }
    editor.commit(vec![gone(&row)]).await?;
    Ok(Value::Object(show::row(call.app, &row)))
}

fn info(call: &Call<'_>, names: &Names) -> Result<Value, ManageError> {
    let param = if names.kind == Kind::Customer {
        "end_user_id"
    } else {
        names.id
    };
    let from_body = || {
        call.body
            .get("organizations")
            .and_then(|ids| ids.get(0)?.as_str())
    };
    let id = call.param(param).or_else(from_body);
    let id = id.ok_or_else(|| ManageError::field("query", param, "Field required"))?;
    Ok(Value::Object(show::row(call.app, &*find(call, names, id)?)))
}

fn budgets(call: &Call<'_>) -> Result<Value, ManageError> {
    let mut fields = Fields::of(&call.body);
    let ids = fields
        .texts("budgets")?
        .ok_or_else(|| ManageError::missing("budgets"))?;
    fields.end()?;
    let rows = ids.iter().filter_map(|id| find(call, &BUDGET, id).ok());
    let shown: Vec<Map<String, Value>> = rows.map(|row| show::row(call.app, &row)).collect();
    Ok(json!(shown))
}

fn tags(call: &Call<'_>) -> Result<Value, ManageError> {
    let mut fields = Fields::of(&call.body);
    let names = fields
        .texts("names")?
        .ok_or_else(|| ManageError::missing("names"))?;
    fields.end()?;
    let rows = names
        .iter()
        .filter_map(|name| Some((name.to_string(), find(call, &TAG, name).ok()?)));
    let shown: Map<String, Value> = rows
        .map(|(name, row)| (name, Value::Object(show::row(call.app, &row))))
        .collect();
    Ok(Value::Object(shown))
}

fn list(call: &Call<'_>, names: &Names) -> Result<Value, ManageError> {
    known(call, &["page", "page_size"])?;
    let tables = call.app.identity.directory.read();
    let rows = tables
        .all(names.kind)
        .filter(|row| call.caller.reaches(names.read, row));
    let rows: Vec<Arc<Entity>> = rows.take(10_000).cloned().collect();
    drop(tables);
    let shown: Vec<Map<String, Value>> = rows.iter().map(|row| show::row(call.app, row)).collect();
    Ok(json!(shown))
}

async fn block_one(call: &Call<'_>, names: &Names, blocked: bool) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.required(names.id)?;
    fields.end()?;
    let before = find(call, names, &id)?;
    let after = Entity {
        blocked,
        ..Entity::clone(&before)
    };
    let action = if blocked {
        Action::Blocked
    } else {
        Action::Unblocked
    };
    let row = editor.put(action, Some(before), after).await?;
    Ok(Value::Object(show::row(call.app, &row)))
}

/// End users are blocked by id; those without a row get one.
async fn block_many(call: &Call<'_>, blocked: bool) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let ids = fields
        .texts("user_ids")?
        .ok_or_else(|| ManageError::missing("user_ids"))?;
    fields.end()?;
    let action = if blocked {
        Action::Blocked
    } else {
        Action::Unblocked
    };
    let mut edits = Vec::new();
    for id in &ids {
        let id = checked_id("user_ids", id.to_string())?;
        let tables = call.app.identity.directory.read();
        let before = tables
            .get(Kind::Customer, call.caller.tenant(), &id)
            .cloned();
        let row = before.as_deref().cloned().unwrap_or_else(|| Entity {
            kind: Kind::Customer,
            tenant: call.caller.tenant().into(),
            id: id.into(),
            ..Entity::default()
        });
        edits.push(Edited {
            action,
            before,
            after: Entity { blocked, ..row },
        });
    }
    let rows = editor.commit(edits).await?;
    let shown: Vec<Map<String, Value>> = rows.iter().map(|row| show::row(call.app, row)).collect();
    Ok(json!({ "blocked_users": shown }))
}
