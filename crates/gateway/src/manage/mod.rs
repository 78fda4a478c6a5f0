//! The management API: keys, teams, users, budgets, spend and the audit log, with LiteLLM's routes and answers.
//!
//! Every route has one need in the table of `policy`; the handler asks again for the very row that it shows or changes. A
//! change is sealed and stored in one commit before it is in force.

mod audit;
mod body;
mod consent;
mod content;
mod error;
mod keys;
mod mint;
mod others;
pub(crate) mod reads;
mod show;
mod spend;
mod teams;
mod users;

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;
use llm::protocol::Family;
use policy::identity::{Found, Manage, ManageRoute, Principal, Reach, RouteGroup};
use serde_json::Value;

pub(crate) use error::ManageError;

use crate::app::App;
use crate::error::Error;
use crate::identity::Editor;
use crate::proxy::authenticate;
use crate::server::read::{self, Patience};
use crate::server::reply::{self, Reply};

/// Largest body of a management request.
const LARGEST_BODY: usize = 1024 * 1024;

/// A management request on its way to its handler.
pub(super) struct Call<'a> {
    app: &'a Arc<App>,
    caller: &'a Principal,
    route: &'static ManageRoute,
    /// The variable of the path, decoded.
    variable: Option<String>,
    query: Vec<(String, String)>,
    body: Value,
    /// `litellm-changed-by`, of administrators only.
    changed_by: Option<String>,
}

impl Call<'_> {
    /// A parameter of the query.
    fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    fn flag(&self, name: &str) -> bool {
        self.param(name)
            .is_some_and(|text| text.eq_ignore_ascii_case("true") || text == "1")
    }

    /// A page's number and size.
    fn page(&self, size_name: &str, default: u64, most: u64) -> Result<(u64, u64), ManageError> {
        let read = |name: &str, default: u64, most: u64| match self.param(name) {
            None => Ok(default),
            Some(text) => text
                .parse::<u64>()
                .ok()
                .filter(|number| (1..=most).contains(number))
                .ok_or_else(|| {
                    ManageError::field("query", name, format!("expected a number from 1 to {most}"))
                }),
        };
        Ok((read("page", 1, 1_000_000)?, read(size_name, default, most)?))
    }

    async fn editor(&self) -> Editor<'_> {
        Editor::new(self.app, self.caller, self.changed_by.clone()).await
    }
}

/// Answers a request to a path that the table of calls does not have.
pub(crate) async fn dispatch(app: Arc<App>, head: Parts, body: Incoming) -> Reply {
    let (route, variable) = match ManageRoute::lookup(head.method.as_str(), head.uri.path()) {
        Found::Route(route, variable) => (route, variable.map(str::to_owned)),
        Found::OtherMethod(allow) => {
            let allow = allow.as_str();
            let reply = app.refuse(
                Family::OpenAi,
                Error::MethodNotAllowed { allow },
                "other",
                None,
            );
            return read::discard(&head.headers, body, reply).await;
        }
        Found::Unknown => {
            let family = crate::dispatch::family_of(head.uri.path());
            let error = crate::dispatch::unknown(head.uri.path());
            let reply = app.refuse(family, error, "other", None);
            return read::discard(&head.headers, body, reply).await;
        }
    };
    let snapshot = app.snapshot();
    let caller = match authenticate::authenticate(&app, &snapshot, &head) {
        Ok(caller) => caller,
        Err(error) => {
            let stranger = authenticate::stranger(&app, &snapshot, &head);
            let reply = app.refuse_stranger(Family::OpenAi, error, route.path, &stranger);
            return read::discard(&head.headers, body, reply).await;
        }
    };
    let principal = caller.principal();
    let may = allowed(route, principal).and_then(|()| {
        principal
            .may_call(&[route.path], RouteGroup::Management)
            .or_else(|error| match Role::is_info(route) {
                true => principal.may_call(&[route.path], RouteGroup::Info),
                false => Err(error),
            })
            .map_err(Error::from)
    });
    let key_id = caller.key_id().as_str().to_owned();
    if let Err(error) = may {
        let reply = app.refuse(Family::OpenAi, error, route.path, Some(&key_id));
        return read::discard(&head.headers, body, reply).await;
    }
    // What is spent, and whether others would hear of a change, is known only while limits are shared.
    if let Some(replicas) = &app.identity.replicas
        && !replicas.is_current()
    {
        let error = Error::LimitsUnavailable;
        let reply = app.refuse(Family::OpenAi, error, route.path, Some(&key_id));
        return read::discard(&head.headers, body, reply).await;
    }
    // A task of its own: a client that leaves in the middle of a change does not leave it half done.
    let (principal, answering) = (principal.clone(), app.clone());
    let answer = async move { answer(&answering, &principal, route, variable, &head, body).await };
    let answered = match app.identity.replicas {
        None => tokio::spawn(answer),
        // What was spent is asked of Redis there, on a thread that may wait for it.
        Some(_) => {
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || runtime.block_on(answer))
        }
    };
    match answered.await.unwrap_or(Err(Error::Internal)) {
        Ok(value) => reply::json(StatusCode::OK, value.to_string()),
        Err(error) => app.refuse(Family::OpenAi, error, route.path, Some(&key_id)),
    }
}

/// Routes that show a caller what is his own.
struct Role;

impl Role {
    fn is_info(route: &ManageRoute) -> bool {
        matches!(
            route.id,
            Manage::KeyInfo | Manage::UserInfo | Manage::TeamInfo | Manage::SpendLogs
        )
    }
}

/// Whether the caller's role has the route at all. LiteLLM's statuses and texts.
fn allowed(route: &ManageRoute, caller: &Principal) -> Result<(), Error> {
    let role = caller.role();
    if role.reach(route.need) > Reach::None {
        return Ok(());
    }
    // Who leads a team manages its keys and members whatever else the role says; the handler looks at the very team.
    Err(
        if route.writes() && role == policy::identity::Role::ProxyAdminViewer {
            ManageError::ReadOnly {
                role: role.as_str(),
                route: route.path,
            }
        } else if role == policy::identity::Role::Auditor {
            ManageError::Forbidden("auditors read the audit trail, nothing else".to_owned())
        } else {
            ManageError::AdminOnly {
                role: role.as_str(),
                route: route.path,
            }
        }
        .into(),
    )
}

async fn answer(
    app: &Arc<App>,
    caller: &Principal,
    route: &'static ManageRoute,
    variable: Option<String>,
    head: &Parts,
    body: Incoming,
) -> Result<Value, Error> {
    let limits = &app.snapshot().config.limits;
    let patience = Patience {
        idle: limits.body_idle_timeout,
        whole: limits.body_idle_timeout,
    };
    let bytes = read::whole(body, LARGEST_BODY, patience)
        .await
        .map_err(|error| match error {
            read::ReadError::TooLarge => Error::BodyTooLarge {
                limit: LARGEST_BODY,
            },
            read::ReadError::Timeout => Error::BodyTimeout {
                seconds: limits.body_idle_timeout.as_secs(),
            },
            read::ReadError::Incomplete => Error::BodyIncomplete,
        })?;
    let named = caller
        .role()
        .is_admin()
        .then(|| head.headers.get("litellm-changed-by"));
    let named = named.flatten().and_then(|value| value.to_str().ok());
    let call = Call {
        app,
        caller,
        route,
        variable: variable.map(|text| crate::proxy::inspect::percent_decoded(&text)),
        query: query(head.uri.query().unwrap_or_default()),
        body: body::parse(&bytes)?,
        changed_by: named.map(|text| text.chars().take(200).collect()),
    };
    let answer = handle(&call).await?;
    let key = caller.key().map_or("master", |key| &key.id);
    app.reads.note(route.id, route.path, key, &answer);
    Ok(answer)
}

async fn handle(call: &Call<'_>) -> Result<Value, ManageError> {
    use Manage as M;
    match call.route.id {
        M::KeyGenerate | M::KeyServiceAccount => keys::generate(call).await,
        M::KeyUpdate => keys::update(call).await,
        M::KeyDelete => keys::delete(call).await,
        M::KeyInfo => keys::info(call),
        M::KeyInfoMany => keys::info_many(call),
        M::KeyList => keys::list(call),
        M::KeyAliases => keys::aliases(call),
        M::KeyBlock => keys::block(call, true).await,
        M::KeyUnblock => keys::block(call, false).await,
        M::KeyRegenerate | M::KeyRegeneratePath => keys::regenerate(call).await,
        M::KeyResetSpend => keys::reset_spend(call).await,
        M::TeamNew => teams::new(call).await,
        M::TeamUpdate => teams::update(call).await,
        M::TeamDelete => teams::delete(call).await,
        M::TeamInfo => teams::info(call),
        M::TeamList => teams::list(call),
        M::TeamListPaged => teams::list_paged(call),
        M::TeamBlock => teams::block(call, true).await,
        M::TeamUnblock => teams::block(call, false).await,
        M::TeamMemberAdd => teams::member_add(call).await,
        M::TeamMemberUpdate => teams::member_update(call).await,
        M::TeamMemberDelete => teams::member_delete(call).await,
        M::TeamModelAdd => teams::models(call, true).await,
        M::TeamModelDelete => teams::models(call, false).await,
        M::UserNew => users::new(call).await,
        M::UserUpdate => users::update(call).await,
        M::UserDelete => users::delete(call).await,
        M::UserInfo => users::info(call),
        M::UserList => users::list(call),
        M::UserPath => users::path(call),
        M::SpendLogs => spend::logs(call).await,
        M::SpendKeys => spend::keys(call),
        M::SpendUsers => spend::users(call),
        M::SpendCalculate => spend::calculate(call),
        M::GlobalSpend => Ok(spend::global(call)),
        M::GlobalSpendReset => spend::reset(call),
        M::Audit => audit::list(call).await,
        M::AuditOne => audit::one(call).await,
        M::ContentErase => content::erase(call).await,
        M::ContentRead => content::read(call).await,
        M::ContentOne => content::one(call).await,
        M::ContentRetention => content::retention(call).await,
        M::ConsentGrant => consent::grant(call).await,
        M::ConsentWithdraw => consent::withdraw(call).await,
        M::ConsentInfo => consent::info(call),
        M::ConsentList => consent::list(call),
        M::ConsentNotices => consent::notices(call),
        _ => others::handle(call).await,
    }
}

/// The parameters of a query, decoded.
fn query(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| crate::proxy::inspect::percent_decoded(&text.replace('+', " "));
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .take(64)
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}
