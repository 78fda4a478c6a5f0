//! What an error of an attempt means to the router.

use policy::FailureClass;

use crate::error::Error;

/// The class of an upstream's failure; `None` for errors that no other deployment could mend.
pub(super) fn class_of(error: &Error) -> Option<FailureClass> {
    Some(match error {
        Error::Upstream { status, code, .. } => of_status(*status, code.as_deref()),
        Error::UpstreamTimeout { .. } => FailureClass::Timeout,
        Error::UpstreamUnreachable(_) | Error::UpstreamCut => FailureClass::Unreachable,
        Error::UpstreamInvalid(_) => FailureClass::Invalid,
        _ => return None,
    })
}

fn of_status(status: u16, code: Option<&str>) -> FailureClass {
    match (status, code) {
        (400 | 413, Some("context_length_exceeded" | "context_window_exceeded")) => {
            FailureClass::ContextWindow
        }
        (400 | 403, Some("content_policy_violation" | "content_filter")) => {
            FailureClass::ContentPolicy
        }
        (401 | 402, _) => FailureClass::Authentication,
        (403, _) => FailureClass::Permission,
        (404, _) => FailureClass::NotFound,
        (408, _) => FailureClass::Timeout,
        (409, _) => FailureClass::Conflict,
        (429, _) => FailureClass::RateLimit,
        (400..=499, _) => FailureClass::BadRequest,
        _ => FailureClass::InternalServer,
    }
}

/// The provider's `Retry-After` in microseconds, already capped where it was read.
pub(super) fn retry_after(error: &Error) -> Option<u64> {
    match error {
        Error::Upstream { retry_after, .. } => {
            retry_after.map(|seconds| seconds.saturating_mul(1_000_000))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{FailureClass, of_status};

    #[test]
    fn statuses_and_codes() {
        use FailureClass as C;
        for (status, code, class) in [
            (400, None, C::BadRequest),
            (400, Some("context_length_exceeded"), C::ContextWindow),
            (400, Some("content_filter"), C::ContentPolicy),
            (401, None, C::Authentication),
            (402, None, C::Authentication),
            (403, None, C::Permission),
            (404, Some("model_not_found"), C::NotFound),
            (408, None, C::Timeout),
            (409, None, C::Conflict),
            (422, None, C::BadRequest),
            (429, Some("content_filter"), C::RateLimit),
            (500, Some("context_length_exceeded"), C::InternalServer),
            (529, None, C::InternalServer),
            (999, None, C::InternalServer),
            (101, None, C::InternalServer),
        ] {
            assert_eq!(of_status(status, code), class, "{status} {code:?}");
        }
    }
}
