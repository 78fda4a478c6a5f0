//! Classes of failures, and what each means for a retry and for the deployment.

/// Why an attempt at a deployment failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureClass {
    /// The provider refused the request itself.
    BadRequest,
    /// The prompt is longer than the model takes.
    ContextWindow,
    /// The provider's content policy refused.
    ContentPolicy,
    /// 401 and 402: the deployment's credentials or account.
    Authentication,
    /// 403.
    Permission,
    /// 404: the deployment's model or address.
    NotFound,
    /// 408, or no answer in time.
    Timeout,
    /// 409.
    Conflict,
    /// 429.
    RateLimit,
    /// 5xx, and every status that no protocol knows.
    InternalServer,
    /// No connection, or one that broke before an answer.
    Unreachable,
    /// An answer that is not what its protocol says.
    Invalid,
}

/// Where a failed attempt may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Nowhere: every deployment would say the same.
    Never,
    /// At a deployment that was not tried yet.
    Elsewhere,
    /// Anywhere, another deployment first.
    Anywhere,
}

impl FailureClass {
    /// Number of classes.
    pub(super) const COUNT: usize = 12;

    /// All classes, in the order of their indexes.
    pub const ALL: [Self; Self::COUNT] = [
        Self::BadRequest,
        Self::ContextWindow,
        Self::ContentPolicy,
        Self::Authentication,
        Self::Permission,
        Self::NotFound,
        Self::Timeout,
        Self::Conflict,
        Self::RateLimit,
        Self::InternalServer,
        Self::Unreachable,
        Self::Invalid,
    ];

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// The class as it stands in records, metrics and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::ContextWindow => "context_window",
            Self::ContentPolicy => "content_policy",
            Self::Authentication => "authentication",
            Self::Permission => "permission",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::RateLimit => "rate_limit",
            Self::InternalServer => "server_error",
            Self::Unreachable => "unreachable",
            Self::Invalid => "invalid_answer",
        }
    }

    /// Why a deployment that was tried did not serve, as it stands in records.
    pub(super) const fn as_rejection(self) -> &'static str {
        match self {
            Self::BadRequest => "attempt failed: bad_request",
            Self::ContextWindow => "attempt failed: context_window",
            Self::ContentPolicy => "attempt failed: content_policy",
            Self::Authentication => "attempt failed: authentication",
            Self::Permission => "attempt failed: permission",
            Self::NotFound => "attempt failed: not_found",
            Self::Timeout => "attempt failed: timeout",
            Self::Conflict => "attempt failed: conflict",
            Self::RateLimit => "attempt failed: rate_limit",
            Self::InternalServer => "attempt failed: server_error",
            Self::Unreachable => "attempt failed: unreachable",
            Self::Invalid => "attempt failed: invalid_answer",
        }
    }

    /// Whether the failure counts against the deployment. What the client's request caused does not.
    #[must_use]
    pub const fn counts(self) -> bool {
        !matches!(
            self,
            Self::BadRequest
                | Self::ContextWindow
                | Self::ContentPolicy
                | Self::Permission
                | Self::Conflict
        )
    }

    /// Whether one failure cools the deployment down when others can serve: waiting or repeating cannot help it.
    pub(super) const fn cools_at_once(self) -> bool {
        matches!(
            self,
            Self::Authentication | Self::NotFound | Self::RateLimit
        )
    }

    pub(super) const fn repeat(self) -> Repeat {
        match self {
            Self::BadRequest | Self::ContextWindow | Self::ContentPolicy => Repeat::Never,
            Self::Authentication | Self::Permission | Self::NotFound => Repeat::Elsewhere,
            Self::Timeout
            | Self::Conflict
            | Self::RateLimit
            | Self::InternalServer
            | Self::Unreachable
            | Self::Invalid => Repeat::Anywhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FailureClass;

    #[test]
    fn the_table_is_in_the_order_of_the_indexes() {
        for (index, class) in FailureClass::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
            assert!(class.as_rejection().ends_with(class.as_str()));
        }
    }
}
