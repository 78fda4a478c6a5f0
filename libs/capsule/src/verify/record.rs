//! A stored record, as read.

use std::borrow::Cow;

use super::NotNormalForm;
use super::agreement;
use crate::canonical;
use crate::hash::Hash;
use crate::id::Id;
use crate::json::{self, Limits, Object, ParseError, Value};
use crate::model::{Capsule, CapsuleType, ModelError};

/// The five fields beside the content, none of which is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seal {
    /// SHA3-256 of the content, 64 lower-case hex digits; empty when not sealed.
    pub hash: String,
    /// Ed25519 signature, 128 hex digits; empty when not sealed.
    pub signature: String,
    /// Post-quantum signature in hex; usually empty.
    pub signature_pq: String,
    /// When it was signed, ISO 8601.
    pub signed_at: Option<String>,
    /// Label of the key.
    pub signed_by: String,
}

/// A stored record: its document and its seal. Nothing about it is verified.
#[derive(Debug, Clone)]
pub struct Record {
    document: Value,
    /// The text that was read, when it is the canonical form of the document.
    content: Option<Text>,
    seal: Seal,
    id: Id,
    capsule_type: CapsuleType,
    not_normal_form: Option<NotNormalForm>,
}

/// A canonical text.
#[derive(Debug, Clone)]
struct Text {
    bytes: Vec<u8>,
    /// Where its members begin, without the first.
    starts: Vec<usize>,
}

/// A text that the reference could not load as a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(#[from] ParseError),
    /// Not an object.
    #[error("a record is a JSON object, not {0}")]
    NotAnObject(&'static str),
    /// A field whose value no record can have.
    #[error("the record's field {path} is {fault}")]
    Field {
        /// The field, such as `trigger.timestamp`.
        path: String,
        /// What is wrong with it.
        fault: &'static str,
    },
}

/// The columns of a stored row that repeat what the document says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns<'a> {
    /// Column `id`.
    pub id: &'a str,
    /// Column `type`.
    pub capsule_type: &'a str,
    /// Column `sequence`.
    pub sequence: i64,
    /// Column `previous_hash`.
    pub previous_hash: Option<&'a str>,
    /// Column `session_id`.
    pub session_id: Option<&'a str>,
}

/// A column says something else than the signed document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("column {column} does not repeat the document's {field}")]
pub struct ColumnMismatch {
    /// The column.
    pub column: &'static str,
    /// The field of the document.
    pub field: &'static str,
}

const SEAL_KEYS: [&str; 5] = [
    "hash",
    "signature",
    "signature_pq",
    "signed_at",
    "signed_by",
];

impl Record {
    /// Reads one sealed record: a JSON object that holds content and seal.
    ///
    /// # Errors
    /// [`RecordError`] when the reference could not load it either, or when it is deeper than
    /// [`MAX_DEPTH`](json::MAX_DEPTH) or holds a number that is not finite.
    pub fn from_json(text: &[u8]) -> Result<Record, RecordError> {
        Record::from_value(json::parse(text, &Limits::default())?)
    }

    /// As [`from_json`](Self::from_json), from a parsed value: an item of an array of records.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_value(value: Value) -> Result<Record, RecordError> {
        let mut document = match value {
            Value::Object(object) => object,
            other => return Err(RecordError::NotAnObject(other.type_name())),
        };
        let seal = take_seal(&mut document)?;
        Record::build(Value::Object(document), None, seal)
    }

    /// Reads one stored row: the text of its document and the seal from its columns.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_row(data: &[u8], seal: Seal) -> Result<Record, RecordError> {
        Record::from_owned_row(data.to_vec(), seal)
    }

    /// As [`from_row`](Self::from_row), from a text that is no longer needed: it is not copied.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json).
    pub fn from_owned_row(data: Vec<u8>, seal: Seal) -> Result<Record, RecordError> {
        let noted = json::parse_noting_form(&data, &Limits::default())?;
        let text = Text {
            bytes: data,
            starts: noted.starts,
        };
        Record::build(noted.value, noted.canonical.then_some(text), seal)
    }

    fn build(document: Value, content: Option<Text>, seal: Seal) -> Result<Record, RecordError> {
        let Value::Object(object) = &document else {
            return Err(RecordError::NotAnObject(document.type_name()));
        };
        let read = agreement::read(object)?;
        Ok(Record {
            id: read.id,
            capsule_type: read.capsule_type,
            not_normal_form: read.not_normal_form,
            document,
            content,
            seal,
        })
    }

    /// The record's identifier.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// The kind of record.
    #[must_use]
    pub fn capsule_type(&self) -> CapsuleType {
        self.capsule_type
    }

    /// Its place in the chain, when that is an integer from 0.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        match self.document.get("sequence") {
            None => Some(0),
            Some(value) => value.as_u64(),
        }
    }

    /// The link to the predecessor, when that is a string.
    #[must_use]
    pub fn previous_hash(&self) -> Option<&str> {
        self.document.get("previous_hash")?.as_str()
    }

    /// The session that the context names.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.document.get("context")?.get("session_id")?.as_str()
    }

    /// The stored document: everything that is hashed.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The seal as stored.
    #[must_use]
    pub fn seal(&self) -> &Seal {
        &self.seal
    }

    /// The document as a typed record.
    ///
    /// # Errors
    /// [`ModelError`] when a field holds what the typed record cannot.
    pub fn model(&self) -> Result<Capsule, ModelError> {
        Capsule::from_document(&self.document)
    }

    /// Where the document is not in the form in which the reference would write it. Such a record fails
    /// in the reference even when hash and signature are good.
    #[must_use]
    pub fn not_normal_form(&self) -> Option<&NotNormalForm> {
        self.not_normal_form.as_ref()
    }

    /// The canonical bytes of the document: what is hashed.
    #[must_use]
    pub fn content(&self) -> Cow<'_, [u8]> {
        match &self.content {
            Some(content) => Cow::Borrowed(&content.bytes),
            None => {
                let mut out = Vec::with_capacity(4096);
                canonical::write_value(&self.document, &mut out);
                Cow::Owned(out)
            }
        }
    }

    /// The SHA3-256 of the document as it is now, whatever the seal says.
    #[must_use]
    pub fn content_hash(&self) -> Hash {
        Hash::of(&self.content())
    }

    /// The whole sealed record, canonical, as [`Sealed::record_json`](crate::Sealed::record_json)
    /// writes it.
    #[must_use]
    pub fn record_json(&self) -> Vec<u8> {
        let seal = [
            Value::from(&self.seal.hash),
            Value::from(&self.seal.signature),
            Value::from(&self.seal.signature_pq),
            Value::from(self.seal.signed_at.as_deref()),
            Value::from(&self.seal.signed_by),
        ];
        if let Some(whole) = self.spliced(&seal) {
            return whole;
        }
        // A document that holds a key of the seal itself is told apart by its hash.
        let document = self.document.as_object().into_iter().flat_map(Object::iter);
        let mut members: Vec<(&str, &Value)> = document
            .filter(|(key, _)| !SEAL_KEYS.contains(key))
            .chain(SEAL_KEYS.into_iter().zip(&seal))
            .collect();
        members.sort_by_key(|(key, _)| *key);
        let mut out = Vec::with_capacity(4096);
        for (index, (key, value)) in members.into_iter().enumerate() {
            out.push(if index == 0 { b'{' } else { b',' });
            write_member(key, value, &mut out);
        }
        out.push(b'}');
        out
    }

    /// The whole record cut together from the canonical text; `None` when there is none, or when the document holds a
    /// key of the seal itself. Cheaper than writing the document again.
    fn spliced(&self, seal: &[Value; 5]) -> Option<Vec<u8>> {
        let text = self.content.as_ref()?;
        let members = self.document.as_object()?;
        if members.is_empty() || SEAL_KEYS.iter().any(|key| members.contains_key(key)) {
            return None;
        }
        let mut seal = SEAL_KEYS.into_iter().zip(seal).peekable();
        let mut out = Vec::with_capacity(text.bytes.len() + 512);
        let mut copied = 0;
        let starts = std::iter::once(1).chain(text.starts.iter().copied());
        for (start, key) in starts.zip(members.keys()) {
            while let Some((name, value)) = seal.next_if(|(name, _)| *name < key) {
                out.extend_from_slice(text.bytes.get(copied..start)?);
                copied = start;
                write_member(name, value, &mut out);
                out.push(b',');
            }
        }
        let end = text.bytes.len().checked_sub(1)?;
        out.extend_from_slice(text.bytes.get(copied..end)?);
        for (name, value) in seal {
            out.push(b',');
            write_member(name, value, &mut out);
        }
        out.push(b'}');
        Some(out)
    }

    /// Whether the columns of the row repeat the document. The reference does not look; a reader that
    /// selects by a column must.
    ///
    /// # Errors
    /// [`ColumnMismatch`] names the first column that does not.
    pub fn check_columns(&self, columns: &Columns<'_>) -> Result<(), ColumnMismatch> {
        let text = |key: &str| self.document.get(key).and_then(Value::as_str);
        let is_text_or_null = |value: Option<&Value>, column: Option<&str>| match value {
            None | Some(Value::Null) => column.is_none(),
            Some(value) => value.as_str() == column && column.is_some(),
        };
        let context = self.document.get("context");
        let sequence = u64::try_from(columns.sequence).ok();
        let checks = [
            ("id", "id", text("id") == Some(columns.id)),
            ("type", "type", text("type") == Some(columns.capsule_type)),
            (
                "sequence",
                "sequence",
                sequence.is_some() && self.sequence() == sequence,
            ),
            (
                "previous_hash",
                "previous_hash",
                is_text_or_null(self.document.get("previous_hash"), columns.previous_hash),
            ),
            (
                "session_id",
                "context.session_id",
                is_text_or_null(
                    context.and_then(|context| context.get("session_id")),
                    columns.session_id,
                ),
            ),
        ];
        match checks.into_iter().find(|(_, _, same)| !same) {
            Some((column, field, _)) => Err(ColumnMismatch { column, field }),
            None => Ok(()),
        }
    }
}

fn write_member(key: &str, value: &Value, out: &mut Vec<u8>) {
    canonical::write_string(key, out);
    out.push(b':');
    canonical::write_value(value, out);
}

fn take_seal(document: &mut Object) -> Result<Seal, RecordError> {
    let mut text = |key: &'static str| match document.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(RecordError::Field {
            path: key.to_owned(),
            fault: "not a string",
        }),
    };
    Ok(Seal {
        hash: text("hash")?.unwrap_or_default(),
        signature: text("signature")?.unwrap_or_default(),
        signature_pq: text("signature_pq")?.unwrap_or_default(),
        signed_at: text("signed_at")?,
        signed_by: text("signed_by")?.unwrap_or_default(),
    })
}
