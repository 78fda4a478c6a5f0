//! Money: whole micro-dollars, checked.

use std::fmt;

/// An amount of US dollars in whole micro-dollars (10^-6 USD).
///
/// Arithmetic is checked: an overflow is an error, never a wrap.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct MicroUsd(i64);

/// Why an amount is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not a plain decimal number.
    #[error("not a decimal number")]
    NotANumber,
    /// A price or a limit below zero.
    #[error("must not be negative")]
    Negative,
    /// The amount does not fit.
    #[error("amount out of range")]
    OutOfRange,
}

impl MicroUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of whole micro-dollars.
    #[must_use]
    pub const fn new(micro: i64) -> Self {
        Self(micro)
    }

    /// The amount in whole micro-dollars.
    #[must_use]
    pub const fn micro(self) -> i64 {
        self.0
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] when the sum does not fit.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.0
            .checked_add(other.0)
            .map(Self)
            .ok_or(MoneyError::OutOfRange)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] when the difference does not fit.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.0
            .checked_sub(other.0)
            .map(Self)
            .ok_or(MoneyError::OutOfRange)
    }

    /// Reads a decimal amount of dollars, such as `100`, `0.25` or `1.5e2`.
    /// Digits finer than a micro-dollar are rounded up, so that a limit read
    /// here and the costs counted against it lean to the same side.
    ///
    /// # Errors
    /// [`MoneyError`] for text that is no number, is negative, or does not fit.
    pub fn parse_usd(text: &str) -> Result<Self, MoneyError> {
        let scaled = Decimal::parse(text)?.scaled(6)?;
        i64::try_from(scaled.rounded_up()?)
            .map(Self)
            .map_err(|_| MoneyError::OutOfRange)
    }
}

impl fmt::Display for MicroUsd {
    /// Dollars with six decimals and no sign of currency: `1.250000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let (whole, rest) = (magnitude / 1_000_000, magnitude % 1_000_000);
        write!(f, "{sign}{whole}.{rest:06}")
    }
}

/// A non-negative decimal number read exactly: `digits * 10^exponent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: u128,
    exponent: i32,
}

/// A decimal number brought to a unit: the whole part and whether anything finer was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scaled {
    /// Whole units, cut.
    pub(crate) whole: u128,
    /// Whether a part below one unit was cut.
    pub(crate) rest: bool,
}

impl Scaled {
    /// Whole units, any rest counting as one more.
    pub(crate) fn rounded_up(self) -> Result<u128, MoneyError> {
        self.whole
            .checked_add(u128::from(self.rest))
            .ok_or(MoneyError::OutOfRange)
    }
}

impl Decimal {
    /// Digits that fit in the mantissa whatever they are.
    const MAX_DIGITS: usize = 38;

    pub(crate) fn parse(text: &str) -> Result<Self, MoneyError> {
        let text = text.trim();
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        let (negative, unsigned) = match unsigned.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, unsigned),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Self::exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(MoneyError::NotANumber);
        }
        let fraction = fraction.trim_end_matches('0');
        let mut digits: u128 = 0;
        let mut counted = 0usize;
        for byte in whole.bytes().chain(fraction.bytes()) {
            if !byte.is_ascii_digit() {
                return Err(MoneyError::NotANumber);
            }
            counted = counted.saturating_add(usize::from(digits > 0 || byte != b'0'));
            if counted > Self::MAX_DIGITS {
                return Err(MoneyError::OutOfRange);
            }
            digits = digits
                .saturating_mul(10)
                .saturating_add(u128::from(byte - b'0'));
        }
        if negative && digits > 0 {
            return Err(MoneyError::Negative);
        }
        let places = i32::try_from(fraction.len()).map_err(|_| MoneyError::OutOfRange)?;
        let exponent = exponent.checked_sub(places).ok_or(MoneyError::OutOfRange)?;
        Ok(Self { digits, exponent })
    }

    fn exponent(text: &str) -> Result<i32, MoneyError> {
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(MoneyError::NotANumber);
        }
        let value: i32 = digits.parse().map_err(|_| MoneyError::OutOfRange)?;
        Ok(if text.starts_with('-') { -value } else { value })
    }

    /// The number in units of `10^-places`.
    pub(crate) fn scaled(self, places: i32) -> Result<Scaled, MoneyError> {
        if self.digits == 0 {
            return Ok(Scaled {
                whole: 0,
                rest: false,
            });
        }
        let shift = self
            .exponent
            .checked_add(places)
            .ok_or(MoneyError::OutOfRange)?;
        let power = 10u128.checked_pow(shift.unsigned_abs());
        if shift >= 0 {
            let whole = power
                .and_then(|power| self.digits.checked_mul(power))
                .ok_or(MoneyError::OutOfRange)?;
            return Ok(Scaled { whole, rest: false });
        }
        // A divisor that does not fit is larger than any mantissa.
        let Some(power) = power else {
            return Ok(Scaled {
                whole: 0,
                rest: true,
            });
        };
        Ok(Scaled {
            whole: self.digits / power,
            rest: !self.digits.is_multiple_of(power),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MicroUsd, MoneyError};

    #[test]
    fn dollars_are_read_exactly() {
        for (text, micro) in [
            ("0", 0),
            ("1", 1_000_000),
            ("0.25", 250_000),
            ("1.5e2", 150_000_000),
            (".5", 500_000),
            ("5.", 5_000_000),
            ("0.000001", 1),
            ("1E-6", 1),
            ("-0", 0),
            ("100.0000000", 100_000_000),
        ] {
            assert_eq!(
                MicroUsd::parse_usd(text),
                Ok(MicroUsd::new(micro)),
                "{text}"
            );
        }
    }

    #[test]
    fn finer_than_a_micro_dollar_rounds_up() {
        assert_eq!(MicroUsd::parse_usd("0.0000001"), Ok(MicroUsd::new(1)));
        assert_eq!(MicroUsd::parse_usd("1e-400"), Ok(MicroUsd::new(1)));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "", ".", "abc", "1e", "1e+", "NaN", "inf", "1_000", "0x10", "1,5", "--1",
        ] {
            assert_eq!(
                MicroUsd::parse_usd(text),
                Err(MoneyError::NotANumber),
                "{text}"
            );
        }
        assert_eq!(MicroUsd::parse_usd("-1"), Err(MoneyError::Negative));
        for text in ["1e400", "9223372036854.775808", "1e999999999999"] {
            assert_eq!(
                MicroUsd::parse_usd(text),
                Err(MoneyError::OutOfRange),
                "{text}"
            );
        }
    }

    #[test]
    fn sums_do_not_wrap() {
        let most = MicroUsd::new(i64::MAX);
        assert_eq!(
            most.checked_add(MicroUsd::new(1)),
            Err(MoneyError::OutOfRange)
        );
        let least = MicroUsd::new(i64::MIN);
        assert_eq!(
            least.checked_sub(MicroUsd::new(1)),
            Err(MoneyError::OutOfRange)
        );
        assert_eq!(least.to_string(), "-9223372036854.775808");
        assert_eq!(MicroUsd::new(1_250_000).to_string(), "1.250000");
    }
}
