//! Values bound to statements without copying them.

use rusqlite::{
    Result, ToSql,
    types::{ToSqlOutput, ValueRef},
};

/// ASCII or UTF-8 bytes bound as TEXT.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// A number that the protocol keeps unsigned; above `i64::MAX` it is refused.
pub(super) fn signed(number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
