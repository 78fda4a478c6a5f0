//! Whose content a call's is.

use std::borrow::Cow;

use llm::protocol::Request;
use policy::identity::Principal;
use store::content::SubjectId;

use crate::config::SubjectOf;
use crate::digest::{DigestKey, Purpose};

/// The kinds of subjects, as erasures name them.
pub(crate) const KINDS: [&str; 4] = ["end_user", "user", "key", "metadata"];

/// The person, or what stands for one.
pub(crate) struct Subject<'a> {
    pub(crate) kind: &'static str,
    pub(crate) name: Cow<'a, str>,
}

/// The keyed digest that stands for a subject in records, tables and erasures.
pub(crate) fn subject_id(digests: &DigestKey, tenant: &str, kind: &str, name: &str) -> SubjectId {
    let mut running = digests.begin(tenant, Purpose::Subject);
    running.update_item(kind);
    running.update_item(name);
    let digest = running.finish();
    let mut out = [0; 16];
    for (to, from) in out.iter_mut().zip(digest.bytes()) {
        *to = *from;
    }
    SubjectId(out)
}

impl<'a> Subject<'a> {
    /// The subject of a call by the setting; what it names and the call has not falls to the next of end user, user, key.
    pub(crate) fn of(setting: &SubjectOf, caller: &'a Principal, body: &'a dyn Request) -> Self {
        let named = match setting {
            SubjectOf::Metadata(name) => body
                .member("metadata")
                .and_then(|metadata| metadata.get(name))
                .and_then(|node| node.as_str())
                .filter(|text| !text.is_empty())
                .map(|name| ("metadata", name)),
            _ => None,
        };
        let end_user = || match setting {
            SubjectOf::EndUser | SubjectOf::Metadata(_) => body
                .user()
                .filter(|user| !user.is_empty())
                .map(|user| ("end_user", user)),
            _ => None,
        };
        let user = || match setting {
            SubjectOf::Key => None,
            _ => caller.user_id().map(|user| ("user", Cow::Borrowed(user))),
        };
        let key = || {
            (
                "key",
                Cow::Borrowed(caller.key().map_or("master", |key| &key.id)),
            )
        };
        let (kind, name) = named.or_else(end_user).or_else(user).unwrap_or_else(key);
        Self { kind, name }
    }
}
