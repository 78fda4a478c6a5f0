//! A record on its way into a chain: drafted, linked, sealed (Capsule Protocol 1.0, sealing).

mod render;
mod sealed;

use std::fmt;

use sha3::{Digest, Sha3_256};

use crate::canonical;
use crate::hash::Hash;
use crate::id::Id;
use crate::key::{SignError, Signer};
use crate::model::{Capsule, CapsuleType};
use crate::time::Timestamp;

pub use sealed::Sealed;

/// Most characters of a domain: the width of the reference's column.
pub const MAX_DOMAIN_CHARS: usize = 50;
/// Most characters of a session id: the width of the reference's column.
pub const MAX_SESSION_ID_CHARS: usize = 36;
/// Deepest nesting of a draft's document, the document itself counted. Far below what the reference
/// can read, so that a record fits inside other documents.
pub const MAX_DRAFT_DEPTH: usize = 200;
/// Most digits of an integer; Python refuses to read longer ones.
pub const MAX_INTEGER_DIGITS: usize = 4300;

/// A record that cannot be drafted, because the reference could not store it or verify it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DraftError {
    /// A float is NaN or infinite.
    #[error("a number in {0} is not finite; records hold finite numbers only")]
    NotFinite(&'static str),
    /// The confidence or feasibility is not between 0 and 1.
    #[error("{0} is outside 0 to 1")]
    OutOfRange(&'static str),
    /// A text is longer than its column.
    #[error("{field} has more than {limit} characters")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Most characters that fit.
        limit: usize,
    },
    /// Nesting beyond [`MAX_DRAFT_DEPTH`].
    #[error("{0} is nested deeper than {MAX_DRAFT_DEPTH} levels")]
    TooDeep(&'static str),
    /// An integer beyond [`MAX_INTEGER_DIGITS`].
    #[error("an integer in {0} has more than {MAX_INTEGER_DIGITS} digits")]
    IntegerTooLong(&'static str),
}

/// A record that is complete but for its place in the chain.
///
/// It is rendered at once, and the part before the link is already absorbed by the hash, so that the
/// one thread that links has little left to do.
pub struct Draft {
    id: Id,
    capsule_type: CapsuleType,
    session_id: Option<Box<str>>,
    /// The canonical document with a link of [`LINK_WIDTH`] bytes still to be written and without
    /// the digits of the sequence.
    text: Vec<u8>,
    /// Where `"id"` starts: the place of `"hash"` in a sealed record.
    id_at: usize,
    /// Where the value of `previous_hash` starts.
    link_at: usize,
    /// Where the digits of the sequence go.
    sequence_at: usize,
    /// Has absorbed everything before `link_at`.
    head: Sha3_256,
}

/// Width of a written link: 64 digits in quotation marks.
const LINK_WIDTH: usize = 66;
/// Most digits of a sequence.
const SEQUENCE_WIDTH: usize = 20;

impl Draft {
    /// Checks the record against what the reference accepts and renders it.
    ///
    /// # Errors
    /// [`DraftError`] names the first thing that the reference would not accept.
    pub fn new(capsule: &Capsule) -> Result<Draft, DraftError> {
        let rendered = render::render(capsule)?;
        let mut head = Sha3_256::new();
        head.update(rendered.text.get(..rendered.link_at).unwrap_or_default());
        Ok(Draft {
            id: capsule.id,
            capsule_type: capsule.capsule_type,
            session_id: capsule.context.session_id.as_deref().map(Box::from),
            text: rendered.text,
            id_at: rendered.id_at,
            link_at: rendered.link_at,
            sequence_at: rendered.sequence_at,
            head,
        })
    }

    /// The record's identifier.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// The session, as the record's context names it.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// The kind of record.
    #[must_use]
    pub fn capsule_type(&self) -> CapsuleType {
        self.capsule_type
    }

    /// Size in bytes of the canonical document, up to the digits of the sequence.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a document is never empty")]
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Gives the record its place: its sequence, and the hash of its predecessor (`None` at the start
    /// of a chain only).
    #[must_use]
    pub fn link(self, sequence: u64, previous: Option<&Hash>) -> Linked {
        let mut text = self.text;
        let mut digits = Vec::with_capacity(SEQUENCE_WIDTH);
        canonical::write_u64(sequence, &mut digits);
        // From the back, so that the offsets in front stay true.
        insert(&mut text, self.sequence_at, &digits);
        let mut shift = 0;
        match previous {
            Some(hash) => {
                if let Some(link) = text.get_mut(self.link_at + 1..self.link_at + LINK_WIDTH - 1) {
                    link.copy_from_slice(&hash.to_ascii());
                }
            }
            None => {
                text.splice(self.link_at..self.link_at + LINK_WIDTH, *b"null");
                shift = LINK_WIDTH - 4;
            }
        }
        let mut hasher = self.head;
        hasher.update(text.get(self.link_at..).unwrap_or_default());
        Linked {
            id: self.id,
            capsule_type: self.capsule_type,
            session_id: self.session_id,
            sequence,
            previous: previous.copied(),
            hash: Hash::from_bytes(hasher.finalize().into()),
            id_at: self.id_at,
            seal_at: self.sequence_at - shift + digits.len(),
            text,
        }
    }
}

/// Inserts bytes by one move of the tail.
fn insert(text: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    text.extend_from_slice(bytes);
    if let Some(tail) = text.get_mut(at..) {
        tail.rotate_right(bytes.len());
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The content may be confidential.
        write!(f, "Draft({}, {} bytes)", self.id, self.len())
    }
}

/// A record that has its place in a chain, and therefore its hash, but no signature yet.
pub struct Linked {
    id: Id,
    capsule_type: CapsuleType,
    session_id: Option<Box<str>>,
    sequence: u64,
    previous: Option<Hash>,
    hash: Hash,
    text: Vec<u8>,
    id_at: usize,
    /// After the value of `sequence`: the place of the signature in a sealed record.
    seal_at: usize,
}

/// A record could not be sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record was not sealed: {0}")]
pub struct SealError(#[from] SignError);

impl Linked {
    /// The record's identifier.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// Its place in the chain, from 0.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The SHA3-256 of the canonical document: the next record's link.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.hash
    }

    /// Signs the hash. Linked records are independent of each other and may be signed in parallel.
    ///
    /// # Errors
    /// [`SealError`] when the signer fails; the record is then lost and its draft must be made anew.
    pub fn seal(self, signer: &dyn Signer, signed_at: Timestamp) -> Result<Sealed, SealError> {
        let message = self.hash.to_ascii();
        let signature = signer.sign(&message)?;
        let post_quantum = signer.sign_post_quantum(&message)?;
        let signed_by = signer.fingerprint();
        Ok(Sealed::new(
            self,
            &signature,
            post_quantum.as_deref(),
            signed_at,
            signed_by,
        ))
    }
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Linked({}, #{})", self.id, self.sequence)
    }
}
