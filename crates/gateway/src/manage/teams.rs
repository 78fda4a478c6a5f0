//! `/team/*`.

use std::sync::Arc;

use policy::identity::{Entity, Kind, Member, MemberRole, Need, UserPart};
use policy::identity::{Principal, Role, Tables};
use serde_json::{Map, Value, json};

use super::body::{self, Fields};
use super::keys::{action, gone, known, paged, spend, tenant};
use super::{Call, ManageError, show};
use crate::identity::{Action, Edited};

fn not_found(id: &str) -> ManageError {
    let id: String = id.chars().take(100).collect();
    ManageError::NotFound(format!("Team not found, passed team_id={id}"))
}

fn find(call: &Call<'_>, id: &str) -> Result<Arc<Entity>, ManageError> {
    let tables = call.app.identity.directory.read();
    let row = lookup(call, &tables, Kind::Team, id).ok_or_else(|| not_found(id))?;
    if call.caller.reaches(call.route.need, &row) {
        return Ok(row);
    }
    // Whoever may see the team is told that it is the right that is missing.
    Err(match call.caller.reaches(Need::TeamRead, &row) {
        true => ManageError::Forbidden("only admins of the team may do this".to_owned()),
        false => not_found(id),
    })
}

/// A row of the caller's tenant; the master key may name one of any tenant by `tenant_id`.
pub(super) fn lookup(
    call: &Call<'_>,
    tables: &Tables,
    kind: Kind,
    id: &str,
) -> Option<Arc<Entity>> {
    let named = call
        .param("tenant_id")
        .or_else(|| call.body.get("tenant_id")?.as_str());
    let tenant = match call.caller.role() {
        Role::Master => named.unwrap_or_default(),
        _ => call.caller.tenant(),
    };
    tables.get(kind, tenant, id).cloned()
}

/// A new random id, where the request names none.
pub(super) fn new_id(call: &Call<'_>) -> Result<String, ManageError> {
    let id = crate::ids::call_id(call.app.clock.now().micros()).map_err(|_| ManageError::Store)?;
    Ok(id.to_string())
}

/// An id as a request may give it.
pub(super) fn checked_id(name: &str, id: String) -> Result<String, ManageError> {
    if id.is_empty() || id.len() > 256 || id.contains('\u{1f}') {
        return Err(ManageError::field(
            "body",
            name,
            "expected 1 to 256 characters",
        ));
    }
    Ok(id)
}

fn set(call: &Call<'_>, fields: &mut Fields<'_>, row: &mut Entity) -> Result<(), ManageError> {
    body::common(fields, row)?;
    if let Some(value) = fields.take("team_alias") {
        row.alias = (!value.is_null())
            .then(|| body::text("team_alias", value))
            .transpose()?
            .map(Into::into);
    }
    let part = row.group.get_or_insert_default();
    let mut member_caps = part
        .member_caps
        .take()
        .map(|caps| *caps)
        .unwrap_or_default();
    if let Some(value) = fields.some("team_member_budget") {
        member_caps.max_budget = Some(body::money("team_member_budget", value)?);
    }
    if let Some(value) = fields.some("team_member_budget_duration") {
        member_caps.budget_duration = Some(body::period("team_member_budget_duration", value)?);
    }
    for (name, slot) in [
        ("team_member_rpm_limit", &mut member_caps.rpm_limit),
        ("team_member_tpm_limit", &mut member_caps.tpm_limit),
    ] {
        if let Some(value) = fields.some(name) {
            let number = value
                .as_u64()
                .ok_or_else(|| ManageError::field("body", name, "expected a whole number"))?;
            *slot = Some(number);
        }
    }
    part.member_caps = (!member_caps.is_empty()).then(|| Box::new(member_caps));
    if let Some(value) = fields.some("team_member_key_duration") {
        part.member_key_duration = Some(body::period("team_member_key_duration", value)?);
    }
    if let Some(routes) = fields.texts("team_member_permissions")? {
        part.member_permissions = routes;
    }
    if let Some(value) = fields.some("members_with_roles") {
        part.members = members(value)?;
    }
    tenant(call, fields, row)
}

fn members(value: &Value) -> Result<Vec<Member>, ManageError> {
    let items = value.as_array().filter(|items| items.len() <= 10_000);
    let items = items.ok_or_else(|| {
        ManageError::field("body", "members_with_roles", "expected a list of members")
    })?;
    items.iter().map(member).collect()
}

/// One member: `{"user_id" | "user_email", "role"}`.
pub(super) fn member(value: &Value) -> Result<Member, ManageError> {
    let mut fields = Fields::of(value);
    let (id, email) = (fields.text("user_id")?, fields.text("user_email")?);
    let role = fields.text("role")?;
    fields.end()?;
    let user = id
        .or(email)
        .ok_or_else(|| ManageError::missing("user_id"))?;
    Ok(Member {
        user: checked_id("user_id", user)?.into(),
        role: role_of(role.as_deref())?,
        caps: None,
    })
}

fn role_of(name: Option<&str>) -> Result<MemberRole, ManageError> {
    match name {
        Some("admin") => Ok(MemberRole::Admin),
        // `member` is the word of published guides.
        None | Some("user" | "member") => Ok(MemberRole::User),
        Some(_) => Err(ManageError::field("body", "role", "expected admin or user")),
    }
}

/// What somebody who is no administrator may not give a team.
fn bounded(caller: &Principal, before: Option<&Entity>, after: &Entity) -> Result<(), ManageError> {
    if caller.role().is_admin() {
        return Ok(());
    }
    let refuse = |what: &str| {
        Err(ManageError::Forbidden(format!(
            "{what} of a team is set by an administrator"
        )))
    };
    let default = Entity::default();
    let before = before.unwrap_or(&default);
    let own = caller
        .organization()
        .filter(|_| caller.role() == Role::OrgAdmin);
    let organization = own.map(|row| &*row.id);
    if before.version == 0 {
        return match organization.is_some() && after.organization.as_deref() == organization {
            true => Ok(()),
            false => refuse("the organization"),
        };
    }
    if after.organization != before.organization {
        return refuse("the organization");
    }
    if own.is_some() {
        return Ok(());
    }
    if after.caps != before.caps || after.budget != before.budget {
        return refuse("the budget");
    }
    if after.models != before.models || after.aliases != before.aliases {
        return refuse("the list of models");
    }
    if after.blocked != before.blocked {
        return refuse("the block");
    }
    if after.tags != before.tags || after.guardrails != before.guardrails {
        return refuse("the checks and tags");
    }
    Ok(())
}

/// `POST /team/new`
pub(super) async fn new(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = match fields.text("team_id")? {
        Some(id) => checked_id("team_id", id)?,
        None => new_id(call)?,
    };
    let mut row = Entity {
        kind: Kind::Team,
        tenant: call.caller.tenant().into(),
        id: id.into(),
        ..Entity::default()
    };
    if call.caller.role() == Role::OrgAdmin && !fields.has("organization_id") {
        row.organization = call.caller.organization().map(|own| Arc::from(&*own.id));
    }
    set(call, &mut fields, &mut row)?;
    fields.end()?;
    bounded(call.caller, None, &row)?;
    if let (Some(user), Some(part)) = (call.caller.user_id(), row.group.as_deref_mut())
        && !part.members.iter().any(|member| *member.user == *user)
    {
        part.members.push(Member {
            user: user.into(),
            role: MemberRole::Admin,
            caps: None,
        });
    }
    let edits = {
        let tables = call.app.identity.directory.read();
        if tables.get(Kind::Team, &row.tenant, &row.id).is_some() {
            return Err(ManageError::Invalid(format!(
                "Team id = {} already exists. Please use a different team id.",
                row.id
            )));
        }
        super::others::links(&tables, &row)?;
        // A key of a deleted team must not come back to life with a new one of the same id.
        if tables
            .all(Kind::Key)
            .any(|key| key.team.as_deref() == Some(&*row.id) && key.tenant == row.tenant)
        {
            return Err(ManageError::Exists(
                "keys of a deleted team have this id; delete them first".to_owned(),
            ));
        }
        vec![Edited {
            action: Action::Created,
            before: None,
            after: row,
        }]
    };
    let rows = editor.commit(edits).await?;
    let row = rows.first().ok_or(ManageError::Store)?;
    Ok(Value::Object(show::row(call.app, row)))
}

/// `POST /team/update`
pub(super) async fn update(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.required("team_id")?;
    let before = find(call, &id)?;
    let mut row = Entity::clone(&before);
    set(call, &mut fields, &mut row)?;
    spend(call, &mut fields, &mut row, editor.now())?;
    fields.end()?;
    bounded(call.caller, Some(&before), &row)?;
    super::others::links(&call.app.identity.directory.read(), &row)?;
    let action = action(&before, &row);
    let row = editor.put(action, Some(before), row).await?;
    Ok(json!({ "team_id": row.id, "data": show::row(call.app, &row) }))
}

/// `POST /team/delete`: the team first, which ends its keys at once; then the keys.
pub(super) async fn delete(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let ids = fields
        .texts("team_ids")?
        .ok_or_else(|| ManageError::missing("team_ids"))?;
    fields.end()?;
    if !call.caller.role().is_admin() && call.caller.role() != Role::OrgAdmin {
        return Err(ManageError::Forbidden(
            "teams are deleted by an administrator".to_owned(),
        ));
    }
    let mut edits = Vec::new();
    for id in &ids {
        let row = find(call, id)?;
        if !edits.iter().any(|edit: &Edited| edit.after.id == row.id) {
            edits.push(gone(&row));
        }
    }
    let teams = edits.len();
    {
        let tables = call.app.identity.directory.read();
        let of_teams = |key: &&Arc<Entity>| {
            edits.iter().any(|edit| {
                key.team.as_deref() == Some(&*edit.after.id) && key.tenant == edit.after.tenant
            })
        };
        let keys: Vec<Edited> = tables.all(Kind::Key).filter(of_teams).map(gone).collect();
        edits.extend(keys);
    }
    let rows = editor.commit(edits).await?;
    let shown: Vec<Map<String, Value>> = rows
        .iter()
        .take(teams)
        .map(|row| show::row(call.app, row))
        .collect();
    Ok(json!(shown))
}

/// `GET /team/info`
pub(super) fn info(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &["team_id", "tenant_id"])?;
    let id = call
        .param("team_id")
        .ok_or_else(|| ManageError::field("query", "team_id", "Field required"))?;
    let row = find(call, id)?;
    let keys = keys_of(call, |key| {
        key.team.as_deref() == Some(&*row.id) && key.tenant == row.tenant
    });
    Ok(json!({
        "team_id": row.id,
        "team_info": show::row(call.app, &row),
        "keys": keys,
        "team_memberships": show::memberships(&row),
    }))
}

/// Keys that the caller reaches and that fit.
pub(super) fn keys_of(call: &Call<'_>, fits: impl Fn(&Entity) -> bool) -> Vec<Value> {
    let tables = call.app.identity.directory.read();
    let rows: Vec<Arc<Entity>> = tables
        .all(Kind::Key)
        .filter(|key| fits(key) && super::keys::reaches(call.caller, &tables, Need::KeyRead, key))
        .take(1_000)
        .cloned()
        .collect();
    drop(tables);
    rows.iter()
        .map(|row| Value::Object(show::row(call.app, row)))
        .collect()
}

fn reachable(call: &Call<'_>) -> Vec<Arc<Entity>> {
    let tables = call.app.identity.directory.read();
    let rows = tables
        .all(Kind::Team)
        .filter(|row| call.caller.reaches(Need::TeamRead, row));
    let is = |name: &str, value: Option<&str>| {
        call.param(name).is_none_or(|wanted| value == Some(wanted))
    };
    rows.filter(|row| {
        is("organization_id", row.organization.as_deref())
            && is("team_id", Some(&row.id))
            && is("team_alias", row.alias.as_deref())
    })
    .filter(|row| {
        call.param("user_id")
            .is_none_or(|user| row.member(user).is_some())
    })
    .cloned()
    .collect()
}

const FILTERS: [&str; 6] = [
    "organization_id",
    "team_id",
    "team_alias",
    "user_id",
    "page",
    "page_size",
];

/// `GET /team/list`
pub(super) fn list(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &FILTERS)?;
    let rows = reachable(call);
    let shown: Vec<Map<String, Value>> = rows
        .iter()
        .take(10_000)
        .map(|row| show::row(call.app, row))
        .collect();
    Ok(json!(shown))
}

/// `GET /v2/team/list`
pub(super) fn list_paged(call: &Call<'_>) -> Result<Value, ManageError> {
    known(call, &FILTERS)?;
    let (page, size) = call.page("page_size", 10, 100)?;
    let rows = reachable(call);
    let total = rows.len() as u64;
    let shown: Vec<Map<String, Value>> = paged(&rows, page, size)
        .map(|row| show::row(call.app, row))
        .collect();
    Ok(
        json!({ "teams": shown, "total": total, "page": page, "page_size": size, "total_pages": total.div_ceil(size) }),
    )
}

/// `POST /team/block`, `/team/unblock`
pub(super) async fn block(call: &Call<'_>, blocked: bool) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.required("team_id")?;
    let _tenant = fields.text("tenant_id")?;
    fields.end()?;
    let before = find(call, &id)?;
    let after = Entity {
        blocked,
        ..Entity::clone(&before)
    };
    bounded(call.caller, Some(&before), &after)?;
    let action = if blocked {
        Action::Blocked
    } else {
        Action::Unblocked
    };
    let row = editor.put(action, Some(before), after).await?;
    Ok(Value::Object(show::row(call.app, &row)))
}

/// `POST /team/member_add`; users who do not exist are made.
pub(super) async fn member_add(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.required("team_id")?;
    let before = find(call, &id)?;
    let mut new = match fields.some("member") {
        Some(Value::Array(items)) => items.iter().map(member).collect::<Result<Vec<_>, _>>()?,
        Some(item) => vec![member(item)?],
        // The form of published guides: the member's fields beside the team's.
        None => {
            let (user, email, role) = (
                fields.text("user_id")?,
                fields.text("user_email")?,
                fields.text("role")?,
            );
            let user = user
                .or(email)
                .ok_or_else(|| ManageError::missing("member"))?;
            vec![Member {
                user: checked_id("user_id", user)?.into(),
                role: role_of(role.as_deref())?,
                caps: None,
            }]
        }
    };
    let caps = member_caps(&mut fields)?;
    fields.end()?;
    let lifted =
        caps.is_some() && !call.caller.role().is_admin() && call.caller.role() != Role::OrgAdmin;
    if lifted {
        return Err(ManageError::Forbidden(
            "limits of members are set by an administrator".to_owned(),
        ));
    }
    let mut row = Entity::clone(&before);
    let mut edits = Vec::new();
    {
        let tables = call.app.identity.directory.read();
        let part = row.group.get_or_insert_default();
        for member in &mut new {
            member.caps.clone_from(&caps);
            if part.members.iter().any(|old| old.user == member.user) {
                return Err(ManageError::Invalid(format!(
                    "{} is a member of the team already",
                    member.user
                )));
            }
            if tables
                .get(Kind::User, &before.tenant, &member.user)
                .is_none()
            {
                edits.push(Edited {
                    action: Action::Created,
                    before: None,
                    after: new_user(&before, &member.user),
                });
            }
            part.members.push(member.clone());
        }
    }
    let created: Vec<Box<str>> = edits.iter().map(|edit| edit.after.id.clone()).collect();
    edits.push(Edited {
        action: Action::Updated,
        before: Some(before),
        after: row,
    });
    let rows = editor.commit(edits).await?;
    let row = rows.last().ok_or(ManageError::Store)?;
    let mut out = show::row(call.app, row);
    let updated: Vec<&str> = new.iter().map(|member| &*member.user).collect();
    out.insert("updated_users".to_owned(), json!(updated));
    out.insert("created_users".to_owned(), json!(created));
    out.insert(
        "updated_team_memberships".to_owned(),
        show::memberships(row),
    );
    Ok(Value::Object(out))
}

fn new_user(team: &Entity, id: &str) -> Entity {
    let email = id.contains('@').then(|| id.into());
    Entity {
        kind: Kind::User,
        tenant: team.tenant.clone(),
        id: id.into(),
        person: Some(Box::new(UserPart {
            role: Role::InternalUser,
            email,
            sso_id: None,
        })),
        ..Entity::default()
    }
}

fn member_caps(fields: &mut Fields<'_>) -> Result<Option<Box<policy::budget::Caps>>, ManageError> {
    let mut caps = policy::budget::Caps::default();
    if let Some(value) = fields.some("max_budget_in_team") {
        caps.max_budget = Some(body::money("max_budget_in_team", value)?);
    }
    body::caps(fields, &mut caps)?;
    Ok((!caps.is_empty()).then(|| Box::new(caps)))
}

/// `POST /team/member_update`
pub(super) async fn member_update(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.required("team_id")?;
    let before = find(call, &id)?;
    let user = fields
        .text("user_id")?
        .or(fields.text("user_email")?)
        .ok_or_else(|| ManageError::missing("user_id"))?;
    let role = fields.text("role")?;
    let caps = member_caps(&mut fields)?;
    fields.end()?;
    if caps.is_some() && !call.caller.role().is_admin() && call.caller.role() != Role::OrgAdmin {
        return Err(ManageError::Forbidden(
            "limits of members are set by an administrator".to_owned(),
        ));
    }
    let mut row = Entity::clone(&before);
    let members = row.group.as_deref_mut().map(|part| &mut part.members);
    let member = members
        .into_iter()
        .flatten()
        .find(|member| *member.user == *user);
    let member = member
        .ok_or_else(|| ManageError::NotFound("the user is no member of the team".to_owned()))?;
    if role.is_some() {
        member.role = role_of(role.as_deref())?;
    }
    if caps.is_some() {
        member.caps = caps;
    }
    let row = editor.put(Action::Updated, Some(before), row).await?;
    Ok(Value::Object(show::row(call.app, &row)))
}

/// `POST /team/member_delete`: the member's keys of this team end with it.
pub(super) async fn member_delete(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.required("team_id")?;
    let before = find(call, &id)?;
    let user = fields
        .text("user_id")?
        .or(fields.text("user_email")?)
        .ok_or_else(|| ManageError::missing("user_id"))?;
    fields.end()?;
    let mut row = Entity::clone(&before);
    let part = row.group.get_or_insert_default();
    let count = part.members.len();
    part.members.retain(|member| *member.user != *user);
    if part.members.len() == count {
        return Err(ManageError::NotFound(
            "the user is no member of the team".to_owned(),
        ));
    }
    let mut edits = vec![Edited {
        action: Action::Updated,
        before: Some(before.clone()),
        after: row,
    }];
    {
        let tables = call.app.identity.directory.read();
        let of_member = |key: &&Arc<Entity>| {
            key.team.as_deref() == Some(&*before.id)
                && key.user.as_deref() == Some(&*user)
                && key.tenant == before.tenant
        };
        let keys: Vec<Edited> = tables.all(Kind::Key).filter(of_member).map(gone).collect();
        edits.extend(keys);
    }
    let rows = editor.commit(edits).await?;
    let row = rows.first().ok_or(ManageError::Store)?;
    Ok(Value::Object(show::row(call.app, row)))
}

/// `POST /team/model/add`, `/team/model/delete`
pub(super) async fn models(call: &Call<'_>, add: bool) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let id = fields.required("team_id")?;
    let models = fields
        .texts("models")?
        .ok_or_else(|| ManageError::missing("models"))?;
    fields.end()?;
    let before = find(call, &id)?;
    let mut row = Entity::clone(&before);
    row.models.edit().retain(|model| !models.contains(model));
    if add {
        row.models.edit().extend(models);
    } else if row.models.is_empty() && !before.models.is_empty() {
        // An empty list would allow every model.
        row.models.edit().push("no-default-models".into());
    }
    bounded(call.caller, Some(&before), &row)?;
    let row = editor.put(Action::Updated, Some(before), row).await?;
    Ok(Value::Object(show::row(call.app, &row)))
}
