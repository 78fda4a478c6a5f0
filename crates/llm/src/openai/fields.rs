//! Which top-level members of a request body mean what.

use super::members::{EXTRA_PREFIXES, NAMES, REFUSED_PREFIXES};
use super::vocabulary::order;
use crate::scan::{Kind, Node};

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Class {
    /// The chat or embeddings API defines it.
    Known(Rule),
    /// Read by the gateway and never sent on.
    Extra(Rule),
    /// Carries destinations, credentials, prices or code. LiteLLM takes many of these
    /// from a request body; here a body that has one is refused.
    Refused,
    /// The same, but an ordinary word: harmless as a key of free metadata.
    RefusedAtTop,
    /// Nobody defines it: forwarded as it is.
    Unknown,
}

/// What a typed member may be. `null` is always allowed and means absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// Anything.
    Any,
    /// Written without fraction and exponent, within the bounds.
    Integer(i64, i64),
    /// Within the bounds.
    Number(f64, f64),
    /// `true` or `false`.
    Bool,
    /// `true`, `false` or an integer from 0 to 1000.
    BoolOrInteger,
    /// A string.
    Text,
    /// An object.
    Object,
    /// An array.
    Array,
}

/// Looks a name up; compared exactly, after unescaping.
pub(crate) fn class(name: &str) -> Class {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if let Ok(row) = NAMES.binary_search_by(|(known, _)| order(known.as_bytes(), name.as_bytes())) {
        NAMES.get(row).map_or(Class::Unknown, |(_, class)| *class)
    } else if starts(REFUSED_PREFIXES) {
        Class::Refused
    } else if starts(EXTRA_PREFIXES) {
        Class::Extra(Rule::Any)
    } else {
        Class::Unknown
    }
}

/// As [`class`] for a route with members of its own: only these are known there.
pub(crate) fn class_in(own: &[(&str, Rule)], name: &str) -> Class {
    match own.iter().find(|(known, _)| *known == name) {
        Some((_, rule)) => Class::Known(*rule),
        None => match class(name) {
            Class::Known(_) => Class::Unknown,
            other => other,
        },
    }
}

/// Whether a body with this top-level member is refused: it would choose the
/// destination, the credentials, the price or code.
#[must_use]
pub fn refused_field(name: &str) -> bool {
    matches!(class(name), Class::Refused | Class::RefusedAtTop)
}

/// Whether the name is refused at any depth of gateway members and unknown members
/// (but not in messages, tools and schemas, which are the sender's own text).
#[must_use]
pub fn refused_anywhere(name: &str) -> bool {
    class(name) == Class::Refused
}

/// Whether the member is for the gateway and is removed before the body is sent on.
#[must_use]
pub fn gateway_extra(name: &str) -> bool {
    matches!(class(name), Class::Extra(_))
}

/// Whether the API defines this member (`strict_fields` refuses all others).
#[must_use]
pub fn known_field(name: &str) -> bool {
    matches!(class(name), Class::Known(_))
}

/// The refused names and name prefixes (these end in `_`), for documentation and tests.
pub fn refused_names() -> impl Iterator<Item = &'static str> {
    let refused = |class: &Class| matches!(class, Class::Refused | Class::RefusedAtTop);
    let names = NAMES.iter().filter(move |(_, class)| refused(class));
    names
        .map(|(name, _)| *name)
        .chain(REFUSED_PREFIXES.iter().copied())
}

/// What is wrong with the value of a typed member.
pub(crate) enum Mismatch {
    /// Another JSON type than wanted.
    Type(String),
    /// The right type, an impossible value.
    Range(String),
}

/// Checks the value of one member against its rule.
pub(crate) fn check(name: &str, rule: Rule, value: Node<'_>) -> Result<(), Mismatch> {
    if value.is_null() {
        return Ok(());
    }
    let of_type = |kinds: &[Kind], wanted: &str| match kinds.contains(&value.kind()) {
        true => Ok(()),
        false => Err(Mismatch::Type(format!("'{name}' must be {wanted}."))),
    };
    match rule {
        Rule::Any => Ok(()),
        Rule::Integer(low, high) => integer(name, value, low, high),
        Rule::Number(low, high) => {
            of_type(&[Kind::Number], "a number")?;
            let within = value.as_f64().is_some_and(|v| v >= low && v <= high);
            within.then_some(()).ok_or_else(|| {
                Mismatch::Range(format!("'{name}' must be between {low} and {high}."))
            })
        }
        Rule::Bool => of_type(&[Kind::True, Kind::False], "true or false"),
        Rule::BoolOrInteger if value.kind() == Kind::Number => integer(name, value, 0, 1000),
        Rule::BoolOrInteger => of_type(&[Kind::True, Kind::False], "true, false or an integer"),
        Rule::Text => of_type(&[Kind::String], "a string"),
        Rule::Object => of_type(&[Kind::Object], "an object"),
        Rule::Array => of_type(&[Kind::Array], "an array"),
    }
}

fn integer(name: &str, value: Node<'_>, low: i64, high: i64) -> Result<(), Mismatch> {
    if value.kind() != Kind::Number {
        return Err(Mismatch::Type(format!("'{name}' must be an integer.")));
    }
    let written = value.raw();
    let signed_zero = written == b"-0";
    match value.as_i64().filter(|_| !signed_zero) {
        Some(v) if (low..=high).contains(&v) => Ok(()),
        _ if written.iter().any(|b| matches!(b, b'.' | b'e' | b'E')) => Err(Mismatch::Range(
            format!("'{name}' must be an integer, written without fraction or exponent."),
        )),
        _ => Err(Mismatch::Range(format!(
            "'{name}' must be an integer between {low} and {high}."
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        let before = |left: &str, right: &str| order(left.as_bytes(), right.as_bytes()).is_lt();
        assert!(NAMES.is_sorted_by(|left, right| before(left.0, right.0)));
    }
}
