//! Rows read back, from our tables and from the reference's.

use capsule::{Hash, Id, Timestamp};
use ledger::{
    OpenIntent,
    journal::{Head, Row},
};
use tokio_postgres::types::FromSqlOwned;

/// A column, or why it cannot be read.
pub(super) fn column<T: FromSqlOwned>(
    row: &tokio_postgres::Row,
    column: usize,
) -> Result<T, String> {
    row.try_get(column).map_err(|error| error.to_string())
}

/// Columns in the order that [`read_row`] expects.
pub(super) const COLUMNS: &str = "sequence::int8, id, type, previous_hash, data, hash, signature, signature_pq, \
                                  signed_at, signed_by, session_id";

/// A record as it stands there; nothing is verified.
pub(super) fn read_row(row: &tokio_postgres::Row) -> Result<Row, String> {
    Ok(Row {
        sequence: unsigned(row, 0)?,
        id: column(row, 1)?,
        capsule_type: column(row, 2)?,
        previous_hash: column(row, 3)?,
        data: column::<String>(row, 4)?.into_bytes(),
        hash: column(row, 5)?,
        signature: column(row, 6)?,
        signature_pq: column(row, 7)?,
        signed_at: column(row, 8)?,
        signed_by: column(row, 9)?,
        session_id: column(row, 10)?,
    })
}

/// Sequence and hash in columns 0 and 1.
pub(super) fn read_head(row: &tokio_postgres::Row) -> Result<Head, String> {
    let hash: String = column(row, 1)?;
    Ok(Head {
        sequence: unsigned(row, 0)?,
        hash: Hash::from_hex(&hash).map_err(|error| error.to_string())?,
    })
}

/// Boot id, number, id, opened_at, payload in columns 0 to 4.
pub(super) fn read_intent(row: &tokio_postgres::Row) -> Result<OpenIntent, String> {
    Ok(OpenIntent {
        boot: id(row, 0)?,
        number: unsigned(row, 1)?,
        id: id(row, 2)?,
        opened_at: Timestamp::new(column(row, 3)?),
        payload: column(row, 4)?,
    })
}

pub(super) fn id(row: &tokio_postgres::Row, at: usize) -> Result<Id, String> {
    column::<String>(row, at)?
        .parse()
        .map_err(|_| "an id in the database is none".to_owned())
}

pub(super) fn unsigned(row: &tokio_postgres::Row, at: usize) -> Result<u64, String> {
    let number: i64 = column(row, at)?;
    u64::try_from(number).map_err(|_| format!("{number} is no count"))
}
