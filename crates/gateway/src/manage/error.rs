//! Why a management request is refused.

use crate::error::Blame;
use crate::identity::ChangeError;

/// A refused management request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManageError {
    /// The role has no such right.
    #[error(
        "Authentication Error, Only proxy admin can be used to generate, delete, update info for new keys/users/teams. Route={route}. Your role={role}"
    )]
    AdminOnly {
        /// LiteLLM's name of the role.
        role: &'static str,
        /// The route.
        route: &'static str,
    },
    /// A role that reads everything wants to change something.
    #[error("user not allowed to access this route, role= {role}. Trying to access: {route}")]
    ReadOnly {
        /// LiteLLM's name of the role.
        role: &'static str,
        /// The route.
        route: &'static str,
    },
    /// More than the caller may give or change.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such entity, or none that the caller may see.
    #[error("{0}")]
    NotFound(String),
    /// There is one already.
    #[error("{0}")]
    Exists(String),
    /// A value that cannot be meant.
    #[error("{0}")]
    Invalid(String),
    /// A field that is missing, unknown, or of the wrong type.
    #[error("{field}: {message}")]
    Field {
        /// `body`, `query` or `path`.
        place: &'static str,
        /// Its name.
        field: String,
        /// What is wrong.
        message: String,
        /// `missing`, `extra_forbidden` or `value_error`.
        kind: &'static str,
    },
    /// The change could not be recorded, so it is not in force.
    #[error("{0}; nothing was changed")]
    NotRecorded(String),
    /// There is no database to read from.
    #[error("this gateway keeps its ledger in memory; there are no stored rows to show")]
    NoDatabase,
    /// The database could not be read.
    #[error("the store could not be read")]
    Store,
}

impl ManageError {
    /// A wrong field.
    pub(super) fn field(place: &'static str, field: &str, message: impl Into<String>) -> Self {
        Self::Field {
            place,
            field: field.chars().take(100).collect(),
            message: message.into(),
            kind: "value_error",
        }
    }

    /// A field that must be there.
    pub(super) fn missing(field: &str) -> Self {
        Self::Field {
            place: "body",
            field: field.to_owned(),
            message: "Field required".to_owned(),
            kind: "missing",
        }
    }

    /// A field that nobody knows, or that would do nothing.
    pub(crate) fn unknown(field: &str, message: &str) -> Self {
        Self::Field {
            place: "body",
            field: field.chars().take(100).collect(),
            message: message.to_owned(),
            kind: "extra_forbidden",
        }
    }

    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::AdminOnly { .. } => 401,
            Self::ReadOnly { .. } | Self::Forbidden(_) => 403,
            Self::NotFound(_) => 404,
            Self::Exists(_) => 409,
            Self::Invalid(_) => 400,
            Self::Field { .. } => 422,
            Self::NotRecorded(_) | Self::NoDatabase | Self::Store => 503,
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::AdminOnly { .. } | Self::ReadOnly { .. } | Self::Forbidden(_) => "auth_error",
            Self::NotFound(_) => "not_found_error",
            Self::Exists(_) | Self::Invalid(_) | Self::Field { .. } => "bad_request_error",
            Self::NotRecorded(_) => "audit_unavailable",
            Self::NoDatabase | Self::Store => "no_db_connection",
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::AdminOnly { .. } | Self::ReadOnly { .. } | Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "entity_not_found",
            Self::Exists(_) => "entity_exists",
            Self::Invalid(_) | Self::Field { .. } => "invalid_field",
            Self::NotRecorded(_) => "audit_unavailable",
            Self::NoDatabase | Self::Store => "no_database",
        }
    }

    pub(crate) fn param(&self) -> Option<String> {
        match self {
            Self::AdminOnly { .. } | Self::ReadOnly { .. } | Self::Forbidden(_) => {
                Some("None".to_owned())
            }
            Self::Field { field, .. } => Some(field.clone()),
            _ => None,
        }
    }

    pub(crate) fn blame(&self) -> Blame {
        match self {
            Self::NotRecorded(_) | Self::NoDatabase | Self::Store => Blame::Gateway,
            _ => Blame::Client,
        }
    }

    /// LiteLLM's list of wrong fields; everything else has the usual envelope.
    pub(crate) fn body(&self) -> Option<Vec<u8>> {
        let Self::Field {
            place,
            field,
            message,
            kind,
        } = self
        else {
            return None;
        };
        let entry = serde_json::json!({ "type": kind, "loc": [place, field], "msg": message });
        Some(
            serde_json::json!({ "detail": [entry] })
                .to_string()
                .into_bytes(),
        )
    }
}

impl From<ChangeError> for ManageError {
    fn from(error: ChangeError) -> Self {
        tracing::error!(%error, "a change of identity was not recorded");
        match error {
            ChangeError::Unshared(_) => Self::NotRecorded(
                "nothing was changed: the other processes of this gateway cannot be told"
                    .to_owned(),
            ),
            ChangeError::Ledger(_) => {
                Self::NotRecorded("the change could not be recorded in the ledger".to_owned())
            }
            ChangeError::Damaged(kind) => Self::Invalid(format!(
                "the stored {kind} is not the one that was sealed, so it counts as blocked; delete it and make it anew"
            )),
            ChangeError::Form(_) => {
                Self::Invalid("the change cannot be recorded in this form".to_owned())
            }
        }
    }
}
