//! Roles, and how far each reaches with each need.

use serde::{Deserialize, Serialize};

use super::manage::Need;

/// A role in the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything but what only the master key may do.
    ProxyAdmin,
    /// Reads everything, changes nothing.
    ProxyAdminViewer,
    /// Manages one organization.
    OrgAdmin,
    /// Own keys, own spend, calls.
    InternalUser,
    /// Reads own keys and own spend; calls.
    #[default]
    InternalUserViewer,
    /// A team, as a token names it.
    Team,
    /// A customer, as a token names it.
    Customer,
    /// Reads and verifies the audit trail, nothing else.
    Auditor,
    /// A key without a user: calls, and its own row.
    Service,
    /// The holder of the master key.
    Master,
}

/// How far a right reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Nothing.
    None,
    /// What belongs to the caller.
    Own,
    /// And what belongs to a team that the caller belongs to.
    Team,
    /// And what belongs to the caller's organization.
    Organization,
    /// Everything of the tenant.
    All,
}

impl Role {
    /// All roles, in the order of the matrix.
    pub const ALL: [Self; 10] = [
        Self::Master,
        Self::ProxyAdmin,
        Self::ProxyAdminViewer,
        Self::OrgAdmin,
        Self::InternalUser,
        Self::InternalUserViewer,
        Self::Team,
        Self::Customer,
        Self::Auditor,
        Self::Service,
    ];

    /// LiteLLM's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ProxyAdmin => "proxy_admin",
            Self::ProxyAdminViewer => "proxy_admin_viewer",
            Self::OrgAdmin => "org_admin",
            Self::InternalUser => "internal_user",
            Self::InternalUserViewer => "internal_user_viewer",
            Self::Team => "team",
            Self::Customer => "customer",
            Self::Auditor => "auditor",
            Self::Service => "service",
            Self::Master => "master",
        }
    }

    /// A role that may be given to a user.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::ProxyAdmin,
            Self::ProxyAdminViewer,
            Self::OrgAdmin,
            Self::InternalUser,
            Self::InternalUserViewer,
            Self::Auditor,
        ]
        .into_iter()
        .find(|role| role.as_str() == name)
    }

    /// Whether this role may do everything in its tenant.
    #[must_use]
    pub const fn is_admin(self) -> bool {
        matches!(self, Self::Master | Self::ProxyAdmin)
    }

    /// Whether the role may call models.
    #[must_use]
    pub const fn may_infer(self) -> bool {
        !matches!(self, Self::Auditor)
    }

    /// How far the role reaches with a need. The one table of rights: the matrix in the tests is printed from it.
    #[must_use]
    pub const fn reach(self, need: Need) -> Reach {
        use Need as N;
        match self {
            Self::Master => Reach::All,
            Self::ProxyAdmin => match need {
                N::MasterOnly => Reach::None,
                _ => Reach::All,
            },
            Self::ProxyAdminViewer => match need {
                N::KeyRead
                | N::TeamRead
                | N::UserRead
                | N::OrganizationRead
                | N::CustomerRead
                | N::BudgetRead
                | N::TagRead
                | N::TenantRead
                | N::SpendRead
                | N::SpendGlobal
                | N::ConsentRead
                | N::AuditRead => Reach::All,
                _ => Reach::None,
            },
            Self::OrgAdmin => match need {
                N::KeyRead
                | N::KeyWrite
                | N::KeyCreate
                | N::TeamRead
                | N::TeamWrite
                | N::TeamCreate
                | N::TeamMembers
                | N::UserRead
                | N::OrganizationRead
                | N::SpendRead => Reach::Organization,
                _ => Reach::None,
            },
            Self::InternalUser => match need {
                N::KeyRead
                | N::KeyWrite
                | N::KeyCreate
                | N::UserRead
                | N::UserSelf
                | N::SpendRead => Reach::Own,
                N::TeamRead | N::TeamMembers | N::TeamWrite => Reach::Team,
                _ => Reach::None,
            },
            Self::InternalUserViewer => match need {
                N::KeyRead | N::UserRead | N::SpendRead => Reach::Own,
                N::TeamRead => Reach::Team,
                _ => Reach::None,
            },
            Self::Team => match need {
                N::KeyRead | N::TeamRead | N::SpendRead => Reach::Team,
                _ => Reach::None,
            },
            Self::Service => match need {
                N::KeyRead | N::SpendRead => Reach::Own,
                _ => Reach::None,
            },
            Self::Auditor => match need {
                N::AuditRead => Reach::All,
                _ => Reach::None,
            },
            Self::Customer => Reach::None,
        }
    }
}
