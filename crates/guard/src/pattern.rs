//! The checks for personal data and for secrets.

use std::sync::Arc;

use crate::encoded::Encoded;
use crate::engine::{self, Detector, Judge, Replacer, WINDOW, verdict};
use crate::pattern_stream::PatternStream;
use crate::pii::{AdHoc, PiiDetector, PiiSettings};
use crate::resolve::{Candidate, resolve};
use crate::runs::runs;
use crate::secrets::{SecretDetector, SecretSettings};
use crate::view::View;
use crate::{Action, Check, Finding, Form, Reach, Rule, StreamCheck, Verdict};

/// First rule index of recognisers of the operator's own.
const OWN: u32 = 1000;

/// What masked text is replaced by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// The kind between these: `<` and `>` give `<EMAIL_ADDRESS>`.
    Kind(String, String),
    /// Always this text.
    Fixed(String),
}

impl Replacer for Tags {
    fn replace(&self, kind: &str, _value: &str) -> String {
        match self {
            Tags::Kind(before, after) => format!("{before}{kind}{after}"),
            Tags::Fixed(text) => text.clone(),
        }
    }
}

/// A name of a kind, for lists.
pub type KindName = &'static str;

/// A check that finds what has a form: personal data, or secrets.
#[derive(Clone)]
pub struct PatternCheck {
    name: String,
    pub(crate) detector: Arc<dyn Detector>,
    pub(crate) replacer: Arc<dyn Replacer>,
    own: Arc<[AdHoc]>,
    own_action: Action,
}

impl std::fmt::Debug for PatternCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PatternCheck({}, {} own)", self.name, self.own.len())
    }
}

impl PatternCheck {
    /// The check for personal data. Masked text becomes `<KIND>`.
    #[must_use]
    pub fn pii(name: &str, settings: PiiSettings) -> PatternCheck {
        PatternCheck {
            name: name.to_owned(),
            detector: Arc::new(Encoded::new(PiiDetector::new(settings))),
            replacer: Arc::new(Tags::Kind("<".to_owned(), ">".to_owned())),
            own: Arc::new([]),
            own_action: Action::Mask,
        }
    }

    /// The check for secrets. Masked text becomes `[REDACTED]`.
    #[must_use]
    pub fn secrets(name: &str, settings: SecretSettings) -> PatternCheck {
        PatternCheck {
            name: name.to_owned(),
            detector: Arc::new(Encoded::new(SecretDetector::new(settings))),
            replacer: Arc::new(Tags::Fixed("[REDACTED]".to_owned())),
            own: Arc::new([]),
            own_action: Action::Mask,
        }
    }

    /// The same with recognisers of the operator's own and what is done about their finds, where they do not say it.
    /// Such a check sees whole texts only.
    #[must_use]
    pub fn with_recognisers(mut self, own: Vec<AdHoc>, action: Action) -> PatternCheck {
        self.own = own.into();
        self.own_action = action;
        self
    }

    /// The same with another way to replace what is masked.
    #[must_use]
    pub fn with_replacer(mut self, replacer: Arc<dyn Replacer>) -> PatternCheck {
        self.replacer = replacer;
        self
    }

    pub(crate) fn kind(&self, rule: u32) -> &str {
        match rule.checked_sub(OWN) {
            None => self.detector.name(rule).unwrap_or("UNKNOWN"),
            Some(own) => self
                .own
                .get(own as usize)
                .map_or("UNKNOWN", |own| own.entity.as_str()),
        }
    }

    fn own(&self, rule: u32) -> Option<&AdHoc> {
        self.own.get(rule.checked_sub(OWN)? as usize)
    }

    fn action(&self, rule: u32) -> Action {
        match self.own(rule) {
            Some(own) => own.action.unwrap_or(self.own_action),
            None => self.detector.action(rule),
        }
    }

    fn findings(&self, form: Form, text: &str) -> Vec<Finding> {
        if self.own.is_empty() {
            return engine::findings(&self.detector, form, text);
        }
        let view = View::new(text, form);
        let mut judge = Judge::new(Arc::clone(&self.detector));
        let mut built_in = Vec::new();
        runs(&view.bytes, |run| {
            judge.judge(&view.bytes, 0, run, &mut built_in);
        });
        let mut all: Vec<Candidate> = built_in.iter().map(candidate).collect();
        for (kind, own) in (OWN..).zip(self.own.iter()) {
            own.look(&view.bytes, kind, &mut all);
        }
        all.retain(|c| match self.own(c.kind) {
            None => true,
            Some(own) => {
                let text = view.bytes.get(c.start..c.end).unwrap_or_default();
                c.score >= own.threshold && !self.detector.allowed(c.kind, text)
            }
        });
        resolve(&mut all);
        let finding = |candidate: &Candidate| {
            let (start, end) = view.written(candidate.start, candidate.end);
            Finding {
                start,
                end,
                rule: candidate.kind,
                action: self.action(candidate.kind),
                score: candidate.score,
            }
        };
        all.iter().map(finding).collect()
    }
}

fn candidate(finding: &Finding) -> Candidate {
    Candidate {
        start: finding.start,
        end: finding.end,
        kind: finding.rule,
        score: finding.score,
        rank: crate::resolve::Rank::Checked,
    }
}

impl Check for PatternCheck {
    fn name(&self) -> &str {
        &self.name
    }

    fn reach(&self) -> Reach {
        if self.own.is_empty() {
            Reach::Window(WINDOW)
        } else {
            Reach::Whole
        }
    }

    fn rule(&self, index: u32) -> Option<Rule<'_>> {
        let kind = self.kind(index);
        Some(Rule {
            kind,
            pattern: kind,
            description: None,
            action: self.action(index),
        })
    }

    fn scan_as(&self, form: Form, text: &str) -> Verdict {
        self.scan_with(form, text, self.replacer.as_ref())
    }

    fn stream_as(&self, form: Form) -> Option<Box<dyn StreamCheck>> {
        self.stream_with(form, Arc::clone(&self.replacer))
    }

    fn scan_with(&self, form: Form, text: &str, replacer: &dyn Replacer) -> Verdict {
        verdict(text, self.findings(form, text), |finding, value| {
            replacer.replace(self.kind(finding.rule), value)
        })
    }

    fn stream_with(&self, form: Form, replacer: Arc<dyn Replacer>) -> Option<Box<dyn StreamCheck>> {
        if !self.own.is_empty() {
            return None;
        }
        let stream = PatternStream::new(Arc::clone(&self.detector), replacer, form);
        Some(Box::new(stream))
    }
}
