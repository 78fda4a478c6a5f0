//! `/key/*`.

use std::sync::Arc;

use policy::budget::Period;
use policy::identity::{Entity, KeyPart, Kind, Need, Principal, SpendBase, Tables};
use policy::key_text;
use serde_json::{Map, Value, json};

use super::body::{self, Fields};
use super::{Call, ManageError, mint, show};
use crate::identity::secret::{hash_from_hex, hex, public_id};
use crate::identity::{Action, Edited};

const NOT_FOUND: &str = "Key not found.";

/// The public id of what a request calls a key: the key itself, its id, or the SHA-256 that LiteLLM stored.
fn id_of(call: &Call<'_>, tables: &Tables, text: &str) -> Option<String> {
    let secrets = &call.app.identity.secrets;
    if text.len() == 32 && tables.key(text).is_some() {
        return Some(text.to_owned());
    }
    let by_hash = hash_from_hex(text).map(|hash| secrets.of_hash(&hash));
    let digest = by_hash.unwrap_or_else(|| secrets.of_key(text));
    tables.key_of(&digest).map(|row| row.id.to_string())
}

/// The row of a key that the caller reaches; others do not exist for it.
fn find(call: &Call<'_>, tables: &Tables, text: &str) -> Result<Arc<Entity>, ManageError> {
    let row = id_of(call, tables, text).and_then(|id| tables.key(&id).cloned());
    row.filter(|row| reaches(call.caller, tables, call.route.need, row))
        .ok_or_else(|| ManageError::NotFound(NOT_FOUND.to_owned()))
}

fn find_by_alias(
    call: &Call<'_>,
    tables: &Tables,
    alias: &str,
) -> Result<Arc<Entity>, ManageError> {
    let mut rows = tables
        .all(Kind::Key)
        .filter(|row| row.alias.as_deref() == Some(alias));
    rows.find(|row| reaches(call.caller, tables, call.route.need, row))
        .cloned()
        .ok_or_else(|| ManageError::NotFound(NOT_FOUND.to_owned()))
}

/// Whether a caller reaches a key: by its role, or because it leads the key's team.
pub(super) fn reaches(caller: &Principal, tables: &Tables, need: Need, row: &Entity) -> bool {
    if caller.reaches(need, row) {
        return true;
    }
    if caller.role().reach(need) == policy::identity::Reach::None {
        return false;
    }
    let team = row
        .team
        .as_deref()
        .and_then(|id| tables.get(Kind::Team, &row.tenant, id));
    team.is_some_and(|team| {
        caller.leads(team)
            || caller.role() == policy::identity::Role::OrgAdmin
                && caller.reaches(Need::TeamRead, team)
    })
}

/// Sets what a request says about a key. `new` marks a key that is made.
fn set(
    call: &Call<'_>,
    fields: &mut Fields<'_>,
    row: &mut Entity,
    now: i64,
) -> Result<(), ManageError> {
    body::common(fields, row)?;
    if let Some(value) = fields.take("key_alias") {
        row.alias = (!value.is_null())
            .then(|| body::text("key_alias", value))
            .transpose()?
            .map(Into::into);
    }
    for (name, slot) in [("team_id", &mut row.team), ("user_id", &mut row.user)] {
        if let Some(value) = fields.take(name) {
            *slot = (!value.is_null())
                .then(|| body::text(name, value))
                .transpose()?
                .map(Into::into);
        }
    }
    let part = row.key.get_or_insert_default();
    if let Some(value) = fields.take("duration") {
        let period = (!value.is_null())
            .then(|| body::period("duration", value))
            .transpose()?;
        part.expires = period.map(|period| end_of(period, now));
    }
    if let Some(routes) = fields.texts("allowed_routes")? {
        part.allowed_routes = routes.into();
    }
    if let Some(kind) = fields.text("key_type")? {
        part.key_type = match kind.as_str() {
            "default" => None,
            "llm_api" | "management" | "read_only" => Some(kind.into()),
            _ => {
                return Err(ManageError::field(
                    "body",
                    "key_type",
                    "expected default, llm_api, management or read_only",
                ));
            }
        };
    }
    for name in ["allowed_addresses", "allowed_ips"] {
        if let Some(texts) = fields.texts(name)? {
            let parse = |text: &str| {
                let net = text
                    .parse()
                    .or_else(|_| text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from));
                net.map_err(|_| {
                    ManageError::field("body", name, "expected addresses such as 10.0.0.0/8")
                })
            };
            part.allowed_addresses = texts
                .iter()
                .map(|text| parse(text))
                .collect::<Result<_, _>>()?;
        }
    }
    if let Some(agents) = fields.texts("agents")? {
        part.agents = agents.into();
    }
    if let Some(agent) = fields.text("agent_id")? {
        part.agents = vec![agent.into()].into();
    }
    if let Some(environment) = fields.text("environment")? {
        part.environment = Some(environment.into());
    }
    tenant(call, fields, row)
}

/// Only the master key names a tenant, and only when something is made.
pub(super) fn tenant(
    call: &Call<'_>,
    fields: &mut Fields<'_>,
    row: &mut Entity,
) -> Result<(), ManageError> {
    let Some(tenant) = fields.text("tenant_id")? else {
        return Ok(());
    };
    if *tenant == *row.tenant {
        return Ok(());
    }
    if call.caller.role() != policy::identity::Role::Master || row.version > 0 {
        return Err(ManageError::unknown(
            "tenant_id",
            "only the master key names a tenant, when something is made",
        ));
    }
    if call
        .app
        .identity
        .directory
        .read()
        .get(Kind::Tenant, "", &tenant)
        .is_none()
    {
        return Err(ManageError::NotFound(format!(
            "Tenant not found, passed tenant_id={tenant}"
        )));
    }
    row.tenant = tenant.into();
    Ok(())
}

fn end_of(period: Period, now: i64) -> i64 {
    now.saturating_add(period.as_seconds().saturating_mul(1_000_000))
}

/// A new text of a key: the caller's own, or a random one.
fn new_text(
    call: &Call<'_>,
    own: Option<String>,
    environment: Option<&str>,
) -> Result<String, ManageError> {
    let settings = &call.app.snapshot().config.budgets;
    let Some(text) = own else {
        let mut random = [0; 48];
        getrandom::fill(&mut random).map_err(|_| ManageError::Store)?;
        if settings.scannable_keys {
            return Ok(key_text::scannable(environment.unwrap_or("live"), &random));
        }
        let mut short = [0; 32];
        for (to, from) in short.iter_mut().zip(random) {
            *to = from;
        }
        return Ok(key_text::plain(&short));
    };
    if !settings.custom_keys {
        return Err(ManageError::Forbidden(
            "this gateway chooses the text of keys itself (disable_custom_api_keys)".to_owned(),
        ));
    }
    if !text.starts_with("sk-") {
        return Err(ManageError::Invalid(
            "Invalid key format. LiteLLM Virtual Key must start with 'sk-'.".to_owned(),
        ));
    }
    // The same estimate as for the master key: a key that can be guessed is no key.
    if policy::MasterKey::parse(&text).is_err() {
        return Err(ManageError::field(
            "body",
            "key",
            "too easy to guess; leave it out to get a random one",
        ));
    }
    Ok(text)
}

/// `POST /key/generate`
pub(super) async fn generate(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let (row, text) = prepare(call, editor.now())?;
    let row = editor.put(Action::Created, None, row).await?;
    Ok(with_key(call, &row, &text))
}

fn prepare(call: &Call<'_>, now: i64) -> Result<(Entity, String), ManageError> {
    let mut fields = Fields::of(&call.body);
    let mut row = Entity {
        tenant: call.caller.tenant().into(),
        key: Some(Box::new(KeyPart::default())),
        ..Entity::default()
    };
    let own = fields.text("key")?;
    let imported = fields.text("key_hash")?;
    set(call, &mut fields, &mut row, now)?;
    spend(call, &mut fields, &mut row, now)?;
    fields.end()?;
    let service = call.route.id == policy::identity::Manage::KeyServiceAccount;
    if service && (row.team.is_none() || row.user.is_some()) {
        return Err(ManageError::Invalid(
            "a service account has a team_id and no user_id".to_owned(),
        ));
    }
    let admin = call.caller.role().is_admin();
    if row.user.is_none() && !admin && !service {
        row.user = call.caller.user_id().map(Into::into);
    }
    mint::inherit(call.caller, &mut row);
    if imported.is_some() && !admin {
        return Err(ManageError::unknown(
            "key_hash",
            "stored hashes are imported by an administrator",
        ));
    }
    let environment = row.key.as_deref().and_then(|part| part.environment.clone());
    let (digest, text) = match imported {
        Some(hash) => {
            let hash = hash_from_hex(&hash).ok_or_else(|| {
                ManageError::field("body", "key_hash", "expected 64 hexadecimal digits")
            })?;
            (call.app.identity.secrets.of_hash(&hash), String::new())
        }
        None => {
            let text = new_text(call, own, environment.as_deref())?;
            (call.app.identity.secrets.of_key(&text), text)
        }
    };
    let tables = call.app.identity.directory.read();
    mint::check(call.caller, &tables, &row)?;
    unique(&tables, &row, &digest)?;
    row.id = public_id(&digest).into();
    if let Some(part) = row.key.as_deref_mut() {
        part.digest = hex(&digest).into();
        part.name = if text.is_empty() {
            "sk-...????".into()
        } else {
            key_text::masked(&text).into()
        };
        let team = row
            .team
            .as_deref()
            .and_then(|id| tables.get(Kind::Team, &row.tenant, id));
        let longest = team
            .and_then(|team| team.group.as_deref())
            .and_then(|part| part.member_key_duration);
        if let (Some(period), false) = (longest, admin) {
            let end = end_of(period, now);
            part.expires = Some(part.expires.map_or(end, |own| own.min(end)));
        }
    }
    Ok((row, text))
}

fn unique(tables: &Tables, row: &Entity, digest: &[u8; 32]) -> Result<(), ManageError> {
    if tables.key_of(digest).is_some() || tables.key(&public_id(digest)).is_some() {
        return Err(ManageError::Exists(
            "this key cannot be used; leave `key` out to get a random one".to_owned(),
        ));
    }
    let taken = |other: &Arc<Entity>| {
        other.alias == row.alias && other.id != row.id && other.tenant == row.tenant
    };
    if row.alias.is_some() && tables.all(Kind::Key).any(taken) {
        return Err(ManageError::Invalid(
            "Key with this alias already exists. Aliases are unique.".to_owned(),
        ));
    }
    Ok(())
}

/// `spend`, which only administrators set.
pub(super) fn spend(
    call: &Call<'_>,
    fields: &mut Fields<'_>,
    row: &mut Entity,
    now: i64,
) -> Result<(), ManageError> {
    let Some(value) = fields.some("spend") else {
        return Ok(());
    };
    if !call.caller.role().is_admin() {
        return Err(ManageError::unknown(
            "spend",
            "spend is set by an administrator",
        ));
    }
    let amount = body::money("spend", value)?;
    row.spend = Some(SpendBase { amount, since: now });
    Ok(())
}

/// The answer that shows a key once.
fn with_key(call: &Call<'_>, row: &Entity, text: &str) -> Value {
    let mut out = show::row(call.app, row);
    out.insert("key".to_owned(), json!(text));
    out.insert("token_id".to_owned(), json!(row.id));
    out.insert("litellm_budget_table".to_owned(), Value::Null);
    let config = call.app.snapshot();
    let missing: Vec<&str> = row
        .models
        .iter()
        .map(|model| &**model)
        .filter(|model| {
            !model.contains('*') && !model.starts_with("all-") && *model != "no-default-models"
        })
        .filter(|model| !config.config.models.knows(model))
        .filter(|model| !config.config.access_groups.has(model))
        .collect();
    if !missing.is_empty() {
        let warning = format!(
            "not configured, calls of them are refused: {}",
            missing.join(", ")
        );
        out.insert("warning".to_owned(), json!(warning));
    }
    Value::Object(out)
}

/// `POST /key/update`
pub(super) async fn update(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let named = fields.text("key")?;
    let before = {
        let tables = call.app.identity.directory.read();
        match (&named, fields.has("key_alias")) {
            (Some(key), _) => find(call, &tables, key)?,
            (None, true) => find_by_alias(call, &tables, &fields.required("key_alias")?)?,
            (None, false) => return Err(ManageError::missing("key")),
        }
    };
    let mut row = Entity::clone(&before);
    set(call, &mut fields, &mut row, editor.now())?;
    spend(call, &mut fields, &mut row, editor.now())?;
    fields.end()?;
    {
        let tables = call.app.identity.directory.read();
        mint::check(call.caller, &tables, &row)?;
        let taken = |other: &Arc<Entity>| {
            other.alias == row.alias && other.id != row.id && other.tenant == row.tenant
        };
        if row.alias.is_some() && row.alias != before.alias && tables.all(Kind::Key).any(taken) {
            return Err(ManageError::Invalid(
                "Key with this alias already exists. Aliases are unique.".to_owned(),
            ));
        }
    }
    if call.caller.role().is_admin()
        && let Some(part) = row.key.as_deref_mut()
    {
        // An administrator answers for the key from here on.
        part.minted_by = None;
    }
    let action = action(&before, &row);
    let row = editor.put(action, Some(before), row).await?;
    let mut out = show::row(call.app, &row);
    out.insert(
        "key".to_owned(),
        json!(
            named
                .filter(|key| key.len() == 32)
                .unwrap_or_else(|| row.id.to_string())
        ),
    );
    Ok(Value::Object(out))
}

/// What a change is called in the audit log.
pub(super) fn action(before: &Entity, after: &Entity) -> Action {
    match (before.blocked, after.blocked) {
        (false, true) => Action::Blocked,
        (true, false) => Action::Unblocked,
        _ => Action::Updated,
    }
}

/// `POST /key/delete`
pub(super) async fn delete(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let (keys, aliases) = (fields.texts("keys")?, fields.texts("key_aliases")?);
    fields.end()?;
    if keys.is_none() && aliases.is_none() {
        return Err(ManageError::missing("keys"));
    }
    let mut edits: Vec<Edited> = Vec::new();
    {
        let tables = call.app.identity.directory.read();
        let by_key = keys.iter().flatten().map(|key| find(call, &tables, key));
        let by_alias = aliases
            .iter()
            .flatten()
            .map(|alias| find_by_alias(call, &tables, alias));
        for row in by_key.chain(by_alias) {
            let row = row?;
            if !edits.iter().any(|edit| edit.after.id == row.id) {
                edits.push(gone(&row));
            }
        }
    }
    if edits.is_empty() {
        return Err(ManageError::NotFound(NOT_FOUND.to_owned()));
    }
    editor.commit(edits).await?;
    let named: Vec<Box<str>> = keys.into_iter().chain(aliases).flatten().collect();
    Ok(json!({ "deleted_keys": named }))
}

/// The deletion of a row.
pub(super) fn gone(row: &Arc<Entity>) -> Edited {
    Edited {
        action: Action::Deleted,
        before: Some(row.clone()),
        after: Entity::clone(row),
    }
}

/// `POST /key/block`, `/key/unblock`
pub(super) async fn block(call: &Call<'_>, blocked: bool) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let key = fields.required("key")?;
    fields.end()?;
    let before = find(call, &call.app.identity.directory.read(), &key)?;
    let action = if blocked {
        Action::Blocked
    } else {
        Action::Unblocked
    };
    let after = Entity {
        blocked,
        ..Entity::clone(&before)
    };
    let row = editor.put(action, Some(before), after).await?;
    Ok(Value::Object(show::row(call.app, &row)))
}

/// `POST /key/regenerate`, `/key/{key}/regenerate`
pub(super) async fn regenerate(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let key = fields.text("key")?;
    let key = call
        .variable
        .clone()
        .or(key)
        .ok_or_else(|| ManageError::missing("key"))?;
    if fields.has("new_master_key") {
        return Err(ManageError::unknown(
            "new_master_key",
            "the master key is changed in the configuration",
        ));
    }
    let new = fields.text("new_key")?;
    let grace = fields
        .some("grace_period")
        .map(|value| body::period("grace_period", value))
        .transpose()?;
    let before = find(call, &call.app.identity.directory.read(), &key)?;
    let mut row = Entity::clone(&before);
    set(call, &mut fields, &mut row, editor.now())?;
    fields.end()?;
    let text = new_text(
        call,
        new,
        row.key
            .as_deref()
            .and_then(|part| part.environment.as_deref()),
    )?;
    let digest = call.app.identity.secrets.of_key(&text);
    {
        let tables = call.app.identity.directory.read();
        mint::check(call.caller, &tables, &row)?;
        unique(&tables, &row, &digest)?;
    }
    if let Some(part) = row.key.as_deref_mut() {
        let old = std::mem::replace(&mut part.digest, hex(&digest).into());
        part.old_until = grace.map(|grace| end_of(grace, editor.now()));
        part.old_digest = grace.map(|_| old);
        part.name = key_text::masked(&text).into();
        part.rotations = part.rotations.saturating_add(1);
    }
    let edit = Edited {
        action: Action::Rotated,
        before: Some(before),
        after: row,
    };
    let rows = editor.commit(vec![edit]).await?;
    let row = rows.first().ok_or(ManageError::Store)?;
    Ok(with_key(call, row, &text))
}

/// `POST /key/{key}/reset_spend`
pub(super) async fn reset_spend(call: &Call<'_>) -> Result<Value, ManageError> {
    let editor = call.editor().await;
    let mut fields = Fields::of(&call.body);
    let amount = fields
        .some("reset_to")
        .map_or(Ok(policy::MicroUsd::ZERO), |value| {
            body::money("reset_to", value)
        })?;
    fields.end()?;
    let key = call.variable.clone().unwrap_or_default();
    let before = {
        let tables = call.app.identity.directory.read();
        let row = id_of(call, &tables, &key).and_then(|id| tables.key(&id).cloned());
        row.filter(|row| *row.tenant == *call.caller.tenant() || call.caller.key().is_none())
            .ok_or_else(|| ManageError::NotFound(NOT_FOUND.to_owned()))?
    };
    let spend = Some(SpendBase {
        amount,
        since: editor.now(),
    });
    let after = Entity {
        spend,
        ..Entity::clone(&before)
    };
    let row = editor.put(Action::Updated, Some(before), after).await?;
    Ok(Value::Object(show::row(call.app, &row)))
}

fn info_of(call: &Call<'_>, row: &Entity) -> Map<String, Value> {
    let now = call.app.clock.now().micros();
    let mut out = show::row(call.app, row);
    out.remove("token");
    let part = row.key.as_deref();
    let status = match part.and_then(|part| part.expires) {
        _ if row.blocked || row.damaged => "revoked",
        Some(end) if now >= end => "expired",
        _ => "active",
    };
    out.insert("status".to_owned(), json!(status));
    // What stands as `api_key` in rows of spend; without it nobody can look for a key there.
    out.insert("token_id".to_owned(), json!(row.id));
    out
}

/// `GET /key/info`
pub(super) fn info(call: &Call<'_>) -> Result<Value, ManageError> {
    let tables = call.app.identity.directory.read();
    let (named, row) = match call.param("key") {
        Some(key) => (key.to_owned(), find(call, &tables, key)),
        None => {
            let own = call.caller.key().cloned();
            let own = own.ok_or_else(|| {
                ManageError::field("query", "key", "the master key has no row; name a key")
            })?;
            (own.id.to_string(), Ok(own))
        }
    };
    let row = row.map_err(|_| ManageError::NotFound("Key not found in database".to_owned()))?;
    drop(tables);
    // A key that was presented is not repeated in an answer.
    let shown = if named.len() == 32 {
        named
    } else {
        row.id.to_string()
    };
    Ok(json!({ "key": shown, "info": info_of(call, &row) }))
}

/// `POST /v2/key/info`
pub(super) fn info_many(call: &Call<'_>) -> Result<Value, ManageError> {
    let mut fields = Fields::of(&call.body);
    let keys = fields
        .texts("keys")?
        .ok_or_else(|| ManageError::missing("keys"))?;
    fields.end()?;
    let tables = call.app.identity.directory.read();
    let rows: Vec<Arc<Entity>> = keys
        .iter()
        .filter_map(|key| find(call, &tables, key).ok())
        .collect();
    drop(tables);
    let ids: Vec<&str> = rows.iter().map(|row| &*row.id).collect();
    let infos: Vec<Map<String, Value>> = rows.iter().map(|row| info_of(call, row)).collect();
    Ok(json!({ "key": ids, "info": infos }))
}

/// Keys that the caller reaches, newest first.
pub(super) fn reachable(call: &Call<'_>, tables: &Tables) -> Vec<Arc<Entity>> {
    let mut rows: Vec<Arc<Entity>> = tables
        .all(Kind::Key)
        .filter(|row| reaches(call.caller, tables, Need::KeyRead, row))
        .cloned()
        .collect();
    rows.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    rows
}

/// `GET /key/list`
pub(super) fn list(call: &Call<'_>) -> Result<Value, ManageError> {
    const KNOWN: [&str; 14] = [
        "page",
        "size",
        "user_id",
        "team_id",
        "organization_id",
        "key_hash",
        "key_alias",
        "search",
        "return_full_object",
        "include_team_keys",
        "include_created_by_keys",
        "sort_by",
        "sort_order",
        "status",
    ];
    known(call, &KNOWN)?;
    let (page, size) = call.page("size", 10, 100)?;
    let tables = call.app.identity.directory.read();
    let mut rows = reachable(call, &tables);
    drop(tables);
    let is = |name: &str, value: Option<&str>| {
        call.param(name).is_none_or(|wanted| value == Some(wanted))
    };
    rows.retain(|row| {
        is("user_id", row.user.as_deref())
            && is("team_id", row.team.as_deref())
            && is("organization_id", row.organization.as_deref())
            && is("key_alias", row.alias.as_deref())
            && is("key_hash", Some(&row.id))
            && call.param("search").is_none_or(|text| {
                row.alias
                    .as_deref()
                    .is_some_and(|alias| alias.contains(text))
            })
    });
    match call.param("sort_by") {
        None | Some("created_at") => {}
        Some("key_alias") => rows.sort_by(|a, b| a.alias.cmp(&b.alias)),
        Some("updated_at") => rows.sort_by_key(|row| std::cmp::Reverse(row.updated_at)),
        Some("spend") => {
            rows.sort_by_key(|row| std::cmp::Reverse(show::usage(call.app, row).total))
        }
        Some(_) => {
            return Err(ManageError::field(
                "query",
                "sort_by",
                "expected created_at, updated_at, key_alias or spend",
            ));
        }
    }
    if call.param("sort_order") == Some("asc") {
        rows.reverse();
    }
    let total = rows.len() as u64;
    let full = call.flag("return_full_object");
    let keys: Vec<Value> = paged(&rows, page, size)
        .map(|row| match full {
            true => Value::Object(show::row(call.app, row)),
            false => json!(row.id),
        })
        .collect();
    Ok(json!({
        "keys": keys,
        "total_count": total,
        "current_page": page,
        "total_pages": total.div_ceil(size),
    }))
}

/// One page of rows.
pub(super) fn paged<T>(rows: &[T], page: u64, size: u64) -> impl Iterator<Item = &T> {
    let skip = usize::try_from(page.saturating_sub(1).saturating_mul(size)).unwrap_or(usize::MAX);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    rows.iter().skip(skip).take(size)
}

/// Refuses parameters that nobody reads: a filter that is ignored shows too much.
pub(super) fn known(call: &Call<'_>, names: &[&str]) -> Result<(), ManageError> {
    match call
        .query
        .iter()
        .find(|(name, _)| !names.contains(&name.as_str()))
    {
        None => Ok(()),
        Some((name, _)) => Err(ManageError::field("query", name, "unknown parameter")),
    }
}

/// `GET /key/aliases`
pub(super) fn aliases(call: &Call<'_>) -> Result<Value, ManageError> {
    let tables = call.app.identity.directory.read();
    let rows = reachable(call, &tables);
    let mut names: Vec<&str> = rows.iter().filter_map(|row| row.alias.as_deref()).collect();
    names.sort_unstable();
    Ok(json!({ "aliases": names }))
}
