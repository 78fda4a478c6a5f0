//! Messages among the processes of one gateway: nobody else can read or write them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

/// Seals and opens messages with a key that all processes of a ledger have.
#[derive(Debug)]
pub struct Envelope {
    key: RandomizedNonceKey,
}

impl Envelope {
    /// With a key of 32 bytes; `None` never happens for that length.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, key)
            .ok()
            .map(|key| Self { key })
    }

    /// Nonce, text and tag; `about` is bound and not part of it.
    #[must_use]
    pub fn seal(&self, about: &str, text: &[u8]) -> Option<Vec<u8>> {
        let mut body = text.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(about.as_bytes()), &mut body)
            .ok()?;
        let mut out = nonce.as_ref().to_vec();
        out.append(&mut body);
        Some(out)
    }

    /// The text, if the message was sealed with this key about the same.
    #[must_use]
    pub fn open(&self, about: &str, message: &[u8]) -> Option<Vec<u8>> {
        let (nonce, body) = message.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let text = self
            .key
            .open_in_place(nonce, Aad::from(about.as_bytes()), &mut body)
            .ok()?;
        Some(text.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::Envelope;

    #[test]
    fn only_the_same_key_and_purpose_open_a_message() {
        let key = Envelope::new(&[1; 32]).unwrap();
        let sealed = key.seal("feed", b"alice is blocked").unwrap();
        assert!(!sealed.windows(5).any(|part| part == b"alice"));
        assert_eq!(key.open("feed", &sealed).unwrap(), b"alice is blocked");
        assert_eq!(key.open("other", &sealed), None);
        assert_eq!(Envelope::new(&[2; 32]).unwrap().open("feed", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open("feed", &changed), None);
        }
        assert_eq!(key.open("feed", b""), None);
    }
}
