//! What the parser accepts, and how it says why not.

/// The deepest nesting of arrays and objects that the parser ever accepts.
///
/// The reference implementation gives up at about 990 levels; the bound also keeps recursion over a
/// parsed value (writing, comparing, dropping) within a small thread's stack.
pub const MAX_DEPTH: usize = 1000;

/// What to do with a key that comes twice in one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// The last member wins, as the protocol's reference reads records.
    #[default]
    LastWins,
    /// The text is refused.
    Reject,
}

/// Limits and choices of [`parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Deepest accepted nesting of arrays and objects; values above [`MAX_DEPTH`] count as that.
    pub max_depth: usize,
    /// What to do with duplicate keys.
    pub duplicates: Duplicates,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_depth: MAX_DEPTH,
            duplicates: Duplicates::LastWins,
        }
    }
}

/// Why a text is not JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at line {line} column {column}")]
pub struct ParseError {
    /// Offset of the fault in bytes, from 0.
    pub offset: usize,
    /// Line of the fault, from 1.
    pub line: usize,
    /// Column of the fault in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub kind: ParseErrorKind,
}

/// The kinds of [`ParseError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The bytes are not UTF-8.
    #[error("the text is not valid UTF-8")]
    Utf8,
    /// The text starts with a byte order mark.
    #[error("the text starts with a byte order mark")]
    ByteOrderMark,
    /// The text ends too early.
    #[error("the text ends in the middle of a value")]
    UnexpectedEnd,
    /// A character that cannot stand here.
    #[error("unexpected character; expected {0}")]
    Unexpected(&'static str),
    /// More text after the value.
    #[error("unexpected text after the value")]
    TrailingText,
    /// `NaN`, `Infinity` or `-Infinity`.
    #[error("NaN and Infinity are not JSON and are never sealed")]
    NotFinite,
    /// A number that is larger than any double.
    #[error("the number is too large for a double")]
    NumberTooLarge,
    /// A number that JSON's grammar does not allow.
    #[error("malformed number")]
    Number,
    /// A control character that is not escaped.
    #[error("unescaped control character in a string")]
    ControlCharacter,
    /// An escape that JSON does not know.
    #[error("malformed escape in a string")]
    Escape,
    /// Half of a surrogate pair, which no UTF-8 text can hold.
    #[error("lone surrogate in a string")]
    LoneSurrogate,
    /// Deeper nesting than the limit; the offset is that of the bracket.
    #[error("nesting is deeper than {0} levels")]
    TooDeep(usize),
    /// A key twice in one object; the offset is that of the object.
    #[error("duplicate key {0:?}")]
    DuplicateKey(String),
}

impl ParseError {
    /// The error of that kind at that offset.
    pub(super) fn at(bytes: &[u8], offset: usize, kind: ParseErrorKind) -> ParseError {
        let before = bytes.get(..offset).unwrap_or(bytes);
        let line_start = before
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        ParseError {
            offset,
            line: before.iter().filter(|&&byte| byte == b'\n').count() + 1,
            // Continuation bytes of UTF-8 are no columns of their own.
            column: in_line.iter().filter(|&&byte| byte & 0xC0 != 0x80).count() + 1,
            kind,
        }
    }
}
