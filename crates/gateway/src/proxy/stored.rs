//! Answers that providers store and clients refer to later: the id a client gets names the deployment that holds the answer
//! and carries an authenticated binding to the caller, so another caller's id is as unknown as an invented one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use llm::protocol::{IdMap, Protocol};
use policy::Caller;
use subtle::ConstantTimeEq as _;

use super::call::Call;
use super::inspect::Request;
use crate::digest::{DigestKey, Purpose};
use crate::error::Error;

/// What every id of a response begins with.
const PREFIX: &str = "resp_";
/// Bytes of the binding.
const BINDING: usize = 16;
/// Asks for a stored response event by event.
const STREAM: &str = "stream=true";
/// Longest id of a client that is looked at.
const LONGEST: usize = 1024;

/// Something that a provider stored for this caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// The deployment that holds it.
    pub(crate) deployment: String,
    /// The provider's id.
    pub(crate) id: String,
    /// Query of a request about it, allow-listed; empty or with its question mark.
    pub(crate) query: String,
}

impl Stored {
    /// Whether the response is asked for event by event.
    pub(crate) fn streams(&self) -> bool {
        self.query.split(['?', '&']).any(|pair| pair == STREAM)
    }
}

/// Whose the answers are: tenant and key.
fn owner(tenant: &str, key_id: &str) -> String {
    format!("{tenant}\u{1f}{key_id}")
}

fn binding(digests: &DigestKey, owner: &str, payload: &[u8]) -> Vec<u8> {
    let digest = digests.digest(owner, Purpose::Binding, payload);
    digest.bytes().iter().copied().take(BINDING).collect()
}

/// The client's id of what `deployment` stores under `id`.
fn bind(digests: &DigestKey, owner: &str, deployment: &str, id: &str) -> String {
    let mut payload = Vec::with_capacity(deployment.len() + id.len() + 1);
    payload.extend_from_slice(deployment.as_bytes());
    payload.push(0);
    payload.extend_from_slice(id.as_bytes());
    let mut bytes = binding(digests, owner, &payload);
    bytes.extend_from_slice(&payload);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// What a client's id stands for; `None` for every id that was not given to this caller.
fn unbind(digests: &DigestKey, owner: &str, id: &str) -> Option<(String, String)> {
    let encoded = id.strip_prefix(PREFIX).filter(|id| id.len() <= LONGEST)?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let (tag, payload) = bytes.split_at_checked(BINDING)?;
    let expected = binding(digests, owner, payload);
    if !bool::from(tag.ct_eq(&expected)) {
        return None;
    }
    let (deployment, id) = std::str::from_utf8(payload).ok()?.split_once('\0')?;
    Some((deployment.to_owned(), id.to_owned()))
}

/// The map from the provider's ids to this caller's, for protocols whose clients refer to earlier answers.
pub(crate) fn ids(request: &Request, call: &Call) -> Option<IdMap> {
    if !(request.protocol == Protocol::Responses || request.protocol.is_stored()) {
        return None;
    }
    let facts = call.facts()?;
    let digests = call.app().digests.clone();
    let owner = owner(&facts.tenant, &facts.key_id);
    let deployment = facts.destination.deployment.id.clone();
    Some(Arc::new(move |id| bind(&digests, &owner, &deployment, id)))
}

/// What a request refers to: by its path for calls about something stored, else by `previous_response_id`.
///
/// # Errors
/// 404 (path) or 400 (member) for an id that was not given to this caller; 400 for a query that is not forwarded.
pub(crate) fn referred(
    digests: &DigestKey,
    caller: &Caller,
    protocol: Protocol,
    path_id: Option<&str>,
    query: Option<&str>,
    body: &dyn llm::protocol::Request,
) -> Result<Option<Stored>, Error> {
    let owner = owner(caller.tenant(), caller.key_id().as_str());
    if protocol.is_stored() {
        let id = path_id.unwrap_or_default();
        let unknown = || Error::NoSuchResponse;
        let (deployment, id) = unbind(digests, &owner, id).ok_or_else(unknown)?;
        let query = forwarded_query(query.unwrap_or_default(), protocol)?;
        return Ok(Some(Stored {
            deployment,
            id,
            query,
        }));
    }
    if protocol != Protocol::Responses {
        return Ok(None);
    }
    let Some(node) = body.member("previous_response_id") else {
        return Ok(None);
    };
    let given = node.as_str().unwrap_or_default();
    let (deployment, id) = unbind(digests, &owner, &given).ok_or_else(not_continued)?;
    Ok(Some(Stored {
        deployment,
        id,
        query: String::new(),
    }))
}

/// A response that cannot be continued: foreign, invented, or held by nobody any more.
pub(crate) fn not_continued() -> Error {
    Error::InvalidField {
        field: "previous_response_id".to_owned(),
        message: "'previous_response_id' names no response that can be continued: it must have been made with the same \
                  key, through this gateway, by a deployment that still exists and stores responses."
            .to_owned(),
        status: 400,
        kind: "invalid_request_error",
    }
}

/// Query parameters of stored responses; everything else is refused by name, so that nothing unread goes out.
fn forwarded_query(query: &str, protocol: Protocol) -> Result<String, Error> {
    const KNOWN: [&str; 7] = [
        "include",
        "include[]",
        "include%5B%5D",
        "limit",
        "order",
        "after",
        "before",
    ];
    let mut out = String::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.,".contains(&byte);
        let streams = protocol == Protocol::ResponseGet && [STREAM, "stream=false"].contains(&pair);
        if !(streams || KNOWN.contains(&name)) || !value.bytes().all(plain) {
            let field: String = name.chars().take(64).collect();
            return Err(Error::InvalidField {
                message: format!("query parameter '{field}' is not supported here."),
                field,
                status: 400,
                kind: "invalid_request_error",
            });
        }
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(pair);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_belongs_to_the_caller_it_was_given_to() {
        let key = DigestKey::new(&[7; 32]);
        let bound = bind(&key, &owner("t", "a"), "dep-1", "resp_abc");
        let mine = unbind(&key, &owner("t", "a"), &bound);
        assert_eq!(mine, Some(("dep-1".to_owned(), "resp_abc".to_owned())));
        for other in [owner("t", "b"), owner("u", "a"), owner("", "a")] {
            assert_eq!(unbind(&key, &other, &bound), None);
        }
        let ledger = DigestKey::new(&[8; 32]);
        assert_eq!(unbind(&ledger, &owner("t", "a"), &bound), None);
    }

    #[test]
    fn changed_and_invented_ids_are_unknown() {
        let key = DigestKey::new(&[7; 32]);
        let me = owner("t", "a");
        let bound = bind(&key, &me, "dep-1", "resp_abc");
        for at in PREFIX.len()..bound.len() {
            let mut changed = bound.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(unbind(&key, &me, &changed), None, "{changed}");
        }
        for invented in ["", "resp_", "resp_abc", "abc", "resp_====", &bound[5..]] {
            assert_eq!(unbind(&key, &me, invented), None, "{invented}");
        }
    }

    #[test]
    fn only_known_query_parameters_are_forwarded() {
        let get = |query| forwarded_query(query, Protocol::ResponseGet);
        assert_eq!(get("").unwrap(), "");
        assert_eq!(
            get("limit=2&order=asc&include[]=message.output_text.logprobs").unwrap(),
            "?limit=2&order=asc&include[]=message.output_text.logprobs"
        );
        assert_eq!(
            get("stream=true&include=x").unwrap(),
            "?stream=true&include=x"
        );
        for query in [
            "stream=1",
            "stream=",
            "starting_after=3",
            "x=1",
            "limit=%0d%0a",
            "limit=1#x",
            "a",
        ] {
            assert!(get(query).is_err(), "{query}");
        }
        assert!(forwarded_query("stream=true", Protocol::ResponseInputItems).is_err());
    }
}
