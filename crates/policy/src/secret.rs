//! A text that must never be shown.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text: a provider key, a master key, a password.
///
/// It has no `Debug`, no `Display` and no serialisation, so that it cannot
/// reach a log line, an error or a record by accident; its memory is wiped when
/// it is dropped. The only way to the content is [`Secret::expose`], which is
/// easy to find in a review.
///
/// ```compile_fail
/// let secret = policy::Secret::new("sk-something");
/// println!("{secret:?}");
/// ```
///
/// ```compile_fail
/// let secret = policy::Secret::new("sk-something");
/// println!("{secret}");
/// ```
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text that must not be shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The content, for the one place that sends or compares it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
