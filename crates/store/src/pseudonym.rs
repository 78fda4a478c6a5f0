//! Values that stand in texts under a key of the operator: a keyed digest, or encrypted so that the operator can read it again.
//!
//! AES-256-GCM. The nonce is a keyed digest of kind and value, so the same value gives the same token under the same key: a
//! token tells whether two values are the same, and nothing else without the key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// Fewest bytes of a key.
const SHORTEST_KEY: usize = 32;

/// Bytes of a digest in a token.
const DIGEST: usize = 16;

/// Longest kind in a token.
const LONGEST_KIND: usize = 64;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The key is too short.
    #[error("the key has fewer than 32 characters; `openssl rand -hex 32` makes a good one")]
    ShortKey,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// A key of the operator, for digests and for encryption.
#[derive(Clone)]
pub struct ValueKey {
    digest: Zeroizing<[u8; 32]>,
    nonce: Zeroizing<[u8; 32]>,
    cipher: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for ValueKey {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ValueKey")
    }
}

impl ValueKey {
    /// Derives the keys from the operator's text.
    ///
    /// # Errors
    /// [`ValueError::ShortKey`] below 32 bytes; [`ValueError::Library`].
    pub fn new(secret: &str) -> Result<Self, ValueError> {
        if secret.len() < SHORTEST_KEY {
            return Err(ValueError::ShortKey);
        }
        let base = Salt::new(HKDF_SHA256, b"sealgate values 1").extract(secret.as_bytes());
        let derived = |purpose: &[u8]| -> Result<Zeroizing<[u8; 32]>, ValueError> {
            let mut out = Zeroizing::new([0; 32]);
            let info = [purpose];
            base.expand(&info, HKDF_SHA256)
                .and_then(|expanded| expanded.fill(out.as_mut_slice()))
                .map_err(|_| ValueError::Library)?;
            Ok(out)
        };
        Ok(Self {
            digest: derived(b"digest")?,
            nonce: derived(b"nonce")?,
            cipher: derived(b"cipher")?,
        })
    }

    /// The keyed digest of a value of a kind, 32 hexadecimal characters.
    #[must_use]
    pub fn digest(&self, kind: &str, value: &str) -> String {
        let tag = tag(&self.digest, kind, value);
        hex(tag.as_ref().get(..DIGEST).unwrap_or_default())
    }

    /// A value of a kind as `<KIND:hexadecimal>`.
    ///
    /// # Errors
    /// [`ValueError::Library`].
    pub fn encrypt(&self, kind: &str, value: &str) -> Result<String, ValueError> {
        let tag = tag(&self.nonce, kind, value);
        let nonce: [u8; NONCE_LEN] = tag
            .as_ref()
            .first_chunk()
            .copied()
            .ok_or(ValueError::Library)?;
        let mut bytes = value.as_bytes().to_vec();
        self.key()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(kind.as_bytes()),
                &mut bytes,
            )
            .map_err(|_| ValueError::Library)?;
        Ok(format!("<{kind}:{}{}>", hex(&nonce), hex(&bytes)))
    }

    /// A text with every value readable again that was encrypted with this key, and how many there were. What merely looks
    /// like one, or belongs to another key, stays.
    #[must_use]
    pub fn reveal(&self, text: &str) -> (String, usize) {
        let (mut out, mut count, mut rest) = (String::with_capacity(text.len()), 0, text);
        while let Some(start) = rest.find('<') {
            let (before, from) = rest.split_at(start);
            out.push_str(before);
            match self.token(from) {
                Some((value, length)) => {
                    out.push_str(&value);
                    count += 1;
                    rest = from.get(length..).unwrap_or_default();
                }
                None => {
                    out.push('<');
                    rest = from.get(1..).unwrap_or_default();
                }
            }
        }
        out.push_str(rest);
        (out, count)
    }

    /// The value of the token that a text begins with, and the token's length.
    fn token(&self, text: &str) -> Option<(String, usize)> {
        let body = text.strip_prefix('<')?;
        let colon = body.bytes().take(LONGEST_KIND).position(|b| b == b':')?;
        let kind = body.get(..colon)?;
        let end = body.get(colon..)?.find('>')? + colon;
        let bytes = unhex(body.get(colon + 1..end)?)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let aad = Aad::from(kind.as_bytes());
        let plain = self
            .key()
            .ok()?
            .open_in_place(nonce, aad, &mut sealed)
            .ok()?;
        Some((String::from_utf8(plain.to_vec()).ok()?, end + 2))
    }

    fn key(&self) -> Result<LessSafeKey, ValueError> {
        UnboundKey::new(&AES_256_GCM, self.cipher.as_slice())
            .map(LessSafeKey::new)
            .map_err(|_| ValueError::Library)
    }
}

fn tag(key: &[u8; 32], kind: &str, value: &str) -> hmac::Tag {
    let mut running = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    running.update(&(kind.len() as u64).to_be_bytes());
    running.update(kind.as_bytes());
    running.update(value.as_bytes());
    running.sign()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "7f3c9a51d0e84b26a1c5f7e2938d4b60";

    fn key(secret: &str) -> ValueKey {
        ValueKey::new(secret).unwrap()
    }

    #[test]
    fn what_was_encrypted_can_be_read_with_the_key_and_with_no_other() {
        let token = key(SECRET)
            .encrypt("EMAIL_ADDRESS", "anna@example.org")
            .unwrap();
        assert!(token.starts_with("<EMAIL_ADDRESS:") && !token.contains("anna"));
        let text = format!("to {token} and <b> {token}.");
        let (plain, count) = key(SECRET).reveal(&text);
        assert_eq!(plain, "to anna@example.org and <b> anna@example.org.");
        assert_eq!(count, 2);
        let other = key("another key of thirty-two characters");
        assert_eq!(other.reveal(&text), (text.clone(), 0));
    }

    #[test]
    fn the_same_value_has_the_same_token_and_digest_of_its_kind_only() {
        let (one, two) = (key(SECRET), key(SECRET));
        assert_eq!(
            one.encrypt("A", "x").unwrap(),
            two.encrypt("A", "x").unwrap()
        );
        assert_ne!(
            one.encrypt("A", "x").unwrap(),
            one.encrypt("B", "x").unwrap()
        );
        assert_eq!(one.digest("A", "x"), two.digest("A", "x"));
        assert_ne!(one.digest("A", "x"), one.digest("A", "y"));
        assert_ne!(one.digest("AB", "x"), one.digest("A", "Bx"));
        let other = key("another key of thirty-two characters");
        assert_ne!(one.digest("A", "x"), other.digest("A", "x"));
        assert_eq!(one.digest("A", "x").len(), 32);
    }

    #[test]
    fn a_changed_token_stays_as_it_is() {
        let token = key(SECRET)
            .encrypt("PHONE_NUMBER", "+49 30 1234567")
            .unwrap();
        let last = if token.ends_with("0>") { "1>" } else { "0>" };
        let broken = format!("{}{last}", &token[..token.len() - 2]);
        let renamed = token.replace("PHONE_NUMBER", "EMAIL_ADDRESS");
        for text in [
            broken.as_str(),
            &renamed,
            "<A:>",
            "<A:zz>",
            "<A:00>",
            "<A:",
            "<",
            "<é:00>",
            "",
        ] {
            assert_eq!(key(SECRET).reveal(text), (text.to_owned(), 0));
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        assert_eq!(ValueKey::new("short").unwrap_err(), ValueError::ShortKey);
        assert_eq!(format!("{:?}", key(SECRET)), "ValueKey");
    }
}
