//! Detectors and maskers over text, streaming windows included. Pure.
//!
//! A [`Check`] sees decoded text and returns a [`Verdict`]; over a stream the same check
//! works as a [`StreamCheck`], whose result does not depend on how the text was cut.
//! Findings say where and by which rule, never what was matched.

mod automaton;
mod canon;
mod content;
mod context;
mod encoded;
mod engine;
mod escape;
mod fold;
pub mod fuzz;
pub mod injection;
mod leak;
mod names;
mod pattern;
mod pattern_stream;
mod pii;
mod resolve;
mod runs;
mod secrets;
mod stream;
mod vault;
mod view;
mod words;

use std::borrow::Cow;

pub use content::{
    Expression, ExpressionError, Expressions, Language, Limits, Severity, ShapeCheck,
    ShapeSettings, gibberish, language,
};
pub use engine::Replacer;
pub use injection::{Injection, InjectionCheck, InjectionSettings, Origin};
pub use leak::PromptLeak;
pub use names::{NameError, Names};
pub use pattern::{KindName, PatternCheck, Tags};
pub use pii::{AdHoc, AdHocError, Entity, EntityRule, NOT_RECOGNISED, PiiSettings};
pub use secrets::{SecretKind, SecretSettings};
pub use stream::StreamWindow;
pub use vault::{Namer, Restorer, Vault};
pub use words::{BlockedWords, BuildError, DEFAULT_TAG, Word};

/// What a rule does, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Report it and let it pass.
    Alert,
    /// Replace the matched text.
    Mask,
    /// Refuse the whole text.
    Block,
}

impl Action {
    /// `alert`, `mask` or `block`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Alert => "alert",
            Action::Mask => "mask",
            Action::Block => "block",
        }
    }
}

/// A place where a rule matched. Holds no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Finding {
    /// First byte in the decoded text (of the whole stream, for streams).
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Index of the rule within its check.
    pub rule: u32,
    /// What the rule does.
    pub action: Action,
    /// How sure the rule is, 0 to 100; 100 for rules that know no doubt.
    pub score: u8,
}

/// The result of a check over one whole text.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Everything found, by end offset. Ends with the blocking finding, if any: what
    /// follows it was not looked at.
    pub findings: Vec<Finding>,
    /// The finding that refuses the text.
    pub blocked: Option<Finding>,
    /// The text after masking; `None` if it is unchanged or blocked.
    pub masked: Option<String>,
}

impl std::fmt::Debug for Verdict {
    /// Without the text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verdict")
            .field("findings", &self.findings)
            .field("blocked", &self.blocked)
            .field("masked", &self.masked.as_ref().map(String::len))
            .finish()
    }
}

impl Verdict {
    /// Nothing found.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.findings.is_empty()
    }
}

/// How much text a check needs to see at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// A match spans at most this many bytes; a candidate that outgrows it counts as a
    /// match. Streams are held back by at most this much.
    Window(usize),
    /// Only the whole text can be judged.
    Whole,
}

/// How a text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Form {
    /// As it stands.
    #[default]
    Plain,
    /// The text is a JSON document, such as the arguments of a tool call: an escape
    /// (`\u043f`) counts as the character it stands for, and is masked as a whole.
    JsonText,
}

/// What a rule is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// What it finds: `KEYWORD`, `EMAIL_ADDRESS`, `API_KEY`, ... Fit for records.
    pub kind: &'a str,
    /// The keyword or pattern, as configured. Equal to matched text for keywords: not
    /// for records or logs.
    pub pattern: &'a str,
    /// The operator's description.
    pub description: Option<&'a str>,
    /// What it does.
    pub action: Action,
}

/// A local check over text.
pub trait Check: Send + Sync + std::fmt::Debug {
    /// The name under which the check is configured and recorded.
    fn name(&self) -> &str;

    /// How much text it needs to see at once.
    fn reach(&self) -> Reach;

    /// The rule with this index ([`Finding::rule`]).
    fn rule(&self, index: u32) -> Option<Rule<'_>>;

    /// Looks at one whole text of the given form.
    fn scan_as(&self, form: Form, text: &str) -> Verdict;

    /// The same check for one text that arrives in pieces. `None` if its reach is
    /// [`Reach::Whole`].
    fn stream_as(&self, form: Form) -> Option<Box<dyn StreamCheck>>;

    /// A score between 0 and 1 that the check gives every text, with its name.
    fn score(&self, _text: &str) -> Option<(&'static str, f32)> {
        None
    }

    /// [`Check::scan_as`] and [`Check::score`] in one look.
    fn scan_rated(&self, form: Form, text: &str) -> (Verdict, Option<(&'static str, f32)>) {
        (self.scan_as(form, text), self.score(text))
    }

    /// [`Check::scan_as`] with another way to replace what is masked, for this call only. Checks
    /// that replace by a fixed tag keep to it.
    fn scan_with(&self, form: Form, text: &str, _replacer: &dyn Replacer) -> Verdict {
        self.scan_as(form, text)
    }

    /// [`Check::stream_as`] with another way to replace what is masked, for this call only.
    fn stream_with(
        &self,
        form: Form,
        _replacer: std::sync::Arc<dyn Replacer>,
    ) -> Option<Box<dyn StreamCheck>> {
        self.stream_as(form)
    }

    /// Looks at one whole plain text.
    fn scan(&self, text: &str) -> Verdict {
        self.scan_as(Form::Plain, text)
    }

    /// [`Check::stream_as`] for plain text.
    fn stream(&self) -> Option<Box<dyn StreamCheck>> {
        self.stream_as(Form::Plain)
    }
}

/// A check at work on one text that arrives in pieces: one per choice and channel.
pub trait StreamCheck: Send + std::fmt::Debug {
    /// Takes the next piece; gives what may be delivered now.
    fn push<'a>(&mut self, piece: &'a str) -> Emit<'a>;

    /// The end of the text; gives what was held back.
    fn finish(&mut self) -> Emit<'static>;

    /// Bytes held back now.
    fn held(&self) -> usize;
}

/// What may be delivered after a piece.
///
/// Concatenated over all pieces, the texts are the masked text of [`Check::scan`]; if the
/// check blocks, they are the part of it before the blocked match was in sight.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Emit<'a> {
    /// Text to deliver. Borrowed if it is the piece itself, unchanged.
    pub text: Cow<'a, str>,
    /// Findings completed by this piece; offsets count from the start of the stream.
    pub findings: Vec<Finding>,
    /// Set from the piece on that completes a blocked match: deliver nothing more.
    pub blocked: Option<Finding>,
}

impl std::fmt::Debug for Emit<'_> {
    /// Without the text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Emit")
            .field("text", &self.text.len())
            .field("findings", &self.findings)
            .field("blocked", &self.blocked)
            .finish()
    }
}
