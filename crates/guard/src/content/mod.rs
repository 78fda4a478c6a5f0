//! Content: expressions by category, code and insecure code, gibberish, language, sizes.

mod shape;

use regex::{Regex, RegexBuilder};

use std::sync::Arc;

use crate::engine::{Replacer, verdict};
use crate::{Action, Check, Finding, Form, Reach, Rule, StreamCheck, Verdict};

pub use shape::{Language, Limits, ShapeCheck, ShapeSettings, gibberish, language};

/// Memory that one expression may take once compiled.
const SIZE_LIMIT: usize = 1 << 20;

/// Most expressions of one check.
const MOST: usize = 10_000;

/// How bad a match is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth a look.
    Medium,
    /// Not acceptable.
    High,
}

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// What it is about: the type of its findings.
    pub category: String,
    /// The expression: linear time, no look-around, no references back.
    pub pattern: String,
    /// How bad a match is.
    pub severity: Severity,
    /// What is done.
    pub action: Action,
}

/// An expression that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It does not compile, or needs too much memory.
    #[error("expression {index} (`{category}`): {reason}")]
    Invalid {
        /// Its place in the list.
        index: usize,
        /// Its category.
        category: String,
        /// What is wrong.
        reason: String,
    },
    /// Too many.
    #[error("{0} expressions; at most {MOST} are possible")]
    TooMany(usize),
}

/// The check over expressions. Sees whole texts only.
#[derive(Debug, Clone)]
pub struct Expressions {
    name: String,
    all: Vec<(Regex, Expression)>,
    /// What stands for masked text; `[CATEGORY]` without.
    replacer: Option<Arc<dyn Replacer>>,
}

impl Expressions {
    /// The same with another way to replace what is masked.
    #[must_use]
    pub fn with_replacer(mut self, replacer: Arc<dyn Replacer>) -> Expressions {
        self.replacer = Some(replacer);
        self
    }

    /// Compiles the expressions of at least this severity.
    ///
    /// # Errors
    /// An [`ExpressionError`] that names the expression.
    pub fn new(
        name: &str,
        expressions: Vec<Expression>,
        least: Severity,
    ) -> Result<Expressions, ExpressionError> {
        if expressions.len() > MOST {
            return Err(ExpressionError::TooMany(expressions.len()));
        }
        let mut all = Vec::with_capacity(expressions.len());
        for (index, expression) in expressions.into_iter().enumerate() {
            if expression.severity < least {
                continue;
            }
            let built = RegexBuilder::new(&expression.pattern)
                .size_limit(SIZE_LIMIT)
                .dfa_size_limit(SIZE_LIMIT)
                .multi_line(true)
                .build()
                .map_err(|error| ExpressionError::Invalid {
                    index,
                    category: expression.category.clone(),
                    reason: error.to_string(),
                })?;
            all.push((built, expression));
        }
        Ok(Expressions {
            name: name.to_owned(),
            all,
            replacer: None,
        })
    }

    /// Programs that do what they should not: commands from strings, deserialisation of anything,
    /// SQL by concatenation, unchecked certificates.
    #[must_use]
    pub fn insecure_code(name: &str, action: Action) -> Option<Expressions> {
        let lines = include_str!("../../data/insecure_code.txt").lines();
        let expression = |line: &str| {
            let (severity, rest) = line.split_once(' ')?;
            let (_language, pattern) = rest.split_once(' ')?;
            let severity = match severity {
                "high" => Severity::High,
                "medium" => Severity::Medium,
                _ => return None,
            };
            Some(Expression {
                category: "INSECURE_CODE".to_owned(),
                pattern: pattern.to_owned(),
                severity,
                action,
            })
        };
        let all = lines.filter_map(expression).collect();
        Expressions::new(name, all, Severity::Low).ok()
    }

    fn findings(&self, text: &str) -> Vec<Finding> {
        let mut all = Vec::new();
        for (rule, (pattern, expression)) in (0_u32..).zip(&self.all) {
            let found = pattern.find_iter(text).filter(|found| !found.is_empty());
            all.extend(found.map(|found| Finding {
                start: found.start(),
                end: found.end(),
                rule,
                action: expression.action,
                score: 100,
            }));
        }
        all.sort_unstable();
        all
    }
}

impl Check for Expressions {
    fn name(&self) -> &str {
        &self.name
    }

    fn reach(&self) -> Reach {
        Reach::Whole
    }

    fn rule(&self, index: u32) -> Option<Rule<'_>> {
        let (_, expression) = self.all.get(index as usize)?;
        Some(Rule {
            kind: &expression.category,
            pattern: &expression.pattern,
            description: None,
            action: expression.action,
        })
    }

    fn scan_as(&self, _form: Form, text: &str) -> Verdict {
        verdict(text, self.findings(text), |finding, value| {
            let category = self.rule(finding.rule).map_or("CONTENT", |rule| rule.kind);
            match &self.replacer {
                Some(replacer) => replacer.replace(category, value),
                None => format!("[{category}]"),
            }
        })
    }

    fn stream_as(&self, _form: Form) -> Option<Box<dyn StreamCheck>> {
        None
    }
}
