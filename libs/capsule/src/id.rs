//! Record identifiers.

use std::fmt;
use std::str::FromStr;

use crate::hex;

/// The identifier of a record: 16 bytes, written as a lower-case hyphenated UUID
/// (Capsule Protocol 1.0, top-level fields).
///
/// The version is not enforced; the caller chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id([u8; 16]);

/// A text that is not a lower-case hyphenated UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a lower-case hyphenated UUID")]
pub struct IdError;

impl Id {
    /// From its bytes, most significant first.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Id {
        Id(bytes)
    }

    /// The bytes, most significant first.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The 36 ASCII characters.
    pub(crate) fn to_ascii(self) -> [u8; 36] {
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, &value) in self.0.iter().enumerate() {
            // A hyphen stands before the bytes 4, 6, 8 and 10.
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            if let Some(pair) = text.get_mut(at..at + 2) {
                pair.copy_from_slice(&hex::byte(value));
            }
            at += 2;
        }
        text
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_ascii();
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for Id {
    type Err = IdError;

    /// Reads the one form that [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Id, IdError> {
        let mut digits = [0_u8; 32];
        let mut free = digits.iter_mut();
        for (at, &byte) in text.as_bytes().iter().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if byte != b'-' {
                    return Err(IdError);
                }
                continue;
            }
            if byte.is_ascii_uppercase() {
                return Err(IdError);
            }
            // A thirty-third digit finds no room.
            *free.next().ok_or(IdError)? = byte;
        }
        // Digits that were not filled are no digits.
        hex::decode(&digits).map(Id).ok_or(IdError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_normal_form_is_read() {
        let text = "a1b2c3d4-e5f6-7890-abcd-ef1234567890";
        assert_eq!(text.parse::<Id>().unwrap().to_string(), text);
        for bad in [
            "",
            "a1b2c3d4e5f67890abcdef1234567890",
            "A1b2c3d4-e5f6-7890-abcd-ef1234567890",
            "{a1b2c3d4-e5f6-7890-abcd-ef1234567890}",
            "a1b2c3d4-e5f6-7890-abcd-ef123456789",
            "a1b2c3d4-e5f6-7890-abcd-ef123456789g",
            "a1b2c3d-4e5f6-7890-abcd-ef1234567890",
            "-1b2c3d4-e5f6-7890-abcd-ef1234567890",
        ] {
            assert_eq!(bad.parse::<Id>(), Err(IdError), "{bad}");
        }
    }
}
