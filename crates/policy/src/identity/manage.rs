//! The routes of the management API: each with exactly one need.

use crate::route::Method;

/// What a management route needs. Roles say how far they reach with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// Read keys.
    KeyRead,
    /// Make keys.
    KeyCreate,
    /// Change, block and delete keys.
    KeyWrite,
    /// Read teams.
    TeamRead,
    /// Make teams.
    TeamCreate,
    /// Change, block and delete teams.
    TeamWrite,
    /// Change who belongs to a team.
    TeamMembers,
    /// Read users.
    UserRead,
    /// Make, change and delete users.
    UserWrite,
    /// Change what users may change of themselves.
    UserSelf,
    /// Read organizations.
    OrganizationRead,
    /// Make, change and delete organizations.
    OrganizationWrite,
    /// Read end users.
    CustomerRead,
    /// Make, change, block and delete end users.
    CustomerWrite,
    /// Read budgets.
    BudgetRead,
    /// Make, change and delete budgets.
    BudgetWrite,
    /// Read tags.
    TagRead,
    /// Make, change and delete tags.
    TagWrite,
    /// Read tenants.
    TenantRead,
    /// Make and disable tenants.
    TenantWrite,
    /// Read spend of what one may read.
    SpendRead,
    /// Read the spend of everybody.
    SpendGlobal,
    /// Read the audit trail.
    AuditRead,
    /// Read what calls said, where it is kept.
    ContentRead,
    /// Erase what is kept of a person, and end what is old.
    ContentErase,
    /// Read who agreed to what.
    ConsentRead,
    /// Write down that somebody agreed or withdrew.
    ConsentWrite,
    /// Only the master key.
    MasterOnly,
}

/// What a management route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is named after its route in the table below"
)]
pub enum Manage {
    KeyGenerate,
    KeyServiceAccount,
    KeyUpdate,
    KeyDelete,
    KeyInfo,
    KeyInfoMany,
    KeyList,
    KeyAliases,
    KeyBlock,
    KeyUnblock,
    KeyRegenerate,
    KeyRegeneratePath,
    KeyResetSpend,
    TeamNew,
    TeamUpdate,
    TeamDelete,
    TeamInfo,
    TeamList,
    TeamListPaged,
    TeamBlock,
    TeamUnblock,
    TeamMemberAdd,
    TeamMemberUpdate,
    TeamMemberDelete,
    TeamModelAdd,
    TeamModelDelete,
    UserNew,
    UserUpdate,
    UserDelete,
    UserInfo,
    UserList,
    UserPath,
    OrganizationNew,
    OrganizationUpdate,
    OrganizationDelete,
    OrganizationInfo,
    OrganizationList,
    CustomerNew,
    CustomerUpdate,
    CustomerDelete,
    CustomerInfo,
    CustomerList,
    CustomerBlock,
    CustomerUnblock,
    BudgetNew,
    BudgetUpdate,
    BudgetDelete,
    BudgetInfo,
    BudgetSettings,
    BudgetList,
    TagNew,
    TagUpdate,
    TagDelete,
    TagInfo,
    TagList,
    TenantNew,
    TenantBlock,
    TenantUnblock,
    TenantList,
    SpendLogs,
    SpendKeys,
    SpendUsers,
    SpendCalculate,
    GlobalSpend,
    GlobalSpendReset,
    Audit,
    AuditOne,
    ContentErase,
    ContentRead,
    ContentOne,
    ContentRetention,
    ConsentGrant,
    ConsentWithdraw,
    ConsentInfo,
    ConsentList,
    ConsentNotices,
}

/// One management route.
#[derive(Clone, Copy, Debug)]
pub struct ManageRoute {
    /// What it does.
    pub id: Manage,
    /// Its method.
    pub method: Method,
    /// Its path; `{id}` stands for one segment.
    pub path: &'static str,
    /// What it needs.
    pub need: Need,
}

const fn row(id: Manage, method: Method, path: &'static str, need: Need) -> ManageRoute {
    ManageRoute {
        id,
        method,
        path,
        need,
    }
}

/// Every management route. A literal path stands before one with a variable.
pub const MANAGE_ROUTES: &[ManageRoute] = {
    use Manage as M;
    use Method::{Delete, Get, Patch, Post};
    use Need as N;
    &[
        row(M::KeyGenerate, Post, "/key/generate", N::KeyCreate),
        row(
            M::KeyServiceAccount,
            Post,
            "/key/service-account/generate",
            N::KeyCreate,
        ),
        row(M::KeyUpdate, Post, "/key/update", N::KeyWrite),
        row(M::KeyDelete, Post, "/key/delete", N::KeyWrite),
        row(M::KeyInfo, Get, "/key/info", N::KeyRead),
        row(M::KeyInfoMany, Post, "/v2/key/info", N::KeyRead),
        row(M::KeyList, Get, "/key/list", N::KeyRead),
        row(M::KeyAliases, Get, "/key/aliases", N::KeyRead),
        row(M::KeyBlock, Post, "/key/block", N::KeyWrite),
        row(M::KeyUnblock, Post, "/key/unblock", N::KeyWrite),
        row(M::KeyRegenerate, Post, "/key/regenerate", N::KeyWrite),
        row(
            M::KeyRegeneratePath,
            Post,
            "/key/{id}/regenerate",
            N::KeyWrite,
        ),
        row(
            M::KeyResetSpend,
            Post,
            "/key/{id}/reset_spend",
            N::BudgetWrite,
        ),
        row(M::TeamNew, Post, "/team/new", N::TeamCreate),
        row(M::TeamUpdate, Post, "/team/update", N::TeamWrite),
        row(M::TeamDelete, Post, "/team/delete", N::TeamWrite),
        row(M::TeamInfo, Get, "/team/info", N::TeamRead),
        row(M::TeamList, Get, "/team/list", N::TeamRead),
        row(M::TeamListPaged, Get, "/v2/team/list", N::TeamRead),
        row(M::TeamBlock, Post, "/team/block", N::TeamWrite),
        row(M::TeamUnblock, Post, "/team/unblock", N::TeamWrite),
        row(M::TeamMemberAdd, Post, "/team/member_add", N::TeamMembers),
        row(M::TeamMemberAdd, Post, "/team/member/add", N::TeamMembers),
        row(
            M::TeamMemberUpdate,
            Post,
            "/team/member_update",
            N::TeamMembers,
        ),
        row(
            M::TeamMemberDelete,
            Post,
            "/team/member_delete",
            N::TeamMembers,
        ),
        row(M::TeamModelAdd, Post, "/team/model/add", N::TeamWrite),
        row(M::TeamModelDelete, Post, "/team/model/delete", N::TeamWrite),
        row(M::UserNew, Post, "/user/new", N::UserWrite),
        row(M::UserUpdate, Post, "/user/update", N::UserSelf),
        row(M::UserDelete, Post, "/user/delete", N::UserWrite),
        row(M::UserDelete, Delete, "/user/delete", N::UserWrite),
        row(M::UserInfo, Get, "/user/info", N::UserRead),
        row(M::UserInfo, Get, "/v2/user/info", N::UserRead),
        row(M::UserList, Get, "/user/list", N::UserRead),
        row(M::UserPath, Get, "/user/{id}", N::UserRead),
        row(
            M::OrganizationNew,
            Post,
            "/organization/new",
            N::OrganizationWrite,
        ),
        row(
            M::OrganizationUpdate,
            Patch,
            "/organization/update",
            N::OrganizationWrite,
        ),
        row(
            M::OrganizationDelete,
            Delete,
            "/organization/delete",
            N::OrganizationWrite,
        ),
        row(
            M::OrganizationInfo,
            Get,
            "/organization/info",
            N::OrganizationRead,
        ),
        row(
            M::OrganizationInfo,
            Post,
            "/organization/info",
            N::OrganizationRead,
        ),
        row(
            M::OrganizationList,
            Get,
            "/organization/list",
            N::OrganizationRead,
        ),
        row(M::CustomerNew, Post, "/customer/new", N::CustomerWrite),
        row(
            M::CustomerUpdate,
            Post,
            "/customer/update",
            N::CustomerWrite,
        ),
        row(
            M::CustomerDelete,
            Post,
            "/customer/delete",
            N::CustomerWrite,
        ),
        row(M::CustomerInfo, Get, "/customer/info", N::CustomerRead),
        row(M::CustomerList, Get, "/customer/list", N::CustomerRead),
        row(M::CustomerBlock, Post, "/customer/block", N::CustomerWrite),
        row(
            M::CustomerUnblock,
            Post,
            "/customer/unblock",
            N::CustomerWrite,
        ),
        row(M::CustomerNew, Post, "/end_user/new", N::CustomerWrite),
        row(
            M::CustomerUpdate,
            Post,
            "/end_user/update",
            N::CustomerWrite,
        ),
        row(
            M::CustomerDelete,
            Post,
            "/end_user/delete",
            N::CustomerWrite,
        ),
        row(M::CustomerInfo, Get, "/end_user/info", N::CustomerRead),
        row(M::CustomerList, Get, "/end_user/list", N::CustomerRead),
        row(M::CustomerBlock, Post, "/end_user/block", N::CustomerWrite),
        row(
            M::CustomerUnblock,
            Post,
            "/end_user/unblock",
            N::CustomerWrite,
        ),
        row(M::BudgetNew, Post, "/budget/new", N::BudgetWrite),
        row(M::BudgetUpdate, Post, "/budget/update", N::BudgetWrite),
        row(M::BudgetDelete, Post, "/budget/delete", N::BudgetWrite),
        row(M::BudgetInfo, Post, "/budget/info", N::BudgetRead),
        row(M::BudgetSettings, Get, "/budget/settings", N::BudgetRead),
        row(M::BudgetList, Get, "/budget/list", N::BudgetRead),
        row(M::TagNew, Post, "/tag/new", N::TagWrite),
        row(M::TagUpdate, Post, "/tag/update", N::TagWrite),
        row(M::TagDelete, Post, "/tag/delete", N::TagWrite),
        row(M::TagInfo, Post, "/tag/info", N::TagRead),
        row(M::TagList, Get, "/tag/list", N::TagRead),
        row(M::TenantNew, Post, "/tenant/new", N::TenantWrite),
        row(M::TenantBlock, Post, "/tenant/block", N::TenantWrite),
        row(M::TenantUnblock, Post, "/tenant/unblock", N::TenantWrite),
        row(M::TenantList, Get, "/tenant/list", N::TenantRead),
        row(M::SpendLogs, Get, "/spend/logs", N::SpendRead),
        row(M::SpendKeys, Get, "/spend/keys", N::SpendRead),
        row(M::SpendUsers, Get, "/spend/users", N::SpendGlobal),
        row(M::SpendCalculate, Post, "/spend/calculate", N::SpendRead),
        row(M::GlobalSpend, Get, "/global/spend", N::SpendGlobal),
        row(
            M::GlobalSpendReset,
            Post,
            "/global/spend/reset",
            N::MasterOnly,
        ),
        row(M::Audit, Get, "/audit", N::AuditRead),
        row(M::AuditOne, Get, "/audit/{id}", N::AuditRead),
        row(M::ContentErase, Post, "/content/erase", N::ContentErase),
        row(M::ContentRead, Post, "/content/read", N::ContentRead),
        row(
            M::ContentRetention,
            Post,
            "/content/retention",
            N::ContentErase,
        ),
        row(M::ContentOne, Get, "/content/{id}", N::ContentRead),
        row(M::ConsentGrant, Post, "/consent/grant", N::ConsentWrite),
        row(
            M::ConsentWithdraw,
            Post,
            "/consent/withdraw",
            N::ConsentWrite,
        ),
        row(M::ConsentInfo, Get, "/consent/info", N::ConsentRead),
        row(M::ConsentList, Get, "/consent/list", N::ConsentRead),
        row(M::ConsentNotices, Get, "/consent/notices", N::ConsentRead),
    ]
};

/// What a method and a path lead to in the management API.
#[derive(Clone, Copy, Debug)]
pub enum Found<'p> {
    /// A route and its variable, still percent-encoded.
    Route(&'static ManageRoute, Option<&'p str>),
    /// The path exists with another method.
    OtherMethod(Method),
    /// No such path.
    Unknown,
}

impl ManageRoute {
    /// The route of a method token and a path, compared as it came.
    #[must_use]
    pub fn lookup<'p>(method: &str, path: &'p str) -> Found<'p> {
        let mut other = None;
        for route in MANAGE_ROUTES {
            let Some(variable) = crate::route::matches(route.path, path) else {
                continue;
            };
            if Method::from_token(method) == Some(route.method) {
                return Found::Route(route, variable);
            }
            other = other.or(Some(route.method));
        }
        other.map_or(Found::Unknown, Found::OtherMethod)
    }

    /// Whether the route changes something.
    #[must_use]
    pub const fn writes(&self) -> bool {
        !matches!(
            self.need,
            Need::KeyRead
                | Need::TeamRead
                | Need::UserRead
                | Need::OrganizationRead
                | Need::CustomerRead
                | Need::BudgetRead
                | Need::TagRead
                | Need::TenantRead
                | Need::SpendRead
                | Need::SpendGlobal
                | Need::AuditRead
                | Need::ContentRead
                | Need::ConsentRead
        )
    }
}
