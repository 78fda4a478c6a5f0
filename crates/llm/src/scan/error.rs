//! What a scan can refuse.

use std::fmt;

/// Why a document was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScanErrorKind {
    /// No value at all.
    Empty,
    /// More bytes than [`super::Limits::max_bytes`].
    TooLarge,
    /// Nested deeper than [`super::Limits::max_depth`].
    TooDeep,
    /// More tokens than [`super::Limits::max_tokens`].
    TooManyTokens,
    /// Starts with a byte-order mark.
    ByteOrderMark,
    /// Encoded as UTF-16 or UTF-32.
    NotUtf8,
    /// A byte sequence that is not UTF-8 (overlong forms and encoded surrogates too).
    InvalidUtf8,
    /// A `\u` escape that is half of a surrogate pair.
    LoneSurrogate,
    /// A backslash followed by something that JSON does not define.
    InvalidEscape,
    /// A byte below 0x20 inside a string.
    ControlCharacter,
    /// A string without its closing quote.
    UnterminatedString,
    /// Not a number by JSON's grammar (`01`, `+1`, `1.`, `NaN`).
    InvalidNumber,
    /// A number beyond the range of a double (`1e400`).
    NumberOutOfRange,
    /// Something that begins no JSON value.
    InvalidValue,
    /// The document ends inside an array or object.
    UnexpectedEnd,
    /// A key was expected.
    ExpectedKey,
    /// A colon was expected after a key.
    ExpectedColon,
    /// A comma or the end of the container was expected.
    ExpectedComma,
    /// Two members of one object have the same key after unescaping.
    DuplicateKey,
    /// Bytes after the value.
    TrailingBytes,
}

impl ScanErrorKind {
    /// The kind in a few words, lower case, without any input.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "the document is empty",
            Self::TooLarge => "the document is too large",
            Self::TooDeep => "nested too deeply",
            Self::TooManyTokens => "too many values",
            Self::ByteOrderMark => "byte-order mark; send plain UTF-8",
            Self::NotUtf8 => "not encoded as UTF-8",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::LoneSurrogate => "escape is half of a surrogate pair",
            Self::InvalidEscape => "invalid escape in a string",
            Self::ControlCharacter => "control character in a string; escape it",
            Self::UnterminatedString => "string without closing quote",
            Self::InvalidNumber => "invalid number",
            Self::NumberOutOfRange => "number out of range",
            Self::InvalidValue => "expected a value",
            Self::UnexpectedEnd => "the document ends too early",
            Self::ExpectedKey => "expected a key in double quotes",
            Self::ExpectedColon => "expected ':' after a key",
            Self::ExpectedComma => "expected ',' or the end of the array or object",
            Self::DuplicateKey => "duplicate key",
            Self::TrailingBytes => "bytes after the end of the document",
        }
    }
}

/// A refused document: what is wrong and where.
///
/// `path` holds member names of the document (cut and with control characters
/// replaced), so it is content: it may go back to the sender, not into a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanError {
    /// What is wrong.
    pub kind: ScanErrorKind,
    /// Byte offset, from 0.
    pub offset: usize,
    /// Line, from 1; lines end at LF.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// The innermost place, as `messages[0].content`; empty at the top.
    pub path: String,
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_str();
        write!(f, "{kind}: line {} column {}", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, " (at {})", self.path)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScanError {}

impl ScanError {
    pub(super) fn at(kind: ScanErrorKind, bytes: &[u8], offset: usize, path: String) -> ScanError {
        let before = bytes.get(..offset.min(bytes.len())).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', before).count().saturating_add(1);
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at.saturating_add(1));
        ScanError {
            kind,
            offset,
            line,
            column: before.len().saturating_sub(line_start).saturating_add(1),
            path,
        }
    }
}
