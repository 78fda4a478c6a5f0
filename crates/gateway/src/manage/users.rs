//! `/user/*`.

use std::sync::Arc;

use policy::identity::{Entity, Kind, Need, Role, TeamPart, UserPart};
use serde_json::{Map, Value, json};

use super::body::{self, Fields};
use super::keys::{action, gone, known, paged, spend, tenant};
use super::teams::{checked_id, keys_of, lookup, member, new_id};
use super::{Call, ManageError, show};
use crate::identity::{Action, Edited};

fn not_found(id: &str) -> ManageError {
    let id: String = id.chars().take(100).collect();
    ManageError::NotFound(format!("User {id} not found"))
}

fn find(call: &Call<'_>, id: &str, need: Need) -> Result<Arc<Entity>, ManageError> {
    let tables = call.app.identity.directory.read();
    let row = lookup(call, &tables, Kind::User, id).or_else(|| {
        let by_mail = |row: &&Arc<Entity>| {
            let mail = row.person.as_deref().and_then(|part| part.email.as_deref());
            mail == Some(id) && *row.tenant == *call.caller.tenant()
        };
        tables.all(Kind::User).find(by_mail).cloned()
    });
    row.filter(|row| call.caller.reaches(need, row))
        .ok_or_else(|| not_found(id))
}

fn set(call: &Call<'_>, fields: &mut Fields<'_>, row: &mut Entity) -> Result<(), ManageError> {
    body::common(fields, row)?;
    if let Some(value) = fields.take("user_alias") {
        row.alias = (!value.is_null())
            .then(|| body::text("user_alias", value))
            .transpose()?
            .map(Into::into);
    }
    let part = row.person.get_or_insert_default();
    if let Some(name) = fields.text("user_role")? {
        part.role = Role::parse(&name)
            .ok_or_else(|| ManageError::field("body", "user_role", "unknown role"))?;
    }
    for (name, slot) in [
        ("user_email", &mut part.email),
        ("sso_user_id", &mut part.sso_id),
    ] {
        if let Some(value) = fields.take(name) {
            *slot = (!value.is_null())
                .then(|| body::text(name, value))
                .transpose()?
                .map(Into::into);
        }
    }
    tenant(call, fields, row)
}

/// `POST /user/new`
pub(super) async fn new(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = match fields.text("user_id")? {
        Some(id) => checked_id("user_id", id)?,
        None => new_id(call)?,
    };
    let mut row = Entity {
        kind: Kind::User,
        tenant: call.caller.tenant().into(),
        id: id.into(),
        person: Some(Box::new(UserPart {
            role: Role::InternalUser,
            ..UserPart::default()
        })),
        ..Entity::default()
    };
    set(call, &mut fields, &mut row)?;
    let teams = teams(&mut fields, &row.id)?;
    let with_key = fields.flag("auto_create_key")?.unwrap_or(true);
    fields.end()?;
    let mut edits = Vec::new();
    {
        let tables = call.app.identity.directory.read();
        if tables.get(Kind::User, &row.tenant, &row.id).is_some() {
            return Err(ManageError::Exists(format!(
                "User with id {} already exists",
                row.id
            )));
        }
        super::others::links(&tables, &row)?;
        for (id, member) in teams {
            let missing = || ManageError::NotFound(format!("Team not found, passed team_id={id}"));
            let before = tables
                .get(Kind::Team, &row.tenant, &id)
                .cloned()
                .ok_or_else(missing)?;
            let mut team = Entity::clone(&before);
            let part = team
                .group
                .get_or_insert_with(|| Box::new(TeamPart::default()));
            part.members.retain(|old| old.user != member.user);
            part.members.push(member);
            edits.push(Edited {
                action: Action::Updated,
                before: Some(before),
                after: team,
            });
        }
    }
    let mut text = String::new();
    if with_key {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| ManageError::Store)?;
        text = policy::key_text::plain(&random);
        edits.insert(
            0,
            Edited {
                action: Action::Created,
                before: None,
                after: key_for(call, &row, &text),
            },
        );
    }
    edits.insert(
        0,
        Edited {
            action: Action::Created,
            before: None,
            after: row,
        },
    );
    let rows = editor.commit(edits).await?;
    let row = rows.first().ok_or(ManageError::Store)?;
    let mut out = show::row(call.app, row);
    out.insert("key".to_owned(), json!(text));
    let key = rows.get(1).filter(|_| with_key);
    out.insert("token".to_owned(), json!(key.map(|row| &*row.id)));
    Ok(Value::Object(out))
}

fn key_for(call: &Call<'_>, user: &Entity, text: &str) -> Entity {
    use crate::identity::secret::{hex, public_id};
    let digest = call.app.identity.secrets.of_key(text);
    Entity {
        kind: Kind::Key,
        tenant: user.tenant.clone(),
        id: public_id(&digest).into(),
        user: Some((&*user.id).into()),
        key: Some(Box::new(policy::identity::KeyPart {
            digest: hex(&digest).into(),
            name: policy::key_text::masked(text).into(),
            ..policy::identity::KeyPart::default()
        })),
        ..Entity::default()
    }
}

type Joined = Vec<(String, policy::identity::Member)>;

/// `teams`: ids, or objects with limits.
fn teams(fields: &mut Fields<'_>, user: &str) -> Result<Joined, ManageError> {
    let wrong = || ManageError::field("body", "teams", "expected ids, or objects with team_id");
    let Some(value) = fields.some("teams") else {
        return Ok(Vec::new());
    };
    let items = value
        .as_array()
        .filter(|items| items.len() <= 1_000)
        .ok_or_else(wrong)?;
    let one = |item: &Value| {
        if let Some(id) = item.as_str() {
            return Ok((id.to_owned(), member(&json!({ "user_id": user }))?));
        }
        let mut fields = Fields::of(item);
        let id = fields.text("team_id")?.ok_or_else(wrong)?;
        let role = fields.text("user_role")?;
        let mut joined = member(&json!({ "user_id": user, "role": role }))?;
        if let Some(budget) = fields.some("max_budget_in_team") {
            joined.caps = Some(Box::new(policy::budget::Caps {
                max_budget: Some(body::money("max_budget_in_team", budget)?),
                ..policy::budget::Caps::default()
            }));
        }
        fields.end()?;
        Ok((id, joined))
    };
    items.iter().map(one).collect()
}

/// What users may change of themselves.
const OWN_FIELDS: [&str; 5] = [
    "user_id",
    "user_email",
    "user_alias",
    "metadata",
    "tenant_id",
];

/// `POST /user/update`
pub(super) async fn update(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.text("user_id")?;
    let id = match id {
        Some(id) => id,
        None => call
            .body
            .get("user_email")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| ManageError::missing("user_id"))?,
    };
    let before = find(call, &id, Need::UserSelf)?;
    if !call.caller.role().is_admin() {
        let members = call.body.as_object().into_iter().flatten();
        if let Some((name, _)) = members
            .into_iter()
            .find(|(name, _)| !OWN_FIELDS.contains(&name.as_str()))
        {
            return Err(ManageError::unknown(
                name,
                "set by an administrator; of yourself you may change user_email, user_alias and metadata",
            ));
        }
    }
    let mut row = Entity::clone(&before);
    set(call, &mut fields, &mut row)?;
    spend(call, &mut fields, &mut row, editor.now())?;
    fields.end()?;
    super::others::links(&call.app.identity.directory.read(), &row)?;
    let action = action(&before, &row);
    let row = editor.put(action, Some(before), row).await?;
    Ok(json!({ "user_id": row.id, "data": show::row(call.app, &row) }))
}

/// `POST /user/delete`: the user, its keys, its memberships, in one change that begins with the user.
///
/// Then the erasure that `DELETE /user/delete` of published guides promises: rows of spend lose the name, the archive and the
/// audit log what they said about the account, and the content of its calls ends with its key. The answer says what was done.
pub(super) async fn delete(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let (ids, one) = (fields.texts("user_ids")?, fields.text("user_id")?);
    fields.end()?;
    let ids: Vec<Box<str>> = ids
        .into_iter()
        .flatten()
        .chain(one.map(Into::into))
        .collect();
    if ids.is_empty() {
        return Err(ManageError::missing("user_ids"));
    }
    let users = ids
        .iter()
        .map(|id| find(call, id, Need::UserWrite))
        .collect::<Result<Vec<_>, _>>()?;
    let mut edits: Vec<Edited> = users.iter().map(gone).collect();
    {
        let tables = call.app.identity.directory.read();
        let is_one = |tenant: &str, id: Option<&str>| {
            users
                .iter()
                .any(|user| Some(&*user.id) == id && *user.tenant == *tenant)
        };
        edits.extend(
            tables
                .all(Kind::Key)
                .filter(|key| is_one(&key.tenant, key.user.as_deref()))
                .map(gone),
        );
        for team in tables.all(Kind::Team) {
            let mut row = Entity::clone(team);
            let Some(part) = row.group.as_deref_mut() else {
                continue;
            };
            let count = part.members.len();
            part.members
                .retain(|member| !is_one(&team.tenant, Some(&member.user)));
            if part.members.len() < count {
                edits.push(Edited {
                    action: Action::Updated,
                    before: Some(team.clone()),
                    after: row,
                });
            }
        }
    }
    editor.commit(edits).await?;
    // The account is gone; what was kept of its calls, and its name in rows, go too, each under a record of its own.
    let mut erasures = Vec::with_capacity(users.len());
    for user in &users {
        let done = super::content::erased(call, &user.tenant, Some("user"), &user.id, true).await?;
        erasures.push(done);
    }
    let shown = users.iter().zip(erasures).map(|(row, erasure)| {
        let mut shown = show::row(call.app, row);
        shown.insert("erasure".to_owned(), erasure);
        shown
    });
    let shown: Vec<Map<String, Value>> = shown.collect();
    Ok(json!(shown))
}

fn teams_of(call: &Call<'_>, user: &Entity) -> Vec<Value> {
    let tables = call.app.identity.directory.read();
    let teams: Vec<Arc<Entity>> = tables
        .all(Kind::Team)
        .filter(|team| team.tenant == user.tenant && team.member(&user.id).is_some())
        .cloned()
        .collect();
    drop(tables);
    teams
        .iter()
        .map(|row| Value::Object(show::row(call.app, row)))
        .collect()
}

/// `GET /user/info`
pub(super) fn info(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &["user_id", "user_email", "tenant_id"])?;
    let id = call
        .param("user_id")
        .or(call.param("user_email"))
        .or(call.caller.user_id());
    let id = id.ok_or_else(|| ManageError::field("query", "user_id", "Field required"))?;
    let row = find(call, id, Need::UserRead)?;
    let keys = keys_of(call, |key| {
        key.user.as_deref() == Some(&*row.id) && key.tenant == row.tenant
    });
    Ok(json!({
        "user_id": row.id,
        "user_info": show::row(call.app, &row),
        "keys": keys,
        "teams": teams_of(call, &row),
    }))
}

/// `GET /user/{id}`: everything about one account in one answer.
pub(super) fn path(call: &Call<'_>) -> Result<Value, ManageError> {
    let id = call.variable.clone().unwrap_or_default();
    let row = find(call, &id, Need::UserRead)?;
    let keys = keys_of(call, |key| {
        key.user.as_deref() == Some(&*row.id) && key.tenant == row.tenant
    });
    let usage = show::usage(call.app, &row);
    Ok(json!({
        "user_id": row.id,
        "account": show::row(call.app, &row),
        "keys": keys,
        "teams": teams_of(call, &row),
        "spend": show::usd(usage.total),
    }))
}

/// `GET /user/list`
pub(super) fn list(call: &Call<'_>) -> Result<Value, ManageError> {
    known(
        call,
        &[
            "role",
            "user_ids",
            "user_email",
            "search",
            "team",
            "page",
            "page_size",
            "sort_by",
            "sort_order",
        ],
    )?;
    let (page, size) = call.page("page_size", 25, 100)?;
    let ids: Option<Vec<&str>> = call
        .param("user_ids")
        .map(|text| text.split(',').map(str::trim).collect());
    let tables = call.app.identity.directory.read();
    let mut rows: Vec<Arc<Entity>> = tables
        .all(Kind::User)
        .filter(|row| call.caller.reaches(Need::UserRead, row))
        .filter(|row| ids.as_ref().is_none_or(|ids| ids.contains(&&*row.id)))
        .filter(|row| {
            let part = row.person.as_deref();
            let mail = part
                .and_then(|part| part.email.as_deref())
                .unwrap_or_default();
            let role = part.map_or("", |part| part.role.as_str());
            call.param("role").is_none_or(|wanted| wanted == role)
                && call
                    .param("user_email")
                    .is_none_or(|wanted| mail.contains(wanted))
                && call
                    .param("search")
                    .is_none_or(|wanted| mail.contains(wanted) || row.id.contains(wanted))
        })
        .filter(|row| {
            let of_team = |team: &str| {
                tables
                    .get(Kind::Team, &row.tenant, team)
                    .is_some_and(|team| team.member(&row.id).is_some())
            };
            call.param("team").is_none_or(of_team)
        })
        .cloned()
        .collect();
    drop(tables);
    match call.param("sort_by") {
        None | Some("user_id") => {}
        Some("created_at") => rows.sort_by_key(|row| row.created_at),
        Some("spend") => rows.sort_by_key(|row| show::usage(call.app, row).total),
        Some(_) => {
            return Err(ManageError::field(
                "query",
                "sort_by",
                "expected user_id, created_at or spend",
            ));
        }
    }
    if call.param("sort_order") == Some("desc") {
        rows.reverse();
    }
    let total = rows.len() as u64;
    let shown: Vec<Map<String, Value>> = paged(&rows, page, size)
        .map(|row| show::row(call.app, row))
        .collect();
    Ok(
        json!({ "users": shown, "total": total, "page": page, "page_size": size, "total_pages": total.div_ceil(size) }),
    )
}
