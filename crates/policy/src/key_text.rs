//! The text of a virtual key: how it is written, masked and recognised by scanners.
//!
//! Two forms. `sk-` and 43 url-safe characters (256 bits), as LiteLLM's clients expect; and
//! `sealgate_<environment>_<id>_<secret><check>`: one word for a double click, with 6 check digits that a scanner of
//! repositories tests without asking anybody.

/// Begins every scannable key.
pub const BRAND: &str = "sealgate_";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Lengths of the parts of a scannable key.
const ID: usize = 12;
const SECRET: usize = 43;
const CHECK: usize = 6;

/// `sk-` and 43 characters from 32 random bytes.
#[must_use]
pub fn plain(random: &[u8; 32]) -> String {
    let mut out = String::with_capacity(46);
    out.push_str("sk-");
    for group in random.chunks(3) {
        let mut bits = 0_u32;
        for byte in group.iter().chain(std::iter::repeat_n(&0, 3 - group.len())) {
            bits = bits << 8 | u32::from(*byte);
        }
        for at in 0..=group.len() {
            let index = (bits >> (18 - 6 * at)) & 63;
            out.push(digit(URL_SAFE, index as usize));
        }
    }
    out
}

/// A scannable key from 48 random bytes; `environment` is cut to what a key can hold.
#[must_use]
pub fn scannable(environment: &str, random: &[u8; 48]) -> String {
    let mut out = String::from(BRAND);
    let name: String = environment
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(12)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    out.push_str(if name.is_empty() { "live" } else { &name });
    out.push('_');
    let (id, secret) = random.split_at(12);
    out.extend(base62(id, ID));
    out.push('_');
    out.extend(base62(secret, SECRET));
    let check = crc32(out.as_bytes());
    out.extend(base62(&check.to_be_bytes(), CHECK));
    out
}

/// Whether a text is a scannable key with the right check digits.
#[must_use]
pub fn is_scannable(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(BRAND) else {
        return false;
    };
    let mut parts = rest.split('_');
    let (Some(name), Some(id), Some(tail), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    if name.is_empty() || id.len() != ID || tail.len() != SECRET + CHECK || !text.is_ascii() {
        return false;
    }
    let Some((head, check)) = text.split_at_checked(text.len() - CHECK) else {
        return false;
    };
    base62(&crc32(head.as_bytes()).to_be_bytes(), CHECK).eq(check.chars())
}

/// What a text looks like, before anybody is asked whether it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'t> {
    /// A scannable key whose check digits are right.
    Scannable {
        /// The environment that it was made for.
        environment: &'t str,
        /// The id inside the key, 12 characters; only a label for scanners.
        label: &'t str,
    },
    /// Begins like a scannable key; cut, mistyped or invented.
    ScannableDamaged,
    /// `sk-` and 256 bits, as this gateway makes them.
    Plain,
    /// `sk-` and 128 bits, as LiteLLM makes them.
    LiteLlm,
    /// Begins with `sk-`; chosen by somebody, or a provider's.
    Chosen,
    /// 64 hexadecimal digits: the SHA-256 of a key, as LiteLLM stores it.
    Hash,
    /// 32 hexadecimal digits: the public id of a key.
    PublicId,
    /// Nothing that this gateway accepts.
    Other,
}

/// What a text looks like. Asks nobody and needs no secret.
#[must_use]
pub fn form(text: &str) -> Form<'_> {
    if is_scannable(text) {
        let mut parts = text.split('_').skip(1);
        return match (parts.next(), parts.next()) {
            (Some(environment), Some(label)) => Form::Scannable { environment, label },
            _ => Form::ScannableDamaged,
        };
    }
    if text.starts_with(BRAND) {
        return Form::ScannableDamaged;
    }
    if let Some(rest) = text.strip_prefix("sk-") {
        let url_safe = rest.bytes().all(|byte| URL_SAFE.contains(&byte));
        return match (rest.len(), url_safe) {
            (43, true) => Form::Plain,
            (22, true) => Form::LiteLlm,
            _ => Form::Chosen,
        };
    }
    let is_hex = text
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match (text.len(), is_hex) {
        (64, true) => Form::Hash,
        (32, true) => Form::PublicId,
        _ => Form::Other,
    }
}

/// What may be shown of a key: `sk-...` and its last four characters.
#[must_use]
pub fn masked(key: &str) -> String {
    let tail: String = key.chars().rev().take(4).collect();
    let tail: String = tail.chars().rev().collect();
    format!("sk-...{tail}")
}

/// The bytes as a number to the base 62, with exactly `length` digits (leading zeros, or cut at the top).
fn base62(bytes: &[u8], length: usize) -> impl Iterator<Item = char> + use<> {
    let mut number: Vec<u8> = bytes.to_vec();
    let mut digits = Vec::with_capacity(length);
    for _ in 0..length {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        digits.push(digit(BASE62, rest as usize));
    }
    digits.into_iter().rev()
}

fn digit(alphabet: &[u8], index: usize) -> char {
    alphabet.get(index).copied().map_or('0', char::from)
}

/// CRC-32 (IEEE 802.3), bit by bit: a key is short.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let mask = 0_u32.wrapping_sub(crc & 1);
            crc = crc >> 1 ^ 0xedb8_8320 & mask;
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::{Form, crc32, form, is_scannable, masked, plain, scannable};

    #[test]
    fn forms_are_told_apart_without_asking_anybody() {
        let ours = scannable("prod", &[7; 48]);
        assert!(
            matches!(form(&ours), Form::Scannable { environment: "prod", label } if label.len() == 12)
        );
        assert_eq!(form(&ours[..ours.len() - 1]), Form::ScannableDamaged);
        for (text, expected) in [
            (plain(&[1; 32]).as_str(), Form::Plain),
            ("sk-abcdefghijklmnopqrstuv", Form::LiteLlm),
            ("sk-1234", Form::Chosen),
            (&"0f".repeat(32), Form::Hash),
            (&"0f".repeat(16), Form::PublicId),
            ("hello", Form::Other),
            ("", Form::Other),
        ] {
            assert_eq!(form(text), expected, "{text}");
        }
    }

    #[test]
    fn check_digits_are_those_of_crc32() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let key = scannable("prod-eu", &[0x5a; 48]);
        assert!(key.starts_with("sealgate_prodeu_"), "{key}");
        assert!(is_scannable(&key));
        for at in 0..key.len() {
            let mut other = key.clone().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            let other = String::from_utf8(other).unwrap();
            assert!(!is_scannable(&other), "{other}");
        }
        for other in ["", "sealgate_", "sealgate_a_b_c", "sk-1234"] {
            assert!(!is_scannable(other), "{other}");
        }
    }

    #[test]
    fn a_plain_key_is_url_safe_and_has_256_bits() {
        let key = plain(&[0xff; 32]);
        assert_eq!(key.len(), 46);
        assert_eq!(&key[3..], "_".repeat(42) + "8");
        assert_eq!(masked(&key), "sk-...___8");
        assert_ne!(plain(&[1; 32]), plain(&[2; 32]));
    }
}
