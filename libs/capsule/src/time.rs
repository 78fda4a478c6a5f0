//! Points in time and their one written form.

mod civil;
pub(crate) mod python;

use std::fmt;
use std::str::FromStr;

/// A point in time: microseconds since 1970-01-01T00:00:00 UTC
/// (Capsule Protocol 1.0, timestamp format).
///
/// Written as `2026-01-01T00:00:00+00:00`, with six more digits when there are microseconds. The
/// written form covers the years 1 to 9999; construction saturates to that range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// A text that is not a timestamp with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 8601 timestamp with a UTC offset, such as 2026-01-01T00:00:00+00:00")]
pub struct TimestampError;

impl Timestamp {
    /// 0001-01-01T00:00:00 UTC, the first that has a written form.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999 UTC, the last that has a written form.
    pub const MAX: Timestamp = Timestamp(253_402_300_799_999_999);

    /// From microseconds since the Unix epoch; saturates to [`MIN`](Self::MIN) and
    /// [`MAX`](Self::MAX).
    #[must_use]
    pub const fn new(micros: i64) -> Timestamp {
        if micros < Self::MIN.0 {
            Self::MIN
        } else if micros > Self::MAX.0 {
            Self::MAX
        } else {
            Timestamp(micros)
        }
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads what Python's `datetime.fromisoformat` (3.11) reads, provided that it has an offset.
    /// Digits of the fraction beyond six are cut off.
    ///
    /// # Errors
    /// [`TimestampError`] when the text is no such timestamp.
    pub fn parse(text: &str) -> Result<Timestamp, TimestampError> {
        let read = python::from_isoformat(text).ok_or(TimestampError)?;
        let micros = read.utc_micros().ok_or(TimestampError)?;
        if (Self::MIN.0..=Self::MAX.0).contains(&micros) {
            Ok(Timestamp(micros))
        } else {
            Err(TimestampError)
        }
    }

    /// Appends the written form.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let (days, micros_of_day) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = civil::from_days(days);
        let (seconds, micros) = (micros_of_day / SECOND, micros_of_day % SECOND);
        let mut text = *b"0000-00-00T00:00:00.000000+00:00";
        let fields = [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, seconds / 3600),
            (14, 2, seconds / 60 % 60),
            (17, 2, seconds % 60),
            (20, 6, micros),
        ];
        for (start, width, value) in fields {
            let mut rest = value;
            let field = text.get_mut(start..start + width).unwrap_or_default();
            for digit in field.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        let (head, tail) = text.split_at_checked(19).unwrap_or((&text, &[]));
        out.extend_from_slice(head);
        let fraction = if micros == 0 { 7 } else { 0 };
        out.extend_from_slice(tail.get(fraction..).unwrap_or_default());
    }
}

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(32);
        self.write(&mut text);
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Timestamp, TimestampError> {
        Timestamp::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_the_protocols_form() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (-1, "1969-12-31T23:59:59.999999+00:00"),
            (1_767_225_600_120_000, "2026-01-01T00:00:00.120000+00:00"),
            (951_782_400_000_000, "2000-02-29T00:00:00+00:00"),
            (i64::MIN, "0001-01-01T00:00:00+00:00"),
            (i64::MAX, "9999-12-31T23:59:59.999999+00:00"),
        ] {
            let time = Timestamp::new(micros);
            assert_eq!(time.to_string(), text);
            assert_eq!(Timestamp::parse(text), Ok(time));
        }
    }

    #[test]
    fn offsets_are_taken_into_account_and_required() {
        let noon = Timestamp::parse("2026-01-01T12:00:00Z").unwrap();
        assert_eq!(Timestamp::parse("2026-01-01T17:30:00+05:30"), Ok(noon));
        assert_eq!(
            Timestamp::parse("2026-01-01 11:59:30.5-00:00:29.500000"),
            Ok(noon)
        );
        assert_eq!(Timestamp::parse("2026-01-01T12:00:00"), Err(TimestampError));
        assert_eq!(
            Timestamp::parse("0001-01-01T00:00:00+01:00"),
            Err(TimestampError)
        );
    }
}
