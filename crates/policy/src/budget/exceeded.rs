//! Which limit refused a call: the object, the limit, what is used, and when that changes.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::money::MicroUsd;

/// What a limit belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// The whole gateway.
    Global,
    /// A tenant.
    Tenant,
    /// An organization.
    Organization,
    /// A team.
    Team,
    /// A user within a team.
    TeamMember,
    /// A user.
    User,
    /// A key.
    Key,
    /// An end user, named by the caller.
    EndUser,
    /// A tag.
    Tag,
    /// One model of a key.
    ModelPerKey,
    /// One model of a team.
    ModelPerTeam,
    /// A deployment of a provider.
    Deployment,
    /// A provider, with all its deployments.
    Provider,
}

impl ObjectKind {
    /// The word in errors and header names, LiteLLM's where it has one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Tenant => "tenant",
            Self::Organization => "organization",
            Self::Team => "team",
            Self::TeamMember => "team_member",
            Self::User => "user",
            Self::Key => "api_key",
            Self::EndUser => "end_user",
            Self::Tag => "tag",
            Self::ModelPerKey => "model_per_key",
            Self::ModelPerTeam => "model_per_team",
            Self::Deployment => "deployment",
            Self::Provider => "provider",
        }
    }
}

/// One object that is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// Its id, tenant first where one is not the default.
    pub id: Arc<str>,
}

impl Object {
    /// An object of a kind.
    #[must_use]
    pub fn new(kind: ObjectKind, id: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            id: id.into(),
        }
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Money, in micro-dollars.
    Budget,
    /// Calls a minute.
    Requests,
    /// Tokens a minute.
    Tokens,
    /// Tokens a day.
    TokensPerDay,
    /// Calls at the same time.
    Parallel,
}

impl Dimension {
    /// LiteLLM's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::TokensPerDay => "tokens_per_day",
            Self::Parallel => "max_parallel_requests",
        }
    }
}

/// A limit that a call would pass.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Exceeded {
    /// Whose limit.
    pub object: Object,
    /// How the object is shown to the caller; never a secret.
    pub shown: String,
    /// What is limited.
    pub dimension: Dimension,
    /// The limit; micro-dollars for a budget.
    pub limit: i64,
    /// What is used.
    pub current: i64,
    /// What calls in flight hold.
    pub reserved: i64,
    /// What this call would need.
    pub needed: i64,
    /// When the window ends, microseconds since the Unix epoch; absent for a window that never ends.
    pub resets_at: Option<i64>,
    /// When the call was refused.
    pub now: i64,
}

impl Exceeded {
    /// Seconds until the window ends, at least one; for parallel calls one, since a slot may be free any time. Absent when
    /// waiting does not help.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        if self.dimension == Dimension::Parallel {
            return Some(1);
        }
        let left = self.resets_at?.saturating_sub(self.now).max(1);
        u64::try_from(left)
            .ok()
            .map(|micros| micros.div_ceil(1_000_000))
    }

    /// The end of the window as `YYYY-MM-DD HH:MM:SS UTC`.
    #[must_use]
    pub fn reset_text(&self) -> Option<String> {
        // Rounded up to the second, so that nobody comes too early.
        let seconds = self.resets_at?.checked_add(999_999)?.div_euclid(1_000_000);
        let at = Timestamp::from_second(seconds).ok()?;
        Some(at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dimension != Dimension::Budget {
            let left = self.limit.saturating_sub(self.current).max(0);
            write!(
                f,
                "Rate limit exceeded for {}: {}. Limit type: {}. Current limit: {}, Remaining: {left}.",
                self.object.kind.as_str(),
                self.shown,
                self.dimension.as_str(),
                self.limit,
            )?;
            if self.dimension != Dimension::Parallel
                && let Some(reset) = self.reset_text()
            {
                write!(f, " Limit resets at: {reset}")?;
            }
            return Ok(());
        }
        match self.object.kind {
            ObjectKind::User => write!(f, "ExceededBudget: User={} over budget. ", self.shown)?,
            ObjectKind::EndUser => {
                write!(f, "ExceededBudget: End User={} over budget. ", self.shown)?;
            }
            kind => {
                let word = match kind {
                    ObjectKind::Global => "Proxy",
                    ObjectKind::Tenant => "Tenant",
                    ObjectKind::Organization => "Organization",
                    ObjectKind::Team => "Team",
                    ObjectKind::TeamMember => "User",
                    ObjectKind::Tag => "Tag",
                    ObjectKind::ModelPerKey => "Model of key",
                    ObjectKind::ModelPerTeam => "Model of team",
                    ObjectKind::Deployment => "Deployment",
                    ObjectKind::Provider => "Provider",
                    ObjectKind::User | ObjectKind::EndUser | ObjectKind::Key => "Key",
                };
                write!(f, "Budget has been exceeded! {word}={} ", self.shown)?;
            }
        }
        let usd = MicroUsd::new;
        write!(
            f,
            "Current cost: {}, Max budget: {}",
            usd(self.current),
            usd(self.limit)
        )?;
        write!(
            f,
            ", Reserved by calls in flight: {}, Needed by this call: {} (USD)",
            usd(self.reserved),
            usd(self.needed)
        )?;
        match self.reset_text() {
            Some(reset) => write!(f, ". Budget resets at: {reset}"),
            None => write!(f, ". The budget has no reset"),
        }
    }
}
