//! Blocked words: LiteLLM's `litellm_content_filter` with `blocked_words`.
//!
//! Semantics: a keyword matches wherever it occurs as a substring, also inside longer
//! words, without regard to case (LiteLLM's rule for `blocked_words`); see the folding
//! rules in `fold.rs` for what is the same character. Overlapping matches: a blocking
//! match wins over every masking one; masking matches that share characters are replaced
//! by one tag, matches that only touch by one tag each.

use crate::automaton::Automaton;
use crate::fold::fold_into;
use crate::stream::StreamWindow;
use crate::{Action, Check, Form, Reach, Rule, StreamCheck, Verdict};
use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};
use std::sync::Arc;

/// What masked text is replaced by unless configured otherwise.
pub const DEFAULT_TAG: &str = "[KEYWORD_REDACTED]";

/// Longest keyword, in characters.
const MAX_KEYWORD: usize = 1024;

/// Bytes of invisible characters inside one match before it counts as a match anyway.
const SLACK: usize = 256;

/// One entry of `blocked_words`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word or phrase.
    pub keyword: String,
    /// What to do about it.
    pub action: Action,
    /// The operator's description.
    pub description: Option<String>,
}

/// A list that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The keyword is empty, or consists of invisible characters only.
    #[error("blocked_words[{0}]: the keyword has no visible character")]
    EmptyKeyword(usize),
    /// The keyword is too long.
    #[error("blocked_words[{0}]: the keyword is longer than {MAX_KEYWORD} characters")]
    KeywordTooLong(usize),
    /// Only masking and blocking are possible.
    #[error("blocked_words[{0}]: the action is mask or block")]
    Alert(usize),
    /// The tag would break JSON that it is put into.
    #[error("keyword_redaction_tag: quotes, backslashes and control characters are not possible")]
    UnsafeTag,
    /// The list is too large to search for.
    #[error("blocked_words: the list is too large")]
    ListTooLarge,
}

/// The check.
#[derive(Clone)]
pub struct BlockedWords {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for BlockedWords {
    /// Without the words: they are what nobody may read.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, count) = (&self.inner.name, self.inner.words.len());
        write!(f, "BlockedWords({name}, {count} words)")
    }
}

#[derive(Clone)]
pub(crate) struct Inner {
    name: String,
    /// What a finding is called.
    kind: String,
    words: Vec<Word>,
    pub(crate) tag: String,
    pub(crate) automaton: Automaton,
    /// Finds out fast that there is nothing to find; over folded text.
    quick: AhoCorasick,
    /// Most bytes held back.
    pub(crate) window: usize,
}

impl BlockedWords {
    /// Compiles a list. `tag` replaces masked text ([`DEFAULT_TAG`] if `None`).
    ///
    /// # Errors
    /// A [`BuildError`] that names the entry.
    pub fn new(name: &str, words: Vec<Word>, tag: Option<&str>) -> Result<Self, BuildError> {
        let tag = tag.unwrap_or(DEFAULT_TAG);
        if tag.contains(|c: char| c.is_control() || c == '"' || c == '\\') {
            return Err(BuildError::UnsafeTag);
        }
        let mut patterns = Vec::with_capacity(words.len());
        for (index, word) in words.iter().enumerate() {
            if word.keyword.chars().nth(MAX_KEYWORD).is_some() {
                return Err(BuildError::KeywordTooLong(index));
            }
            if word.action == Action::Alert {
                return Err(BuildError::Alert(index));
            }
            let mut folded = String::with_capacity(word.keyword.len());
            fold_into(&word.keyword, &mut folded);
            if folded.trim().is_empty() {
                return Err(BuildError::EmptyKeyword(index));
            }
            patterns.push((folded, word.action));
        }
        // Only asked whether there is a match; this kind has the fast prefilters.
        let quick = AhoCorasickBuilder::new()
            .match_kind(MatchKind::LeftmostFirst)
            .build(patterns.iter().map(|(pattern, _)| pattern))
            .map_err(|_| BuildError::ListTooLarge)?;
        let longest = patterns.iter().map(|(pattern, _)| pattern.len()).max();
        // A folded byte stands for at most one pair of escapes, twelve bytes of text.
        let window = longest
            .unwrap_or(0)
            .saturating_mul(12)
            .saturating_add(SLACK);
        let inner = Inner {
            name: name.to_owned(),
            kind: "KEYWORD".to_owned(),
            tag: tag.to_owned(),
            automaton: Automaton::new(&patterns),
            words,
            quick,
            window,
        };
        Ok(BlockedWords {
            inner: Arc::new(inner),
        })
    }

    /// The same with another name for what it finds, instead of `KEYWORD`.
    #[must_use]
    pub fn with_kind(self, kind: &str) -> Self {
        let mut inner = Arc::unwrap_or_clone(self.inner);
        kind.clone_into(&mut inner.kind);
        BlockedWords {
            inner: Arc::new(inner),
        }
    }

    /// The check at work on a stream of plain text.
    #[must_use]
    pub fn window(&self) -> StreamWindow {
        self.window_as(Form::Plain)
    }

    /// The check at work on a stream of the given form.
    #[must_use]
    pub fn window_as(&self, form: Form) -> StreamWindow {
        StreamWindow::new(Arc::clone(&self.inner), form)
    }

    /// The entries, in order of [`crate::Finding::rule`].
    #[must_use]
    pub fn words(&self) -> &[Word] {
        &self.inner.words
    }

    /// Whether the slow, exact way can be left out.
    fn surely_clean(&self, form: Form, text: &str) -> bool {
        if form == Form::JsonText && text.contains('\\') {
            return false;
        }
        if text.is_ascii() {
            return !self.inner.quick.is_match(&text.to_ascii_lowercase());
        }
        let mut folded = String::with_capacity(text.len());
        let skipped = fold_into(text, &mut folded);
        // With few invisible characters no candidate can outgrow the window.
        skipped <= SLACK && !self.inner.quick.is_match(&folded)
    }
}

impl Check for BlockedWords {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn reach(&self) -> Reach {
        Reach::Window(self.inner.window)
    }

    fn rule(&self, index: u32) -> Option<Rule<'_>> {
        let word = self.inner.words.get(index as usize)?;
        Some(Rule {
            kind: &self.inner.kind,
            pattern: &word.keyword,
            description: word.description.as_deref(),
            action: word.action,
        })
    }

    fn scan_as(&self, form: Form, text: &str) -> Verdict {
        if self.surely_clean(form, text) {
            return Verdict::default();
        }
        let mut window = self.window_as(form);
        let first = window.push(text);
        let mut masked = first.text.into_owned();
        let mut findings = first.findings;
        let last = window.finish();
        masked.push_str(&last.text);
        findings.extend(last.findings);
        let blocked = first.blocked.or(last.blocked);
        let changed = blocked.is_none() && masked != text;
        Verdict {
            findings,
            blocked,
            masked: changed.then_some(masked),
        }
    }

    fn stream_as(&self, form: Form) -> Option<Box<dyn StreamCheck>> {
        Some(Box::new(self.window_as(form)))
    }
}
