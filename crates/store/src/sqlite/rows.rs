//! Rows read back, from our tables and from the reference's.

use capsule::{Hash, Id, Timestamp};
use ledger::{
    OpenIntent,
    journal::{Head, Row},
};
use rusqlite::{
    Error, Result,
    types::{Type, ValueRef},
};

/// Columns in the order that [`read_row`] expects.
pub(crate) const COLUMNS: &str = "sequence, id, type, previous_hash, data, hash, signature, signature_pq, \
                                  signed_at, signed_by, session_id";

/// A record as it stands there. Text may be stored as any SQLite type by whoever made the file: all of
/// them are read as text, and nothing is verified.
pub(crate) fn read_row(row: &rusqlite::Row<'_>) -> Result<Row> {
    let sequence: i64 = row.get(0)?;
    Ok(Row {
        sequence: u64::try_from(sequence)
            .map_err(|_| Error::IntegralValueOutOfRange(0, sequence))?,
        id: text(row, 1)?.unwrap_or_default(),
        capsule_type: text(row, 2)?.unwrap_or_default(),
        previous_hash: text(row, 3)?,
        data: bytes(row, 4)?,
        hash: text(row, 5)?.unwrap_or_default(),
        signature: text(row, 6)?.unwrap_or_default(),
        signature_pq: text(row, 7)?.unwrap_or_default(),
        signed_at: text(row, 8)?,
        signed_by: text(row, 9)?,
        session_id: text(row, 10)?,
    })
}

fn bytes(row: &rusqlite::Row<'_>, column: usize) -> Result<Vec<u8>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    })
}

fn text(row: &rusqlite::Row<'_>, column: usize) -> Result<Option<String>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            // What is no UTF-8 is rare enough to be looked at twice.
            Some(match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => String::from_utf8_lossy(bytes).into_owned(),
            })
        }
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
    })
}

/// Sequence and hash in columns 0 and 1.
pub(crate) fn read_head(row: &rusqlite::Row<'_>) -> Result<Head> {
    let sequence: i64 = row.get(0)?;
    let hash: String = row.get(1)?;
    Ok(Head {
        sequence: u64::try_from(sequence)
            .map_err(|_| Error::IntegralValueOutOfRange(0, sequence))?,
        hash: Hash::from_hex(&hash).map_err(|error| unreadable(1, error))?,
    })
}

/// Boot id, number, id, opened_at, payload in columns 0 to 4.
pub(crate) fn read_intent(row: &rusqlite::Row<'_>) -> Result<OpenIntent> {
    let number: i64 = row.get(1)?;
    Ok(OpenIntent {
        boot: id(row, 0)?,
        number: u64::try_from(number).map_err(|_| Error::IntegralValueOutOfRange(1, number))?,
        id: id(row, 2)?,
        opened_at: Timestamp::new(row.get(3)?),
        payload: row.get(4)?,
    })
}

pub(crate) fn id(row: &rusqlite::Row<'_>, column: usize) -> Result<Id> {
    row.get::<_, String>(column)?
        .parse()
        .map_err(|error| unreadable(column, error))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
