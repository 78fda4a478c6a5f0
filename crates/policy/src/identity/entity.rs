//! One row of identity: a key, team, user, or whatever else holds rights and limits.
//!
//! All kinds share one shape, so that versions, seals, limits and audit have one path. What only one kind has is in a part.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::list::List;
use super::role::Role;
use crate::budget::{Caps, Period};
use crate::money::MicroUsd;

/// Kinds of entities.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A virtual key; its id is the public id of the key.
    #[default]
    Key,
    /// A team.
    Team,
    /// An internal user.
    User,
    /// An organization of teams.
    Organization,
    /// An end user.
    Customer,
    /// Limits that other entities refer to.
    Budget,
    /// A tag of calls.
    Tag,
    /// An isolation boundary above organizations.
    Tenant,
    /// What one person agreed to; its id is a pseudonym.
    Consent,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Key,
        Self::Team,
        Self::User,
        Self::Organization,
        Self::Customer,
        Self::Budget,
        Self::Tag,
        Self::Tenant,
        Self::Consent,
    ];

    /// The word in rows and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Team => "team",
            Self::User => "user",
            Self::Organization => "organization",
            Self::Customer => "customer",
            Self::Budget => "budget",
            Self::Tag => "tag",
            Self::Tenant => "tenant",
            Self::Consent => "consent",
        }
    }

    /// LiteLLM's name of the table.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Key => "LiteLLM_VerificationToken",
            Self::Team => "LiteLLM_TeamTable",
            Self::User => "LiteLLM_UserTable",
            Self::Organization => "LiteLLM_OrganizationTable",
            Self::Customer => "LiteLLM_EndUserTable",
            Self::Budget => "LiteLLM_BudgetTable",
            Self::Tag => "LiteLLM_TagTable",
            Self::Tenant => "sealgate_tenant",
            Self::Consent => "sealgate_consent",
        }
    }
}

/// What an entity had spent at an instant; calls that arrive later are added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendBase {
    /// The amount.
    pub amount: MicroUsd,
    /// The instant, microseconds since the Unix epoch.
    pub since: i64,
}

/// A row of identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// Tenant; empty for the default one.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub tenant: Box<str>,
    /// Id within tenant and kind.
    pub id: Box<str>,
    /// Rises by one with each change.
    pub version: u64,
    /// Name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<Box<str>>,
    /// Refuses every call.
    #[serde(skip_serializing_if = "is_false")]
    pub blocked: bool,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps: Option<Arc<Caps>>,
    /// Models it may use; empty means no restriction of its own.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub models: List<Box<str>>,
    /// Other names of models.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<Box<str>, Box<str>>,
    /// Team it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<Arc<str>>,
    /// User who owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<str>>,
    /// Organization it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<Arc<str>>,
    /// Budget whose limits hold where it has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Arc<str>>,
    /// What it had spent when that was last set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend: Option<SpendBase>,
    /// JSON object of the administrator, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Box<str>>,
    /// Tags of its calls.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub tags: List<Box<str>>,
    /// Guardrails that its calls run in addition.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub guardrails: List<Box<str>>,
    /// What only keys have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Box<KeyPart>>,
    /// What only teams and organizations have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Box<TeamPart>>,
    /// What only users have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<Box<UserPart>>,
    /// What only consents have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<Box<ConsentPart>>,
    /// Microseconds since the Unix epoch.
    pub created_at: i64,
    /// Who made it.
    pub created_by: Arc<str>,
    /// Microseconds since the Unix epoch.
    pub updated_at: i64,
    /// Who changed it last.
    pub updated_by: Arc<str>,
    /// False when the stored row is not the one that was sealed. Never stored.
    #[serde(skip)]
    pub damaged: bool,
}

/// What only keys have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyPart {
    /// Keyed digest of the key, 64 hexadecimal characters; its first half is the public id.
    pub digest: Box<str>,
    /// `sk-...` and the last four characters.
    pub name: Box<str>,
    /// When it ends, microseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// Routes it may call; empty means no restriction of its own.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub allowed_routes: List<Box<str>>,
    /// `llm_api`, `management`, `read_only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_type: Option<Box<str>>,
    /// Addresses it may come from; empty means any.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub allowed_addresses: List<IpNet>,
    /// Agents that its calls may name; the first is the agent of calls that name none.
    #[serde(skip_serializing_if = "List::is_empty")]
    pub agents: List<Box<str>>,
    /// User id of who made it with rights of his own; absent for an administrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minted_by: Option<Box<str>>,
    /// Keyed digest of the value before the last rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_digest: Option<Box<str>>,
    /// When the old value ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_until: Option<i64>,
    /// How often it was rotated.
    #[serde(skip_serializing_if = "is_zero")]
    pub rotations: u32,
    /// Environment, for example `production`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Box<str>>,
}

/// Role within a team or organization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// Manages members and keys of the team.
    Admin,
    /// Uses it.
    #[default]
    User,
}

/// A member of a team or organization.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    /// User id.
    pub user: Box<str>,
    /// Role.
    pub role: MemberRole,
    /// Limits of this member in this team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caps: Option<Box<Caps>>,
}

/// What only teams and organizations have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeamPart {
    /// Members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// Limits of members that have none of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_caps: Option<Box<Caps>>,
    /// Management routes that plain members may call for this team.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub member_permissions: Vec<Box<str>>,
    /// Lifetime of keys that members make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_key_duration: Option<Period>,
}

/// What only users have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserPart {
    /// Role in the gateway.
    pub role: Role,
    /// Mail address, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Box<str>>,
    /// Id at the identity provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sso_id: Option<Box<str>>,
}

/// What a person agreed to, or withdrew, for one purpose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grant {
    /// True: given. False: withdrawn.
    pub given: bool,
    /// When, microseconds since the Unix epoch.
    pub at: i64,
    /// Version of the notice that was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<Box<str>>,
    /// Language of the notice that was shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Box<str>>,
}

/// What only consents have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsentPart {
    /// Kind of the subject: `end_user`, `user`, `key` or `metadata`.
    pub subject: Box<str>,
    /// By purpose; `*` stands for every purpose without an entry.
    pub purposes: BTreeMap<Box<str>, Grant>,
}

impl ConsentPart {
    /// What was said about a purpose last.
    #[must_use]
    pub fn of(&self, purpose: &str) -> Option<&Grant> {
        self.purposes
            .get(purpose)
            .or_else(|| self.purposes.get("*"))
    }
}

impl Entity {
    /// The role that a member has in this team or organization.
    #[must_use]
    pub fn member(&self, user: &str) -> Option<&Member> {
        let members = &self.group.as_deref()?.members;
        members.iter().find(|member| &*member.user == user)
    }

    /// How errors and views show it: its alias, else its id; a key by its masked form.
    #[must_use]
    pub fn shown(&self) -> String {
        match (&self.alias, &self.key) {
            (Some(alias), Some(key)) => format!("{alias} ({})", key.name),
            (None, Some(key)) => key.name.to_string(),
            (Some(alias), None) => alias.to_string(),
            (None, None) => self.id.to_string(),
        }
    }

    /// When its budget began.
    #[must_use]
    pub fn anchor(&self) -> i64 {
        self.spend.map_or(self.created_at, |spend| spend.since)
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
