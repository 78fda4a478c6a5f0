//! What every request body of this format is checked for.

use super::fields::{self, Class, Mismatch, Rule};
use crate::scan::{Doc, Kind, Limits, Node, ScanError, ScanErrorKind};
use bytes::Bytes;
use std::borrow::Cow;

/// The class of a refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestErrorKind {
    /// The body is not acceptable JSON.
    Json(ScanErrorKind),
    /// The body is JSON but not an object.
    NotAnObject,
    /// A required member is missing or null.
    Missing,
    /// A member has the wrong JSON type.
    WrongType,
    /// A member has an impossible value.
    OutOfRange,
    /// A member that a body may never carry (destination, credentials, prices, code).
    Refused,
}

/// A refused request body.
///
/// The message is for the sender. It may name members of the body, so it is content:
/// log `kind` and, when it names a known field, `param`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// The class.
    pub kind: RequestErrorKind,
    /// The member, as in the error envelope; `request_body` for JSON errors.
    pub param: Option<String>,
    /// What is wrong, for the sender.
    pub message: String,
}

impl RequestError {
    /// The HTTP status that fits: 400, 413 (too large) or 422 (impossible value).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.kind {
            RequestErrorKind::Json(ScanErrorKind::TooLarge) => 413,
            RequestErrorKind::OutOfRange => 422,
            RequestErrorKind::WrongType if self.param.as_deref() != Some("model") => 422,
            _ => 400,
        }
    }

    /// The `type` of the error envelope.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self.kind {
            RequestErrorKind::WrongType if self.param.as_deref() == Some("model") => {
                "bad_request_error"
            }
            _ => "invalid_request_error",
        }
    }

    pub(crate) fn new(kind: RequestErrorKind, param: &str, message: String) -> RequestError {
        RequestError {
            kind,
            param: Some(param.to_owned()),
            message,
        }
    }

    pub(crate) fn missing(name: &str) -> RequestError {
        let message = format!("Missing required parameter: '{name}'.");
        RequestError::new(RequestErrorKind::Missing, name, message)
    }

    pub(crate) fn wrong_type(param: &str, wanted: &str) -> RequestError {
        let message = format!("'{param}' must be {wanted}.");
        RequestError::new(RequestErrorKind::WrongType, param, message)
    }
}

impl From<ScanError> for RequestError {
    fn from(error: ScanError) -> RequestError {
        let message = format!("Invalid JSON payload: {error}");
        RequestError::new(RequestErrorKind::Json(error.kind), "request_body", message)
    }
}

/// Scans a body and checks the members that all routes share.
pub(crate) fn parse(body: Bytes, limits: &Limits) -> Result<Doc, RequestError> {
    parse_with(body, limits, fields::class)
}

/// Scans the body of a route with members of its own.
pub(crate) fn parse_own(
    body: Bytes,
    limits: &Limits,
    own: &[(&str, Rule)],
) -> Result<Doc, RequestError> {
    parse_with(body, limits, |name| fields::class_in(own, name))
}

/// The top-level members that neither the route nor the gateway defines.
pub(crate) fn unknown_members(root: Node<'_>, own: &[(&str, Rule)]) -> Vec<String> {
    let names = root.entries().filter_map(|(key, _)| key.as_str());
    let unknown = names.filter(|name| fields::class_in(own, name) == Class::Unknown);
    unknown.map(Cow::into_owned).collect()
}

fn parse_with(
    body: Bytes,
    limits: &Limits,
    class: impl Fn(&str) -> Class,
) -> Result<Doc, RequestError> {
    let doc = Doc::parse(body, limits)?;
    let root = doc.root();
    if root.kind() != Kind::Object {
        let message = "Invalid JSON payload: the body must be an object.".to_owned();
        let kind = RequestErrorKind::NotAnObject;
        return Err(RequestError::new(kind, "request_body", message));
    }
    for (key, value) in root.entries() {
        let name = key.as_str().unwrap_or_default();
        member(&name, class(&name), value)?;
    }
    Ok(doc)
}

fn member(name: &str, class: Class, value: Node<'_>) -> Result<(), RequestError> {
    let rule = match class {
        Class::Refused | Class::RefusedAtTop => return Err(refused(name, name)),
        Class::Known(rule) | Class::Extra(rule) => rule,
        Class::Unknown => Rule::Any,
    };
    if let Err(mismatch) = fields::check(name, rule, value) {
        let (kind, message) = match mismatch {
            Mismatch::Type(message) => (RequestErrorKind::WrongType, message),
            Mismatch::Range(message) => (RequestErrorKind::OutOfRange, message),
        };
        return Err(RequestError::new(kind, name, message));
    }
    if name == "fallbacks" && value.items().any(|item| item.kind() == Kind::Object) {
        return Err(refused(name, name));
    }
    match class {
        Class::Extra(_) | Class::Unknown => nested(value),
        _ => Ok(()),
    }
}

/// Refused names below a gateway member or an unknown member, at any depth. The depth
/// is bounded by the scanner, so recursion is too.
pub(crate) fn nested(value: Node<'_>) -> Result<(), RequestError> {
    for (key, child) in value.entries() {
        let name = key.as_str().unwrap_or_default();
        if fields::refused_anywhere(&name) {
            return Err(refused(&name, &value.doc().path(key.id())));
        }
        nested(child)?;
    }
    value.items().try_for_each(nested)
}

pub(crate) fn refused(name: &str, path: &str) -> RequestError {
    let message = format!("Rejected Request: {name} is not allowed in request body.");
    RequestError::new(RequestErrorKind::Refused, path, message)
}

/// Whether a member is there and true.
pub(crate) fn is_set(object: Node<'_>, name: &str) -> bool {
    let value = object.get(name).and_then(|node| node.as_bool());
    value.unwrap_or(false)
}

/// The text of a member.
pub(crate) fn text<'a>(object: Node<'a>, name: &str) -> Option<Cow<'a, str>> {
    object.get(name)?.as_str()
}

/// The `model` member: a string, or absent.
pub(crate) fn model(root: Node<'_>) -> Result<Option<Cow<'_, str>>, RequestError> {
    match root.get("model") {
        None => Ok(None),
        Some(node) if node.is_null() => Ok(None),
        Some(node) => match node.as_str() {
            Some(name) => Ok(Some(name)),
            None => Err(RequestError::wrong_type("model", "a string")),
        },
    }
}
