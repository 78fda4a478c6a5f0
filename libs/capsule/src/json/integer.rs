//! Integers of any size.

use std::fmt;

/// A JSON integer of any size.
///
/// Small values are kept as a machine word, others as their decimal text, so nothing is rounded.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Integer(Repr);

// A value that fits `i64` is always `Small`, so that equal integers are equal values.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Small(i64),
    Big(Box<str>),
}

impl Integer {
    /// The value, when it fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match &self.0 {
            Repr::Small(value) => Some(*value),
            Repr::Big(_) => None,
        }
    }

    /// The value, when it fits and is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match &self.0 {
            Repr::Small(value) => u64::try_from(*value).ok(),
            Repr::Big(text) => text.parse().ok(),
        }
    }

    /// The value, when it fits.
    #[must_use]
    pub fn as_i128(&self) -> Option<i128> {
        match &self.0 {
            Repr::Small(value) => Some(i128::from(*value)),
            Repr::Big(text) => text.parse().ok(),
        }
    }

    /// Whether the value is below zero.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Repr::Small(value) => *value < 0,
            Repr::Big(text) => text.starts_with('-'),
        }
    }

    /// The number of decimal digits, without the sign.
    #[must_use]
    pub fn digits(&self) -> usize {
        match &self.0 {
            Repr::Small(0) => 1,
            Repr::Small(value) => value.unsigned_abs().ilog10() as usize + 1,
            Repr::Big(text) => text.trim_start_matches('-').len(),
        }
    }

    /// From a token of JSON's grammar (`-?(0|[1-9][0-9]*)`), which the caller has checked.
    pub(crate) fn from_token(token: &str) -> Integer {
        match token.parse::<i64>() {
            Ok(value) => Integer(Repr::Small(value)),
            Err(_) => Integer(Repr::Big(token.into())),
        }
    }

    pub(crate) fn small_or_text(&self) -> Result<i64, &str> {
        match &self.0 {
            Repr::Small(value) => Ok(*value),
            Repr::Big(text) => Err(text),
        }
    }
}

impl From<i64> for Integer {
    fn from(value: i64) -> Self {
        Integer(Repr::Small(value))
    }
}

macro_rules! from_small {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Integer {
            fn from(value: $kind) -> Self {
                Integer(Repr::Small(i64::from(value)))
            }
        }
    )*};
}
from_small!(i32, u32);

macro_rules! from_large {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Integer {
            fn from(value: $kind) -> Self {
                match i64::try_from(value) {
                    Ok(small) => Integer(Repr::Small(small)),
                    Err(_) => Integer(Repr::Big(value.to_string().into())),
                }
            }
        }
    )*};
}
from_large!(u64, i128, u128, usize);

impl fmt::Display for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Small(value) => write!(f, "{value}"),
            Repr::Big(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Integer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Integer({self})")
    }
}
