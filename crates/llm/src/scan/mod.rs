//! The one strict JSON scanner.
//!
//! A [`Doc`] owns the bytes it was read from and one flat tape of tokens. It refuses
//! everything on which two readers could disagree: duplicate keys (compared after
//! unescaping), invalid UTF-8, lone surrogates, byte-order marks, trailing bytes,
//! control characters in strings, numbers that no double can hold. Time is linear in
//! the input (duplicate keys of a large object: n log n), depth and size are bounded
//! and there is no recursion.

mod error;
mod keys;
mod node;
mod parse;
mod path;
mod text;

pub use error::{ScanError, ScanErrorKind};
pub use node::{Entries, Items, Kind, Node, NodeId};
pub(crate) use text::{plain_prefix, string_token, string_value};

use bytes::Bytes;

/// What a document may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest document in bytes. Values above 4 GiB - 1 act as 4 GiB - 1.
    pub max_bytes: usize,
    /// Deepest nesting of arrays and objects; 1 allows a flat object.
    pub max_depth: u32,
    /// Most tokens (values and keys) on the tape; one token is 16 bytes of memory.
    pub max_tokens: usize,
    /// Check numbers that are array elements, but keep them off the tape. For bodies
    /// with vectors (embeddings), whose numbers nobody looks at.
    pub elide_numbers: bool,
}

impl Default for Limits {
    /// 32 MiB, 128 levels, one million tokens, every number on the tape.
    fn default() -> Self {
        Limits {
            max_bytes: 32 << 20,
            max_depth: 128,
            max_tokens: 1_000_000,
            elide_numbers: false,
        }
    }
}

/// A scanned document: the bytes as received and the tape over them.
#[derive(Clone)]
pub struct Doc {
    bytes: Bytes,
    tape: Vec<Token>,
}

impl std::fmt::Debug for Doc {
    /// Sizes only: the bytes are content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (bytes, tokens) = (self.bytes.len(), self.tape.len());
        write!(f, "Doc({bytes} bytes, {tokens} tokens)")
    }
}

/// One token: a value, or the key of a member (which precedes its value).
#[derive(Debug, Clone, Copy)]
struct Token {
    /// First byte; strings start at their quote.
    start: u32,
    /// One past the last byte.
    end: u32,
    /// Tape index after this token's subtree. While a container is open: its parent.
    next: u32,
    kind: Kind,
    /// Strings: has escapes. Arrays: numbers were elided. Numbers: has `.` or exponent.
    flag: bool,
}

impl Doc {
    /// Scans `bytes`.
    ///
    /// # Errors
    /// A [`ScanError`] that names what is wrong and where.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Doc, ScanError> {
        let tape = parse::tape(&bytes, limits)?;
        Ok(Doc { bytes, tape })
    }

    /// The top-level value.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        self.node(NodeId(0))
    }

    /// The token with this id. Ids come from this document's nodes; a foreign id gives
    /// some other token or a node that reads as `null`, never a panic.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Node<'_> {
        Node { doc: self, id }
    }

    /// The bytes as received.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where a token is, as `messages[0].content`; the root is the empty string. Keys
    /// give the path of their member. Rendered on demand: costs a walk from the root.
    #[must_use]
    pub fn path(&self, id: NodeId) -> String {
        path::render(&self.bytes, &self.tape, id.0)
    }
}
