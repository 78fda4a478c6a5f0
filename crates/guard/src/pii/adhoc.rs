//! Recognisers of the operator's own, in the form that Presidio's analyzer takes.

use std::collections::HashSet;

use regex::bytes::{Regex, RegexBuilder};

use crate::Action;
use crate::resolve::{Candidate, Rank};

/// Memory that one expression may take once compiled.
const SIZE_LIMIT: usize = 1 << 20;

/// Bytes before a match in which context words count.
const CONTEXT: usize = 48;

/// Lowest score that counts unless configured otherwise.
const THRESHOLD: u8 = 50;

/// What a context word adds to the score of a match.
const LIFT: u8 = 35;

/// A recogniser that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdHocError {
    /// An expression that does not compile, or needs too much memory.
    #[error("recognizer `{name}`: pattern {index}: {reason}")]
    Pattern {
        /// The recogniser.
        name: String,
        /// Which of its patterns.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// Nothing to look for.
    #[error("recognizer `{0}` has neither patterns nor a deny_list")]
    Empty(String),
    /// A score that is none.
    #[error("recognizer `{0}`: a score is a number from 0 to 1")]
    Score(String),
}

/// One recogniser. Runs over the whole text: its expressions may match any length.
#[derive(Debug)]
pub struct AdHoc {
    /// What it finds.
    pub(crate) entity: String,
    patterns: Vec<(Regex, u8)>,
    context: HashSet<Vec<u8>>,
    /// What is done about its finds; what the check says without.
    pub(crate) action: Option<Action>,
    /// Lowest score that counts, 0 to 100.
    pub(crate) threshold: u8,
}

impl AdHoc {
    /// Compiles a recogniser: `patterns` are expressions with their scores from 0 to 1,
    /// `deny_list` holds words that are always found, `context` words that lift a score.
    ///
    /// # Errors
    /// An [`AdHocError`] that names the pattern. Look-around and references back are not
    /// part of the syntax: time is linear in the text.
    pub fn new(
        name: &str,
        entity: &str,
        patterns: &[(String, f64)],
        deny_list: &[String],
        context: &[String],
    ) -> Result<AdHoc, AdHocError> {
        if patterns.is_empty() && deny_list.is_empty() {
            return Err(AdHocError::Empty(name.to_owned()));
        }
        let mut compiled = Vec::with_capacity(patterns.len() + 1);
        for (index, (pattern, score)) in patterns.iter().enumerate() {
            if !(0.0..=1.0).contains(score) {
                return Err(AdHocError::Score(name.to_owned()));
            }
            compiled.push((compile(name, index, pattern)?, (score * 100.0) as u8));
        }
        if !deny_list.is_empty() {
            let words: Vec<_> = deny_list.iter().map(|word| regex::escape(word)).collect();
            let pattern = format!(r"\b{{start-half}}(?:{})\b{{end-half}}", words.join("|"));
            compiled.push((compile(name, patterns.len(), &pattern)?, 100));
        }
        Ok(AdHoc {
            entity: entity.to_owned(),
            patterns: compiled,
            context: context
                .iter()
                .map(|w| w.to_lowercase().into_bytes())
                .collect(),
            action: None,
            threshold: THRESHOLD,
        })
    }

    /// What it finds.
    #[must_use]
    pub fn entity(&self) -> &str {
        &self.entity
    }

    /// The same with an action of its own, and the lowest score that counts (0 to 100), where they are given.
    #[must_use]
    pub fn with_rule(mut self, action: Option<Action>, threshold: Option<u8>) -> AdHoc {
        self.action = action.or(self.action);
        self.threshold = threshold.unwrap_or(self.threshold);
        self
    }

    /// Adds what it sees in a whole text.
    pub(crate) fn look(&self, text: &[u8], kind: u32, out: &mut Vec<Candidate>) {
        for (pattern, score) in &self.patterns {
            for range in pattern.find_iter(text).filter(|found| !found.is_empty()) {
                let lifted = self.said(text, range.start());
                let score = score.saturating_add(if lifted { LIFT } else { 0 }).min(100);
                out.push(Candidate {
                    start: range.start(),
                    end: range.end(),
                    kind,
                    score,
                    rank: Rank::Rule,
                });
            }
        }
    }

    fn said(&self, text: &[u8], start: usize) -> bool {
        let from = start.saturating_sub(CONTEXT);
        let before = text
            .get(from..start)
            .unwrap_or_default()
            .to_ascii_lowercase();
        let mut words = before.split(|byte| !byte.is_ascii_alphanumeric() && *byte < 0x80);
        words.any(|word| self.context.contains(word))
    }
}

fn compile(name: &str, index: usize, pattern: &str) -> Result<Regex, AdHocError> {
    let built = RegexBuilder::new(pattern)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .multi_line(true)
        .case_insensitive(true)
        .build();
    built.map_err(|error| AdHocError::Pattern {
        name: name.to_owned(),
        index,
        reason: error.to_string(),
    })
}
