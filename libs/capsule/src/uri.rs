//! References to records: `capsule://` URIs (Capsule Protocol 1.0, URI scheme).
//!
//! A URI names a record and grants nothing: what it leads to must be verified. Where the specification
//! leaves a spelling open, this parser refuses it: a bare number, a chain with a UUID, upper-case digits,
//! numbers with leading zeros, chains named like hashes, `.` or `..`, empty fragments and fragments
//! with a leading slash, empty segments, percent encoding.

use std::fmt;
use std::str::FromStr;

use crate::hash::Hash;
use crate::id::Id;
use crate::json::{Object, Value};

/// A parsed `capsule://` URI.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CapsuleUri {
    /// What names the record.
    pub reference: Reference,
    /// The part of the record that is meant: a section, then fields and indices, separated by slashes.
    pub fragment: Option<String>,
}

/// What names a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `sha3_` and the 64 digits of the record's hash, in a chain or anywhere.
    Hash {
        /// The chain, when one is named.
        chain: Option<String>,
        /// The hash.
        hash: Hash,
    },
    /// The record's place in a chain.
    Sequence {
        /// The chain.
        chain: String,
        /// The place, from 0.
        sequence: u64,
    },
    /// The record's identifier.
    Id(Id),
}

/// Why a text is no `capsule://` URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with `capsule://`.
    #[error("the URI does not begin with capsule://")]
    Scheme,
    /// Nothing follows the scheme.
    #[error("the URI names no record")]
    Empty,
    /// Hashes are written `sha3_` and 64 lower-case hex digits.
    #[error("a hash is sha3_ and 64 lower-case hex digits")]
    Hash,
    /// Chain names have letters, digits, `-`, `_` and `.`.
    #[error("a chain's name has letters, digits, '-', '_' and '.' only, and is not that of a hash")]
    Chain,
    /// A place in a chain is a decimal number from 0.
    #[error("after the chain comes a number from 0, without leading zeros, or a hash")]
    Sequence,
    /// Neither a hash, a chain with a place, nor a UUID.
    #[error("not a hash, a chain with a place, or a lower-case hyphenated UUID")]
    Reference,
    /// A fragment is a section and then fields or indices.
    #[error(
        "a fragment is one of the six sections, then fields or indices separated by slashes, \
         without empty segments, '.' or '..'"
    )]
    Fragment,
}

const SCHEME: &str = "capsule://";
const HASH: &str = "sha3_";
const SECTIONS: [&str; 6] = [
    "trigger",
    "context",
    "reasoning",
    "authority",
    "execution",
    "outcome",
];

impl CapsuleUri {
    /// Parses a URI.
    ///
    /// # Errors
    /// [`UriError`] when the text is not one of the forms of the specification.
    ///
    /// ```
    /// use capsule::uri::{CapsuleUri, Reference};
    /// let uri = CapsuleUri::parse("capsule://main/42#reasoning/confidence")?;
    /// assert_eq!(uri.reference, Reference::Sequence { chain: "main".into(), sequence: 42 });
    /// assert_eq!(uri.fragment.as_deref(), Some("reasoning/confidence"));
    /// # Ok::<(), capsule::uri::UriError>(())
    /// ```
    pub fn parse(text: &str) -> Result<CapsuleUri, UriError> {
        let rest = text.strip_prefix(SCHEME).ok_or(UriError::Scheme)?;
        let (name, fragment) = match rest.split_once('#') {
            Some((name, fragment)) => (name, Some(read_fragment(fragment)?)),
            None => (rest, None),
        };
        Ok(CapsuleUri {
            reference: read_reference(name)?,
            fragment,
        })
    }

    /// A reference to a record by its identifier.
    #[must_use]
    pub fn of_id(id: Id) -> CapsuleUri {
        CapsuleUri {
            reference: Reference::Id(id),
            fragment: None,
        }
    }

    /// The keys of the specification's parse result: `scheme`, `chain`, `reference_type`,
    /// `hash_algorithm`, `hash_value`, `sequence`, `id` and `fragment`; null where they do not apply.
    #[must_use]
    pub fn to_object(&self) -> Object {
        let mut object = Object::from([
            ("scheme", Value::from("capsule")),
            ("chain", Value::Null),
            ("hash_algorithm", Value::Null),
            ("hash_value", Value::Null),
            ("sequence", Value::Null),
            ("id", Value::Null),
            ("fragment", Value::from(self.fragment.as_deref())),
        ]);
        let kind = match &self.reference {
            Reference::Hash { chain, hash } => {
                object.insert("chain", chain.as_deref());
                object.insert("hash_algorithm", "sha3");
                object.insert("hash_value", hash.hex());
                "hash"
            }
            Reference::Sequence { chain, sequence } => {
                object.insert("chain", chain);
                object.insert("sequence", *sequence);
                "sequence"
            }
            Reference::Id(id) => {
                object.insert("id", id.to_string());
                "id"
            }
        };
        object.insert("reference_type", kind);
        object
    }
}

fn read_reference(name: &str) -> Result<Reference, UriError> {
    if name.is_empty() {
        return Err(UriError::Empty);
    }
    if let Some((chain, place)) = name.split_once('/') {
        let chain = read_chain(chain)?;
        return match read_hash(place)? {
            Some(hash) => Ok(Reference::Hash {
                chain: Some(chain),
                hash,
            }),
            None => Ok(Reference::Sequence {
                chain,
                sequence: read_sequence(place)?,
            }),
        };
    }
    match read_hash(name)? {
        Some(hash) => Ok(Reference::Hash { chain: None, hash }),
        None => name
            .parse()
            .map(Reference::Id)
            .map_err(|_| UriError::Reference),
    }
}

fn read_hash(text: &str) -> Result<Option<Hash>, UriError> {
    match text.strip_prefix(HASH) {
        None => Ok(None),
        Some(digits) => Hash::from_hex(digits).map(Some).map_err(|_| UriError::Hash),
    }
}

fn read_chain(chain: &str) -> Result<String, UriError> {
    let named = !matches!(chain, "" | "." | "..")
        && !chain.starts_with(HASH)
        && chain
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    named.then(|| chain.to_owned()).ok_or(UriError::Chain)
}

fn read_sequence(digits: &str) -> Result<u64, UriError> {
    let plain = digits.bytes().all(|digit| digit.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    plain
        .then(|| digits.parse().ok())
        .flatten()
        .ok_or(UriError::Sequence)
}

fn read_fragment(fragment: &str) -> Result<String, UriError> {
    let mut segments = fragment.split('/');
    let section = segments.next().unwrap_or_default();
    let good = SECTIONS.contains(&section)
        && segments.all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .chars()
                    .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
        });
    good.then(|| fragment.to_owned()).ok_or(UriError::Fragment)
}

impl FromStr for CapsuleUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<CapsuleUri, UriError> {
        CapsuleUri::parse(text)
    }
}

impl fmt::Display for CapsuleUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SCHEME)?;
        match &self.reference {
            Reference::Hash { chain: None, hash } => write!(f, "{HASH}{hash}")?,
            Reference::Hash {
                chain: Some(chain),
                hash,
            } => write!(f, "{chain}/{HASH}{hash}")?,
            Reference::Sequence { chain, sequence } => write!(f, "{chain}/{sequence}")?,
            Reference::Id(id) => write!(f, "{id}")?,
        }
        match &self.fragment {
            Some(fragment) => write!(f, "#{fragment}"),
            None => Ok(()),
        }
    }
}
