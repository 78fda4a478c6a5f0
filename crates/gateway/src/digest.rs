//! Keyed digests: the one function through which text or an id becomes something that may stand in a record.
//!
//! A plain hash of a short prompt can be guessed; a digest under a key that lives apart from the ledger cannot.
//! BLAKE3 in keyed mode (the BLAKE3 paper, section 2.3). Each pair of subject and purpose has a key of its own, derived by
//! the same function from length-prefixed parts, so that no two pairs share a key; what is digested is the bytes and nothing
//! else, from the first block on in the widest form that the processor has.
//! A call digests its text several times over; this function does so at memory speed where HMAC-SHA-256 was a quarter of
//! the cost of a long prompt.

/// The key of this ledger's digests. One random key per ledger; its id is written into the boot record.
pub struct DigestKey {
    key: [u8; 32],
    /// Keys of the purposes for the ledger as a whole, by tag.
    general: [[u8; 32]; Purpose::COUNT],
    id: String,
}

/// What a digest is for. Part of the digested bytes: the digest of one text under two purposes cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Bytes of a request as received.
    Request,
    /// Bytes sent to the provider.
    Sent,
    /// Bytes delivered to the client.
    Response,
    /// Text of a transcript (both sides, and every coverage entry).
    Text,
    /// The canonical `messages` of a call.
    Prompt,
    /// A label chosen by a client: user, session, trace.
    Label,
    /// A credential as presented.
    Credential,
    /// Names and arguments of tool calls.
    Tool,
    /// Error texts.
    Error,
    /// Which caller a stored answer belongs to.
    Binding,
    /// The names of values that were masked and come back.
    Placeholder,
    /// Whose content a call's is.
    Subject,
}

impl Purpose {
    /// More than the greatest tag.
    const COUNT: usize = 16;

    fn tag(self) -> u8 {
        match self {
            Self::Request => 1,
            Self::Sent => 2,
            Self::Response => 3,
            Self::Text => 4,
            Self::Prompt => 5,
            Self::Label => 6,
            Self::Credential => 7,
            Self::Tool => 8,
            Self::Error => 9,
            Self::Binding => 10,
            Self::Placeholder => 11,
            Self::Subject => 12,
        }
    }
}

/// A finished digest of 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest([u8; 32]);

impl std::fmt::Debug for DigestKey {
    /// Without the key.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "DigestKey({})", self.id)
    }
}

impl DigestKey {
    /// Takes 32 random bytes. The id is public: the digest of the empty input, shortened.
    pub fn new(secret: &[u8; 32]) -> Self {
        let tag = blake3::keyed_hash(secret, b"sealgate digest key id");
        let id = hex(tag.as_bytes().get(..8).unwrap_or_default());
        let general = std::array::from_fn(|tag| derive(secret, "", tag as u8));
        Self {
            key: *secret,
            general,
            id,
        }
    }

    /// Public name of this key, 16 hexadecimal characters.
    pub fn id(&self) -> &str {
        &self.id
    }

    fn key_for(&self, subject: &str, purpose: Purpose) -> [u8; 32] {
        match self.general.get(usize::from(purpose.tag())) {
            Some(key) if subject.is_empty() => *key,
            _ => derive(&self.key, subject, purpose.tag()),
        }
    }

    /// Digest of `bytes` for one subject (empty: the ledger as a whole) and purpose.
    pub fn digest(&self, subject: &str, purpose: Purpose, bytes: &[u8]) -> Digest {
        Digest(*blake3::keyed_hash(&self.key_for(subject, purpose), bytes).as_bytes())
    }

    /// The same digest, fed piece by piece: for streams.
    pub fn begin(&self, subject: &str, purpose: Purpose) -> Running {
        let hasher = blake3::Hasher::new_keyed(&self.key_for(subject, purpose));
        Running { hasher }
    }
}

/// The key of one subject and purpose.
fn derive(secret: &[u8; 32], subject: &str, tag: u8) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(&(subject.len() as u64).to_be_bytes());
    hasher.update(subject.as_bytes());
    hasher.update(&[tag]);
    *hasher.finalize().as_bytes()
}

/// A digest in progress.
#[derive(Clone)]
pub struct Running {
    hasher: blake3::Hasher,
}

impl Running {
    /// Adds bytes. Two updates equal one update with both pieces.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Adds one text of a list, with its length before it.
    pub fn update_item(&mut self, text: &str) {
        self.hasher.update(&(text.len() as u64).to_be_bytes());
        self.hasher.update(text.as_bytes());
    }

    /// The digest of all that was added.
    pub fn finish(self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }
}

impl Digest {
    /// The 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal characters.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// The first 128 bits in the form of a UUID: for columns and fields that hold ids.
    pub fn uuid(&self) -> String {
        let mut out = hex(self.0.get(..16).unwrap_or_default());
        for at in [20, 16, 12, 8] {
            out.insert(at, '-');
        }
        out
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let mut out = String::with_capacity(bytes.len() * 2 + 4);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            out.push(DIGITS.get(usize::from(nibble)).copied().unwrap_or('0'));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_and_purpose_separate() {
        let key = DigestKey::new(&[7; 32]);
        let a = key.digest("ab", Purpose::Text, b"c");
        assert_ne!(a, key.digest("a", Purpose::Text, b"bc"));
        assert_ne!(a, key.digest("ab", Purpose::Prompt, b"c"));
        assert_ne!(
            a,
            DigestKey::new(&[8; 32]).digest("ab", Purpose::Text, b"c")
        );
    }

    #[test]
    fn pieces_equal_the_whole() {
        let key = DigestKey::new(&[7; 32]);
        let mut running = key.begin("s", Purpose::Text);
        running.update(b"he");
        running.update(b"llo");
        assert_eq!(running.finish(), key.digest("s", Purpose::Text, b"hello"));
    }

    #[test]
    fn forms() {
        let digest = Digest([0xab; 32]);
        assert_eq!(digest.hex(), "ab".repeat(32));
        assert_eq!(digest.uuid(), "abababab-abab-abab-abab-abababababab");
    }
}
